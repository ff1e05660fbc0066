"""What administrators look at: transactions, producers, folders; elections and moves, which one node knows none of."""

from __future__ import annotations

import shutil
from typing import Any

from syncline.broker.errors import (
    ELECTION_NOT_NEEDED,
    INVALID_REGULAR_EXPRESSION,
    NONE,
    TRANSACTIONAL_ID_NOT_FOUND,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.log import PartitionLog
from syncline.broker.topic_regex import compiled
from syncline.broker.transaction_log import Phase
from syncline.broker.wire import Answer, Api, Context

PHASES = {
    Phase.EMPTY: "Empty",
    Phase.ONGOING: "Ongoing",
    Phase.PREPARE_COMMIT: "PrepareCommit",
    Phase.PREPARE_ABORT: "PrepareAbort",
    Phase.COMPLETE_COMMIT: "CompleteCommit",
    Phase.COMPLETE_ABORT: "CompleteAbort",
}
"""As Kafka's tools print them."""
_NEVER_HERE = frozenset({"Dead", "PrepareEpochFence"})
"""States of Kafka that a transaction of this broker is never seen in."""


def list_transactions(broker: Any, request: Any, context: Context) -> Answer:
    unknown = sorted(set(request.state_filters) - set(PHASES.values()) - _NEVER_HERE)
    longer_than = getattr(request, "duration_filter", -1)
    pattern = getattr(request, "transactional_id_pattern", None)
    try:
        names = compiled(pattern) if pattern else None
    except KafkaError:
        return {"error_code": INVALID_REGULAR_EXPRESSION}
    now = broker.now_ms()
    found = [
        known
        for known in broker.transactions
        if (not request.state_filters or PHASES[known.phase] in request.state_filters)
        and (not request.producer_id_filters or known.producer_id in request.producer_id_filters)
        and (longer_than < 0 or (known.phase is Phase.ONGOING and now - known.started_ms > longer_than))
        and (names is None or names.fullmatch(known.id))
    ]
    return {
        "error_code": NONE,
        "unknown_state_filters": unknown,
        "transaction_states": [
            {
                "transactional_id": known.id,
                "producer_id": known.producer_id,
                "transaction_state": PHASES[known.phase],
            }
            for known in found
        ],
    }


def describe_transactions(broker: Any, request: Any, context: Context) -> Answer:
    return {"transaction_states": [_transaction(broker, name) for name in request.transactional_ids]}


def _transaction(broker: Any, transactional_id: str) -> dict[str, Any]:
    known = broker.transactions.get(transactional_id)
    if known is None:
        return {
            "error_code": TRANSACTIONAL_ID_NOT_FOUND,
            "transactional_id": transactional_id,
            "transaction_start_time": 0,
        }
    topics: dict[str, list[int]] = {}
    for topic, number in sorted(known.partitions):
        topics.setdefault(topic, []).append(number)
    return {
        "error_code": NONE,
        "transactional_id": transactional_id,
        "transaction_state": PHASES[known.phase],
        "transaction_timeout": known.timeout_ms,
        "transaction_start_time": known.started_ms,
        "producer_id": known.producer_id,
        "producer_epoch": known.epoch,
        "topics": [{"topic": topic, "partitions": numbers} for topic, numbers in topics.items()],
    }


def describe_producers(broker: Any, request: Any, context: Context) -> Answer:
    return {
        "topics": [
            {
                "name": topic.name,
                "partitions": [_producers(broker, topic.name, number) for number in topic.partition_indexes],
            }
            for topic in request.topics
        ]
    }


def _producers(broker: Any, topic: str, number: int) -> dict[str, Any]:
    try:
        partition: PartitionLog = broker.topics.partition(topic, number)
    except KafkaError as exc:
        return {"partition_index": number, "error_code": exc.code, "error_message": None}
    return {
        "partition_index": number,
        "error_code": NONE,
        "error_message": None,
        "active_producers": [
            {
                "producer_id": producer_id,
                "producer_epoch": entry.epoch,
                "last_sequence": entry.last_sequence,
                "last_timestamp": entry.last_timestamp,
                "coordinator_epoch": entry.coordinator_epoch,
                "current_txn_start_offset": partition.producers.open.get(producer_id, -1),
            }
            for producer_id, entry in partition.producers.entries.items()
        ],
    }


def describe_log_dirs(broker: Any, request: Any, context: Context) -> Answer:
    wanted = None if request.topics is None else {topic.topic: set(topic.partitions) for topic in request.topics}
    topics = []
    for topic in broker.topics:
        numbers = range(len(topic.partitions)) if wanted is None else sorted(wanted.get(topic.name, ()))
        partitions = [
            {"partition_index": number, "partition_size": topic.partitions[number].size, "offset_lag": 0}
            for number in numbers
            if 0 <= number < len(topic.partitions)
        ]
        if partitions:
            topics.append({"name": topic.name, "partitions": partitions})
    disk = shutil.disk_usage(broker.folder)
    result = {
        "error_code": NONE,
        "log_dir": str(broker.folder.absolute()),
        "topics": topics,
        "total_bytes": disk.total,
        "usable_bytes": disk.free,
    }
    return {"error_code": NONE, "results": [result]}


def elect_leaders(broker: Any, request: Any, context: Context) -> Answer:
    """Every partition is led by the only node; without names that leaves nothing to report."""
    return {
        "error_code": NONE,
        "replica_election_results": [
            {
                "topic": topic.topic,
                "partition_result": [_election(broker, topic.topic, number) for number in topic.partitions or ()],
            }
            for topic in request.topic_partitions or ()
        ],
    }


def _election(broker: Any, topic: str, number: int) -> dict[str, Any]:
    known = broker.topics.get(topic)
    if known is None or not 0 <= number < len(known.partitions):
        what = f"No such topic as {topic}" if known is None else f"No such partition as {topic}-{number}"
        return {"partition_id": number, "error_code": UNKNOWN_TOPIC_OR_PARTITION, "error_message": what}
    return {"partition_id": number, "error_code": ELECTION_NOT_NEEDED, "error_message": None}


def list_partition_reassignments(broker: Any, request: Any, context: Context) -> Answer:
    return {"error_code": NONE, "error_message": None, "topics": []}


APIS = (
    Api(35, 1, 4, describe_log_dirs),
    Api(43, 0, 2, elect_leaders),
    Api(46, 0, 0, list_partition_reassignments),
    Api(61, 0, 0, describe_producers),
    Api(65, 0, 0, describe_transactions),
    Api(66, 0, 2, list_transactions),
)
