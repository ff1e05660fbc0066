"""HeaderFrom: copy or move fields of the key or value into headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncline.data import Header, Schema
from syncline.errors import ConfigError, DataError
from syncline.options import Importance, Kind, non_empty, one_of, option
from syncline.transforms.sides import R, SidedTransform, both_sides, build, get, rebuilt, replace_null_option


@dataclass(frozen=True, kw_only=True)
class HeaderFromConfig:
    fields: list[str] = option(
        "fields", "Names of the fields.", kind=Kind.LIST, importance=Importance.HIGH, check=non_empty
    )
    headers: list[str] = option(
        "headers",
        "Names of the headers, one for each field.",
        kind=Kind.LIST,
        importance=Importance.HIGH,
        check=non_empty,
    )
    operation: str = option(
        "operation",
        "`move` removes the fields from the record, `copy` leaves them.",
        importance=Importance.HIGH,
        check=one_of(["move", "copy"]),
    )
    replace_null: bool = replace_null_option()


@both_sides("HeaderFrom")
class HeaderFrom(SidedTransform[R, HeaderFromConfig]):
    """A header gets its field's schema; without a schema an absent field gives a null header."""

    settings = HeaderFromConfig
    purpose = "header from"
    passes_null = False

    def check(self) -> None:
        if len(self.config.fields) != len(self.config.headers):
            raise ConfigError(
                {"fields": ["'fields' config must have the same number of elements as 'headers' config."]}
            )

    @property
    def moves(self) -> bool:
        return self.config.operation == "move"

    def apply(self, record: R) -> R | None:
        schema, value = self.side.schema(record), self.side.value(record)
        if schema is None:
            found = self.map_of(value)
            headers: list[Header] = [
                Header(name, None, found.get(field))
                for field, name in zip(self.config.fields, self.config.headers, strict=True)
            ]
            new = self.without_schema(record, found)
            changed = self.side.changed(record, None, new) if self.moves else record
        else:
            self.struct_of(schema, value)
            headers = [
                self._header(schema, value, field, name)
                for field, name in zip(self.config.fields, self.config.headers, strict=True)
            ]
            changed = self.side.changed(record, *self.with_schema(record, schema, value)) if self.moves else record
        return changed.with_headers((*record.headers, *headers))

    def _header(self, schema: Schema, value: Any, name: str, header: str) -> Header:
        field = schema.field(name)
        if field is None:
            raise DataError(f"header {header!r} is to be made from field {name!r}, which the record lacks")
        found = get(schema, value, name, replace_null=self.config.replace_null)
        return Header(header, field.schema, found)

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        kept = self.schema_for(schema, self._without_moved)
        replace = self.config.replace_null
        return kept, build(
            kept, {field.name: get(schema, value, field.name, replace_null=replace) for field in kept.fields}
        )

    def _without_moved(self, schema: Schema) -> Schema:
        return rebuilt(schema, [(f.name, f.schema) for f in schema.fields if f.name not in self.config.fields])

    def without_schema(self, record: R, value: Any) -> Any:
        return {key: found for key, found in value.items() if key not in self.config.fields}
