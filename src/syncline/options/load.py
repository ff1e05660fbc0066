"""From properties to typed settings, or to every error at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from syncline.errors import ConfigError
from syncline.options.checks import refuse
from syncline.options.option import Kind, Option, Password, options_of

T = TypeVar("T")

_BLANKS: Final = "".join(map(chr, range(ord(" ") + 1)))
"""What Java's `trim` takes away."""
_INTEGER_BITS: Final[Mapping[Kind, int]] = {Kind.SHORT: 16, Kind.INT: 32, Kind.LONG: 64}


@dataclass(slots=True)
class CheckedValue:
    """What became of one option: its parsed value or None, and its messages."""

    option: Option
    value: Any = None
    errors: list[str] = field(default_factory=list)
    recommended: list[Any] = field(default_factory=list)
    """What a form should offer, given the other values."""
    visible: bool = True
    """Whether a form should show it, given the other values."""


def parse(option: Option, text: str | None) -> Any:
    """`text` as the option's kind says; blanks around it do not count, as in Kafka.

    Raises ValueError with the message for the user.
    """
    if text is None:
        return None
    trimmed = text.strip(_BLANKS)
    if option.kind is Kind.PASSWORD:
        return Password(trimmed)
    if option.kind is Kind.LIST:
        return [part.strip(_BLANKS) for part in trimmed.split(",")] if trimmed else []
    if option.kind is Kind.BOOLEAN:
        if trimmed.lower() not in ("true", "false"):
            raise refuse(option.name, text, "Expected value to be either true or false")
        return trimmed.lower() == "true"
    if option.kind in _INTEGER_BITS:
        number: float | None = _integer(trimmed, _INTEGER_BITS[option.kind])
    elif option.kind is Kind.DOUBLE:
        number = _double(trimmed)
    else:
        return trimmed
    if number is None:
        raise refuse(option.name, text, f"Not a number of type {option.kind}")
    return number


def _integer(text: str, bits: int) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isdigit():
        return None
    # The length first: Python refuses to read thousands of digits.
    number = int(text) if len(digits.lstrip("0")) < 20 else 1 << bits
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None


def _double(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def check_all(options: Iterable[Option], properties: Mapping[str, str | None]) -> dict[str, CheckedValue]:
    """Parse and check each option on its own; nothing is raised, messages are collected.

    A value that is missing or does not parse reaches the option's check as None, so a second message may
    follow, as in Kafka.
    """
    answers: dict[str, CheckedValue] = {}
    for option in options:
        answer = answers[option.name] = CheckedValue(option)
        given = properties.get(option.name)
        if given is None and option.required:
            answer.errors.append(f'Missing required configuration "{option.name}" which has no default value.')
        try:
            answer.value = parse(option, given if given is not None else option.default)
        except ValueError as exc:
            answer.errors.append(str(exc))
        if option.check is not None:
            try:
                option.check(option.name, answer.value)
            except ValueError as exc:
                answer.errors.append(str(exc))
    values = {name: answer.value for name, answer in answers.items()}
    for answer in answers.values():
        if answer.option.recommend is not None:
            answer.recommended = list(answer.option.recommend(values))
        if answer.option.visible is not None:
            answer.visible = answer.option.visible(values)
    return answers


def load(settings: type[T], properties: Mapping[str, str | None]) -> T:
    """An instance of the dataclass `settings`; ConfigError with the messages of all options otherwise."""
    answers = check_all(options_of(settings), properties)
    errors = {name: answer.errors for name, answer in answers.items() if answer.errors}
    if errors:
        raise ConfigError(errors)
    values = {
        entry.name: answers[entry.metadata["option"].name].value
        for entry in dataclasses.fields(settings)  # type: ignore[arg-type]  # T is a dataclass
        if "option" in entry.metadata
    }
    return settings(**values)
