"""Produce: append record batches; InitProducerId: who may write idempotently."""

from __future__ import annotations

import logging
from typing import Any

from syncline.broker.errors import (
    INVALID_RECORD,
    INVALID_REQUIRED_ACKS,
    INVALID_TXN_STATE,
    KAFKA_STORAGE_ERROR,
    MESSAGE_TOO_LARGE,
    NONE,
    KafkaError,
)
from syncline.broker.log import PartitionLog
from syncline.broker.records import NO_PRODUCER, Batch, checked_batches, records_of, restamped
from syncline.broker.wire import Answer, Api, Context

log = logging.getLogger(__name__)


def produce(broker: Any, request: Any, context: Context) -> Answer:
    answers = []
    for topic in request.topic_data:
        partitions = [_partition(broker, topic.name, part, request, context) for part in topic.partition_data]
        answers.append({"name": topic.name, "partition_responses": partitions})
    if request.acks == 0:
        return None
    return {"responses": answers}


def _partition(broker: Any, topic: str, part: Any, request: Any, context: Context) -> dict[str, Any]:
    try:
        if request.acks not in (-1, 0, 1):
            raise KafkaError(INVALID_REQUIRED_ACKS)
        partition = broker.topics.partition(topic, part.index)
        base, stamp = _append(
            broker, broker.topics.get(topic), part.index, partition, bytes(part.records or b""), request
        )
    except KafkaError as exc:
        return _refused(part.index, exc.code, exc.message)
    except OSError as exc:
        log.error("partition %s-%s cannot be written: %s", topic, part.index, exc)
        return _refused(part.index, KAFKA_STORAGE_ERROR, str(exc))
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


def _append(broker: Any, topic: Any, index: int, partition: PartitionLog, data: bytes, request: Any) -> tuple[int, int]:
    """Offset of the first record and the append time (-1 unless the broker sets it)."""
    found = checked_batches(data)
    if not found:
        raise KafkaError(INVALID_RECORD, "no records")
    largest = int(broker.topics.config(topic, "max.message.bytes"))
    if any(batch.size > largest for batch in found):
        raise KafkaError(MESSAGE_TOO_LARGE, f"a batch is larger than max.message.bytes={largest}")
    if "compact" in broker.topics.config(topic, "cleanup.policy"):
        _check_keys(data, found)
    for batch in found:
        _check_transaction(broker, topic.name, index, batch, request)
        repeated = partition.producers.check(batch)
        if repeated is not None:
            return repeated.base_offset, -1
    stamp = -1
    if broker.topics.config(topic, "message.timestamp.type") == "LogAppendTime":
        stamp = broker.now_ms()
        data = b"".join(restamped(data[b.position : b.position + b.size], stamp) for b in found)
        found = checked_batches(data)
    return partition.append(data, found), stamp


def _check_keys(data: bytes, found: list[Batch]) -> None:
    for batch in found:
        if any(record.key is None for record in records_of(data, batch)):
            raise KafkaError(INVALID_RECORD, "Compacted topic cannot accept message without key")


def _check_transaction(broker: Any, topic: str, index: int, batch: Batch, request: Any) -> None:
    if batch.control:
        raise KafkaError(INVALID_RECORD, "clients may not write control records")
    if batch.producer_id == NO_PRODUCER or not batch.transactional:
        return
    if not broker.transactions.may_write(request.transactional_id, batch, topic, index):
        raise KafkaError(INVALID_TXN_STATE, "the partition is not part of an open transaction")


APIS = (Api(0, 3, 11, produce, advertised_lowest=0),)
