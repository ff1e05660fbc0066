"""ValueToKey: make the key from fields of the value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from syncline.api import PluginKind, Transform, plugin
from syncline.data import Schema, Type, struct
from syncline.errors import DataError
from syncline.options import Importance, Kind, load, non_empty, option
from syncline.transforms.sides import PACKAGE, R, build, get, java_name, replace_null_option


@dataclass(frozen=True, kw_only=True)
class ValueToKeyConfig:
    fields: list[str] = option(
        "fields",
        "Fields of the value, in order.",
        kind=Kind.LIST,
        importance=Importance.HIGH,
        check=non_empty,
    )
    replace_null: bool = replace_null_option()


@plugin(PluginKind.TRANSFORMATION, f"{PACKAGE}.ValueToKey", settings=ValueToKeyConfig)
class ValueToKey(Transform[R]):
    """The key is a struct, or without a schema a map, of these fields."""

    purpose = "copying fields from value to key"

    def configure(self, config: Mapping[str, str]) -> None:
        self._config = load(ValueToKeyConfig, config)
        self._schemas: WeakKeyDictionary[Schema, Schema] = WeakKeyDictionary()

    def apply(self, record: R) -> R | None:
        value, schema = record.value, record.value_schema
        if schema is None:
            if not isinstance(value, dict):
                raise DataError(
                    f"Only Map objects supported in absence of schema for [{self.purpose}], found: {java_name(value)}"
                )
            return record.with_key(None, {name: value.get(name) for name in self._config.fields})
        if value is None or schema.type is not Type.STRUCT:
            raise DataError(f"Only Struct objects supported for [{self.purpose}], found: {java_name(value)}")
        key_schema = self._schemas.get(schema)
        if key_schema is None:
            key_schema = self._schemas[schema] = self._key_schema(schema)
        replace = self._config.replace_null
        fields = {name: get(schema, value, name, replace_null=replace) for name in self._config.fields}
        return record.with_key(key_schema, build(key_schema, fields))

    def _key_schema(self, schema: Schema) -> Schema:
        fields = []
        for name in self._config.fields:
            field = schema.field(name)
            if field is None:
                raise DataError(f"Field does not exist: {name}")
            fields.append((name, field.schema))
        return struct(fields)
