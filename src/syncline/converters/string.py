"""StringConverter: the text of a value."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from syncline.api import Converter, HeaderConverter, PluginKind, plugin
from syncline.data import Schema, SchemaAndValue, Type, primitive
from syncline.data.values import java_text
from syncline.errors import DataError
from syncline.options import Importance, load, option
from syncline.options.checks import refuse

OPTIONAL_STRING: Final = primitive(Type.STRING, optional=True)


def _known_encoding(name: str, value: Any) -> None:
    try:
        codecs.lookup(str(value))
    except LookupError as exc:
        raise refuse(name, value, "unknown encoding") from exc


@dataclass(frozen=True, kw_only=True)
class StringConverterConfig:
    encoding: str = option(
        "converter.encoding",
        "Name of the character set.",
        default="UTF-8",
        importance=Importance.HIGH,
        check=_known_encoding,
    )


_JAVA: Final = "org.apache.kafka.connect.storage.StringConverter"


@plugin(PluginKind.CONVERTER, _JAVA, settings=StringConverterConfig)
@plugin(PluginKind.HEADER_CONVERTER, _JAVA, settings=StringConverterConfig)
class StringConverter(Converter, HeaderConverter):
    """Reads optional strings; writes structs, maps and lists as Java prints them."""

    def __init__(self) -> None:
        self._encoding = "UTF-8"

    def configure(self, config: Mapping[str, str], *, is_key: bool = False) -> None:
        self._encoding = load(StringConverterConfig, config).encoding

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        try:
            return SchemaAndValue(OPTIONAL_STRING, None if raw is None else raw.decode(self._encoding))
        except UnicodeDecodeError as exc:
            raise DataError(f"Failed to deserialize string: {exc}") from exc

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if value is None:
            return None
        try:
            text = value if isinstance(value, str) else java_text(schema, value)
            return text.encode(self._encoding)
        except UnicodeEncodeError as exc:
            raise DataError(f"Failed to serialize to a string: {exc}") from exc

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        return self.to_connect(topic, raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return self.from_connect(topic, schema, value)
