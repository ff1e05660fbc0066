"""Python annotations as Kafka Connect schemas, and values to and fro."""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Union, get_args, get_origin

from syncline.data import (
    Schema,
    Type,
    array,
    date_schema,
    decimal_schema,
    map_of,
    primitive,
    time_schema,
    timestamp_schema,
)
from syncline.data.schema import INTEGER_BITS
from syncline.errors import ConfigError, DataError

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """Part of an annotation: the schema behind a Python type, and how values are held in it."""

    make: Callable[[], Schema]
    to_connect: Convert
    from_connect: Convert


@dataclass(frozen=True, slots=True)
class MaxLen:
    """At most so many characters; a longer text is refused before it is sent."""

    characters: int


@dataclass(frozen=True, slots=True)
class Scale:
    """Digits after the point of a `Decimal` field: `Annotated[Decimal, Scale(2)]`."""

    digits: int


@dataclass(frozen=True, slots=True)
class Doc:
    """Documentation carried in the schema."""

    text: str


@dataclass(frozen=True, slots=True)
class _KeyMark:
    pass


Key: Final = _KeyMark()
"""Marks the field whose value is the record's key."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """What a field's annotation says."""

    schema: Schema
    to_connect: Convert
    from_connect: Convert
    is_key: bool = False


def _unchanged(value: Any) -> Any:
    return value


def _plain(kind: Type, *accepted: type) -> Mark:
    def check(value: Any) -> Any:
        if type(value) not in accepted:
            raise DataError(f"takes {accepted[0].__name__}, not {type(value).__name__}")
        if kind in INTEGER_BITS and not -(1 << INTEGER_BITS[kind] - 1) <= value < 1 << INTEGER_BITS[kind] - 1:
            raise DataError(f"{value} does not fit {kind}")
        return value

    return Mark(lambda: primitive(kind), check, check)


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)


def _milliseconds(value: Any) -> int:
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise DataError("takes a datetime with a time zone")
    return (value - _EPOCH) // _MILLISECOND


def _days(value: Any) -> int:
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise DataError(f"takes date, not {type(value).__name__}")
    return value.toordinal() - _EPOCH.toordinal()


def _of_the_day(value: Any) -> int:
    if not isinstance(value, dt.time) or value.tzinfo is not None:
        raise DataError("takes a time without a time zone")
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000


Int8 = Annotated[int, _plain(Type.INT8, int)]
Int16 = Annotated[int, _plain(Type.INT16, int)]
Int32 = Annotated[int, _plain(Type.INT32, int)]
Int64 = Annotated[int, _plain(Type.INT64, int)]
Float32 = Annotated[float, _plain(Type.FLOAT32, float, int)]
Float64 = Annotated[float, _plain(Type.FLOAT64, float, int)]
Timestamp = Annotated[dt.datetime, Mark(timestamp_schema, _milliseconds, lambda value: _EPOCH + value * _MILLISECOND)]
Date = Annotated[dt.date, Mark(date_schema, _days, lambda value: dt.date.fromordinal(value + _EPOCH.toordinal()))]
Time = Annotated[dt.time, Mark(time_schema, _of_the_day, lambda value: (dt.datetime.min + value * _MILLISECOND).time())]

_PLAIN: Final[Mapping[Any, Mark]] = {
    str: _plain(Type.STRING, str),
    bool: _plain(Type.BOOLEAN, bool),
    bytes: _plain(Type.BYTES, bytes),
    float: _plain(Type.FLOAT64, float, int),
}

_INSTEAD: Final[Mapping[Any, str]] = {
    int: "Int32 or Int64",
    Decimal: "Annotated[Decimal, Scale(digits)]",
    dt.datetime: "Timestamp",
    dt.date: "Date",
    dt.time: "Time",
    list: "list[...]",
    dict: "dict[str, ...]",
}
"""Python types that say too little for a schema."""

