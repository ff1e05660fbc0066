"""Produce: append record batches; InitProducerId: who may write idempotently."""

from __future__ import annotations

from typing import Any, Final

from syncline.broker.errors import (
    INVALID_RECORD,
    INVALID_REQUIRED_ACKS,
    MESSAGE_TOO_LARGE,
    NONE,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.handlers.claims import Claims, claimed
from syncline.broker.log import PartitionLog
from syncline.broker.records import Batch, checked_batches, records_of, restamped
from syncline.broker.wire import Answer, Api, Context

ACKS: Final = (-1, 0, 1)


def produce(broker: Any, request: Any, context: Context) -> Answer:
    answers = []
    rights = claimed(broker, request, context.api_version) if request.acks in ACKS else Claims()
    for topic in request.topic_data:
        partitions = [_partition(broker, topic.name, part, request, rights) for part in topic.partition_data]
        answers.append({"name": topic.name, "partition_responses": partitions})
    if request.acks == 0:
        return None
    return {"responses": answers}


def _partition(broker: Any, topic: str, part: Any, request: Any, rights: Claims) -> dict[str, Any]:
    try:
        if request.acks not in ACKS:
            raise KafkaError(INVALID_REQUIRED_ACKS)
        partition = broker.topics.partition(topic, part.index)
        if (refusal := rights.refused.get((topic, part.index))) is not None:
            raise refusal
        fresh = (topic, part.index) in rights.added
        base, stamp = _append(broker, broker.topics.get(topic), partition, bytes(part.records or b""), from_zero=fresh)
    except KafkaError as exc:
        if exc.code != UNKNOWN_TOPIC_OR_PARTITION:  # names of topics that are not there are not counted: anything goes
            broker.metrics.refused(topic)
        return _refused(part.index, exc.code, exc.message)
    return {
        "index": part.index,
        "error_code": NONE,
        "base_offset": base,
        "log_append_time": stamp,
        "log_start_offset": partition.start_offset,
    }


def _refused(index: int, code: int, message: str | None) -> dict[str, Any]:
    return {
        "index": index,
        "error_code": code,
        "base_offset": -1,
        "log_append_time": -1,
        "error_message": message,
    }


def _append(broker: Any, topic: Any, partition: PartitionLog, data: bytes, *, from_zero: bool) -> tuple[int, int]:
    """Offset of the first record and the append time (-1 unless the broker sets it).

    `from_zero`: a producer that is not known here begins with sequence 0.
    """
    found = checked_batches(data)
    if len(found) != 1:
        raise KafkaError(INVALID_RECORD, f"a partition takes exactly one record batch in a request, not {len(found)}")
    largest = int(broker.topics.config(topic, "max.message.bytes"))
    if any(batch.size > largest for batch in found):
        raise KafkaError(MESSAGE_TOO_LARGE, f"a batch is larger than max.message.bytes={largest}")
    if "compact" in broker.topics.config(topic, "cleanup.policy"):
        _check_keys(data, found)
    (batch,) = found
    if batch.control:
        raise KafkaError(INVALID_RECORD, "clients may not write control records")
    repeated = partition.producers.check(batch, from_zero=from_zero)
    if repeated is not None:
        return repeated.base_offset, -1
    stamp = -1
    if broker.topics.config(topic, "message.timestamp.type") == "LogAppendTime":
        stamp = broker.now_ms()
        data = b"".join(restamped(data[b.position : b.position + b.size], stamp) for b in found)
        found = checked_batches(data)
    base = partition.append(data, found)
    broker.metrics.produced(topic.name, sum(batch.records for batch in found), len(data))
    return base, stamp


def _check_keys(data: bytes, found: list[Batch]) -> None:
    for batch in found:
        if any(record.key is None for record in records_of(data, batch)):
            raise KafkaError(INVALID_RECORD, "Compacted topic cannot accept message without key")


APIS = (Api(0, 3, 12, produce, advertised_lowest=0),)
