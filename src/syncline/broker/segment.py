"""One segment of a log: a file of batches and a sparse index of it, in Kafka's own formats."""

from __future__ import annotations

import copy
import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from syncline.broker.records import HEADER_SIZE, Batch, batch_at, checksum_holds

INDEX_EVERY: Final = 4096
"""Bytes between two entries of the index, Kafka's `index.interval.bytes`."""
WALK_CHUNK: Final = 256 * 1024


class Segment:
    """Batches from `base_offset` on. The newest segment of a log is the only one that grows.

    The index holds offset, position and the largest timestamp up to there, in memory; when the segment is
    sealed it is written beside the file, so that a restart need not read the batches again.
    """

    def __init__(self, folder: Path, base_offset: int, suffix: str = ".log") -> None:
        self.base_offset = base_offset
        self.path = folder / f"{base_offset:020}{suffix}"
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        self.size = os.fstat(self.file).st_size
        self.max_timestamp = -1
        self.max_timestamp_offset = base_offset
        self._offsets = array("q")
        self._positions = array("q")
        self._timestamps = array("q")
        self._since_entry = INDEX_EVERY

    @property
    def index_path(self) -> Path:
        return self.path.with_suffix(".index")

    @property
    def time_index_path(self) -> Path:
        return self.path.with_suffix(".timeindex")

    def note(self, batch: Batch, position: int) -> None:
        """Remember a batch that lies at `position`."""
        if batch.max_timestamp > self.max_timestamp:
            self.max_timestamp = batch.max_timestamp
            self.max_timestamp_offset = batch.last_offset
        if self._since_entry >= INDEX_EVERY:
            self._offsets.append(batch.base_offset)
            self._positions.append(position)
            self._timestamps.append(self.max_timestamp)
            self._since_entry = 0
        self._since_entry += batch.size

    def write(self, parts: list[bytes | memoryview]) -> None:
        """Append bytes; on an error the file is cut back, so that nothing torn remains."""
        wanted = sum(map(len, parts))
        try:
            written = os.pwritev(self.file, parts, self.size)
            while written < wanted:
                rest = b"".join(parts)[written:]
                written += os.pwrite(self.file, rest, self.size + written)
        except OSError:
            os.ftruncate(self.file, self.size)
            raise
        self.size += wanted

    def position_of(self, offset: int) -> int:
        """Where to start looking for the batch that holds `offset`."""
        slot = bisect_right(self._offsets, offset) - 1
        return self._positions[slot] if slot >= 0 else 0

    def position_of_time(self, timestamp: int) -> int:
        """Where to start looking for the first record not older than `timestamp`."""
        slot = bisect_right(self._timestamps, timestamp - 1) - 1
        return self._positions[slot] if slot >= 0 else 0

    def read(self, position: int, length: int) -> bytes:
        return os.pread(self.file, min(length, self.size - position), position)

    def walk(self, position: int = 0) -> Iterator[Batch]:
        """Headers of the batches from `position` on, each with its position in the file."""
        data, start = b"", position
        while position + HEADER_SIZE <= self.size:
            if position + HEADER_SIZE > start + len(data):
                data, start = self.read(position, WALK_CHUNK), position
                if len(data) < HEADER_SIZE:
                    return
            batch = batch_at(data, position - start)
            if batch.size < HEADER_SIZE:
                return
            yield batch._replace(position=position)
            position += batch.size

    def recover(self) -> Iterator[Batch]:
        """Check every batch; cut the file at the first that is torn or altered. Yields the good ones."""
        position, expected = 0, self.base_offset
        while position + HEADER_SIZE <= self.size:
            header = self.read(position, HEADER_SIZE)
            batch = batch_at(header, 0)
            if (
                batch.magic != 2
                or batch.size < HEADER_SIZE
                or position + batch.size > self.size
                or batch.base_offset < expected
                or not checksum_holds(self.read(position, batch.size), batch)
            ):
                break
            found = batch._replace(position=position)
            self.note(found, position)
            yield found
            expected = batch.next_offset
            position += batch.size
        if position < self.size:
            os.ftruncate(self.file, position)
            self.size = position

    def seal(self) -> None:
        """Make the file durable and write the index beside it."""
        os.fdatasync(self.file)
        index = b"".join(
            struct.pack(">ii", offset - self.base_offset, position)
            for offset, position in zip(self._offsets, self._positions, strict=True)
        )
        times = [
            struct.pack(">qi", timestamp, offset - self.base_offset)
            for timestamp, offset in zip(self._timestamps, self._offsets, strict=True)
        ]
        times.append(struct.pack(">qi", self.max_timestamp, self.max_timestamp_offset - self.base_offset))
        write_durably(self.index_path, index)
        write_durably(self.time_index_path, b"".join(times))

    def load_index(self) -> bool:
        """Take the index a seal left; False when it is missing or does not fit the file."""
        try:
            index = self.index_path.read_bytes()
            times = self.time_index_path.read_bytes()
        except FileNotFoundError:
            return False
        if len(index) % 8 or len(times) != len(index) // 8 * 12 + 12:
            return False
        entries = list(struct.iter_unpack(">ii", index))
        stamps = list(struct.iter_unpack(">qi", times))
        positions = [position for _, position in entries]
        if positions != sorted(positions) or (positions and positions[-1] >= self.size):
            return False
        self._offsets = array("q", (self.base_offset + relative for relative, _ in entries))
        self._positions = array("q", positions)
        self._timestamps = array("q", (timestamp for timestamp, _ in stamps[:-1]))
        self.max_timestamp = stamps[-1][0]
        self.max_timestamp_offset = self.base_offset + stamps[-1][1]
        return True

    @property
    def first_timestamp(self) -> int | None:
        """Of the first batch; None while there is none, or when it has no time."""
        if self.size < HEADER_SIZE:
            return None
        stamp = batch_at(self.read(0, HEADER_SIZE), 0).max_timestamp
        return stamp if stamp >= 0 else None

    @property
    def written_ms(self) -> int:
        """When the file was last written, as the file system has it."""
        return os.fstat(self.file).st_mtime_ns // 1_000_000

    def borrowed(self) -> Segment:
        """The segment as it is now, to read on another thread; it stays open when this one is closed."""
        other = copy.copy(self)
        other.file = os.dup(self.file)
        return other

    def newest_ms(self) -> int:
        """The time that retention goes by: the largest timestamp, or else when the file was written."""
        return self.max_timestamp if self.max_timestamp >= 0 else self.written_ms

    def close(self) -> None:
        os.close(self.file)

    def remove(self) -> None:
        """Close and delete the file and all beside it."""
        self.close()
        for suffix in (".log", ".index", ".timeindex", ".snapshot", ".txnindex"):
            self.path.with_suffix(suffix).unlink(missing_ok=True)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    temporary = path.with_suffix(path.suffix + ".tmp")
    with temporary.open("wb") as out:
        out.write(content)
        out.flush()
        os.fdatasync(out.fileno())
    temporary.replace(path)
