"""ApiVersions, Metadata, DescribeTopicPartitions, DescribeCluster: what is here and how to talk to it."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from syncline.broker.data_folder import NODE_ID
from syncline.broker.errors import (
    INVALID_REQUEST,
    MISMATCHED_ENDPOINT_TYPE,
    NONE,
    UNKNOWN_SERVER_ERROR,
    UNKNOWN_TOPIC_ID,
    UNKNOWN_TOPIC_OR_PARTITION,
    UNSUPPORTED_ENDPOINT_TYPE,
    KafkaError,
)
from syncline.broker.features import UPGRADE
from syncline.broker.topics import INTERNAL, Topic, check_topic_name
from syncline.broker.wire import Answer, Api, Context

NO_AUTHORIZED_OPERATIONS = -2147483648
TOPIC_OPERATIONS = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11
"""Everything one may do with a topic where nothing is forbidden."""
CLUSTER_OPERATIONS = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12
"""Everything one may do with a cluster where nothing is forbidden."""
PARTITIONS_PER_ANSWER = 2000
"""Kafka's `max.request.partition.size.limit`."""
ASKED_BY_ID = 12
"""Version of Metadata from which on topics may be asked for by their ids alone."""
NO_ID = UUID(int=0)
_CLIENT_WORD = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


def api_versions(broker: Any, request: Any, context: Context) -> Answer:
    """From version 3 on a client says what it is (KIP-511)."""
    if context.api_version >= 3:
        words = (request.client_software_name, request.client_software_version)
        if not all(_CLIENT_WORD.fullmatch(word) for word in words):
            return {"error_code": INVALID_REQUEST, "api_keys": []}
    found = broker.api_versions()
    if context.api_version < 4:
        # Older clients take a lowest level of 0 for an error (KAFKA-17011).
        found["supported_features"] = [one for one in found["supported_features"] if one["min_version"] > 0]
    return {"error_code": NONE, **found}


def update_features(broker: Any, request: Any, context: Context) -> Answer:
    wanted = {
        one.feature: (one.max_version_level, getattr(one, "upgrade_type", UPGRADE)) for one in request.feature_updates
    }
    try:
        broker.features.update(wanted, validate_only=getattr(request, "validate_only", False))
    except KafkaError as exc:
        return {"error_code": exc.code, "error_message": exc.message, "results": []}
    results = [{"feature": name, "error_code": NONE, "error_message": "NONE"} for name in wanted]
    return {"error_code": NONE, "error_message": None, "results": results}


# -- Metadata --------------------------------------------------------------------------------


def metadata(broker: Any, request: Any, context: Context) -> Answer:
    asked = request.topics
    refusal = _refusal(asked or (), context)
    if refusal is not None:
        return refusal
    operations = getattr(request, "include_topic_authorized_operations", False)
    if asked is None or (not asked and context.api_version == 0):
        topics = [_described(topic) for topic in broker.topics]
    else:
        may_create = getattr(request, "allow_auto_topic_creation", True)
        topics = [_one(broker, *wanted, may_create) for wanted in _distinct(broker, asked)]
    return {
        "brokers": [{"node_id": NODE_ID, "host": context.address[0], "port": context.address[1], "rack": None}],
        "cluster_id": broker.cluster_id,
        "controller_id": NODE_ID,
        "topics": [
            {**topic, "topic_authorized_operations": TOPIC_OPERATIONS if operations else NO_AUTHORIZED_OPERATIONS}
            for topic in topics
        ],
        "cluster_authorized_operations": CLUSTER_OPERATIONS
        if getattr(request, "include_cluster_authorized_operations", False)
        else NO_AUTHORIZED_OPERATIONS,
        "error_code": NONE,
    }


def _refusal(asked: Any, context: Context) -> Answer:
    """The answer to topics that are not named as they must be: no brokers, and every topic with the same error."""
    unnamed = any(each.name is None for each in asked)
    ids = [getattr(each, "topic_id", None) for each in asked]
    if context.api_version < ASKED_BY_ID and (unnamed or any(ids)):
        code = INVALID_REQUEST
    elif unnamed and not any(ids):
        code = UNKNOWN_SERVER_ERROR
    else:
        return None
    return {
        "brokers": [],
        "cluster_id": None,
        "controller_id": -1,
        "topics": [
            {
                **_missing(code, each.name or "", getattr(each, "topic_id", None) or NO_ID),
                "topic_authorized_operations": NO_AUTHORIZED_OPERATIONS,
            }
            for each in asked
        ],
        "cluster_authorized_operations": NO_AUTHORIZED_OPERATIONS,
        "error_code": code,
    }


def _distinct(broker: Any, asked: Any) -> list[tuple[str | None, UUID]]:
    """Names and ids without repetitions; once one is asked for by id, only ids count."""
    ids = [topic_id for each in asked if (topic_id := getattr(each, "topic_id", None))]
    if ids:
        return list(dict.fromkeys((None, topic_id) for topic_id in ids))
    return list(dict.fromkeys((each.name, NO_ID) for each in asked))


