"""Frames and Kafka messages: the only module that knows the message library (kio).

A handler sees a decoded request and answers with plain dicts that hold the fields of every version; `encode`
keeps those the request's version knows.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, cast

from kio.index import load_request_schema, load_response_schema
from kio.serial import entity_reader

from syncline.broker.answers import Add, Unread, joined, writer
from syncline.broker.sasl import Session
from syncline.broker.skim import Step, skimmer

API_VERSIONS: Final = 18
_INT: Final = struct.Struct(">i").pack

Body = Mapping[str, Any]
Answer = Body | None
"""None: the client wants no answer (acks=0)."""


class Context(NamedTuple):
    """Who asks, and in which version."""

    api_key: int
    api_version: int
    client_id: str
    host: str
    address: tuple[str, int] = ("", 0)
    """Host and port of this broker as the client is to use them: those of the listener it came to."""
    session: Session | None = None
    """Where the listener asks clients to authenticate."""


Handler = Callable[[Any, Any, Context], Answer | Awaitable[Answer]]
"""From broker, request and context to the answer; async where it may have to wait."""


@dataclass(frozen=True, slots=True)
class Api:
    """One Kafka API as this broker serves it."""

    key: int
    lowest: int
    highest: int
    handler: Handler
    advertised_lowest: int | None = None
    """Where clients must be told of versions that are not served: see Produce."""


class Request(NamedTuple):
    """A decoded request."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str
    body: Any


class Unreadable(Exception):
    """A frame that is no request; the connection is closed."""


@cache
def _readers(api_key: int, version: int) -> tuple[Any, Step, Any]:
    schema = load_request_schema(api_key, version)
    return entity_reader(schema.__header_schema__), skimmer(schema), entity_reader(schema)


@cache
def _response(api_key: int, version: int) -> tuple[Callable[[Add, Body], None], bool]:
    schema = load_response_schema(api_key, version)
    flexible_header: bool = schema.__header_schema__.__flexible__
    return writer(schema), flexible_header


@cache
def api_name(api_key: int, version: int) -> str:
    """As Kafka names an API: `Produce`, `ApiVersions`."""
    return str(load_request_schema(api_key, version).__name__).removesuffix("Request")


def peek(frame: bytes | memoryview) -> tuple[int, int, int]:
    """API key, version and correlation id of a frame."""
    try:
        return cast("tuple[int, int, int]", struct.unpack_from(">hhi", frame))
    except struct.error as exc:
        raise Unreadable("shorter than a request header") from exc


def decode(frame: bytes | memoryview) -> Request:
    """The request in a frame, which is read-only; Unreadable when it is malformed."""
    api_key, version, correlation = peek(frame)
    try:
        header_reader, skim, reader = _readers(api_key, version)
        header, offset = header_reader(frame, 0)
        if skim(frame, offset) > len(frame):
            raise Unreadable("shorter than it says")
        body, used = reader(frame, offset)
    except Exception as exc:  # the decoder has many errors of its own; all mean the same
        raise Unreadable(f"request {api_key} v{version}: {exc}") from exc
    if offset + used > len(frame):
        raise Unreadable(f"request {api_key} v{version}: shorter than it says")
    return Request(api_key, version, correlation, header.client_id or "", body)


def encode(api_key: int, version: int, correlation_id: int, values: Body) -> bytes | bytearray:
    """The frame of an answer, with its length in front. OSError when records in it cannot be read."""
    write, flexible_header = _response(api_key, version)
    header = _INT(correlation_id) + (b"\0" if flexible_header else b"")
    parts: list[bytes | Unread] = [b"", header]
    write(parts.append, values)
    parts[0] = _INT(sum(map(len, parts)))
    return joined(parts)
