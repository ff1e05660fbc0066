"""Predicates: for which records a transform applies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from syncline.api import PluginKind, Predicate, plugin
from syncline.options import Importance, load, non_empty, option
from syncline.options.checks import refuse
from syncline.transforms.java_regex import compile_java
from syncline.transforms.sides import PACKAGE, R

_PREDICATES: Final = f"{PACKAGE}.predicates"


@dataclass(frozen=True, kw_only=True)
class HasHeaderKeyConfig:
    name: str = option("name", "Name of the header.", importance=Importance.MEDIUM, check=non_empty)


@plugin(PluginKind.PREDICATE, f"{_PREDICATES}.HasHeaderKey", settings=HasHeaderKeyConfig)
class HasHeaderKey(Predicate[R]):
    """The record has at least one header of that name."""

    def configure(self, config: Mapping[str, str]) -> None:
        self._name = load(HasHeaderKeyConfig, config).name

    def test(self, record: R) -> bool:
        return any(header.key == self._name for header in record.headers)


@plugin(PluginKind.PREDICATE, f"{_PREDICATES}.RecordIsTombstone")
class RecordIsTombstone(Predicate[R]):
    """The record's value is null, whatever its schema."""

    def test(self, record: R) -> bool:
        return record.value is None


def _valid_pattern(name: str, value: object) -> None:
    if value is None:
        raise refuse(name, "null", "a regular expression is needed")
    non_empty(name, value)
    try:
        compile_java(str(value))
    except re.error as exc:
        raise refuse(name, value, f"entry must be a Java-compatible regular expression: {exc}") from exc


@dataclass(frozen=True, kw_only=True)
class TopicNameMatchesConfig:
    pattern: str = option(
        "pattern",
        "Regular expression that the whole topic must match.",
        importance=Importance.MEDIUM,
        check=_valid_pattern,
    )


@plugin(PluginKind.PREDICATE, f"{_PREDICATES}.TopicNameMatches", settings=TopicNameMatchesConfig)
class TopicNameMatches(Predicate[R]):
    """The whole topic matches."""

    def configure(self, config: Mapping[str, str]) -> None:
        self._pattern = compile_java(load(TopicNameMatchesConfig, config).pattern)

    def test(self, record: R) -> bool:
        return self._pattern.fullmatch(record.topic) is not None
