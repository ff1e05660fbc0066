"""What JsonConverter says about records it cannot read or write, and what it refuses by default."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from syncline.converters.json import JsonConverter
from syncline.data import Schema, Type, array, date_schema, decimal_schema, map_of, primitive, struct, time_schema
from syncline.errors import ConfigError, DataError, java_class_of, trace_of


def converter(*, is_key: bool = False, **options: str) -> JsonConverter:
    made = JsonConverter()
    made.configure({name.replace("_", "."): value for name, value in options.items()}, is_key=is_key)
    return made


def refusal(raw: str, *, schemas_enable: str = "true") -> str:
    with pytest.raises(DataError) as raised:
        converter(schemas_enable=schemas_enable).to_connect("t", raw.encode())
    return str(raised.value)


def test_plain_json_with_schemas_on_names_the_option_that_helps() -> None:
    with pytest.raises(DataError) as raised:
        converter(is_key=True).to_connect("t", b'{"id":1,"name":"x"}')
    message = str(raised.value)
    assert message.startswith('JsonConverter with schemas.enable requires "schema" and "payload" fields')
    assert "key.converter.schemas.enable=false" in message
    assert "the fields id, name" in message
    assert '{"id":1,"name":"x"}' in message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param('{"schema":null,\n  # a comment\n"payload":1}', ["line 2, column 3", "no comments"], id="#"),
        pytest.param('{"schema":null, // why\n"payload":1}', ["line 1, column 17", "no comments"], id="//"),
        pytest.param("{'schema':null}", ["line 1, column 2", "double quotes"], id="single quotes"),
        pytest.param('{"schema":null,"payload":[1,]}', ["column 29", "a comma too many"], id="trailing comma"),
        pytest.param('{"schema":null', ["ends too early"], id="cut off"),
        pytest.param('{"schema":null,"payload":NaN}', ["NaN is no JSON number"], id="NaN"),
        pytest.param("not json", ["line 1, column 1", "'not json'"], id="text"),
        pytest.param("9" * 5000, ["too long"], id="a number without end"),
    ],
)
def test_what_is_no_json_is_shown_with_its_place(raw: str, words: list[str]) -> None:
    message = refusal(raw)
    assert message.startswith("Converting byte[] to Kafka Connect data failed due to serialization error: ")
    for word in words:
        assert word in message


def test_bad_json_has_the_causes_that_tools_know() -> None:
    with pytest.raises(DataError) as raised:
        converter().to_connect("t", b"not json")
    causes = [line.split(": ")[1] for line in trace_of(raised.value).splitlines() if line.startswith("Caused by")]
    assert causes == [
        "org.apache.kafka.common.errors.SerializationException",
        "com.fasterxml.jackson.core.JsonParseException",
    ]


def in_struct(field: str) -> str:
    return f'{{"schema":{{"type":"struct","fields":[{field}]}},"payload":{{"qty":1}}}}'


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(
            in_struct('{"type":"INT32","field":"qty"}'),
            ["Unknown schema type: INT32", "schema.qty", '"int32"'],
            id="a type in capitals",
        ),
        pytest.param(in_struct('{"type":"integer","field":"qty"}'), ["integer", '"int32"'], id="another language's"),
        pytest.param(in_struct('{"type":"xyz","field":"qty"}'), ["schema type: xyz, at schema.qty"], id="no idea"),
        pytest.param(in_struct('{"type":"int32","fields":"qty"}'), ['"field": "qty"', "schema[0]"], id="fields"),
        pytest.param(in_struct('{"type":"int32","name":"qty"}'), ['"field": "qty"'], id="name for field"),
        pytest.param(in_struct('{"type":"int32"}'), ['"field" is missing among type'], id="no field"),
        pytest.param(in_struct('{"field":"qty"}'), ["Schema must contain 'type' field", "schema.qty"], id="no type"),
        pytest.param(
            '{"schema":{"type":"struct","field":[]},"payload":{}}',
            ['"fields" argument is not an array', '"field" here'],
            id="field for fields",
        ),
        pytest.param(
            in_struct('{"type":"int32","field":"qty","optional":"true"}'),
            ["schema.qty.optional", '"true"'],
            id="optional as text",
        ),
        pytest.param(
            in_struct('{"type":"int32","field":"qty","default":"x"}'),
            ["schema.qty.default", '"x"'],
            id="a default that does not fit",
        ),
        pytest.param('{"schema":{"type":"array"},"payload":[]}', ["did not specify the element type"], id="no items"),
        pytest.param('{"schema":"string","payload":"x"}', ["Schema must contain 'type' field"], id="a type alone"),
    ],
)
def test_a_wrong_schema_is_named_by_its_place(raw: str, words: list[str]) -> None:
    message = refusal(raw)
    for word in words:
        assert word in message


TAGS = '{"type":"array","items":{"type":"string"},"field":"tags"}'
ORDER = f'{{"type":"struct","fields":[{{"type":"int8","field":"qty"}},{TAGS}]}}'


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        pytest.param('{"qty":300,"tags":[]}', ["payload.qty", "300", "INT8", "44", "coercion=java"], id="too large"),
        pytest.param('{"qty":"x","tags":[]}', ["payload.qty", '"x"', "0"], id="text for a number"),
        pytest.param('{"qty":1.5,"tags":[]}', ["payload.qty", "1.5"], id="a fraction"),
        pytest.param('{"qty":1,"tags":["a",5]}', ["payload.tags[1]", "STRING", "null"], id="a number for text"),
        pytest.param('{"qty":1,"tags":7}', ["payload.tags", "ARRAY"], id="no list"),
        pytest.param(
            '{"qty":null,"tags":[]}', ["Invalid null value for required INT8 field", "payload.qty"], id="null"
        ),
        pytest.param('{"tags":[]}', ["Invalid null value for required INT8 field", "payload.qty"], id="missing"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_java_would_have_read(payload: str, words: list[str]) -> None:
    message = refusal(f'{{"schema":{ORDER},"payload":{payload}}}')
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("schema", "payload", "read"),
    [
        ('{"type":"int32"}', "5.0", 5),
        ('{"type":"int32"}', "1e3", 1000),
        ('{"type":"int64"}', "-0.0", 0),
        ('{"type":"int32"}', "007", 7),
        ('{"type":"double"}', "7", 7.0),
        ('{"type":"double"}', '"Infinity"', float("inf")),
        ('{"type":"bytes"}', '" AQI="', b"\x01\x02"),
    ],
)
def test_what_loses_nothing_is_accepted(schema: str, payload: str, read: Any) -> None:
    found = converter().to_connect("t", f'{{"schema":{schema},"payload":{payload}}}'.encode())
    assert found.value == read
    assert type(found.value) is type(read)


def test_a_byte_order_mark_and_other_unicode_encodings_are_read() -> None:
    plain = converter(schemas_enable="false")
    for encoding in ("utf-8-sig", "utf-16", "utf-32-be"):
        assert plain.to_connect("t", '{"a":"é"}'.encode(encoding)).value == {"a": "é"}


def test_half_of_a_surrogate_pair_is_refused_since_no_database_takes_it() -> None:
    assert "U+D83D" in refusal('{"schema":{"type":"string"},"payload":"\\ud83d"}')
    assert "U+D83D" in refusal('{"\\ud83d":1}', schemas_enable="false")


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        (primitive(Type.INT8), 128, ["128", "-128 and 127"]),
        (primitive(Type.INT32), "1", ["INT32", "java.lang.String"]),
        (primitive(Type.INT32), True, ["INT32", "java.lang.Boolean"]),
        (primitive(Type.STRING), 1, ["STRING"]),
        (primitive(Type.BOOLEAN), 1, ["BOOLEAN"]),
        (primitive(Type.FLOAT32), 1e39, ["1e+39", "too large"]),
        (primitive(Type.FLOAT64), 1 << 60, ["FLOAT64"]),
        (primitive(Type.BYTES), "x", ["BYTES"]),
        (date_schema(), 1 << 31, ["2147483648"]),
        (time_schema(), 86_400_001, ["86400001"]),
        (time_schema(), -1, ["-1"]),
        (decimal_schema(2), Decimal("1.5"), ["mismatching scale", "scale 2", "scale 1"]),
        (decimal_schema(2), Decimal("NaN"), ["not a number"]),
        (decimal_schema(2), 1.5, ["Decimal", "java.lang.Double"]),
        (array(primitive(Type.INT8)), [1, None], ["required"]),
        (array(primitive(Type.INT8)), {"a": 1}, ["ARRAY"]),
        (map_of(primitive(Type.STRING), primitive(Type.INT8)), {None: 1}, ["key null"]),
        (map_of(primitive(Type.STRING), primitive(Type.INT8)), {1: 1}, ["key"]),
        (map_of(primitive(Type.INT8), primitive(Type.INT8)), {"a": 1}, ["INT8"]),
        (struct([("a", primitive(Type.INT8))]), {"a": 1}, ["STRUCT"]),
        (None, Decimal(1), ["java.math.BigDecimal", "give the value a schema"]),
        (None, 1 << 63, ["9223372036854775808"]),
        (None, object(), ["does not have corresponding schema type"]),
        (primitive(Type.STRING), "\ud83d", ["surrogate"]),
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_is_not_written(schema: Schema | None, value: Any, words: list[str]) -> None:
    for write in (
        lambda: converter().from_connect("t", schema, value),
        lambda: converter().from_connect_list("t", schema, [value]),
    ):
        with pytest.raises(DataError) as raised:
            write()
        for word in words:
            assert word in str(raised.value)


def test_a_field_that_cannot_be_written_is_named() -> None:
    inner = struct([("price", primitive(Type.INT32))])
    outer = struct([("id", primitive(Type.INT32)), ("line", inner)])
    value = outer.build({"id": 1, "line": inner.build({"price": "x"})})
    with pytest.raises(DataError, match=r'INT32: java.lang.String \(field "price"\) \(field "line"\)'):
        converter().from_connect("t", outer, value)


def test_a_struct_of_another_schema_is_not_written() -> None:
    one, other = struct([("a", primitive(Type.INT8))]), struct([("a", primitive(Type.INT16))])
    with pytest.raises(DataError, match="Mismatching schema"):
        converter().from_connect("t", one, other.build({"a": 1}))


def test_a_decimal_without_a_scale_is_refused_both_ways() -> None:
    schema = primitive(Type.BYTES, name="org.apache.kafka.connect.data.Decimal")
    with pytest.raises(DataError) as raised:
        converter().from_connect("t", schema, Decimal(1))
    assert raised.value.__cause__ is not None
    assert java_class_of(raised.value.__cause__) == "java.lang.NullPointerException"
    with pytest.raises(DataError, match="needs the parameter scale"):
        converter().to_connect(
            "t", b'{"schema":{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal"},"payload":"AQ=="}'
        )


def test_maps_whose_keys_python_cannot_have_are_refused_both_ways() -> None:
    schema = map_of(array(primitive(Type.INT8)), primitive(Type.INT8))
    with pytest.raises(DataError, match="keys are of type ARRAY"):
        converter().from_connect("t", schema, {})
    keys = b'{"type":"array","items":{"type":"int8"}}'
    raw = b'{"schema":{"type":"map","keys":%b,"values":{"type":"int8"}},"payload":[[[1],2]]}' % keys
    with pytest.raises(DataError, match="keys are of type ARRAY"):
        converter().to_connect("t", raw)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("schemas.enable", "maybe"),
        ("schemas.cache.size", "-1"),
        ("decimal.format", "hex"),
        ("replace.null.with.default", "x"),
        ("coercion", "loose"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(option: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        JsonConverter().configure({option: value})
    assert list(raised.value.errors) == [option]
    assert value in str(raised.value)


def test_a_null_field_that_a_default_may_replace_does_so_only_if_asked() -> None:
    schema = struct([("a", primitive(Type.STRING, optional=True, default="x"))])
    raw = converter().from_connect("t", schema, schema.build({"a": "y"}))
    assert raw is not None
    for payload, plain in ((b'{"a":null}', None), (b"{}", None), (b'{"a":"z"}', "z")):
        bare = raw.replace(b'{"a":"y"}', payload)
        assert converter().to_connect("t", bare).value.a == (plain or "x")
        assert converter(replace_null_with_default="false").to_connect("t", bare).value.a == plain


@pytest.mark.parametrize("depth", [400, 900, 100_000])
def test_nesting_without_end_is_a_bad_record_not_a_crash(depth: int) -> None:
    raw = b"[" * depth + b"1.0e400" + b"]" * depth
    with pytest.raises(DataError, match=r"nested too deeply|is no FLOAT64"):
        converter(schemas_enable="false").to_connect("t", raw)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(DataError, match="nested too deeply"):
        converter().from_connect("t", None, endless)


def test_a_value_that_does_not_fit_has_no_foreign_cause_in_its_trace() -> None:
    for raw in (b'{"schema":{"type":"int8"},"payload":300}', b'{"id":1}', b'{"schema":{"type":"x"},"payload":1}'):
        with pytest.raises(DataError) as raised:
            converter().to_connect("t", raw)
        assert "Caused by" not in trace_of(raised.value)
