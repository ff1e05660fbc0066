"""A client that says exactly what a test wants, in the version it wants."""

from __future__ import annotations

import dataclasses
import io
import itertools
import socket
import struct
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import UnionType
from typing import Any, Self, Union, get_args, get_origin

from kio.index import load_request_schema, load_response_schema
from kio.serial import entity_reader, entity_writer

ZEROS: Mapping[str, object] = {"string": "", "bytes": b"", "bool": False, "uuid": None}


class RawClient:
    """One connection; a context manager."""

    def __init__(self, bootstrap: str, client_id: str = "raw", timeout_s: float = 30) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout_s)
        self._client_id = client_id
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(self, api_key: int, version: int, /, **fields: Any) -> Any:
        """Send a request and wait for its answer. Fields the version does not know are left out."""
        self.send(api_key, version, **fields)
        return self.receive(api_key, version)

    def send(self, api_key: int, version: int, /, **fields: Any) -> None:
        schema = load_request_schema(api_key, version)
        header = {
            "request_api_key": api_key,
            "request_api_version": version,
            "correlation_id": next(self._numbers),
            "client_id": self._client_id,
        }
        out = io.BytesIO()
        for kind, values in ((schema.__header_schema__, header), (schema, fields)):
            entity_writer(kind)(out, built(kind, values))
        frame = out.getvalue()
        self.send_bytes(struct.pack(">i", len(frame)) + frame)

    def send_bytes(self, data: bytes) -> None:
        """Whatever it is."""
        self._socket.sendall(data)

    def send_header(self, api_key: int, version: int, /) -> None:
        """A request without a body, for versions that do not exist."""
        frame = struct.pack(">hhihb", api_key, version, next(self._numbers), -1, 0)
        self._socket.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self, api_key: int, version: int, /) -> Any:
        schema = load_response_schema(api_key, version)
        frame = self.receive_bytes()
        _, offset = entity_reader(schema.__header_schema__)(frame, 0)
        return entity_reader(schema)(frame, offset)[0]

    def receive_bytes(self) -> bytes:
        """What the next frame holds."""
        return self._exactly(struct.unpack(">i", self._exactly(4))[0])

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            piece = self._socket.recv(size - len(found))
            if not piece:
                raise ConnectionError("the broker closed the connection")
            found += piece
        return found


def built(schema: Any, values: Mapping[str, Any]) -> Any:
    """An entity of `schema` from plain values; what is missing is its default, or zero."""
    given = {}
    for field in dataclasses.fields(schema):
        if field.name in values:
            given[field.name] = _value(field.type, field.metadata.get("kafka_type"), values[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            given[field.name] = _zero(field)
    return schema(**given)


def _value(annotation: Any, kafka_type: str | None, value: Any) -> Any:
    if isinstance(value, list | tuple):
        inner = _entity(annotation)
        return tuple(value if inner is None else [built(inner, one) for one in value])
    if isinstance(value, Mapping):
        return built(_entity(annotation), value)
    if kafka_type is not None and kafka_type.startswith("timedelta") and isinstance(value, int):
        return timedelta(milliseconds=value)
    return value


def _entity(annotation: Any) -> Any:
    """The class of the entities in an array; None when they are plain."""
    if hasattr(annotation, "__dataclass_fields__"):
        return annotation
    return next((found for found in map(_entity, get_args(annotation)) if found is not None), None)


def _zero(field: Any) -> Any:
    kafka_type = field.metadata.get("kafka_type") or ""
    if get_origin(field.type) in (Union, UnionType) and type(None) in get_args(field.type):
        return None
    if get_origin(field.type) is tuple:
        return ()
    if kafka_type.startswith("timedelta"):
        return timedelta(0)
    return ZEROS.get(kafka_type, 0)


def encode_subscription(topics: Iterable[str]) -> bytes:
    """What a consumer of these topics joins a classic group with: a ConsumerProtocolSubscription, version 0."""
    raw = [topic.encode() for topic in topics]
    body = b"".join(struct.pack(">h", len(topic)) + topic for topic in raw)
    return struct.pack(">hi", 0, len(raw)) + body + struct.pack(">i", -1)
