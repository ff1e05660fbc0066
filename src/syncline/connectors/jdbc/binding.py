"""From Connect values to what a database is given (spec/jdbc.md 2.7): decided per column, applied per list."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from syncline.connectors.jdbc.dialect import BindAs, Bound, Dialect, bind_kind
from syncline.connectors.jdbc.fields import FieldColumn
from syncline.connectors.jdbc.moments import DAY, SECOND, date_of, legacy_day, sql_datetime, zone_of
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.data import DATE, TIME, Schema, Type
from syncline.data.logical import DAY_MS
from syncline.errors import ConnectError, DataError

Bind = Callable[[list[Any]], list[Any]]

_MILLI: Final = 1_000


class Binder:
    """Binds the columns of one sink configuration for one dialect's storage of moments."""

    def __init__(self, config: SinkConfig, *, integers: bool) -> None:
        self._zone = zone_of(config.timezone)
        self._date_zone = zone_of("UTC") if config.date_timezone == "UTC" else self._zone
        self._legacy = config.calendar == "LEGACY"
        self._integers = integers
        self._replace_null = config.replace_null
        self._epoch_fields = frozenset(config.timestamp_fields)
        self._nanos = config.timestamp_precision.upper() == "NANOSECONDS"

    def is_epoch(self, column: FieldColumn) -> bool:
        """Whether the column is listed in `timestamp.fields.list`."""
        return column.name in self._epoch_fields and column.schema.type in (Type.INT64, Type.STRING)

    def column_type(self, dialect: Dialect, column: FieldColumn) -> str:
        """The type of a new column; LookupError when there is none."""
        if self.is_epoch(column):
            return dialect.epoch_type
        return dialect.column_type(column.schema, key=column.key)

    def default_literal(self, dialect: Dialect, column: FieldColumn) -> str | None:
        """The column's default as SQL writes it; None without one."""
        default = column.schema.default
        if default is None:
            return None
        if bind_kind(column.schema) is BindAs.MOMENT:
            (bound,) = self._moments(column.schema)([default])
            return str(bound) if self._integers else f"'{bound}'"
        return dialect.literal(column.schema, default)

    def bind(self, column: FieldColumn, name: str, values: list[Any], cast: str = "") -> Bound:
        """A column of rows; ConnectError for a type no database takes."""
        schema = column.schema
        if self._replace_null and not column.key and schema.default is not None and None in values:
            values = [schema.default if value is None else value for value in values]
        if self.is_epoch(column):
            return Bound(name, BindAs.MOMENT, self._epoch(column.name, values), cast)
        try:
            kind = bind_kind(schema)
        except LookupError:
            raise ConnectError(f"Unsupported source data type: {schema.type} of field {column.name}") from None
        if kind is BindAs.MOMENT:
            values = self._moments(schema)(values)
        elif schema.type is Type.STRING and any(value is not None and "\0" in value for value in values):
            # PostgreSQL and C strings end there; what is written would be cut without a word.
            raise DataError(f"field {column.name} holds a NUL character, which databases cannot store in text")
        return Bound(name, kind, values, cast)

    def _moments(self, schema: Schema) -> Bind:
        if schema.name == DATE:
            return _each(self._date)
        if schema.name == TIME:
            return _each(self._time)
        if not self._integers and self._zone.is_utc:
            return _each(_utc_text if not self._legacy else self._timestamp)
        return _each(self._timestamp)

    def _date(self, day: int) -> Any:
        if self._integers:
            return day * DAY_MS
        shifted = self._date_zone.wall(day * DAY)
        return sql_date(legacy_wall(shifted) if self._legacy else shifted)

    def _time(self, milliseconds: int) -> Any:
        if self._integers:
            return milliseconds
        wall = self._zone.wall(milliseconds * _MILLI) % DAY
        seconds, micros = divmod(wall, SECOND)
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micros // 1000:03d}"

    def _timestamp(self, milliseconds: int) -> Any:
        if self._integers:
            return milliseconds
        if self._zone.is_utc and milliseconds >= 0:
            return _utc_text(milliseconds)
        return self._wall_text(milliseconds * _MILLI, 3)

    def _wall_text(self, instant: int, digits: int) -> str:
        wall = self._zone.wall(instant)
        try:
            return sql_datetime(legacy_wall(wall) if self._legacy else wall, digits)
        except ValueError as exc:
            raise DataError(f"a timestamp cannot be written: {exc}") from exc

    def _epoch(self, name: str, values: list[Any]) -> list[Any]:
        bound: list[Any] = []
        for value in values:
            if value is None:
                bound.append(None)
                continue
            try:
                number = int(value)
            except ValueError as exc:
                raise NotANumber(f"field {name} of timestamp.fields.list holds {value!r}, which is no number") from exc
            micros = number // 1000 if self._nanos else number
            bound.append(micros // 1000 if self._integers else self._wall_text(micros, 6))
        return bound


def legacy_wall(wall: int) -> int:
    """A wall clock as Java's hybrid calendar counts its date."""
    day, within = divmod(wall, DAY)
    return legacy_day(day) * DAY + within


class NotANumber(DataError):
    """Text that should be digits."""

    java_class = "java.lang.NumberFormatException"


def _each(convert: Callable[[int], Any]) -> Bind:
    return lambda values: [None if value is None else convert(value) for value in values]


@lru_cache(maxsize=4096)
def _seconds_text(seconds: int) -> str:
    return sql_datetime(seconds * SECOND, 0)


def _utc_text(milliseconds: int) -> str:
    # Timestamps of one batch share their seconds; the text of each is made once.
    try:
        return f"{_seconds_text(milliseconds // 1000)}.{milliseconds % 1000:03d}"
    except ValueError as exc:
        raise DataError(f"a timestamp cannot be written: {exc}") from exc


def sql_date(wall: int) -> str:
    """`yyyy-MM-dd` of a wall clock; DataError outside the years 1 to 9999."""
    year, month, day = date_of(wall // DAY)
    if not 1 <= year <= 9999:
        raise DataError(f"a date of the year {year} cannot be written")
    return f"{year:04d}-{month:02d}-{day:02d}"
