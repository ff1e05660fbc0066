"""What passes between a sink task's two threads: batches one way, questions and rewinds the other.

The reader's thread polls Kafka and decodes ahead; the task's thread puts and commits. Rules, each of which holds a
contract of `api.sink` or of Kafka's group protocol:

- The reader may be at most so many records and bytes ahead, so memory is bounded.
- A rebalance happens on the reader's thread, but only the task's thread may call `open` and `close`: the reader
  asks and waits (`call`), the task's thread answers between two puts (`serve`).
- A rewind makes whatever was read ahead of a partition stale. Records on their way at that moment carry the epoch
  in which they were read; those from before the rewind are dropped when they arrive.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from syncline.data import SinkRecord
from syncline.ids import TopicPartition
from syncline.kafka.ports import KafkaRecord

T = TypeVar("T")


@dataclass(slots=True)
class Batch:
    """Decoded records, and how far they bring each partition."""

    records: list[SinkRecord]
    positions: dict[TopicPartition, int]
    """The next offset to read, also behind records that were dropped or set aside."""
    starts: dict[TopicPartition, int]
    """First offset of partitions of which nothing was read before."""
    raws: list[list[KafkaRecord]]
    """What the records were made of; empty unless somebody may ask for the original bytes."""
    size: int
    """Bytes as read from Kafka."""
    epoch: int

    def without(self, partitions: Collection[TopicPartition]) -> None:
        """Forget everything about these partitions."""
        if self.positions.keys().isdisjoint(partitions):
            return
        for partition in partitions:
            self.positions.pop(partition, None)
            self.starts.pop(partition, None)
        self.records = [record for record in self.records if place_of(record) not in partitions]

    def only(self, partitions: Collection[TopicPartition]) -> Batch:
        """A batch with what this one holds of these partitions."""
        return Batch(
            [record for record in self.records if place_of(record) in partitions],
            {tp: offset for tp, offset in self.positions.items() if tp in partitions},
            {tp: offset for tp, offset in self.starts.items() if tp in partitions},
            self.raws,
            0,
            self.epoch,
        )

    def extend(self, later: Batch) -> None:
        """Append what was read after this batch."""
        self.records += later.records
        self.positions |= later.positions
        self.starts = later.starts | self.starts
        self.raws += later.raws
        self.size += later.size


def place_of(record: SinkRecord) -> TopicPartition:
    """The partition in Kafka that a record came from."""
    return TopicPartition(record.kafka_topic, record.kafka_partition)


@dataclass(slots=True)
class _Call(Generic[T]):
    function: Callable[[], T]
    done: threading.Event = field(default_factory=threading.Event)
    result: T | None = None


class Handoff:
    """The meeting point of the two threads."""

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        """The reader stops reading ahead once so much waits; one more read may come on top."""
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._batches: deque[Batch] = deque()
        self._calls: deque[_Call[Any]] = deque()
        self._failure: Exception | None = None
        self._woken = False
        self._closed = False
        self._epoch = 0
        self._stale_before: dict[TopicPartition, int] = {}
        self._rewinds: dict[TopicPartition, int] = {}

    # -- the reader's thread ------------------------------------------------------------------

    def wait_for_room(self, seconds: float) -> bool:
        """Whether there is room to read ahead, waiting for it if need be."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or self._has_room(), seconds)

    def _has_room(self) -> bool:
        return self.records_waiting < self._max_records and sum(b.size for b in self._batches) < self._max_bytes

    def begin_read(self) -> tuple[int, dict[TopicPartition, int]]:
        """The epoch of the records read next, and where to seek to before."""
        with self._changed:
            rewinds, self._rewinds = self._rewinds, {}
            return self._epoch, rewinds

    def put(self, batch: Batch) -> None:
        """Hand over what was read."""
        with self._changed:
            stale = [tp for tp in batch.positions if batch.epoch < self._stale_before.get(tp, 0)]
            batch.without(stale)
            if batch.positions:
                self._batches.append(batch)
                self._changed.notify_all()

    def discard(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what waits of partitions that are going away; whoever gets them reads it again."""
        with self._changed:
            self._drop(partitions)
            for partition in partitions:
                self._rewinds.pop(partition, None)
                self._stale_before.pop(partition, None)
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Reading cannot go on; the task's thread meets the error after what was read before."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def call(self, function: Callable[[], T]) -> T | None:
        """Have the task's thread call `function`, and wait; None when it is not serving any more."""
        call = _Call(function)
        with self._changed:
            if self._closed:
                return None
            self._calls.append(call)
            self._changed.notify_all()
        call.done.wait()
        return call.result

    # -- the task's thread --------------------------------------------------------------------

    def take(self, max_records: int, seconds: float) -> Batch | None:
        """The next records, of several reads together when they wait; None when nothing came, or to `serve`.

        Raises what the reader failed with, once everything read before is taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._batches or self._failure or self._disturbed(), seconds)
            if self._disturbed():
                self._woken = False
                return None
            if not self._batches:
                if self._failure is not None:
                    raise self._failure
                return None
            taken = self._batches.popleft()
            while self._batches and len(taken.records) + len(self._batches[0].records) <= max_records:
                taken.extend(self._batches.popleft())
            self._changed.notify_all()
            return taken

    def wait(self, seconds: float) -> None:
        """Wait until woken, asked to `serve`, or the time is over."""
        with self._changed:
            self._changed.wait_for(self._disturbed, seconds)
            self._woken = False

    def _disturbed(self) -> bool:
        return self._woken or bool(self._calls)

    def serve(self) -> None:
        """Answer the reader, if it asks. Raises what the called function raises; the reader goes on all the same."""
        while True:
            with self._changed:
                if not self._calls:
                    return
                call = self._calls.popleft()
            try:
                call.result = call.function()
            finally:
                call.done.set()

    def rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions again from these offsets; what was read ahead of them is dropped."""
        with self._changed:
            self._epoch += 1
            self._drop(offsets)
            for partition in offsets:
                self._stale_before[partition] = self._epoch
            self._rewinds |= offsets
            self._changed.notify_all()

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        for batch in self._batches:
            batch.without(partitions)
        self._batches = deque(batch for batch in self._batches if batch.positions)

    # -- any thread ---------------------------------------------------------------------------

    @property
    def records_waiting(self) -> int:
        """Records read and not yet taken."""
        return sum(len(batch.records) for batch in tuple(self._batches))

    def wake(self) -> None:
        """End a wait of the task's thread."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """The task's thread serves no more; waiting calls, and later ones, end without a result."""
        with self._changed:
            self._closed = True
            calls, self._calls = self._calls, deque()
            self._changed.notify_all()
        for call in calls:
            call.done.set()
