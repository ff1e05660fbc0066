"""Logical types: a name on a base type that changes what the value means (spec/connect.md 6.1)."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, Final

from syncline.data.schema import DATE, DAY_MS, DECIMAL, TIME, TIMESTAMP, Schema, Type, primitive
from syncline.errors import DataError

__all__ = [
    "DATE",
    "DAY_MS",
    "DECIMAL",
    "EXACT",
    "TIME",
    "TIMESTAMP",
    "date_schema",
    "decimal_from_bytes",
    "decimal_scale",
    "decimal_schema",
    "decimal_to_bytes",
    "time_schema",
    "timestamp_schema",
]

# Java's BigDecimal has no precision limit; a context of its own keeps Python's from rounding.
EXACT: Final = Context(prec=1_000_000, Emax=999_999_999, Emin=-999_999_999)


def decimal_schema(scale: int, *, optional: bool = False, default: Decimal | None = None, **extra: Any) -> Schema:
    """Decimal with `scale` digits after the point; `extra` are further parameters of the schema."""
    parameters = {"scale": str(scale), **{key: str(value) for key, value in extra.items()}}
    return primitive(Type.BYTES, optional=optional, default=default, name=DECIMAL, version=1, parameters=parameters)


def date_schema(*, optional: bool = False, default: int | None = None) -> Schema:
    """Days since the epoch."""
    return primitive(Type.INT32, optional=optional, default=default, name=DATE, version=1)


def time_schema(*, optional: bool = False, default: int | None = None) -> Schema:
    """Milliseconds of the day."""
    return primitive(Type.INT32, optional=optional, default=default, name=TIME, version=1)


def timestamp_schema(*, optional: bool = False, default: int | None = None) -> Schema:
    """Milliseconds since the epoch."""
    return primitive(Type.INT64, optional=optional, default=default, name=TIMESTAMP, version=1)


def decimal_scale(schema: Schema) -> int:
    """The scale a Decimal schema declares; DataError when the parameter is missing or no number."""
    text = schema.parameters.get("scale")
    if text is None:
        raise DataError("Invalid Decimal schema: scale parameter not found.")
    try:
        return int(text)
    except ValueError as exc:
        raise DataError(f"Invalid scale parameter found in Decimal schema: {text!r}") from exc


def decimal_from_bytes(unscaled: bytes, scale: int) -> Decimal:
    """The decimal whose unscaled value is the big-endian two's complement `unscaled`."""
    if not unscaled:
        raise DataError("Invalid bytes for Decimal field: Zero length BigInteger")
    return EXACT.scaleb(int.from_bytes(unscaled, "big", signed=True), -scale)


def decimal_to_bytes(value: Decimal, scale: int) -> bytes:
    """The shortest big-endian two's complement of `value` at `scale`.

    Raises DataError when `value` has another scale (Connect checks it in this writer only).
    """
    if not value.is_finite():
        raise DataError(f"Decimal value {value} is not a number")
    scaled = EXACT.scaleb(value, scale)
    if not scaled.same_quantum(_WHOLE):
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        raise DataError(
            f"Decimal value has mismatching scale for given Decimal schema. Schema has scale {scale}, "
            f"value has scale {-exponent}."
        )
    unscaled = int(scaled)
    length = (unscaled + (unscaled < 0)).bit_length() // 8 + 1
    return unscaled.to_bytes(length, "big", signed=True)


_WHOLE: Final = Decimal(1)
