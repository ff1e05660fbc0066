"""Which Connect type numbers and timestamps become."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from syncline.connectors.jdbc.moments import Calendar, zone_of
from syncline.connectors.jdbc.types import (
    Granularity,
    NumericMapping,
    Target,
    TypeSettings,
    bits,
    rescale,
)
from syncline.data import DECIMAL, TIMESTAMP, Type


def settings(**changes: Any) -> TypeSettings:
    parts: dict[str, Any] = {
        "numeric_mapping": NumericMapping.NONE,
        "granularity": Granularity.CONNECT_LOGICAL,
        "zone": zone_of("UTC"),
        "calendar": Calendar.LEGACY,
    }
    return TypeSettings(**{**parts, **changes})


def kind(target: Target) -> str:
    return target.schema.name or target.schema.type


@pytest.mark.parametrize(
    ("precision", "scale", "none", "precision_only", "best_fit", "eager"),
    [
        (1, 0, DECIMAL, Type.INT8, Type.INT8, Type.INT8),
        (3, 0, DECIMAL, Type.INT16, Type.INT16, Type.INT16),
        (8, 0, DECIMAL, Type.INT32, Type.INT32, Type.INT32),
        (10, 0, DECIMAL, Type.INT64, Type.INT64, Type.INT64),
        (18, 0, DECIMAL, Type.INT64, Type.INT64, Type.INT64),
        (19, 0, DECIMAL, DECIMAL, DECIMAL, DECIMAL),
        (10, 2, DECIMAL, DECIMAL, Type.FLOAT64, Type.FLOAT64),
        (20, 5, DECIMAL, DECIMAL, DECIMAL, Type.FLOAT64),
        (5, -2, DECIMAL, DECIMAL, Type.INT32, Type.INT32),
    ],
)
def test_numeric_mapping(precision: int, scale: int, none: str, precision_only: str, best_fit: str, eager: str) -> None:
    for mapping, wanted in zip(NumericMapping, (none, precision_only, best_fit, eager), strict=True):
        assert kind(settings(numeric_mapping=mapping).numeric(precision, scale, optional=True)) == wanted


def test_a_decimal_carries_its_precision() -> None:
    schema = settings().numeric(5, 2, optional=True).schema
    assert dict(schema.parameters) == {"scale": "2", "connect.decimal.precision": "5"}
    assert list(schema.parameters) == ["scale", "connect.decimal.precision"]


def test_a_negative_scale_counts_in_hundreds() -> None:
    schema, convert = settings().numeric(4, -2, optional=True)
    assert schema.parameters["scale"] == "-2"
    assert convert is not None
    assert str(convert(Decimal("123500"))) == "1.235E+5"
    with pytest.raises(ValueError, match="more than -2 digits"):
        convert(Decimal("123456"))


def test_a_numeric_without_precision_never_becomes_a_small_integer() -> None:
    padded = settings().numeric_of_any_scale(optional=True)
    assert dict(padded.schema.parameters) == {"scale": "127", "connect.decimal.precision": "0"}
    assert padded.convert is not None
    assert padded.convert(Decimal("1.5")).as_tuple().exponent == -127
    only = settings(numeric_mapping=NumericMapping.PRECISION_ONLY).numeric_of_any_scale(optional=True)
    assert kind(only) == DECIMAL
    best = settings(numeric_mapping=NumericMapping.BEST_FIT).numeric_of_any_scale(optional=True)
    assert kind(best) == Type.FLOAT64


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_decimal_that_is_no_number_is_refused(value: str) -> None:
    convert = settings().numeric(5, 2, optional=True).convert
    assert convert is not None
    with pytest.raises(ValueError, match="is no number"):
        convert(Decimal(value))


def test_padding_a_decimal_loses_no_digit() -> None:
    assert rescale(Decimal("5"), 3) == Decimal("5.000")
    assert str(rescale(Decimal("1" * 300), 127)).startswith("1" * 300 + ".")
    with pytest.raises(ValueError, match="more than 1 digits"):
        rescale(Decimal("1.25"), 1)


@pytest.mark.parametrize(
    ("granularity", "written"),
    [
        (Granularity.CONNECT_LOGICAL, -1),
        (Granularity.MICROS_LONG, -1),
        (Granularity.MICROS_STRING, "-1"),
        (Granularity.MICROS_ISO_DATETIME_STRING, "1969-12-31T23:59:59.999999"),
        (Granularity.NANOS_LONG, -1000),
        (Granularity.NANOS_STRING, "-1000"),
        (Granularity.NANOS_ISO_DATETIME_STRING, "1969-12-31T23:59:59.999999000"),
    ],
)
def test_a_microsecond_before_1970_stays_in_its_second(granularity: Granularity, written: Any) -> None:
    target = settings(granularity=granularity).timestamp(optional=True)
    assert target.convert is not None
    assert target.convert(-1) == written
    assert (target.schema.name == TIMESTAMP) is (granularity is Granularity.CONNECT_LOGICAL)


def test_nanoseconds_that_no_long_can_hold_are_refused() -> None:
    convert = settings(granularity=Granularity.NANOS_LONG).timestamp(optional=True).convert
    assert convert is not None
    with pytest.raises(ValueError, match="does not fit INT64"):
        convert(253_402_300_799_000_000)


def test_an_iso_text_shows_the_clock_of_the_configured_zone() -> None:
    berlin = settings(granularity=Granularity.MICROS_ISO_DATETIME_STRING, zone=zone_of("Europe/Berlin"))
    convert = berlin.timestamp(optional=True).convert
    assert convert is not None
    assert convert(0) == "1970-01-01T01:00:00.000000"


def test_only_utc_in_milliseconds_is_the_fast_case() -> None:
    assert settings().is_plain
    assert not settings(zone=zone_of("Europe/Berlin")).is_plain
    assert not settings(granularity=Granularity.MICROS_LONG).is_plain


def test_an_integer_that_does_not_fit_is_named() -> None:
    check = bits(Type.INT16)
    assert check(32_767) == 32_767
    with pytest.raises(ValueError, match="32768 does not fit INT16"):
        check(32_768)
