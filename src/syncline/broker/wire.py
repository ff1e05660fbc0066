"""Frames and Kafka messages: the only module that knows the message library (kio).

A handler sees a decoded request and answers with plain dicts that hold the fields of every version; `encode`
keeps those the request's version knows.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from types import UnionType
from typing import Any, Final, Union, cast, get_args, get_origin
from uuid import UUID

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer

from syncline.broker.sasl import Session
from syncline.broker.skim import Step, skimmer

API_VERSIONS: Final = 18

Body = Mapping[str, Any]
Answer = Body | None
"""None: the client wants no answer (acks=0)."""


@dataclass(frozen=True, slots=True)
class Context:
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


@dataclass(frozen=True, slots=True)
class Request:
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
def _response(api_key: int, version: int) -> tuple[Callable[[Body], Any], Any, bool]:
    schema = load_response_schema(api_key, version)
    flexible_header: bool = schema.__header_schema__.__flexible__
    return _builder(schema), entity_writer(schema), flexible_header


@cache
def api_name(api_key: int, version: int) -> str:
    """As Kafka names an API: `Produce`, `ApiVersions`."""
    return str(load_request_schema(api_key, version).__name__).removesuffix("Request")


def peek(frame: bytes) -> tuple[int, int, int]:
    """API key, version and correlation id of a frame."""
    try:
        return cast("tuple[int, int, int]", struct.unpack_from(">hhi", frame))
    except struct.error as exc:
        raise Unreadable("shorter than a request header") from exc


def decode(frame: bytes) -> Request:
    """The request in a frame; Unreadable when it is malformed."""
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


def encode(api_key: int, version: int, correlation_id: int, values: Body) -> bytes:
    """The frame of an answer, with its length in front."""
    build, write, flexible_header = _response(api_key, version)
    out = _Parts()
    write(out, build(values))
    header = struct.pack(">i?", correlation_id, False)[: 5 if flexible_header else 4]
    length = len(header) + sum(map(len, out.parts))
    return b"".join((struct.pack(">i", length), header, *out.parts))


class _Parts:
    """What is written, as it came: record batches of megabytes are copied once, into the frame."""

    __slots__ = ("parts", "write")

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.write = self.parts.append


@cache
def _builder(schema: Any) -> Callable[[Body], Any]:
    """From the fields of any version to an entity of this one; missing fields get their default or zero."""
    plan = [(field.name, *_converter(field)) for field in fields(schema)]

    def build(values: Body) -> Any:
        given = {}
        for name, convert, has_default, zero in plan:
            if name in values:
                value = values[name]
                given[name] = value if convert is None else convert(value)
            elif not has_default:
                given[name] = zero
        return schema(**given)

    return build


def _converter(field: Any) -> tuple[Callable[[Any], Any] | None, bool, Any]:
    kind, many, optional = _unwrap(field.type)
    has_default = field.default is not MISSING or field.default_factory is not MISSING
    kafka_type = field.metadata.get("kafka_type")
    convert: Callable[[Any], Any] | None = None
    if kafka_type is None or hasattr(kind, "__dataclass_fields__"):
        inner = _builder(kind)
        convert = inner if not many else None
        if many:
            return (lambda values: None if values is None else tuple(map(inner, values))), has_default, ()
        if optional:
            return (lambda value: None if value is None else inner(value)), has_default, None
        return convert, has_default, None
    if kafka_type.startswith("timedelta"):
        return _milliseconds, has_default, timedelta(0)
    if kafka_type.startswith("datetime"):
        return (_moment if optional else _moment_before_or_after), has_default, None
    if kafka_type == "error_code":
        return ErrorCode, has_default, ErrorCode.none
    if many:
        return (lambda values: None if values is None else tuple(values)), has_default, ()
    zero = None if optional else _ZEROS.get(kafka_type, 0)
    return None, has_default, zero


_ZEROS: Final[Mapping[str, Any]] = {
    "string": "",
    "bytes": b"",
    "records": b"",
    "bool": False,
    "uuid": UUID(int=0),
    "float64": 0.0,
}


def _milliseconds(value: int) -> timedelta:
    return timedelta(milliseconds=value)


def _moment_before_or_after(value: int) -> datetime:
    # Where Kafka has no field for "none", it writes -1 milliseconds.
    return datetime.fromtimestamp(value / 1000, UTC)


def _moment(value: int | None) -> datetime | None:
    return None if value is None or value < 0 else datetime.fromtimestamp(value / 1000, UTC)


def _unwrap(annotation: Any) -> tuple[Any, bool, bool]:
    """The innermost type, whether there are many, and whether None is allowed."""
    optional = many = False
    if get_origin(annotation) in (Union, UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        optional = len(inner) < len(get_args(annotation))
        annotation = inner[0]
    if get_origin(annotation) is tuple:
        many = True
        annotation = get_args(annotation)[0]
        inner_annotation, _, _ = _unwrap(annotation)
        annotation = inner_annotation
    return annotation, many, optional
