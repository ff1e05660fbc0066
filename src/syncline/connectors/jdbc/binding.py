"""From Connect values to what a database is given (spec/jdbc.md 2.7): decided per column, applied per list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from syncline.connectors.jdbc.bound import BindAs, Bound, bind_kind
from syncline.connectors.jdbc.dialect import KEY_LENGTH, Dialect
from syncline.connectors.jdbc.fields import FieldColumn, Part
from syncline.connectors.jdbc.moments import DAY, SECOND, Zone, date_of, hybrid_day, legacy_day, sql_datetime, zone_of
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.connectors.jdbc.tables import Column
from syncline.data import DATE, TIME, Type
from syncline.data.logical import DAY_MS
from syncline.errors import ConnectError, DataError

Bind = Callable[[Sequence[Any]], Bound]
"""From a column's values to the column bound; DataError when one of them cannot be written."""

TOPIC_LENGTH: Final = 249
"""Of a topic's name, at most."""
_UTC: Final = zone_of("UTC")
_REMEMBERED: Final = 4096
"""Values of one batch share their seconds and days; the text of each is made once."""


class NotANumber(DataError):
    """Text that should be digits."""

    java_class = "java.lang.NumberFormatException"


class Binder:
    """Binds columns as one sink configuration and one dialect want them."""

    def __init__(self, config: SinkConfig, dialect: Dialect) -> None:
        self._dialect = dialect
        self._zone = zone_of(config.timezone)
        self._date_zone = _UTC if config.date_timezone.upper() == "UTC" else self._zone
        self._legacy = config.calendar == "LEGACY"
        self._integers = dialect.capabilities.moments_as_integers
        self._replace_null = config.replace_null
        self._epoch_fields = frozenset(config.timestamp_fields)
        self._nanos = config.timestamp_precision.upper() == "NANOSECONDS"

    # -- definitions --------------------------------------------------------------------------

    def column_type(self, column: FieldColumn) -> str:
        """The type of a new column; ConnectError when there is none."""
        if self._is_epoch(column):
            return self._dialect.capabilities.epoch_type
        longest = TOPIC_LENGTH if column.part is Part.TOPIC else KEY_LENGTH
        try:
            return self._dialect.column_type(column.schema, key=column.key, longest=longest)
        except LookupError:
            raise ConnectError(
                f"{column.schema.name or column.name} ({column.schema.type}) type doesn't have a mapping to the SQL "
                "database column type"
            ) from None

    def default_literal(self, column: FieldColumn) -> str | None:
        """The column's default as SQL writes it; None without one."""
        default = column.schema.default
        if default is None:
            return None
        if not self._is_epoch(column) and bind_kind(column.schema) is not BindAs.MOMENT:
            return self._dialect.literal(column.schema, default)
        # Text, also where rows hold integers: that is what the Java connector declares.
        (text,) = self._texts(column, self._zone)([default])
        return f"'{text}'"

    # -- values -------------------------------------------------------------------------------

    def bind(self, column: FieldColumn, target: Column) -> Bind:
        """How values of the field become those of the column; ConnectError for a type no column takes."""
        convert = self._conversion(column, target)
        kind = BindAs.MOMENT if self._is_epoch(column) else self._kind(column)
        default = column.schema.default if self._replace_null and not column.key else None

        def bound(values: Sequence[Any]) -> Bound:
            if default is not None and None in values:
                values = [default if value is None else value for value in values]
            return Bound(kind, values if convert is None else convert(values))

        return bound

    def _kind(self, column: FieldColumn) -> BindAs:
        schema = column.schema
        try:
            kind = bind_kind(schema)
        except LookupError:
            raise _unsupported(column) from None
        if kind is BindAs.ARRAY:
            inner = schema.value_schema
            simple = inner is not None and inner.name is None and inner.type not in _NOT_IN_ARRAYS
            if not self._dialect.capabilities.arrays or not simple:
                raise _unsupported(column)
        return kind

    def _is_epoch(self, column: FieldColumn) -> bool:
        """Whether the column is listed in `timestamp.fields.list`."""
        return column.name in self._epoch_fields and column.schema.type in (Type.INT64, Type.STRING)

    def _conversion(self, column: FieldColumn, target: Column) -> Callable[[Sequence[Any]], list[Any]] | None:
        if self._is_epoch(column):
            return self._integers_of_epochs(column) if self._integers else self._texts(column, self._zone_of(target))
        if self._kind(column) is not BindAs.MOMENT:
            return None
        if not self._integers:
            return self._texts(column, self._zone_of(target))
        if column.schema.name == DATE:
            # The JDBC driver stores the instant at which that day begins for java.util.Date and its hybrid calendar.
            counted = legacy_day if not self._legacy else int
            return lambda values: [None if day is None else counted(day) * DAY_MS for day in values]
        return None

    def _zone_of(self, target: Column) -> Zone:
        # A column of instants takes them as such; only a column of wall clocks depends on whose clock it is.
        return _UTC if target.instant else self._zone

    # -- dates and times as text --------------------------------------------------------------

    def _texts(self, column: FieldColumn, zone: Zone) -> Callable[[Sequence[Any]], list[Any]]:
        """From dates and times to SQL's text for them."""
        if self._is_epoch(column):
            return self._texts_of_epochs(column, zone)
        if column.schema.name == DATE:
            return _each(column, self._date_text())
        return _each(column, self._time_text(zone) if column.schema.name == TIME else self._timestamp_text(zone))

    def _date_text(self) -> Callable[[int], str]:
        zone, adjust = self._date_zone, self._calendar

        @lru_cache(_REMEMBERED)
        def text(day: int) -> str:
            year, month, of_month = date_of(adjust(zone.wall(day * DAY)) // DAY)
            if not 1 <= year <= 9999:
                raise ValueError(f"the year {year} cannot be written")
            return f"{year:04d}-{month:02d}-{of_month:02d}"

        return text

    def _time_text(self, zone: Zone) -> Callable[[int], str]:
        @lru_cache(_REMEMBERED)
        def second(seconds: int) -> str:
            wall = zone.wall(seconds * SECOND) // SECOND % (DAY // SECOND)
            return f"{wall // 3600:02d}:{wall // 60 % 60:02d}:{wall % 60:02d}"

        return lambda milliseconds: f"{second(milliseconds // 1000)}.{milliseconds % 1000:03d}"

    def _timestamp_text(self, zone: Zone) -> Callable[[int], str]:
        second = self._second_text(zone)
        return lambda milliseconds: f"{second(milliseconds // 1000)}.{milliseconds % 1000:03d}"

    def _second_text(self, zone: Zone) -> Callable[[int], str]:
        adjust = self._calendar

        @lru_cache(_REMEMBERED)
        def second(seconds: int) -> str:
            return sql_datetime(adjust(zone.wall(seconds * SECOND)), 0)

        return second

    def _calendar(self, wall: int) -> int:
        """A wall clock as the configured calendar reads its date."""
        if not self._legacy:
            return wall
        day, within = divmod(wall, DAY)
        return hybrid_day(day) * DAY + within

    # -- timestamp.fields.list ----------------------------------------------------------------

    def _epochs(self, column: FieldColumn, values: Sequence[Any]) -> list[int | None]:
        """Microseconds since the epoch."""
        unit = 1000 if self._nanos else 1
        found: list[int | None] = []
        for value in values:
            try:
                found.append(None if value is None else int(value) // unit)
            except ValueError as exc:
                raise NotANumber(f"field {column.name} of timestamp.fields.list holds text that is no number") from exc
        return found

    def _integers_of_epochs(self, column: FieldColumn) -> Callable[[Sequence[Any]], list[Any]]:
        return lambda values: [None if m is None else m // 1000 for m in self._epochs(column, values)]

    def _texts_of_epochs(self, column: FieldColumn, zone: Zone) -> Callable[[Sequence[Any]], list[Any]]:
        second = self._second_text(zone)
        text = _each(column, lambda micros: f"{second(micros // SECOND)}.{micros % SECOND:06d}")
        return lambda values: text(self._epochs(column, values))


_NOT_IN_ARRAYS: Final = frozenset({Type.ARRAY, Type.MAP, Type.STRUCT, Type.BYTES})


def _unsupported(column: FieldColumn) -> ConnectError:
    return ConnectError(f"Unsupported source data type: {column.schema.type} of field {column.name}")


def _each(column: FieldColumn, text: Callable[[int], str]) -> Callable[[Sequence[Any]], list[Any]]:
    def convert(values: Sequence[Any]) -> list[Any]:
        try:
            return [None if value is None else text(value) for value in values]
        except ValueError as exc:
            raise DataError(f"field {column.name}: {exc}") from exc

    return convert
