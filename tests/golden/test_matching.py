"""How recorded answers are compared with Syncline's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.golden.support import differences_between, trace_classes

TRACE = "a.B: went wrong\n\tat f(x.py:1)\nCaused by: c.D: because\n\tat g(y.py:2)\n"


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1, "b": [1, None]}, {"b": [1, None], "a": 1}),
        ({"$category": "bad_value", "$quoted": ["tasks.max", 0]}, "0 is too small for tasks.max"),
        ({"$category": "invalid", "$quoted": [], "$errors": [{"$quoted": ["x"]}]}, "the value x"),
        ({"$trace": True, "$exceptions": ["a.B", "c.D"]}, TRACE),
        ("<base>/connectors/x", "http://h:1/connectors/x"),
        ({"$category": "unknown", "$quoted": ["<worker_id>"]}, "no worker h:8083 here"),
    ],
)
def test_matches(expected: Any, actual: Any) -> None:
    assert differences_between(expected, actual, {"base": "http://h:1", "worker_id": "h:8083"}) == []


@pytest.mark.parametrize(
    ("expected", "actual", "where"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ".a.b"),
        ({"a": 1}, {}, ".a: missing"),
        ({}, {"a": 1}, ".a: unexpected"),
        ([1, 2], [1, 3], "[1]"),
        ([1], [1, 2], "length"),
        ({"a": True}, {"a": 1}, ".a"),
        ({"a": None}, {"a": "null"}, ".a"),
        ({"$category": "c", "$quoted": ["x"]}, "nothing", "'x' does not occur"),
        ({"$category": "c", "$quoted": []}, None, "expected a text"),
        ({"$trace": True, "$exceptions": ["a.B"]}, TRACE, "exceptions"),
        ("<base>/x", "http://other/x", "expected"),
    ],
)
def test_differs(expected: Any, actual: Any, where: str) -> None:
    (found,) = differences_between(expected, actual, {"base": "http://h:1"})
    assert where in found


def test_the_classes_of_a_trace() -> None:
    assert trace_classes(TRACE) == ["a.B", "c.D"]
