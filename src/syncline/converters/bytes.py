"""ByteArrayConverter: bytes as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from syncline.converters.formats import Format, announced, converter_type, java_class_name
from syncline.data import Schema, SchemaAndValue, Type, primitive
from syncline.errors import DataError
from syncline.options import load

OPTIONAL_BYTES: Final = primitive(Type.BYTES, optional=True)


@dataclass(frozen=True, kw_only=True)
class ByteArrayConverterConfig:
    type: str = converter_type()


@announced("org.apache.kafka.connect.converters.ByteArrayConverter", ByteArrayConverterConfig)
class ByteArrayConverter(Format):
    """Reads OPTIONAL_BYTES; writes bytes only."""

    def set_up(self, config: Mapping[str, str]) -> None:
        load(ByteArrayConverterConfig, config)

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        return SchemaAndValue(OPTIONAL_BYTES, raw)

    def to_connect_list(self, topic: str, raws: Sequence[bytes | None]) -> list[SchemaAndValue]:
        return [SchemaAndValue(OPTIONAL_BYTES, raw) for raw in raws]

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if schema is not None and schema.type is not Type.BYTES:
            raise DataError(f"Invalid schema type for ByteArrayConverter: {schema.type}")
        if value is None or isinstance(value, bytes):
            return value
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        raise DataError(f"ByteArrayConverter is not compatible with objects of type class {java_class_name(value)}")
