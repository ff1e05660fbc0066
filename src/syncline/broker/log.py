"""A partition's log: batches in segments, appended and read as opaque bytes."""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from syncline.broker.configs import LONG_MAX
from syncline.broker.errors import OFFSET_OUT_OF_RANGE, KafkaError, StorageError
from syncline.broker.files import OpenFiles, sync_folder
from syncline.broker.index import LARGEST_RELATIVE
from syncline.broker.producers import Aborted
from syncline.broker.records import (
    HEADER_SIZE,
    LEADER_EPOCH,
    Batch,
    Marker,
    Record,
    batch_at,
    batches,
    checked_batches,
    make_batch,
    make_marker,
    records_of,
)
from syncline.broker.recovery import aborted_bytes, recover
from syncline.broker.segment import Segment, Stretch
from syncline.broker.swap import announce_swap, finish_swap

log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 1 << 30
POINT_EVERY: Final = 32 << 20
"""Bytes after which it is written down that what came before is durable, so that a restart need not check it."""
POINT_AT_CLOSE: Final = 1 << 20
"""The same for a log that is closed; less than that is checked in no time."""
_PLACED: Final = struct.Struct(">qii").pack
"""The beginning of a batch in a log: base offset, length, leader epoch."""
LOOKED_AT: Final = 16 * 1024
"""Bytes read in search of an offset; what lies in there is not read again."""
SYNCED_AT_ONCE: Final = 8
"""Sealed segments of a log whose descriptors are held at a time."""


class Sync(NamedTuple):
    """One descriptor to be synced, and what is durable then."""

    segment: Segment | None
    """None: the folder."""
    descriptor: int
    size: int
    end: int = 0
    """Offset after what that is, for the segment that still grows."""

    def run(self) -> None:
        """Wait for the disk; on any thread."""
        if self.segment is None:
            os.fsync(self.descriptor)
        else:
            os.fdatasync(self.descriptor)


