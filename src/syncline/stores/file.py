"""The offset file of a standalone worker, in Kafka Connect's own format.

A Java object stream that holds one HashMap from byte[] to byte[] (spec/connect.md 3.5). Only these two classes
appear, so a small reader and writer are enough; anything else in the file is refused, and the file left alone.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from syncline.errors import ConnectError
from syncline.stores.offsets import OffsetStore, OffsetTable

# The stream's grammar: https://docs.oracle.com/javase/8/docs/platform/serialization/spec/protocol.html
_MAGIC: Final = b"\xac\xed\x00\x05"
_NULL, _REFERENCE, _CLASS, _OBJECT, _ARRAY, _BLOCK, _END = 0x70, 0x71, 0x72, 0x73, 0x75, 0x77, 0x78
_HASH_MAP: Final = (
    b"\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02F\x00\x0aloadFactorI\x00\x09thresholdxp"
)
_BYTE_ARRAY: Final = b"\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp"
_HEAD: Final = _MAGIC + bytes([_OBJECT, _CLASS]) + _HASH_MAP
_FIRST_ARRAY: Final = bytes([_ARRAY, _CLASS]) + _BYTE_ARRAY
# Handles count from 0x7E0000: the map's class, the map, then the arrays' class.
_NEXT_ARRAY: Final = bytes([_ARRAY, _REFERENCE]) + struct.pack(">i", 0x7E0002)
_LOAD_FACTOR: Final = 0.75


def encode(entries: Mapping[bytes, bytes | None]) -> bytes:
    """The stream for `entries`."""
    capacity = 16
    while len(entries) > capacity * _LOAD_FACTOR:
        capacity *= 2
    out = bytearray(_HEAD)
    out += struct.pack(">fi", _LOAD_FACTOR, int(capacity * _LOAD_FACTOR))
    out += bytes([_BLOCK, 8]) + struct.pack(">ii", capacity, len(entries))
    head = _FIRST_ARRAY
    for part in (part for entry in entries.items() for part in entry):
        if part is None:
            out.append(_NULL)
        else:
            out += head + struct.pack(">i", len(part)) + part
            head = _NEXT_ARRAY
    out.append(_END)
    return bytes(out)


def decode(stream: bytes) -> dict[bytes, bytes | None]:
    """The entries of a stream; ValueError when it is none of Kafka Connect's, or cut short."""
    if not stream.startswith(_MAGIC):
        raise ValueError("it does not begin as a Java object stream")
    if not stream.startswith(_HEAD):
        raise ValueError("it holds no java.util.HashMap")
    reader = _Reader(stream, len(_HEAD))
    reader.take(8)
    if reader.take(2) != bytes([_BLOCK, 8]):
        raise ValueError("the map's size is missing")
    reader.take(4)
    count = reader.integer()
    entries: dict[bytes, bytes | None] = {}
    for _ in range(count):
        key, value = reader.array(), reader.array()
        if key is not None:
            entries[key] = value
    if reader.take(1) != bytes([_END]):
        raise ValueError(f"it holds more than the {count} entries it announces")
    return entries


class _Reader:
    """Walks through a stream; ValueError when it ends too early."""

    def __init__(self, stream: bytes, position: int) -> None:
        self._stream = stream
        self._position = position

    def take(self, count: int) -> bytes:
        taken = self._stream[self._position : self._position + count]
        if count < 0 or len(taken) < count:
            raise ValueError(f"it is cut short at byte {len(self._stream)}")
        self._position += count
        return taken

    def integer(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def array(self) -> bytes | None:
        """A byte[] or null."""
        where = self._position
        kind = self.take(1)[0]
        if kind == _NULL:
            return None
        if kind != _ARRAY:
            raise ValueError(f"unexpected element {kind:#x} at byte {where}")
        described = self.take(1)[0]
        if described == _REFERENCE:
            self.take(4)
        elif described != _CLASS or self.take(len(_BYTE_ARRAY)) != _BYTE_ARRAY:
            raise ValueError(f"an array of something else than bytes at byte {where}")
        return self.take(self.integer())


class FileOffsets(OffsetStore):
    """Offsets in one file, rewritten whole at each save, so that a crash leaves the old file or the new one."""

    def __init__(self, path: Path) -> None:
        self.table = OffsetTable()
        self._path = path
        self._lock = threading.Lock()

    def start(self) -> None:
        if not self._path.parent.is_dir():
            raise ConnectError(
                f"the folder of the offset file {self._path} does not exist; "
                "create it or change offset.storage.file.filename"
            )
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
            if content:
                self.table.absorb(decode(content))
        except (OSError, ValueError) as exc:
            raise ConnectError(
                f"the offset file {self._path} cannot be read: {exc}. Move it away to start without offsets"
            ) from exc

    def save(self, entries: Mapping[bytes, bytes | None], seconds: float) -> None:
        with self._lock:
            changed = {**self.table.raw(), **entries}
            try:
                self._write(encode(changed))
            except OSError as exc:
                raise ConnectError(f"the offset file {self._path} cannot be written: {exc}") from exc
            self.table.absorb(entries)

    def _write(self, content: bytes) -> None:
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._path)
        # The new name is durable only once the folder is.
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
