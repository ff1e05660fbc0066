"""Checks for single values, with the words Kafka's own validators use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from syncline.options.option import Check


def refuse(name: str, value: Any, why: str) -> ValueError:
    """The error of a value that breaks a rule, worded as Kafka's ConfigException."""
    return ValueError(f"Invalid value {_shown(value)} for configuration {name}: {why}")


def _shown(value: Any) -> str:
    """As Java prints it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)


def at_least(low: float) -> Check:
    """Refuse numbers below `low`, and None."""

    def check(name: str, value: Any) -> None:
        if value is None:
            raise refuse(name, None, "Value must be non-null")
        if value < low:
            raise refuse(name, value, f"Value must be at least {low}")

    return check


def between(low: float, high: float) -> Check:
    """Refuse numbers outside low..high, and None."""

    def check(name: str, value: Any) -> None:
        if value is None:
            raise refuse(name, None, "Value must be non-null")
        if value < low:
            raise refuse(name, value, f"Value must be at least {low}")
        if value > high:
            raise refuse(name, value, f"Value must be no more than {high}")

    return check


def one_of(allowed: Iterable[str]) -> Check:
    """Refuse any other text."""
    values = list(allowed)

    def check(name: str, value: Any) -> None:
        if value not in values:
            raise refuse(name, value, f"String must be one of: {', '.join(values)}")

    return check


def any_case(allowed: Iterable[str]) -> Check:
    """Refuse any text that is not one of `allowed` in some letter case."""
    values = list(allowed)
    folded = {value.upper() for value in values}

    def check(name: str, value: Any) -> None:
        if value is None or str(value).upper() not in folded:
            raise refuse(
                name,
                value,
                f"String must be one of (case insensitive): {', '.join(value.upper() for value in values)}",
            )

    return check


def non_empty(name: str, value: Any) -> None:
    """Refuse an empty text or list; None passes, as in Kafka."""
    if isinstance(value, str) and not value:
        raise refuse(name, value, "String must be non-empty")
    if isinstance(value, list) and not value:
        raise refuse(name, value, "Empty list")
