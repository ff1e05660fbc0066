"""Columns of rows on their way into a database: a kind that every dialect knows, and a value per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, Type


class BindAs(Enum):
    """What kind of SQL value a column's values are."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    BYTES = "bytes"
    DECIMAL = "decimal"
    MOMENT = "moment"
    """Dates and times: text in SQL's form, or integers where the dialect stores them so."""
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Bound:
    """One column of rows to write."""

    kind: BindAs
    values: Sequence[Any]
    """One per row; None is NULL."""


def bind_kind(schema: Schema) -> BindAs:
    """What kind of SQL value a Connect value of `schema` is; LookupError for maps and structs."""
    if schema.name == DECIMAL:
        return BindAs.DECIMAL
    if schema.name in _MOMENTS:
        return BindAs.MOMENT
    return _KINDS[schema.type]


_MOMENTS: Final = frozenset({DATE, TIME, TIMESTAMP})
_KINDS: Final[Mapping[Type, BindAs]] = {
    **dict.fromkeys((Type.INT8, Type.INT16, Type.INT32, Type.INT64), BindAs.INTEGER),
    **dict.fromkeys((Type.FLOAT32, Type.FLOAT64), BindAs.FLOAT),
    Type.BOOLEAN: BindAs.BOOLEAN,
    Type.STRING: BindAs.TEXT,
    Type.BYTES: BindAs.BYTES,
    Type.ARRAY: BindAs.ARRAY,
}
