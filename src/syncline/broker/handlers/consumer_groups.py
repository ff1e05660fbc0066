"""ConsumerGroupHeartbeat and ConsumerGroupDescribe: the consumer protocol of KIP-848."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from syncline.broker.consumer_groups import JOIN, LEAVE_FOR_NOW, Answer, Beat, ConsumerGroup, ConsumerMember
from syncline.broker.errors import (
    GROUP_ID_NOT_FOUND,
    INVALID_REQUEST,
    NONE,
    UNSUPPORTED_ASSIGNOR,
    KafkaError,
)
from syncline.broker.group_records import Partitions, by_topic
from syncline.broker.handlers.groups import with_operations
from syncline.broker.wire import Answer as Body
from syncline.broker.wire import Api, Context

MEMBER_TYPE_CONSUMER = 1


def consumer_group_heartbeat(broker: Any, request: Any, context: Context) -> Body:
    beat = Beat(
        member_id=request.member_id,
        epoch=request.member_epoch,
        instance_id=request.instance_id,
        rack_id=request.rack_id,
        client_id=context.client_id,
        host=f"/{context.host}",
        rebalance_ms=round(request.rebalance_timeout.total_seconds() * 1000),
        topics=request.subscribed_topic_names,
        regex=getattr(request, "subscribed_topic_regex", None),
        assignor=request.server_assignor,
        owned=_owned(request.topic_partitions),
    )
    try:
        _check(broker, request.group_id, beat, context)
        answer: Answer = broker.groups.consumer_heartbeat(request.group_id, beat)
    except KafkaError as exc:
        return {"error_code": exc.code, "error_message": exc.message, "member_id": None, "assignment": None}
    return {
        "error_code": NONE,
        "error_message": None,
        "member_id": answer.member_id,
        "member_epoch": answer.epoch,
        "heartbeat_interval": broker.groups.config.consumer_limits(request.group_id).heartbeat_ms,
        "assignment": None if answer.assigned is None else {"topic_partitions": _told(answer.assigned)},
    }


def _owned(topics: Any) -> Partitions | None:
    if topics is None:
        return None
    return frozenset((topic.topic_id, number) for topic in topics for number in topic.partitions)


def _told(partitions: Partitions) -> list[dict[str, Any]]:
    return [{"topic_id": topic, "partitions": numbers} for topic, numbers in by_topic(partitions).items()]


def _check(broker: Any, group_id: str, beat: Beat, context: Context) -> None:
    """KafkaError for a heartbeat that cannot be meant."""
    joins = beat.epoch == JOIN
    rules = (
        (bool(group_id), "GroupId can't be empty."),
        (beat.instance_id != "", "InstanceId can't be empty."),
        (beat.rack_id != "", "RackId can't be empty."),
        (beat.epoch >= LEAVE_FOR_NOW, "MemberEpoch is invalid."),
        (bool(beat.member_id) or (joins and context.api_version == 0), "MemberId can't be empty."),
        (beat.epoch != LEAVE_FOR_NOW or beat.instance_id is not None, "InstanceId can't be null."),
        (not joins or beat.rebalance_ms >= 0, "RebalanceTimeoutMs must be provided in first request."),
        (not joins or beat.owned == frozenset(), "TopicPartitions must be empty when (re-)joining."),
        (
            not joins or beat.topics is not None or beat.regex is not None,
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
    )
    for holds, message in rules:
        if not holds:
            raise KafkaError(INVALID_REQUEST, message)
    assignors = broker.groups.config.consumer.assignors
    if beat.assignor is not None and beat.assignor not in assignors:
        raise KafkaError(
            UNSUPPORTED_ASSIGNOR,
            f"ServerAssignor {beat.assignor} is not supported. Supported assignors: {', '.join(assignors)}.",
        )


# -- describing ------------------------------------------------------------------------------


def consumer_group_describe(broker: Any, request: Any, context: Context) -> Body:
    described = [_described(broker, group_id) for group_id in request.group_ids]
    return {"groups": with_operations(described, request.include_authorized_operations)}


def _described(broker: Any, group_id: str) -> dict[str, Any]:
    group = broker.groups.get(group_id)
    if not isinstance(group, ConsumerGroup):
        missing = "not found" if group is None else "is not a consumer group"
        return {
            "error_code": GROUP_ID_NOT_FOUND,
            "error_message": f"Group {group_id} {missing}.",
            "group_id": group_id,
            "group_state": "",
            "assignor_name": "",
            "members": [],
        }
    snapshot = group.snapshot
    return {
        "error_code": NONE,
        "error_message": None,
        "group_id": group_id,
        "group_state": snapshot.state,
        "group_epoch": snapshot.epoch,
        "assignment_epoch": snapshot.target_epoch,
        "assignor_name": snapshot.assignor or group.limits.assignors[0],
        "members": [
            _member(broker, member, snapshot.targets.get(member.id, frozenset()))
            for member in snapshot.members.values()
        ],
    }


def _member(broker: Any, member: ConsumerMember, target: Partitions) -> dict[str, Any]:
    return {
        "member_id": member.id,
        "instance_id": member.instance_id,
        "rack_id": member.rack_id,
        "member_epoch": member.epoch,
        "client_id": member.client_id,
        "client_host": member.host,
        "subscribed_topic_names": sorted(member.topics),
        "subscribed_topic_regex": member.regex,
        "assignment": {"topic_partitions": _named(broker, member.assigned)},
        "target_assignment": {"topic_partitions": _named(broker, target)},
        "member_type": MEMBER_TYPE_CONSUMER,
    }


def _named(broker: Any, partitions: Partitions) -> list[dict[str, Any]]:
    """Partitions with the names of their topics; those of topics that are gone are left out."""
    topics: Iterable[tuple[UUID, Any, list[int]]] = (
        (topic_id, broker.topics.by_id(topic_id), numbers) for topic_id, numbers in by_topic(partitions).items()
    )
    return [
        {"topic_id": topic_id, "topic_name": topic.name, "partitions": numbers}
        for topic_id, topic, numbers in topics
        if topic is not None
    ]


APIS = (
    Api(68, 0, 1, consumer_group_heartbeat),
    Api(69, 0, 1, consumer_group_describe),
)
