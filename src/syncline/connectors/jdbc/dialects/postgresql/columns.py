"""Columns of PostgreSQL results: in the binary protocol, where times are integers and no value is lost."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from syncline.connectors.jdbc.moments import DAY, REFORM_DAY
from syncline.connectors.jdbc.reading import ResultColumn
from syncline.connectors.jdbc.types import Target, TypeSettings
from syncline.data import Type, date_schema, primitive, time_schema

BOOL, BYTEA, CHAR, NAME, INT8, INT2, INT4, TEXT, OID = 16, 17, 18, 19, 20, 21, 23, 25, 26
JSON, XML, FLOAT4, FLOAT8, MONEY, BPCHAR, VARCHAR = 114, 142, 700, 701, 790, 1042, 1043
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, TIMETZ, BIT, NUMERIC, UUID_, JSONB = (
    *(1082, 1083, 1114, 1184, 1266),
    *(1560, 1700, 2950, 3802),
)

NAMES: Final[Mapping[int, str]] = {
    BOOL: "boolean",
    BYTEA: "bytea",
    CHAR: '"char"',
    NAME: "name",
    INT8: "bigint",
    INT2: "smallint",
    INT4: "integer",
    TEXT: "text",
    OID: "oid",
    JSON: "json",
    XML: "xml",
    FLOAT4: "real",
    FLOAT8: "double precision",
    MONEY: "money",
    BPCHAR: "character",
    VARCHAR: "character varying",
    DATE: "date",
    TIME: "time",
    TIMESTAMP: "timestamp",
    TIMESTAMPTZ: "timestamptz",
    TIMETZ: "timetz",
    BIT: "bit",
    NUMERIC: "numeric",
    UUID_: "uuid",
    JSONB: "jsonb",
}
"""The types Connect has a counterpart for; others are left out, but for enums and text-like extensions."""

_PLAIN: Final = {
    BOOL: Type.BOOLEAN,
    BYTEA: Type.BYTES,
    INT8: Type.INT64,
    INT2: Type.INT16,
    INT4: Type.INT32,
    OID: Type.INT64,
    FLOAT4: Type.FLOAT32,
    FLOAT8: Type.FLOAT64,
}
_TEXTS: Final = {NAME, TEXT, XML, BPCHAR, VARCHAR, JSON}

_DAYS_TO_2000: Final = 10_957
_MICROS_TO_2000: Final = _DAYS_TO_2000 * DAY
_MS_TO_2000: Final = _DAYS_TO_2000 * 86_400_000
_REFORM_MS: Final = REFORM_DAY * 86_400_000

# What pgjdbc makes of infinite timestamps; consumers may look for these milliseconds.
_INFINITY: Final = (1 << 63) - 1
_MINUS_INFINITY: Final = -(1 << 63)
_INFINITY_MS: Final = {_INFINITY: 9_223_372_036_825_200_000, _MINUS_INFINITY: -9_223_372_036_832_400_000}
_INFINITE_DAYS: Final = ((1 << 31) - 1, -(1 << 31))


class Field(NamedTuple):
    """A column as the protocol describes it."""

    label: str
    oid: int
    modifier: int
    """The type's own parameters, such as precision and scale; -1 without."""
    table: int
    """The OID of the table the column comes from; 0 for an expression."""
    column: int
    """Its number in that table, from 1."""


