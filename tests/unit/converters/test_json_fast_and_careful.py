"""The fast path agrees with the careful one wherever it accepts, and never takes one record for another."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.converters.json import JsonConverter
from syncline.converters.json_decoding import REFUSALS, decoder
from syncline.converters.json_reading import Coercion, Reader
from syncline.converters.json_text import parse
from syncline.data import Schema, SchemaAndValue, Type, array, decimal_schema, map_of, primitive, struct
from syncline.errors import DataError
from tests.golden.neutral import neutral_of
from tests.unit.converters.strategies import SCHEMAS, TEXTS, loose_json


@st.composite
def schema_and_json(draw: st.DrawFn) -> tuple[Schema, bytes]:
    schema = draw(SCHEMAS)
    return schema, draw(loose_json(schema)).encode()


@given(schema_and_json(), st.sampled_from(Coercion), st.booleans())
def test_what_the_fast_path_accepts_the_careful_one_reads_the_same(
    example: tuple[Schema, bytes], coercion: Coercion, replace_null: bool
) -> None:
    schema, payload = example
    try:
        fast = decoder(schema, coercion, replace_null=replace_null)(payload)
    except REFUSALS:
        return
    reader = Reader(coercion, replace_null=replace_null)
    careful = reader.value(schema, parse(payload, ignore_rest=False))
    assert neutral_of(fast, schema) == neutral_of(careful, schema)


@given(
    st.recursive(
        st.sampled_from(["1", "-0.0", "1.5", "1e400", "9223372036854775808", '"x"', "null"]),
        lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
    ),
    st.sampled_from(Coercion),
)
def test_without_a_schema_too(payload: str, coercion: Coercion) -> None:
    try:
        fast = decoder(None, coercion, replace_null=True)(payload.encode())
    except REFUSALS:
        return
    careful = Reader(coercion, replace_null=True).value(None, parse(payload.encode(), ignore_rest=False))
    assert repr(fast) == repr(careful)


COMMON = b'{"type":"int32","optional":false}'
SCHEMA_TEXTS = st.sampled_from(
    [
        COMMON,
        b'{"type": "int32", "optional": false}',
        b'{"type":"string","optional":false,"doc":",\\"payload\\":1}"}',
        b'{"type":"string","optional":false,"parameters":{"a":"1","payload":"2"}}',
        b'{"type":"struct","fields":[{"type":"string","optional":true,"field":"payload"}],"optional":false}',
        b'{"type":"array","items":{"type":"int32"}}',
        b"null",
    ]
)
PAYLOADS = st.sampled_from(
    [
        b"1",
        b"5.0",
        b'"x"',
        rb'",\"payload\":1}"',
        rb'"}"',
        b'{"payload":"a"}',
        b'{"payload":null}',
        rb'{"payload":"{\"schema\":1,\"payload\":2}"}',
        b"[1,2]",
        b"[[1],[2]]",
        b"null",
        b'1,"payload":2',
        b'1,"schema":{"type":"int32"}',
        b"1}",
        b"1 }",
        b"",
        b"[1",
        b"2]",
        b"1,2",
        b'{"payload":1},"payload":{"payload":"b"}',
    ]
)
LAYOUTS = st.sampled_from(
    [
        b'{"schema":%(s)b,"payload":%(p)b}',
        b'{"payload":%(p)b,"schema":%(s)b}',
        b'{"schema": %(s)b, "payload": %(p)b}',
        b' {\n "payload" : %(p)b ,\t"schema" : %(s)b }\n',
        b'{"schema":%(s)b,"schema":%(s)b,"payload":%(p)b}',
        b'{"payload":0,"schema":%(s)b,"payload":%(p)b}',
        b'{"schema":%(s)b,"payload":%(p)b,"more":1}',
        b'{"schema":%(s)b,"payload":%(p)b} ',
    ]
)
RECORDS = st.one_of(
    st.builds(lambda layout, s, p: layout % {b"s": s, b"p": p}, LAYOUTS, SCHEMA_TEXTS, PAYLOADS),
    st.sampled_from([b"", b"{}", b"null", b'{"schema":', b'{"schema":1,"payload":2}']),
)


def read(converter: JsonConverter, raw: bytes) -> Any:
    """The schema and the neutral value, or the class of the error."""
    try:
        found = converter.to_connect("t", raw)
    except DataError as exc:
        return type(exc)
    return found.schema, neutral_of(found.value, found.schema)


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_what_was_read_before_never_changes_what_a_record_says(raws: list[bytes]) -> None:
    used = JsonConverter()
    for raw in raws:
        assert read(used, raw) == read(JsonConverter(), raw)


@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_a_list_is_read_as_its_records_one_by_one(raws: list[bytes]) -> None:
    each = [read(JsonConverter(), raw) for raw in raws]
    used = JsonConverter()
    for _ in range(2):
        if any(isinstance(result, type) for result in each):
            with pytest.raises(DataError):
                used.to_connect_list("t", raws)
        else:
            found = used.to_connect_list("t", raws)
            assert [(pair.schema, neutral_of(pair.value, pair.schema)) for pair in found] == each


@given(SCHEMA_TEXTS, TEXTS)
def test_a_payload_is_split_off_whatever_its_texts_say(schema: bytes, text: str) -> None:
    payload = json.dumps({"payload": text + ',"payload":' + text}).encode()
    raw = b'{"schema":{"type":"map","keys":{"type":"string"},"values":{"type":"string"}},"payload":%b}' % payload
    used = JsonConverter()
    read(used, b'{"schema":%b,"payload":1}' % schema)
    for _ in range(2):
        assert used.to_connect("t", raw).value == {"payload": text + ',"payload":' + text}


def test_records_of_many_schemas_in_one_topic_keep_theirs() -> None:
    schemas = [struct([(f"f{number}", primitive(Type.INT32))]) for number in range(5)]
    made = JsonConverter()
    made.configure({"schemas.cache.size": "3"})
    raws = [
        made.from_connect("t", schema, schema.build({schema.fields[0].name: number}))
        for number, schema in enumerate(schemas * 3)
    ]
    found = made.to_connect_list("t", raws)
    assert [pair.schema for pair in found] == schemas * 3
    assert [getattr(pair.value, pair.schema.fields[0].attribute) for pair in found if pair.schema] == list(range(15))


def test_a_tombstone_among_records_stays_one() -> None:
    made = JsonConverter()
    raw = made.from_connect("t", primitive(Type.INT32), 1)
    one, null = SchemaAndValue(primitive(Type.INT32), 1), SchemaAndValue(None, None)
    assert made.to_connect_list("t", [raw, None, raw]) == [one, null, one]
    assert made.to_connect_list("t", [None]) == [null]
    assert made.to_connect_list("t", []) == []


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        pytest.param(struct([("a", array(decimal_schema(2)))]), b'{"a":["BNI=",1.5]}', id="decimals in a list"),
        pytest.param(map_of(primitive(Type.STRING), decimal_schema(1)), b'{"x":"Dw=="}', id="in a map"),
        pytest.param(map_of(decimal_schema(1), decimal_schema(1)), b'[["Dw==","Dw=="]]', id="as keys"),
        pytest.param(primitive(Type.FLOAT32), b"0.1", id="a FLOAT32 is rounded"),
        pytest.param(map_of(primitive(Type.INT32), primitive(Type.STRING)), b'[[1,"a"],[1,"b"]]', id="pairs"),
        pytest.param(struct([("class", primitive(Type.INT8)), ("a b", primitive(Type.INT8))]), b'{"class":1,"a b":2}',
                     id="names that are no identifiers"),
        pytest.param(decimal_schema(2, optional=True), b"null", id="no Decimal"),
        pytest.param(decimal_schema(2, optional=True, default=Decimal("1.50")), b"null", id="a Decimal's default"),
    ],
)  # fmt: skip
def test_the_fast_path_takes(schema: Schema, payload: bytes) -> None:
    fast = decoder(schema, Coercion.STRICT, replace_null=True)(payload)
    careful = Reader(Coercion.STRICT, replace_null=True).value(schema, parse(payload, ignore_rest=False))
    assert neutral_of(fast, schema) == neutral_of(careful, schema)
