"""ShortConverter, IntegerConverter, LongConverter, FloatConverter, DoubleConverter: big-endian numbers."""

from __future__ import annotations

import struct as packing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from syncline.converters.formats import (
    Format,
    SerializationError,
    WrongClass,
    announced,
    converter_type,
    java_class_name,
)
from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, SchemaAndValue, Type, primitive
from syncline.errors import DataError
from syncline.options import load

PACKAGE: Final = "org.apache.kafka.connect.converters"
LOGICAL: Final = (DECIMAL, DATE, TIME, TIMESTAMP)


@dataclass(frozen=True, kw_only=True)
class NumberConverterConfig:
    type: str = converter_type()


class NumberConverter(Format):
    """A number of one type in as many bytes as it has; the schema on reading is that type, optional."""

    name: ClassVar[str]
    """The type as messages call it."""
    layout: ClassVar[packing.Struct]
    schema: ClassVar[Schema]
    takes: ClassVar[type | tuple[type, ...]] = int

    def set_up(self, config: Mapping[str, str]) -> None:
        load(NumberConverterConfig, config)

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        if raw is None:
            return SchemaAndValue(self.schema, None)
        if len(raw) != self.layout.size:
            problem = f"{len(raw)} bytes instead of {self.layout.size}"
            raise DataError(f"Failed to deserialize {self.name}: {problem}") from SerializationError(problem)
        return SchemaAndValue(self.schema, self.layout.unpack(raw)[0])

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if value is None:
            return None
        if schema is not None and (schema.type is not self.schema.type or schema.name in LOGICAL):
            raise self._refusal(value, f"the schema is {schema}, not {self.schema.type}")
        if isinstance(value, bool) or not isinstance(value, self.takes):
            raise self._refusal(value, f"{value!r} is no {self.name}")
        try:
            return self.layout.pack(value)
        except (packing.error, OverflowError) as exc:
            raise self._refusal(value, f"{value} does not fit into {self.layout.size} bytes") from exc

    def _refusal(self, value: Any, why: str) -> DataError:
        refusal = DataError(f"Failed to serialize to {self.name} (was class {java_class_name(value)}): {why}")
        refusal.__cause__ = WrongClass(why)
        return refusal


@announced(f"{PACKAGE}.ShortConverter", NumberConverterConfig)
class ShortConverter(NumberConverter):
    """INT16 in 2 bytes."""

    name = "short"
    layout = packing.Struct(">h")
    schema = primitive(Type.INT16, optional=True)


@announced(f"{PACKAGE}.IntegerConverter", NumberConverterConfig)
class IntegerConverter(NumberConverter):
    """INT32 in 4 bytes."""

    name = "integer"
    layout = packing.Struct(">i")
    schema = primitive(Type.INT32, optional=True)


@announced(f"{PACKAGE}.LongConverter", NumberConverterConfig)
class LongConverter(NumberConverter):
    """INT64 in 8 bytes."""

    name = "long"
    layout = packing.Struct(">q")
    schema = primitive(Type.INT64, optional=True)


@announced(f"{PACKAGE}.FloatConverter", NumberConverterConfig)
class FloatConverter(NumberConverter):
    """FLOAT32 in 4 bytes."""

    name = "float"
    layout = packing.Struct(">f")
    schema = primitive(Type.FLOAT32, optional=True)
    takes = (float, int)


@announced(f"{PACKAGE}.DoubleConverter", NumberConverterConfig)
class DoubleConverter(NumberConverter):
    """FLOAT64 in 8 bytes."""

    name = "double"
    layout = packing.Struct(">d")
    schema = primitive(Type.FLOAT64, optional=True)
    takes = (float, int)
