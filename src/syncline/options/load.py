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

_INTEGER_BITS: Final[Mapping[Kind, int]] = {Kind.SHORT: 16, Kind.INT: 32, Kind.LONG: 64}


@dataclass(slots=True)
class CheckedValue:
    """What became of one option: its parsed value or None, and its messages."""

    option: Option
    value: Any = None
    errors: list[str] = field(default_factory=list)
    visible: bool = True
    """Whether a form should show it, given the other values."""


def parse(option: Option, text: str | None) -> Any:
    """`text` as the option's kind says; blanks around it do not count, as in Kafka.

    Raises ValueError with the message for the user.
    """
    if text is None:
        return None
    if option.kind is Kind.PASSWORD:
        return Password(text.strip())
    text = text.strip()
    if option.kind is Kind.LIST:
        return [part.strip() for part in text.split(",")] if text else []
    if option.kind is Kind.BOOLEAN:
        if text.lower() not in ("true", "false"):
            raise refuse(option.name, text, "Expected value to be either true or false")
        return text.lower() == "true"
    if option.kind in _INTEGER_BITS:
        return _integer(option, text, _INTEGER_BITS[option.kind])
    if option.kind is Kind.DOUBLE:
        try:
            return float(text)
        except ValueError:
            raise refuse(option.name, text, "Not a number of type DOUBLE") from None
    return text


def _integer(option: Option, text: str, bits: int) -> int:
    digits = text[1:] if text[:1] in "+-" else text
    if digits.isascii() and digits.isdigit():
        number = int(text)
        if -(1 << bits - 1) <= number < 1 << bits - 1:
            return number
    raise refuse(option.name, text, f"Not a number of type {option.kind}")


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
