"""Columns of MariaDB and MySQL results: how the protocol describes them, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from syncline.connectors.jdbc.moments import DAY, REFORM_DAY, day_of
from syncline.connectors.jdbc.reading import ResultColumn
from syncline.connectors.jdbc.types import Target, TypeSettings, bits, decimal
from syncline.data import Type, date_schema, primitive, time_schema

# Field types of the client/server protocol.
TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24 = range(1, 10)
DATE, TIME, DATETIME, YEAR, NEWDATE, VARCHAR, BIT = range(10, 17)
JSON, NEWDECIMAL, ENUM, SET, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB, VAR_STRING, STRING, GEOMETRY = range(245, 256)

NAMES: Final = {
    TINY: "TINYINT",
    SHORT: "SMALLINT",
    LONG: "INT",
    FLOAT: "FLOAT",
    DOUBLE: "DOUBLE",
    NULL: "NULL",
    TIMESTAMP: "TIMESTAMP",
    LONGLONG: "BIGINT",
    INT24: "MEDIUMINT",
    DATE: "DATE",
    TIME: "TIME",
    DATETIME: "DATETIME",
    YEAR: "YEAR",
    BIT: "BIT",
    JSON: "JSON",
    NEWDECIMAL: "DECIMAL",
    GEOMETRY: "GEOMETRY",
}

TEXTUAL: Final = {VARCHAR, ENUM, SET, TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB, VAR_STRING, STRING}
"""Text or bytes, by the character set."""

INTEGERS: Final = {
    TINY: (Type.INT8, Type.INT16),
    SHORT: (Type.INT16, Type.INT32),
    INT24: (Type.INT32, Type.INT64),
    LONG: (Type.INT32, Type.INT64),
    LONGLONG: (Type.INT64, Type.INT64),
}
"""Signed and unsigned; the JDBC drivers report MEDIUMINT as INTEGER."""

NOT_NULL_FLAG: Final = 1
UNSIGNED_FLAG: Final = 32
ZEROFILL_FLAG: Final = 64
BINARY_FLAG: Final = 128

_BINARY_CHARSET: Final = 63
_SCALE_UNKNOWN: Final = 31
"""From here on the C driver says 0; the protocol uses 31 for "not fixed" too."""

_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_ORDINAL: Final = _EPOCH.toordinal()
_REFORM_MS: Final = REFORM_DAY * 86_400_000
_MICROSECOND: Final = timedelta(microseconds=1)


class Field(NamedTuple):
    """A column as the protocol describes it."""

    label: str
    type: int
    length: int
    """In bytes."""
    decimals: int
    """Below 31; 0 also where there may be more."""
    flags: int
    binary: bool | None
    """Bytes rather than text; None where the driver does not tell."""


def fields_of(cursor: Any) -> tuple[Field, ...]:
    """The columns of a cursor's result, of either driver."""
    if type(cursor).__module__.startswith("pymysql"):
        return tuple(
            Field(f.name, f.type_code, f.length, _decimals(f.scale), f.flags, f.charsetnr == _BINARY_CHARSET)
            for f in cursor._result.fields
        )
    return tuple(map(_field, cursor.description or ()))


def _field(described: Sequence[Any]) -> Field:
    label, type_, _, internal, precision, decimals, _, flags = described[:8]
    binary = None if type_ in TEXTUAL and flags & BINARY_FLAG else False
    return Field(label, type_, precision if decimals else internal, decimals, flags, binary)


def _decimals(decimals: int) -> int:
    return decimals if decimals < _SCALE_UNKNOWN else 0


