"""Regular expressions that stand for topics (KIP-848): RE2's language, as far as Python's is the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from syncline.broker.errors import INVALID_REGULAR_EXPRESSION, KafkaError

_NOT_RE2: Final = re.compile(
    r"""
      (?<!\\)(?:\\\\)*            # not escaped
      (?: \(\?(?:[=!>(\#]|<[=!])  # looking around, atomic groups, conditions, comments
        | \\[1-9]                 # back references
        | [*+?}]\+                # possessive repeats
        | \[\[:                   # POSIX classes, which Python reads as something else
      )""",
    re.VERBOSE,
)


@lru_cache(maxsize=256)
def compiled(expression: str) -> re.Pattern[str]:
    """The expression; KafkaError when it is none, or one that RE2 and Python read differently."""
    strange = _NOT_RE2.search(expression)
    if strange is not None:
        raise KafkaError(
            INVALID_REGULAR_EXPRESSION,
            f"SubscribedTopicRegex `{expression}` is not a valid regular expression: `{strange[0]}` is not supported.",
        )
    try:
        return re.compile(expression)
    except (re.error, OverflowError, RecursionError) as exc:
        raise KafkaError(
            INVALID_REGULAR_EXPRESSION,
            f"SubscribedTopicRegex `{expression}` is not a valid regular expression: {exc}.",
        ) from exc


def matching(expression: str, names: Iterable[str]) -> frozenset[str]:
    """The names the whole of which the expression matches."""
    return frozenset(filter(compiled(expression).fullmatch, names))
