"""One segment of a log: a file of batches, and what is written beside it so that a restart need not read it."""

from __future__ import annotations

import copy
import errno
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from crc32c import crc32c

from syncline.broker.files import OpenFiles
from syncline.broker.index import Index
from syncline.broker.records import HEADER_SIZE, LEADER_EPOCH, Batch, batch_at, checksum_holds

WALK_CHUNK: Final = 256 * 1024
SCAN_CHUNK: Final = 1024 * 1024
MOST_PARTS: Final = 1000
"""Buffers handed to one system call; Linux takes 1024."""
PIECE: Final = 32 * 1024
"""Bytes handed to one system call. For larger ones Linux looks for large pages, which takes it eight times as long as
the copying on virtual machines whose host has yet to provide them."""
BESIDE: Final = (".index", ".timeindex", ".txnindex", ".recovery")


class RecoveryPoint(NamedTuple):
    """What `<base>.recovery` says: so much of the segment is durable, and these files beside it are about just that.

    The files are written without waiting for the disk; one that did not get there whole is found out by its checksum.
    """

    size: int
    max_timestamp: int
    max_timestamp_offset: int
    index_crc: int
    times_crc: int
    aborted_crc: int
    """0 where there is no `.txnindex`."""

    def encode(self) -> bytes:
        body = _POINT.pack(1, *self)
        return body + struct.pack(">I", crc32c(body))

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """None when there is none or it is damaged."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if len(content) != _POINT.size + 4 or crc32c(content[:-4]) != int.from_bytes(content[-4:], "big"):
            return None
        version, *facts = _POINT.unpack(content[:-4])
        return cls(*facts) if version == 1 else None


_POINT: Final = struct.Struct(">hqqqIII")


class Stretch:
    """Batches in a segment that are found and not read yet.

    To be read before anything else happens on the event loop: what a cleaning leaves may lie elsewhere.
    """

    __slots__ = ("_length", "_position", "_segment")

    def __init__(self, segment: Segment, position: int, length: int) -> None:
        self._segment, self._position, self._length = segment, position, length

    def __len__(self) -> int:
        return self._length

    def read(self) -> bytes:
        return self._segment.read(self._position, self._length)

    def read_into(self, room: memoryview) -> None:
        """Fill `room`, which is as long as the stretch. OSError when the disk fails."""
        self._segment.read_into(room, self._position)


class Segment:
    """Batches from `base_offset` on. The newest segment of a log is the only one that grows.

    Its file is opened when it is used, and closed again when many others are (see `OpenFiles`); then the index of a
    segment that no longer grows is dropped too.
    """

    def __init__(self, folder: Path, base_offset: int, files: OpenFiles, *, suffix: str = ".log") -> None:
        self.base_offset = base_offset
        self.path = folder / f"{base_offset:020}{suffix}"
        self.size = 0
        self.synced = 0
        """So many bytes are durable."""
        self.used = 0
        self.created = False
        """Whether the file is there; the first one of a log is made with the first record."""
        self.point: RecoveryPoint | None = None
        self._files = files
        self._file: int | None = None
        self._index: Index | None = Index(base_offset)
        self._first_timestamp: int | None = None

    @classmethod
    def existing(cls, folder: Path, base_offset: int, files: OpenFiles, size: int) -> Self:
        """A segment whose file is there; nothing of it is read yet but its recovery point."""
        made = cls(folder, base_offset, files)
        made.size = size
        made.created = True
        point = RecoveryPoint.load(made.path.with_suffix(".recovery"))
        if point is not None and point.size <= size:
            made.point = point
            made.synced = point.size
            made._index = None
        return made

    @property
    def sealed(self) -> bool:
        """All of it is durable, and so is what a restart needs to know of it."""
        return self.point is not None and self.point.size == self.size

    # -- the file -----------------------------------------------------------------------------

    @property
    def file(self) -> int:
        """The descriptor; not to be kept."""
        if self._file is None:
            self._file = self._files.open(self, self.path, os.O_RDWR)
        else:
            self._files.touch(self)
        return self._file

    def create(self) -> None:
        """Make the file; OSError when the disk does not take it."""
        if self._file is None:
            self._file = self._files.open(self, self.path, os.O_RDWR | os.O_CREAT)
            self.created = True

    def release(self) -> None:
        """Close the file for now."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self.sealed:
            self._index = None

    def close(self) -> None:
        self._files.forget(self)
        self.release()

    def remove(self) -> None:
        """Close and delete the file and all beside it."""
        self.close()
        for suffix in (".log", ".snapshot", *BESIDE):
            self.path.with_suffix(suffix).unlink(missing_ok=True)

    def moved(self, path: Path, files: OpenFiles) -> None:
        """The file has another name now, and its descriptor is counted elsewhere."""
        self.close()
        self.path, self._files = path, files

    def borrowed(self, files: OpenFiles) -> Segment:
        """The segment as it is now, to read on another thread with descriptors of its own.

        FileNotFoundError comes while reading when it was removed meanwhile.
        """
        other = copy.copy(self)
        other._files, other._file, other._index = files, None, Index(self.base_offset)
        return other

    # -- writing ------------------------------------------------------------------------------

    def write(self, parts: list[bytes | memoryview], *, sync: bool = False) -> None:
        """Append bytes, durably with `sync`; on an error the file is cut back, so that nothing torn remains."""
        position = self.size
        self.create()
        _ = self.index  # loaded while it still speaks of the whole file
        try:
            for group in _at_most(PIECE, parts):
                position += self._write_at(position, group)
            if sync:
                os.fdatasync(self.file)
        except OSError:
            self._cut(self.size)
            raise
        self.size = position
        if sync:
            self.synced = self.size

    def _write_at(self, position: int, parts: Sequence[bytes | memoryview]) -> int:
        wanted = sum(map(len, parts))
        written = os.pwritev(self.file, parts, position)
        while written < wanted:
            rest = b"".join(parts)[written:]
            written += os.pwrite(self.file, rest, position + written)
        return wanted

    def _cut(self, size: int) -> None:
        try:
            os.ftruncate(self.file, size)
        except OSError:
            # What is beyond `size` is written over by the next append, and not believed by a restart.
            return

    def note(self, batch: Batch, position: int, base_offset: int) -> None:
        """Remember a batch that lies at `position` with this base offset."""
        self.index.note(batch, position, base_offset)

    def write_point(self, aborted: bytes) -> None:
        """Write down what is durable: the index, the `.txnindex` given, and the recovery point. OSError: it was not."""
        offsets, times = self.index.encode(self.synced)
        point = RecoveryPoint(
            self.synced,
            self.max_timestamp,
            self.max_timestamp_offset,
            crc32c(offsets),
            crc32c(times),
            crc32c(aborted) if aborted else 0,
        )
        for suffix, content in zip(BESIDE, (offsets, times, aborted, point.encode()), strict=True):
            path = self.path.with_suffix(suffix)
            if content:
                path.write_bytes(content)
            else:
                path.unlink(missing_ok=True)
        self.point = point

    # -- finding ------------------------------------------------------------------------------

    @property
    def index(self) -> Index:
        if self._index is None:
            found = self._loaded()
            self._index = self._walked() if found is None else found
        return self._index

    def _loaded(self) -> Index | None:
        """The index from the files beside; None when they are not what the recovery point speaks of."""
        if self.point is None:
            return None
        try:
            offsets = self.path.with_suffix(".index").read_bytes()
            times = self.path.with_suffix(".timeindex").read_bytes()
        except FileNotFoundError:
            return None
        if (crc32c(offsets), crc32c(times)) != (self.point.index_crc, self.point.times_crc):
            return None
        return Index.decode(self.base_offset, offsets, times)

    def _walked(self) -> Index:
        index = Index(self.base_offset)
        for batch in self.walk():
            index.note(batch, batch.position, batch.base_offset)
        return index

    def load_aborted(self) -> bytes | None:
        """The `.txnindex`; None when it is not what the recovery point speaks of."""
        if self.point is None:
            return None
        if self.point.aborted_crc == 0:
            return b""
        try:
            content = self.path.with_suffix(".txnindex").read_bytes()
        except FileNotFoundError:
            return None
        return content if crc32c(content) == self.point.aborted_crc else None

    def position_of(self, offset: int) -> int:
        """Where to start looking for the batch that holds `offset`."""
        return self.index.position_of(offset)

    def position_of_time(self, timestamp: int) -> int:
        """Where to start looking for the first record not older than `timestamp`."""
        return self.index.position_of_time(timestamp)

    @property
    def max_timestamp(self) -> int:
        if self._index is None and self.point is not None:
            return self.point.max_timestamp
        return self.index.max_timestamp

    @property
    def max_timestamp_offset(self) -> int:
        if self._index is None and self.point is not None:
            return self.point.max_timestamp_offset
        return self.index.max_timestamp_offset

    @property
    def first_timestamp(self) -> int | None:
        """Of the first batch; None while there is none, or when it has no time."""
        if self._first_timestamp is None and self.size >= HEADER_SIZE:
            self._first_timestamp = batch_at(self.read(0, HEADER_SIZE), 0).max_timestamp
        return self._first_timestamp if self._first_timestamp is not None and self._first_timestamp >= 0 else None

    @property
    def written_ms(self) -> int:
        """When the file was last written, as the file system has it."""
        return os.fstat(self.file).st_mtime_ns // 1_000_000

    def newest_ms(self) -> int:
        """The time that retention goes by: the largest timestamp, or else when the file was written; -1 when empty."""
        if not self.size:
            return -1
        return self.max_timestamp if self.max_timestamp >= 0 else self.written_ms

    # -- reading ------------------------------------------------------------------------------

    def read(self, position: int, length: int) -> bytes:
        """At most `length` bytes, fewer at the end. OSError when the file is shorter than it was."""
        length = min(length, self.size - position)
        if length <= 0:
            return b""
        data = os.pread(self.file, length, position)
        if len(data) < length:
            raise OSError(errno.EIO, f"{self.path.name} is shorter than it was")
        return data

    def read_into(self, room: memoryview, position: int) -> None:
        """Fill `room` with the bytes from `position` on. OSError when the file is shorter than it was."""
        filled = 0
        while filled < len(room):
            count = os.preadv(self.file, [room[filled:]], position + filled)
            if not count:
                raise OSError(errno.EIO, f"{self.path.name} is shorter than it was")
            filled += count

    def walk(self, position: int = 0) -> Iterator[Batch]:
        """Headers of the batches from `position` on, each with its position in the file."""
        data, start = b"", position
        while position + HEADER_SIZE <= self.size:
            if position + HEADER_SIZE > start + len(data):
                data, start = self.read(position, WALK_CHUNK), position
            batch = batch_at(data, position - start)
            if batch.size < HEADER_SIZE:
                return
            yield batch._replace(position=position)
            position += batch.size

    def recover(self, before: int | None = None) -> Iterator[Batch]:
        """Check every batch that is not known to be durable; cut the file at the first that is torn or altered.

        Yields the good ones. `before` is where the next segment begins; without one, offsets must leave no gap, for
        only segments that had a next one are ever compacted.
        """
        position, expected = 0, self.base_offset
        self._index = self._loaded() or Index(self.base_offset)
        if self._index:
            position = self._index.pop()
            expected = batch_at(self.read(position, HEADER_SIZE), 0).base_offset
        for batch, data in self._scanned(position):
            in_order = batch.base_offset == expected if before is None else expected <= batch.base_offset < before
            if not in_order or batch.epoch != LEADER_EPOCH or not checksum_holds(data, batch):
                break
            found = batch._replace(position=position)
            self.index.note(found, position, found.base_offset)
            yield found
            expected = batch.next_offset
            position += batch.size
        if position < self.size:
            os.ftruncate(self.file, position)
            self.size = position
        self.synced = min(self.synced, position)

    def _scanned(self, position: int) -> Iterator[tuple[Batch, bytes]]:
        """Whole batches from `position` on with the bytes that they count from."""
        data, at = b"", 0
        while True:
            if len(data) - at < HEADER_SIZE:
                data, at = self.read(position, SCAN_CHUNK), 0
                if len(data) < HEADER_SIZE:
                    return
            batch = batch_at(data, at)
            if batch.magic != 2 or batch.size < HEADER_SIZE or batch.last_delta < 0:
                return
            if at + batch.size > len(data):
                if position + batch.size > self.size:
                    return
                data, at = self.read(position, max(batch.size, SCAN_CHUNK)), 0
                batch = batch._replace(position=0)
            yield batch, data
            at += batch.size
            position += batch.size


def _at_most(most: int, parts: Sequence[bytes | memoryview]) -> Iterator[Sequence[bytes | memoryview]]:
    """The same bytes in groups of at most so many, and of at most MOST_PARTS buffers."""
    if len(parts) <= MOST_PARTS and sum(map(len, parts)) <= most:
        yield parts
        return
    group: list[memoryview] = []
    room = most
    for part in parts:
        rest = memoryview(part)
        while rest:
            piece, rest = rest[:room], rest[room:]
            group.append(piece)
            room -= len(piece)
            if room == 0 or len(group) == MOST_PARTS:
                yield group
                group, room = [], most
    if group:
        yield group
