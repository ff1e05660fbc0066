"""Rules between the source's options, one row each (spec/jdbc.md 1.3); all are checked, all answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from syncline.connectors.jdbc.modes import Mode
from syncline.connectors.jdbc.origin import check_origin
from syncline.connectors.jdbc.source_config import MODE_DEPENDENTS
from syncline.options import Password
from syncline.options.load import CheckedValue

OLD_FILTERS: Final = ("table.whitelist", "table.blacklist")
NEW_FILTERS: Final = ("table.include.list", "table.exclude.list")
FILTERS: Final = (*OLD_FILTERS, *NEW_FILTERS)
QUERIES: Final = ("query", "query.masked")
OLD_FAMILY: Final = (*OLD_FILTERS, "incrementing.column.name", "timestamp.column.name")
NEW_FAMILY: Final = (*NEW_FILTERS, "incrementing.column.mapping", "timestamp.columns.mapping")
BY_MODE: Final = (*MODE_DEPENDENTS, "timestamp.initial")

_SELECT: Final = re.compile(r"SELECT\b", re.IGNORECASE)


class Given:
    """The parsed values of a configuration, as the rules ask for them."""

    def __init__(self, answers: Mapping[str, CheckedValue]) -> None:
        self._answers = answers

    def text(self, name: str) -> str:
        """The value of a text option; empty when there is none or it is unusable."""
        value = self._answers[name].value
        return value.reveal() if isinstance(value, Password) else str(value or "")

    def has(self, name: str) -> bool:
        value: Any = self._answers[name].value
        return bool(value.reveal() if isinstance(value, Password) else value)

    def present(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that have a value."""
        return [name for name in names if self.has(name)]

    @property
    def mode(self) -> Mode | None:
        """None when missing or unknown."""
        found = self.text("mode")
        return Mode(found) if found in list(Mode) else None

    @property
    def uses_timestamp(self) -> bool:
        return self.mode is not None and self.mode.uses_timestamp

    @property
    def uses_incrementing(self) -> bool:
        return self.mode is not None and self.mode.uses_incrementing

    @property
    def has_query(self) -> bool:
        return bool(self.present(QUERIES))

    @property
    def is_new(self) -> bool:
        return bool(self.present(NEW_FAMILY))


class Rule(NamedTuple):
    """A rule: which options it blames, none when it holds, and what it says."""

    blames: Callable[[Given], Sequence[str]]
    says: str


def _when(condition: Callable[[Given], bool], *names: str) -> Callable[[Given], Sequence[str]]:
    return lambda given: names if condition(given) else ()


def _mixed(given: Given) -> Sequence[str]:
    old, new = given.present(OLD_FAMILY), given.present(NEW_FAMILY)
    return [*old, *new] if old and new else ()


def _unfiltered(given: Given) -> Sequence[str]:
    families = given.present((*OLD_FAMILY, *NEW_FAMILY))
    return () if given.has_query or families else FILTERS


def _filtered_query(given: Given) -> Sequence[str]:
    filters = given.present(FILTERS)
    return [*filters, *QUERIES] if given.has_query and filters else ()


def _no_select(given: Given) -> Sequence[str]:
    return [name for name in given.present(QUERIES) if not _SELECT.match(given.text(name).lstrip())]


RULES: Final = (
    Rule(
        _mixed,
        f"Cannot mix legacy and new configuration approaches. Use either {', '.join(OLD_FAMILY)} or "
        f"{', '.join(NEW_FAMILY)}.",
    ),
    Rule(
        _unfiltered,
        f"At least one table filtering configuration is required. Provide one of: {', '.join(FILTERS)}.",
    ),
    Rule(
        _when(lambda g: g.has("table.exclude.list") and not g.has("table.include.list"), "table.exclude.list"),
        "table.exclude.list leaves tables out of those table.include.list selects; give both.",
    ),
    Rule(
        _when(lambda g: len(g.present(QUERIES)) == 2, *QUERIES),
        "Give the query either in query or in query.masked, not in both.",
    ),
    Rule(
        _filtered_query,
        f"Do not specify table filtering configs with 'query'. Remove either the query or {', '.join(FILTERS)}.",
    ),
    Rule(
        _no_select,
        "Only SELECT statements are supported for 'query': it must begin with SELECT. Write a WITH as "
        "SELECT * FROM (WITH ...) x.",
    ),
    Rule(
        _when(
            lambda g: g.has_query and g.uses_incrementing and not g.has("incrementing.column.name"),
            "incrementing.column.name",
        ),
        "A query in an incrementing mode needs incrementing.column.name.",
    ),
    Rule(
        _when(
            lambda g: g.is_new and g.uses_timestamp and not g.has("timestamp.columns.mapping"),
            "timestamp.columns.mapping",
        ),
        "With table.include.list the timestamp modes need timestamp.columns.mapping.",
    ),
    Rule(
        _when(
            lambda g: g.is_new and g.uses_incrementing and not g.has("incrementing.column.mapping"),
            "incrementing.column.mapping",
        ),
        "With table.include.list the incrementing modes need incrementing.column.mapping.",
    ),
    Rule(
        _when(lambda g: not g.uses_timestamp and g.has("timestamp.columns.mapping"), "mode"),
        "timestamp.columns.mapping has a use in the timestamp modes only.",
    ),
    Rule(
        _when(lambda g: not g.uses_incrementing and g.has("incrementing.column.mapping"), "mode"),
        "incrementing.column.mapping has a use in the incrementing modes only.",
    ),
    Rule(
        _when(
            lambda g: (
                g.text("transaction.isolation.mode").upper() == "SQL_SERVER_SNAPSHOT"
                and g.text("dialect.name") != "SqlServerDatabaseDialect"
            ),
            "transaction.isolation.mode",
        ),
        "Isolation mode of `SQL_SERVER_SNAPSHOT` can only be configured with a Sql Server Dialect",
    ),
)


def check_rules(answers: Mapping[str, CheckedValue]) -> bool:
    """Append what breaks a rule to the answers, and mark what has no use in this mode as invisible.

    Without a mode the other rules mean nothing: False, and only that is said.
    """
    given = Given(answers)
    answers["query.masked"].visible = False
    text = given.text("mode")
    if given.mode is None:
        why = f"Invalid mode: {text}" if text else "Query mode must be specified"
        for name in BY_MODE:
            answers[name].errors.append(why)
        return False
    for name in BY_MODE:
        answers[name].visible = _visible(name, given.mode)
    for rule in RULES:
        for name in rule.blames(given):
            answers[name].errors.append(rule.says)
    check_origin(answers)
    return True


def _visible(name: str, mode: Mode) -> bool:
    if name == "validate.non.null":
        return mode is not Mode.BULK
    if name == "timestamp.initial":
        return False
    return mode.uses_timestamp if name.startswith("timestamp.") else mode.uses_incrementing
