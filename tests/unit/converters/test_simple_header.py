"""SimpleHeaderConverter: what text means, and the text of a value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.converters.simple_header import SimpleHeaderConverter
from syncline.data import Schema, Type, array, date_schema, decimal_schema, primitive, time_schema, timestamp_schema
from syncline.data.literals import text_of, value_of
from syncline.errors import DataError
from tests.golden.neutral import neutral_of
from tests.unit.converters.strategies import TEXTS


def of(kind: Type) -> Schema:
    return primitive(kind)


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("0.30000000000000004", of(Type.FLOAT64), 0.30000000000000004),
        ("16777217.5", of(Type.FLOAT64), 16777217.5),
        ("1e-400", decimal_schema(400), Decimal("1E-400")),
        ("1.0000000000000000000001", decimal_schema(22), Decimal("1.0000000000000000000001")),
        ("100000000000000000000", decimal_schema(0), Decimal(10**20)),
        ("-.5", of(Type.FLOAT32), -0.5),
        ("2024-02-29", date_schema(), 19782),
        ("1960-05-05", date_schema(), -3528),
        ("23:59:59.999Z", time_schema(), 86_399_999),
        ("1969-12-31T23:59:59.999Z", timestamp_schema(), -1),
        ("[2024-01-02]", array(date_schema()), [19724]),
        ("[16777217,1.5]", array(of(Type.FLOAT64)), [16777217.0, 1.5]),
        ("[0.1,16777217.5]", array(of(Type.FLOAT64)), [0.1, 16777217.5]),
        ('["a",0.1,[0.1]]', array(None), ["a", 0.1, [0.1]]),
        ("[[70000],[1]]", array(array(of(Type.INT32))), [[70000], [1]]),
        ('["a\\"b\\\\"]', array(of(Type.STRING)), ['a"b\\']),
    ],
)
def test_text_of_one_value(text: str, schema: Schema, value: Any) -> None:
    assert value_of(text) == (schema, value)


@pytest.mark.parametrize(
    "text",
    [
        "2024-13-01", "2024-02-30", "24:00:00.000Z", "23:60:00.000Z", "0000-01-01", "12:34:56Z", "[1] x", "1]", "1,5",
        "1:2", '{"a":1}{"b":2}', "[1,null]", "{null:1}", "{[1]:2}", "{a:1}", "[,]", "[1", "１", "1_000", "0x10", "NaN",
        "[" * 100_000, '"quoted"', "", " ", "[1 2]", '["a" "b"]', '{"a"}', "[1,2024-01-02]",
        '["a",[12:34:56.789Z]]', '["a",[1,null]]', '{"a":1,"a":2}', '{1:1,true:2}',
    ],
)  # fmt: skip
def test_any_other_text_stays_what_it_is(text: str) -> None:
    assert value_of(text) == (of(Type.STRING), text)


def test_bytes_that_are_no_text_stay_bytes() -> None:
    assert SimpleHeaderConverter().to_connect_header("t", "h", b"\xff\x00") == (of(Type.BYTES), b"\xff\x00")


def test_what_has_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="a header cannot hold a object"):
        SimpleHeaderConverter().from_connect_header("t", "h", None, object())


SPELT = st.recursive(
    st.one_of(
        st.integers(-(10**20), 10**20).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.sampled_from(["true", "false", "null", "2024-01-02", "12:34:56.789Z", "2024-01-02T03:04:05.678Z"]),
        TEXTS.map(lambda text: text_of(None, text, quoted=True)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{' , '.join(parts)}]"),
        st.lists(st.tuples(TEXTS, inner), max_size=3).map(
            lambda pairs: f"{{{','.join(f'{text_of(None, key, quoted=True)} : {held}' for key, held in pairs)}}}"
        ),
    ),
    max_leaves=6,
)


@given(SPELT | TEXTS)
def test_what_was_read_is_written_in_a_form_that_is_read_the_same(text: str) -> None:
    converter = SimpleHeaderConverter()
    found = converter.to_connect_header("t", "h", text.encode())
    written = converter.from_connect_header("t", "h", *found)
    again = converter.to_connect_header("t", "h", written)
    assert neutral_of(again.value, again.schema) == neutral_of(found.value, found.schema)
    if found.schema is not None and found.schema.type is Type.STRING:
        assert found.value == text


@given(st.dates().map(lambda day: day.toordinal() - 719_163))
def test_no_date_is_lost(days: int) -> None:
    assert value_of(text_of(date_schema(), days)) == (date_schema(), days)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_no_moment_is_lost(milliseconds: int) -> None:
    found = value_of(text_of(timestamp_schema(), milliseconds))
    # A midnight is written as a date alone, as Java does.
    expected = milliseconds // 86_400_000 if found.schema is date_schema() else milliseconds
    assert found.value == expected
    assert found.schema is timestamp_schema() or milliseconds % 86_400_000 == 0
