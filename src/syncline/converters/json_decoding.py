"""The fast path: payloads straight into values, by a decoder made once for a schema.

msgspec checks types, ranges and nulls while it decodes; a second pass over the few places that need one
makes Decimals, rounds FLOAT32s, fills in defaults. Whatever is refused here goes to `json_reading`, which
either accepts it or says what is wrong; so this path has to be strict, and to agree where it accepts.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from syncline.converters.json_reading import Coercion, check_keys
from syncline.data import DECIMAL, Schema, Type
from syncline.data.logical import decimal_from_bytes, decimal_scale
from syncline.data.numbers import to_float32
from syncline.data.schema import LOGICAL_TYPES, is_json_name, python_type
from syncline.errors import DataError

Decode = Callable[[Any], Any]
"""From the bytes of a payload to its value; raises one of REFUSALS."""

Finish = Callable[[Any], Any]
"""From what msgspec decoded to the value."""


class Refused(Exception):
    """Not for the fast path; the careful one decides."""


REFUSALS: Final = (Refused, msgspec.MsgspecError, UnicodeDecodeError, RecursionError, DataError)

_MANY_DIGITS: Final = re.compile(rb"\d{19}")


def decoder(schema: Schema | None, coercion: Coercion, *, replace_null: bool) -> Decode:
    """The fast path for `schema`; it refuses everything where it could not be right."""
    decode: Decode
    if schema is None:
        decode = _without_wide_integers(msgspec.json.Decoder().decode)
        floats = True
    elif _possible(schema, replace_null):
        decode = msgspec.json.Decoder(python_type(schema)).decode
        finish = _finisher(schema)
        if finish is not None:
            decode = _finished(decode, finish)
        floats = any(part.type in (Type.FLOAT32, Type.FLOAT64) for part in _parts(schema))
    else:
        return _refuse
    return _without_negative_zeros(decode) if floats and coercion is Coercion.JAVA else decode


def _refuse(payload: bytes) -> Any:
    raise Refused


def _finished(decode: Decode, finish: Finish) -> Decode:
    return lambda payload: finish(decode(payload))


def _without_wide_integers(decode: Decode) -> Decode:
    """Refuse texts with an integer that may not fit into 64 bits, where msgspec has no bounds to check."""

    def guarded(payload: bytes) -> Any:
        if _MANY_DIGITS.search(payload):
            raise Refused
        return decode(payload)

    return guarded


def _without_negative_zeros(decode: Decode) -> Decode:
    """Refuse texts with what may be a -0.0, which Java's converter reads as 0.0."""

    def guarded(payload: bytes) -> Any:
        if b"-0" in payload:
            raise Refused
        return decode(payload)

    return guarded


def _parts(schema: Schema) -> Iterator[Schema]:
    """`schema` and every schema in it."""
    yield schema
    for part in (schema.key_schema, schema.value_schema, *(field.schema for field in schema.fields)):
        if part is not None:
            yield from _parts(part)


def _possible(schema: Schema, replace_null: bool) -> bool:
    """Whether msgspec can decode `schema` as it must be.

    Not with defaults that null is not replaced by: msgspec puts a default where a field is missing, and
    Java null. Not with fields that msgspec cannot look for, nor with maps whose keys Python cannot have
    as keys, nor with Decimals without a scale.
    """
    for part in _parts(schema):
        if part.default is not None and not replace_null:
            return False
        if not all(is_json_name(field.name) for field in part.fields):
            return False
        try:
            if part.key_schema is not None:
                check_keys(part.key_schema)
            if part.name == DECIMAL:
                decimal_scale(part)
        except DataError:
            return False
    return True


def _finisher(schema: Schema) -> Finish | None:
    """The second pass over a value of `schema`; None when there is nothing to do, as is most common."""
    if schema.name == DECIMAL:
        return _decimals(schema)
    finish = _finisher_of_type(schema)
    default = schema.default
    if finish is None and default is None:
        return None
    if finish is None:
        return lambda value: default if value is None else value
    if schema.optional or default is not None:
        of_value = finish
        return lambda value: default if value is None else of_value(value)
    return finish


def _finisher_of_type(schema: Schema) -> Finish | None:
    if schema.name in LOGICAL_TYPES:
        return None
    match schema.type:
        case Type.FLOAT32:
            return to_float32
        case Type.ARRAY if schema.value_schema is not None:
            element = _finisher(schema.value_schema)
            return None if element is None else lambda value: [element(each) for each in value]
        case Type.MAP:
            return _maps(schema)
        case Type.STRUCT:
            return _structs(schema)
    return None


def _maps(schema: Schema) -> Finish | None:
    keys = None if schema.key_schema is None else _finisher(schema.key_schema)
    values = None if schema.value_schema is None else _finisher(schema.value_schema)
    if schema.key_schema is None or schema.key_schema.type is Type.STRING:
        if values is None:
            return None
        return lambda value: {key: values(held) for key, held in value.items()}
    key_of, value_of = keys or _same, values or _same

    def finish(pairs: Any) -> dict[Any, Any]:
        # A default that msgspec put there is a dict already.
        entries = pairs.items() if isinstance(pairs, dict) else pairs
        return {key_of(key): value_of(held) for key, held in entries}

    return finish


def _same(value: Any) -> Any:
    return value


def _structs(schema: Schema) -> Finish | None:
    finishers = [(field.attribute, _finisher(field.schema)) for field in schema.fields]
    todo = [(attribute, finish) for attribute, finish in finishers if finish is not None]
    if not todo:
        return None

    def finish_struct(value: Any) -> Any:
        for attribute, finish in todo:
            setattr(value, attribute, finish(getattr(value, attribute)))
        return value

    return finish_struct


def _decimals(schema: Schema) -> Finish:
    """From the text of a Decimal (base64 in quotes, a number, null) to the number."""
    scale, default = decimal_scale(schema), schema.default

    def finish(raw: Any) -> Any:
        if type(raw) is not msgspec.Raw:
            return default if raw is None else raw  # the default, where msgspec put it there
        text = bytes(raw)
        if text[0] == _QUOTE:
            try:
                return decimal_from_bytes(binascii.a2b_base64(text[1:-1], strict_mode=True), scale)
            except binascii.Error as exc:
                raise Refused from exc
        if text[0] in _NUMBER_STARTS:
            number = Decimal(text.decode())
            return number if number else abs(number)
        if text == b"null" and default is not None:
            return default
        raise Refused

    return finish


_QUOTE: Final = ord('"')
_NUMBER_STARTS: Final = b"-0123456789"
