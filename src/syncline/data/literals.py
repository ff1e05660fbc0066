"""Values as text that tells its own type: headers, literals in configurations (spec/connect.md 6.4).

Where Java guesses or drops, this keeps the text: `12:34:56` is not the number 12, there is
no 30th of February, a number takes the smallest type that holds all its digits.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from syncline.data.logical import DAY_MS, date_schema, decimal_schema, time_schema, timestamp_schema
from syncline.data.numbers import java_decimal, java_double, to_float32
from syncline.data.schema import (
    DATE,
    INTEGER_BITS,
    TIME,
    TIMESTAMP,
    Schema,
    SchemaAndValue,
    Type,
    array,
    map_of,
    primitive,
)
from syncline.data.values import civil_date, clock_text
from syncline.errors import DataError

NULL: Final = SchemaAndValue(None, None)
STRING: Final = primitive(Type.STRING)
BOOLEAN: Final = primitive(Type.BOOLEAN)
INTEGERS: Final = tuple(primitive(kind) for kind in INTEGER_BITS)
FLOAT32: Final = primitive(Type.FLOAT32)
FLOAT64: Final = primitive(Type.FLOAT64)


def value_of(text: str) -> SchemaAndValue:
    """The value that `text` spells from its first to its last letter, blanks aside; else the text itself."""
    try:
        return _Scanner(text).whole()
    except (_NoValue, RecursionError):
        return SchemaAndValue(STRING, text)


class _NoValue(Exception):
    """The text spells no value here."""


_BLANKS: Final = re.compile(r"\s*", re.ASCII)
_END: Final = r"(?=[\s,:\[\]{}]|\Z)"
_TIMESTAMP: Final = re.compile(rf"(\d{{4}}-\d\d-\d\d)T(\d\d:\d\d:\d\d\.\d{{3}})Z{_END}", re.ASCII)
_DATE: Final = re.compile(rf"(\d{{4}}-\d\d-\d\d){_END}", re.ASCII)
_TIME: Final = re.compile(rf"(\d\d:\d\d:\d\d\.\d{{3}})Z{_END}", re.ASCII)
_NUMBER: Final = re.compile(rf"(?:[+-]?\d+\.?\d*|[+-]\.\d+)(?:[eE][+-]?\d+)?{_END}", re.ASCII)
_WORD: Final = re.compile(rf"(true|false|null){_END}")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\])')


class _Scanner:
    """Reads one value, and what is in it, from the left; raises _NoValue."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> SchemaAndValue:
        """The value, provided that nothing follows it; a text in quotes counts only inside lists and maps."""
        self._blanks()
        if self._text.startswith('"', self._at):
            raise _NoValue
        node = self._node()
        self._blanks()
        if self._at < len(self._text):
            raise _NoValue
        schema, values = _typed([node])
        return SchemaAndValue(schema, values[0])

    def _node(self) -> Node:
        if self._take("["):
            return self._list()
        if self._take("{"):
            return self._map()
        if found := self._match(_QUOTED):
            return SchemaAndValue(STRING, _ESCAPED.sub(r"\1", found[1]))
        if found := self._match(_TIMESTAMP):
            return SchemaAndValue(timestamp_schema(), _days(found[1]) * DAY_MS + _milliseconds(found[2]))
        if found := self._match(_DATE):
            return SchemaAndValue(date_schema(), _days(found[1]))
        if found := self._match(_TIME):
            return SchemaAndValue(time_schema(), _milliseconds(found[1]))
        if found := self._match(_NUMBER):
            return _number(Decimal(found[0]))
        if found := self._match(_WORD):
            return NULL if found[0] == "null" else SchemaAndValue(BOOLEAN, found[0] == "true")
        raise _NoValue

    def _list(self) -> list[Node]:
        elements: list[Node] = []
        while not self._closes("]", elements):
            elements.append(self._node())
        return elements

    def _map(self) -> _Map:
        read = _Map([], [])
        while not self._closes("}", read.keys):
            key = self._node()
            # Java takes no null for a key here, Python no list.
            if not isinstance(key, SchemaAndValue) or key is NULL:
                raise _NoValue
            self._blanks()
            if not self._take(":"):
                raise _NoValue
            self._blanks()
            read.keys.append(key)
            read.values.append(self._node())
        return read

    def _closes(self, bracket: str, before: Sequence[Any]) -> bool:
        """Whether the bracket comes now, behind a comma too many perhaps; else a comma must separate."""
        self._blanks()
        if self._take(bracket):
            return True
        if before:
            if not self._take(","):
                raise _NoValue
            self._blanks()
            return self._take(bracket)
        return False

    def _blanks(self) -> None:
        self._match(_BLANKS)

    def _take(self, character: str) -> bool:
        taken = self._text.startswith(character, self._at)
        self._at += taken
        return taken

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found


