"""SimpleHeaderConverter: header values as text that tells its own type (spec/connect.md 6.4)."""

from __future__ import annotations

from typing import Any, Final

from syncline.api import HeaderConverter, PluginKind, plugin
from syncline.converters.formats import VERSION
from syncline.data import Schema, SchemaAndValue, Type, primitive
from syncline.data.literals import text_of, value_of

BYTES: Final = primitive(Type.BYTES)


@plugin(PluginKind.HEADER_CONVERTER, "org.apache.kafka.connect.storage.SimpleHeaderConverter", version=VERSION)
class SimpleHeaderConverter(HeaderConverter):
    """The default for headers; bytes that are no UTF-8 are BYTES."""

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        if raw is None:
            return SchemaAndValue(None, None)
        try:
            return value_of(raw.decode())
        except UnicodeDecodeError:
            return SchemaAndValue(BYTES, raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return None if value is None else text_of(schema, value).encode()
