"""The transaction coordinator: who may write atomically, and what becomes of what they wrote (KIP-98, KIP-890).

Its state is a replay of `__transaction_state`, in Kafka's formats. A decision is written before its markers and a
completion after them, so a crash in between is finished at the next start; a disk that refuses is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from syncline.broker.errors import (
    CONCURRENT_TRANSACTIONS,
    COORDINATOR_NOT_AVAILABLE,
    INVALID_PRODUCER_ID_MAPPING,
    INVALID_REQUEST,
    INVALID_TRANSACTION_TIMEOUT,
    INVALID_TXN_STATE,
    PRODUCER_FENCED,
    TRANSACTION_ABORTABLE,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
    StorageError,
)
from syncline.broker.log import PartitionLog
from syncline.broker.records import ABORT, COMMIT
from syncline.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC
from syncline.broker.transaction_log import (
    NO_EPOCH,
    NO_ID,
    PREPARED,
    Phase,
    Place,
    Transaction,
    UnreadableTransaction,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
)

log = logging.getLogger(__name__)

LAST_EPOCH: Final = 32_766
"""The last one given to a client; the one after it only fences, as in Kafka."""
FIRST_VERSION: Final = 0
SECOND_VERSION: Final = 2
"""Of the protocol: each end of a transaction raises the epoch. 1, as in Kafka, is about the log's format alone."""


