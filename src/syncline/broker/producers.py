"""What one partition knows of its idempotent and transactional producers.

A batch is new, a duplicate, or out of order (KIP-98, KIP-360); open transactions hold back the last stable
offset, and aborted ones are listed for readers. State is rebuilt from the log and from snapshots beside it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from crc32c import crc32c

from syncline.broker.errors import (
    INVALID_PRODUCER_EPOCH,
    INVALID_RECORD,
    INVALID_TXN_STATE,
    OUT_OF_ORDER_SEQUENCE_NUMBER,
    TRANSACTION_COORDINATOR_FENCED,
    KafkaError,
)
from syncline.broker.records import ABORT, NO_PRODUCER, Batch, Marker

REMEMBERED: Final = 5
"""Batches per producer in which a duplicate is recognised; clients have at most five in flight."""
_ENTRY: Final = struct.Struct(">qhiqiqiq")


class Last(NamedTuple):
    """What was written last by a producer."""

    offset: int | None
    """Of its last record in this epoch; None when there are only markers."""
    epoch: int


class Written(NamedTuple):
    """One batch a producer wrote."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    timestamp: int


class Aborted(NamedTuple):
    """A transaction whose records readers must skip."""

    producer_id: int
    first_offset: int
    last_offset: int
    """Of its marker."""
    stable_offset: int
    """Last stable offset when it was aborted."""


@dataclass(slots=True)
class Entry:
    """One producer."""

    epoch: int
    written: deque[Written] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    coordinator_epoch: int = -1
    last_timestamp: int = -1
    last_offset: int | None = None
    """Of what it wrote last in this epoch, with a sequence or without; None when that was nothing but markers."""

    @property
    def last_sequence(self) -> int:
        return self.written[-1].last_sequence if self.written else -1


