"""BooleanConverter: one byte, 0 or 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from syncline.converters.formats import (
    Format,
    SerializationError,
    announced,
    converter_type,
    java_class_name,
)
from syncline.data import Schema, SchemaAndValue, Type, primitive
from syncline.errors import DataError
from syncline.options import load

OPTIONAL_BOOLEAN: Final = primitive(Type.BOOLEAN, optional=True)


@dataclass(frozen=True, kw_only=True)
class BooleanConverterConfig:
    type: str = converter_type()


@announced("org.apache.kafka.connect.converters.BooleanConverter", BooleanConverterConfig)
class BooleanConverter(Format):
    """Reads OPTIONAL_BOOLEAN; writes booleans only."""

    def set_up(self, config: Mapping[str, str]) -> None:
        load(BooleanConverterConfig, config)

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        if raw is None:
            return SchemaAndValue(OPTIONAL_BOOLEAN, None)
        if raw not in (b"\x00", b"\x01"):
            problem = f"{len(raw)} bytes instead of 1" if len(raw) != 1 else f"the byte {raw[0]}, not 0 or 1"
            raise DataError(f"Failed to deserialize boolean: {problem}") from SerializationError(problem)
        return SchemaAndValue(OPTIONAL_BOOLEAN, raw == b"\x01")

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if schema is not None and schema.type is not Type.BOOLEAN:
            raise DataError(f"Invalid schema type for BooleanConverter: {schema.type}")
        if value is None:
            return None
        if not isinstance(value, bool):
            raise DataError(f"BooleanConverter is not compatible with objects of type class {java_class_name(value)}")
        return b"\x01" if value else b"\x00"
