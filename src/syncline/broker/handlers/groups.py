"""Groups: finding the coordinator, the classic protocol from join to leave, listing, describing, deleting."""

from __future__ import annotations

from typing import Any

from syncline.broker.consumer_groups import ConsumerGroup
from syncline.broker.coordinator import Group
from syncline.broker.data_folder import NODE_ID
from syncline.broker.errors import (
    GROUP_ID_NOT_FOUND,
    INCONSISTENT_GROUP_PROTOCOL,
    INVALID_REQUEST,
    MALFORMED,
    NONE,
    KafkaError,
)
from syncline.broker.groups import ClassicGroup, Joined, Joining, State, Synced
from syncline.broker.handlers.metadata import NO_AUTHORIZED_OPERATIONS
from syncline.broker.wire import Answer, Api, Context

GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
"""Everything one may do with a group where nothing is forbidden: read, delete, describe, and its configs."""
GROUP_KEY, TRANSACTION_KEY, SHARE_KEY = 0, 1, 2


def find_coordinator(broker: Any, request: Any, context: Context) -> Answer:
    kind = getattr(request, "key_type", GROUP_KEY)
    one = context.api_version < 4
    if kind in (GROUP_KEY, TRANSACTION_KEY):
        host, port = context.address
        message = "NONE" if one else ""
        here = {"node_id": NODE_ID, "host": host, "port": port, "error_code": NONE, "error_message": message}
    else:
        # Share groups have a third type of key, which this broker does not serve.
        message = MALFORMED if one or kind != SHARE_KEY else ""
        here = {"node_id": -1, "host": "", "port": -1, "error_code": INVALID_REQUEST, "error_message": message}
    return here if one else {"coordinators": [{"key": key, **here} for key in request.coordinator_keys]}


async def join_group(broker: Any, request: Any, context: Context) -> Answer:
    session_ms = _ms(request.session_timeout)
    asked = Joining(
        member_id=request.member_id,
        instance_id=getattr(request, "group_instance_id", None),
        client_id=context.client_id,
        host=f"/{context.host}",
        session_ms=session_ms,
        rebalance_ms=_ms(request.rebalance_timeout) if context.api_version >= 1 else session_ms,
        protocol_type=request.protocol_type,
        protocols=tuple((protocol.name, bytes(protocol.metadata)) for protocol in request.protocols),
        takes_member_id=context.api_version >= 4,
        skips_assignment=context.api_version >= 9,
    )
    try:
        joined: Joined = await broker.groups.join(request.group_id, asked)
    except KafkaError as exc:
        joined = Joined(error=exc.code, member_id=request.member_id)
    # The name of the protocol may be null from v7 on.
    return {
        "error_code": joined.error,
        "generation_id": joined.generation,
        "protocol_type": joined.protocol_type,
        "protocol_name": joined.protocol if context.api_version >= 7 else joined.protocol or "",
        "leader": joined.leader,
        "skip_assignment": joined.skip_assignment,
        "member_id": joined.member_id,
        "members": [
            {"member_id": peer.member_id, "group_instance_id": peer.instance_id, "metadata": peer.metadata}
            for peer in joined.peers
        ],
    }


def _ms(delta: Any) -> int:
    milliseconds: int = round(delta.total_seconds() * 1000)
    return milliseconds