class Columns:
    """Makes result columns out of fields."""

    def __init__(self, settings: TypeSettings, *, money_digits: int) -> None:
        self._settings = settings
        self._money_unit = 10**money_digits
        self._converted: dict[int, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
            DATE: (date_schema, self._day),
            TIME: (time_schema, self._time_of_day),
            TIMETZ: (time_schema, _time_of_day_utc),
        }

    def column(self, field: Field, *, optional: bool, textual: bool, type_name: str) -> ResultColumn:
        """What `field` becomes; `textual`: its unlisted type is an enum or reads as text."""
        if field.oid in (TIMESTAMP, TIMESTAMPTZ):
            return self._timestamp(field, optional)
        target = self._target(field, optional, textual)
        return ResultColumn(label=field.label, type=NAMES.get(field.oid, type_name), target=target)

    def _target(self, field: Field, optional: bool, textual: bool) -> Target | None:
        if field.oid in _PLAIN:
            return Target(primitive(_PLAIN[field.oid], optional=optional))
        if field.oid in _TEXTS or textual:
            return Target(primitive(Type.STRING, optional=optional), _decoded if textual else None)
        if field.oid in self._converted:
            schema, convert = self._converted[field.oid]
            return Target(schema(optional=optional), convert)
        match field.oid:
            case oid if oid == NUMERIC:
                return self._numeric(field.modifier, optional)
            case oid if oid == BIT:
                return _bits(field.modifier, optional)
            case oid if oid == MONEY:
                return Target(primitive(Type.FLOAT64, optional=optional), lambda units: units / self._money_unit)
            case oid if oid == CHAR:
                return Target(primitive(Type.STRING, optional=optional), _char)
            case oid if oid == UUID_:
                return Target(primitive(Type.STRING, optional=optional), lambda raw: str(UUID(bytes=raw)))
            case oid if oid == JSONB:
                # One byte of version goes before the text.
                return Target(primitive(Type.STRING, optional=optional), lambda raw: raw[1:].decode())
        return None

    def _numeric(self, modifier: int, optional: bool) -> Target:
        if modifier < 0:
            return self._settings.numeric_of_any_scale(optional=optional)
        precision, scale = modifier - 4 >> 16 & 0xFFFF, modifier - 4 & 0x7FF
        return self._settings.numeric(precision, (scale ^ 1024) - 1024, optional=optional)

    def _timestamp(self, field: Field, optional: bool) -> ResultColumn:
        schema, write = self._settings.timestamp(optional=optional)
        assert write is not None
        instant = self._instant if field.oid == TIMESTAMP else self._instant_utc

        def convert(value: int) -> Any:
            return write(instant(value))

        def milliseconds(value: int) -> int:
            if value in _INFINITY_MS:
                return _INFINITY_MS[value]
            since = value // 1_000 + _MS_TO_2000
            return since if since >= _REFORM_MS and plain else instant(value) // 1_000

        plain = self._settings.is_plain or (field.oid == TIMESTAMPTZ)
        logical = schema.name is not None
        return ResultColumn(
            label=field.label,
            type=NAMES[field.oid],
            target=Target(schema, milliseconds if logical else convert),
            instant=instant,
        )

    def _instant(self, value: int) -> int:
        return self._settings.instant(_finite(value) + _MICROS_TO_2000)

    def _instant_utc(self, value: int) -> int:
        day, within = divmod(_finite(value) + _MICROS_TO_2000, DAY)
        return self._settings.counted(day) * DAY + within

    def _day(self, value: int) -> int:
        if value in _INFINITE_DAYS:
            raise ValueError("infinity is no date")
        return self._settings.counted(value + _DAYS_TO_2000)

    def _time_of_day(self, value: int) -> int:
        if self._settings.zone.is_utc:
            return value // 1_000  # 24:00 is a time of its own
        return self._settings.zone.instant(value) % DAY // 1_000


def _decoded(value: Any) -> str:
    """The driver brings text of types it does not know as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _char(value: Any) -> str:
    """An empty "char" is a zero byte."""
    return _decoded(value).rstrip("\0")


def _finite(value: int) -> int:
    if value in (_INFINITY, _MINUS_INFINITY):
        raise ValueError("infinity has no such form; timestamp.granularity=connect_logical has one")
    return value


def _time_of_day_utc(value: bytes) -> int:
    micros, west = struct.unpack("!qi", value)
    return (micros + west * 1_000_000) % DAY // 1_000 if west else int(micros) // 1_000


def _bits(width: int, optional: bool) -> Target:
    """bit(1) is a boolean; up to 8 bits are their value, more the digits, as bytes."""
    if width == 1:
        return Target(primitive(Type.BOOLEAN, optional=optional), lambda raw: raw[4] >= 0x80)
    if width <= 8:
        return Target(primitive(Type.INT16, optional=optional), lambda raw: raw[4] >> 8 - width)
    return Target(primitive(Type.BYTES, optional=optional), _digits)


def _digits(raw: bytes) -> bytes:
    (width,) = struct.unpack_from("!i", raw)
    return bin(int.from_bytes(b"\x01" + raw[4:], "big"))[3 : 3 + width].encode()


def is_exact_integer(oid: int, modifier: int) -> bool:
    """Whether a column of this type can count rows: whole numbers only."""
    if oid == NUMERIC:
        return modifier >= 0 and (modifier - 4 & 0x7FF) == 0
    return oid in (INT2, INT4, INT8, OID)
