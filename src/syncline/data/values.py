"""Values as text, the way Java prints them."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any, Final

import msgspec

from syncline.data.numbers import java_decimal, java_double
from syncline.data.schema import DATE, DAY_MS, TIME, TIMESTAMP, Schema, Type


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
        return _date_text(schema, value) if schema is not None and schema.name in _MILLISECONDS else str(value)
    if isinstance(value, float):
        return java_double(value, single=schema is not None and schema.type is Type.FLOAT32)
    if isinstance(value, Decimal):
        return java_decimal(value)
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
        shown = (f"{field.name}={java_text(field.schema, held)}" for field, held in fields if held is not None)
        return f"Struct{{{','.join(shown)}}}"
    return str(value)


_MILLISECONDS: Final = {DATE: DAY_MS, TIME: 1, TIMESTAMP: 1}
_WEEKDAYS: Final = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _date_text(schema: Schema, value: int) -> str:
    """`Thu Jan 01 00:00:00 UTC 1970`: what java.util.Date prints with the JVM in UTC."""
    days, milliseconds = divmod(value * _MILLISECONDS[schema.name or ""], DAY_MS)
    year, month, day = civil_date(days)
    return f"{_WEEKDAYS[days % 7]} {_MONTHS[month - 1]} {day:02} {clock_text(milliseconds)} UTC {year}"


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
