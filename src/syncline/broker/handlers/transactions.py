"""InitProducerId and the APIs of transactions."""

from __future__ import annotations

from typing import Any

from syncline.broker.errors import INVALID_PRODUCER_EPOCH, NONE, PRODUCER_FENCED, KafkaError
from syncline.broker.records import ABORT, COMMIT
from syncline.broker.wire import Answer, Api, Context

OPERATION_NOT_ATTEMPTED = 55


def init_producer_id(broker: Any, request: Any, context: Context) -> Answer:
    if request.transactional_id is None:
        return {"error_code": NONE, "producer_id": broker.new_producer_id(), "producer_epoch": 0}
    try:
        transaction = broker.transactions.init(
            request.transactional_id,
            round(request.transaction_timeout.total_seconds() * 1000),
            getattr(request, "producer_id", -1),
            getattr(request, "producer_epoch", -1),
        )
    except KafkaError as exc:
        code = exc.code if context.api_version >= 4 or exc.code != PRODUCER_FENCED else INVALID_PRODUCER_EPOCH
        return {"error_code": code, "producer_id": -1, "producer_epoch": -1}
    return {
        "error_code": NONE,
        "producer_id": transaction.producer_id,
        "producer_epoch": transaction.epoch,
    }


def _code(exc: KafkaError, context: Context) -> int:
    # Clients of the first two versions know the older code only (KIP-588).
    return INVALID_PRODUCER_EPOCH if exc.code == PRODUCER_FENCED and context.api_version < 2 else exc.code


def add_partitions_to_txn(broker: Any, request: Any, context: Context) -> Answer:
    wanted = {(topic.name, number) for topic in request.v3_and_below_topics for number in topic.partitions}
    codes: dict[tuple[str, int], int] = {}
    for topic, number in wanted:
        try:
            broker.topics.partition(topic, number)
        except KafkaError as exc:
            codes[topic, number] = exc.code
    if codes:
        codes = {place: codes.get(place, OPERATION_NOT_ATTEMPTED) for place in wanted}
    else:
        try:
            broker.transactions.add_partitions(
                request.v3_and_below_transactional_id,
                request.v3_and_below_producer_id,
                request.v3_and_below_producer_epoch,
                frozenset(wanted),
            )
        except KafkaError as exc:
            codes = dict.fromkeys(wanted, _code(exc, context))
    return {
        "results_by_topic_v3_and_below": [
            {
                "name": topic.name,
                "results_by_partition": [
                    {"partition_index": number, "partition_error_code": codes.get((topic.name, number), NONE)}
                    for number in topic.partitions
                ],
            }
            for topic in request.v3_and_below_topics
        ]
    }


def add_offsets_to_txn(broker: Any, request: Any, context: Context) -> Answer:
    try:
        broker.transactions.add_offsets(
            request.transactional_id, request.producer_id, request.producer_epoch, request.group_id
        )
    except KafkaError as exc:
        return {"error_code": _code(exc, context)}
    return {"error_code": NONE}


def end_txn(broker: Any, request: Any, context: Context) -> Answer:
    try:
        broker.transactions.end(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            COMMIT if request.committed else ABORT,
        )
    except KafkaError as exc:
        return {"error_code": _code(exc, context)}
    return {"error_code": NONE}


APIS = (
    Api(22, 0, 5, init_producer_id),
    Api(24, 0, 3, add_partitions_to_txn),
    Api(25, 0, 3, add_offsets_to_txn),
    Api(26, 0, 3, end_txn),
)
