"""Byte formats of source offsets, compatible with Kafka Connect (spec/connect.md 3.3).

A key is the JSON `["connector",{partition}]`, a value the JSON of the offset. Java finds a stored offset by the
exact bytes of its key, so new keys put members where a Java HashMap would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from syncline.errors import DataError

Flat = Mapping[str, Any]


def java_hash(text: str) -> int:
    """`String.hashCode`, as 32 bits without sign."""
    value = 0
    raw = text.encode("utf-16-be")
    for position in range(0, len(raw), 2):
        value = (31 * value + (raw[position] << 8 | raw[position + 1])) & 0xFFFFFFFF
    return value


def java_order(keys: Iterable[str]) -> list[str]:
    """`keys` in the order a Java HashMap iterates them, inserted as given."""
    listed = list(keys)
    capacity = 16
    while len(listed) > capacity * 3 // 4:
        capacity *= 2
    buckets: dict[int, list[str]] = {}
    for key in listed:
        hashed = java_hash(key)
        buckets.setdefault((hashed ^ hashed >> 16) & (capacity - 1), []).append(key)
    return [key for bucket in sorted(buckets) for key in buckets[bucket]]


def check_flat(fields: Flat) -> None:
    """DataError unless keys are strings and values primitive."""
    for key, value in fields.items():
        if not isinstance(key, str):
            raise DataError(f"Offsets may only use String keys, found {key!r}")
        if value is not None and not isinstance(value, str | int | float | bool):
            raise DataError(
                f"Offsets may only contain primitive types as values, but field {key} contains {type(value).__name__}"
            )


def encode_key(connector: str, partition: Flat) -> bytes:
    """The key of a partition that was never stored before."""
    check_flat(partition)
    return msgspec.json.encode([connector, {key: partition[key] for key in java_order(partition)}])


def encode_value(offset: Flat | None) -> bytes | None:
    if offset is None:
        return None
    check_flat(offset)
    return msgspec.json.encode({key: offset[key] for key in java_order(offset)})


def decode_key(raw: bytes) -> tuple[str, dict[str, Any]]:
    """Connector and partition; DataError when `raw` is no such key."""
    try:
        connector, partition = msgspec.json.decode(raw)
        if isinstance(connector, str) and isinstance(partition, dict):
            return connector, partition
    except (msgspec.DecodeError, ValueError, TypeError) as exc:
        raise DataError(f"offset key {raw[:200]!r} is not readable: {exc}") from exc
    raise DataError(f"offset key {raw[:200]!r} is not [connector, partition]")


def decode_value(raw: bytes | None) -> dict[str, Any] | None:
    """The offset; DataError when `raw` is no JSON object."""
    if raw is None:
        return None
    try:
        value = msgspec.json.decode(raw)
    except msgspec.DecodeError as exc:
        raise DataError(f"offset {raw[:200]!r} is not readable: {exc}") from exc
    if value is not None and not isinstance(value, dict):
        raise DataError(f"offset {raw[:200]!r} is not an object")
    return value


def canonical(connector: str, partition: Flat) -> bytes:
    """What two spellings of one key have in common."""
    return msgspec.json.encode([connector, dict(sorted(partition.items()))])
