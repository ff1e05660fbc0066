"""From SQL types to Connect's, where the configuration has a say: numbers and timestamps (spec/jdbc.md 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from typing import Any, Final, NamedTuple

from syncline.connectors.jdbc.moments import DAY, Calendar, Zone, iso_datetime, legacy_day
from syncline.data import Schema, Type, decimal_schema, primitive, timestamp_schema

Convert = Callable[[Any], Any]
"""From a driver's value, never None, to the value Connect's schema wants; raises ValueError."""


class NumericMapping(StrEnum):
    """What becomes of exact numbers (`numeric.mapping`)."""

    NONE = "none"
    PRECISION_ONLY = "precision_only"
    BEST_FIT = "best_fit"
    BEST_FIT_EAGER_DOUBLE = "best_fit_eager_double"


class Granularity(StrEnum):
    """How a timestamp is written (`timestamp.granularity`)."""

    CONNECT_LOGICAL = "connect_logical"
    MICROS_LONG = "micros_long"
    MICROS_STRING = "micros_string"
    MICROS_ISO_DATETIME_STRING = "micros_iso_datetime_string"
    NANOS_LONG = "nanos_long"
    NANOS_STRING = "nanos_string"
    NANOS_ISO_DATETIME_STRING = "nanos_iso_datetime_string"


class Target(NamedTuple):
    """What a column becomes: its schema, and how to get there when the driver's value is not it yet."""

    schema: Schema
    convert: Convert | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeSettings:
    """The options that decide about types."""

    numeric_mapping: NumericMapping
    granularity: Granularity
    zone: Zone
    calendar: Calendar

    @property
    def is_plain(self) -> bool:
        """A wall clock is the instant itself, and milliseconds are wanted: the fast case."""
        return self.zone.is_utc and self.granularity is Granularity.CONNECT_LOGICAL

    def counted(self, day: int) -> int:
        """The days since the epoch of a date read from the database, in the configured calendar."""
        return legacy_day(day) if self.calendar is Calendar.LEGACY else day

    def instant(self, wall: int) -> int:
        """The instant of a wall clock read from the database, in the configured calendar and zone."""
        day, within = divmod(wall, DAY)
        return self.zone.instant(self.counted(day) * DAY + within)

    def timestamp(self, *, optional: bool) -> Target:
        """Of a TIMESTAMP column; converts instants."""
        if self.granularity is Granularity.CONNECT_LOGICAL:
            return Target(timestamp_schema(optional=optional), milliseconds)
        kind, convert = _GRANULARITIES[self.granularity]
        if kind is Type.STRING and convert is None:
            digits = 6 if self.granularity is Granularity.MICROS_ISO_DATETIME_STRING else 9
            zone = self.zone
            return Target(primitive(kind, optional=optional), lambda instant: iso_datetime(zone.wall(instant), digits))
        return Target(primitive(kind, optional=optional), convert)

    def numeric(self, precision: int, scale: int, *, optional: bool) -> Target:
        """Of a NUMERIC column with a declared precision; converts Decimals of that scale."""
        mapping = self.numeric_mapping
        if mapping is not NumericMapping.NONE:
            whole = scale == 0 if mapping is NumericMapping.PRECISION_ONLY else -84 <= scale <= 0
            if whole and precision <= 18:
                return Target(primitive(_integer_of(precision), optional=optional), int)
            if (mapping is NumericMapping.BEST_FIT_EAGER_DOUBLE and scale > 0) or (
                mapping is NumericMapping.BEST_FIT and scale > 0 and precision <= 18
            ):
                return Target(primitive(Type.FLOAT64, optional=optional), float)
        schema, convert = decimal(precision, scale, optional=optional)
        if scale < 0:
            # Databases bring such a number in full; Connect wants it in hundreds, thousands and so on.
            return Target(schema, lambda value: rescale(value, scale))
        return Target(schema, convert)

    def numeric_of_any_scale(self, *, optional: bool) -> Target:
        """Of a NUMERIC column without precision: a Decimal padded to the scale JDBC drivers report, 127.

        A mapping to integers cannot know that they fit; the mappings that know doubles take those.
        """
        if self.numeric_mapping in (NumericMapping.BEST_FIT, NumericMapping.BEST_FIT_EAGER_DOUBLE):
            return Target(primitive(Type.FLOAT64, optional=optional), float)
        schema = decimal(0, UNSPECIFIED_SCALE, optional=optional).schema
        return Target(schema, lambda value: rescale(value, UNSPECIFIED_SCALE))


UNSPECIFIED_SCALE: Final = 127


def decimal(precision: int, scale: int, *, optional: bool) -> Target:
    """A Decimal with its precision as the parameter Confluent's connector adds."""
    parameters: dict[str, Any] = {"connect.decimal.precision": precision}
    return Target(decimal_schema(scale, optional=optional, **parameters), finite)


def finite(value: Decimal) -> Decimal:
    """`value`, unless it is NaN or infinite, which Connect's Decimal cannot hold."""
    if not value.is_finite():
        raise ValueError(f"{value} is no number")
    return value


# Padding may need any number of digits but must not round one away.
_PADDING: Final = Context(prec=1_000_000, traps=[Inexact, InvalidOperation])


def rescale(value: Decimal, scale: int) -> Decimal:
    """`value` with exactly `scale` digits after the point; ValueError when digits would be lost."""
    try:
        return finite(value).quantize(Decimal(1).scaleb(-scale), context=_PADDING)
    except (Inexact, InvalidOperation):
        raise ValueError(f"{value} has more than {scale} digits after the point") from None


def milliseconds(instant: int) -> int:
    """Microseconds to milliseconds, downwards, so that an instant before 1970 stays in its second."""
    return instant // 1_000


def bits(kind: Type) -> Convert:
    """Refuses integers that `kind` cannot hold, where a column's SQL type may hold more."""
    low, high = _RANGES[kind]

    def check(value: int) -> int:
        if low <= value <= high:
            return value
        raise ValueError(f"{value} does not fit {kind}")

    return check


def _integer_of(precision: int) -> Type:
    if precision <= 2:
        return Type.INT8
    if precision <= 4:
        return Type.INT16
    return Type.INT32 if precision <= 9 else Type.INT64


def _nanos(instant: int) -> Any:
    return _int64(instant * 1_000)


_RANGES: Final = {
    Type.INT8: (-(1 << 7), (1 << 7) - 1),
    Type.INT16: (-(1 << 15), (1 << 15) - 1),
    Type.INT32: (-(1 << 31), (1 << 31) - 1),
    Type.INT64: (-(1 << 63), (1 << 63) - 1),
}
_int64: Final = bits(Type.INT64)

_GRANULARITIES: Final[dict[Granularity, tuple[Type, Convert | None]]] = {
    Granularity.MICROS_LONG: (Type.INT64, _int64),
    Granularity.MICROS_STRING: (Type.STRING, str),
    Granularity.MICROS_ISO_DATETIME_STRING: (Type.STRING, None),
    Granularity.NANOS_LONG: (Type.INT64, _nanos),
    Granularity.NANOS_STRING: (Type.STRING, lambda instant: str(instant * 1_000)),
    Granularity.NANOS_ISO_DATETIME_STRING: (Type.STRING, None),
}
