"""CreateTopics, DeleteTopics, CreatePartitions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from syncline.broker.configs import TOPIC
from syncline.broker.errors import (
    INVALID_PARTITIONS,
    INVALID_REPLICA_ASSIGNMENT,
    INVALID_REPLICATION_FACTOR,
    INVALID_REQUEST,
    NONE,
    UNKNOWN_TOPIC_ID,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.wire import Answer, Api, Context


def create_topics(broker: Any, request: Any, context: Context) -> Answer:
    names = [topic.name for topic in request.topics]
    answers = []
    for wanted in request.topics:
        answer: dict[str, Any] = {
            "name": wanted.name,
            "topic_id": UUID(int=0),
            "error_code": NONE,
            "error_message": None,
        }
        try:
            if names.count(wanted.name) > 1:
                raise KafkaError(INVALID_REQUEST, f"Duplicate topic name {wanted.name}.")
            answer.update(_create(broker, wanted, validate_only=request.validate_only))
        except KafkaError as exc:
            answer.update(error_code=exc.code, error_message=exc.message)
        answers.append(answer)
    return {"topics": answers}


def _create(broker: Any, wanted: Any, *, validate_only: bool) -> dict[str, Any]:
    partitions, factor = wanted.num_partitions, wanted.replication_factor
    if wanted.assignments:
        numbers = sorted(assignment.partition_index for assignment in wanted.assignments)
        if (partitions, factor) != (-1, -1):
            raise KafkaError(
                INVALID_REQUEST,
                "Both numPartitions or replicationFactor and replicasAssignments were set. "
                "Both cannot be used at the same time.",
            )
        if numbers != list(range(len(numbers))):
            raise KafkaError(INVALID_REPLICA_ASSIGNMENT, "partitions should be a consecutive 0-based integer sequence")
        partitions, factor = len(numbers), max(len(a.broker_ids) for a in wanted.assignments)
    if factor == 0 or factor < -1:
        raise KafkaError(
            INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if partitions == -1:
        partitions = broker.settings.number("num.partitions")
    configs = {config.name: config.value for config in wanted.configs if config.value is not None}
    broker.topics.check_new(wanted.name, partitions, configs)
    answer: dict[str, Any] = {
        "num_partitions": partitions,
        "replication_factor": max(factor, 1),
        "configs": [
            {
                "name": name,
                "value": configs.get(name, broker.settings.topic_default(setting)),
                "read_only": False,
                "config_source": 1 if name in configs else 5,
                "is_sensitive": False,
            }
            for name, setting in TOPIC.items()
        ],
    }
    if not validate_only:
        answer["topic_id"] = broker.topics.create(wanted.name, partitions, configs, max(factor, 1)).id
    return answer


def delete_topics(broker: Any, request: Any, context: Context) -> Answer:
    if context.api_version >= 6:
        wanted = [(topic.name, topic.topic_id) for topic in request.topics]
    else:
        wanted = [(name, None) for name in request.topic_names]
    answers = []
    for name, topic_id in wanted:
        topic = broker.topics.get(name) if name is not None else broker.topics.by_id(topic_id)
        code = NONE if topic else UNKNOWN_TOPIC_OR_PARTITION if name is not None else UNKNOWN_TOPIC_ID
        message = None
        if topic is not None:
            try:
                broker.topics.delete(topic)
                broker.groups.forget_topic(topic.name)
            except KafkaError as exc:
                code, message = exc.code, exc.message
        answers.append(
            {
                "name": name if topic is None else topic.name,
                "topic_id": topic.id if topic is not None else topic_id or UUID(int=0),
                "error_code": code,
                "error_message": message,
            }
        )
    return {"responses": answers}


def create_partitions(broker: Any, request: Any, context: Context) -> Answer:
    answers = []
    for wanted in request.topics:
        answer: dict[str, Any] = {"name": wanted.name, "error_code": NONE, "error_message": None}
        topic = broker.topics.get(wanted.name)
        if topic is None:
            answer.update(error_code=UNKNOWN_TOPIC_OR_PARTITION, error_message="The topic does not exist.")
        elif wanted.count <= len(topic.partitions):
            answer.update(
                error_code=INVALID_PARTITIONS,
                error_message=f"Topic currently has {len(topic.partitions)} partitions, "
                f"which is higher than the requested {wanted.count}.",
            )
        elif not request.validate_only:
            try:
                broker.topics.add_partitions(topic, wanted.count)
            except KafkaError as exc:
                answer.update(error_code=exc.code, error_message=exc.message)
        answers.append(answer)
    return {"results": answers}


APIS = (
    Api(19, 2, 7, create_topics),
    Api(20, 1, 6, delete_topics),
    Api(37, 0, 3, create_partitions),
)
