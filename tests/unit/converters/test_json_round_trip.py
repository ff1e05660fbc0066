"""What JsonConverter has written it reads back, whatever the schema and the value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.converters.json import JsonConverter
from syncline.data import Schema, Type, map_of, primitive, struct
from tests.golden.neutral import neutral_of
from tests.unit.converters.strategies import SCHEMAS, TEXTS, values


def converter(**options: str) -> JsonConverter:
    made = JsonConverter()
    made.configure({name.replace("_", "."): value for name, value in options.items()})
    return made


@st.composite
def schema_and_values(draw: st.DrawFn) -> tuple[Schema, list[Any]]:
    schema = draw(SCHEMAS)
    return schema, draw(st.lists(values(schema), min_size=1, max_size=4))


@given(schema_and_values(), st.sampled_from(["BASE64", "NUMERIC"]), st.sampled_from(["true", "false"]))
def test_a_written_value_is_read_back_with_its_schema(
    given_values: tuple[Schema, list[Any]], decimal_format: str, replace_null: str
) -> None:
    schema, held = given_values
    made = converter(decimal_format=decimal_format, replace_null_with_default=replace_null)
    written = [made.from_connect("t", schema, value) for value in held]
    assert made.from_connect_list("t", schema, held) == written
    for reader in (made, converter(replace_null_with_default=replace_null)):
        found = [reader.to_connect("t", raw) for raw in written]
        assert [each.schema for each in found] == [schema] * len(held)
        expected = [neutral_of(value, schema) for value in held]
        assert [neutral_of(each.value, schema) for each in found] == expected
        in_one_go = reader.to_connect_list("t", written)
        assert [neutral_of(each.value, each.schema) for each in in_one_go] == expected


@given(schema_and_values())
def test_what_is_written_is_json_with_the_two_keys(given_values: tuple[Schema, list[Any]]) -> None:
    schema, held = given_values
    for raw in converter().from_connect_list("t", schema, held):
        assert raw is not None
        assert list(json.loads(raw)) == ["schema", "payload"]


PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), TEXTS, st.floats(allow_nan=False, width=64)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


@given(PLAIN.filter(lambda value: value is not None and "inf" not in repr(value)))
def test_plain_json_is_read_back(value: Any) -> None:
    for made in (converter(schemas_enable="false"), converter()):
        raw = made.from_connect("t", None, value)
        assert repr(made.to_connect("t", raw).value) == repr(value)


def test_a_decimal_keeps_its_trailing_zeros_as_a_number() -> None:
    made = converter(decimal_format="NUMERIC")
    schema = struct([("d", primitive(Type.STRING))])
    assert made.to_connect("t", made.from_connect("t", schema, schema.build({"d": "1.50"}))).value.d == "1.50"


@pytest.mark.parametrize("text", ["😀", "\x1f", 'a\\u001f"', "\\ud83d", "\u2028", "한국어", "\x7f", "\\"])
def test_text_that_java_escapes_in_its_own_way_is_read_back(text: str) -> None:
    made = converter()
    raw = made.from_connect("t", primitive(Type.STRING), text)
    assert made.to_connect("t", raw).value == text


def test_a_map_with_keys_that_are_no_text_is_a_list_of_pairs() -> None:
    made = converter(schemas_enable="false")
    schema = map_of(primitive(Type.INT32), primitive(Type.STRING))
    assert made.from_connect("t", schema, {1: "a"}) == b'[[1,"a"]]'
