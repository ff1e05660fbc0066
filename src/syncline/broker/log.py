"""A partition's log: batches in segments, appended and read as opaque bytes."""

from __future__ import annotations

import asyncio
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from syncline.broker.errors import OFFSET_OUT_OF_RANGE, KafkaError
from syncline.broker.producers import Aborted, Producers
from syncline.broker.records import (
    HEADER_SIZE,
    Batch,
    Record,
    batch_at,
    batches,
    checked_batches,
    make_batch,
    make_marker,
    marker_kind,
    records_of,
)
from syncline.broker.segment import Segment, write_durably

LEADER_EPOCH: Final = 0
SEGMENT_BYTES: Final = 1 << 30


class PartitionLog:
    """One partition on disk, in `<topic>-<partition>/`, with Kafka's own files.

    Used from the broker's event loop only; `dirty` tells the flusher that there is something to sync.
    """

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, sync: bool = False) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.sync = sync
        """Every append is durable before it is acknowledged."""
        self.producers = Producers()
        self.start_offset = 0
        self.end_offset = 0
        self.dirty = False
        self.closed = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._segments: list[Segment] = []
        self._bases: list[int] = []
        self._recover()

    # -- opening ------------------------------------------------------------------------------

    def _recover(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        finish_swap(self.folder)
        bases = sorted(int(path.stem) for path in self.folder.glob("*.log") if path.stem.isdigit())
        snapshot = self._load_snapshot(bases)
        for number, base in enumerate(bases or [0]):
            segment = Segment(self.folder, base)
            newest = number >= len(bases) - 1
            if not newest and segment.load_index():
                self._load_aborted(segment)
                if base >= snapshot:
                    self._replay(segment, segment.walk())
            else:
                self._replay(segment, segment.recover(), count=base >= snapshot)
            self._segments.append(segment)
            self._bases.append(base)
        self.start_offset = self._bases[0]
        self.end_offset = max(self.end_offset, self._bases[-1])

    def _load_snapshot(self, bases: list[int]) -> int:
        """Producer state from the newest whole snapshot; the offset it was taken at, or 0."""
        for base in reversed(bases):
            path = self.folder / f"{base:020}.snapshot"
            if path.exists() and self.producers.restore(path.read_bytes()):
                return base
        return 0

    def _replay(self, segment: Segment, found: Iterator[Batch], *, count: bool = True) -> None:
        for batch in found:
            self.end_offset = batch.next_offset
            if not count:
                continue
            if batch.control:
                self._absorb_marker(segment.read(batch.position, batch.size), batch)
            else:
                self.producers.absorb(batch, batch.base_offset)

    def _absorb_marker(self, data: bytes, batch: Batch) -> Aborted | None:
        kind = marker_kind(data, batch._replace(position=0))
        if kind is None:
            return None
        return self.producers.end(batch.producer_id, batch.producer_epoch, kind, batch.base_offset)

    def _load_aborted(self, segment: Segment) -> None:
        path = segment.path.with_suffix(".txnindex")
        if path.exists():
            content = path.read_bytes()
            for _, *facts in _ABORTED.iter_unpack(content[: len(content) // _ABORTED.size * _ABORTED.size]):
                self.producers.aborted.append(Aborted(*facts))

    # -- writing ------------------------------------------------------------------------------

    def append(self, data: bytes, found: list[Batch]) -> int:
        """Append batches that were checked; the offset of the first record.

        Only base offset and leader epoch are filled in, which the checksum does not cover. OSError when
        the disk does not take it; nothing is appended then.
        """
        active = self._segments[-1]
        if active.size and active.size + len(data) > self.segment_bytes:
            active = self._roll()
        view = memoryview(data)
        offset, position = self.end_offset, active.size
        parts: list[bytes | memoryview] = []
        placed: list[tuple[Batch, int]] = []
        for batch in found:
            parts.append(struct.pack(">qii", offset, batch.size - 12, LEADER_EPOCH))
            parts.append(view[batch.position + 16 : batch.position + batch.size])
            placed.append((batch._replace(base_offset=offset), position))
            offset += batch.last_delta + 1
            position += batch.size
        first = self.end_offset
        active.write(parts)
        for batch, where in placed:
            active.note(batch, where)
            if not batch.control:
                self.producers.absorb(batch, batch.base_offset)
        self.end_offset = offset
        if self.sync:
            os.fdatasync(active.file)
        else:
            self.dirty = True
        self._wake()
        return first

    def append_records(self, records: list[tuple[bytes | None, bytes | None]], now_ms: int) -> int:
        """Append records of the broker's own."""
        data = make_batch(records, now_ms)
        return self.append(data, checked_batches(data))

    def append_marker(self, producer_id: int, epoch: int, kind: int, now_ms: int) -> None:
        """End a producer's transaction here."""
        data = make_marker(producer_id, epoch, kind, now_ms)
        offset = self.append(data, checked_batches(data))
        aborted = self.producers.end(producer_id, epoch, kind, offset)
        if aborted is not None:
            with self._segments[-1].path.with_suffix(".txnindex").open("ab") as out:
                out.write(_ABORTED.pack(0, *aborted))
        self._wake()

    def _roll(self) -> Segment:
        self._segments[-1].seal()
        segment = Segment(self.folder, self.end_offset)
        (self.folder / f"{self.end_offset:020}.snapshot").write_bytes(self.producers.snapshot())
        self._segments.append(segment)
        self._bases.append(segment.base_offset)
        sync_folder(self.folder)
        return segment

    def flush(self) -> None:
        """Make what was appended durable."""
        self.dirty = False
        os.fdatasync(self._segments[-1].file)

    def delete_before(self, offset: int) -> None:
        """Records before `offset` are no longer served; segments that hold nothing else are removed."""
        self.start_offset = max(self.start_offset, offset)
        while len(self._segments) > 1 and self._bases[1] <= self.start_offset:
            self._segments.pop(0).remove()
            self._bases.pop(0)
        self.producers.forget_aborted(self._bases[0])

    # -- cleaning -----------------------------------------------------------------------------

    @property
    def sealed(self) -> list[Segment]:
        """The segments that no longer grow, oldest first."""
        return self._segments[:-1]

    @property
    def active_base(self) -> int:
        """First offset of the newest segment."""
        return self._bases[-1]

    def roll_if_older(self, segment_ms: int, now_ms: int) -> None:
        """Begin a new segment when the newest one's first record is older than `segment_ms`."""
        active = self._segments[-1]
        first = active.first_timestamp if active.size else None
        if active.size and now_ms - (active.written_ms if first is None else first) > segment_ms:
            self._roll()

    def expire(self, *, retention_ms: int, retention_bytes: int, now_ms: int) -> bool:
        """Remove the oldest segments beyond either limit (-1: no limit); whether any went."""
        before = self.start_offset
        excess = self.size - retention_bytes if retention_bytes >= 0 else -1
        # A newest segment whose records are all too old is closed, so that it can go too.
        active = self._segments[-1]
        if retention_ms >= 0 and active.size and active.newest_ms() < now_ms - retention_ms:
            self._roll()
        for segment, following in zip(self._segments[:-1], self._bases[1:], strict=True):
            excess -= segment.size
            too_old = retention_ms >= 0 and segment.newest_ms() < now_ms - retention_ms
            if not too_old and excess < 0:
                break
            self.start_offset = max(self.start_offset, following)
        self.delete_before(self.start_offset)
        return self.start_offset > before

    def replace(self, old: Sequence[Segment], made: Segment, aborted: Sequence[Aborted]) -> bool:
        """Put what is left of some neighbouring sealed segments in their place, as one.

        `made` is durable under a name of its own; `aborted` are the transactions whose markers are still in it. False,
        and nothing is changed, when one of the old ones is no longer there. A crash in between is made good when the
        log is opened.
        """
        first = self._segments.index(old[0]) if old[0] in self._segments else -1
        end = first + len(old)
        if first < 0 or self._segments[first:end] != list(old) or end == len(self._segments):
            return False
        announce_swap(made.path, [segment.base_offset for segment in old], aborted)
        finish_swap(self.folder)
        made.path = old[0].path
        made.seal()
        for segment in old:
            segment.close()
        within = range(old[0].base_offset, self._bases[end])
        self.producers.aborted = [
            *(each for each in self.producers.aborted if each.last_offset not in within),
            *aborted,
        ]
        self._segments[first:end] = [made]
        self._bases[first:end] = [made.base_offset]
        return True

    # -- reading ------------------------------------------------------------------------------

    @property
    def last_stable_offset(self) -> int:
        """The first offset whose transaction is undecided; the end when there is none."""
        first = self.producers.first_open()
        return self.end_offset if first is None else first

    def read(self, offset: int, max_bytes: int, limit: int, *, at_least_one: bool = True) -> bytes:
        """Whole batches from the one that holds `offset` on, below offset `limit`.

        At most `max_bytes`, but never less than one batch if `at_least_one`. KafkaError when `offset` is
        outside the log.
        """
        if not self.start_offset <= offset <= self.end_offset:
            raise KafkaError(OFFSET_OUT_OF_RANGE)
        if offset >= limit:
            return b""
        slot = max(bisect_right(self._bases, offset) - 1, 0)
        while slot < len(self._segments):
            data = self._read_segment(self._segments[slot], offset, max_bytes, limit, at_least_one)
            if data:
                return data
            slot += 1  # the rest of this segment was compacted away
        return b""

    def _read_segment(self, segment: Segment, offset: int, max_bytes: int, limit: int, at_least_one: bool) -> bytes:
        position = segment.position_of(offset)
        data = segment.read(position, max_bytes + 8192)
        skip = 0
        while True:
            if len(data) - skip < HEADER_SIZE:
                if position + skip + HEADER_SIZE > segment.size:
                    return b""
                position, skip = position + skip, 0
                data = segment.read(position, max_bytes + 8192)
                continue
            batch = batch_at(data, skip)
            if batch.last_offset >= offset:
                break
            skip += batch.size
        if batch.base_offset >= limit:
            return b""
        if batch.size > min(max_bytes, len(data) - skip):
            return segment.read(position + skip, batch.size) if at_least_one else b""
        # Most reads end at the end of the log or at max_bytes; only undecided transactions need a walk.
        end = min(skip + max_bytes, len(data))
        if limit < self.end_offset:
            end = self._end_below(data, skip, end, limit)
        return data[skip:end]

    @staticmethod
    def _end_below(data: bytes, skip: int, end: int, limit: int) -> int:
        for batch in batches(memoryview(data)[skip:end]):
            if batch.base_offset >= limit:
                return skip + batch.position
        return end

    def batches(self) -> Iterator[tuple[Batch, bytes]]:
        """Every batch with its bytes, control batches too; positions count from those bytes."""
        for segment in self._segments:
            for batch in segment.walk():
                yield batch._replace(position=0), segment.read(batch.position, batch.size)

    def records(self, offset: int | None = None) -> Iterator[Record]:
        """Decoded records from `offset` on, control records left out."""
        first = self.start_offset if offset is None else offset
        for segment in self._segments:
            for batch in segment.walk(segment.position_of(first)):
                if batch.last_offset < first or batch.control:
                    continue
                data = segment.read(batch.position, batch.size)
                yield from (r for r in records_of(data, batch._replace(position=0)) if r.offset >= first)

    def find_time(self, timestamp: int) -> tuple[int, int] | None:
        """Offset and timestamp of the first record not older than `timestamp` (KIP-79)."""
        for segment in self._segments:
            if segment.max_timestamp < timestamp:
                continue
            for batch in segment.walk(segment.position_of_time(timestamp)):
                if batch.max_timestamp < timestamp or batch.last_offset < self.start_offset:
                    continue
                data = segment.read(batch.position, batch.size)
                for record in records_of(data, batch._replace(position=0)):
                    if record.timestamp >= timestamp and record.offset >= self.start_offset:
                        return record.offset, record.timestamp
        return None

    def newest_time(self) -> tuple[int, int] | None:
        """Offset and timestamp of the record with the largest timestamp (KIP-734)."""
        best = max(self._segments, key=lambda segment: segment.max_timestamp)
        if best.max_timestamp < 0:
            return None
        found = self.find_time(best.max_timestamp)
        return found if found is not None else (best.max_timestamp_offset, best.max_timestamp)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments)

    # -- waiting ------------------------------------------------------------------------------

    def watch(self, waiter: asyncio.Future[None]) -> None:
        """`waiter` is resolved at the next append."""
        self._waiters.add(waiter)

    def unwatch(self, waiter: asyncio.Future[None]) -> None:
        self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def close(self) -> None:
        """Make everything durable and close the files."""
        self.flush()
        self.closed = True
        for segment in self._segments:
            segment.close()


CLEANED: Final = ".log.cleaned"
"""A segment that is to take the place of others, complete only once it is announced."""
SWAP: Final = ".swap"
"""A file `<base>.swap` says that `<base>.log.cleaned` is complete, and which segments it is put in place of."""
_ABORTED: Final = struct.Struct(">hqqqq")


def announce_swap(cleaned: Path, bases: Sequence[int], aborted: Sequence[Aborted]) -> None:
    """From here on a crash leads to the new state; until here, to the old one."""
    base = cleaned.with_name(f"{bases[0]:020}")
    content = b"".join(_ABORTED.pack(0, *each) for each in aborted)
    write_durably(base.with_suffix(".txnindex.cleaned"), content)
    write_durably(base.with_suffix(SWAP), " ".join(map(str, bases)).encode())
    sync_folder(cleaned.parent)


def finish_swap(folder: Path) -> None:
    """Do, or do again, what announced swaps still lack, and remove cleaned files that were not announced."""
    for plan in folder.glob(f"*{SWAP}"):
        bases = [int(base) for base in plan.read_text().split()]
        for base in bases:
            # An index of the old file would seem to fit the new one.
            for suffix in (".index", ".timeindex"):
                folder.joinpath(f"{base:020}{suffix}").unlink(missing_ok=True)
        for name in (".log", ".txnindex"):
            cleaned = plan.with_suffix(f"{name}.cleaned")
            if cleaned.exists():
                cleaned.replace(plan.with_suffix(name))
        for base in bases[1:]:
            for suffix in (".log", ".snapshot", ".txnindex"):
                folder.joinpath(f"{base:020}{suffix}").unlink(missing_ok=True)
        sync_folder(folder)
        plan.unlink()
    for leftover in (*folder.glob("*.cleaned"), *folder.glob("*.tmp")):
        leftover.unlink()


def sync_folder(folder: Path) -> None:
    """Make new and renamed files of a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
