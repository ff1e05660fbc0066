"""Values as Java prints them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from syncline.data.numbers import java_decimal, java_double
from syncline.data.schema import Schema, Type


def java_text(schema: Schema | None, value: Any) -> str:
    """What `toString` gives: `Struct{a=1,b=x}`, `{k=v, k2=v2}`, `[a, b]`, `1.0`, `true`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return java_double(value, single=schema is not None and schema.type is Type.FLOAT32)
    if isinstance(value, Decimal):
        return java_decimal(value)
    if isinstance(value, msgspec.Struct) and schema is not None:
        fields = ((field, getattr(value, field.attribute)) for field in schema.fields)
        return "Struct{" + ",".join(f"{f.name}={java_text(f.schema, v)}" for f, v in fields if v is not None) + "}"
    if isinstance(value, list):
        inner = schema.value_schema if schema is not None else None
        return "[" + ", ".join(java_text(inner, entry) for entry in value) + "]"
    if isinstance(value, dict):
        keys = schema.key_schema if schema is not None else None
        values = schema.value_schema if schema is not None else None
        return "{" + ", ".join(f"{java_text(keys, k)}={java_text(values, v)}" for k, v in value.items()) + "}"
    return str(value)
