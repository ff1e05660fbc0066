"""Produce: append record batches."""

from __future__ import annotations

from typing import Any, Final

from syncline.broker.errors import (
    INVALID_REQUIRED_ACKS,
    INVALID_TOPIC_EXCEPTION,
    MESSAGE_TOO_LARGE,
    NONE,
    UNKNOWN_TOPIC_ID,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.handlers.claims import NO_CLAIMS, Claims, claimed
from syncline.broker.intake import Rejected, Rules, as_kept, check_contents, check_whole, received
from syncline.broker.log import PartitionLog
from syncline.broker.records import Batch, batch_at
from syncline.broker.topics import Topic
from syncline.broker.transaction_log import Place
from syncline.broker.wire import Answer, Api, Context, Unreadable

ACKS: Final = (-1, 0, 1)
BY_ID: Final = 13
"""Version from which on topics are named by their ids (KIP-516)."""


def produce(broker: Any, request: Any, context: Context) -> Answer:
    named = [(_name(broker, topic, context), topic) for topic in request.topic_data]
    known = [(name, topic) for name, topic in named if name is not None]
    rights = claimed(broker, request, known, context.api_version) if request.acks in ACKS else NO_CLAIMS
    answers: list[dict[str, Any]] = []
    for name, topic in named:
        partitions = [_partition(broker, name, part, request, rights, context) for part in topic.partition_data]
        topic_id = topic.topic_id if context.api_version >= BY_ID else None
        answers.append({"name": name, "topic_id": topic_id, "partition_responses": partitions})
    if request.acks == 0:
        failed = [part for topic in answers for part in topic["partition_responses"] if part["error_code"]]
        if failed:
            # A client that waits for no answer can be told in no other way.
            raise Unreadable(f"Produce without acknowledgement failed with error code {failed[0]['error_code']}")
        return None
    return {"responses": answers}


def _name(broker: Any, topic: Any, context: Context) -> str | None:
    if context.api_version < BY_ID:
        return str(topic.name)
    found = broker.topics.by_id(topic.topic_id) if topic.topic_id is not None else None
    return None if found is None else str(found.name)


def _partition(
    broker: Any, name: str | None, part: Any, request: Any, rights: Claims, context: Context
) -> dict[str, Any]:
    data = bytes(part.records or b"")
    try:
        if request.acks not in ACKS:
            raise KafkaError(INVALID_REQUIRED_ACKS)
        if name is None:
            raise KafkaError(UNKNOWN_TOPIC_ID)
        topic: Topic | None = broker.topics.get(name)
        if topic is None:
            raise KafkaError(UNKNOWN_TOPIC_OR_PARTITION)
        partition = broker.topics.partition(name, part.index)
        batch = received(data, context.api_version)
        if topic.internal:
            raise KafkaError(INVALID_TOPIC_EXCEPTION, f"topic {name} belongs to the broker")
        if (refusal := rights.refused.get((name, part.index))) is not None:
            raise refusal
        rules: Rules = broker.topics.rules(topic)
        check_whole(data, batch, rules)
    except KafkaError as exc:
        if name is not None and broker.topics.get(name) is not None:  # other names are not counted: anything goes
            broker.metrics.refused(name)
        return _refused(part.index, exc)
    try:
        added = (name, part.index) in rights.added
        base, stamp = _append(broker, (name, part.index), partition, data, batch, rules, from_zero=added)
    except KafkaError as exc:
        broker.metrics.refused(name)
        # Where a batch is found too large Kafka does not say where the log begins; elsewhere it does.
        start = -1 if exc.code == MESSAGE_TOO_LARGE else partition.start_offset
        return {**_refused(part.index, exc), "log_start_offset": start}
    return {
        "index": part.index,
        "error_code": NONE,
        "base_offset": base,
        "log_append_time": stamp,
        "log_start_offset": partition.start_offset,
    }


def _refused(index: int, exc: KafkaError) -> dict[str, Any]:
    records = exc.records if isinstance(exc, Rejected) else {}
    return {
        "index": index,
        "error_code": exc.code,
        "base_offset": -1,
        "log_append_time": -1,
        "error_message": exc.message,
        "record_errors": [{"batch_index": number, "batch_index_error_message": why} for number, why in records.items()],
    }


def _append(
    broker: Any, place: Place, partition: PartitionLog, data: bytes, batch: Batch, rules: Rules, *, from_zero: bool
) -> tuple[int, int]:
    """Offset of the first record and the append time (-1 unless the broker sets it).

    `from_zero`: a producer that is not known here begins with sequence 0.
    """
    now_ms = broker.now_ms()
    check_contents(data, batch, rules, place, now_ms)
    repeated = partition.producers.check(batch, from_zero=from_zero)
    if repeated is not None:
        return repeated.base_offset, repeated.timestamp
    kept = as_kept(data, batch, rules, now_ms)
    base = partition.append(kept, [batch if kept is data else batch_at(kept, 0)])
    broker.metrics.produced(place[0], batch.records, len(kept))
    return base, now_ms if rules.append_time else -1


APIS = (Api(0, 3, 13, produce, advertised_lowest=0),)
