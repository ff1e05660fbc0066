"""Values from JSON trees, node by node: what Java's JsonConverter does, or a refusal where it alters a value.

The path for records that the fast one in `json_decoding` refuses, and for defaults in schemas.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from syncline.converters.json_text import kind_of, shown
from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, Type
from syncline.data.logical import DAY_MS, decimal_from_bytes, decimal_scale
from syncline.data.numbers import java_double, to_float32, wrap
from syncline.data.schema import INTEGER_BITS
from syncline.errors import DataError


class Coercion(StrEnum):
    """What becomes of a value that does not fit its schema."""

    STRICT = "strict"
    """Refused, unless nothing is lost (5.0 for an INT32)."""
    JAVA = "java"
    """Altered in silence, exactly as Kafka Connect does: 300 for an INT8 becomes 44, text becomes 0."""


class InvalidFormat(DataError):
    """Text that should be base64 and is not."""

    java_class = "com.fasterxml.jackson.databind.exc.InvalidFormatException"


class NullPointer(DataError):
    """What Java reports where a Decimal's schema has no parameters."""

    java_class = "java.lang.NullPointerException"


class NumberFormat(DataError):
    """What Java reports for a Decimal of no bytes."""

    java_class = "java.lang.NumberFormatException"


Place = tuple["Place | None", str | int]
"""Where a node is: the place it is in, and its name or index there."""

PAYLOAD: Final[Place] = (None, "payload")

_NOT_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Jackson's base64: padding is a must and may come at any fourth place, blanks only in front of four.
_BASE64: Final = re.compile(r"(?:[\0- ]*(?:[A-Za-z0-9+/]{2}(?:[A-Za-z0-9+/]{2}|[A-Za-z0-9+/]=|==)))*[\0- ]*")


def path_of(place: Place) -> str:
    """`payload.orders[3].id`."""
    parent, name = place
    if parent is None:
        return str(name)
    return f"{path_of(parent)}[{name}]" if isinstance(name, int) else f"{path_of(parent)}.{name}"


