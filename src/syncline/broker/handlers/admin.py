"""CreateTopics, DeleteTopics, CreatePartitions."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from syncline.broker.data_folder import NODE_ID
from syncline.broker.errors import (
    INVALID_CONFIG,
    INVALID_PARTITIONS,
    INVALID_REPLICA_ASSIGNMENT,
    INVALID_REPLICATION_FACTOR,
    INVALID_REQUEST,
    NONE,
    UNKNOWN_TOPIC_ID,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.handlers.configs import topic_entries
from syncline.broker.topics import check_growth
from syncline.broker.wire import Answer, Api, Context

NO_ID = UUID(int=0)


# -- CreateTopics ----------------------------------------------------------------------------


def create_topics(broker: Any, request: Any, context: Context) -> Answer:
    names = [topic.name for topic in request.topics]
    answers: list[dict[str, Any]] = []
    for wanted in request.topics:
        answer: dict[str, Any] = {"name": wanted.name, "topic_id": NO_ID, "error_code": NONE, "error_message": None}
        if names.count(wanted.name) > 1:
            if any(other["name"] == wanted.name for other in answers):
                continue
            answer.update(_refused(KafkaError(INVALID_REQUEST, "Duplicate topic name.")))
        else:
            try:
                answer.update(_create(broker, wanted, validate_only=request.validate_only))
            except KafkaError as exc:
                answer.update(_refused(exc))
        answers.append(answer)
    return {"topics": answers}


def _refused(exc: KafkaError) -> dict[str, Any]:
    return {
        "error_code": exc.code,
        "error_message": exc.message,
        "num_partitions": -1,
        "replication_factor": -1,
        "configs": [],
    }


def _create(broker: Any, wanted: Any, *, validate_only: bool) -> dict[str, Any]:
    nothing = [config.name for config in wanted.configs if config.value is None]
    if nothing:
        raise KafkaError(INVALID_CONFIG, f"Null value not supported for topic configs: {', '.join(nothing)}")
    configs = {config.name: config.value for config in wanted.configs}
    broker.topics.check_new(wanted.name, configs)
    partitions, factor = _assigned(wanted) if wanted.assignments else _counted(broker, wanted)
    check_growth(partitions)
    answer: dict[str, Any] = {
        "num_partitions": partitions,
        "replication_factor": factor,
        # As they were given, blanks and all: only DescribeConfigs shows what they were understood to be.
        "configs": [
            {**entry, "value": configs.get(entry["name"], entry["value"])} for entry in topic_entries(broker, configs)
        ],
    }
    if validate_only:
        # Kafka shows an id here too, which nothing ever has.
        answer["topic_id"] = uuid4()
    else:
        answer["topic_id"] = broker.topics.create(wanted.name, partitions, configs, factor).id
    return answer


def _counted(broker: Any, wanted: Any) -> tuple[int, int]:
    """Partitions and replicas as asked for, or by default."""
    partitions, factor = wanted.num_partitions, wanted.replication_factor
    if factor == 0 or factor < -1:
        raise KafkaError(
            INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if partitions == 0 or partitions < -1:
        raise KafkaError(INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
    return (
        broker.settings.number("num.partitions") if partitions == -1 else partitions,
        broker.settings.number("default.replication.factor") if factor == -1 else factor,
    )


def _assigned(wanted: Any) -> tuple[int, int]:
    """Partitions and replicas of a list that says which broker has which."""
    if wanted.replication_factor != -1:
        raise KafkaError(
            INVALID_REQUEST, "A manual partition assignment was specified, but replication factor was not set to -1."
        )
    if wanted.num_partitions != -1:
        raise KafkaError(
            INVALID_REQUEST, "A manual partition assignment was specified, but numPartitions was not set to -1."
        )
    numbers: set[int] = set()
    for assignment in wanted.assignments:
        if assignment.partition_index in numbers:
            raise KafkaError(
                INVALID_REPLICA_ASSIGNMENT,
                f"Found multiple manual partition assignments for partition {assignment.partition_index}",
            )
        _check_replicas(assignment.broker_ids)
        numbers.add(assignment.partition_index)
    if numbers != set(range(len(numbers))):
        raise KafkaError(INVALID_REPLICA_ASSIGNMENT, "partitions should be a consecutive 0-based integer sequence")
    return len(numbers), 1


def _check_replicas(brokers: Any) -> None:
    """KafkaError unless a partition is given to the one broker there is."""
    if not brokers:
        raise KafkaError(INVALID_REPLICA_ASSIGNMENT, "The manual partition assignment includes an empty replica list.")
    for position, node in enumerate(sorted(brokers)):
        if node != NODE_ID:
            raise KafkaError(
                INVALID_REPLICA_ASSIGNMENT,
                f"The manual partition assignment includes broker {node}, but no such broker is registered.",
            )
        if position:
            raise KafkaError(
                INVALID_REPLICA_ASSIGNMENT,
                f"The manual partition assignment includes the broker {node} more than once.",
            )


# -- DeleteTopics ----------------------------------------------------------------------------


def delete_topics(broker: Any, request: Any, context: Context) -> Answer:
    if context.api_version >= 6:
        wanted = [(topic.name, topic.topic_id or NO_ID) for topic in request.topics]
    else:
        wanted = [(name, NO_ID) for name in request.topic_names]
    answers: list[dict[str, Any]] = []
    names = {name for name, _ in wanted}
    for name, topic_id in dict.fromkeys(wanted):
        known = broker.topics.by_id(topic_id) if name is None else None
        if known is not None and known.name in names:
            continue  # refused under its name
        answer: dict[str, Any] = {"name": name, "topic_id": topic_id, "error_code": NONE, "error_message": None}
        try:
            topic = _doomed(broker, name, topic_id, wanted)
            broker.delete(topic)
        except KafkaError as exc:
            answer.update(error_code=exc.code, error_message=exc.message)
            twin = broker.topics.get(name) if name is not None else None
            if twin is not None and (None, twin.id) in wanted:
                answer["topic_id"] = twin.id
        else:
            answer.update(name=topic.name, topic_id=topic.id)
        answers.append(answer)
    return {"responses": answers}


def _doomed(broker: Any, name: str | None, topic_id: UUID, wanted: list[tuple[str | None, UUID]]) -> Any:
    """The topic that is to go; KafkaError when that is not clear."""
    if name is None and topic_id == NO_ID:
        raise KafkaError(INVALID_REQUEST, "Neither topic name nor id were specified.")
    if name is not None and topic_id != NO_ID:
        raise KafkaError(INVALID_REQUEST, "You may not specify both topic name and topic id.")
    if wanted.count((name, topic_id)) > 1:
        raise KafkaError(INVALID_REQUEST, f"Duplicate topic {'id' if name is None else 'name'}.")
    if name is None:
        topic = broker.topics.by_id(topic_id)
        if topic is None:
            raise KafkaError(UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
    else:
        topic = broker.topics.get(name)
        if topic is None:
            raise KafkaError(UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.")
        if (None, topic.id) in wanted:
            raise KafkaError(INVALID_REQUEST, "The provided topic name maps to an ID that was already supplied.")
    return topic


# -- CreatePartitions ------------------------------------------------------------------------


def create_partitions(broker: Any, request: Any, context: Context) -> Answer:
    names = [wanted.name for wanted in request.topics]
    answers: list[dict[str, Any]] = []
    for wanted in request.topics:
        code, message = NONE, None
        try:
            if names.count(wanted.name) > 1:
                raise KafkaError(INVALID_REQUEST, "Duplicate topic name.")
            topic = broker.topics.get(wanted.name)
            if topic is None:
                raise KafkaError(UNKNOWN_TOPIC_OR_PARTITION)
            _check_growth(topic, wanted)
            if not request.validate_only:
                broker.topics.add_partitions(topic, wanted.count)
        except KafkaError as exc:
            code, message = exc.code, exc.message
        if all(answer["name"] != wanted.name for answer in answers):
            answers.append({"name": wanted.name, "error_code": code, "error_message": message})
    return {"results": answers}


def _check_growth(topic: Any, wanted: Any) -> None:
    present = len(topic.partitions)
    if wanted.count == present:
        raise KafkaError(INVALID_PARTITIONS, f"Topic already has {present} partition(s).")
    if wanted.count < present:
        raise KafkaError(
            INVALID_PARTITIONS,
            f"The topic {topic.name} currently has {present} partition(s); {wanted.count} would not be an increase.",
        )
    more = wanted.count - present
    check_growth(more)
    if wanted.assignments is None:
        return
    if len(wanted.assignments) != more:
        raise KafkaError(
            INVALID_REPLICA_ASSIGNMENT,
            f"Attempted to add {more} additional partition(s), "
            f"but only {len(wanted.assignments)} assignment(s) were specified.",
        )
    for assignment in wanted.assignments:
        _check_replicas(assignment.broker_ids)


APIS = (
    Api(19, 2, 7, create_topics),
    Api(20, 1, 6, delete_topics),
    Api(37, 0, 3, create_partitions),
)
