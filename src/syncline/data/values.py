"""Values as text, the way Java prints them: what string converters, transforms and headers show."""

from __future__ import annotations

import base64
import math
import struct as packing
from decimal import Decimal
from typing import Any, Final

import msgspec

from syncline.data.logical import DATE, DAY_MS, TIME, TIMESTAMP
from syncline.data.schema import Schema, Type

_SINGLE: Final = packing.Struct(">f")


def to_float32(number: float) -> float:
    """The nearest number that four bytes can hold; infinity beyond their range."""
    try:
        nearest: float = _SINGLE.unpack(_SINGLE.pack(number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return nearest


def java_double(number: float) -> str:
    """A FLOAT64 as Java prints it: `1.0`, `1.0E10`, `NaN`, `-Infinity`."""
    text = repr(number)
    # Java takes the nearest text of at least two digits; only the tiniest numbers show it (4.9E-324).
    if 0 < abs(number) < 1e-300 and float(two_digits := f"{number:.1e}") == number:
        text = two_digits
    return _java_form(text)


def java_float(number: float) -> str:
    """A FLOAT32 as Java prints it: the fewest digits that tell it from every other FLOAT32."""
    if not math.isfinite(number):
        return _java_form(repr(number))
    number = to_float32(number)
    for digits in range(1, 8):
        text = f"{number:.{digits}e}"
        if to_float32(float(text)) == number:
            return _java_form(text)
    return _java_form(f"{number:.8e}")


def _java_form(text: str) -> str:
    """A number's text as Python prints it, in the form Java prints it."""
    if text in _NOT_FINITE:
        return _NOT_FINITE[text]
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    plain = "".join(map(str, digits)).rstrip("0")
    minus = "-" if sign else ""
    if not plain:
        return f"{minus}0.0"
    point = len(digits) + exponent
    if 0 < point <= 7:
        return f"{minus}{plain[:point]:0<{point}}.{plain[point:] or 0}"
    if -3 < point <= 0:
        return f"{minus}0.{'0' * -point}{plain}"
    return f"{minus}{plain[0]}.{plain[1:] or 0}E{point - 1}"


_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def decimal_text(number: Decimal) -> str:
    """A Decimal as Java prints a BigDecimal: with its own scale, and without a negative zero."""
    return str(number if number else abs(number))


def java_text(schema: Schema | None, value: Any) -> str:
    """A value as Java's `toString` prints it: `Struct{a=1,b=x}`, `{k=v, l=w}`, `[1, 2]`, `1.0E10`.

    Java prints the address of bytes; here they are base64.
    """
    if value is None:
        return "null"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return (
            _date_text(schema, value) if schema is not None and schema.name in _MILLISECONDS else str(value)
        )
    if isinstance(value, float):
        return java_float(value) if schema is not None and schema.type is Type.FLOAT32 else java_double(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    key_schema, value_schema = (None, None) if schema is None else (schema.key_schema, schema.value_schema)
    if isinstance(value, list | tuple):
        return f"[{', '.join(java_text(value_schema, element) for element in value)}]"
    if isinstance(value, dict):
        entries = (f"{java_text(key_schema, k)}={java_text(value_schema, v)}" for k, v in value.items())
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, msgspec.Struct) and schema is not None and schema.type is Type.STRUCT:
        fields = ((field, getattr(value, field.attribute)) for field in schema.fields)
        shown = (
            f"{field.name}={java_text(field.schema, held)}" for field, held in fields if held is not None
        )
        return f"Struct{{{','.join(shown)}}}"
    return str(value)


_MILLISECONDS: Final = {DATE: DAY_MS, TIME: 1, TIMESTAMP: 1}
_WEEKDAYS: Final = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _date_text(schema: Schema, value: int) -> str:
    """`Thu Jan 01 00:00:00 UTC 1970`: what java.util.Date prints with the JVM in UTC."""
    days, milliseconds = divmod(value * _MILLISECONDS[schema.name or ""], DAY_MS)
    year, month, day = civil_date(days)
    return f"{_WEEKDAYS[days % 7]} {_MONTHS[month - 1]} {day:02} {clock_text(milliseconds)} UTC {year:04}"


def clock_text(milliseconds: int) -> str:
    """`HH:mm:ss` for a time of day in milliseconds, which are cut off."""
    seconds = milliseconds // 1000
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def civil_date(days: int) -> tuple[int, int, int]:
    """(year, month, day) of so many days since 1970-01-01, in the Gregorian calendar of any year.

    Python's own dates end at the year 9999, Java's do not.
    """
    # Eras of 400 years repeat exactly; years are counted from March, so that the leap day comes last.
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
