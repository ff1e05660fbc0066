"""Comparing what came out with what was recorded: JSON, with words of our own for prose and traces.

    {"$category": ..., "$quoted": [...]}     any text in which every quoted value occurs
    {"$trace": true, "$exceptions": [...]}   a Java-shaped trace with these classes, in this order
    "<name>"                                 the placeholder's value; any text when none is given

Object keys may come in any order; lists must agree in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

PLACEHOLDER: Final = re.compile(r"<([a-z_]+)>")


def differences_between(expected: Any, actual: Any, placeholders: Mapping[str, str] | None = None) -> list[str]:
    """Where `actual` differs, as lines `path: what`; none when it matches."""
    return list(_walk("", expected, actual, placeholders or {}))


def _walk(path: str, expected: Any, actual: Any, names: Mapping[str, str]) -> Iterator[str]:
    if isinstance(expected, dict) and "$category" in expected:
        yield from _prose(path, expected, actual, names)
    elif isinstance(expected, dict) and "$trace" in expected:
        yield from _trace(path, expected, actual)
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key in expected.keys() | actual.keys():
            at = f"{path}.{key}"
            if key not in actual:
                yield f"{at}: missing, expected {_short(expected[key])}"
            elif key not in expected:
                yield f"{at}: unexpected {_short(actual[key])}"
            else:
                yield from _walk(at, expected[key], actual[key], names)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: {_short(actual)} has another length than {_short(expected)}"
            return
        for index, (wanted, found) in enumerate(zip(expected, actual, strict=True)):
            yield from _walk(f"{path}[{index}]", wanted, found, names)
    elif isinstance(expected, str) and isinstance(actual, str):
        if not _text_matches(expected, actual, names):
            yield f"{path}: {_short(actual)}, expected {_short(expected)}"
    elif expected != actual or isinstance(expected, bool) is not isinstance(actual, bool):
        yield f"{path}: {_short(actual)}, expected {_short(expected)}"


def _prose(path: str, expected: Mapping[str, Any], actual: Any, names: Mapping[str, str]) -> Iterator[str]:
    if not isinstance(actual, str):
        yield f"{path}: {_short(actual)}, expected a text about {expected['$category']}"
        return
    wanted = list(expected.get("$quoted", ()))
    for error in expected.get("$errors", ()):
        wanted += error.get("$quoted", ())
    for value in map(str, wanted):
        if not re.search(_pattern(value, names), actual):
            yield f"{path}: {value!r} does not occur in {_short(actual)} ({expected['$category']})"


def _trace(path: str, expected: Mapping[str, Any], actual: Any) -> Iterator[str]:
    if not isinstance(actual, str):
        yield f"{path}: {_short(actual)}, expected a trace"
        return
    found = trace_classes(actual)
    if found != expected["$exceptions"]:
        yield f"{path}: exceptions {found}, expected {expected['$exceptions']}"


def trace_classes(trace: str) -> list[str]:
    """The exception classes of a trace: of its first line, then of each `Caused by:`."""
    first, *rest = trace.splitlines() or [""]
    heads = [first, *(line[len("Caused by: ") :] for line in rest if line.startswith("Caused by: "))]
    return [head.split(":", 1)[0].strip() for head in heads]


def _text_matches(expected: str, actual: str, names: Mapping[str, str]) -> bool:
    return expected == actual or re.fullmatch(_pattern(expected, names), actual, re.DOTALL) is not None


def _pattern(text: str, names: Mapping[str, str]) -> str:
    """A regular expression for `text` in which placeholders stand for their values, or for anything."""
    parts = PLACEHOLDER.split(text)
    return "".join(
        (re.escape(names[part]) if part in names else ".*?") if index % 2 else re.escape(part)
        for index, part in enumerate(parts)
    )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 300 else text[:300] + "..."
