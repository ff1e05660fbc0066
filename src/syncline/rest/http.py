"""Requests and answers of the REST interface, and the table that leads from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

JSON: Final = "application/json"
TEXT: Final = "text/plain"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, decoded."""

    method: str
    parts: tuple[str, ...]
    """Path segments, decoded."""
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    base: str
    """Scheme and authority as the client wrote them, for `Location`."""

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean parameter: `true` in any case is true, everything else false; an empty one is a true default."""
        values = self.query.get(name)
        if not values or (default and not values[0]):
            return default
        return values[0].strip().lower() == "true"

    def parameter(self, name: str) -> str | None:
        """The first value of a parameter."""
        values = self.query.get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `body` is what JSON can hold, or bytes that are sent as they are, or None for nothing."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = JSON

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        try:
            return msgspec.json.encode(self.body)
        except UnicodeEncodeError:
            # A trace may quote a file name that is no text; losing a letter of it is better than the answer.
            return msgspec.json.encode(_presentable(msgspec.to_builtins(self.body)))


def _presentable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_presentable(entry) for entry in value]
    if isinstance(value, dict):
        return {_presentable(key): _presentable(entry) for key, entry in value.items()}
    return value


NO_CONTENT: Final = Response(204, content_type=None)
ACCEPTED: Final = Response(202, content_type=None)

Handle = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A path with its methods; the pattern's `*` stands for any segment, `#` for a whole number."""

    pattern: tuple[str, ...]
    methods: Mapping[str, Handle]
    produces: str = JSON
    at_once: bool = False
    """Answered also while the worker is still starting."""


def route(path: str, *, produces: str = JSON, at_once: bool = False, **methods: Handle) -> Route:
    """`route("/connectors/*/status", GET=...)`."""
    return Route(tuple(path.split("/")[1:]) if path != "/" else (), methods, produces, at_once)
