"""The transaction coordinator: who may write atomically, and what becomes of what they wrote (KIP-98).

Its state is a replay of `__transaction_state`, in Kafka's formats. A decision is written before its markers
and a completion after them, so a crash in between is finished at the next start.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final

from syncline.broker.errors import (
    CONCURRENT_TRANSACTIONS,
    INVALID_PRODUCER_EPOCH,
    INVALID_PRODUCER_ID_MAPPING,
    INVALID_TRANSACTION_TIMEOUT,
    INVALID_TXN_STATE,
    PRODUCER_FENCED,
    KafkaError,
)
from syncline.broker.log import PartitionLog
from syncline.broker.records import ABORT, COMMIT, Batch
from syncline.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC

LAST_EPOCH: Final = 32_766
"""The one after it is kept for fencing, as in Kafka."""

Place = tuple[str, int]


class Phase(IntEnum):
    """States, numbered as in Kafka's records."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5


@dataclass(frozen=True, slots=True)
class Transaction:
    """What the coordinator knows of one transactional id."""

    id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    phase: Phase = Phase.EMPTY
    partitions: frozenset[Place] = field(default_factory=frozenset)
    updated_ms: int = -1
    started_ms: int = -1


class Transactions:
    """All transactional ids. Used from the broker's event loop only."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._known: dict[str, Transaction] = {}
        topic = broker.topics.get(TRANSACTIONS_TOPIC)
        if topic is not None:
            self._replay(topic.partitions[0])
        for found in list(self._known.values()):
            if found.phase in (Phase.PREPARE_COMMIT, Phase.PREPARE_ABORT):
                self._finish(found)

    def get(self, transactional_id: str) -> Transaction | None:
        return self._known.get(transactional_id)

    def __iter__(self) -> Any:
        return iter(list(self._known.values()))

    # -- what producers ask -------------------------------------------------------------------

    def init(self, transactional_id: str, timeout_ms: int, producer_id: int, epoch: int) -> Transaction:
        """Make this producer the only one of its id: what an earlier one left open is aborted."""
        if not 0 < timeout_ms <= self._broker.settings.number("transaction.max.timeout.ms"):
            raise KafkaError(INVALID_TRANSACTION_TIMEOUT)
        known = self._known.get(transactional_id)
        if known is None:
            fresh = Transaction(transactional_id, self._broker.new_producer_id(), 0, timeout_ms)
            return self._store(fresh)
        if producer_id >= 0 and (producer_id, epoch) != (known.producer_id, known.epoch):
            # KIP-360: a producer that lost our last answer may still hold the epoch before.
            if (producer_id, epoch) != (known.producer_id, known.epoch - 1):
                raise KafkaError(PRODUCER_FENCED)
            return known
        if known.phase is Phase.ONGOING:
            # Bumped first, so that the old producer cannot add to what is being aborted.
            known = self._end(replace(known, epoch=known.epoch + 1), ABORT)
        if known.epoch >= LAST_EPOCH:
            known = replace(known, producer_id=self._broker.new_producer_id(), epoch=-1)
        return self._store(
            replace(
                known,
                epoch=known.epoch + 1,
                timeout_ms=timeout_ms,
                phase=Phase.EMPTY,
                partitions=frozenset(),
                started_ms=-1,
            )
        )

    def add_partitions(self, transactional_id: str, producer_id: int, epoch: int, places: frozenset[Place]) -> None:
        """The transaction will write to these partitions."""
        known = self.check(transactional_id, producer_id, epoch)
        if known.phase in (Phase.PREPARE_COMMIT, Phase.PREPARE_ABORT):
            raise KafkaError(CONCURRENT_TRANSACTIONS)
        if known.phase is Phase.ONGOING and places <= known.partitions:
            return
        started = known.started_ms if known.phase is Phase.ONGOING else self._broker.now_ms()
        already = known.partitions if known.phase is Phase.ONGOING else frozenset()
        self._store(replace(known, phase=Phase.ONGOING, partitions=already | places, started_ms=started))

    def add_offsets(self, transactional_id: str, producer_id: int, epoch: int, group_id: str) -> None:
        """The transaction will commit offsets of a group."""
        place = (OFFSETS_TOPIC, self._broker.groups.partition_of(group_id))
        self.add_partitions(transactional_id, producer_id, epoch, frozenset({place}))

    def check_offsets(self, transactional_id: str, producer_id: int, epoch: int, group_id: str) -> None:
        """KafkaError unless the open transaction of these credentials said that it commits offsets of the group."""
        known = self.check(transactional_id, producer_id, epoch)
        place = (OFFSETS_TOPIC, self._broker.groups.partition_of(group_id))
        if known.phase is not Phase.ONGOING or place not in known.partitions:
            raise KafkaError(INVALID_TXN_STATE)

    def end(self, transactional_id: str, producer_id: int, epoch: int, kind: int) -> None:
        """Commit or abort; a repeated request gets the same answer."""
        known = self.check(transactional_id, producer_id, epoch)
        done = Phase.COMPLETE_COMMIT if kind == COMMIT else Phase.COMPLETE_ABORT
        if known.phase is done:
            return
        if known.phase is not Phase.ONGOING:
            raise KafkaError(INVALID_TXN_STATE)
        self._end(known, kind)

    def check(self, transactional_id: str, producer_id: int, epoch: int) -> Transaction:
        """The transaction these credentials belong to; KafkaError otherwise."""
        known = self._known.get(transactional_id)
        if known is None or known.producer_id != producer_id:
            raise KafkaError(INVALID_PRODUCER_ID_MAPPING)
        if known.epoch != epoch:
            raise KafkaError(PRODUCER_FENCED)
        return known

    def may_write(self, transactional_id: str | None, batch: Batch, topic: str, partition: int) -> bool:
        """Whether a transactional batch belongs to an open transaction that names the partition."""
        known = self._known.get(transactional_id or "")
        if known is None or known.producer_id != batch.producer_id:
            return False
        if batch.producer_epoch < known.epoch:
            raise KafkaError(INVALID_PRODUCER_EPOCH)
        return known.phase is Phase.ONGOING and (topic, partition) in known.partitions

    def expire(self) -> None:
        """Abort what has been open for longer than its producer allowed, and forget ids that nobody uses."""
        now = self._broker.now_ms()
        forget_before = now - self._broker.settings.number("transactional.id.expiration.ms")
        for known in list(self._known.values()):
            if known.phase is Phase.ONGOING:
                if now - known.started_ms > known.timeout_ms:
                    self._end(replace(known, epoch=known.epoch + 1), ABORT)
            elif known.updated_ms < forget_before:
                self._forget(known)

    # -- deciding -----------------------------------------------------------------------------

    def _end(self, known: Transaction, kind: int) -> Transaction:
        phase = Phase.PREPARE_COMMIT if kind == COMMIT else Phase.PREPARE_ABORT
        return self._finish(self._store(replace(known, phase=phase)))

    def _finish(self, known: Transaction) -> Transaction:
        """Write the markers of a decided transaction. Writing one twice does no harm."""
        kind = COMMIT if known.phase is Phase.PREPARE_COMMIT else ABORT
        for topic, number in sorted(known.partitions):
            try:
                partition: PartitionLog = self._broker.topics.partition(topic, number)
            except KafkaError:
                continue  # deleted meanwhile
            partition.append_marker(known.producer_id, known.epoch, kind, self._broker.now_ms())
            if topic == OFFSETS_TOPIC:
                self._broker.groups.complete_transaction(known.producer_id, kind == COMMIT)
        done = Phase.COMPLETE_COMMIT if kind == COMMIT else Phase.COMPLETE_ABORT
        return self._store(replace(known, phase=done, partitions=frozenset()))

    # -- remembering --------------------------------------------------------------------------

    def _store(self, transaction: Transaction) -> Transaction:
        now = self._broker.now_ms()
        stored = replace(transaction, updated_ms=now)
        topic = self._broker.topics.get(TRANSACTIONS_TOPIC)
        if topic is None:
            topic = self._broker.topics.create(
                TRANSACTIONS_TOPIC, 1, {"cleanup.policy": "compact", "segment.bytes": "104857600"}
            )
        topic.partitions[0].append_records([(_key(stored.id), _value(stored))], now)
        self._known[stored.id] = stored
        return stored

    def _forget(self, transaction: Transaction) -> None:
        (log,) = self._broker.topics.get(TRANSACTIONS_TOPIC).partitions
        log.append_records([(_key(transaction.id), None)], self._broker.now_ms())
        del self._known[transaction.id]

    def _replay(self, log: PartitionLog) -> None:
        for record in log.records():
            transactional_id = _parse_key(record.key or b"")
            if record.value is None:
                self._known.pop(transactional_id, None)
            else:
                self._known[transactional_id] = _parse_value(transactional_id, record.value)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def _key(transactional_id: str) -> bytes:
    """TransactionLogKey, version 0."""
    return struct.pack(">h", 0) + _text(transactional_id)


def _parse_key(key: bytes) -> str:
    return key[4:].decode()


def _value(transaction: Transaction) -> bytes:
    """TransactionLogValue, version 0."""
    by_topic: dict[str, list[int]] = {}
    for topic, number in sorted(transaction.partitions):
        by_topic.setdefault(topic, []).append(number)
    places = b"".join(
        _text(topic) + struct.pack(f">i{len(numbers)}i", len(numbers), *numbers) for topic, numbers in by_topic.items()
    )
    return (
        struct.pack(
            ">hqhib",
            *(0, transaction.producer_id, transaction.epoch, transaction.timeout_ms, transaction.phase),
        )
        + struct.pack(">i", len(by_topic))
        + places
        + struct.pack(">qq", transaction.updated_ms, transaction.started_ms)
    )


def _parse_value(transactional_id: str, value: bytes) -> Transaction:
    _, producer_id, epoch, timeout, phase, topics = struct.unpack_from(">hqhibi", value)
    position = struct.calcsize(">hqhibi")
    places: set[Place] = set()
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", value, position)
        name = value[position + 2 : position + 2 + length].decode()
        position += 2 + length
        (count,) = struct.unpack_from(">i", value, position)
        places |= {(name, number) for number in struct.unpack_from(f">{count}i", value, position + 4)}
        position += 4 + 4 * count
    updated, started = struct.unpack_from(">qq", value, position)
    return Transaction(transactional_id, producer_id, epoch, timeout, Phase(phase), frozenset(places), updated, started)
