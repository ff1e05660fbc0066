"""RegexRouter: rename the topic by a regular expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from syncline.api import PluginKind, Transform, plugin
from syncline.errors import DataError
from syncline.options import Importance, load, option
from syncline.options.checks import refuse
from syncline.transforms.java_regex import compile_java, expand
from syncline.transforms.sides import PACKAGE, R


def _valid_regex(name: str, value: object) -> None:
    if value is None:
        raise refuse(name, "null", "a regular expression is needed")
    try:
        compile_java(str(value))
    except re.error as exc:
        raise refuse(name, value, f"Invalid regex: {exc}") from exc


@dataclass(frozen=True, kw_only=True)
class RegexRouterConfig:
    regex: str = option(
        "regex",
        "Regular expression that the whole topic must match.",
        importance=Importance.HIGH,
        check=_valid_regex,
    )
    replacement: str = option("replacement", "The new name; $1 is the first group.", importance=Importance.HIGH)


class BadGroup(DataError):
    """The replacement names a group by a number that the expression lacks."""

    java_class = "java.lang.IndexOutOfBoundsException"


class BadReplacement(DataError):
    """The replacement has a `$` or a backslash that nothing fitting follows."""

    java_class = "java.lang.IllegalArgumentException"


@plugin(PluginKind.TRANSFORMATION, f"{PACKAGE}.RegexRouter", settings=RegexRouterConfig)
class RegexRouter(Transform[R]):
    """The whole topic must match; then the first match found is replaced, which can be shorter."""

    def configure(self, config: Mapping[str, str]) -> None:
        settings = load(RegexRouterConfig, config)
        self._regex = compile_java(settings.regex)
        self._replacement = settings.replacement
        self._known: dict[str, str] = {}

    def apply(self, record: R) -> R | None:
        topic = self._known.get(record.topic)
        if topic is None:
            topic = self._route(record.topic)
            if len(self._known) < 10_000:
                self._known[record.topic] = topic
        return record if topic == record.topic else record.with_topic(topic)

    def _route(self, topic: str) -> str:
        if self._regex.fullmatch(topic) is None:
            return topic
        match = self._regex.search(topic)
        if match is None:
            return topic
        try:
            routed = topic[: match.start()] + expand(match, self._replacement) + topic[match.end() :]
        except IndexError as exc:
            raise BadGroup(f"{exc} in the regex, which replacement {self._replacement!r} names") from None
        except ValueError as exc:
            raise BadReplacement(f"{exc} (replacement {self._replacement!r})") from None
        if not routed:
            raise DataError(f"topic {topic!r} would get an empty name from replacement {self._replacement!r}")
        return routed