def _days(text: str) -> int:
    try:
        return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        raise _NoValue from None


def _milliseconds(text: str) -> int:
    hours, minutes, seconds = text.split(":")
    if int(hours) > 23 or int(minutes) > 59 or float(seconds) >= 60:
        raise _NoValue
    return (int(hours) * 60 + int(minutes)) * 60_000 + int(seconds.replace(".", ""))


def _number(number: Decimal) -> SchemaAndValue:
    """The number in the smallest type that holds all of its digits."""
    if number.adjusted() < 19 and number == number.to_integral_value():
        whole = int(number)
        for schema in INTEGERS:
            if _fits(whole, schema):
                return SchemaAndValue(schema, whole)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent != 0:
        double = float(number)
        single = to_float32(double)
        if math.isfinite(single) and Decimal(java_double(single, single=True)) == number:
            return SchemaAndValue(FLOAT32, single)
        if math.isfinite(double) and Decimal(repr(double)) == number:
            return SchemaAndValue(FLOAT64, double)
    return SchemaAndValue(decimal_schema(-exponent), number)


def _fits(whole: int, schema: Schema) -> bool:
    limit = 1 << INTEGER_BITS[schema.type] - 1
    return -limit <= whole < limit


class _Map(NamedTuple):
    """A map that is not typed yet: its keys and, in the same order, their values."""

    keys: list[Node]
    values: list[Node]


Node = SchemaAndValue | list["Node"] | _Map
"""What was read, before all values of a list or map are brought under one schema."""

Typed = tuple[Schema | None, list[Any]]
"""A schema for all, None when there is none, and the values as that schema has them."""


def _typed(nodes: Sequence[Node]) -> Typed:
    """As in Java, null among values of one kind makes the whole no list (nor map) at all."""
    given = [node for node in nodes if node is not NULL]
    if not given:
        return None, [None for _ in nodes]
    schema, values = _together(given)
    if schema is not None and len(given) < len(nodes):
        raise _NoValue
    rest = iter(values)
    return schema, [None if node is NULL else next(rest) for node in nodes]


def _together(nodes: Sequence[Node]) -> Typed:
    lists = [node for node in nodes if isinstance(node, list)]
    maps = [node for node in nodes if isinstance(node, _Map)]
    leaves = [node for node in nodes if isinstance(node, SchemaAndValue)]
    if len(leaves) == len(nodes):
        return _leaves(leaves)
    if len(lists) == len(nodes):
        element, elements = _typed([child for each in lists for child in each])
        flat = iter(elements)
        return array(element), [list(islice(flat, len(each))) for each in lists]
    if len(maps) == len(nodes):
        key, keys = _typed([child for each in maps for child in each.keys])
        value, values = _typed([child for each in maps for child in each.values])
        pairs = zip(keys, values, strict=True)
        return map_of(key, value), [_dict(islice(pairs, len(each.keys)), len(each.keys)) for each in maps]
    return None, [_untyped(node) for node in nodes]


def _dict(pairs: Iterable[tuple[Any, Any]], length: int) -> dict[Any, Any]:
    """The map; a key given twice would lose a value, so that the whole is no map."""
    made = dict(pairs)
    if len(made) < length:
        raise _NoValue
    return made


