"""Answers as bytes, straight from the plain values that handlers give.

kio describes the fields of every version. Its own writer first wants an entity of each, and checks the type of every
value again; for the smallest answers that was a third of all the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timedelta
from functools import cache
from struct import Struct
from types import UnionType
from typing import Any, Final, Protocol, Union, cast, get_args, get_origin
from uuid import UUID


class Unread(Protocol):
    """Bytes that are still to be had from somewhere."""

    def __len__(self) -> int: ...

    def read_into(self, room: memoryview) -> None:
        """Fill `room`, which is just large enough."""
        ...


Add = Callable[[bytes | Unread], None]
"""Takes the next bytes of an answer."""
Put = Callable[[Add, Any], None]
"""Writes one value."""
Values = Mapping[str, Any]

FORMATS: Final = {
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint16": "H",
    "uint32": "I",
    "bool": "?",
    "float64": "d",
    "error_code": "h",
    "timedelta_i32": "i",
    "timedelta_i64": "q",
    "datetime_i64": "q",
}
_ZEROS: Final[Mapping[str, Any]] = {"string": "", "bytes": b"", "records": b"", "float64": 0.0}
_NOBODY: Final = UUID(int=0)
_SHORT: Final = Struct(">h").pack
_INT: Final = Struct(">i").pack
_LENGTHS: Final = tuple(bytes([length]) for length in range(128))
_NO_TAGS: Final = b"\0"


@cache
def writer(schema: Any) -> Callable[[Add, Values], None]:
    """Writes one entity of `schema`; what is missing in the values is the field's default, or zero."""
    flexible: bool = schema.__flexible__
    steps: list[Put] = []
    run: list[tuple[str, Any, str]] = []
    for field in fields(schema):
        if "tag" in field.metadata:
            continue
        kafka_type = field.metadata.get("kafka_type")
        if kafka_type in FORMATS and get_origin(field.type) is not tuple and not _is_array(field.type):
            run.append((field.name, _number(_default(field)), FORMATS[kafka_type]))
            continue
        if run:
            steps.append(_numbers(run))
            run = []
        steps.append(_named(field.name, _put(field.type, kafka_type, flexible), _default(field)))
    if run:
        steps.append(_numbers(run))
    if flexible:
        steps.append(_tags(schema))
    if len(steps) == 1:
        return steps[0]
    ordered = tuple(steps)

    def write(add: Add, values: Values) -> None:
        for step in ordered:
            step(add, values)

    return write


def _is_array(annotation: Any) -> bool:
    return any(get_origin(part) is tuple for part in get_args(annotation))


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    if get_origin(field.type) is tuple:
        return ()
    if get_origin(field.type) in (Union, UnionType) and type(None) in get_args(field.type):
        return None
    return {} if is_dataclass(field.type) else _ZEROS.get(field.metadata.get("kafka_type"), 0)


def _number(value: Any) -> Any:
    """Numbers as they are; times in milliseconds; -1 where Kafka has no field for "none"."""
    if value is None:
        return -1
    if isinstance(value, timedelta):
        return round(value.total_seconds() * 1000)
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    return value


def _numbers(run: list[tuple[str, Any, str]]) -> Put:
    """Numbers that follow each other, written at once."""
    pairs = [(name, default) for name, default, _ in run]
    pack = Struct(">" + "".join(code for _, _, code in run)).pack

    def write(add: Add, values: Values) -> None:
        get = values.get
        found = [get(name, default) for name, default in pairs]
        add(pack(*found) if None not in found else pack(*map(_number, found)))

    return write


def _named(name: str, put: Put, default: Any) -> Put:
    def write(add: Add, values: Values) -> None:
        put(add, values.get(name, default))

    return write


def _put(annotation: Any, kafka_type: str | None, flexible: bool) -> Put:
    nullable = False
    if get_origin(annotation) in (Union, UnionType):
        nullable = type(None) in get_args(annotation)
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is tuple:
        return _array(_put(get_args(annotation)[0], kafka_type, flexible), nullable, flexible)
    if is_dataclass(annotation):
        return _entity(annotation, nullable)
    if kafka_type == "uuid":
        return lambda add, value: add((value or _NOBODY).bytes)
    if kafka_type in FORMATS:
        pack = Struct(">" + FORMATS[kafka_type]).pack
        return lambda add, value: add(pack(_number(value)))
    if kafka_type == "string":
        return _text(nullable, flexible)
    return _bytes(nullable, flexible)


def _entity(schema: Any, nullable: bool) -> Put:
    write = writer(schema)
    if not nullable:
        # What is no dict is the default of a field that was not given.
        return lambda add, value: write(add, value if isinstance(value, dict) else {})

    def put(add: Add, value: Any) -> None:
        add(b"\xff" if value is None else b"\x01")
        if value is not None:
            write(add, value)

    return put


def _text(nullable: bool, flexible: bool) -> Put:
    def put(add: Add, value: str | None) -> None:
        if value is None:
            _check(nullable)
            add(b"\0" if flexible else b"\xff\xff")
            return
        data = value.encode()
        add((_varint(len(data) + 1) if flexible else _SHORT(len(data))) + data)

    return put


def _bytes(nullable: bool, flexible: bool) -> Put:
    def put(add: Add, value: bytes | Unread | None) -> None:
        if value is None:
            _check(nullable)
            add(b"\0" if flexible else b"\xff\xff\xff\xff")
            return
        add(_varint(len(value) + 1) if flexible else _INT(len(value)))
        add(value)

    return put


def _array(put_one: Put, nullable: bool, flexible: bool) -> Put:
    def put(add: Add, value: Any) -> None:
        if value is None:
            _check(nullable)
            add(b"\0" if flexible else b"\xff\xff\xff\xff")
            return
        add(_varint(len(value) + 1) if flexible else _INT(len(value)))
        for one in value:
            put_one(add, one)

    return put


def _tags(schema: Any) -> Put:
    """The tagged fields that are given and are not what they would be without."""
    tagged = []
    for field in sorted((f for f in fields(schema) if "tag" in f.metadata), key=lambda f: f.metadata["tag"]):
        put = _put(field.type, field.metadata.get("kafka_type"), True)
        tagged.append((_varint(field.metadata["tag"]), field.name, put, _written(put, _default(field))))
    if not tagged:
        return lambda add, values: add(_NO_TAGS)

    def write(add: Add, values: Values) -> None:
        found = []
        for tag, name, put, default in tagged:
            if name in values:
                data = _written(put, values[name])
                if data != default:
                    found.append(tag + _varint(len(data)) + data)
        add(_varint(len(found)) + b"".join(found))

    return write


def joined(parts: Sequence[bytes | Unread]) -> bytes | bytearray:
    """All parts in one; what is unread is read straight into its place."""
    if all(type(part) is bytes for part in parts):
        return b"".join(cast("Sequence[bytes]", parts))
    made = bytearray(sum(map(len, parts)))
    view, end = memoryview(made), 0
    for part in parts:
        start, end = end, end + len(part)
        if isinstance(part, bytes):
            view[start:end] = part
        else:
            part.read_into(view[start:end])
    return made


def _written(put: Put, value: Any) -> bytes:
    parts: list[bytes | Unread] = []
    put(parts.append, value)
    return bytes(joined(parts))


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _LENGTHS[number]
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _check(nullable: bool) -> None:
    if not nullable:
        raise TypeError("a value that may not be null is None")
