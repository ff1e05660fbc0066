"""By what right the records of a Produce request may be part of a transaction (KIP-890).

A partition takes transactional records only from a producer whose transaction names it. Up to version 11 of Produce
a request of its own has named it; from version 12 on writing does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from syncline.broker.errors import (
    CONCURRENT_TRANSACTIONS,
    INVALID_PRODUCER_EPOCH,
    INVALID_PRODUCER_ID_MAPPING,
    INVALID_TXN_STATE,
    NOT_ENOUGH_REPLICAS,
    PRODUCER_FENCED,
    TRANSACTION_ABORTABLE,
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError,
)
from syncline.broker.records import HEADER_SIZE, Batch, batch_at, in_transaction
from syncline.broker.transaction_log import Place
from syncline.broker.transactions import SECOND_VERSION

ABORTABLE = 11
"""Version of Produce whose clients know TRANSACTION_ABORTABLE."""
ADDS_PARTITIONS = 12
"""Version of Produce that makes a partition part of the transaction."""


def as_leader(code: int, *, abortable: bool) -> int:
    """What a partition's leader makes of the coordinator's answer; `abortable`: the client knows that code."""
    if code == PRODUCER_FENCED:
        return INVALID_PRODUCER_EPOCH
    if code == TRANSACTION_ABORTABLE and not abortable:
        return INVALID_TXN_STATE
    return code


@dataclass(frozen=True, slots=True)
class Claims:
    """What a Produce request may write, as far as transactions are concerned."""

    refused: Mapping[Place, KafkaError] = field(default_factory=dict)
    added: frozenset[Place] = frozenset()
    """Partitions that this request made part of the transaction."""


NO_CLAIMS: Final = Claims()


def claimed(broker: Any, request: Any, topics: Collection[tuple[str, Any]], version: int) -> Claims:
    """Look at the first batch of each partition; with `ADDS_PARTITIONS`, add what is missing, all at once.

    `topics` are those of the request with their names, which it may not tell itself.
    """
    if not any(_transactional(part.records) for _, topic in topics for part in topic.partition_data):
        return NO_CLAIMS
    batches = _first_batches(topics)
    written = {place: batch for place, batch in batches.items() if batch.transactional}
    if request.transactional_id is None:
        return Claims(dict.fromkeys(batches, KafkaError(TRANSACTIONAL_ID_AUTHORIZATION_FAILED)))
    producers = {(batch.producer_id, batch.producer_epoch) for batch in written.values()}
    if len(producers) > 1:
        message = "Transactional records contained more than one producer ID"
        return Claims(dict.fromkeys(written, KafkaError(INVALID_PRODUCER_ID_MAPPING, message)))
    (producer,) = producers
    unnamed = frozenset(
        place
        for place in written
        if broker.topics.has(*place) and not broker.topics.partition(*place).producers.knows(*producer)
    )
    if not unnamed:
        return NO_CLAIMS
    try:
        if version >= ADDS_PARTITIONS:
            broker.transactions.add_partitions(request.transactional_id, *producer, unnamed, SECOND_VERSION)
            return Claims(added=unnamed)
        missing = broker.transactions.verify(request.transactional_id, *producer, unnamed)
    except KafkaError as exc:
        return Claims(dict.fromkeys(unnamed, _for_client(exc, version)))
    return Claims(dict.fromkeys(missing, _for_client(KafkaError(TRANSACTION_ABORTABLE), version)))


def _for_client(exc: KafkaError, version: int) -> KafkaError:
    if exc.code == CONCURRENT_TRANSACTIONS and version < ADDS_PARTITIONS:
        # Older clients do not try again on the code itself; this one makes them, without asking for metadata.
        return KafkaError(NOT_ENOUGH_REPLICAS, exc.message)
    return KafkaError(as_leader(exc.code, abortable=version >= ABORTABLE), exc.message)


def _transactional(records: bytes | None) -> bool:
    return records is not None and len(records) >= HEADER_SIZE and in_transaction(records)


def _first_batches(topics: Iterable[tuple[str, Any]]) -> dict[Place, Batch]:
    """The header of each partition's batch, not checked yet; partitions without one are left out."""
    found = {}
    for name, topic in topics:
        for part in topic.partition_data:
            if part.records is not None and len(part.records) >= HEADER_SIZE:
                found[name, part.index] = batch_at(part.records, 0)
    return found