class PartitionLog:
    """One partition on disk, in `<topic>-<partition>/`, with Kafka's own files.

    Used from the broker's event loop only. Reading and writing raise StorageError when the disk fails; what was to be
    appended is not in the log then, and the next append begins anew.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_ms: int = LONG_MAX,
        sync: bool = False,
        flush_messages: int = LONG_MAX,
        files: OpenFiles | None = None,
        due: set[PartitionLog] | None = None,
    ) -> None:
        """Open a log, mending what a crash left.

        `files` is what many logs share; `due` is where the log puts itself when there is something to sync.
        """
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.segment_ms = segment_ms
        """A batch so much newer than the first of its segment begins another; by the records' times, as in Kafka."""
        self.sync = sync
        """Every append is durable before it is acknowledged."""
        self.flush_messages = flush_messages
        """An append with which so many records wait to be made durable is so, with all of them, when it returns."""
        self.cleaned_to = 0
        """Records before this offset were compacted."""
        self.uncleanable = False
        """Compaction met records that it cannot read."""
        self.closed = False
        self._files = OpenFiles() if files is None else files
        self._due: set[PartitionLog] = set() if due is None else due
        self._waiters: set[asyncio.Future[None]] = set()
        self._failing = False
        self._pointless = False
        """Recovery points cannot be written."""
        self._folder_changed = False
        found = recover(folder, self._files)
        self._segments = found.segments
        self._bases = [segment.base_offset for segment in self._segments]
        self._unsealed = [segment for segment in self._segments[:-1] if not segment.sealed]
        """Segments that no longer grow and that a restart would still have to check."""
        self._synced_to = (self._unsealed or self._segments[-1:])[0].base_offset
        """All records before this offset are durable; others may be too."""
        self._snapshot = found.snapshot
        self.producers = found.producers
        self.start_offset = self._bases[0]
        self.end_offset = found.end_offset
        if len(self._segments) > 1 and (found.snapshot is None or found.snapshot < self._bases[-1]):
            # It was lost; what it said was found again in records that may go before the next one is due.
            self._save_snapshot()
        self._mark_due()

    # -- writing ------------------------------------------------------------------------------

    def append(self, data: bytes, found: list[Batch]) -> int:
        """Append batches that were checked; the offset of the first record.

        Only base offset and leader epoch are filled in, which the checksum does not cover.
        """
        try:
            first = self._append(data, found)
        except OSError as exc:
            raise self._failed(exc) from exc
        if self._failing:
            self._failing = False
            log.warning("%s can be written again", self.folder.name)
        self._wake()
        return first

    def _append(self, data: bytes, found: list[Batch]) -> int:
        count = sum([batch.last_delta + 1 for batch in found])
        active = self._with_room(len(data), count, max([batch.max_timestamp for batch in found]))
        sync = self.sync or self.end_offset + count - self._synced_to >= self.flush_messages
        view = memoryview(data)
        first = offset = self.end_offset
        parts: list[bytes | memoryview] = []
        for batch in found:
            parts.append(_PLACED(offset, batch.size - 12, LEADER_EPOCH))
            parts.append(view[batch.position + 16 : batch.position + batch.size])
            offset += batch.last_delta + 1
        if sync:
            self._sync_sealed()
        if not active.created or (sync and self._folder_changed):
            self._begin(active, sync=sync)
        position = active.size
        active.write(parts, sync=sync)
        offset = first
        for batch in found:
            active.note(batch, position, offset)
            if not batch.control:
                self.producers.absorb(batch, offset)
            position += batch.size
            offset += batch.last_delta + 1
        self.end_offset = offset
        if sync:
            self._synced_to = offset
        self._mark_due()
        return first

    def append_records(self, records: list[tuple[bytes | None, bytes | None]], now_ms: int) -> int:
        """Append records of the broker's own."""
        data = make_batch(records, now_ms)
        return self.append(data, checked_batches(data))

    def append_marker(self, producer_id: int, epoch: int, kind: int, now_ms: int, coordinator_epoch: int = 0) -> None:
        """End a producer's transaction here; KafkaError when that is no longer its epoch."""
        marker = Marker(producer_id, epoch, kind, now_ms, coordinator_epoch)
        self.producers.check_marker(producer_id, epoch, coordinator_epoch)
        data = make_marker(marker)
        offset = self.append(data, checked_batches(data))
        self.producers.end(marker, offset)
        self._wake()

    def _failed(self, exc: OSError) -> StorageError:
        """The error to answer with; the first one is logged, and then no more until it works again."""
        if not self._failing:
            log.error("%s cannot be written: %s; writes are refused until it can", self.folder.name, exc)
        self._failing = True
        return StorageError(exc)

    def _with_room(self, size: int, offsets: int, newest_ms: int) -> Segment:
        active = self._segments[-1]
        full = active.size + size > self.segment_bytes
        if full or self.end_offset + offsets - active.base_offset > LARGEST_RELATIVE or self._spans(active, newest_ms):
            return self.roll()
        return active

    def _spans(self, active: Segment, newest_ms: int) -> bool:
        """Whether the segment would hold more time than it may; records without a time do not count."""
        first = active.first_timestamp
        return first is not None and newest_ms - first > self.segment_ms

    def _sync_sealed(self) -> None:
        for segment in self._unsealed:
            if segment.synced < segment.size:
                os.fdatasync(segment.file)
                segment.synced = segment.size

    def _begin(self, segment: Segment, *, sync: bool) -> None:
        """Make the file of a segment; a name that could be lost is no good to what must be durable."""
        segment.create()
        self._folder_changed = True
        if sync:
            sync_folder(self.folder)
            self._folder_changed = False

    def roll(self) -> Segment:
        """Begin a new segment, unless the newest is empty.

        Its file is made at once: when all before it is gone, it alone tells the log's end.
        """
        if not self._segments[-1].size:
            return self._segments[-1]
        segment = Segment(self.folder, self.end_offset, self._files)
        try:
            self._begin(segment, sync=self.sync)
        except OSError:
            segment.remove()
            raise
        self._save_snapshot()
        self._unsealed.append(self._segments[-1])
        self._segments.append(segment)
        self._bases.append(segment.base_offset)
        self._mark_due()
        return segment

    def _save_snapshot(self) -> None:
        """Write the producers' state at the end of the log beside it; without one, a restart reads more, no worse."""
        if self._snapshot not in (None, self.end_offset) and self._snapshot not in self._bases:
            (self.folder / f"{self._snapshot:020}.snapshot").unlink(missing_ok=True)
        path = self.folder / f"{self.end_offset:020}.snapshot"
        try:
            path.write_bytes(self.producers.snapshot())
        except OSError as exc:
            self._warn_of_beside(exc)
            path.unlink(missing_ok=True)
        self._snapshot = self.end_offset

    # -- making durable -----------------------------------------------------------------------

    def _mark_due(self) -> None:
        active = self._segments[-1]
        if active.synced < active.size or self._unsealed or self._point_due(POINT_EVERY):
            self._due.add(self)

    def _point_due(self, after: int) -> bool:
        """Whether much was appended since the last recovery point."""
        active = self._segments[-1]
        return active.size - (0 if active.point is None else active.point.size) >= after

    def begin_sync(self, *, active: bool = True) -> list[Sync]:
        """What is to be synced now, with descriptors that any thread may use and close; `active` with what still grows.

        `end_sync` is to be told when it was done.
        """
        self._due.discard(self)
        found: list[Sync] = []
        try:
            unsynced = [segment for segment in self._unsealed if segment.synced < segment.size][:SYNCED_AT_ONCE]
            found += (Sync(segment, os.dup(segment.file), segment.size) for segment in unsynced)
            newest = self._segments[-1]
            if active and newest.synced < newest.size:
                found.append(Sync(newest, os.dup(newest.file), newest.size, self.end_offset))
            if self._folder_changed:
                found.append(Sync(None, os.open(self.folder, os.O_RDONLY), 0))
                self._folder_changed = False
        except OSError:
            self.abandon_sync(found)
            raise
        return found

    def abandon_sync(self, syncs: Sequence[Sync]) -> None:
        """It could not be done; it is due again."""
        self._due.add(self)
        for each in syncs:
            os.close(each.descriptor)
            self._folder_changed |= each.segment is None

    def end_sync(self, syncs: Sequence[Sync], *, point_after: int = POINT_EVERY) -> None:
        """Note what is durable now, and write beside sealed segments what a restart needs to know of them."""
        for each in syncs:
            os.close(each.descriptor)
            if each.segment is not None:
                each.segment.synced = max(each.segment.synced, each.size)
        if self.closed:
            return
        for segment in self._unsealed:
            if segment.synced == segment.size:
                self._write_point(segment, self._bases[bisect_right(self._bases, segment.base_offset)])
        if all(segment.synced == segment.size for segment in self._unsealed):
            self._synced_to = max(self._synced_to, *(each.end for each in syncs), 0)
        self._unsealed = [segment for segment in self._unsealed if not segment.sealed]
        if self._point_due(point_after) and self._segments[-1].synced:
            self._save_snapshot()
            self._write_point(self._segments[-1], self.end_offset)
        self._mark_due()

    def _write_point(self, segment: Segment, end: int) -> None:
        within = range(segment.base_offset, end)
        aborted = aborted_bytes(each for each in self.producers.aborted if each.last_offset in within)
        try:
            segment.write_point(aborted)
        except OSError as exc:
            self._warn_of_beside(exc)
        else:
            self._pointless = False

    def _warn_of_beside(self, exc: OSError) -> None:
        """Once: no record is in danger."""
        if not self._pointless:
            log.warning("what spares a restart the reading of %s cannot be written: %s", self.folder.name, exc)
        self._pointless = True

    def flush(self, *, point_after: int = POINT_EVERY) -> None:
        """Make what was appended durable, here and now."""
        while True:
            syncs = self.begin_sync()
            try:
                for each in syncs:
                    each.run()
            except OSError:
                self.abandon_sync(syncs)
                raise
            self.end_sync(syncs, point_after=point_after)
            if not syncs:
                return

    # -- removing -----------------------------------------------------------------------------

    def delete_before(self, offset: int) -> None:
        """Records before `offset` are no longer served; segments that hold nothing else are removed."""
        self.start_offset = max(self.start_offset, min(offset, self.end_offset))
        while len(self._segments) > 1 and self._bases[1] <= self.start_offset:
            gone = self._segments.pop(0)
            del self._bases[0]
            if gone in self._unsealed:
                self._unsealed.remove(gone)
            gone.remove()
        self.producers.forget_aborted(self._bases[0])

    def restore_start(self, offset: int) -> None:
        """Records before `offset` were deleted before the log was closed.

        Where a power cut took what came after them too, the log goes on from `offset`: no offset is used again.
        """
        if offset <= self.end_offset:
            self.delete_before(offset)
            return
        for segment in self._segments:
            segment.remove()
        self._segments, self._bases, self._unsealed = [Segment(self.folder, offset, self._files)], [offset], []
        self._begin(self._segments[0], sync=self.sync)
        self.producers.aborted.clear()
        self.start_offset = self.end_offset = self._synced_to = offset

    # -- cleaning -----------------------------------------------------------------------------

    @property
    def files(self) -> OpenFiles:
        """What the log shares with others."""
        return self._files

    @property
    def sealed(self) -> list[Segment]:
        """The segments that no longer grow, oldest first."""
        return self._segments[:-1]

    @property
    def first_base(self) -> int:
        """First offset of the oldest segment."""
        return self._bases[0]

    @property
    def active_base(self) -> int:
        """First offset of the newest segment."""
        return self._bases[-1]

    def expire(self, *, retention_ms: int, retention_bytes: int, now_ms: int) -> bool:
        """Remove the oldest segments beyond either limit (-1: no limit); whether any went."""
        before = self.start_offset
        excess = self.size - retention_bytes if retention_bytes >= 0 else -1
        for segment, following in zip(self._segments[:-1], self._bases[1:], strict=True):
            excess -= segment.size
            if excess < 0 and not self._too_old(segment, retention_ms, now_ms):
                break
            self.delete_before(following)
        only = self._segments[0]
        if len(self._segments) == 1 and only.size and self._too_old(only, retention_ms, now_ms):
            # A newest segment whose records are all too old is closed, so that it can go too.
            self.roll()
            self.delete_before(self.end_offset)
        return self.start_offset > before

    @staticmethod
    def _too_old(segment: Segment, retention_ms: int, now_ms: int) -> bool:
        return retention_ms >= 0 and segment.newest_ms() < now_ms - retention_ms

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
        announce_swap(made.path, [segment.base_offset for segment in old])
        finish_swap(self.folder, os.listdir(self.folder))
        for segment in old:
            segment.close()
        made.moved(old[0].path, self._files)
        within = range(old[0].base_offset, self._bases[end])
        others = (each for each in self.producers.aborted if each.last_offset not in within)
        self.producers.aborted = sorted((*others, *aborted), key=lambda each: each.last_offset)
        self._segments[first:end] = [made]
        self._bases[first:end] = [made.base_offset]
        self._unsealed = [*(segment for segment in self._unsealed if segment not in old), made]
        self._due.add(self)
        return True

    # -- reading ------------------------------------------------------------------------------

    @property
    def last_stable_offset(self) -> int:
        """The first offset whose transaction is undecided; the end when there is none."""
        first = self.producers.first_open()
        return self.end_offset if first is None else first

    def read(self, offset: int, max_bytes: int, limit: int, *, at_least_one: bool = True) -> bytes:
        """What `find` finds, read."""
        found = self.find(offset, max_bytes, limit, at_least_one=at_least_one)
        return found.read() if isinstance(found, Stretch) else found

    def find(self, offset: int, max_bytes: int, limit: int, *, at_least_one: bool = True) -> bytes | Stretch:
        """Whole batches from the one that holds `offset` on, below offset `limit`; read already where they are few.

        At most `max_bytes`, but never less than one batch if `at_least_one`. The last one may be cut off, as in
        Kafka. KafkaError when `offset` is outside the log.
        """
        if not self.start_offset <= offset <= self.end_offset:
            raise KafkaError(OFFSET_OUT_OF_RANGE)
        if offset >= limit:
            return b""
        slot = max(bisect_right(self._bases, offset) - 1, 0)
        try:
            while slot < len(self._segments):
                found = self._find_in(self._segments[slot], offset, max_bytes, limit, at_least_one)
                if found:
                    return found
                slot += 1  # the rest of this segment was compacted away
        except OSError as exc:
            log.error("%s cannot be read: %s", self.folder.name, exc)
            raise StorageError(exc) from exc
        return b""

    def _find_in(
        self, segment: Segment, offset: int, max_bytes: int, limit: int, at_least_one: bool
    ) -> bytes | Stretch:
        position = segment.position_of(offset)
        data, skip = segment.read(position, LOOKED_AT), 0
        while True:
            if len(data) - skip < HEADER_SIZE:
                if position + skip + HEADER_SIZE > segment.size:
                    return b""
                position, skip = position + skip, 0
                data = segment.read(position, LOOKED_AT)
                continue
            batch = batch_at(data, skip)
            if batch.last_offset >= offset:
                break
            skip += batch.size
        if batch.base_offset >= limit:
            return b""
        start = position + skip
        length = min(max_bytes, segment.size - start)
        if batch.size > length:
            if not at_least_one:
                return b""
            length = batch.size
        elif limit < self.end_offset:
            # Most answers end at the end of the log or at max_bytes; only undecided transactions need a walk.
            return self._below(segment.read(start, length), limit)
        return data[skip : skip + length] if skip + length <= len(data) else Stretch(segment, start, length)

    @staticmethod
    def _below(data: bytes, limit: int) -> bytes:
        for batch in batches(data):
            if batch.base_offset >= limit:
                return data[: batch.position]
        return data

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
        newest = max(segment.max_timestamp for segment in self._segments)
        found = self.find_time(newest) if newest >= 0 else None
        if found is None and newest >= 0 and self.start_offset > self._bases[0]:
            # That record was deleted, but others of its segment are still there.
            newest = max(self._newest_left(), *(segment.max_timestamp for segment in self._segments[1:]), -1)
            found = self.find_time(newest) if newest >= 0 else None
        return found

    def _newest_left(self) -> int:
        """The largest timestamp in the first segment among the records that were not deleted; -1: none."""
        first, newest = self._segments[0], -1
        for batch in first.walk(first.position_of(self.start_offset)):
            if batch.base_offset >= self.start_offset:
                newest = max(newest, batch.max_timestamp)
            elif batch.last_offset >= self.start_offset:
                left = records_of(first.read(batch.position, batch.size), batch._replace(position=0))
                newest = max((r.timestamp for r in left if r.offset >= self.start_offset), default=newest)
        return newest

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

    # -- ending -------------------------------------------------------------------------------

    def close(self) -> None:
        """Make everything durable and close the files; the latter even when the disk refuses (OSError)."""
        if self.closed:
            return
        try:
            self.flush(point_after=POINT_AT_CLOSE)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the files, as when their topic is deleted."""
        self.closed = True
        self._due.discard(self)
        for segment in self._segments:
            segment.close()
        self._wake()
