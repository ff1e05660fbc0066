"""Columns of SQLite results: types by declaration, and by the values where a declaration says nothing.

SQLite stores any value in any column. A column whose values are not of its declared type, or that has
none, is as wide as its values; values of several kinds, text beside numbers say, are an error that names
the column, never a silent conversion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, NamedTuple

from syncline.connectors.jdbc.moments import DAY
from syncline.connectors.jdbc.reading import ResultColumn, Row
from syncline.connectors.jdbc.types import Target, TypeSettings, bits, rescale
from syncline.data import Type, date_schema, primitive
from syncline.errors import DataError

_EPOCH: Final = datetime(1970, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY_MS: Final = DAY // 1_000


class Field(NamedTuple):
    """A column as SQLite describes it."""

    label: str
    declared: str
    """Its declared type in upper case; empty for an expression."""
    not_null: bool


class Family(StrEnum):
    """What a declared type is about."""

    INTEGER = "integer"
    REAL = "real"
    TEXT = "text"
    BYTES = "bytes"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    NUMERIC = "numeric"
    ANY = "any"


_EXACT: Final = {
    "BIT": Family.INTEGER,
    "BOOLEAN": Family.BOOLEAN,
    "BOOL": Family.BOOLEAN,
    "DATE": Family.DATE,
    "DATETIME": Family.TIMESTAMP,
}
_CONTAINED: Final = (
    ("TIMESTAMP", Family.TIMESTAMP),
    ("INT", Family.INTEGER),
    ("CHAR", Family.TEXT),
    ("CLOB", Family.TEXT),
    ("TEXT", Family.TEXT),
    ("BLOB", Family.BYTES),
    ("REAL", Family.REAL),
    ("FLOA", Family.REAL),
    ("DOUB", Family.REAL),
)
_INTEGERS: Final = {"TINYINT": Type.INT16, "SMALLINT": Type.INT32, "INT2": Type.INT32, "INTEGER": Type.INT32}
"""As the JDBC driver has them; INTEGER as long as its values fit. Others are INT64."""

_NUMERIC: Final = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\)")
_TRUTHS: Final = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

_Kinds = frozenset[type]
_ACCEPTED: Final[dict[Family, _Kinds]] = {
    Family.INTEGER: frozenset({int}),
    Family.REAL: frozenset({int, float}),
    Family.TEXT: frozenset({str}),
    Family.BYTES: frozenset({bytes, str}),
    Family.BOOLEAN: frozenset({int, str}),
    Family.DATE: frozenset({int, str}),
    Family.TIMESTAMP: frozenset({int, str}),
    Family.NUMERIC: frozenset({int, float, str}),
    Family.ANY: frozenset(),
}
_INT32: Final = 1 << 31


def family_of(declared: str) -> Family:
    """What a declared type (upper case) is about, by SQLite's own rules and the names other databases use."""
    name = declared.partition("(")[0].strip()
    if name in _EXACT:
        return _EXACT[name]
    for part, family in _CONTAINED:
        if part in name:
            return family
    return Family.NUMERIC if _NUMERIC.fullmatch(declared) else Family.ANY


