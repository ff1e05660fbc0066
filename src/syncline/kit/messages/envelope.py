"""Records for Kafka Connect, declared as classes and sent as `{"schema": ..., "payload": ...}`.

    class OrderRow(ConnectRecord, name="orders"):
        order_id: Annotated[str, Key, MaxLen(36)]
        quantity: Int32
        created_at: Timestamp

    OrderRow(order_id="o-1", quantity=10, created_at=now).envelope()

The class is checked when it is made, so a service with a misspelt type does not start; a value is
checked when it is sent, so a sink never meets a record that lies about its schema.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, ClassVar, Final, Self, dataclass_transform, get_type_hints

import msgspec

from syncline.converters.json import JsonConverter
from syncline.data import Schema, Type, struct
from syncline.errors import ConfigError, DataError
from syncline.kit.messages.types import (
    NAMES,
    Date,
    Doc,
    FieldType,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Key,
    MaxLen,
    Scale,
    Time,
    Timestamp,
    field_type,
)

__all__ = [
    "ConnectRecord",
    "Date",
    "Doc",
    "Float32",
    "Float64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Key",
    "MaxLen",
    "Scale",
    "Time",
    "Timestamp",
    "decode_envelope",
    "encode_envelope",
]


@dataclass_transform(kw_only_default=True, frozen_default=True)
class ConnectRecord:
    """Base of declared records. Subclasses are frozen dataclasses with keyword arguments.

    Fields are `str`, `bool`, `bytes`, `Int8` .. `Int64`, `Float32`, `Float64`, `Timestamp`, `Date`,
    `Time`, `Annotated[Decimal, Scale(n)]`, `list[...]`, `dict[..., ...]` and other records; `| None` makes one
    optional, a default becomes the schema's. Their order is that of the schema.
    """

    connect_schema: ClassVar[Schema]
    key_field: ClassVar[str | None]
    """The field marked with `Key`."""
    __connect_type__: ClassVar[FieldType]
    _types: ClassVar[Mapping[str, FieldType]]

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int | None = None,
        doc: str | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """`name`, `version`, `doc` and `parameters` are the schema's. ConfigError names a field that is wrong."""
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)
        types = _field_types(cls)
        keys = [field for field, kind in types.items() if kind.is_key]
        if len(keys) > 1:
            raise ConfigError(f"{cls.__name__} marks {' and '.join(keys)} as its key; there is one")
        cls._types = types
        cls.key_field = keys[0] if keys else None
        cls.connect_schema = struct(
            [(field, kind.schema) for field, kind in types.items()],
            name=name,
            version=version,
            doc=doc,
            parameters=parameters,
        )
        cls.__connect_type__ = FieldType(cls.connect_schema, _to_struct(cls), cls.from_struct)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The record with exactly these members; DataError names one that is unknown or missing."""
        unknown = [name for name in values if name not in cls._types]
        if unknown:
            near = difflib.get_close_matches(unknown[0], cls._types, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise DataError(f"{cls.__name__} has no field {unknown[0]}{hint}")
        try:
            return cls(**values)
        except TypeError as exc:
            # A dataclass keeps a field's default as an attribute of the class.
            missing = [name for name in cls._types if name not in values and not hasattr(cls, name)]
            raise DataError(f"{cls.__name__} needs {', '.join(missing)}") from exc

    def to_struct(self) -> msgspec.Struct:
        """As the converters take it; DataError names the field whose value does not fit."""
        values: dict[str, Any] = {}
        for name, kind in self._types.items():
            try:
                values[name] = kind.to_connect(getattr(self, name))
            except DataError as exc:
                raise DataError(f"{type(self).__name__}.{name}: {exc}") from exc
        return self.connect_schema.build(values)

    @classmethod
    def from_struct(cls, value: Any) -> Self:
        """The record in a struct of this or a similar schema.

        Another producer's schema may order fields differently, have more of them, or lack optional
        ones. DataError names a field that is missing or holds something else.
        """
        values: dict[str, Any] = {}
        for name, kind in cls._types.items():
            held = getattr(value, name, None)
            if held is None and kind.schema.required:
                raise DataError(f"{cls.__name__}.{name} is missing")
            if held is None and kind.schema.default is not None:
                held = kind.schema.default
            try:
                values[name] = kind.from_connect(held)
            except (DataError, TypeError, OverflowError) as exc:
                raise DataError(f"{cls.__name__}.{name}: {exc}") from exc
        return cls(**values)

    def envelope(self) -> bytes:
        """The record as Kafka Connect's JsonConverter writes it, with its schema."""
        return encode_envelope(self.connect_schema, self.to_struct())

    @classmethod
    def from_envelope(cls, raw: bytes) -> Self:
        """The record in an envelope; DataError when it is none or holds something else."""
        schema, value = decode_envelope(raw)
        if schema is None or schema.type is not Type.STRUCT or value is None:
            raise DataError(f"{cls.__name__} travels as a struct with its schema, and this is none")
        return cls.from_struct(value)


def _to_struct(cls: type[ConnectRecord]) -> Any:
    def convert(value: Any) -> Any:
        if not isinstance(value, cls):
            raise DataError(f"takes {cls.__name__}, not {type(value).__name__}")
        return value.to_struct()

    return convert


def _field_types(cls: type[ConnectRecord]) -> dict[str, FieldType]:
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError as exc:
        raise _unknown_type(cls, exc) from exc
    found: dict[str, FieldType] = {}
    for field in fields(cls):  # type: ignore[arg-type]  # made a dataclass above
        if field.name.startswith("_"):
            raise ConfigError(f"{cls.__name__}.{field.name}: a field's name does not begin with _")
        try:
            kind = field_type(hints[field.name])
            if field.default is not MISSING and field.default is not None:
                schema = kind.schema.replace(default=kind.to_connect(field.default))
                kind = FieldType(schema, kind.to_connect, kind.from_connect, kind.is_key)
        except (ConfigError, DataError) as exc:
            raise ConfigError(f"{cls.__name__}.{field.name}: {exc}") from exc
        found[field.name] = kind
    if not found:
        raise ConfigError(f"{cls.__name__} has no fields")
    return found


def _unknown_type(cls: type[ConnectRecord], exc: NameError) -> ConfigError:
    name = exc.name or ""
    where = next((field for field, hint in cls.__annotations__.items() if isinstance(hint, str) and name in hint), "?")
    near = difflib.get_close_matches(name, [*NAMES, *NAMES.values()], n=1)
    written = NAMES.get(near[0], near[0]) if near else ""
    hint = f"; did you mean {written}?" if near else f"; known are {', '.join(NAMES.values())}"
    return ConfigError(f"{cls.__name__}.{where}: unknown type {name!r}{hint}")


def encode_envelope(schema: Schema, value: Any) -> bytes:
    """`value` with its schema, byte for byte as Java's JsonConverter writes them."""
    with _LOCK:
        raw = _converter().from_connect("", schema, value)
    assert raw is not None, "a value with a schema always has an envelope"
    return raw


def decode_envelope(raw: bytes) -> tuple[Schema | None, Any]:
    """Schema and value of an envelope; DataError when `raw` is none."""
    with _LOCK:
        return _converter().to_connect("", raw)


# A converter serves one thread at a time; handlers run in many.
_LOCK: Final = threading.Lock()


@cache
def _converter() -> JsonConverter:
    converter = JsonConverter()
    converter.configure({"schemas.enable": "true"}, is_key=False)
    return converter
