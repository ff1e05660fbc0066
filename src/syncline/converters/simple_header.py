"""SimpleHeaderConverter: header values as text that says its own type (spec/connect.md 6.4).

Unlike the JVM's, nothing is dropped and nothing guessed: text of which only the beginning is a number, list or
date stays text, impossible dates stay text, and bytes that are no UTF-8 stay bytes.
"""

from __future__ import annotations

import base64
import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from syncline.api import HeaderConverter, PluginKind, plugin
from syncline.data import (
    DATE,
    TIME,
    TIMESTAMP,
    Schema,
    SchemaAndValue,
    Type,
    array,
    date_schema,
    decimal_schema,
    map_of,
    primitive,
    time_schema,
    timestamp_schema,
)
from syncline.data.logical import DAY_MS
from syncline.data.numbers import java_decimal, java_double, to_float32
from syncline.data.schema import INTEGER_BITS
from syncline.errors import DataError

_STRING: Final = primitive(Type.STRING)
_BOOLEAN: Final = primitive(Type.BOOLEAN)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*)(?:[eE][+-]?\d+)?")
_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_TIME: Final = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d{3})Z")


@plugin(PluginKind.HEADER_CONVERTER, "org.apache.kafka.connect.storage.SimpleHeaderConverter")
class SimpleHeaderConverter(HeaderConverter):
    """The default header converter."""

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        if raw is None:
            return SchemaAndValue(None, None)
        try:
            return infer(raw.decode())
        except UnicodeDecodeError:
            return SchemaAndValue(primitive(Type.BYTES), raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return None if value is None else text_of(schema, value).encode()


def infer(text: str) -> SchemaAndValue:
    """The value a text stands for, with the smallest type that holds it exactly."""
    stripped = text.strip()
    if stripped == "null":
        return SchemaAndValue(None, None)
    if stripped in ("true", "false"):
        return SchemaAndValue(_BOOLEAN, stripped == "true")
    if stripped[:1] in ("[", "{"):
        return _container(stripped) or SchemaAndValue(_STRING, text)
    if text[:1].isdigit() or text[:1] in ("+", "-"):
        found = _moment(text) or _number(text)
        if found is not None:
            return found
    return SchemaAndValue(_STRING, text)


def _number(text: str) -> SchemaAndValue | None:
    if not _NUMBER.fullmatch(text):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if value.adjusted() < 20 and value == value.to_integral_value():
        whole = int(value)
        for kind, bits in INTEGER_BITS.items():
            if -(1 << bits - 1) <= whole < 1 << bits - 1:
                return SchemaAndValue(primitive(kind), whole)
    number = float(value)
    if number not in (float("inf"), float("-inf")):
        if Decimal(java_double(to_float32(number), single=True)) == value and to_float32(number) != float("inf"):
            return SchemaAndValue(primitive(Type.FLOAT32), to_float32(number))
        if Decimal(repr(number)) == value:
            return SchemaAndValue(primitive(Type.FLOAT64), number)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return SchemaAndValue(decimal_schema(-exponent), value)


def _moment(text: str) -> SchemaAndValue | None:
    from datetime import UTC, datetime

    date, _, time = text.partition("T")
    day = _DATE.fullmatch(date)
    clock = _TIME.fullmatch(time or text)
    if clock is not None:
        hours, minutes, seconds, millis = map(int, clock.groups())
        if hours > 23 or minutes > 59 or seconds > 59:
            return None
        of_day = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis
        if not time:
            return SchemaAndValue(time_schema(), of_day)
    if day is None or (time and clock is None):
        return None
    try:
        moment = datetime(int(day[1]), int(day[2]), int(day[3]), tzinfo=UTC)
    except ValueError:
        return None
    days = (moment - datetime(1970, 1, 1, tzinfo=UTC)).days
    if not time:
        return SchemaAndValue(date_schema(), days)
    return SchemaAndValue(timestamp_schema(), days * DAY_MS + of_day)


def _container(text: str) -> SchemaAndValue | None:
    """A list or map written as JSON, with or without a comma at the end."""
    try:
        value = json.loads(re.sub(r",\s*([\]}])$", r"\1", text), parse_float=Decimal)
    except ValueError:
        return None
    return _inferred(value)


def _inferred(value: Any) -> SchemaAndValue:
    if isinstance(value, str):
        return SchemaAndValue(_STRING, value)
    if isinstance(value, list):
        inner = [_inferred(entry) for entry in value]
        return SchemaAndValue(array(_common(inner)), [entry.value for entry in inner])
    if isinstance(value, dict):
        keys = [infer(key) if not key.startswith('"') else _inferred(key) for key in value]
        inner = [_inferred(entry) for entry in value.values()]
        made = {key.value: entry.value for key, entry in zip(keys, inner, strict=True)}
        return SchemaAndValue(map_of(_common(keys), _common(inner)), made)
    return infer(json.dumps(value) if not isinstance(value, Decimal) else str(value))


def _common(found: list[SchemaAndValue]) -> Schema | None:
    """One schema for all entries: integers and floats widen, other mixtures have none."""
    schemas = {entry.schema for entry in found if entry.schema is not None}
    if len(schemas) <= 1:
        return next(iter(schemas), None)
    order = [Type.INT8, Type.INT16, Type.INT32, Type.INT64, Type.FLOAT32, Type.FLOAT64]
    if all(schema.type in order and schema.name is None for schema in schemas):
        return primitive(max((schema.type for schema in schemas), key=order.index))
    return None


def text_of(schema: Schema | None, value: Any, *, inner: bool = False) -> str:
    """A value as header text; strings inside lists and maps are quoted."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if inner else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        text = base64.b64encode(value).decode()
        return f'"{text}"' if inner else text
    if schema is not None and schema.name in (DATE, TIME, TIMESTAMP):
        return moment_text(value * DAY_MS if schema.name == DATE else value)
    if isinstance(value, Decimal):
        return java_decimal(value)
    if isinstance(value, float):
        return java_double(value, single=schema is not None and schema.type is Type.FLOAT32)
    if isinstance(value, list):
        element = schema.value_schema if schema is not None else None
        return "[" + ",".join(text_of(element, entry, inner=True) for entry in value) + "]"
    if isinstance(value, dict):
        keys, values = (schema.key_schema, schema.value_schema) if schema is not None else (None, None)
        pairs = (f"{text_of(keys, k, inner=True)}:{text_of(values, v, inner=True)}" for k, v in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, msgspec.Struct) and schema is not None:
        fields = (
            f'"{field.name}":{text_of(field.schema, getattr(value, field.attribute), inner=True)}'
            for field in schema.fields
        )
        return "{" + ",".join(fields) + "}"
    if isinstance(value, int):
        return str(value)
    raise DataError(f"a header cannot hold a {type(value).__name__}; use text, numbers, bytes, lists or maps")


def moment_text(milliseconds: int) -> str:
    """Before 1970-01-02 a bare time, whole days a date, otherwise both."""
    days, of_day = divmod(milliseconds, DAY_MS)
    seconds, millis = divmod(of_day, 1000)
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{millis:03}Z"
    if milliseconds < DAY_MS:
        return time
    from datetime import date, timedelta

    day = (date(1970, 1, 1) + timedelta(days=days)).isoformat()
    return day if of_day == 0 else f"{day}T{time}"
