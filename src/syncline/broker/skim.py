"""Whether the lengths in a request fit its frame, before it is decoded.

kio makes room for as many elements as an array claims. One flipped bit can claim 120 GB, and the refusal of that much
memory ends the process. A walk over the lengths alone costs a few microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from struct import Struct
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

Step = Callable[[bytes | memoryview, int], int]
"""From a position in a frame to the one behind a value; Misfit, IndexError or struct.error when it does not fit."""

SIZES: Final = {
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint16": 2,
    "uint32": 4,
    "bool": 1,
    "uuid": 16,
    "float64": 8,
    "error_code": 2,
    "timedelta_i32": 4,
    "timedelta_i64": 8,
    "datetime_i64": 8,
}
_SHORT: Final = Struct(">h").unpack_from
_INT: Final = Struct(">i").unpack_from


class Misfit(Exception):
    """A length that cannot be."""


@dataclass(frozen=True, slots=True)
class _Value:
    """How to pass over one value."""

    step: Step
    least: int
    """Bytes it takes at least."""
    size: int | None = None
    """Bytes it always takes, if they are always the same."""


@cache
def skimmer(schema: Any) -> Step:
    """Passes over one entity of `schema`."""
    return _entity(schema).step


def _entity(schema: Any) -> _Value:
    flexible: bool = schema.__flexible__
    plain = [field for field in fields(schema) if "tag" not in field.metadata]
    values = [_value(field.type, field.metadata.get("kafka_type"), flexible) for field in plain]
    if flexible:
        tagged = {field.metadata["tag"]: field for field in fields(schema) if "tag" in field.metadata}
        known = {tag: _value(f.type, f.metadata.get("kafka_type"), flexible).step for tag, f in tagged.items()}
        values.append(_Value(_tags(known), 1))
    least = sum(value.least for value in values)
    if all(value.size is not None for value in values):
        return _Value(_over(least), least, least)
    steps = _merged(values)

    def walk(frame: bytes | memoryview, at: int) -> int:
        for step in steps:
            at = step(frame, at)
        return at

    return _Value(walk, least)


def _merged(values: list[_Value]) -> tuple[Step, ...]:
    """Values of fixed size that follow each other are passed over at once."""
    steps: list[Step] = []
    run = 0
    for value in values:
        if value.size is not None:
            run += value.size
            continue
        if run:
            steps.append(_over(run))
            run = 0
        steps.append(value.step)
    if run:
        steps.append(_over(run))
    return tuple(steps)


def _value(annotation: Any, kafka_type: str | None, flexible: bool) -> _Value:
    nullable = False
    if get_origin(annotation) in (Union, UnionType):
        nullable = type(None) in get_args(annotation)
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is tuple:
        return _array(_value(get_args(annotation)[0], kafka_type, flexible), nullable, flexible)
    if is_dataclass(annotation):
        return _optional(_entity(annotation)) if nullable else _entity(annotation)
    if kafka_type in SIZES:
        return _Value(_over(SIZES[kafka_type]), SIZES[kafka_type], SIZES[kafka_type])
    if flexible:
        return _Value(_compact, 1)
    return _Value(_string, 2) if kafka_type == "string" else _Value(_bytes, 4)


def _optional(entity: _Value) -> _Value:
    """An entity behind a byte that says whether it is there; a negative one says that it is not."""

    def walk(frame: bytes | memoryview, at: int) -> int:
        return at + 1 if frame[at] > 0x7F else entity.step(frame, at + 1)

    return _Value(walk, 1)


def _array(element: _Value, nullable: bool, flexible: bool) -> _Value:
    step, least, size = element.step, max(element.least, 1), element.size

    def walk(frame: bytes | memoryview, at: int) -> int:
        if flexible:
            count, at = _varint(frame, at)
            count -= 1
        else:
            count = int(_INT(frame, at)[0])
            at += 4
        if count < 0:
            if nullable and count == -1:
                return at
            raise Misfit("an array is null and may not be")
        if count * least > len(frame) - at:
            raise Misfit(f"an array of {count} elements in {len(frame) - at} bytes")
        if size is not None:
            return at + count * size
        for _ in range(count):
            at = step(frame, at)
        return at

    return _Value(walk, 1 if flexible else 4)


def _over(size: int) -> Step:
    return lambda frame, at: at + size


def _string(frame: bytes | memoryview, at: int) -> int:
    length: int = _SHORT(frame, at)[0]
    return at + 2 + max(length, 0)


def _bytes(frame: bytes | memoryview, at: int) -> int:
    length: int = _INT(frame, at)[0]
    return at + 4 + max(length, 0)


def _compact(frame: bytes | memoryview, at: int) -> int:
    length, at = _varint(frame, at)
    return at + max(length - 1, 0)


def _varint(frame: bytes | memoryview, at: int) -> tuple[int, int]:
    byte = frame[at]
    if byte < 0x80:
        return byte, at + 1
    number = byte & 0x7F
    for shift in range(7, 35, 7):
        at += 1
        byte = frame[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at + 1
    raise Misfit("a length of more than five bytes")


def _tags(known: dict[int, Step]) -> Step:
    def walk(frame: bytes | memoryview, at: int) -> int:
        if frame[at] == 0:
            return at + 1
        count, at = _varint(frame, at)
        for _ in range(count):
            tag, at = _varint(frame, at)
            size, at = _varint(frame, at)
            end = at + size
            if end > len(frame) or (tag in known and known[tag](frame, at) != end):
                raise Misfit(f"tagged field {tag} is not of the length it says")
            at = end
        return at

    return walk
