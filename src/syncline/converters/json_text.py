"""JSON text to a tree, taking what Jackson takes and refusing what it refuses.

Numbers with a point or an exponent become Decimal, with every digit they have; others int. Jackson as
Kafka Connect sets it up allows leading zeros and a byte order mark, and reads UTF-16 and UTF-32 too.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from syncline.converters.formats import SerializationError
from syncline.errors import DataError

MISSING: Final = object()
"""The tree of a text with nothing but blanks."""

SHOWN: Final = 60
"""How much of a bad record a message shows, in characters."""


class JsonParseError(DataError):
    """Text that is not JSON."""

    java_class = "com.fasterxml.jackson.core.JsonParseException"


def _no_constant(name: str) -> NoReturn:
    raise JsonParseError(f"{name} is no JSON number")


_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)
_BLANKS: Final = " \t\n\r"
# A text (kept as it is), or zeros in front of a number (dropped).
_LEADING_ZEROS: Final = re.compile(r'("(?:[^"\\]|\\.)*")|(?<![\w.+])(-?)0+(?=\d)', re.DOTALL)
_HALF_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def parse(raw: bytes, *, ignore_rest: bool) -> Any:
    """The tree of the first JSON value in `raw`, or MISSING.

    What follows it is refused unless `ignore_rest`, as are halves of surrogate pairs, which no UTF-8
    text can hold. Raises DataError, caused by the classes that Java's converter names.
    """
    text = _text(raw)
    start = len(text) - len(text.lstrip(_BLANKS))
    if start == len(text):
        return MISSING
    try:
        tree, end = _decoded(text, start)
    except JsonParseError as exc:
        _not_json(raw, str(exc))
    if not ignore_rest:
        rest = text[end:].strip(_BLANKS)
        if rest:
            raise DataError(
                f"{_position(text, text.index(rest, end))}: more text after the end of the JSON value: "
                f"{shown(rest)}. Kafka Connect ignores such a rest without a word; coercion=java does, too"
            )
        _refuse_half_surrogates(tree)
    return tree


def _not_json(raw: bytes, problem: str) -> NoReturn:
    """Raise the error for bytes that are no JSON, with the causes Java's converter gives."""
    cause = SerializationError(problem)
    cause.__cause__ = JsonParseError(problem)
    raise DataError(
        "Converting byte[] to Kafka Connect data failed due to serialization error: "
        f"{problem}. The record begins with {shown(raw)}"
    ) from cause


def shown(content: bytes | str) -> str:
    """The beginning of a record for a message."""
    text = content if isinstance(content, str) else content[: 4 * SHOWN].decode("utf-8", "backslashreplace")
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."


def kind_of(node: Any) -> str:
    """The kind of a node as Jackson calls it."""
    if isinstance(node, bool):
        return "BOOLEAN"
    return next((name for python, name in _KINDS if isinstance(node, python)), "NULL")


_KINDS: Final = (((int, Decimal), "NUMBER"), (str, "STRING"), (list, "ARRAY"), (dict, "OBJECT"))


def _text(raw: bytes) -> str:
    try:
        return raw.decode(json.detect_encoding(raw))
    except UnicodeDecodeError as exc:
        _not_json(raw, f"byte {exc.start} ({raw[exc.start]:#04x}) is no valid {exc.encoding}")


def _decoded(text: str, start: int) -> tuple[Any, int]:
    try:
        return _first_value(text, start)
    except JsonParseError:
        without = _LEADING_ZEROS.sub(lambda found: found[1] or found[2], text)
        if without == text:
            raise
        tree, end = _first_value(without, start)
        return tree, len(text) - (len(without) - end)


def _first_value(text: str, start: int) -> tuple[Any, int]:
    try:
        tree, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as exc:
        raise JsonParseError(f"{_position(text, exc.pos)}: {_explained(text, exc)}") from exc
    except (ValueError, InvalidOperation) as exc:
        raise JsonParseError("a number is too long or its exponent too large") from exc
    # Jackson wants a blank after a number or a word at the top, though it ignores what comes then.
    if not isinstance(tree, str | list | dict) and text[end : end + 1].strip(_BLANKS):
        raise JsonParseError(f"{_position(text, end)}: a blank is missing after {text[start:end]}")
    return tree, end


def _explained(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :].lstrip(_BLANKS)
    if rest.startswith(("#", "//", "/*")):
        return f"JSON has no comments; take {shown(rest.splitlines()[0])} out"
    if rest.startswith("'"):
        return "JSON wants double quotes, not single ones"
    if rest.startswith(("}", "]")) and text[: error.pos].rstrip(_BLANKS).endswith(","):
        return "a comma too many before the closing bracket"
    if not rest:
        return "the text ends too early"
    return f"{error.msg}, found {shown(rest[:10])}"


def _position(text: str, index: int) -> str:
    line = text.count("\n", 0, index) + 1
    return f"line {line}, column {index - text.rfind(chr(10), 0, index)}"


def _refuse_half_surrogates(tree: Any) -> None:
    if isinstance(tree, str):
        half = None if tree.isascii() else _HALF_SURROGATE.search(tree)
        if half:
            raise DataError(
                f"the text {shown(tree)} holds half of a surrogate pair (U+{ord(half[0]):04X}), which no "
                "UTF-8 text and no database can hold"
            )
    elif isinstance(tree, list):
        for element in tree:
            _refuse_half_surrogates(element)
    elif isinstance(tree, dict):
        for key, element in tree.items():
            _refuse_half_surrogates(key)
            _refuse_half_surrogates(element)
