"""ApiVersions, Metadata, DescribeCluster: what is here and how to talk to it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from syncline.broker.errors import (
    INVALID_TOPIC_EXCEPTION,
    NONE,
    UNKNOWN_TOPIC_ID,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.features import UPGRADE
from syncline.broker.topics import Topic
from syncline.broker.wire import Answer, Api, Context

NODE_ID = 1
NO_AUTHORIZED_OPERATIONS = -2147483648


def api_versions(broker: Any, request: Any, context: Context) -> Answer:
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


def metadata(broker: Any, request: Any, context: Context) -> Answer:
    asked = request.topics
    if asked is None or (not asked and context.api_version == 0):
        topics = [_described(topic) for topic in broker.topics]
    else:
        may_create = getattr(request, "allow_auto_topic_creation", True)
        topics = [_one(broker, wanted, may_create, context) for wanted in asked]
    return {
        "brokers": [{"node_id": NODE_ID, "host": context.address[0], "port": context.address[1], "rack": None}],
        "cluster_id": broker.cluster_id,
        "controller_id": NODE_ID,
        "topics": topics,
        "cluster_authorized_operations": NO_AUTHORIZED_OPERATIONS,
    }


def _one(broker: Any, wanted: Any, may_create: bool, context: Context) -> dict[str, Any]:
    topic_id = getattr(wanted, "topic_id", None)
    if wanted.name is None:
        topic = broker.topics.by_id(topic_id) if topic_id else None
        if topic is None:
            # Versions 10 and 11 can be asked for an id, and cannot answer without a name.
            name = None if context.api_version >= 12 else ""
            return {"error_code": UNKNOWN_TOPIC_ID, "name": name, "topic_id": topic_id, "partitions": []}
        return _described(topic)
    topic = broker.topics.get(wanted.name)
    if topic is not None:
        return _described(topic)
    code = UNKNOWN_TOPIC_OR_PARTITION
    if may_create and broker.settings.flag("auto.create.topics.enable"):
        try:
            return _described(broker.topics.create(wanted.name, broker.settings.number("num.partitions"), {}))
        except KafkaError as exc:
            code = exc.code
    elif not wanted.name:
        code = INVALID_TOPIC_EXCEPTION
    return {"error_code": code, "name": wanted.name, "topic_id": UUID(int=0), "partitions": []}


def _described(topic: Topic) -> dict[str, Any]:
    return {
        "error_code": NONE,
        "name": topic.name,
        "topic_id": topic.id,
        "is_internal": topic.internal,
        "partitions": [
            {
                "error_code": NONE,
                "partition_index": number,
                "leader_id": NODE_ID,
                "leader_epoch": 0,
                "replica_nodes": [NODE_ID],
                "isr_nodes": [NODE_ID],
                "offline_replicas": [],
            }
            for number in range(len(topic.partitions))
        ],
        "topic_authorized_operations": NO_AUTHORIZED_OPERATIONS,
    }


def describe_cluster(broker: Any, request: Any, context: Context) -> Answer:
    return {
        "error_code": NONE,
        "error_message": None,
        "endpoint_type": 1,
        "cluster_id": broker.cluster_id,
        "controller_id": NODE_ID,
        "brokers": [{"broker_id": NODE_ID, "host": context.address[0], "port": context.address[1], "rack": None}],
        "cluster_authorized_operations": NO_AUTHORIZED_OPERATIONS,
    }


APIS = (
    Api(18, 0, 4, api_versions),
    Api(3, 0, 12, metadata),
    Api(60, 0, 1, describe_cluster),
    Api(57, 0, 2, update_features),
)
