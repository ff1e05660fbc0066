"""Values as JSON, byte for byte as Java's JsonConverter writes them.

A schema becomes a function from a value to something msgspec encodes. Every value is checked on the way,
since msgspec would write a text into an INT32 field without a word; what msgspec spells differently than
Jackson (large and small doubles, Decimals as numbers) is given to it spelt, as `msgspec.Raw`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from operator import attrgetter, call
from typing import Any, Final

import msgspec

from syncline.converters.formats import java_class_name
from syncline.converters.json_reading import Coercion, NullPointer, check_keys
from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, Type
from syncline.data.logical import DAY_MS, decimal_scale, decimal_to_bytes
from syncline.data.numbers import java_decimal, java_double, to_float32
from syncline.data.schema import INTEGER_BITS, is_json_name
from syncline.errors import DataError

Prepare = Callable[[Any], Any]
"""From a value to what msgspec encodes; raises DataError for a value that does not fit."""

_encode: Final = msgspec.json.Encoder().encode

# msgspec and Java spell a double alike from here (included) to there (not included).
_PLAIN_FROM, _PLAIN_TO = 1e-3, 1e7

_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-f]{4})|.)")
_BEYOND_BMP: Final = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")


class Writer:
    """Makes functions that write values of a schema; Decimals as numbers when `numeric`, else as base64."""

    def __init__(self, coercion: Coercion, *, numeric: bool, replace_null: bool) -> None:
        self._java = coercion is Coercion.JAVA
        self._numeric = numeric
        self._replace_null = replace_null

    def encoder(self, schema: Schema | None) -> Callable[[Any], bytes]:
        """A function from a value to its JSON; it raises DataError when the value does not fit."""
        prepare = self.preparer(schema)

        def encode(value: Any) -> bytes:
            try:
                text = _encode(prepare(value))
            except UnicodeEncodeError as exc:
                raise DataError(
                    f"a text holds half of a surrogate pair ({exc.object[exc.start]!r}), which JSON in UTF-8 "
                    "cannot hold"
                ) from exc
            except RecursionError:
                raise DataError("the value is nested too deeply, or holds itself") from None
            return text if text.isascii() and b"\\u" not in text else as_jackson(text)

        return encode

    def preparer(self, schema: Schema | None) -> Prepare:
        """The function for values of `schema`, null among them."""
        if schema is None:
            return _schemaless

        def odd(value: Any) -> Any:
            if value is not None:
                raise _unfit(schema, value)
            if schema.default is not None and self._replace_null:
                return prepare(schema.default)
            if schema.optional:
                return None
            raise DataError("Conversion error: null value for field that is required and has no default value")

        prepare = self._preparer(schema, odd)
        return prepare

    def _preparer(self, schema: Schema, odd: Prepare) -> Prepare:
        """The function for values of `schema`; null and what does not fit go to `odd`."""
        if schema.name == DECIMAL:
            return self._decimal(schema, odd)
        if schema.name in _INTEGERS_BY_NAME:
            return _integer(*_INTEGERS_BY_NAME[schema.name], odd)
        if schema.type in INTEGER_BITS:
            limit = 1 << INTEGER_BITS[schema.type] - 1
            return _integer(-limit, limit - 1, odd)
        match schema.type:
            case Type.FLOAT32:
                return _float32(odd)
            case Type.FLOAT64:
                return _float64(odd)
            case Type.BOOLEAN:
                return lambda value: value if type(value) is bool else odd(value)
            case Type.STRING:
                return lambda value: value if isinstance(value, str) else odd(value)
            case Type.BYTES:
                return lambda value: value if isinstance(value, bytes | bytearray | memoryview) else odd(value)
            case Type.ARRAY:
                return self._array(schema, odd)
            case Type.MAP:
                return self._map(schema, odd)
        return self._struct(schema, odd)

    def _array(self, schema: Schema, odd: Prepare) -> Prepare:
        element = self.preparer(schema.value_schema)
        return lambda value: list(map(element, value)) if isinstance(value, list | tuple) else odd(value)

    def _map(self, schema: Schema, odd: Prepare) -> Prepare:
        values = self.preparer(schema.value_schema)
        if schema.key_schema is None or schema.key_schema.type is Type.STRING:
            return lambda value: (
                {self._text_key(key): values(held) for key, held in value.items()}
                if isinstance(value, dict)
                else odd(value)
            )
        check_keys(schema.key_schema)
        keys = self.preparer(schema.key_schema)
        return lambda value: (
            [(keys(key), values(held)) for key, held in value.items()] if isinstance(value, dict) else odd(value)
        )

    def _text_key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        if key is None and self._java:
            return "null"
        if key is None:
            raise DataError(
                'a map has the key null, which JSON cannot tell from the text "null"; Kafka Connect writes '
                "the latter, and so does coercion=java"
            )
        raise DataError(f"Invalid type for the key of a map with text keys: {java_class_name(key)}")

    def _struct(self, schema: Schema, odd: Prepare) -> Prepare:
        kind = schema.struct_class
        names = [field.attribute for field in schema.fields]
        prepares = [self.preparer(field.schema) for field in schema.fields]
        held = _getter(names)
        as_json = _object_maker(schema)

        def prepare(value: Any) -> Any:
            if type(value) is not kind:
                return odd(value)
            try:
                return as_json(*map(call, prepares, held(value)))
            except DataError:
                _name_the_field(schema, prepares, value)
                raise

        return prepare

    def _decimal(self, schema: Schema, odd: Prepare) -> Prepare:
        if self._numeric:
            return lambda value: msgspec.Raw(_finite(value)) if isinstance(value, Decimal) else odd(value)
        try:
            scale = decimal_scale(schema)
        except DataError as exc:
            return self._without_scale(odd, exc)
        return lambda value: decimal_to_bytes(value, scale) if isinstance(value, Decimal) else odd(value)

    def _without_scale(self, odd: Prepare, error: DataError) -> Prepare:
        def prepare(value: Any) -> Any:
            if not isinstance(value, Decimal):
                return odd(value)
            if self._java:
                raise NullPointer(str(error))
            raise DataError(str(error)) from NullPointer(str(error))

        return prepare


_INTEGERS_BY_NAME: Final[dict[str | None, tuple[int, int]]] = {
    DATE: (-(1 << 31), (1 << 31) - 1),
    TIME: (0, DAY_MS),
    TIMESTAMP: (-(1 << 63), (1 << 63) - 1),
}


def _integer(low: int, high: int, odd: Prepare) -> Prepare:
    def prepare(value: Any) -> Any:
        if type(value) is not int:
            return odd(value)
        if low <= value <= high:
            return value
        raise DataError(f"{value} is not between {low} and {high}")

    return prepare


def _float64(odd: Prepare) -> Prepare:
    def prepare(value: Any) -> Any:
        if type(value) is float:
            plain = _PLAIN_FROM <= value < _PLAIN_TO or _PLAIN_FROM <= -value < _PLAIN_TO or not value
            return value if plain else _spelt(java_double(value))
        # Python's own arithmetic makes 5 of 5.0 readily; Java's Double would have been one all along.
        if type(value) is int and abs(value) <= 1 << 53:
            return prepare(float(value))
        return odd(value)

    return prepare


def _float32(odd: Prepare) -> Prepare:
    def prepare(value: Any) -> Any:
        if type(value) is not float:
            return prepare(float(value)) if type(value) is int and abs(value) <= 1 << 24 else odd(value)
        single = to_float32(value)
        if math.isinf(single) and not math.isinf(value):
            raise DataError(f"{value} is too large for a FLOAT32")
        # Six digits are enough for most numbers, and as a double they are printed as such.
        short = float(f"{single:.6g}")
        if to_float32(short) == single and (_PLAIN_FROM <= abs(short) < _PLAIN_TO or not short):
            return short
        return _spelt(java_double(single, single=True))

    return prepare


def _spelt(number: str) -> msgspec.Raw:
    """A number as Java spells it; what is no number in JSON goes in quotes."""
    return msgspec.Raw(f'"{number}"' if number[-1] in "Ny" else number)


def _finite(number: Decimal) -> str:
    if not number.is_finite():
        raise DataError(f"Decimal value {number} is not a number")
    return java_decimal(number)


def _schemaless(value: Any) -> Any:
    """A value without a schema; an object only when every key is text, else a list of pairs."""
    if value is None or isinstance(value, bool | str | bytes | bytearray | memoryview):
        return value
    if isinstance(value, int):
        return _any_integer(value)
    if isinstance(value, float):
        return _any_float(value)
    if isinstance(value, list | tuple):
        return list(map(_schemaless, value))
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _schemaless(held) for key, held in value.items()}
        return [(_schemaless(key), _schemaless(held)) for key, held in value.items()]
    raise _no_schemaless(value)


def _no_schemaless(value: Any) -> DataError:
    return DataError(
        f"Java class {java_class_name(value)} does not have corresponding schema type; give the value a schema"
    )


_any_integer: Final = _integer(-(1 << 63), (1 << 63) - 1, _no_schemaless)
_any_float: Final = _float64(_no_schemaless)


def _unfit(schema: Schema, value: Any) -> DataError:
    if isinstance(value, msgspec.Struct) and schema.type is Type.STRUCT:
        return DataError("Mismatching schema: the struct was made for another schema than the record's")
    name = schema.name.rpartition(".")[2] if schema.name in _LOGICAL else str(schema.type)
    return DataError(f"Invalid type for {name}: {java_class_name(value)}")


_LOGICAL: Final = (DECIMAL, DATE, TIME, TIMESTAMP)


def _object_maker(schema: Schema) -> Callable[..., Any]:
    """A function from the fields' values, in order, to what msgspec writes as an object of these fields."""
    names = {field.attribute: field.name for field in schema.fields}
    if all(map(is_json_name, names.values())):
        return msgspec.defstruct("Payload", list(names), gc=False, rename=names)
    return lambda *values: dict(zip(names.values(), values, strict=True))


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that gives all attributes of those names as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _name_the_field(schema: Schema, prepares: list[Prepare], value: Any) -> None:
    """Raise again what preparing `value` raised, with the name of the field."""
    for field, prepare in zip(schema.fields, prepares, strict=True):
        try:
            prepare(getattr(value, field.attribute))
        except DataError as exc:
            raise type(exc)(f'{exc} (field "{field.name}")') from exc.__cause__


def as_jackson(text: bytes) -> bytes:
    """JSON from msgspec as Jackson escapes it: hex digits in capitals, two escapes beyond U+FFFF."""
    text = _ESCAPE.sub(lambda found: found[0] if found[1] is None else b"\\u" + found[1].upper(), text)
    return _BEYOND_BMP.sub(_surrogate_escapes, text)


def _surrogate_escapes(character: re.Match[bytes]) -> bytes:
    high, low = divmod(ord(character[0].decode()) - 0x10000, 0x400)
    return b"\\u%04X\\u%04X" % (0xD800 + high, 0xDC00 + low)


def json_text(value: Any) -> bytes:
    """A plain value (text, number, boolean) as Jackson writes it."""
    return as_jackson(_encode(value))