class Columns:
    """Makes result columns, and remembers how wide columns had to be, so that a schema only widens."""

    def __init__(self, settings: TypeSettings) -> None:
        self._settings = settings
        self._seen: dict[tuple[str, Field], _Kinds] = {}
        self._long: set[tuple[str, Field]] = set()
        self._made: dict[tuple[Any, ...], list[ResultColumn]] = {}

    def columns(self, key: str, fields: Sequence[Field], rows: Sequence[Row]) -> list[ResultColumn]:
        """What the columns of the table or query `key` are, given these rows and all before."""
        decisions = tuple(self._decide(key, field, [row[index] for row in rows]) for index, field in enumerate(fields))
        identity = (key, tuple(fields), decisions)
        made = self._made.get(identity)
        if made is None:
            made = self._made[identity] = [
                self._column(field, family, kinds, long)
                for field, (family, kinds, long) in zip(fields, decisions, strict=True)
            ]
        return made

    def instant(self, value: Any) -> int:
        """Microseconds since the epoch of a timestamp: ISO text in the configured zone, or milliseconds."""
        if isinstance(value, int):
            return value * 1_000
        if not isinstance(value, str):
            raise ValueError("a timestamp is ISO text or milliseconds since 1970")
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is not None:
            offset = moment.utcoffset()
            assert offset is not None
            return (moment.replace(tzinfo=None) - offset - _EPOCH) // _MICROSECOND
        return self._settings.instant((moment - _EPOCH) // _MICROSECOND)

    def _decide(self, key: str, field: Field, values: Iterable[Any]) -> tuple[Family, _Kinds, bool]:
        family = family_of(field.declared)
        place = (key, field)
        if family is Family.INTEGER and field.declared == "INTEGER" and place not in self._long:
            values = list(values)
            if any(isinstance(v, int) and not -_INT32 <= v < _INT32 for v in values):
                self._long.add(place)
        kinds = frozenset(map(type, values)) - {type(None)}
        if kinds <= _ACCEPTED[family] and place not in self._seen:
            return family, frozenset(), place in self._long
        if kinds:
            kinds = self._seen[place] = self._seen.get(place, frozenset()) | kinds
        return Family.ANY, self._seen.get(place, frozenset()), False

    def _column(self, field: Field, family: Family, kinds: _Kinds, long: bool) -> ResultColumn:
        optional = not field.not_null
        instant = None
        if family is Family.TIMESTAMP:
            schema, write = self._settings.timestamp(optional=optional)
            instant = self.instant
            target = Target(schema, _chained(self.instant, write))
        elif family is Family.ANY:
            target = self._by_values(field, kinds, optional)
        else:
            target = self._declared(field, family, optional, long)
        name = field.declared or "undeclared"
        return ResultColumn(label=field.label, type=name, target=target, instant=instant)

    def _declared(self, field: Field, family: Family, optional: bool, long: bool) -> Target:
        match family:
            case Family.INTEGER:
                base = field.declared.partition("(")[0].strip()
                kind = Type.INT64 if long else _INTEGERS.get(base, Type.INT64)
                return Target(primitive(kind, optional=optional), None if base == "INTEGER" else bits(kind))
            case Family.REAL:
                return Target(primitive(Type.FLOAT64, optional=optional), float)
            case Family.TEXT:
                return Target(primitive(Type.STRING, optional=optional))
            case Family.BYTES:
                return Target(primitive(Type.BYTES, optional=optional), _bytes)
            case Family.BOOLEAN:
                return Target(primitive(Type.BOOLEAN, optional=optional), _truth)
            case Family.DATE:
                return Target(date_schema(optional=optional), self._day)
        return self._numeric(field, optional)

    def _numeric(self, field: Field, optional: bool) -> Target:
        found = _NUMERIC.fullmatch(field.declared)
        assert found is not None
        precision, scale = int(found[1]), int(found[2] or 0)
        schema, convert = self._settings.numeric(precision, scale, optional=optional)
        assert convert is not None

        def write(value: Any) -> Any:
            try:
                exact = Decimal(repr(value) if isinstance(value, float) else value)
            except InvalidOperation:
                raise ValueError("no number") from None
            return convert(rescale(exact, scale))

        return Target(schema, write)

    def _by_values(self, field: Field, kinds: _Kinds, optional: bool) -> Target:
        if kinds <= {str}:
            return Target(primitive(Type.STRING, optional=optional))
        if kinds == {int}:
            return Target(primitive(Type.INT64, optional=optional))
        if kinds == {bytes}:
            return Target(primitive(Type.BYTES, optional=optional))
        if kinds <= {int, float}:
            return Target(primitive(Type.FLOAT64, optional=optional), _double)
        found = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise DataError(
            f"Column {field.label} ({field.declared or 'without a type'}) holds values of several kinds: "
            f"{found}. Use a query that casts it to one"
        )

    def _day(self, value: Any) -> int:
        if isinstance(value, int):
            day, within = divmod(value, _DAY_MS)
            if within:
                raise ValueError("a date in milliseconds since 1970 has no time of day")
            return day
        moment = datetime.fromisoformat(value.strip())
        if (moment.hour, moment.minute, moment.second, moment.microsecond) != (0, 0, 0, 0):
            raise ValueError("a date has no time of day")
        return self._settings.counted((moment - _EPOCH).days)


def _chained(first: Callable[[Any], Any], then: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    assert then is not None
    return lambda value: then(first(value))


def _truth(value: Any) -> bool:
    if isinstance(value, int):
        return value != 0
    try:
        return _TRUTHS[value.strip().lower()]
    except KeyError:
        raise ValueError("neither true nor false") from None


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _double(value: Any) -> float:
    exact = float(value)
    if isinstance(value, int) and int(exact) != value:
        raise ValueError("a double cannot hold this integer")
    return exact
