"""StringConverter: bytes as text, and any value as the text Java prints for it."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from syncline.converters.formats import Format, announced, converter_type
from syncline.data import Schema, SchemaAndValue, Type, primitive
from syncline.data.values import java_text
from syncline.errors import DataError
from syncline.options import Importance, Width, load, option

OPTIONAL_STRING: Final = primitive(Type.STRING, optional=True)


def known_encoding(name: str, value: Any) -> None:
    """Refuse a character set that Python does not know."""
    try:
        codecs.lookup(value)
    except LookupError:
        raise ValueError(
            f"Invalid value {value} for configuration {name}: unknown character set; use UTF-8, for example"
        ) from None


@dataclass(frozen=True, kw_only=True)
class StringConverterConfig:
    type: str = converter_type()
    encoding: str = option(
        "converter.encoding",
        "The name of the character set of the bytes.",
        default="UTF-8",
        check=known_encoding,
        importance=Importance.HIGH,
        width=Width.MEDIUM,
        display="Encoding",
    )


@announced("org.apache.kafka.connect.storage.StringConverter", StringConverterConfig)
class StringConverter(Format):
    """Reads OPTIONAL_STRING; bytes outside the character set become U+FFFD, as in Java."""

    def set_up(self, config: Mapping[str, str]) -> None:
        self._encoding = load(StringConverterConfig, config).encoding

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        return SchemaAndValue(OPTIONAL_STRING, None if raw is None else raw.decode(self._encoding, errors="replace"))

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if value is None:
            return None
        text = java_text(schema, value)
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError as exc:
            raise DataError(
                f"{text[exc.start]!r} at position {exc.start} of the text does not exist in {self._encoding}"
            ) from exc