class Columns:
    """Makes result columns out of fields."""

    def __init__(self, settings: TypeSettings, *, year_is_date: bool) -> None:
        self._settings = settings
        day = self._day
        self._converted: dict[int, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
            DATE: (date_schema, day),
            NEWDATE: (date_schema, day),
            TIME: (time_schema, self._time_of_day),
        }
        self._plain: dict[int, Type] = {
            FLOAT: Type.FLOAT32,
            DOUBLE: Type.FLOAT64,
            JSON: Type.STRING,
            GEOMETRY: Type.BYTES,
        }
        if year_is_date:
            self._converted[YEAR] = (date_schema, self._year)
        else:
            self._plain[YEAR] = Type.INT32

    def column(self, field: Field, first: Any, binary: bool | None) -> ResultColumn:
        """What `field` becomes.

        `first` is its first value that is not null, or None; `binary` as in Field, as far as it is known.
        """
        optional = not field.flags & NOT_NULL_FLAG
        if field.type in (DATETIME, TIMESTAMP):
            return self._timestamp(field, optional)
        target = self._target(field, first, binary, optional)
        return ResultColumn(label=field.label, type=NAMES.get(field.type, "text"), target=target)

    def _target(self, field: Field, first: Any, binary: bool | None, optional: bool) -> Target | None:
        if field.type in INTEGERS:
            unsigned = bool(field.flags & UNSIGNED_FLAG)
            kind = INTEGERS[field.type][unsigned]
            check = bits(kind) if unsigned and field.type == LONGLONG else None
            return Target(primitive(kind, optional=optional), check)
        if field.type in TEXTUAL:
            is_bytes = isinstance(first, bytes) if binary is None else binary
            return Target(primitive(Type.BYTES if is_bytes else Type.STRING, optional=optional))
        if field.type == NEWDECIMAL:
            return self._decimal(field, first, optional)
        if field.type == BIT:
            if field.length == 1:
                return Target(primitive(Type.INT8, optional=optional), _integer)
            return Target(primitive(Type.BYTES, optional=optional))
        if field.type in self._converted:
            schema, convert = self._converted[field.type]
            return Target(schema(optional=optional), convert)
        if field.type in self._plain:
            return Target(primitive(self._plain[field.type], optional=optional))
        return None

    def _decimal(self, field: Field, first: Any, optional: bool) -> Target:
        # Confluent's connector leaves numeric.mapping without effect here, because the drivers say DECIMAL
        # and not NUMERIC; consumers of such topics expect Decimals.
        scale = field.decimals
        if not scale and isinstance(first, Decimal):
            scale = -int(first.as_tuple().exponent)
        signed = not field.flags & UNSIGNED_FLAG
        return decimal(field.length - (scale > 0) - signed, scale, optional=optional)

    def _timestamp(self, field: Field, optional: bool) -> ResultColumn:
        schema, write = self._settings.timestamp(optional=optional)
        assert write is not None

        def convert(value: Any) -> Any:
            instant = self._instant(value)
            return None if instant is None else write(instant)

        return ResultColumn(
            label=field.label,
            type=NAMES[field.type],
            target=Target(schema, self._milliseconds if self._settings.is_plain else convert),
            instant=self._instant,
        )

    def _milliseconds(self, value: Any) -> Any:
        if isinstance(value, datetime):
            since = value - _EPOCH
            found = since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
            if found >= _REFORM_MS:
                return found
        instant = self._instant(value)
        return None if instant is None else instant // 1_000

    def _instant(self, value: Any) -> Any:
        if not isinstance(value, datetime):
            return None  # a zero date: None from the C driver, its text from PyMySQL
        since = value - _EPOCH
        wall = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        return self._settings.instant(wall)

    def _day(self, value: Any) -> Any:
        if isinstance(value, int):
            return self._settings.counted(value)
        if isinstance(value, date):
            return self._settings.counted(value.toordinal() - _EPOCH_ORDINAL)
        return None

    def _year(self, value: int) -> int:
        return self._settings.counted(day_of(value, 1, 1))

    def _time_of_day(self, value: timedelta) -> int:
        micros = value // _MICROSECOND
        if not 0 <= micros < DAY:
            raise ValueError("a time of day lies between 00:00:00 and 23:59:59.999999")
        return self._settings.zone.instant(micros) % DAY // 1_000


def _integer(value: bytes) -> int:
    return int.from_bytes(value, "big")
