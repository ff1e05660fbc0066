"""Byte formats of source offsets, compatible with Kafka Connect (spec/connect.md 3.3).

A key is the JSON `["connector",{partition}]`, a value the JSON of the offset. Java finds a stored offset by the
exact bytes of its key; so a key that is stored already is used again as it is (`stores.offsets`), and a new one
puts its members where a Java HashMap would.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from syncline.errors import DataError

Flat = Mapping[str, Any]
"""Strings to str, int, float, bool or None."""

_SHOWN: Final = 200
"""Bytes of an unreadable key or value that an error shows."""
_BEYOND_BMP: Final = re.compile("[\U00010000-\U0010ffff]")


def java_hash(text: str) -> int:
    """`String.hashCode`, as 32 bits without sign."""
    value = 0
    raw = text.encode("utf-16-be", "surrogatepass")
    for position in range(0, len(raw), 2):
        value = (31 * value + (raw[position] << 8 | raw[position + 1])) & 0xFFFFFFFF
    return value


def java_order(keys: Iterable[str]) -> list[str]:
    """`keys` in the order a Java HashMap iterates them when they were inserted as given."""
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
    """DataError, in Kafka Connect's words, unless keys are strings and values primitive."""
    for key, value in fields.items():
        if not isinstance(key, str):
            raise DataError(f"Offsets may only use String keys, but found {key!r}")
        if value is not None and not isinstance(value, str | int | float):
            raise DataError(
                f"Offsets may only contain primitive types as values, but field {key} contains {type(value).__name__}"
            )


def encode_key(connector: str, partition: Flat) -> bytes:
    """The key of a partition that was never stored before."""
    check_flat(partition)
    return _json([connector, {key: partition[key] for key in java_order(partition)}])


def encode_value(offset: Flat | None) -> bytes | None:
    """The stored form of an offset; None deletes."""
    if offset is None:
        return None
    check_flat(offset)
    return _json({key: offset[key] for key in java_order(offset)})


def _json(value: Any) -> bytes:
    """Compact UTF-8, with characters beyond the basic plane as two escapes: so Java writes them."""
    raw = msgspec.json.encode(value)
    if raw.isascii() or not _BEYOND_BMP.search(text := raw.decode()):
        return raw
    return _BEYOND_BMP.sub(_as_surrogates, text).encode()


def _as_surrogates(found: re.Match[str]) -> str:
    high, low = divmod(ord(found[0]) - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04X}\\u{0xDC00 + low:04X}"


def decode_key(raw: bytes) -> tuple[str, dict[str, Any]]:
    """Connector and partition; DataError when `raw` is no such key."""
    try:
        connector, partition = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError) as exc:
        raise DataError(f"offset key {raw[:_SHOWN]!r} cannot be read: {exc}") from exc
    if not isinstance(connector, str) or not isinstance(partition, dict):
        raise DataError(f"offset key {raw[:_SHOWN]!r} is not [connector, partition]")
    return connector, partition


def decode_value(raw: bytes | None) -> dict[str, Any] | None:
    """The offset; DataError when `raw` is no JSON object."""
    if raw is None:
        return None
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DataError(f"offset {raw[:_SHOWN]!r} cannot be read: {exc}") from exc
    if value is not None and not isinstance(value, dict):
        raise DataError(f"offset {raw[:_SHOWN]!r} is not an object")
    return value


def canonical(partition: Flat) -> bytes:
    """What the spellings of one partition have in common, whatever the order of its members."""
    return msgspec.json.encode(partition, order="sorted")
