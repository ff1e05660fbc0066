"""Committed offsets: OffsetCommit, OffsetFetch, OffsetDelete, and TxnOffsetCommit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from syncline.broker.coordinator import Credentials
from syncline.broker.errors import (
    INVALID_GROUP_ID,
    NONE,
    OFFSET_METADATA_TOO_LARGE,
    UNKNOWN_TOPIC_OR_PARTITION,
    UNSTABLE_OFFSET_COMMIT,
    KafkaError,
)
from syncline.broker.group_records import Committed
from syncline.broker.handlers.claims import as_leader
from syncline.broker.offsets import Place
from syncline.broker.transactions import SECOND_VERSION
from syncline.broker.wire import Answer, Api, Context

NOTHING = Committed(-1)


def offset_commit(broker: Any, request: Any, context: Context) -> Answer:
    by = Credentials(
        member_id=request.member_id,
        instance_id=getattr(request, "group_instance_id", None),
        epoch=request.generation_id_or_member_epoch,
        version=context.api_version,
    )
    retention = getattr(request, "retention_time", None)
    codes, offsets = _checked(broker, request.topics, -1 if retention is None else _ms(retention))
    try:
        broker.groups.check_commit(request.group_id, by)
        broker.groups.commit(request.group_id, offsets)
    except KafkaError as exc:
        codes.update(dict.fromkeys(offsets, exc.code))
    return {"topics": _answers(codes)}


def txn_offset_commit(broker: Any, request: Any, context: Context) -> Answer:
    by = Credentials(
        member_id=getattr(request, "member_id", ""),
        instance_id=getattr(request, "group_instance_id", None),
        epoch=getattr(request, "generation_id", -1),
        version=context.api_version,
    )
    codes, offsets = _checked(broker, request.topics, -1)
    producer = (request.transactional_id, request.producer_id, request.producer_epoch)
    try:
        if not request.group_id:
            raise KafkaError(INVALID_GROUP_ID)
        if context.api_version >= 5:
            # Since KIP-890 committing offsets makes them part of the transaction; before, a request of its own did.
            broker.transactions.add_offsets(*producer, request.group_id, SECOND_VERSION)
        broker.transactions.check_offsets(*producer, request.group_id)
        broker.groups.check_commit(request.group_id, by, transactional=True)
        broker.groups.commit_pending(request.group_id, offsets, request.producer_id, request.producer_epoch)
    except KafkaError as exc:
        code = as_leader(exc.code, abortable=context.api_version >= 4)
        codes.update(dict.fromkeys(offsets, code))
    return {"topics": _answers(codes)}


def _checked(broker: Any, topics: Any, retention_ms: int) -> tuple[dict[Place, int], dict[Place, Committed]]:
    """An error code for every partition asked for, and the offsets of those without one."""
    now = broker.now_ms()
    limit = broker.settings.number("offset.metadata.max.bytes")
    expires = -1 if retention_ms < 0 else now + retention_ms
    codes: dict[Place, int] = {}
    offsets: dict[Place, Committed] = {}
    for topic in topics:
        known = broker.topics.get(topic.name)
        for part in topic.partitions:
            place = (topic.name, part.partition_index)
            metadata = part.committed_metadata or ""
            codes[place] = NONE
            if known is None or not 0 <= part.partition_index < len(known.partitions):
                codes[place] = UNKNOWN_TOPIC_OR_PARTITION
            elif len(metadata) > limit:
                codes[place] = OFFSET_METADATA_TOO_LARGE
            else:
                epoch = getattr(part, "committed_leader_epoch", -1)
                offsets[place] = Committed(part.committed_offset, epoch, metadata, now, expires)
    return codes, offsets


def _ms(delta: Any) -> int:
    milliseconds: int = round(delta.total_seconds() * 1000)
    return milliseconds


def _answers(codes: Mapping[Place, int]) -> list[dict[str, Any]]:
    return [
        {
            "name": topic,
            "partitions": [{"partition_index": number, "error_code": codes[topic, number]} for number in numbers],
        }
        for topic, numbers in _grouped(codes).items()
    ]


def _grouped(places: Iterable[Place]) -> dict[str, list[int]]:
    grouped: dict[str, list[int]] = {}
    for topic, number in places:
        grouped.setdefault(topic, []).append(number)
    return grouped


# -- reading ---------------------------------------------------------------------------------


def offset_fetch(broker: Any, request: Any, context: Context) -> Answer:
    stable = getattr(request, "require_stable", False)
    if context.api_version < 8:
        return _fetched(broker, request.group_id, request.topics, stable)
    return {"groups": [_fetched_as(broker, group, stable) for group in request.groups]}


def _fetched_as(broker: Any, asked: Any, stable: bool) -> dict[str, Any]:
    """One group of a request that may name the member that asks (v9 and later)."""
    member_id = getattr(asked, "member_id", None)
    epoch = getattr(asked, "member_epoch", -1)
    try:
        broker.groups.check_fetch(asked.group_id, member_id, epoch)
    except KafkaError as exc:
        return {"group_id": asked.group_id, "error_code": exc.code, "topics": []}
    return {"group_id": asked.group_id, **_fetched(broker, asked.group_id, asked.topics, stable)}


def _fetched(broker: Any, group_id: str, wanted: Any, stable: bool) -> dict[str, Any]:
    """Offsets of the partitions asked for, or of all there are (None)."""
    offsets = broker.groups.offsets
    if wanted is None:
        grouped = _grouped(sorted(offsets.of(group_id)))
    else:
        grouped = {topic.name: list(topic.partition_indexes) for topic in wanted}
    topics = [
        {"name": topic, "partitions": [_one(offsets, group_id, (topic, number), stable) for number in numbers]}
        for topic, numbers in grouped.items()
    ]
    return {"error_code": NONE, "topics": topics}


def _one(offsets: Any, group_id: str, place: Place, stable: bool) -> dict[str, Any]:
    unstable = stable and offsets.pending_in(group_id, place)
    found = NOTHING if unstable else offsets.get(group_id, place) or NOTHING
    return {
        "partition_index": place[1],
        "committed_offset": found.offset,
        "committed_leader_epoch": found.leader_epoch,
        "metadata": found.metadata,
        "error_code": UNSTABLE_OFFSET_COMMIT if unstable else NONE,
    }


# -- deleting --------------------------------------------------------------------------------


def offset_delete(broker: Any, request: Any, context: Context) -> Answer:
    places = [(topic.name, part.partition_index) for topic in request.topics for part in topic.partitions]
    known = [place for place in places if broker.topics.has(*place)]
    codes = dict.fromkeys(places, UNKNOWN_TOPIC_OR_PARTITION)
    try:
        codes.update(broker.groups.delete_offsets(request.group_id, known))
    except KafkaError as exc:
        return {"error_code": exc.code, "topics": []}
    return {"error_code": NONE, "topics": _answers(codes)}


APIS = (
    Api(8, 2, 9, offset_commit),
    Api(9, 1, 9, offset_fetch),
    Api(47, 0, 0, offset_delete),
    Api(28, 0, 5, txn_offset_commit),
)
