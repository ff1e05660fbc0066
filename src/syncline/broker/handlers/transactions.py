"""InitProducerId and the APIs of transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from syncline.broker.errors import (
    INVALID_PRODUCER_EPOCH,
    INVALID_REQUEST,
    NONE,
    OPERATION_NOT_ATTEMPTED,
    PRODUCER_FENCED,
    TRANSACTION_ABORTABLE,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.records import ABORT, COMMIT
from syncline.broker.transaction_log import NO_EPOCH, NO_ID, Place
from syncline.broker.transactions import FIRST_VERSION, SECOND_VERSION
from syncline.broker.wire import Answer, Api, Context


def init_producer_id(broker: Any, request: Any, context: Context) -> Answer:
    given = getattr(request, "producer_id", NO_ID), getattr(request, "producer_epoch", NO_EPOCH)
    try:
        if (given[0] == NO_ID) != (given[1] == NO_EPOCH):
            raise KafkaError(INVALID_REQUEST)
        if request.transactional_id is None:
            return {"error_code": NONE, "producer_id": broker.transactions.new_producer_id(), "producer_epoch": 0}
        transaction = broker.transactions.init(
            request.transactional_id,
            round(request.transaction_timeout.total_seconds() * 1000),
            None if given[0] == NO_ID else given,
        )
    except KafkaError as exc:
        code = exc.code if context.api_version >= 4 or exc.code != PRODUCER_FENCED else INVALID_PRODUCER_EPOCH
        return {"error_code": code, "producer_id": NO_ID, "producer_epoch": NO_EPOCH}
    return {"error_code": NONE, "producer_id": transaction.producer_id, "producer_epoch": transaction.epoch}


def _code(exc: KafkaError, context: Context) -> int:
    # Clients of the first two versions know the older code only (KIP-588).
    return INVALID_PRODUCER_EPOCH if exc.code == PRODUCER_FENCED and context.api_version < 2 else exc.code


def add_partitions_to_txn(broker: Any, request: Any, context: Context) -> Answer:
    """One transaction up to version 3; later, as brokers ask each other, several, or only whether they were added."""
    if context.api_version < 4:
        topics = request.v3_and_below_topics
        producer = (
            request.v3_and_below_transactional_id,
            request.v3_and_below_producer_id,
            request.v3_and_below_producer_epoch,
        )
        codes = _added(broker, producer, _places(topics), context)
        return {"results_by_topic_v3_and_below": _results(topics, codes)}
    results = []
    for asked in request.transactions:
        producer = (asked.transactional_id, asked.producer_id, asked.producer_epoch)
        add = _verified if asked.verify_only else _added
        codes = add(broker, producer, _places(asked.topics), context)
        results.append(
            {"transactional_id": asked.transactional_id, "topic_results": _results(asked.topics, codes)},
        )
    return {"error_code": NONE, "results_by_transaction": results}


def _added(broker: Any, producer: tuple[str, int, int], places: set[Place], context: Context) -> dict[Place, int]:
    """Add all of the partitions, or none if there is one that does not exist."""
    unknown = {place for place in places if not broker.topics.has(*place)}
    if unknown:
        return {place: UNKNOWN_TOPIC_OR_PARTITION if place in unknown else OPERATION_NOT_ATTEMPTED for place in places}
    try:
        broker.transactions.add_partitions(*producer, frozenset(places))
    except KafkaError as exc:
        return dict.fromkeys(places, _code(exc, context))
    return {}


def _verified(broker: Any, producer: tuple[str, int, int], places: set[Place], context: Context) -> dict[Place, int]:
    try:
        missing = broker.transactions.verify(*producer, frozenset(places))
    except KafkaError as exc:
        return dict.fromkeys(places, _code(exc, context))
    return dict.fromkeys(missing, TRANSACTION_ABORTABLE)


def _places(topics: Iterable[Any]) -> set[Place]:
    return {(topic.name, number) for topic in topics for number in topic.partitions}


def _results(topics: Iterable[Any], codes: dict[Place, int]) -> list[dict[str, Any]]:
    return [
        {
            "name": topic.name,
            "results_by_partition": [
                {"partition_index": number, "partition_error_code": codes.get((topic.name, number), NONE)}
                for number in topic.partitions
            ],
        }
        for topic in topics
    ]


def add_offsets_to_txn(broker: Any, request: Any, context: Context) -> Answer:
    try:
        broker.transactions.add_offsets(
            request.transactional_id, request.producer_id, request.producer_epoch, request.group_id
        )
    except KafkaError as exc:
        return {"error_code": _code(exc, context)}
    return {"error_code": NONE}


def end_txn(broker: Any, request: Any, context: Context) -> Answer:
    """From version 5 on the epoch is raised, and the answer says which one the producer has now (KIP-890)."""
    try:
        producer_id, epoch = broker.transactions.end(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            COMMIT if request.committed else ABORT,
            SECOND_VERSION if context.api_version >= 5 else FIRST_VERSION,
        )
    except KafkaError as exc:
        return {"error_code": _code(exc, context), "producer_id": NO_ID, "producer_epoch": NO_EPOCH}
    return {"error_code": NONE, "producer_id": producer_id, "producer_epoch": epoch}


def write_txn_markers(broker: Any, request: Any, context: Context) -> Answer:
    """What coordinators ask of partitions; here administrators alone do, to end a transaction that hangs (KIP-664)."""
    return {
        "markers": [
            {
                "producer_id": marker.producer_id,
                "topics": [
                    {
                        "name": topic.name,
                        "partitions": [_marked(broker, marker, topic.name, index) for index in topic.partition_indexes],
                    }
                    for topic in marker.topics
                ],
            }
            for marker in request.markers
        ]
    }


def _marked(broker: Any, marker: Any, topic: str, number: int) -> dict[str, Any]:
    kind = COMMIT if marker.transaction_result else ABORT
    code = NONE
    try:
        broker.transactions.write_marker(
            (topic, number), marker.producer_id, marker.producer_epoch, kind, marker.coordinator_epoch
        )
    except KafkaError as exc:
        code = exc.code
    return {"partition_index": number, "error_code": code}


APIS = (
    Api(22, 0, 5, init_producer_id),
    Api(24, 0, 5, add_partitions_to_txn),
    Api(25, 0, 4, add_offsets_to_txn),
    Api(26, 0, 5, end_txn),
    Api(27, 1, 1, write_txn_markers),
)