NAMES: Final[Mapping[str, str]] = {
    "string": "str",
    "boolean": "bool",
    "bytes": "bytes",
    "int8": "Int8",
    "int16": "Int16",
    "int32": "Int32",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
    "timestamp": "Timestamp",
    "date": "Date",
    "time": "Time",
}
"""Kafka Connect's type names and how they are written here, to help after a slip."""


def field_type(hint: Any) -> FieldType:
    """The type behind an annotation; ConfigError says why there is none."""
    base, marks = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
    alternatives = get_args(base) if get_origin(base) in (Union, types.UnionType) else ()
    if alternatives:
        if len(alternatives) != 2 or type(None) not in alternatives:
            raise ConfigError("a field has one type, or one type | None")
        inner = next(kind for kind in alternatives if kind is not type(None))
        found = _optional(field_type(Annotated[inner, *marks] if marks else inner))
    else:
        found = _required(base, marks)
    doc = next((mark.text for mark in marks if isinstance(mark, Doc)), None)
    schema = found.schema if doc is None else found.schema.replace(doc=doc)
    return FieldType(schema, found.to_connect, found.from_connect, found.is_key or Key in marks)


def _optional(inner: FieldType) -> FieldType:
    def to_connect(value: Any) -> Any:
        return None if value is None else inner.to_connect(value)

    def from_connect(value: Any) -> Any:
        return None if value is None else inner.from_connect(value)

    return FieldType(inner.schema.as_optional(), to_connect, from_connect, inner.is_key)


def _required(base: Any, marks: tuple[Any, ...]) -> FieldType:
    own = next((mark for mark in marks if isinstance(mark, Mark)), None) or _PLAIN.get(base)
    if own is not None:
        limit = next((mark.characters for mark in marks if isinstance(mark, MaxLen)), None)
        to_connect = own.to_connect if limit is None else _limited(own.to_connect, limit)
        return FieldType(own.make(), to_connect, own.from_connect)
    scale = next((mark.digits for mark in marks if isinstance(mark, Scale)), None)
    if base is Decimal and scale is not None:
        return FieldType(decimal_schema(scale), lambda value: _scaled(value, scale), _unchanged)
    if get_origin(base) is list:
        return _list(field_type(get_args(base)[0]))
    if get_origin(base) is dict:
        return _map(*map(field_type, get_args(base)))
    if isinstance(base, type) and hasattr(base, "__connect_type__"):
        record: FieldType = base.__connect_type__
        return record
    shown = getattr(base, "__name__", str(base))
    raise ConfigError(
        f"{shown} says too little; write {_INSTEAD[base]}"
        if base in _INSTEAD
        else f"{shown} has no counterpart in Kafka Connect"
    )


def _limited(to_connect: Convert, limit: int) -> Convert:
    def check(value: Any) -> Any:
        held = to_connect(value)
        if len(held) > limit:
            raise DataError(f"has {len(held)} characters, more than {limit}")
        return held

    return check


def _scaled(value: Any, digits: int) -> Decimal:
    """`value` with exactly so many digits after the point; more of them would have to be rounded."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise DataError(f"takes a finite Decimal, not {value!r}")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > digits:
        raise DataError(f"{value} has more than {digits} digits after the point")
    sign, figures, _ = value.as_tuple()
    return Decimal((sign, figures + (0,) * (digits + exponent), -digits))


def _list(element: FieldType) -> FieldType:
    def convert(each: Convert) -> Convert:
        def check(value: Any) -> Any:
            if not isinstance(value, list):
                raise DataError(f"takes list, not {type(value).__name__}")
            return [each(held) for held in value]

        return check

    return FieldType(array(element.schema), convert(element.to_connect), convert(element.from_connect))


def _map(key: FieldType, value: FieldType) -> FieldType:
    def convert(keys: Convert, values: Convert) -> Convert:
        def check(entries: Any) -> Any:
            if not isinstance(entries, dict):
                raise DataError(f"takes dict, not {type(entries).__name__}")
            return {keys(name): values(held) for name, held in entries.items()}

        return check

    return FieldType(
        map_of(key.schema, value.schema),
        convert(key.to_connect, value.to_connect),
        convert(key.from_connect, value.from_connect),
    )
