"""Strings, bytes, booleans and numbers, for keys, values and headers alike."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import syncline.converters
from syncline.api import Converter, DecodesLists, EncodesLists, HeaderConverter, Plugin
from syncline.converters.boolean import BooleanConverter
from syncline.converters.bytes import ByteArrayConverter
from syncline.converters.formats import Format
from syncline.converters.json import JsonConverter
from syncline.converters.numbers import (
    DoubleConverter,
    FloatConverter,
    IntegerConverter,
    LongConverter,
    ShortConverter,
)
from syncline.converters.string import StringConverter
from syncline.data import (
    Schema,
    SchemaAndValue,
    Type,
    array,
    map_of,
    primitive,
    struct,
    timestamp_schema,
)
from syncline.errors import ConfigError, DataError, java_class_of


def optional(kind: Type) -> Schema:
    return primitive(kind, optional=True)


@pytest.mark.parametrize(
    ("converter", "kind", "value", "raw"),
    [
        (StringConverter(), Type.STRING, "é😀", "é😀".encode()),
        (StringConverter(), Type.STRING, "", b""),
        (ByteArrayConverter(), Type.BYTES, b"\x00\xff", b"\x00\xff"),
        (BooleanConverter(), Type.BOOLEAN, True, b"\x01"),
        (BooleanConverter(), Type.BOOLEAN, False, b"\x00"),
        (ShortConverter(), Type.INT16, -2, b"\xff\xfe"),
        (IntegerConverter(), Type.INT32, 258, b"\x00\x00\x01\x02"),
        (LongConverter(), Type.INT64, -1, b"\xff" * 8),
        (FloatConverter(), Type.FLOAT32, 1.5, b"\x3f\xc0\x00\x00"),
        (DoubleConverter(), Type.FLOAT64, 1.5, b"\x3f\xf8" + bytes(6)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Format) else repr(value),
)
def test_a_value_and_its_bytes(converter: Format, kind: Type, value: Any, raw: bytes) -> None:
    schema = optional(kind)
    assert converter.from_connect("t", schema, value) == raw
    assert converter.from_connect_header("t", "h", None, value) == raw
    assert converter.to_connect("t", raw) == (schema, value)
    assert converter.to_connect_header("t", "h", raw) == (schema, value)
    assert converter.to_connect("t", None) == (schema, None)
    assert converter.from_connect("t", schema, None) is None


@pytest.mark.parametrize(
    ("converter", "raw", "message"),
    [
        (BooleanConverter(), b"\x02", "Failed to deserialize boolean: the byte 2"),
        (BooleanConverter(), b"", "Failed to deserialize boolean: 0 bytes instead of 1"),
        (ShortConverter(), b"1", "Failed to deserialize short: 1 bytes instead of 2"),
        (LongConverter(), b"12345678 ", "Failed to deserialize long: 9 bytes instead of 8"),
        (DoubleConverter(), b"", "Failed to deserialize double: 0 bytes instead of 8"),
    ],
    ids=repr,
)
def test_bytes_of_another_length_are_refused(converter: Format, raw: bytes, message: str) -> None:
    with pytest.raises(DataError) as raised:
        converter.to_connect("t", raw)
    assert str(raised.value).startswith(message)
    assert raised.value.__cause__ is not None
    assert java_class_of(raised.value.__cause__) == "org.apache.kafka.common.errors.SerializationException"


@pytest.mark.parametrize(
    ("converter", "schema", "value", "message"),
    [
        (ByteArrayConverter(), optional(Type.STRING), "a", "Invalid schema type for ByteArrayConverter: STRING"),
        (ByteArrayConverter(), None, "a", "ByteArrayConverter is not compatible with objects of type class java.lang"),
        (BooleanConverter(), optional(Type.INT32), 1, "Invalid schema type for BooleanConverter: INT32"),
        (BooleanConverter(), None, "x", "BooleanConverter is not compatible with objects of type class java.lang"),
        (LongConverter(), optional(Type.STRING), "1", "Failed to serialize to long (was class java.lang.String): "),
        (LongConverter(), optional(Type.INT32), 1, "Failed to serialize to long (was class java.lang.Long): "),
        (LongConverter(), timestamp_schema(), 1, "Failed to serialize to long"),
        (LongConverter(), None, True, "Failed to serialize to long (was class java.lang.Boolean): "),
        (ShortConverter(), None, 40_000, "Failed to serialize to short"),
        (FloatConverter(), None, 1e39, "Failed to serialize to float"),
        (DoubleConverter(), None, "x", "Failed to serialize to double (was class java.lang.String): "),
    ],
    ids=repr,
)
def test_a_value_of_another_kind_is_refused(converter: Format, schema: Schema | None, value: Any, message: str) -> None:
    with pytest.raises(DataError) as raised:
        converter.from_connect("t", schema, value)
    assert str(raised.value).startswith(message)


ROW = struct(
    [
        ("a", primitive(Type.INT32)),
        ("b", optional(Type.STRING)),
        ("c", array(primitive(Type.FLOAT32))),
        ("m", map_of(primitive(Type.STRING), primitive(Type.BOOLEAN))),
    ]
)


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        (None, 5, "5"),
        (None, 1.0, "1.0"),
        (None, 1e10, "1.0E10"),
        (primitive(Type.FLOAT32), 0.10000000149011612, "0.1"),
        (None, True, "true"),
        (None, [None, "q"], "[null, q]"),
        (None, {"k": 1, "l": [2]}, "{k=1, l=[2]}"),
        (ROW, ROW.build({"a": 1, "c": [1.5, 100.0], "m": {"k": True}}), "Struct{a=1,c=[1.5, 100.0],m={k=true}}"),
        (timestamp_schema(), 1704067200123, "Mon Jan 01 00:00:00 UTC 2024"),
        (None, b"\x01", "AQ=="),
    ],
    ids=repr,
)
def test_a_string_converter_writes_what_java_prints(schema: Schema | None, value: Any, text: str) -> None:
    assert StringConverter().from_connect("t", schema, value) == text.encode()


def test_a_string_converter_takes_other_character_sets() -> None:
    latin = StringConverter()
    latin.configure({"converter.encoding": "ISO-8859-1"})
    assert latin.to_connect("t", b"\xe9").value == "é"
    assert latin.from_connect("t", None, "é") == b"\xe9"
    with pytest.raises(DataError, match="'한' at position 1 of the text does not exist in ISO-8859-1"):
        latin.from_connect("t", None, "a한")


def test_an_unknown_character_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="Invalid value klingon for configuration"):
        StringConverter().configure({"converter.encoding": "klingon"})


def test_bytes_outside_the_character_set_become_replacement_characters() -> None:
    assert StringConverter().to_connect("t", b"a\xff").value == "a\ufffd"


@given(
    st.binary(max_size=20),
    st.sampled_from([StringConverter(), ByteArrayConverter(), LongConverter(), FloatConverter()]),
)
def test_what_a_format_has_read_it_writes_back(raw: bytes, converter: Format) -> None:
    try:
        found = converter.to_connect("t", raw)
    except DataError:
        return
    written = converter.from_connect("t", *found)
    again = written is not None and converter.to_connect("t", written)
    assert repr(again) == repr(found)
    if not isinstance(converter, StringConverter | FloatConverter):
        assert written == raw


def announced() -> dict[tuple[str, str], Plugin]:
    found = {}
    for info in pkgutil.iter_modules(syncline.converters.__path__, "syncline.converters."):
        for thing in vars(importlib.import_module(info.name)).values():
            for plugin in getattr(thing, "__dict__", {}).get("__syncline_plugins__", ()):
                found[plugin.java_class, str(plugin.kind)] = plugin
    return found


def test_the_formats_of_kafka_connect_are_announced_for_values_and_for_headers() -> None:
    package = "org.apache.kafka.connect"
    both = [
        f"{package}.json.JsonConverter",
        f"{package}.storage.StringConverter",
        *(f"{package}.converters.{name}Converter" for name in
          ("ByteArray", "Boolean", "Short", "Integer", "Long", "Float", "Double")),
    ]  # fmt: skip
    expected = {(name, kind) for name in both for kind in ("converter", "header_converter")}
    found = announced()
    assert set(found) == {*expected, (f"{package}.storage.SimpleHeaderConverter", "header_converter")}
    for (_, kind), plugin in found.items():
        assert plugin.version == "4.1.0"
        made = plugin.factory()
        assert isinstance(made, Converter if kind == "converter" else HeaderConverter)
        made.configure({}, is_key=True)


def test_the_fast_formats_take_lists() -> None:
    assert isinstance(JsonConverter(), DecodesLists)
    assert isinstance(JsonConverter(), EncodesLists)
    assert isinstance(ByteArrayConverter(), DecodesLists)
    assert ByteArrayConverter().to_connect_list("t", [b"a", None]) == [
        SchemaAndValue(optional(Type.BYTES), b"a"),
        SchemaAndValue(optional(Type.BYTES), None),
    ]