class Reader:
    """Reads trees as `coercion` says; `replace_null` puts a field's default in place of null."""

    def __init__(self, coercion: Coercion, *, replace_null: bool) -> None:
        self.java = coercion is Coercion.JAVA
        self.replace_null = replace_null
        self._of_type: dict[Type, Callable[[Schema, Any, Place], Any]] = {
            **dict.fromkeys(INTEGER_BITS, self._integer),
            Type.FLOAT32: self._float,
            Type.FLOAT64: self._float,
            Type.BOOLEAN: self._boolean,
            Type.STRING: self._string,
            Type.BYTES: self._bytes,
            Type.ARRAY: self._array,
            Type.MAP: self._map,
            Type.STRUCT: self._struct,
        }
        self._of_name: dict[str | None, Callable[[Schema, Any, Place], Any]] = {
            DECIMAL: self._decimal,
            DATE: self._date,
            TIME: self._time,
            TIMESTAMP: self._timestamp,
        }

    def value(self, schema: Schema | None, node: Any, at: Place = PAYLOAD) -> Any:
        """The value of `node`; DataError naming the place when it does not fit `schema`."""
        if schema is None:
            return self._schemaless(node, at)
        if node is None:
            if schema.default is not None and self.replace_null:
                return schema.default
            if schema.optional:
                return None
            raise DataError(f"Invalid null value for required {schema.type} field, at {path_of(at)}")
        read = self._of_name.get(schema.name) or self._of_type[schema.type]
        return read(schema, node, at)

    def lossy(self, what: str, node: Any, at: Place, java: Any) -> Any:
        """`java`, the value Kafka Connect reads here without a word; refused unless that was asked for."""
        if self.java:
            return java
        raise DataError(
            f"{path_of(at)}: {shown(_spelt(node))} is no {what}. Kafka Connect would read "
            f"{shown(_spelt(java))} without a word; correct the producer, or set coercion=java to have that"
        )

    def _schemaless(self, node: Any, at: Place) -> Any:
        if node is None or isinstance(node, bool | str):
            return node
        if isinstance(node, int):
            return self._whole(Type.INT64, node, at)
        if isinstance(node, Decimal):
            return self._finite(Type.FLOAT64, node, at)
        if isinstance(node, list):
            return [self._schemaless(element, (at, index)) for index, element in enumerate(node)]
        return {key: self._schemaless(element, (at, key)) for key, element in node.items()}

    def _integer(self, schema: Schema, node: Any, at: Place) -> int:
        if isinstance(node, bool) or not isinstance(node, int | Decimal):
            return int(self.lossy(schema.type, node, at, 0))
        return self._whole(schema.type, node, at)

    def _whole(self, kind: Type, node: int | Decimal, at: Place) -> int:
        low = wrap(_cut_off(node), INTEGER_BITS[kind])
        return low if low == node else int(self.lossy(kind, node, at, low))

    def _float(self, schema: Schema, node: Any, at: Place) -> float:
        if isinstance(node, bool) or not isinstance(node, int | Decimal):
            if not self.java and isinstance(node, str) and node in _NOT_FINITE:
                return _NOT_FINITE[node]
            return float(self.lossy(schema.type, node, at, 0.0))
        return self._finite(schema.type, node, at)

    def _finite(self, kind: Type, node: int | Decimal, at: Place) -> float:
        try:
            read = float(node)
        except OverflowError:
            read = math.copysign(math.inf, node)
        if kind is Type.FLOAT32:
            read = to_float32(read)
        if math.isinf(read):
            return float(self.lossy(kind, node, at, read))
        # Java parses into a BigDecimal, which has no negative zero.
        return 0.0 if self.java and not node else read

    def _boolean(self, schema: Schema, node: Any, at: Place) -> bool:
        return node if isinstance(node, bool) else bool(self.lossy(schema.type, node, at, False))

    def _string(self, schema: Schema, node: Any, at: Place) -> str | None:
        return node if isinstance(node, str) else self._none(schema, node, at)

    def _bytes(self, schema: Schema, node: Any, at: Place) -> Any:
        if not isinstance(node, str):
            return self._none(schema, node, at)
        if not _BASE64.fullmatch(node):
            raise DataError(f"Invalid bytes field, at {path_of(at)}: {shown(node)} is no base64") from InvalidFormat(
                "broken Base64 encoding"
            )
        return from_base64(node)

    def _none(self, schema: Schema, node: Any, at: Place) -> Any:
        return self.lossy(schema.type, node, at, None)

    def _array(self, schema: Schema, node: Any, at: Place) -> list[Any]:
        if not isinstance(node, list):
            # Java walks over whatever children a node has: an object's values, nothing of a number.
            node = self.lossy(schema.type, node, at, list(node.values()) if isinstance(node, dict) else [])
        of = schema.value_schema
        return [self.value(of, element, (at, index)) for index, element in enumerate(node)]

    def _map(self, schema: Schema, node: Any, at: Place) -> dict[Any, Any]:
        keys, values = schema.key_schema, schema.value_schema
        if keys is None or keys.type is Type.STRING:
            if not isinstance(node, dict):
                raise DataError(
                    "Maps with string fields should be encoded as JSON objects, but found "
                    f"{kind_of(node)}, at {path_of(at)}"
                )
            return {key: self.value(values, element, (at, key)) for key, element in node.items()}
        if not isinstance(node, list):
            raise DataError(
                "Maps with non-string fields should be encoded as JSON array of tuples, but found "
                f"{kind_of(node)}, at {path_of(at)}"
            )
        check_keys(keys)
        read = {}
        for index, entry in enumerate(node):
            place = (at, index)
            if not isinstance(entry, list):
                raise DataError(
                    f"Found invalid map entry instead of array tuple: {kind_of(entry)}, at {path_of(place)}"
                )
            if len(entry) != 2:
                raise DataError(
                    f"Found invalid map entry, expected length 2 but found: {len(entry)}, at {path_of(place)}"
                )
            key = self.value(keys, entry[0], (place, 0))
            read[key] = self.value(values, entry[1], (place, 1))
        return read

    def _struct(self, schema: Schema, node: Any, at: Place) -> Any:
        if not isinstance(node, dict):
            raise DataError(f"Structs should be encoded as JSON objects, but found {kind_of(node)}, at {path_of(at)}")
        read = {}
        for field in schema.fields:
            value = self.value(field.schema, node.get(field.name), (at, field.name))
            if self.java:
                _refuse_nulls(field.name, field.schema, value)
            read[field.attribute] = value
        return schema.struct_class(**read)

    def _decimal(self, schema: Schema, node: Any, at: Place) -> Decimal:
        if isinstance(node, int | Decimal) and not isinstance(node, bool):
            number = Decimal(node)
            return number if number else abs(number)
        if not isinstance(node, str):
            raise DataError(
                "Invalid type for Decimal, underlying representation should be numeric or bytes but was "
                f"{kind_of(node)}, at {path_of(at)}"
            )
        try:
            return self._decimal_from_text(schema, node)
        except DataError as exc:
            raise DataError(f"Invalid bytes for Decimal field, at {path_of(at)}: {exc}") from exc

    def _decimal_from_text(self, schema: Schema, text: str) -> Decimal:
        if not _BASE64.fullmatch(text):
            raise InvalidFormat(f"{shown(text)} is no base64; a number goes without quotes")
        if not schema.parameters:
            raise NullPointer("the schema of a Decimal needs the parameter scale")
        unscaled = from_base64(text)
        if not unscaled:
            raise NumberFormat("Zero length BigInteger")
        return decimal_from_bytes(unscaled, decimal_scale(schema))

    def _date(self, schema: Schema, node: Any, at: Place) -> int:
        return self._int32("Date", node, at)

    def _time(self, schema: Schema, node: Any, at: Place) -> int:
        milliseconds = self._int32("Time", node, at)
        if not 0 <= milliseconds <= DAY_MS:
            raise DataError(
                "Time values must use number of milliseconds greater than 0 and less than 86400000, at "
                f"{path_of(at)}: {milliseconds}"
            )
        return milliseconds

    def _int32(self, name: str, node: Any, at: Place) -> int:
        if isinstance(node, bool) or not isinstance(node, int) or wrap(node, 32) != node:
            raise DataError(
                f"Invalid type for {name}, underlying representation should be integer but was "
                f"{kind_of(node)}, at {path_of(at)}: {shown(_spelt(node))}"
            )
        return node

    def _timestamp(self, schema: Schema, node: Any, at: Place) -> int:
        if isinstance(node, bool) or not isinstance(node, int):
            raise DataError(
                "Invalid type for Timestamp, underlying representation should be integral but was "
                f"{kind_of(node)}, at {path_of(at)}: {shown(_spelt(node))}"
            )
        return self._whole(Type.INT64, node, at)


