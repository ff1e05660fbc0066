"""Numbers, dates and structs as Java prints and packs them."""

from __future__ import annotations

import math
import struct as packing
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.data import Schema, Type, array, date_schema, decimal_schema, primitive, struct, time_schema
from syncline.data.logical import EXACT, decimal_from_bytes, decimal_to_bytes
from syncline.data.numbers import java_decimal, java_double, to_float32
from syncline.data.values import civil_date, java_text
from syncline.errors import DataError


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (100.0, "100.0"),
        (0.001, "0.001"),
        (0.0009, "9.0E-4"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (12345678.9, "1.23456789E7"),
        (1e22, "1.0E22"),
        (5e-324, "4.9E-324"),
        (2e-323, "2.0E-323"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
    ],
)
def test_a_double_as_java_prints_it(number: float, text: str) -> None:
    assert java_double(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (0.10000000149011612, "0.1"),
        (16777216.0, "1.6777216E7"),
        (3.4028234663852886e38, "3.4028235E38"),
        (1.4e-45, "1.4E-45"),
        (1e10, "1.0E10"),
        (math.inf, "Infinity"),
    ],
)
def test_a_float_as_java_prints_it(number: float, text: str) -> None:
    assert java_double(number, single=True) == text


@given(st.floats(allow_nan=False))
def test_a_printed_double_is_the_same_number(number: float) -> None:
    assert float(java_double(number).replace("Infinity", "inf")) == number


@given(st.floats(width=32, allow_nan=False))
def test_a_printed_float_is_the_same_number_in_nine_digits_at_most(number: float) -> None:
    text = java_double(number, single=True)
    assert to_float32(float(text.replace("Infinity", "inf"))) == number
    if math.isfinite(number):
        assert len(Decimal(text).normalize().as_tuple().digits) <= 9


@given(st.floats())
def test_four_bytes_hold_the_nearest_number_or_infinity(number: float) -> None:
    found = to_float32(number)
    if not math.isnan(number) and math.isfinite(found):
        assert packing.unpack(">f", packing.pack(">f", number))[0] == found
    assert math.isnan(found) is math.isnan(number)


@pytest.mark.parametrize(
    ("number", "text"),
    [("1.50", "1.50"), ("1E+2", "1E+2"), ("1E-10", "1E-10"), ("0.000001", "0.000001"), ("-0.00", "0.00"), ("-5", "-5")],
)
def test_a_decimal_as_java_prints_it(number: str, text: str) -> None:
    assert java_decimal(Decimal(number)) == text


@given(st.integers(-(10**60), 10**60), st.integers(-70, 70))
def test_a_decimal_and_its_shortest_bytes(unscaled: int, scale: int) -> None:
    number = EXACT.scaleb(Decimal(unscaled), -scale)
    packed = decimal_to_bytes(number, scale)
    assert int.from_bytes(packed, "big", signed=True) == unscaled
    assert decimal_from_bytes(packed, scale).as_tuple() == number.as_tuple()
    if len(packed) > 1:
        with pytest.raises(OverflowError):
            unscaled.to_bytes(len(packed) - 1, "big", signed=True)


@pytest.mark.parametrize(
    ("number", "problem"), [("1.5", "scale 1"), ("15", "scale 0"), ("NaN", "not a number"), ("sNaN", "not a number")]
)
def test_a_decimal_of_another_scale_has_no_bytes(number: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        decimal_to_bytes(Decimal(number), 2)


def test_no_bytes_are_no_decimal() -> None:
    with pytest.raises(DataError, match="Zero length"):
        decimal_from_bytes(b"", 2)


@given(st.dates())
def test_the_calendar_is_pythons_where_python_has_one(day: date) -> None:
    assert civil_date((day - date(1970, 1, 1)).days) == (day.year, day.month, day.day)


def test_the_calendar_goes_on_where_pythons_ends() -> None:
    assert civil_date((date.max - date(1970, 1, 1)).days + 1) == (10_000, 1, 1)
    assert civil_date((date.min - timedelta(0) - date(1970, 1, 1)).days - 1) == (0, 12, 31)


INNER = struct([("n", primitive(Type.INT32, optional=True)), ("day", date_schema())])


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        (None, None, "null"),
        (INNER, INNER.build({"day": 0}), "Struct{day=Thu Jan 01 00:00:00 UTC 1970}"),
        (array(INNER), [INNER.build({"n": 1, "day": -1})], "[Struct{n=1,day=Wed Dec 31 00:00:00 UTC 1969}]"),
        (time_schema(), 3_723_004, "Thu Jan 01 01:02:03 UTC 1970"),
        (decimal_schema(2), Decimal("1.50"), "1.50"),
        (None, {"a": [1, None]}, "{a=[1, null]}"),
    ],
    ids=repr,
)
def test_a_value_as_javas_to_string_prints_it(schema: Schema | None, value: Any, text: str) -> None:
    assert java_text(schema, value) == text