class Transactions:
    """All transactional ids. Used from the broker's event loop only."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._known: dict[str, Transaction] = {}
        topic = broker.topics.get(TRANSACTIONS_TOPIC)
        if topic is not None:
            self._replay(topic.partitions[0])
        self._finish_prepared()

    def new_producer_id(self) -> int:
        """An id that was never handed out before; KafkaError when it cannot be written that it is taken."""
        try:
            found: int = self._broker.new_producer_id()
        except OSError as exc:
            raise KafkaError(COORDINATOR_NOT_AVAILABLE, "producer ids cannot be reserved") from exc
        return found

    def get(self, transactional_id: str) -> Transaction | None:
        return self._known.get(transactional_id)

    def __iter__(self) -> Iterator[Transaction]:
        return iter(list(self._known.values()))

    # -- what producers ask -------------------------------------------------------------------

    def init(self, transactional_id: str, timeout_ms: int, given: tuple[int, int] | None) -> Transaction:
        """Make this producer the only one of its id; `given` is the producer id and epoch it has so far (KIP-360).

        A transaction that is still open is aborted, under an epoch nobody has, and the producer asked to come again.
        """
        if not transactional_id:
            raise KafkaError(INVALID_REQUEST)
        if not 0 < timeout_ms <= self._broker.settings.number("transaction.max.timeout.ms"):
            raise KafkaError(INVALID_TRANSACTION_TIMEOUT)
        known = self._known.get(transactional_id)
        if known is None:
            known = Transaction(transactional_id, self.new_producer_id(), NO_EPOCH, timeout_ms)
        if given is not None and not _may_go_on(known, *given):
            raise KafkaError(PRODUCER_FENCED)
        if known.phase in PREPARED:
            raise KafkaError(CONCURRENT_TRANSACTIONS)
        if known.phase is Phase.ONGOING:
            self._fence(known)
            raise KafkaError(CONCURRENT_TRANSACTIONS)
        fresh = replace(known, timeout_ms=timeout_ms, phase=Phase.EMPTY, partitions=frozenset(), started_ms=-1)
        return self._store(self._next_epoch(fresh, None if given is None else given[1]))

    def _next_epoch(self, known: Transaction, given: int | None) -> Transaction:
        """With the epoch the producer is to have that asks with epoch `given`, if it has one."""
        fenced = known.epoch > LAST_EPOCH and known.last_epoch == given
        if fenced or (known.epoch >= LAST_EPOCH and given in (None, known.epoch)):
            last = NO_EPOCH if given is None else known.epoch
            fresh_id = self.new_producer_id()
            return replace(known, producer_id=fresh_id, epoch=0, last_epoch=last, previous_id=known.producer_id)
        if given is None:
            return replace(known, epoch=known.epoch + 1, last_epoch=NO_EPOCH)
        if known.epoch in (NO_EPOCH, given):
            return replace(known, epoch=known.epoch + 1, last_epoch=known.epoch)
        if known.last_epoch != given:
            raise KafkaError(PRODUCER_FENCED)
        return known  # it asks again, because our answer was lost

    def add_partitions(
        self,
        transactional_id: str,
        producer_id: int,
        epoch: int,
        places: frozenset[Place],
        version: int = FIRST_VERSION,
    ) -> None:
        """The transaction, which begins here if none is open, will write to these partitions."""
        known = self._writing(transactional_id, producer_id, epoch)
        if known.phase is Phase.ONGOING:
            if places <= known.partitions:
                return
            self._store(replace(known, partitions=known.partitions | places, version=version))
        else:
            started = self._broker.now_ms()
            self._store(replace(known, phase=Phase.ONGOING, partitions=places, started_ms=started, version=version))

    def add_offsets(
        self, transactional_id: str, producer_id: int, epoch: int, group_id: str, version: int = FIRST_VERSION
    ) -> None:
        """The transaction will commit offsets of a group."""
        self.add_partitions(transactional_id, producer_id, epoch, frozenset({self._offsets_of(group_id)}), version)

    def verify(self, transactional_id: str, producer_id: int, epoch: int, places: frozenset[Place]) -> set[Place]:
        """Those of the partitions that the open transaction did not name; KafkaError when there is none of these
        credentials."""
        return {*(places - self._writing(transactional_id, producer_id, epoch).partitions)}

    def check_offsets(self, transactional_id: str, producer_id: int, epoch: int, group_id: str) -> None:
        """KafkaError unless the open transaction of these credentials said that it commits offsets of the group."""
        if self.verify(transactional_id, producer_id, epoch, frozenset({self._offsets_of(group_id)})):
            raise KafkaError(TRANSACTION_ABORTABLE)

    def _offsets_of(self, group_id: str) -> Place:
        return OFFSETS_TOPIC, self._broker.groups.partition_of(group_id)

    def _writing(self, transactional_id: str, producer_id: int, epoch: int) -> Transaction:
        """The transaction that a producer with these credentials may write in; KafkaError when there is none."""
        known = self._of(transactional_id)
        if known.producer_id != producer_id:
            raise KafkaError(INVALID_PRODUCER_ID_MAPPING)
        if known.epoch != epoch:
            raise KafkaError(PRODUCER_FENCED)
        if known.phase in PREPARED:
            raise KafkaError(CONCURRENT_TRANSACTIONS)
        return known

    def _of(self, transactional_id: str) -> Transaction:
        if not transactional_id:
            raise KafkaError(INVALID_REQUEST)
        known = self._known.get(transactional_id)
        if known is None:
            raise KafkaError(INVALID_PRODUCER_ID_MAPPING)
        return known

    # -- ending -------------------------------------------------------------------------------

    def end(
        self, transactional_id: str, producer_id: int, epoch: int, kind: int, version: int = FIRST_VERSION
    ) -> tuple[int, int]:
        """Commit or abort; the producer id and epoch the producer has from now on.

        A repeated request gets the same answer. In the second version the end raises the epoch, so that a request
        which arrives late belongs to no open transaction.
        """
        known = self._of(transactional_id)
        if version < SECOND_VERSION:
            goes_on = _may_end(known, producer_id, epoch, kind)
        else:
            goes_on = _may_end_with_next_epoch(known, producer_id, epoch, kind)
        if goes_on:
            known = self._decide(known, kind, version)
        return (known.producer_id, known.epoch) if known.next_id == NO_ID else (known.next_id, 0)

    def _decide(self, known: Transaction, kind: int, version: int) -> Transaction:
        decided = replace(known, phase=Phase.PREPARE_COMMIT if kind == COMMIT else Phase.PREPARE_ABORT, version=version)
        if version >= SECOND_VERSION:
            next_id = self.new_producer_id() if known.epoch >= LAST_EPOCH else NO_ID
            decided = replace(decided, epoch=known.epoch + 1, last_epoch=known.epoch, next_id=next_id)
        if known.phase is not Phase.ONGOING:
            # Nothing was written: an abort that only raises the epoch.
            decided = replace(decided, partitions=frozenset(), started_ms=self._broker.now_ms())
        return self._complete(self._store(decided))

    def _fence(self, known: Transaction) -> None:
        """Abort an open transaction under an epoch that no producer has."""
        fenced = replace(known, epoch=known.epoch + 1, last_epoch=known.epoch, phase=Phase.PREPARE_ABORT)
        self._complete(self._store(fenced))

    def _complete(self, decided: Transaction) -> Transaction:
        """Write the markers of a decided transaction; writing one twice does no harm.

        Decided it is, whatever the disk says now: what cannot be written is tried again by `expire`.
        """
        kind = COMMIT if decided.phase is Phase.PREPARE_COMMIT else ABORT
        try:
            for topic, number in sorted(decided.partitions):
                self._mark(decided, topic, number, kind)
            done = replace(
                decided,
                phase=Phase.COMPLETE_COMMIT if kind == COMMIT else Phase.COMPLETE_ABORT,
                partitions=frozenset(),
            )
            if decided.next_id != NO_ID:
                done = replace(
                    done, producer_id=decided.next_id, epoch=0, next_id=NO_ID, previous_id=decided.producer_id
                )
            return self._write(done)
        except OSError as exc:
            log.error("transaction %s is decided but not complete: %s; it is tried again", decided.id, exc)
            return decided

    def _mark(self, decided: Transaction, topic: str, number: int, kind: int) -> None:
        try:
            self.write_marker((topic, number), decided.producer_id, decided.epoch, kind)
        except StorageError:
            raise
        except KafkaError as exc:
            if exc.code != UNKNOWN_TOPIC_OR_PARTITION:  # deleted meanwhile
                log.warning("%s-%d takes no marker of transaction %s: %s", topic, number, decided.id, exc)

    def write_marker(self, place: Place, producer_id: int, epoch: int, kind: int, coordinator_epoch: int = 0) -> None:
        """End what a producer has open in one partition; KafkaError when that is no longer its epoch.

        No transaction is asked about: administrators end in this way those that no coordinator knows of (KIP-664).
        """
        topic, number = place
        partition: PartitionLog = self._broker.topics.partition(topic, number)
        partition.append_marker(producer_id, epoch, kind, self._broker.now_ms(), coordinator_epoch)
        if topic == OFFSETS_TOPIC:
            self._broker.groups.complete_transaction(producer_id, number, kind == COMMIT)

    def expire(self) -> None:
        """Abort what has been open for longer than its producer allowed, finish what could not be finished, and
        forget ids that nobody uses."""
        self._finish_prepared()
        now = self._broker.now_ms()
        forget_before = now - self._broker.settings.number("transactional.id.expiration.ms")
        for known in self:
            if known.phase is Phase.ONGOING:
                if now - known.started_ms > known.timeout_ms:
                    log.info("transaction %s is aborted: open for more than %d ms", known.id, known.timeout_ms)
                    with suppress(KafkaError):  # it was logged, and is tried again
                        self._fence(known)
            elif known.phase not in PREPARED and known.updated_ms < forget_before:
                self._forget(known)

    def _finish_prepared(self) -> None:
        for known in self:
            if known.phase in PREPARED:
                self._complete(known)

    # -- remembering --------------------------------------------------------------------------

    def _store(self, transaction: Transaction) -> Transaction:
        """Remember a state; KafkaError, and nothing is changed, when it cannot be written."""
        try:
            return self._write(transaction)
        except OSError as exc:
            raise KafkaError(COORDINATOR_NOT_AVAILABLE, f"{TRANSACTIONS_TOPIC} cannot be written") from exc

    def _write(self, transaction: Transaction) -> Transaction:
        now = self._broker.now_ms()
        stored = replace(transaction, updated_ms=now)
        topic = self._broker.topics.get(TRANSACTIONS_TOPIC)
        if topic is None:
            topic = self._broker.topics.create(
                TRANSACTIONS_TOPIC, 1, {"cleanup.policy": "compact", "segment.bytes": "104857600"}
            )
        topic.partitions[0].append_records([(encode_key(stored.id), encode_value(stored))], now)
        self._known[stored.id] = stored
        return stored

    def forget_all(self) -> None:
        """The log is gone."""
        self._known.clear()

    def _forget(self, transaction: Transaction) -> None:
        partition = self._broker.topics.get(TRANSACTIONS_TOPIC).partitions[0]
        partition.append_records([(encode_key(transaction.id), None)], self._broker.now_ms())
        del self._known[transaction.id]

    def _replay(self, partition: PartitionLog) -> None:
        for record in partition.records():
            try:
                transactional_id = decode_key(record.key or b"")
                if record.value is None:
                    self._known.pop(transactional_id, None)
                else:
                    self._known[transactional_id] = decode_value(transactional_id, record.value)
            except UnreadableTransaction as exc:
                log.warning("%s offset %d: %s", TRANSACTIONS_TOPIC, record.offset, exc)


def _may_go_on(known: Transaction, producer_id: int, epoch: int) -> bool:
    """Whether a producer that has this producer id may have another epoch (the epoch is looked at later)."""
    if known.epoch == NO_EPOCH or producer_id == known.producer_id:
        return True
    # It may have used up its epochs and not have heard of its new id.
    return producer_id == known.previous_id and epoch >= LAST_EPOCH


_PREPARE: Final = {COMMIT: Phase.PREPARE_COMMIT, ABORT: Phase.PREPARE_ABORT}
_COMPLETE: Final = {COMMIT: Phase.COMPLETE_COMMIT, ABORT: Phase.COMPLETE_ABORT}


def _may_end(known: Transaction, producer_id: int, epoch: int, kind: int) -> bool:
    """Whether there is a transaction to end; False when that was done already. KafkaError when it may not."""
    if known.producer_id != producer_id:
        raise KafkaError(INVALID_PRODUCER_ID_MAPPING)
    if known.epoch != epoch:
        raise KafkaError(PRODUCER_FENCED)
    if known.phase is Phase.ONGOING:
        return True
    if known.phase is _PREPARE[kind]:
        raise KafkaError(CONCURRENT_TRANSACTIONS)
    if known.phase is not _COMPLETE[kind]:
        raise KafkaError(INVALID_TXN_STATE)
    return False


def _may_end_with_next_epoch(known: Transaction, producer_id: int, epoch: int, kind: int) -> bool:
    """As `_may_end`, where each end raises the epoch: only the epoch before tells a repeated request."""
    overflown = (known.previous_id, known.epoch) == (producer_id, 0) and epoch == LAST_EPOCH
    if known.producer_id != producer_id and not overflown:
        raise KafkaError(INVALID_PRODUCER_ID_MAPPING)
    again = overflown or known.epoch == epoch + 1
    if known.phase in (Phase.EMPTY, Phase.ONGOING):
        valid = known.epoch == epoch and not overflown
    elif known.phase in PREPARED:
        valid = known.epoch == epoch + 1
    else:
        valid = again or known.epoch == epoch
    if not valid:
        raise KafkaError(PRODUCER_FENCED)
    if known.phase is Phase.ONGOING:
        return True
    if known.phase is _PREPARE[kind]:
        raise KafkaError(CONCURRENT_TRANSACTIONS)
    if again and known.phase is _COMPLETE[kind]:
        return False
    if kind == ABORT and not again and known.phase not in PREPARED:
        return True  # a transaction without partitions may be aborted; the epoch is raised all the same
    raise KafkaError(INVALID_TXN_STATE)
