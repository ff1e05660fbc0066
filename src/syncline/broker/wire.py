"""Frames and Kafka messages: the only module that knows the message library (kio).

A handler sees a decoded request and answers with plain dicts that hold the fields of every version; `encode`
keeps those the request's version knows. One connection serves one request at a time, in order.
"""

from __future__ import annotations

import asyncio
import io
import logging
import struct
from collections import deque
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

from syncline.broker.errors import UNSUPPORTED_VERSION

log = logging.getLogger(__name__)

API_VERSIONS: Final = 18
READ_BUFFER: Final = 64 * 1024
MAX_PIPELINED: Final = 64
"""Requests read ahead on one connection before reading stops."""
HIGH_WATER: Final = 4 * 1024 * 1024
"""Bytes waiting to be sent on one connection before its requests wait too."""

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
def _readers(api_key: int, version: int) -> tuple[Any, Any]:
    schema = load_request_schema(api_key, version)
    return entity_reader(schema.__header_schema__), entity_reader(schema)


@cache
def _response(api_key: int, version: int) -> tuple[Callable[[Body], Any], Any, bool]:
    schema = load_response_schema(api_key, version)
    flexible_header: bool = schema.__header_schema__.__flexible__
    return _builder(schema), entity_writer(schema), flexible_header


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
        header_reader, reader = _readers(api_key, version)
        header, offset = header_reader(frame, 0)
        body, used = reader(frame, offset)
    except Exception as exc:  # the decoder has many errors of its own; all mean the same
        raise Unreadable(f"request {api_key} v{version}: {exc}") from exc
    if offset + used > len(frame):
        raise Unreadable(f"request {api_key} v{version}: shorter than it says")
    return Request(api_key, version, correlation, header.client_id or "", body)


def encode(api_key: int, version: int, correlation_id: int, values: Body) -> bytes:
    """The frame of an answer, with its length in front."""
    build, write, flexible_header = _response(api_key, version)
    out = io.BytesIO()
    out.write(bytes(4))
    out.write(struct.pack(">i", correlation_id))
    if flexible_header:
        out.write(b"\0")
    write(out, build(values))
    frame = out.getbuffer()
    frame[:4] = struct.pack(">i", len(frame) - 4)
    return bytes(frame)


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


class Connection(asyncio.BufferedProtocol):
    """One client: frames in, answers out, in order; a slow reader slows only itself."""

    def __init__(self, broker: Any, apis: Mapping[int, Api], max_frame: int) -> None:
        self._broker = broker
        self._apis = apis
        self._max_frame = max_frame
        self._buffer = bytearray(READ_BUFFER)
        self._filled = 0
        self._waiting: deque[bytes] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._host = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self._host = str(peer[0]) if peer else ""
        self._broker.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._broker.connections.discard(self)
        self._waiting.clear()
        self._may_write.set()
        self._transport = None
        if self._serving is not None:
            self._serving.cancel()

    def close(self) -> None:
        """Drop the client."""
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        if len(self._buffer) - self._filled < READ_BUFFER // 4:
            wanted = 4 + self._announced() if self._filled >= 4 else 0
            bigger = bytearray(max(wanted, self._filled + READ_BUFFER))
            bigger[: self._filled] = self._buffer[: self._filled]
            self._buffer = bigger
        return memoryview(self._buffer)[self._filled :]

    def _announced(self) -> int:
        return int.from_bytes(self._buffer[:4], "big", signed=True)

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        start = 0
        view = memoryview(self._buffer)
        while self._filled - start >= 4:
            size = int.from_bytes(view[start : start + 4], "big", signed=True)
            if not 8 <= size <= self._max_frame:
                log.warning("client %s sent a frame of %d bytes; closing its connection", self._host, size)
                self.close()
                return
            if self._filled - start < 4 + size:
                break
            self._waiting.append(bytes(view[start + 4 : start + 4 + size]))
            start += 4 + size
        del view
        if start:
            rest = self._filled - start
            if rest == 0 and len(self._buffer) > READ_BUFFER:
                self._buffer = bytearray(READ_BUFFER)
            else:
                self._buffer[:rest] = self._buffer[start : self._filled]
            self._filled = rest
        if len(self._waiting) >= MAX_PIPELINED and self._transport is not None:
            self._transport.pause_reading()
        if self._serving is None:
            self._serve()

    def _serve(self) -> None:
        """Answer what can be answered at once; the first request that must wait goes on in a task."""
        while self._waiting:
            frame = self._waiting.popleft()
            try:
                again = self._begin(frame)
            except Unreadable as exc:
                log.warning("client %s: %s; closing its connection", self._host, exc)
                self.close()
                return
            if again is not None:
                self._serving = asyncio.get_running_loop().create_task(again)
                return
        self._resume()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()

    def _begin(self, frame: bytes) -> Any:
        """Handle one frame; a coroutine when the rest must wait."""
        api_key, version, correlation = peek(frame)
        api = self._apis.get(api_key)
        if api is None or not api.lowest <= version <= api.highest:
            if api_key != API_VERSIONS:
                raise Unreadable(f"API {api_key} version {version} is not served")
            # A client that is too new learns from the v0 answer what to ask with (KIP-511).
            body = {"error_code": UNSUPPORTED_VERSION, **self._broker.api_versions()}
            self._send(encode(API_VERSIONS, 0, correlation, body))
            return None
        request = decode(frame)
        context = Context(api_key, version, request.client_id, self._host)
        answer = api.handler(self._broker, request.body, context)
        if isinstance(answer, Mapping) or answer is None:
            self._answer(request, answer)
            return None if self._may_write.is_set() else self._later(request, None)
        return self._later(request, answer)

    async def _later(self, request: Request, answer: Awaitable[Answer] | None) -> None:
        try:
            if answer is not None:
                self._answer(request, await answer)
            await self._may_write.wait()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("request %s v%s failed", request.api_key, request.api_version)
            self.close()
            return
        finally:
            self._serving = None
        if self._transport is not None:
            self._serve()

    def _answer(self, request: Request, answer: Answer) -> None:
        if answer is not None:
            self._send(encode(request.api_key, request.api_version, request.correlation_id, answer))

    def _send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()
