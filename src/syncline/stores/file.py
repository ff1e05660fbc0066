"""The offset file of a standalone worker, in Kafka Connect's own format.

A Java object stream that holds one HashMap from byte[] to byte[] (spec/connect.md 3.5). Only these two classes
appear, so a small reader and writer are enough; anything else in the file is refused.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from syncline.errors import ConnectError
from syncline.stores.offsets import OffsetStore

_MAGIC: Final = b"\xac\xed\x00\x05"
_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING, _ARRAY, _BLOCK, _END = (
    0x70,
    0x71,
    0x72,
    0x73,
    0x74,
    0x75,
    0x77,
    0x78,
)
_HASH_MAP: Final = (
    b"\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02F\x00\x0aloadFactorI\x00\x09thresholdxp"
)
_BYTE_ARRAY: Final = b"\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp"
_BYTE_ARRAY_HANDLE: Final = 0x7E0002


def encode(entries: Mapping[bytes, bytes | None]) -> bytes:
    """The stream for `entries`."""
    capacity = 16
    while len(entries) > capacity * 3 // 4:
        capacity *= 2
    out = bytearray(_MAGIC)
    out += bytes([_OBJECT, _CLASS]) + _HASH_MAP
    out += struct.pack(">fi", 0.75, capacity * 3 // 4)
    out += bytes([_BLOCK, 8]) + struct.pack(">ii", capacity, len(entries))
    first = True
    for key, value in entries.items():
        for part in (key, value):
            if part is None:
                out.append(_NULL)
                continue
            out.append(_ARRAY)
            out += (
                bytes([_CLASS]) + _BYTE_ARRAY if first else bytes([_REFERENCE]) + struct.pack(">i", _BYTE_ARRAY_HANDLE)
            )
            out += struct.pack(">i", len(part)) + part
            first = False
    out.append(_END)
    return bytes(out)


def decode(stream: bytes) -> dict[bytes, bytes | None]:
    """The entries of a stream; ValueError when it is none of Kafka Connect's."""
    if not stream.startswith(_MAGIC):
        raise ValueError("it does not begin as a Java object stream")
    head = bytes([_OBJECT, _CLASS]) + _HASH_MAP
    if not stream.startswith(head, len(_MAGIC)):
        raise ValueError("it holds no java.util.HashMap")
    position = len(_MAGIC) + len(head) + 8
    if stream[position : position + 2] != bytes([_BLOCK, 8]):
        raise ValueError("the map's size is missing")
    (count,) = struct.unpack_from(">i", stream, position + 6)
    position += 10
    parts: list[bytes | None] = []
    for _ in range(2 * count):
        part, position = _part(stream, position)
        parts.append(part)
    return {key: value for key, value in zip(parts[::2], parts[1::2], strict=True) if key is not None}


def _part(stream: bytes, position: int) -> tuple[bytes | None, int]:
    kind = stream[position]
    if kind == _NULL:
        return None, position + 1
    if kind != _ARRAY:
        raise ValueError(f"unexpected element {kind:#x} at position {position}")
    position += 1
    if stream[position] == _CLASS:
        if not stream.startswith(_BYTE_ARRAY, position + 1):
            raise ValueError(f"an array of something else than bytes at position {position}")
        position += 1 + len(_BYTE_ARRAY)
    elif stream[position] == _REFERENCE:
        position += 5
    else:
        raise ValueError(f"unexpected class {stream[position]:#x} at position {position}")
    (length,) = struct.unpack_from(">i", stream, position)
    position += 4
    if length < 0 or position + length > len(stream):
        raise ValueError(f"an array of {length} bytes at position {position} reaches beyond the end")
    return stream[position : position + length], position + length


class FileOffsets(OffsetStore):
    """Offsets in one file, rewritten whole and atomically at each save."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._entries: dict[bytes, bytes | None] = {}

    def start(self) -> None:
        if not self._path.exists() or self._path.stat().st_size == 0:
            return
        try:
            self._entries = decode(self._path.read_bytes())
        except (OSError, ValueError, IndexError, struct.error) as exc:
            raise ConnectError(f"the offset file {self._path} cannot be read: {exc}") from exc

    def load(self) -> Mapping[bytes, bytes | None]:
        with self._lock:
            return dict(self._entries)

    def save(self, entries: Mapping[bytes, bytes | None]) -> None:
        if not entries:
            return
        with self._lock:
            changed = {**self._entries, **entries}
            temporary = self._path.with_name(self._path.name + ".tmp")
            with temporary.open("wb") as out:
                out.write(encode(changed))
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self._path)
            self._entries = changed