class Producers:
    """The producers of one partition."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.open: dict[int, int] = {}
        """First offsets of open transactions by producer, the oldest first."""
        self.aborted: list[Aborted] = []
        """In the order of their markers."""

    def knows(self, producer_id: int, epoch: int) -> bool:
        """Whether the coordinator need not be asked: the producer's transaction is open here, or its epoch is over."""
        entry = self.entries.get(producer_id)
        return entry is not None and (epoch < entry.epoch or (epoch == entry.epoch and producer_id in self.open))

    def check(self, batch: Batch, *, from_zero: bool = False) -> Written | None:
        """The earlier batch that `batch` repeats, or None when it is new.

        Raises KafkaError when its epoch is old or its sequence leaves a gap. What a producer writes first may begin
        anywhere, since what it wrote before may be deleted; with `from_zero` it may not (KIP-890).
        """
        if batch.producer_id == NO_PRODUCER:
            return None
        if batch.base_sequence < 0:
            raise KafkaError(INVALID_RECORD, "Batches with a producer ID must have a sequence")
        entry = self.entries.get(batch.producer_id)
        if entry is None:
            if from_zero and batch.base_sequence != 0:
                raise _out_of_order(batch, 0)
            return None
        if batch.producer_epoch < entry.epoch:
            raise KafkaError(
                INVALID_PRODUCER_EPOCH,
                f"producer {batch.producer_id} has epoch {entry.epoch}, the batch {batch.producer_epoch}",
            )
        expected = 0
        if batch.producer_epoch == entry.epoch:
            for known in entry.written:
                if (known.first_sequence, known.last_sequence) == (batch.base_sequence, batch.last_sequence):
                    return known
            expected = (entry.last_sequence + 1) & 0x7FFFFFFF
        if batch.base_sequence != expected:
            raise _out_of_order(batch, expected)
        if batch.producer_id in self.open and not batch.transactional:
            raise KafkaError(
                INVALID_TXN_STATE, f"producer {batch.producer_id} has a transaction open, the batch is outside of it"
            )
        return None

    def absorb(self, batch: Batch, base_offset: int) -> None:
        """Take note of a batch that was appended at `base_offset`."""
        if batch.producer_id == NO_PRODUCER or batch.control:
            return
        entry = self.entries.get(batch.producer_id)
        if entry is None or entry.epoch != batch.producer_epoch:
            entry = self.entries[batch.producer_id] = Entry(batch.producer_epoch)
        last_offset = base_offset + batch.last_delta
        entry.last_timestamp = batch.max_timestamp
        entry.last_offset = last_offset
        if batch.base_sequence >= 0:
            entry.written.append(
                Written(batch.base_sequence, batch.last_sequence, base_offset, last_offset, batch.max_timestamp)
            )
        if batch.transactional:
            self.open.setdefault(batch.producer_id, base_offset)

    def check_marker(self, producer_id: int, epoch: int, coordinator_epoch: int) -> None:
        """KafkaError for a marker of an epoch, the producer's or the coordinator's, that is over."""
        entry = self.entries.get(producer_id)
        if entry is None:
            return
        if epoch < entry.epoch:
            raise KafkaError(INVALID_PRODUCER_EPOCH, f"producer {producer_id} has epoch {entry.epoch} by now")
        if coordinator_epoch < entry.coordinator_epoch:
            raise KafkaError(
                TRANSACTION_COORDINATOR_FENCED, f"the coordinator has epoch {entry.coordinator_epoch} by now"
            )

    def end(self, marker: Marker, offset: int) -> Aborted | None:
        """Take note of a marker at `offset`; the aborted range if there was one to abort."""
        entry = self.entries.setdefault(marker.producer_id, Entry(marker.epoch))
        if marker.epoch > entry.epoch:
            entry.epoch = marker.epoch
            entry.written.clear()
            entry.last_offset = None
        entry.coordinator_epoch = marker.coordinator_epoch
        entry.last_timestamp = marker.timestamp
        first = self.open.pop(marker.producer_id, None)
        if marker.kind != ABORT or first is None:
            return None
        stable = self.first_open()
        found = Aborted(marker.producer_id, first, offset, offset if stable is None else stable)
        self.aborted.append(found)
        return found

    def first_open(self) -> int | None:
        """The first offset of the oldest open transaction."""
        return next(iter(self.open.values()), None)

    def aborted_between(self, first: int, end: int) -> Iterator[Aborted]:
        """Aborted transactions with records in first..end (end not included)."""
        for number in range(bisect_left(self.aborted, first, key=attrgetter("last_offset")), len(self.aborted)):
            each = self.aborted[number]
            if each.first_offset < end:
                yield each
            if each.stable_offset >= end:
                return  # whatever was aborted later began later, too

    def forget_aborted(self, before: int) -> None:
        """Aborted transactions that ended before an offset are in nobody's way any more."""
        if self.aborted and self.aborted[0].last_offset < before:
            self.aborted = [each for each in self.aborted if each.last_offset >= before]

    def expire(self, before_ms: int) -> None:
        """Forget producers that wrote nothing since `before_ms` and have no transaction open."""
        old = [
            producer
            for producer, entry in self.entries.items()
            if producer not in self.open and entry.last_timestamp < before_ms
        ]
        for producer in old:
            del self.entries[producer]

    def last_written(self) -> dict[int, Last]:
        """What must stay in the log, by producer, for the log to tell every producer's epoch and sequence."""
        return {producer: Last(entry.last_offset, entry.epoch) for producer, entry in self.entries.items()}

    def snapshot(self) -> bytes:
        """The state in Kafka's snapshot format, version 1."""
        body = struct.pack(">i", len(self.entries)) + b"".join(
            _ENTRY.pack(
                producer,
                entry.epoch,
                entry.last_sequence,
                -1 if entry.last_offset is None else entry.last_offset,
                (entry.written[-1].last_offset - entry.written[-1].base_offset) if entry.written else 0,
                entry.last_timestamp,
                entry.coordinator_epoch,
                self.open.get(producer, -1),
            )
            for producer, entry in self.entries.items()
        )
        return struct.pack(">hI", 1, crc32c(body)) + body

    def restore(self, content: bytes) -> bool:
        """Take a snapshot; False, and nothing taken, when it is damaged."""
        if len(content) < 10:
            return False
        version, crc = struct.unpack_from(">hI", content)
        body = content[6:]
        (count,) = struct.unpack_from(">i", body)
        if version != 1 or crc32c(body) != crc or len(body) != 4 + count * _ENTRY.size:
            return False
        opened = []
        for producer, epoch, sequence, last, delta, stamp, coordinator, first in _ENTRY.iter_unpack(body[4:]):
            entry = Entry(epoch, coordinator_epoch=coordinator, last_timestamp=stamp)
            entry.last_offset = None if last < 0 else last
            if last >= 0 and sequence >= 0:
                entry.written.append(Written(sequence - delta & 0x7FFFFFFF, sequence, last - delta, last, stamp))
            self.entries[producer] = entry
            if first >= 0:
                opened.append((first, producer))
        self.open = {producer: first for first, producer in sorted(opened)}
        return True


def _out_of_order(batch: Batch, expected: int) -> KafkaError:
    return KafkaError(
        OUT_OF_ORDER_SEQUENCE_NUMBER,
        f"producer {batch.producer_id} sent sequence {batch.base_sequence}, expected {expected}",
    )
