"""MaskField: replace fields by a zero value or by a text or number of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, Type
from syncline.data.logical import decimal_scale
from syncline.data.schema import INTEGER_BITS
from syncline.errors import DataError
from syncline.options import Importance, Kind, non_empty, option
from syncline.transforms.sides import (
    R,
    SidedTransform,
    both_sides,
    build,
    get,
    java_name,
    replace_null_option,
)


@dataclass(frozen=True, kw_only=True)
class MaskFieldConfig:
    fields: list[str] = option(
        "fields", "Names of the fields.", kind=Kind.LIST, importance=Importance.HIGH, check=non_empty
    )
    replacement: str | None = option(
        "replacement",
        "Text or number in place of the value; for number and string fields only.",
        default=None,
        importance=Importance.LOW,
        check=non_empty,
    )
    replace_null: bool = replace_null_option()


_ZERO: Final[Mapping[Type, Any]] = {
    **dict.fromkeys(INTEGER_BITS, 0),
    Type.FLOAT32: 0.0,
    Type.FLOAT64: 0.0,
    Type.BOOLEAN: False,
    Type.STRING: "",
}
_LOGICAL: Final = frozenset({DATE, TIME, TIMESTAMP})


@both_sides("MaskField")
class MaskField(SidedTransform[R, MaskFieldConfig]):
    """A null stays null, unless the field has a default. A number that does not fit its field is refused."""

    settings = MaskFieldConfig
    purpose = "mask fields"
    passes_null = False

    def check(self) -> None:
        self._names = frozenset(self.config.fields)

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        values = {}
        for field in schema.fields:
            found = get(schema, value, field.name, replace_null=self.config.replace_null)
            masked = field.name in self._names and found is not None
            values[field.name] = self._mask(field.name, field.schema, found) if masked else found
        return schema, build(schema, values)

    def without_schema(self, record: R, value: Any) -> Any:
        changed = dict(value)
        for name in self.config.fields:
            found = value.get(name)
            changed[name] = None if found is None else self._mask_plain(name, found)
        return changed

    def _mask(self, name: str, schema: Schema, value: Any) -> Any:
        if self.config.replacement is not None:
            if schema.name in _LOGICAL:
                raise self._refuse("java.util.Date", custom=True)
            if schema.name == DECIMAL:
                return self._number(name, Decimal)
            return self._custom(name, schema.type, value)
        if schema.name == DECIMAL:
            return Decimal(0).scaleb(-decimal_scale(schema))
        if schema.type is Type.ARRAY:
            return []
        if schema.type is Type.MAP:
            return {}
        if schema.type not in _ZERO:
            raise self._refuse(java_name(value), custom=False)
        return _ZERO[schema.type]

    def _custom(self, name: str, kind: Type, value: Any) -> Any:
        assert self.config.replacement is not None
        if kind is Type.STRING:
            return self.config.replacement
        if kind in INTEGER_BITS:
            number = self._number(name, int)
            bits = INTEGER_BITS[kind]
            if not -(1 << bits - 1) <= number < 1 << bits - 1:
                raise DataError(f"replacement {number} for field {name!r} does not fit {kind}")
            return number
        if kind in (Type.FLOAT32, Type.FLOAT64):
            return self._number(name, float)
        raise self._refuse(java_name(value), custom=True)

    def _mask_plain(self, name: str, value: Any) -> Any:
        kinds: tuple[tuple[type[Any], Type], ...] = (
            (bool, Type.BOOLEAN),
            (int, Type.INT64),
            (float, Type.FLOAT64),
            (str, Type.STRING),
        )
        kind = next((kind for python, kind in kinds if isinstance(value, python)), None)
        custom = self.config.replacement is not None
        if isinstance(value, Decimal):
            return self._number(name, Decimal) if custom else Decimal(0)
        if kind is not None:
            return self._custom(name, kind, value) if custom else _ZERO[kind]
        if isinstance(value, list | dict) and not custom:
            return type(value)()
        raise self._refuse(java_name(value), custom=custom)

    def _number(self, name: str, kind: type[Any]) -> Any:
        try:
            return kind(self.config.replacement)
        except (ValueError, ArithmeticError) as exc:
            raise DataError(
                f"replacement {self.config.replacement!r} for field {name!r} is no {kind.__name__}"
            ) from exc

    def _refuse(self, found: str, *, custom: bool) -> DataError:
        return DataError(f"Cannot mask value of type class {found}{' with custom replacement' if custom else ''}.")
