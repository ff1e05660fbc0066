"""Schemas: one object per meaning, and the class of their structs."""

from __future__ import annotations

import pickle
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.data import (
    Schema,
    Type,
    array,
    date_schema,
    decimal_schema,
    map_of,
    primitive,
    struct,
    time_schema,
)
from syncline.data.schema import python_type
from syncline.errors import DataError
from tests.unit.converters.strategies import SCHEMAS


def without_struct_defaults(schema: Schema) -> bool:
    parts = [schema.key_schema, schema.value_schema, *(field.schema for field in schema.fields)]
    return "Struct(" not in repr(schema.default) and all(without_struct_defaults(part) for part in parts if part)


@given(SCHEMAS.filter(without_struct_defaults))
def test_a_schema_that_went_through_pickle_is_the_same_object(schema: Schema) -> None:
    assert pickle.loads(pickle.dumps(schema)) is schema


def test_schemas_that_differ_in_anything_are_different_objects() -> None:
    base = primitive(Type.INT32)
    for other in (
        primitive(Type.INT64),
        base.as_optional(),
        base.replace(default=1),
        base.replace(name="x"),
        base.replace(version=1),
        base.replace(doc="x"),
        base.replace(parameters={"a": "b"}),
    ):
        assert other is not base
    assert primitive(Type.FLOAT64, default=1.0) is not primitive(Type.FLOAT64, default=-0.0)
    assert primitive(Type.INT32) is base


def test_any_text_may_name_a_field() -> None:
    names = ["id", "class", "_private", "a b", "é", "1st", 'a"b', "a\\b", "tab\there", "_0", "_6", "_6?"]
    schema = struct([(name, primitive(Type.INT32)) for name in names])
    value = schema.build({name: index for index, name in enumerate(names)})
    assert [getattr(value, field.attribute) for field in schema.fields] == list(range(len(names)))


@pytest.mark.parametrize(("fields", "problem"), [([""], "cannot be null"), (["a", "a"], "duplication a")])
def test_a_field_needs_a_name_of_its_own(fields: list[str], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        struct([(name, primitive(Type.INT8)) for name in fields])


def test_a_struct_takes_defaults_for_what_it_is_not_given() -> None:
    schema = struct(
        [
            ("id", primitive(Type.INT32)),
            ("note", primitive(Type.STRING, optional=True)),
            ("state", primitive(Type.STRING, default="new")),
        ]
    )
    value = schema.build({"id": 1})
    assert (value.id, value.note, value.state) == (1, None, "new")  # type: ignore[attr-defined]  # made at run time
    with pytest.raises(DataError, match='null used for required field: "id"'):
        schema.build({})
    with pytest.raises(DataError, match="nope is not a valid field name"):
        schema.build({"id": 1, "nope": 2})


@pytest.mark.parametrize(
    ("schema", "taken", "refused"),
    [
        pytest.param(primitive(Type.INT8), ["-128", "127"], ["128", "1.0", "null", '"1"', "true"], id="INT8"),
        pytest.param(primitive(Type.FLOAT32), ["3.4028235e38", "1"], ["3.5e38", "-3.5e38", '"NaN"'], id="FLOAT32"),
        pytest.param(date_schema(), ["-2147483648"], ["2147483648", "1.0"], id="Date"),
        pytest.param(time_schema(), ["0", "86400000"], ["-1", "86400001"], id="Time"),
        pytest.param(date_schema().replace(optional=True), ["null"], ["true"], id="an optional Date"),
        pytest.param(decimal_schema(1), ['"AQ=="', "1.5", "null"], [], id="a Decimal, still to be read"),
        pytest.param(map_of(primitive(Type.STRING), primitive(Type.INT8)), ['{"a":1}'], ['[["a",1]]'], id="map"),
        pytest.param(map_of(primitive(Type.INT8), primitive(Type.INT8)), ["[[1,2]]"], ['{"1":2}', "[[1]]"], id="pairs"),
        pytest.param(array(primitive(Type.BYTES)), ['["AQ=="]'], ['["AQ"]', '["A_=="]', '["AQ== "]'], id="base64"),
    ],
)
def test_what_the_fast_decoder_takes(schema: Schema, taken: list[str], refused: list[str]) -> None:
    decode = msgspec.json.Decoder(python_type(schema)).decode
    for text in taken:
        decode(text)
    for text in refused:
        with pytest.raises(msgspec.ValidationError):
            decode(text)


@given(st.integers(-(10**45), 10**45), st.integers(-40, 80))
def test_a_default_keeps_a_decimals_scale_apart(unscaled: int, scale: int) -> None:
    default = Decimal(unscaled).scaleb(-scale)
    assert decimal_schema(2, default=default).default.as_tuple() == default.as_tuple()
    assert decimal_schema(2, default=Decimal("1.0")) is not decimal_schema(2, default=Decimal("1.00"))