def _refuse_nulls(name: str, schema: Schema | None, value: Any) -> None:
    """What Java does when a field is set: null that a coercion left where it may not be is refused after all."""
    if schema is None:
        return
    if value is None and not schema.optional:
        raise DataError(f'Invalid value: null used for required field: "{name}", schema type: {schema.type}')
    if isinstance(value, list):
        for element in value:
            _refuse_nulls(name, schema.value_schema, element)
    elif isinstance(value, dict):
        for key, held in value.items():
            _refuse_nulls(name, schema.key_schema, key)
            _refuse_nulls(name, schema.value_schema, held)


def _cut_off(number: int | Decimal) -> int:
    """The part before the point, or a number with the same 64 low bits."""
    if isinstance(number, int):
        return number
    _, _, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    # Not spelt out, since exponents can be huge: all low bits of 10 ** 64 are zero.
    return 0 if exponent >= 64 or number.adjusted() < 0 else int(number)


def from_base64(text: str) -> bytes:
    """The bytes of text that `_BASE64` matches: pieces that end with padding may follow one another."""
    pieces = re.findall(r"[A-Za-z0-9+/]+=*", re.sub(r"[\0- ]", "", text))
    return b"".join(b64decode(piece) for piece in pieces)


def check_keys(keys: Schema) -> None:
    """Refuse a schema whose values Python cannot have as the keys of a dict."""
    if keys.type in (Type.ARRAY, Type.MAP, Type.STRUCT):
        raise DataError(f"maps whose keys are of type {keys.type} are not supported")


def _spelt(node: Any) -> str:
    """A node, or a value, as JSON for a message."""
    if isinstance(node, float):
        return java_double(node)
    try:
        return _ENCODER.encode(node).decode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return repr(node)


_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
