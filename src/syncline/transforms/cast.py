"""Cast: fields, or the whole key or value, to another primitive type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from syncline.data import Schema, Type, primitive
from syncline.data.literals import text_of
from syncline.data.numbers import to_float32, wrap
from syncline.data.schema import INTEGER_BITS
from syncline.errors import ConfigError, DataError
from syncline.options import Importance, Kind, non_empty, option
from syncline.transforms.sides import (
    NotANumber,
    R,
    SidedTransform,
    both_sides,
    build,
    get,
    java_name,
    rebuilt,
    replace_null_option,
)

_NOT_CAST: Final = frozenset({Type.ARRAY, Type.MAP, Type.STRUCT})
_SOURCES: Final = tuple(kind for kind in Type if kind not in _NOT_CAST)
_TARGETS: Final[Mapping[str, Type]] = {kind.lower(): kind for kind in _SOURCES if kind is not Type.BYTES}


@dataclass(frozen=True, kw_only=True)
class CastConfig:
    spec: list[str] = option(
        "spec",
        "Pairs field:type, or one type for the whole key or value. Types: " + ", ".join(_TARGETS) + ".",
        kind=Kind.LIST,
        importance=Importance.HIGH,
        check=non_empty,
    )
    replace_null: bool = replace_null_option()


@both_sides("Cast")
class Cast(SidedTransform[R, CastConfig]):
    """Numbers are cut to the target's width as Java casts do; text must parse."""

    settings = CastConfig
    purpose = "cast types"

    def check(self) -> None:
        self._fields, self._whole = _parse_spec(self.config.spec)

    def apply(self, record: R) -> R | None:
        if self._whole is None:
            return self.apply_to_fields(record)
        schema, value = self.side.schema(record), self.side.value(record)
        if value is None and schema is None:
            return record
        if schema is None:
            return self.side.changed(record, None, self._cast(None, value, self._whole))
        if value is None:
            return record
        changed = self.schema_for(schema, self._whole_schema)
        return self.side.changed(record, changed, self._cast(schema, value, self._whole))

    def _whole_schema(self, schema: Schema) -> Schema:
        assert self._whole is not None
        return self._cast_schema(schema, self._whole)

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        changed = self.schema_for(schema, self._changed)
        values = {}
        for field in schema.fields:
            found = get(schema, value, field.name, replace_null=self.config.replace_null)
            target = self._fields.get(field.name)
            values[field.name] = found if target is None else self._cast(field.schema, found, target)
        return changed, build(changed, values)

    def _changed(self, schema: Schema) -> Schema:
        fields = []
        for field in schema.fields:
            target = self._fields.get(field.name)
            fields.append((field.name, field.schema if target is None else self._cast_schema(field.schema, target)))
        return rebuilt(schema, fields, optional=schema.optional, default=None)

    def _cast_schema(self, schema: Schema, target: Type) -> Schema:
        default = None if schema.default is None else self._cast(schema, schema.default, target)
        return primitive(target, optional=schema.optional, default=default)

    def without_schema(self, record: R, value: Any) -> Any:
        changed = dict(value)
        for name, target in self._fields.items():
            changed[name] = self._cast(None, value.get(name), target)
        return changed

    def _cast(self, schema: Schema | None, value: Any, target: Type) -> Any:
        if value is None:
            return None
        if schema is None:
            if isinstance(value, Decimal):
                raise DataError("Cast does not support casting java.math.BigDecimal without a schema")
            if not isinstance(value, bool | int | float | str | bytes):
                raise DataError(f"Cast does not support casting values of type {java_name(value)}")
        elif schema.type in _NOT_CAST:
            raise DataError(
                f"Cast transformation does not support casting to/from {schema.type}; "
                f"supported types are {list(map(str, _SOURCES))}"
            )
        try:
            return _CASTS[target](schema, value)
        except (ValueError, OverflowError) as exc:
            raise DataError(f"Value ({value}) was out of range for requested data type") from NotANumber(str(exc))


def _parse_spec(spec: list[str]) -> tuple[dict[str, Type], Type | None]:
    fields: dict[str, Type] = {}
    whole: Type | None = None
    for entry in spec:
        name, colon, kind = entry.rpartition(":")
        target = _TARGETS.get(kind.strip().lower())
        if target is None or (colon and ":" in name):
            raise ConfigError(
                {"spec": [f"Invalid type found in casting spec: {kind.strip() if target is None else entry}"]}
            )
        if colon:
            fields[name.strip()] = target
        else:
            whole = target
    if whole is not None and len(spec) > 1:
        raise ConfigError(
            {
                "spec": [
                    "Cast transformations that specify a type to cast the entire value to "
                    "may only specify a single cast in their spec"
                ]
            }
        )
    if not fields and whole is None:
        raise ConfigError({"spec": ["Must specify at least one field to cast."]})
    return fields, whole


def _number(schema: Schema | None, value: Any) -> int | float | Decimal:
    """The number a value stands for before it is cut to its target; text must parse as that target."""
    if isinstance(value, bytes):
        raise DataError("Cast does not support casting bytes to a number")
    if isinstance(value, bool | int | float | Decimal):
        return value
    raise DataError(f"Cast does not support casting values of type {java_name(value)}")


# As Java reads them: Python would also take 1_000 and nan.
_INTEGER: Final = re.compile(r"[+-]?\d{1,30}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?(?:NaN|Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?)", re.ASCII)


def _integer(kind: Type) -> Callable[[Schema | None, Any], int]:
    bits = INTEGER_BITS[kind]
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def cast(schema: Schema | None, value: Any) -> int:
        if isinstance(value, str):
            if not _INTEGER.fullmatch(value) or not low <= int(value) <= high:
                raise ValueError(f"{value!r} is no {kind}")
            return int(value)
        return wrap(truncate(_number(schema, value), 64 if bits == 64 else 32), bits)

    return cast


def truncate(number: float | Decimal, bits: int) -> int:
    """A Java cast from a floating number to an integer of so many bits: towards zero, ends held."""
    if isinstance(number, float):
        if math.isnan(number):
            return 0
        if math.isinf(number) or abs(number) >= 2 ** (bits - 1):
            return (1 << bits - 1) - 1 if number > 0 else -(1 << bits - 1)
    return int(number)


def _boolean(schema: Schema | None, value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    return truncate(_number(schema, value), 64) != 0


def _float(schema: Schema | None, value: Any) -> float:
    if isinstance(value, str):
        if not _FLOAT.fullmatch(value.strip()):
            raise ValueError(f"{value!r} is not a number")
        return float(value.strip().rstrip("fFdD"))
    return float(_number(schema, value))


def _float32(schema: Schema | None, value: Any) -> float:
    return to_float32(_float(schema, value))


def _string(schema: Schema | None, value: Any) -> str:
    if isinstance(value, str):
        return value
    return text_of(schema, value)


_CASTS: Final[Mapping[Type, Callable[[Schema | None, Any], Any]]] = {
    **{kind: _integer(kind) for kind in INTEGER_BITS},
    Type.FLOAT32: _float32,
    Type.FLOAT64: _float,
    Type.BOOLEAN: _boolean,
    Type.STRING: _string,
}
