"""The careful way through the JSON converter: what the fast one refuses, and what Java does differently.

`read` turns parsed JSON into a value of a schema, `write` the reverse. With `java` the lossy coercions of the
JVM's converter are copied; without, such a record is refused and nothing is lost in silence.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import msgspec

from syncline.converters.json_errors import FormatError, NullPointer, ParseError, SerializationError
from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, Type
from syncline.data.logical import DAY_MS, decimal_from_bytes, decimal_scale, decimal_to_bytes
from syncline.data.numbers import java_decimal, java_double, to_float32, wrap
from syncline.data.schema import INTEGER_BITS
from syncline.errors import DataError

FLOATS: Final = (Type.FLOAT32, Type.FLOAT64)


def parse(raw: bytes, *, java: bool) -> Any:
    """The JSON value in `raw`: floating numbers as Decimal, nothing lost.

    A byte order mark is skipped. Text after the value is ignored with `java` and refused otherwise.
    """
    text = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        decoded = text.decode()
        value, end = _DECODER.raw_decode(decoded, len(decoded) - len(decoded.lstrip(" \t\r\n")))
    except (UnicodeDecodeError, ValueError, RecursionError) as exc:
        _not_json(raw, exc)
    rest = decoded[end:].strip(" \t\r\n")
    if rest and not java:
        _not_json(raw, ValueError(f"text after the JSON value: {rest[:40]!r}"))
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_constant)


def _not_json(raw: bytes, exc: Exception) -> NoReturn:
    if isinstance(exc, json.JSONDecodeError):
        what = f"{exc.msg} at line {exc.lineno}, column {exc.colno}"
        if exc.doc[exc.pos : exc.pos + 1] == "#":
            what += " (JSON has no # comments)"
    else:
        what = str(exc)
    cause = SerializationError(f"{what}; the record begins {raw[:60]!r}")
    cause.__cause__ = ParseError(what)
    raise DataError(f"Converting byte[] to Kafka Connect data failed due to serialization error: {what}") from cause


class Lenient:
    """Reads and writes values one by one, with the converter's options."""

    def __init__(self, *, java: bool, replace_null: bool, numeric_decimals: bool) -> None:
        self.java = java
        self.replace_null = replace_null
        self.numeric_decimals = numeric_decimals

    # -- reading ------------------------------------------------------------------------------

    def read(self, schema: Schema | None, value: Any, where: str = "") -> Any:
        """`value` as `schema` describes it; DataError names the field."""
        if schema is None:
            return self.read_plain(value)
        if value is None:
            if schema.default is not None and self.replace_null:
                return schema.default
            if schema.optional:
                return None
            raise DataError(f"Invalid null value for required {schema.type} field{_at(where)}")
        logical = _LOGICAL_READERS.get(schema.name) if schema.name else None
        if logical is not None:
            return logical(self, schema, value, where)
        return _READERS[schema.type](self, schema, value, where)

    def read_plain(self, value: Any) -> Any:
        """A value without schema: integers are INT64, other numbers FLOAT64."""
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return value
        if isinstance(value, int):
            return self._in_range(value, 64, "")
        if isinstance(value, Decimal):
            return self._positive_zero(float(value))
        if isinstance(value, list):
            return [self.read_plain(entry) for entry in value]
        return {key: self.read_plain(entry) for key, entry in value.items()}

    def _in_range(self, number: int, bits: int, where: str) -> int:
        if -(1 << bits - 1) <= number < 1 << bits - 1:
            return number
        if self.java:
            # Java keeps the low 64 bits of a large number first, then those of the narrower type.
            return wrap(wrap(number, 64), bits)
        raise DataError(f"{number} does not fit int{bits}{_at(where)}")

    def _positive_zero(self, number: float) -> float:
        return 0.0 if self.java and number == 0 else number

    def _refuse(self, schema: Schema, value: Any, where: str) -> NoReturn:
        raise DataError(f"{_shown(value)} is no {schema.type}{_at(where)}")

    def read_integer(self, schema: Schema, value: Any, where: str) -> int:
        bits = INTEGER_BITS[schema.type]
        if isinstance(value, int) and not isinstance(value, bool):
            return self._in_range(value, bits, where)
        if isinstance(value, Decimal):
            if self.java or value == value.to_integral_value():
                return self._in_range(int(value), bits, where)
            raise DataError(f"{value} is no {schema.type}{_at(where)}")
        if self.java:
            return 0
        self._refuse(schema, value, where)

    def read_float(self, schema: Schema, value: Any, where: str) -> float:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = float("inf") if value > 0 else float("-inf")
            if number in (float("inf"), float("-inf")) and not self.java:
                raise DataError(f"{value} is too large for {schema.type}{_at(where)}")
            number = self._positive_zero(number)
            return to_float32(number) if schema.type is Type.FLOAT32 else number
        if isinstance(value, str) and value in _SPECIAL_FLOATS and not self.java:
            return _SPECIAL_FLOATS[value]
        if self.java:
            return 0.0
        self._refuse(schema, value, where)

    def read_boolean(self, schema: Schema, value: Any, where: str) -> bool:
        if isinstance(value, bool):
            return value
        if self.java:
            return False
        self._refuse(schema, value, where)

    def read_string(self, schema: Schema, value: Any, where: str) -> str | None:
        if isinstance(value, str):
            return value
        if self.java:
            return None
        self._refuse(schema, value, where)

    def read_bytes(self, schema: Schema, value: Any, where: str) -> bytes | None:
        if not isinstance(value, str):
            if self.java:
                return None
            self._refuse(schema, value, where)
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise DataError(f"Invalid bytes field: not base64{_at(where)}") from FormatError(str(exc))

    def read_array(self, schema: Schema, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            if self.java:
                return []
            self._refuse(schema, value, where)
        return [self.read(schema.value_schema, entry, f"{where}[{n}]") for n, entry in enumerate(value)]

    def read_map(self, schema: Schema, value: Any, where: str) -> dict[Any, Any]:
        assert schema.key_schema is not None
        if schema.key_schema.type is Type.STRING:
            if not isinstance(value, dict):
                raise DataError(
                    f"Maps with string fields should be encoded as JSON objects, but found {_kind(value)}{_at(where)}"
                )
            return {key: self.read(schema.value_schema, entry, f"{where}.{key}") for key, entry in value.items()}
        if not isinstance(value, list):
            raise DataError(
                "Maps with non-string fields should be encoded as JSON arrays of tuples, "
                f"but found {_kind(value)}{_at(where)}"
            )
        found = {}
        for entry in value:
            if not isinstance(entry, list) or len(entry) != 2:
                raise DataError(f"Found invalid map entry instead of array tuple: {_kind(entry)}{_at(where)}")
            key = self.read(schema.key_schema, entry[0], f"{where}.key")
            found[key] = self.read(schema.value_schema, entry[1], f"{where}[{key}]")
        return found

    def read_struct(self, schema: Schema, value: Any, where: str) -> msgspec.Struct:
        if not isinstance(value, dict):
            raise DataError(f"Structs should be encoded as JSON objects, but found {_kind(value)}{_at(where)}")
        return schema.struct_class(
            **{
                field.attribute: self.read(
                    field.schema, value.get(field.name), f"{where}.{field.name}" if where else field.name
                )
                for field in schema.fields
            }
        )

    def read_decimal(self, schema: Schema, value: Any, where: str) -> Decimal:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return Decimal(value)
        if not isinstance(value, str):
            raise DataError(f"Invalid bytes for Decimal field{_at(where)}") from FormatError(_shown(value))
        try:
            unscaled = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise DataError(f"Invalid bytes for Decimal field{_at(where)}") from FormatError(str(exc))
        if "scale" not in schema.parameters:
            raise DataError(f"Invalid Decimal schema: scale parameter not found.{_at(where)}") from NullPointer(
                "no parameters"
            )
        try:
            return decimal_from_bytes(unscaled, decimal_scale(schema))
        except DataError as exc:
            raise DataError(f"{exc}{_at(where)}") from FormatError(str(exc))

    def read_logical_integer(self, schema: Schema, value: Any, where: str) -> int:
        name = str(schema.name).rpartition(".")[2]
        wide = schema.name == TIMESTAMP
        if isinstance(value, Decimal) and value == value.to_integral_value() and not self.java:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not (wide or -(1 << 31) <= value < 1 << 31):
            kind = "integer" if not wide else "integral"
            raise DataError(
                f"Invalid type for {name}, underlying representation should be {kind} "
                f"but was {_kind(value)}{_at(where)}"
            )
        if schema.name == TIME and not 0 <= value <= DAY_MS:
            raise DataError(
                "Time values must use number of milliseconds greater than 0 and less than 86400000, "
                f"found {value}{_at(where)}"
            )
        return self._in_range(value, 64, where)

    # -- writing ------------------------------------------------------------------------------

    def write(self, schema: Schema | None, value: Any) -> Any:
        """Something msgspec encodes as Kafka Connect writes `value`."""
        if schema is None:
            return self.write_plain(value)
        if value is None:
            if schema.default is not None and self.replace_null:
                return self.write(schema, schema.default)
            if schema.optional:
                return None
            raise DataError("Conversion error: null value for field that is required and has no default value")
        logical = _LOGICAL_WRITERS.get(schema.name) if schema.name else None
        try:
            return logical(self, schema, value) if logical else _WRITERS[schema.type](self, schema, value)
        except (TypeError, AttributeError, ValueError) as exc:
            raise DataError(f"Invalid type for {schema.type}: {type(value).__name__}") from exc

    def write_plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | str | bytes):
            return value
        if isinstance(value, float):
            return _float_json(value, single=False)
        if isinstance(value, Decimal):
            raise DataError(f"Conversion error: a Decimal ({value}) needs a schema")
        if isinstance(value, list):
            return [self.write_plain(entry) for entry in value]
        if isinstance(value, dict):
            if all(isinstance(key, str) for key in value):
                return {key: self.write_plain(entry) for key, entry in value.items()}
            return [[self.write_plain(key), self.write_plain(entry)] for key, entry in value.items()]
        raise DataError(f"Java class {type(value).__name__} does not have corresponding schema type.")

    def write_integer(self, schema: Schema, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(schema.type)
        return self._in_range(value, INTEGER_BITS[schema.type], "")

    def write_float(self, schema: Schema, value: Any) -> Any:
        if not isinstance(value, float):
            raise TypeError(schema.type)
        return _float_json(value, single=schema.type is Type.FLOAT32)

    def write_exact(self, schema: Schema, value: Any) -> Any:
        if not isinstance(value, _EXACT[schema.type]):
            raise TypeError(schema.type)
        return value

    def write_array(self, schema: Schema, value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(schema.type)
        return [self.write(schema.value_schema, entry) for entry in value]

    def write_map(self, schema: Schema, value: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(schema.type)
        keys = schema.key_schema
        if keys is not None and keys.type is Type.STRING:
            if None in value and not self.java:
                raise DataError('a null key of a map would be written as the text "null"')
            return {
                "null" if key is None else key: self.write(schema.value_schema, entry) for key, entry in value.items()
            }
        return [[self.write(keys, key), self.write(schema.value_schema, entry)] for key, entry in value.items()]

    def write_struct(self, schema: Schema, value: Any) -> Any:
        if not isinstance(value, schema.struct_class):
            raise DataError("Mismatching schema.")
        return {field.name: self.write(field.schema, getattr(value, field.attribute)) for field in schema.fields}

    def write_decimal(self, schema: Schema, value: Any) -> Any:
        if not isinstance(value, Decimal):
            raise TypeError("Decimal")
        if self.numeric_decimals:
            return msgspec.Raw(java_decimal(value).encode())
        try:
            return decimal_to_bytes(value, decimal_scale(schema))
        except InvalidOperation as exc:
            raise DataError(f"Decimal value {value} cannot be written") from exc

    def write_logical_integer(self, schema: Schema, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(schema.name)
        if schema.name == TIME and not 0 <= value <= DAY_MS:
            raise DataError(f"Kafka Connect Time type should not have any date fields set to non-zero values: {value}")
        return value


_SPECIAL_FLOATS: Final[Mapping[str, float]] = {
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


def _float_json(value: float, *, single: bool) -> Any:
    text = java_double(value, single=single)
    return text if text in _SPECIAL_FLOATS else msgspec.Raw(text.encode())


def _at(where: str) -> str:
    return f" (field {where!r})" if where else ""


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: Any) -> str:
    """What Jackson calls the kind of a JSON value."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int | Decimal):
        return "NUMBER"
    return "STRING" if isinstance(value, str) else "ARRAY" if isinstance(value, list) else "OBJECT"


_Reader = Callable[[Lenient, Schema, Any, str], Any]
_Writer = Callable[[Lenient, Schema, Any], Any]

_EXACT: Final[Mapping[Type, Any]] = {Type.BOOLEAN: bool, Type.STRING: str, Type.BYTES: bytes}
_READERS: Final[Mapping[Type, _Reader]] = {
    **dict.fromkeys(INTEGER_BITS, Lenient.read_integer),
    **dict.fromkeys(FLOATS, Lenient.read_float),
    Type.BOOLEAN: Lenient.read_boolean,
    Type.STRING: Lenient.read_string,
    Type.BYTES: Lenient.read_bytes,
    Type.ARRAY: Lenient.read_array,
    Type.MAP: Lenient.read_map,
    Type.STRUCT: Lenient.read_struct,
}
_LOGICAL_READERS: Final[Mapping[str | None, _Reader]] = {
    DECIMAL: Lenient.read_decimal,
    DATE: Lenient.read_logical_integer,
    TIME: Lenient.read_logical_integer,
    TIMESTAMP: Lenient.read_logical_integer,
}
_WRITERS: Final[Mapping[Type, _Writer]] = {
    **dict.fromkeys(INTEGER_BITS, Lenient.write_integer),
    **dict.fromkeys(FLOATS, Lenient.write_float),
    **dict.fromkeys(_EXACT, Lenient.write_exact),
    Type.ARRAY: Lenient.write_array,
    Type.MAP: Lenient.write_map,
    Type.STRUCT: Lenient.write_struct,
}
_LOGICAL_WRITERS: Final[Mapping[str | None, _Writer]] = {
    DECIMAL: Lenient.write_decimal,
    DATE: Lenient.write_logical_integer,
    TIME: Lenient.write_logical_integer,
    TIMESTAMP: Lenient.write_logical_integer,
}
