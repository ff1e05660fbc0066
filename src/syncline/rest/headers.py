"""Headers that the worker's configuration adds to answers (spec/connect.md 1.1, "CORS" and "Extra headers")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from fnmatch import fnmatchcase
from typing import Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConfigError

_ACTIONS: Final = {"set": False, "add": False, "setDate": True, "addDate": True}
_KEY: Final = "response.http.headers.config"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ENTRY: Final = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^",]+))\s*(?:,|$)')


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages may call from a browser, and how."""

    origins: Sequence[str]
    """`*`, or origins in which `*` stands for anything."""
    methods: Sequence[str]

    @classmethod
    def of(cls, origins: str, methods: str) -> Cors:
        """From `access.control.allow.origin` (empty: nobody) and `.methods` (empty: GET, POST, HEAD)."""
        return cls(_listed(origins), [method.upper() for method in _listed(methods)] or ["GET", "POST", "HEAD"])

    def headers(self, method: str, request: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """For the answer to `request`, whose headers are given by name in lower case."""
        origin = request.get("origin")
        if origin is None or not any(fnmatchcase(origin, allowed) for allowed in self.origins):
            return
        yield "access-control-allow-origin", origin
        yield "access-control-allow-credentials", "true"
        if "*" not in self.origins:
            yield "vary", "Origin"
        wanted = request.get("access-control-request-method")
        if method == "OPTIONS" and wanted is not None and wanted.upper() in self.methods:
            yield "access-control-allow-methods", ",".join(self.methods)
            yield "access-control-allow-headers", "X-Requested-With,Content-Type,Accept,Origin,Authorization"
            yield "access-control-max-age", "1800"


@dataclass(frozen=True, slots=True)
class ExtraHeaders:
    """Name and value pairs; a number of milliseconds stands for the date so far from now."""

    entries: Sequence[tuple[str, str | int]]
    clock: Clock = SYSTEM_CLOCK

    @classmethod
    def of(cls, text: str, clock: Clock = SYSTEM_CLOCK) -> ExtraHeaders:
        """From `response.http.headers.config`: `[action] [name]:[value]`, with commas between; an entry whose value
        holds a comma stands in double quotes. ConfigError names the entry that cannot be understood.
        """
        return cls([_header(entry) for entry in _entries(text)], clock)

    def headers(self) -> Iterator[tuple[str, str]]:
        """For any answer."""
        for name, value in self.entries:
            if isinstance(value, int):
                value = formatdate((self.clock.wall_ms() + value) / 1000, usegmt=True)
            yield name, value


def _entries(text: str) -> Iterator[str]:
    position = 0
    while text[position:].strip():
        found = _ENTRY.match(text, position)
        if found is None:
            raise _refused(text[position:], "a quotation mark is missing or out of place")
        position = found.end()
        quoted = found["quoted"]
        yield re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else found["bare"].strip()


def _header(entry: str) -> tuple[str, str | int]:
    action, _, rest = entry.partition(" ")
    name, colon, value = rest.strip().partition(":")
    name, value = name.strip(), value.strip()
    if action not in _ACTIONS:
        raise _refused(entry, f"the action must be one of {', '.join(_ACTIONS)}")
    if not colon or not _TOKEN.fullmatch(name):
        raise _refused(entry, "an action is followed by [name]:[value]")
    if not _ACTIONS[action]:
        return name.lower(), value
    if not re.fullmatch(r"-?\d{1,18}", value):
        raise _refused(entry, "the value of a date is a number of milliseconds from now")
    return name.lower(), int(value)


def _refused(entry: str, why: str) -> ConfigError:
    return ConfigError({_KEY: [f"Invalid value {entry} for configuration {_KEY}: {why}"]})
