"""Flatten: nested structs or maps to one level, names joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.data import Schema, Type
from syncline.errors import DataError
from syncline.options import Importance, option
from syncline.transforms.sides import R, SidedTransform, both_sides, build, get, java_name, rebuilt


@dataclass(frozen=True, kw_only=True)
class FlattenConfig:
    delimiter: str = option(
        "delimiter",
        "Stands between the names of a field and its parents.",
        default=".",
        importance=Importance.MEDIUM,
    )


class NotAString(DataError):
    """A map key that is no text."""

    java_class = "java.lang.ClassCastException"


@both_sides("Flatten")
class Flatten(SidedTransform[R, FlattenConfig]):
    """Arrays stay as they are. Two fields that get the same name are refused, with a schema and without."""

    settings = FlattenConfig
    purpose = "flattening"

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        flat = self.schema_for(schema, self._flat_schema)
        values: dict[str, Any] = {}
        self._collect(schema, value, "", values)
        return flat, build(flat, values)

    def _flat_schema(self, schema: Schema) -> Schema:
        fields: list[tuple[str, Schema]] = []
        # An optional root makes every field optional, and is required itself afterwards.
        self._add_fields(schema, "", schema.optional, schema.default, fields)
        return rebuilt(schema, fields)

    def _add_fields(
        self, schema: Schema, prefix: str, optional: bool, parent: Any, into: list[tuple[str, Schema]]
    ) -> None:
        for field in schema.fields:
            name = self._name(prefix, field.name)
            inner = field.schema
            loose = optional or inner.optional
            default = inner.default
            if default is None and parent is not None:
                default = getattr(parent, field.attribute)
            if inner.type is Type.STRUCT:
                self._add_fields(inner, name, loose, default, into)
            elif inner.type is Type.MAP:
                raise DataError(
                    f"Flatten transformation does not support MAP for record with schemas (for field {name})."
                )
            else:
                into.append((name, inner.replace(optional=loose, default=default)))

    def _collect(self, schema: Schema, value: Any, prefix: str, into: dict[str, Any]) -> None:
        for field in schema.fields:
            name = self._name(prefix, field.name)
            found = None if value is None else get(schema, value, field.name)
            if field.schema.type is Type.STRUCT:
                self._collect(field.schema, found, name, into)
            else:
                into[name] = found

    def without_schema(self, record: R, value: Any) -> Any:
        flat: dict[str, Any] = {}
        self._flatten_map(value, "", flat)
        return flat

    def _flatten_map(self, value: dict[Any, Any], prefix: str, into: dict[str, Any]) -> None:
        for key, found in value.items():
            if not isinstance(key, str):
                raise NotAString(f"class {java_name(key)} cannot be cast to class java.lang.String")
            name = self._name(prefix, key)
            if isinstance(found, dict):
                self._flatten_map(found, name, into)
            elif name in into:
                raise DataError(f"two fields would be called {name!r}; choose another delimiter")
            else:
                into[name] = found

    def _name(self, prefix: str, name: str) -> str:
        return f"{prefix}{self.config.delimiter}{name}" if prefix else name
