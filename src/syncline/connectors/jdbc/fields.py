"""Which columns a record has: pk.mode, pk.fields, fields.whitelist (spec/jdbc.md 2.3). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.data import Schema, SinkRecord, Type, primitive
from syncline.errors import ConnectError

COORDINATES: Final = ("__connect_topic", "__connect_partition", "__connect_offset")
_COORDINATE_SCHEMAS: Final = (primitive(Type.STRING), primitive(Type.INT32), primitive(Type.INT64))
_PRIMITIVE: Final = frozenset(Type) - {Type.ARRAY, Type.MAP, Type.STRUCT}

Values = Callable[[Sequence[SinkRecord]], list[Any]]
"""From records to one column's values."""


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """One column: its name, the schema of its values, where they come from."""

    name: str
    schema: Schema
    values: Values
    key: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns of records of one key schema and value schema."""

    keys: tuple[FieldColumn, ...]
    others: tuple[FieldColumn, ...]
    ddl_order: tuple[str, ...]
    """Names in the order of a new table's columns."""

    @property
    def all(self) -> tuple[FieldColumn, ...]:
        return (*self.keys, *self.others)

    def column(self, name: str) -> FieldColumn:
        return next(column for column in self.all if column.name == name)


def fields_of(config: SinkConfig, table: str, key_schema: Schema | None, value_schema: Schema | None) -> Fields:
    """The columns for these schemas; ConnectError in Confluent's words when the configuration does not fit."""
    mode = config.pk_mode.lower()
    keys = _keys(config, mode, table, key_schema, value_schema)
    key_names = {column.name for column in keys}
    others = _others(config, value_schema, key_names)
    if not keys and not others:
        raise ConnectError(f"No fields found using key and value schemas for table: {table}")
    return Fields(keys, others, _ddl_order(keys, others, value_schema, mode))


def _keys(
    config: SinkConfig, mode: str, table: str, key_schema: Schema | None, value_schema: Schema | None
) -> tuple[FieldColumn, ...]:
    wanted = config.pk_fields
    if mode == "none":
        return ()
    if mode == "kafka":
        return _coordinates(wanted, table)
    if mode == "record_key":
        return _from_key(wanted, table, key_schema)
    if value_schema is None:
        raise ConnectError(f"PK mode for table '{table}' is RECORD_VALUE, but record value schema is missing")
    if value_schema.type is Type.STRING:
        raise ConnectError("pk.mode record_value is not supported with String value schemas")
    _check_names(wanted, table, "RECORD_VALUE", "value", value_schema)
    return tuple(_struct_field(value_schema, name, _values, key=True) for name in wanted or _names(value_schema))


def _coordinates(wanted: list[str], table: str) -> tuple[FieldColumn, ...]:
    if wanted and len(wanted) != 3:
        raise ConnectError(
            f"PK mode for table '{table}' is KAFKA so there should either be no field names defined for defaults "
            f"{list(COORDINATES)} to be applicable, or exactly 3, defined fields are: {wanted}"
        )
    getters: tuple[Values, ...] = (
        lambda records: [record.kafka_topic for record in records],
        lambda records: [record.kafka_partition for record in records],
        lambda records: [record.offset for record in records],
    )
    names = wanted or list(COORDINATES)
    return tuple(
        FieldColumn(name, schema, values, key=True)
        for name, schema, values in zip(names, _COORDINATE_SCHEMAS, getters, strict=True)
    )


def _from_key(wanted: list[str], table: str, key_schema: Schema | None) -> tuple[FieldColumn, ...]:
    if key_schema is None:
        raise ConnectError(f"PK mode for table '{table}' is RECORD_KEY, but record key schema is missing")
    if key_schema.type in _PRIMITIVE:
        if len(wanted) != 1:
            raise ConnectError(
                "Need exactly one PK column defined since the key schema for records is a primitive type, "
                f"defined columns are: {wanted}"
            )
        return (FieldColumn(wanted[0], key_schema, lambda records: [record.key for record in records], key=True),)
    if key_schema.type is not Type.STRUCT:
        raise ConnectError(f"Key schema must be primitive type or Struct, but is of type: {key_schema.type}")
    _check_names(wanted, table, "RECORD_KEY", "key", key_schema)
    return tuple(_struct_field(key_schema, name, _record_keys, key=True) for name in wanted or _names(key_schema))


def _check_names(wanted: list[str], table: str, mode: str, part: str, schema: Schema) -> None:
    for name in wanted:
        if schema.type is not Type.STRUCT or schema.field(name) is None:
            raise ConnectError(
                f"PK mode for table '{table}' is {mode} with configured PK fields {wanted}, but record {part} "
                f"schema does not contain field: {name}"
            )


def _others(config: SinkConfig, value_schema: Schema | None, key_names: set[str]) -> tuple[FieldColumn, ...]:
    if value_schema is None:
        return ()
    if value_schema.type is Type.STRING:
        name = config.text_column
        if name in key_names:
            raise ConnectError(
                f"Configured string.output.value.column.name '{name}' conflicts with a primary key column"
            )
        return (FieldColumn(name, value_schema, lambda records: [record.value for record in records]),)
    if value_schema.type is not Type.STRUCT:
        raise ConnectError(f"Value schema must be of type Struct or String, but is of type: {value_schema.type}")
    wanted = set(config.whitelist)
    return tuple(
        _struct_field(value_schema, field.name, _values, key=False)
        for field in value_schema.fields
        if field.name not in key_names and (not wanted or field.name in wanted)
    )


def _values(records: Sequence[SinkRecord]) -> list[Any]:
    return [record.value for record in records]


def _record_keys(records: Sequence[SinkRecord]) -> list[Any]:
    return [record.key for record in records]


def _struct_field(schema: Schema, name: str, structs: Values, *, key: bool) -> FieldColumn:
    field = schema.field(name)
    assert field is not None
    attribute = field.attribute

    def values(records: Sequence[SinkRecord]) -> list[Any]:
        return [None if struct is None else getattr(struct, attribute) for struct in structs(records)]

    return FieldColumn(name, field.schema, values, key)


def _names(schema: Schema) -> list[str]:
    return [field.name for field in schema.fields]


def _ddl_order(
    keys: tuple[FieldColumn, ...], others: tuple[FieldColumn, ...], value_schema: Schema | None, mode: str
) -> tuple[str, ...]:
    """Coordinates first, then fields in the value's order, then what is left of the key by name."""
    known = {column.name for column in (*keys, *others)}
    order = [column.name for column in keys] if mode == "kafka" else []
    if value_schema is not None and value_schema.type is Type.STRUCT:
        order += [field.name for field in value_schema.fields if field.name in known and field.name not in order]
    else:
        order += [column.name for column in others]
    return (*order, *sorted(known - set(order)))
