"""Groups and their committed offsets: join to delete, commit and fetch."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from syncline.broker.errors import (
    INVALID_GROUP_ID,
    NONE,
    OFFSET_METADATA_TOO_LARGE,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.groups import Group, Joining, MemberIdRequired
from syncline.broker.handlers.metadata import NO_AUTHORIZED_OPERATIONS, NODE_ID
from syncline.broker.offsets import Committed, Place
from syncline.broker.wire import Answer, Api, Context

UNSTABLE_OFFSET_COMMIT = 88


def find_coordinator(broker: Any, request: Any, context: Context) -> Answer:
    here = {"node_id": NODE_ID, "host": broker.advertised_host, "port": broker.port, "error_code": NONE}
    if context.api_version < 4:
        return {**here, "error_message": None}
    return {"coordinators": [{"key": key, "error_message": None, **here} for key in request.coordinator_keys]}


def join_group(broker: Any, request: Any, context: Context) -> Awaitable[Answer]:
    session = _ms(request.session_timeout)
    joining = Joining(
        member_id=request.member_id,
        instance_id=getattr(request, "group_instance_id", None),
        client_id=context.client_id,
        host=f"/{context.host}",
        session_ms=session,
        rebalance_ms=_ms(getattr(request, "rebalance_timeout", request.session_timeout)) or session,
        protocol_type=request.protocol_type,
        protocols=[(protocol.name, bytes(protocol.metadata)) for protocol in request.protocols],
        knows_member_id_required=context.api_version >= 4,
        knows_skip_assignment=context.api_version >= 9,
    )
    return _join(broker, request, context, joining)


async def _join(broker: Any, request: Any, context: Context, joining: Joining) -> Answer:
    try:
        return await broker.groups.join(request.group_id, joining)  # type: ignore[no-any-return]  # broker is opaque here
    except KafkaError as exc:
        member_id = exc.member_id if isinstance(exc, MemberIdRequired) else request.member_id
        return {
            "error_code": exc.code,
            "generation_id": -1,
            "protocol_type": None,
            "protocol_name": None if context.api_version >= 7 else "",
            "leader": "",
            "member_id": member_id,
            "members": [],
        }


def _ms(delta: Any) -> int:
    milliseconds: int = round(delta.total_seconds() * 1000)
    return milliseconds


async def sync_group(broker: Any, request: Any, context: Context) -> Answer:
    try:
        group, assignment = await broker.groups.sync(
            request.group_id,
            request.member_id,
            getattr(request, "group_instance_id", None),
            request.generation_id,
            {entry.member_id: bytes(entry.assignment) for entry in request.assignments},
        )
    except KafkaError as exc:
        return {"error_code": exc.code, "protocol_type": None, "protocol_name": None, "assignment": b""}
    return {
        "error_code": NONE,
        "protocol_type": group.protocol_type,
        "protocol_name": group.protocol,
        "assignment": assignment,
    }


def heartbeat(broker: Any, request: Any, context: Context) -> Answer:
    try:
        broker.groups.heartbeat(
            request.group_id,
            request.member_id,
            getattr(request, "group_instance_id", None),
            request.generation_id,
        )
    except KafkaError as exc:
        return {"error_code": exc.code}
    return {"error_code": NONE}


def leave_group(broker: Any, request: Any, context: Context) -> Answer:
    if context.api_version < 3:
        return {"error_code": _leave(broker, request.group_id, request.member_id, None)}
    members = [
        {
            "member_id": member.member_id,
            "group_instance_id": member.group_instance_id,
            "error_code": _leave(broker, request.group_id, member.member_id, member.group_instance_id),
        }
        for member in request.members
    ]
    return {"error_code": NONE, "members": members}


def _leave(broker: Any, group_id: str, member_id: str, instance_id: str | None) -> int:
    try:
        broker.groups.leave(group_id, member_id, instance_id)
    except KafkaError as exc:
        return exc.code
    return NONE


def describe_groups(broker: Any, request: Any, context: Context) -> Answer:
    return {"groups": [_described(broker, group_id, context) for group_id in request.groups]}


def _described(broker: Any, group_id: str, context: Context) -> dict[str, Any]:
    group: Group | None = broker.groups.get(group_id)
    if group is None:
        return {
            # From v6 on a group that does not exist is an error (KIP-1043), before it is "Dead".
            "error_code": 69 if context.api_version >= 6 else NONE,
            "error_message": f"Group {group_id} not found.",
            "group_id": group_id,
            "group_state": "Dead",
            "protocol_type": "",
            "protocol_data": "",
            "members": [],
            "authorized_operations": NO_AUTHORIZED_OPERATIONS,
        }
    return {
        "error_code": NONE,
        "error_message": None,
        "group_id": group_id,
        "group_state": group.state.value,
        "protocol_type": group.protocol_type or ("consumer" if group.protocol_type is None else ""),
        "protocol_data": group.protocol or "",
        "members": [
            {
                "member_id": member.id,
                "group_instance_id": member.instance_id,
                "client_id": member.client_id,
                "client_host": member.host,
                "member_metadata": member.metadata(group.protocol),
                "member_assignment": member.assignment,
            }
            for member in group.members.values()
        ],
        "authorized_operations": NO_AUTHORIZED_OPERATIONS,
    }


def list_groups(broker: Any, request: Any, context: Context) -> Answer:
    states = {state.lower() for state in getattr(request, "states_filter", None) or ()}
    types = {kind.lower() for kind in getattr(request, "types_filter", None) or ()}
    groups = [
        {
            "group_id": group.id,
            "protocol_type": group.protocol_type or "",
            "group_state": group.state.value,
            "group_type": "classic",
        }
        for group in broker.groups.all()
        if (not states or group.state.value.lower() in states) and (not types or "classic" in types)
    ]
    return {"error_code": NONE, "groups": groups}


def delete_groups(broker: Any, request: Any, context: Context) -> Answer:
    results = []
    for group_id in request.groups_names:
        code = NONE
        try:
            broker.groups.delete(group_id, broker.now_ms())
        except KafkaError as exc:
            code = exc.code
        results.append({"group_id": group_id, "error_code": code})
    return {"results": results}


def offset_commit(broker: Any, request: Any, context: Context) -> Answer:
    refused = NONE
    try:
        if not request.group_id:
            raise KafkaError(INVALID_GROUP_ID)
        broker.groups.check_commit(
            request.group_id,
            request.member_id,
            getattr(request, "group_instance_id", None),
            request.generation_id_or_member_epoch,
        )
    except KafkaError as exc:
        refused = exc.code
    offsets, topics = gather(broker, request.topics, refused)
    broker.offsets.commit(request.group_id, offsets, broker.now_ms())
    return {"topics": topics}


def gather(broker: Any, topics: Any, refused: int) -> tuple[dict[Place, Committed], list[dict[str, Any]]]:
    """The offsets to commit, and the answer per partition."""
    now = broker.now_ms()
    limit = broker.settings.number("offset.metadata.max.bytes")
    offsets: dict[Place, Committed] = {}
    answers = []
    for topic in topics:
        known = broker.topics.get(topic.name)
        parts = []
        for part in topic.partitions:
            code = refused
            metadata = part.committed_metadata or ""
            if not code and (known is None or part.partition_index >= len(known.partitions)):
                code = UNKNOWN_TOPIC_OR_PARTITION
            if not code and len(metadata) > limit:
                code = OFFSET_METADATA_TOO_LARGE
            if not code:
                epoch = getattr(part, "committed_leader_epoch", -1)
                place = (topic.name, part.partition_index)
                offsets[place] = Committed(part.committed_offset, epoch, metadata, now)
            parts.append({"partition_index": part.partition_index, "error_code": code})
        answers.append({"name": topic.name, "partitions": parts})
    return offsets, answers


def offset_fetch(broker: Any, request: Any, context: Context) -> Answer:
    stable = getattr(request, "require_stable", False)
    if context.api_version >= 8:
        return {
            "groups": [
                {
                    "group_id": g.group_id,
                    "error_code": NONE,
                    "topics": _fetched(broker, g.group_id, g.topics, stable),
                }
                for g in request.groups
            ]
        }
    return {"error_code": NONE, "topics": _fetched(broker, request.group_id, request.topics, stable)}


def _fetched(broker: Any, group_id: str, wanted: Any, stable: bool) -> list[dict[str, Any]]:
    known: dict[Place, Committed] = broker.offsets.of(group_id)
    if wanted is None:
        by_topic: dict[str, list[int]] = {}
        for topic, number in known:
            by_topic.setdefault(topic, []).append(number)
        pairs = [(topic, sorted(numbers)) for topic, numbers in by_topic.items()]
    else:
        pairs = [(topic.name, list(topic.partition_indexes)) for topic in wanted]
    nothing = Committed(-1, -1, "", -1)
    answers = []
    for topic, numbers in pairs:
        parts = []
        for number in numbers:
            found = known.get((topic, number), nothing)
            code = NONE
            if stable and broker.offsets.pending_in(group_id, (topic, number)):
                code, found = UNSTABLE_OFFSET_COMMIT, nothing
            parts.append(
                {
                    "partition_index": number,
                    "committed_offset": found.offset,
                    "committed_leader_epoch": found.leader_epoch,
                    "metadata": found.metadata,
                    "error_code": code,
                }
            )
        answers.append({"name": topic, "partitions": parts})
    return answers


def offset_delete(broker: Any, request: Any, context: Context) -> Answer:
    group: Group | None = broker.groups.get(request.group_id)
    if group is None:
        return {"error_code": 69, "topics": []}
    if group.members and group.protocol_type != "consumer":
        return {"error_code": 68, "topics": []}
    topics = []
    for topic in request.topics:
        # Subscriptions are known to the members' assignor only; a live group is refused as a whole.
        code = 86 if group.members else NONE
        if not code:
            places = [(topic.name, part.partition_index) for part in topic.partitions]
            broker.offsets.forget(request.group_id, places, broker.now_ms())
        parts = [{"partition_index": part.partition_index, "error_code": code} for part in topic.partitions]
        topics.append({"name": topic.name, "partitions": parts})
    return {"error_code": NONE, "topics": topics}


APIS = (
    Api(10, 0, 6, find_coordinator),
    Api(11, 0, 9, join_group),
    Api(14, 0, 5, sync_group),
    Api(12, 0, 4, heartbeat),
    Api(13, 0, 5, leave_group),
    Api(15, 0, 6, describe_groups),
    Api(16, 0, 5, list_groups),
    Api(42, 0, 2, delete_groups),
    Api(8, 2, 9, offset_commit),
    Api(9, 1, 9, offset_fetch),
    Api(47, 0, 0, offset_delete),
)
