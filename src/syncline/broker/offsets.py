"""Committed offsets, kept as records of `__consumer_offsets` in Kafka's own formats.

Offsets committed inside a transaction are pending until its marker says what becomes of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from syncline.broker.log import PartitionLog
from syncline.broker.records import COMMIT, Producer, checked_batches, make_batch, marker_kind, records_of

Place = tuple[str, int]
"""Topic and partition."""


class Committed(NamedTuple):
    """What a group committed for one partition."""

    offset: int
    leader_epoch: int
    metadata: str
    timestamp: int


class Offsets:
    """Offsets of all groups; the log is replayed when this is made."""

    def __init__(self, log: PartitionLog) -> None:
        self.log = log
        self._groups: dict[str, dict[Place, Committed]] = {}
        self._pending: dict[int, list[tuple[str, Place, Committed]]] = {}
        """By producer id, in the order they were committed."""
        self._replay()

    def groups(self) -> Iterable[str]:
        """Groups that have committed offsets."""
        return [group for group, found in self._groups.items() if found]

    def of(self, group: str) -> dict[Place, Committed]:
        """Everything the group has committed."""
        return self._groups.get(group, {})

    def pending_in(self, group: str, place: Place) -> bool:
        """Whether an open transaction holds an offset for the partition (KIP-447)."""
        return any(
            (waiting_group, waiting_place) == (group, place)
            for waiting in self._pending.values()
            for waiting_group, waiting_place, _ in waiting
        )

    def commit(self, group: str, offsets: dict[Place, Committed], now_ms: int) -> None:
        """Commit offsets; durable when this returns."""
        if offsets:
            self.log.append_records([(_key(group, p), _value(c)) for p, c in offsets.items()], now_ms)
            self._groups.setdefault(group, {}).update(offsets)

    def commit_pending(self, group: str, offsets: dict[Place, Committed], producer: Producer, now_ms: int) -> None:
        """Commit offsets that count once the producer's transaction commits."""
        if not offsets:
            return
        records = [(_key(group, p), _value(c)) for p, c in offsets.items()]
        data = make_batch(records, now_ms, producer=producer, transactional=True)
        self.log.append(data, checked_batches(data))
        waiting = self._pending.setdefault(producer.id, [])
        waiting += [(group, place, committed) for place, committed in offsets.items()]

    def complete(self, producer_id: int, kind: int) -> None:
        """A marker was written: apply or forget what the producer's transaction held."""
        for group, place, committed in self._pending.pop(producer_id, []):
            if kind == COMMIT:
                self._groups.setdefault(group, {})[place] = committed

    def forget(self, group: str, places: Iterable[Place], now_ms: int) -> None:
        """Delete offsets."""
        known = self._groups.get(group, {})
        gone = [place for place in places if place in known]
        if gone:
            self.log.append_records([(_key(group, place), None) for place in gone], now_ms)
            for place in gone:
                del known[place]
        if not known:
            self._groups.pop(group, None)

    def forget_topic(self, topic: str, now_ms: int) -> None:
        """Delete every group's offsets for a topic that was deleted."""
        for group, known in list(self._groups.items()):
            self.forget(group, [place for place in known if place[0] == topic], now_ms)

    def expire(self, group: str, before_ms: int, now_ms: int) -> None:
        """Delete the group's offsets committed before a time."""
        known = self._groups.get(group, {})
        self.forget(group, [place for place, found in known.items() if found.timestamp < before_ms], now_ms)

    def _replay(self) -> None:
        for batch, data in self.log.batches():
            if batch.control:
                kind = marker_kind(data, batch)
                if kind is not None:
                    self.complete(batch.producer_id, kind)
                continue
            for record in records_of(data, batch):
                found = _parse_key(record.key)
                if found is None:
                    continue
                group, place = found
                if record.value is None:
                    self._groups.get(group, {}).pop(place, None)
                elif batch.transactional:
                    waiting = self._pending.setdefault(batch.producer_id, [])
                    waiting.append((group, place, _parse_value(record.value)))
                else:
                    self._groups.setdefault(group, {})[place] = _parse_value(record.value)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def _key(group: str, place: Place) -> bytes:
    """OffsetCommitKey, version 1."""
    return struct.pack(">h", 1) + _text(group) + _text(place[0]) + struct.pack(">i", place[1])


def _value(committed: Committed) -> bytes:
    """OffsetCommitValue, version 3."""
    return (
        struct.pack(">hqi", 3, committed.offset, committed.leader_epoch)
        + _text(committed.metadata)
        + struct.pack(">q", committed.timestamp)
    )


def _parse_key(key: bytes | None) -> tuple[str, Place] | None:
    """None for keys of other kinds of records."""
    if key is None or len(key) < 2 or struct.unpack_from(">h", key)[0] not in (0, 1):
        return None
    parts = _texts(key, 2, 2)
    group, topic = next(parts), next(parts)
    return group, (topic, struct.unpack_from(">i", key, len(key) - 4)[0])


def _texts(data: bytes, position: int, count: int) -> Iterator[str]:
    for _ in range(count):
        (length,) = struct.unpack_from(">h", data, position)
        position += 2
        yield data[position : position + length].decode()
        position += length


def _parse_value(value: bytes) -> Committed:
    version, offset = struct.unpack_from(">hq", value)
    position, epoch = 10, -1
    if version >= 3:
        (epoch,) = struct.unpack_from(">i", value, position)
        position += 4
    metadata = next(_texts(value, position, 1))
    (timestamp,) = struct.unpack_from(">q", value, position + 2 + len(metadata.encode()))
    return Committed(offset, epoch, metadata, timestamp)