def _one(broker: Any, name: str | None, topic_id: UUID, may_create: bool) -> dict[str, Any]:
    if topic_id != NO_ID:
        known = broker.topics.by_id(topic_id)
        return _missing(UNKNOWN_TOPIC_ID, None, topic_id) if known is None else _described(known)
    if name is None:
        return _missing(UNKNOWN_SERVER_ERROR, "", NO_ID)
    topic = broker.topics.get(name)
    if topic is not None:
        return _described(topic)
    try:
        if may_create and broker.settings.flag("auto.create.topics.enable"):
            return _described(broker.topics.create(name, broker.settings.number("num.partitions"), {}))
        check_topic_name(name)
    except KafkaError as exc:
        return _missing(exc.code, name, NO_ID)
    return _missing(UNKNOWN_TOPIC_OR_PARTITION, name, NO_ID)


def _missing(code: int, name: str | None, topic_id: UUID) -> dict[str, Any]:
    internal = name in INTERNAL
    return {"error_code": code, "name": name, "topic_id": topic_id, "is_internal": internal, "partitions": []}


def _described(topic: Topic) -> dict[str, Any]:
    return {
        "error_code": NONE,
        "name": topic.name,
        "topic_id": topic.id,
        "is_internal": topic.internal,
        "partitions": [_partition(number) for number in range(len(topic.partitions))],
    }


def _partition(number: int) -> dict[str, Any]:
    return {
        "error_code": NONE,
        "partition_index": number,
        "leader_id": NODE_ID,
        "leader_epoch": 0,
        "replica_nodes": [NODE_ID],
        "isr_nodes": [NODE_ID],
        "eligible_leader_replicas": [],
        "last_known_elr": [],
        "offline_replicas": [],
    }


# -- DescribeTopicPartitions -----------------------------------------------------------------


def describe_topic_partitions(broker: Any, request: Any, context: Context) -> Answer:
    """Partitions in pages: the cursor names the first one of the next (KIP-966)."""
    cursor = request.cursor
    first, number = (cursor.topic_name, cursor.partition_index) if cursor is not None else ("", 0)
    names = sorted({topic.name for topic in request.topics} or {topic.name for topic in broker.topics})
    if cursor is not None and (number < 0 or first not in names):
        refused = [_missing(INVALID_REQUEST, name, NO_ID) for name in names]
        return {
            "topics": [{**topic, "topic_authorized_operations": NO_AUTHORIZED_OPERATIONS} for topic in refused],
            "next_cursor": None,
        }
    left = max(1, min(request.response_partition_limit, PARTITIONS_PER_ANSWER))
    topics: list[dict[str, Any]] = []
    following = None
    for name in (name for name in names if name >= first):
        topic = broker.topics.get(name)
        if topic is None:
            topics.append(_not_described(name))
            continue
        begin = number if name == first else 0
        if left == 0:
            following = {"topic_name": name, "partition_index": begin}
            break
        described = _described(topic)
        end = min(begin + left, len(topic.partitions))
        described["partitions"] = described["partitions"][begin:end]
        topics.append({**described, "topic_authorized_operations": TOPIC_OPERATIONS})
        left -= max(end - begin, 0)
        if end < len(topic.partitions):
            following = {"topic_name": name, "partition_index": end}
            break
    return {"topics": topics, "next_cursor": following}


def _not_described(name: str) -> dict[str, Any]:
    try:
        check_topic_name(name)
    except KafkaError:
        return {
            **_missing(UNKNOWN_SERVER_ERROR, name, NO_ID),
            "topic_authorized_operations": NO_AUTHORIZED_OPERATIONS,
        }
    return {**_missing(UNKNOWN_TOPIC_OR_PARTITION, name, NO_ID), "topic_authorized_operations": TOPIC_OPERATIONS}


# -- DescribeCluster -------------------------------------------------------------------------

BROKERS, CONTROLLERS = 1, 2


def describe_cluster(broker: Any, request: Any, context: Context) -> Answer:
    wanted = getattr(request, "endpoint_type", BROKERS)
    if wanted != BROKERS:
        return {
            "error_code": MISMATCHED_ENDPOINT_TYPE if wanted == CONTROLLERS else UNSUPPORTED_ENDPOINT_TYPE,
            "error_message": "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type "
            "CONTROLLER"
            if wanted == CONTROLLERS
            else f"Unsupported endpoint type {wanted}",
            "endpoint_type": BROKERS,
            "cluster_id": "",
            "controller_id": -1,
            "brokers": [],
            "cluster_authorized_operations": NO_AUTHORIZED_OPERATIONS,
        }
    here = {"broker_id": NODE_ID, "host": context.address[0], "port": context.address[1], "rack": None}
    return {
        "error_code": NONE,
        "error_message": None,
        "endpoint_type": BROKERS,
        "cluster_id": broker.cluster_id,
        "controller_id": NODE_ID,
        "brokers": [{**here, "is_fenced": False}],
        "cluster_authorized_operations": CLUSTER_OPERATIONS
        if request.include_cluster_authorized_operations
        else NO_AUTHORIZED_OPERATIONS,
    }


APIS = (
    Api(18, 0, 4, api_versions),
    Api(57, 0, 2, update_features),
    Api(3, 0, 13, metadata),
    Api(60, 0, 2, describe_cluster),
    Api(75, 0, 0, describe_topic_partitions),
)