async def sync_group(broker: Any, request: Any, context: Context) -> Answer:
    try:
        if context.api_version >= 5 and None in (request.protocol_type, request.protocol_name):
            raise KafkaError(INCONSISTENT_GROUP_PROTOCOL)
        synced: Synced = await broker.groups.sync(
            request.group_id,
            request.member_id,
            getattr(request, "group_instance_id", None),
            request.generation_id,
            {entry.member_id: bytes(entry.assignment) for entry in request.assignments},
            protocol_type=getattr(request, "protocol_type", None),
            protocol=getattr(request, "protocol_name", None),
        )
    except KafkaError as exc:
        synced = Synced(error=exc.code)
    return {
        "error_code": synced.error,
        "protocol_type": synced.protocol_type,
        "protocol_name": synced.protocol,
        "assignment": synced.assignment,
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
        leaving: list[tuple[str, str | None]] = [(request.member_id, None)]
    else:
        leaving = [(member.member_id, member.group_instance_id) for member in request.members]
    try:
        codes = broker.groups.leave(request.group_id, leaving)
    except KafkaError as exc:
        return {"error_code": exc.code, "members": []}
    if context.api_version < 3:
        return {"error_code": codes[0]}
    members = [
        {"member_id": member_id, "group_instance_id": instance_id, "error_code": code}
        for (member_id, instance_id), code in zip(leaving, codes, strict=True)
    ]
    return {"error_code": NONE, "members": members}


# -- looking at groups -----------------------------------------------------------------------


def describe_groups(broker: Any, request: Any, context: Context) -> Answer:
    described = [_described(broker.groups.get(group_id), group_id, context) for group_id in request.groups]
    return {"groups": with_operations(described, getattr(request, "include_authorized_operations", False))}


def with_operations(groups: list[dict[str, Any]], asked: bool) -> list[dict[str, Any]]:
    """Groups with what one may do with each, if that was asked and there is such a group."""
    return [
        {
            **group,
            "authorized_operations": GROUP_OPERATIONS
            if asked and not group["error_code"]
            else NO_AUTHORIZED_OPERATIONS,
        }
        for group in groups
    ]


def _described(group: Group | None, group_id: str, context: Context) -> dict[str, Any]:
    if not isinstance(group, ClassicGroup):
        missing = "not found" if group is None else "is not a classic group"
        return {
            # From v6 on a group that is not there is an error; before, it is "Dead" (KIP-1043).
            "error_code": GROUP_ID_NOT_FOUND if context.api_version >= 6 else NONE,
            "error_message": f"Group {group_id} {missing}.",
            "group_id": group_id,
            "group_state": State.DEAD.value,
            "protocol_type": "",
            "protocol_data": "",
            "members": [],
        }
    # Which of a member's metadata counts is only known once a protocol was chosen for all.
    stable = group.state is State.STABLE
    return {
        "error_code": NONE,
        "error_message": None,
        "group_id": group_id,
        "group_state": group.state.value,
        "protocol_type": group.protocol_type or "",
        "protocol_data": (group.protocol or "") if stable else "",
        "members": [
            {
                "member_id": member.id,
                "group_instance_id": member.instance_id,
                "client_id": member.client_id,
                "client_host": member.host,
                "member_metadata": member.metadata(group.protocol) if stable else b"",
                "member_assignment": member.assignment,
            }
            for member in group.members.values()
        ],
    }


def list_groups(broker: Any, request: Any, context: Context) -> Answer:
    states = {state.lower() for state in getattr(request, "states_filter", None) or ()}
    types = {kind.lower() for kind in getattr(request, "types_filter", None) or ()}
    listed = [_listed(group) for group in broker.groups.all()]
    return {
        "error_code": NONE,
        "groups": [
            group
            for group in listed
            if (not states or group["group_state"].lower() in states) and (not types or group["group_type"] in types)
        ],
    }


def _listed(group: Group) -> dict[str, str]:
    if isinstance(group, ConsumerGroup):
        state, kind = group.snapshot.state, "consumer"
    else:
        state, kind = group.state.value, "classic"
    return {
        "group_id": group.id,
        "protocol_type": group.protocol_type or "",
        "group_state": state,
        "group_type": kind,
    }


def delete_groups(broker: Any, request: Any, context: Context) -> Answer:
    results = []
    for group_id in request.groups_names:
        code = NONE
        try:
            broker.groups.delete(group_id)
        except KafkaError as exc:
            code = exc.code
        results.append({"group_id": group_id, "error_code": code})
    return {"results": results}


APIS = (
    Api(10, 0, 6, find_coordinator),
    Api(11, 0, 9, join_group),
    Api(14, 0, 5, sync_group),
    Api(12, 0, 4, heartbeat),
    Api(13, 0, 5, leave_group),
    Api(15, 0, 6, describe_groups),
    Api(16, 0, 5, list_groups),
    Api(42, 0, 2, delete_groups),
)
