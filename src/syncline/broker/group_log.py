"""`__consumer_offsets` as the coordinator uses it: append a group's records, read everything back at start."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from syncline.broker.group_records import Key, UnreadableRecord, decode_key, encode_key
from syncline.broker.log import PartitionLog
from syncline.broker.records import (
    COMMIT,
    Producer,
    checked_batches,
    make_batch,
    marker_kind,
    records_of,
)
from syncline.clock import Clock

log = logging.getLogger(__name__)


class Stored(NamedTuple):
    """One record read back; `value` is None where something was deleted."""

    key: Key
    value: bytes | None
    position: int
    """Its offset in the log."""
    producer_id: int | None = None
    """Of the transaction it belongs to."""


class Ended(NamedTuple):
    """A transaction that ended, read back."""

    producer_id: int
    partition: int
    """Of the log: of what the producer committed in the others this does not speak."""
    commit: bool


class GroupLog:
    """The partitions of `__consumer_offsets`; a group's records are all in one of them."""

    def __init__(self, partitions: Sequence[PartitionLog], clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock

    def partition_of(self, group: str) -> int:
        """The partition that Kafka would choose, so that its tools look in the right place."""
        number = java_hash(group)
        return (0 if number == -(2**31) else abs(number)) % len(self._partitions)

    def append(self, group: str, records: Iterable[tuple[Key, bytes | None]]) -> int:
        """Append records that count at once; the offset of the first. OSError when the disk refuses."""
        encoded: list[tuple[bytes | None, bytes | None]] = [(encode_key(key), value) for key, value in records]
        partition = self._partitions[self.partition_of(group)]
        return partition.append_records(encoded, self._clock.wall_ms())

    def append_pending(
        self, group: str, records: Iterable[tuple[Key, bytes | None]], producer_id: int, producer_epoch: int
    ) -> int:
        """Append records of a transaction, which count once its marker says so."""
        encoded = [(encode_key(key), value) for key, value in records]
        producer = Producer(producer_id, producer_epoch, -1)
        data = make_batch(encoded, self._clock.wall_ms(), producer=producer, transactional=True)
        return self._partitions[self.partition_of(group)].append(data, checked_batches(data))

    def replay(self) -> Iterator[Stored | Ended]:
        """Everything in the log, oldest first within each partition."""
        for number, partition in enumerate(self._partitions):
            for batch, data in partition.batches():
                if batch.control:
                    kind = marker_kind(data, batch)
                    if kind is not None:
                        yield Ended(batch.producer_id, number, kind == COMMIT)
                    continue
                for record in records_of(data, batch):
                    try:
                        key = decode_key(record.key or b"")
                    except UnreadableRecord as exc:
                        log.warning("__consumer_offsets-%d offset %d: %s", number, record.offset, exc)
                        continue
                    if key is not None:
                        producer_id = batch.producer_id if batch.transactional else None
                        yield Stored(key, record.value, record.offset, producer_id)


def java_hash(text: str) -> int:
    """Java's `String.hashCode`."""
    number = 0
    raw = text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(raw[::2], raw[1::2], strict=True):
        number = (31 * number + (high << 8 | low)) & 0xFFFFFFFF
    return number - 2**32 if number >= 2**31 else number
