"""Converters of single numbers, booleans and bytes, big-endian as Kafka's serialisers write them."""

from __future__ import annotations

import struct
from typing import Any, ClassVar, Final

from syncline.api import Converter, HeaderConverter, PluginKind, plugin
from syncline.data import Schema, SchemaAndValue, Type, primitive
from syncline.errors import DataError

_PACKAGE: Final = "org.apache.kafka.connect.converters"


class _Fixed(Converter, HeaderConverter):
    """One value of fixed width."""

    kind: ClassVar[Type]
    python: ClassVar[type[Any]]
    layout: ClassVar[struct.Struct]
    word: ClassVar[str]

    def __init__(self) -> None:
        self._schema = primitive(self.kind, optional=True)

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        if raw is None:
            return SchemaAndValue(self._schema, None)
        if len(raw) != self.layout.size:
            raise DataError(
                f"Failed to deserialize {self.word}: Size of data received by {self.word} deserializer "
                f"is not {self.layout.size} but {len(raw)}"
            )
        return SchemaAndValue(self._schema, self.layout.unpack(raw)[0])

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if value is None:
            return None
        wrong = not isinstance(value, self.python) or (self.python is int and isinstance(value, bool))
        if wrong or (schema is not None and schema.type is not self.kind):
            raise DataError(f"Failed to serialize to {self.word} (was class {type(value).__name__})")
        try:
            return self.layout.pack(value)
        except struct.error as exc:
            raise DataError(f"Failed to serialize to {self.word}: {value} is out of range") from exc

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        return self.to_connect(topic, raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return self.from_connect(topic, schema, value)


@plugin(PluginKind.CONVERTER, f"{_PACKAGE}.ShortConverter")
@plugin(PluginKind.HEADER_CONVERTER, f"{_PACKAGE}.ShortConverter")
class ShortConverter(_Fixed):
    kind, python, layout, word = Type.INT16, int, struct.Struct(">h"), "short"


@plugin(PluginKind.CONVERTER, f"{_PACKAGE}.IntegerConverter")
@plugin(PluginKind.HEADER_CONVERTER, f"{_PACKAGE}.IntegerConverter")
class IntegerConverter(_Fixed):
    kind, python, layout, word = Type.INT32, int, struct.Struct(">i"), "integer"


@plugin(PluginKind.CONVERTER, f"{_PACKAGE}.LongConverter")
@plugin(PluginKind.HEADER_CONVERTER, f"{_PACKAGE}.LongConverter")
class LongConverter(_Fixed):
    kind, python, layout, word = Type.INT64, int, struct.Struct(">q"), "long"


@plugin(PluginKind.CONVERTER, f"{_PACKAGE}.FloatConverter")
@plugin(PluginKind.HEADER_CONVERTER, f"{_PACKAGE}.FloatConverter")
class FloatConverter(_Fixed):
    kind, python, layout, word = Type.FLOAT32, float, struct.Struct(">f"), "float"


@plugin(PluginKind.CONVERTER, f"{_PACKAGE}.DoubleConverter")
@plugin(PluginKind.HEADER_CONVERTER, f"{_PACKAGE}.DoubleConverter")
class DoubleConverter(_Fixed):
    kind, python, layout, word = Type.FLOAT64, float, struct.Struct(">d"), "double"


@plugin(PluginKind.CONVERTER, f"{_PACKAGE}.BooleanConverter")
@plugin(PluginKind.HEADER_CONVERTER, f"{_PACKAGE}.BooleanConverter")
class BooleanConverter(_Fixed):
    kind, python, layout, word = Type.BOOLEAN, bool, struct.Struct(">?"), "boolean"


@plugin(PluginKind.CONVERTER, f"{_PACKAGE}.ByteArrayConverter")
@plugin(PluginKind.HEADER_CONVERTER, f"{_PACKAGE}.ByteArrayConverter")
class ByteArrayConverter(Converter, HeaderConverter):
    """Bytes pass through as they are."""

    def __init__(self) -> None:
        self._schema = primitive(Type.BYTES, optional=True)

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        return SchemaAndValue(self._schema, raw)

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if schema is not None and schema.type is not Type.BYTES:
            raise DataError(f"Invalid schema type for ByteArrayConverter: {schema.type}")
        if value is not None and not isinstance(value, bytes):
            raise DataError(f"ByteArrayConverter is not compatible with objects of type class {type(value).__name__}")
        return value

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        return self.to_connect(topic, raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return self.from_connect(topic, schema, value)
