"""Which columns a record has: pk.mode, pk.fields, fields.whitelist (spec/jdbc.md 2.3). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

from msgspec.structs import astuple

from syncline.connectors.jdbc.origin import note_of
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.data import Schema, SinkRecord, Type, primitive
from syncline.errors import ConnectError

COORDINATES: Final[tuple[str, ...]] = ("__connect_topic", "__connect_partition", "__connect_offset")
PRIMITIVE: Final = frozenset(Type) - {Type.ARRAY, Type.MAP, Type.STRUCT}


class Part(Enum):
    """Where in a record a column's value is."""

    TOPIC = "topic"
    PARTITION = "partition"
    OFFSET = "offset"
    KEY = "key"
    KEY_FIELD = "key field"
    VALUE = "value"
    VALUE_FIELD = "value field"
    ORIGIN = "origin"


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """One column: its name, the schema of its values, where they come from."""

    name: str
    schema: Schema
    part: Part
    index: int = 0
    """Of the field in its struct."""
    key: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns of records of one key schema and value schema."""

    keys: tuple[FieldColumn, ...]
    others: tuple[FieldColumn, ...]
    ddl_order: tuple[FieldColumn, ...]
    """All of them, in the order of a new table's columns."""

    @property
    def all(self) -> tuple[FieldColumn, ...]:
        return (*self.keys, *self.others)


class Cells:
    """Records taken apart into columns; structs are taken apart once, all fields together."""

    def __init__(self, records: Sequence[SinkRecord]) -> None:
        self._records = records

    @cached_property
    def _keys(self) -> list[Any]:
        return [record.key for record in self._records]

    @cached_property
    def _values(self) -> list[Any]:
        return [record.value for record in self._records]

    @cached_property
    def _key_fields(self) -> list[tuple[Any, ...]]:
        return list(zip(*map(astuple, self._keys), strict=True))

    @cached_property
    def _value_fields(self) -> list[tuple[Any, ...]]:
        return list(zip(*map(astuple, self._values), strict=True))

    def of(self, column: FieldColumn) -> Sequence[Any]:
        """The values of one column, a value per record."""
        match column.part:
            case Part.VALUE_FIELD:
                return self._value_fields[column.index]
            case Part.KEY_FIELD:
                return self._key_fields[column.index]
            case Part.KEY:
                return self._keys
            case Part.VALUE:
                return self._values
            case Part.TOPIC:
                return [record.kafka_topic for record in self._records]
            case Part.PARTITION:
                return [record.kafka_partition for record in self._records]
            case Part.OFFSET:
                return [record.offset for record in self._records]
            case Part.ORIGIN:
                return [note_of(record) for record in self._records]


def fields_of(config: SinkConfig, table: str, key_schema: Schema | None, value_schema: Schema | None) -> Fields:
    """The columns for these schemas; ConnectError in Confluent's words when the configuration does not fit."""
    mode = config.pk_mode.lower()
    keys = _keys(config.pk_fields, mode, table, key_schema, value_schema)
    others = _others(config, table, value_schema, {column.name for column in keys})
    if config.origin_column and others:
        note = FieldColumn(config.origin_column, primitive(Type.STRING, optional=True), Part.ORIGIN)
        others = (*(column for column in others if column.name != note.name), note)
    if not keys and not others:
        raise ConnectError(f"No fields found using key and value schemas for table: {table}")
    return Fields(keys, others, _ddl_order(keys, others, value_schema))


def _keys(
    wanted: list[str], mode: str, table: str, key_schema: Schema | None, value_schema: Schema | None
) -> tuple[FieldColumn, ...]:
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
    return _struct_fields(wanted, table, "RECORD_VALUE", "value", value_schema, Part.VALUE_FIELD)


def _coordinates(wanted: list[str], table: str) -> tuple[FieldColumn, ...]:
    if wanted and len(wanted) != 3:
        raise ConnectError(
            f"PK mode for table '{table}' is KAFKA so there should either be no field names defined for defaults "
            f"[{', '.join(COORDINATES)}] to be applicable, or exactly 3, defined fields are: [{', '.join(wanted)}]"
        )
    kinds = ((Type.STRING, Part.TOPIC), (Type.INT32, Part.PARTITION), (Type.INT64, Part.OFFSET))
    return tuple(
        FieldColumn(name, primitive(kind), part, key=True)
        for name, (kind, part) in zip(wanted or COORDINATES, kinds, strict=True)
    )


def _from_key(wanted: list[str], table: str, key_schema: Schema | None) -> tuple[FieldColumn, ...]:
    if key_schema is None:
        raise ConnectError(f"PK mode for table '{table}' is RECORD_KEY, but record key schema is missing")
    if key_schema.type in PRIMITIVE:
        if len(wanted) != 1:
            raise ConnectError(
                "Need exactly one PK column defined since the key schema for records is a primitive type, "
                f"defined columns are: [{', '.join(wanted)}]"
            )
        return (FieldColumn(wanted[0], key_schema, Part.KEY, key=True),)
    if key_schema.type is not Type.STRUCT:
        raise ConnectError(f"Key schema must be primitive type or Struct, but is of type: {key_schema.type}")
    return _struct_fields(wanted, table, "RECORD_KEY", "key", key_schema, Part.KEY_FIELD)


def _struct_fields(
    wanted: list[str], table: str, mode: str, side: str, schema: Schema, part: Part
) -> tuple[FieldColumn, ...]:
    """The wanted fields of a struct, or all of them."""
    found = []
    for name in wanted or [field.name for field in schema.fields]:
        field = schema.field(name) if schema.type is Type.STRUCT else None
        if field is None:
            raise ConnectError(
                f"PK mode for table '{table}' is {mode} with configured PK fields [{', '.join(wanted)}], but record "
                f"{side} schema does not contain field: {name}"
            )
        found.append(FieldColumn(name, field.schema, part, field.index, key=True))
    return tuple(found)


def _others(
    config: SinkConfig, table: str, value_schema: Schema | None, key_names: set[str]
) -> tuple[FieldColumn, ...]:
    if value_schema is None:
        return ()
    if value_schema.type is Type.STRING:
        name = config.text_column
        if name in key_names:
            raise ConnectError(
                f"Configured string.output.value.column.name '{name}' conflicts with a primary key column for table "
                f"'{table}'"
            )
        return (FieldColumn(name, value_schema.replace(optional=True, default=None), Part.VALUE),)
    if value_schema.type is not Type.STRUCT:
        raise ConnectError(f"Value schema must be of type Struct or String, but is of type: {value_schema.type}")
    allowed = set(config.whitelist)
    return tuple(
        FieldColumn(field.name, field.schema, Part.VALUE_FIELD, field.index)
        for field in value_schema.fields
        if field.name not in key_names and (not allowed or field.name in allowed)
    )


def _ddl_order(
    keys: tuple[FieldColumn, ...], others: tuple[FieldColumn, ...], value_schema: Schema | None
) -> tuple[FieldColumn, ...]:
    """Coordinates under their own names first, then fields in the value's order, then the rest of the key by name."""
    by_name = {column.name: column for column in (*keys, *others)}
    order = [name for name in COORDINATES if name in by_name]
    if value_schema is not None and value_schema.type is Type.STRUCT:
        order += [field.name for field in value_schema.fields if field.name in by_name and field.name not in order]
    else:
        order += [column.name for column in others]
    order += sorted(by_name.keys() - set(order))
    return tuple(by_name[name] for name in order)