def _untyped(node: Node) -> Any:
    """The value of a node that no schema describes, as it will be written again.

    A date would be a mere number then; with one in it the whole is no list (nor map).
    """
    if isinstance(node, list):
        _together([node])  # raises where it would be no list by itself
        return [_untyped(child) for child in node]
    if isinstance(node, _Map):
        _together([node])
        return _dict(zip(map(_untyped, node.keys), map(_untyped, node.values), strict=True), len(node.keys))
    if node.schema is not None and node.schema.name in _MOMENTS:
        raise _NoValue
    return float(java_double(node.value, single=True)) if node.schema is FLOAT32 else node.value


def _leaves(leaves: Sequence[SchemaAndValue]) -> Typed:
    schemas = {leaf.schema for leaf in leaves}
    values = [leaf.value for leaf in leaves]
    if len(schemas) == 1:
        return leaves[0].schema, values
    if schemas <= set(_NUMBERS):
        widest = max(schemas, key=_NUMBERS.index)
        if widest in INTEGERS:
            return widest, values
        for schema, exact in ((FLOAT32, 1 << 24), (FLOAT64, 1 << 53)):
            if _NUMBERS.index(widest) <= _NUMBERS.index(schema) and all(
                isinstance(value, float) or abs(value) <= exact for value in values
            ):
                return schema, [_widened(leaf, schema) for leaf in leaves]
    return None, [_untyped(leaf) for leaf in leaves]


def _widened(leaf: SchemaAndValue, schema: Schema) -> float:
    """The number in a wider type, with the digits it was spelt with."""
    if leaf.schema is FLOAT32 and schema is FLOAT64:
        return float(java_double(leaf.value, single=True))
    return float(leaf.value)


_NUMBERS: Final[tuple[Schema | None, ...]] = (*INTEGERS, FLOAT32, FLOAT64)


def text_of(schema: Schema | None, value: Any, *, quoted: bool = False) -> str:
    """A value as the text of a header; texts and bytes inside lists, maps and structs are `quoted`."""
    if value is None:
        return "null"
    if isinstance(value, str | bytes | bytearray | memoryview):
        text = value if isinstance(value, str) else base64.b64encode(value).decode()
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if quoted else text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _MOMENTS.get(schema.name if schema else None, str)(value)
    if isinstance(value, Decimal):
        return java_decimal(value)
    if isinstance(value, float):
        return java_double(value, single=schema is not None and schema.type is Type.FLOAT32)
    keys, values = (None, None) if schema is None else (schema.key_schema, schema.value_schema)
    if isinstance(value, list | tuple):
        return f"[{','.join(text_of(values, each, quoted=True) for each in value)}]"
    if isinstance(value, dict):
        return _braces((text_of(keys, key, quoted=True), values, held) for key, held in value.items())
    if isinstance(value, msgspec.Struct) and schema is not None:
        return _braces(
            (text_of(None, field.name, quoted=True), field.schema, getattr(value, field.attribute))
            for field in schema.fields
        )
    raise DataError(f"a header cannot hold a {type(value).__name__}; give it text, a number, bytes, a list or a map")


def _braces(entries: Iterable[tuple[str, Schema | None, Any]]) -> str:
    return f"{{{','.join(f'{key}:{text_of(schema, held, quoted=True)}' for key, schema, held in entries)}}}"


def _date_text(days: int) -> str:
    year, month, day = civil_date(days)
    return f"{year:04}-{month:02}-{day:02}"


def _time_text(milliseconds: int) -> str:
    return f"{clock_text(milliseconds)}.{milliseconds % 1000:03}Z"


def _timestamp_text(milliseconds: int) -> str:
    """Java prints a midnight as a bare date, but on the first day and before it the time of day alone."""
    days, of_day = divmod(milliseconds, DAY_MS)
    if of_day == 0 and days > 0:
        return _date_text(days)
    return f"{_date_text(days)}T{_time_text(of_day)}"


_MOMENTS: Final[Mapping[str | None, Callable[[int], str]]] = {
    DATE: _date_text,
    TIME: _time_text,
    TIMESTAMP: _timestamp_text,
}
