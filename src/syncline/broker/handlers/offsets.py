"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords: where a partition begins and ends."""

from __future__ import annotations

from typing import Any

from syncline.broker.errors import (
    INVALID_RECORD,
    INVALID_REQUEST,
    NONE,
    OFFSET_OUT_OF_RANGE,
    POLICY_VIOLATION,
    UNKNOWN_LEADER_EPOCH,
    UNSUPPORTED_VERSION,
    KafkaError,
    StorageError,
)
from syncline.broker.log import PartitionLog
from syncline.broker.records import LEADER_EPOCH, MalformedRecords
from syncline.broker.wire import Answer, Api, Context

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED = -1, -2, -3, -4, -5
SINCE = {LATEST: 0, EARLIEST: 0, MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9}
"""Versions from which on the special times may be asked for."""
READ_COMMITTED = 1


def list_offsets(broker: Any, request: Any, context: Context) -> Answer:
    committed = getattr(request, "isolation_level", 0) == READ_COMMITTED
    topics = []
    for topic in request.topics:
        numbers = [part.partition_index for part in topic.partitions]
        parts = {}
        for part in topic.partitions:
            number = part.partition_index
            try:
                if numbers.count(number) > 1:
                    raise KafkaError(INVALID_REQUEST)
                parts[number] = _one(broker, topic.name, part, committed, context)
            except KafkaError as exc:
                parts[number] = {
                    "partition_index": number,
                    "error_code": exc.code,
                    "timestamp": -1,
                    "offset": -1,
                    "leader_epoch": -1,
                }
        topics.append({"name": topic.name, "partitions": list(parts.values())})
    return {"topics": topics}


def _one(broker: Any, topic: str, part: Any, committed: bool, context: Context) -> dict[str, Any]:
    log = broker.topics.partition(topic, part.partition_index)
    if part.timestamp < 0 and context.api_version < SINCE.get(part.timestamp, context.api_version + 1):
        raise KafkaError(UNSUPPORTED_VERSION)
    _check_epoch(getattr(part, "current_leader_epoch", -1))
    answer = {
        "partition_index": part.partition_index,
        "error_code": NONE,
        "timestamp": -1,
        "offset": -1,
        "leader_epoch": LEADER_EPOCH,
    }
    if part.timestamp == LATEST:
        answer["offset"] = log.last_stable_offset if committed else log.end_offset
    elif part.timestamp in (EARLIEST, EARLIEST_LOCAL):
        answer["offset"] = log.start_offset
    elif part.timestamp != LATEST_TIERED:
        found = _by_time(log, part.timestamp)
        # What cannot be fetched yet is not found either.
        if found is not None and (not committed or found[0] < log.last_stable_offset):
            answer["offset"], answer["timestamp"] = found
    return answer


def _by_time(log: PartitionLog, timestamp: int) -> tuple[int, int] | None:
    """Offset and timestamp; KafkaError when the records that lead there cannot be read."""
    try:
        return log.newest_time() if timestamp == MAX_TIMESTAMP else log.find_time(timestamp)
    except OSError as exc:
        raise StorageError(exc) from exc
    except (MalformedRecords, IndexError) as exc:
        # Producers' records are not looked at one by one when they come.
        raise KafkaError(INVALID_RECORD, f"a batch does not hold what its header says: {exc}") from exc


def _check_epoch(current: int) -> None:
    """KafkaError when the client knows of a later election than there was."""
    if current > LEADER_EPOCH:
        raise KafkaError(UNKNOWN_LEADER_EPOCH)


def offset_for_leader_epoch(broker: Any, request: Any, context: Context) -> Answer:
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            answer: dict[str, Any] = {
                "partition": part.partition,
                "error_code": NONE,
                "leader_epoch": -1,
                "end_offset": -1,
            }
            try:
                log = broker.topics.partition(topic.topic, part.partition)
                _check_epoch(part.current_leader_epoch)
                # Of an epoch that never was nothing is known.
                if part.leader_epoch == LEADER_EPOCH:
                    answer.update(leader_epoch=LEADER_EPOCH, end_offset=log.end_offset)
            except KafkaError as exc:
                answer["error_code"] = exc.code
            parts.append(answer)
        topics.append({"topic": topic.topic, "partitions": parts})
    return {"topics": topics}


def delete_records(broker: Any, request: Any, context: Context) -> Answer:
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            answer = {"partition_index": part.partition_index, "error_code": NONE, "low_watermark": -1}
            try:
                log = broker.topics.partition(topic.name, part.partition_index)
                if "delete" not in broker.topics.config(broker.topics.get(topic.name), "cleanup.policy"):
                    raise KafkaError(POLICY_VIOLATION)
                offset = log.end_offset if part.offset == -1 else part.offset
                if not 0 <= offset <= log.end_offset:
                    raise KafkaError(OFFSET_OUT_OF_RANGE)
                log.delete_before(offset)
                answer["low_watermark"] = log.start_offset
            except KafkaError as exc:
                answer["error_code"] = exc.code
            parts.append(answer)
        topics.append({"name": topic.name, "partitions": parts})
    try:
        broker.topics.checkpoint()
    except KafkaError as exc:
        # The records are gone, but a restart might show some of them again.
        for answer in (answer for topic in topics for answer in topic["partitions"]):
            if answer["error_code"] == NONE:
                answer.update(error_code=exc.code, low_watermark=-1)
    return {"topics": topics}


APIS = (
    Api(2, 1, 10, list_offsets),
    Api(23, 2, 4, offset_for_leader_epoch),
    Api(21, 0, 2, delete_records),
)
