"""Fetch: read record batches, waiting for new ones if there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from syncline.broker.errors import (
    NONE,
    NOT_LEADER_OR_FOLLOWER,
    OFFSET_OUT_OF_RANGE,
    UNKNOWN_LEADER_EPOCH,
    UNKNOWN_TOPIC_ID,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.fetch_sessions import LAST_EPOCH, NO_SESSION, Session, Wanted
from syncline.broker.log import PartitionLog
from syncline.broker.records import LEADER_EPOCH
from syncline.broker.segment import Stretch
from syncline.broker.wire import Answer, Api, Context

READ_COMMITTED: Final = 1
BY_ID: Final = 13
"""Version from which on topics are named by their ids (KIP-516)."""
REPLICA_STATE: Final = 15
"""Version from which on a replica is told in a structure of its own (KIP-903)."""
NO_ID: Final = UUID(int=0)

Found = list[tuple[Wanted, dict[str, Any]]]
"""What there is of each partition that is read."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all partitions of a request."""

    min_bytes: int
    max_bytes: int
    committed: bool
    replica: int
    session: Session | None
    whole: bool
    """The answer tells of all partitions, not of those with news alone."""
    by_id: bool


def fetch(broker: Any, request: Any, context: Context) -> Answer | Awaitable[Answer]:
    by_id = context.api_version >= BY_ID
    loop = asyncio.get_running_loop()
    try:
        session, wanted, whole = broker.fetch_sessions.open(
            getattr(request, "session_id", NO_SESSION),
            getattr(request, "session_epoch", LAST_EPOCH),
            _wanted(request.topics, by_id=by_id),
            _forgotten(getattr(request, "forgotten_topics_data", ()), by_id=by_id),
            by_id=by_id,
            now=loop.time(),
        )
    except KafkaError as exc:
        return {"error_code": exc.code, "session_id": NO_SESSION, "responses": []}
    in_state = context.api_version >= REPLICA_STATE
    terms = Terms(
        request.min_bytes,
        request.max_bytes,
        getattr(request, "isolation_level", 0) == READ_COMMITTED,
        request.replica_state.replica_id if in_state else request.replica_id,
        session,
        whole,
        by_id,
    )
    found, enough = _collect(broker, wanted, terms)
    wait = request.max_wait.total_seconds()
    if enough or wait <= 0 or not wanted:
        return _answer(broker, found, terms)
    waiter: asyncio.Future[None] = loop.create_future()
    logs = _logs(broker, wanted)
    for log in logs:
        log.watch(waiter)
    return _wait(broker, wanted, terms, loop.time() + wait, waiter, logs, found)


async def _wait(
    broker: Any,
    wanted: list[Wanted],
    terms: Terms,
    deadline: float,
    waiter: asyncio.Future[None],
    logs: list[PartitionLog],
    found: Found,
) -> Answer:
    """Look again whenever something was appended, until there is enough or the time is up.

    `waiter` is watched already, since records may come before this coroutine begins. When none come, what was `found`
    at first still holds: to look at all partitions again is most of what an idle consumer costs. Only records that
    were found and not read are looked for again.
    """
    loop = asyncio.get_running_loop()
    while True:
        timer = loop.call_at(deadline, _give_up, waiter)
        try:
            await waiter
        except TimeoutError:
            if any(isinstance(told["records"], Stretch) for _, told in found):
                found, _ = _collect(broker, wanted, terms)
            return _answer(broker, found, terms)
        finally:
            timer.cancel()
            for log in logs:
                log.unwatch(waiter)
        found, enough = _collect(broker, wanted, terms)
        if enough or loop.time() >= deadline:
            return _answer(broker, found, terms)
        waiter = loop.create_future()
        logs = _logs(broker, wanted)
        for log in logs:
            log.watch(waiter)


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def _wanted(topics: Any, *, by_id: bool) -> list[Wanted]:
    return [
        Wanted(
            _topic(topic, by_id=by_id),
            part.partition,
            part.fetch_offset,
            part.partition_max_bytes,
            getattr(part, "current_leader_epoch", -1),
            getattr(part, "last_fetched_epoch", -1),
        )
        for topic in topics
        for part in topic.partitions
    ]


def _forgotten(topics: Any, *, by_id: bool) -> Iterable[tuple[str | UUID, int]]:
    return [(_topic(topic, by_id=by_id), number) for topic in topics for number in topic.partitions]


def _topic(topic: Any, *, by_id: bool) -> str | UUID:
    return (topic.topic_id or NO_ID) if by_id else str(topic.topic)


def _logs(broker: Any, wanted: list[Wanted]) -> list[PartitionLog]:
    found = []
    for each in wanted:
        try:
            found.append(_log(broker, each))
        except KafkaError:
            continue  # told in the answer
    return found


def _log(broker: Any, wanted: Wanted) -> PartitionLog:
    """The log of a partition; KafkaError when there is none."""
    if isinstance(wanted.topic, UUID):
        topic = broker.topics.by_id(wanted.topic)
        if topic is None:
            raise KafkaError(UNKNOWN_TOPIC_ID if wanted.name is None else UNKNOWN_TOPIC_OR_PARTITION)
        wanted.name = topic.name
    else:
        wanted.name = wanted.topic
    log: PartitionLog = broker.topics.partition(wanted.name, wanted.partition)
    return log


def _collect(broker: Any, wanted: list[Wanted], terms: Terms) -> tuple[Found, bool]:
    """What there is of each partition as things stand, and whether the client should have it now.

    It should when it holds enough, or as much as it may, and when there is an error to hear of.
    """
    # Clients ask for 50 MiB. That much would be copied about in memory while everyone else waits; they ask again, and
    # begin with other partitions then (KIP-74).
    left = most = min(terms.max_bytes, broker.fetch_limit())
    at_once = False
    found = []
    for each in wanted:
        try:
            told = _read(_log(broker, each), each, left, terms, first=left == most)
        except KafkaError as exc:
            told, at_once = _failed(each.partition, exc.code), True
        else:
            readable = told["last_stable_offset"] if terms.committed else told["high_watermark"]
            if left < most and not told["records"] and each.offset < readable:
                at_once = True  # what is here no longer fits
            left -= len(told["records"])
        found.append((each, told))
    return found, at_once or most - left >= min(terms.min_bytes, max(most, 1))


def _answer(broker: Any, found: Found, terms: Terms) -> Answer:
    session = terms.session
    if session is not None:
        news = session.news(found)
        found = found if terms.whole else news
    topics: dict[str | UUID, list[dict[str, Any]]] = {}
    sizes: dict[str, int] = {}
    for wanted, told in found:
        topics.setdefault(wanted.topic, []).append(told)
        if told["records"] and wanted.name is not None:
            sizes[wanted.name] = sizes.get(wanted.name, 0) + len(told["records"])
    for name, size in sizes.items():
        broker.metrics.fetched(name, size)
    return {
        "error_code": NONE,
        "session_id": NO_SESSION if session is None else session.id,
        "responses": [
            {"topic_id" if terms.by_id else "topic": topic, "partitions": partitions}
            for topic, partitions in topics.items()
        ],
    }


def _read(log: PartitionLog, wanted: Wanted, left: int, terms: Terms, *, first: bool) -> dict[str, Any]:
    _check(wanted, terms)
    limit = log.last_stable_offset if terms.committed else log.end_offset
    most = min(wanted.max_bytes, left)
    data: bytes | Stretch = b""
    if most > 0 or first:
        # One batch is sent however small the limits, or a large record could never be read (KIP-74).
        data = log.find(wanted.offset, max(most, 0), limit, at_least_one=first)
    else:
        log.find(wanted.offset, 0, wanted.offset)
    aborted = None
    if terms.committed:
        end = limit if not data else min(limit, wanted.offset + len(data))
        aborted = [
            {"producer_id": a.producer_id, "first_offset": a.first_offset}
            for a in log.producers.aborted_between(wanted.offset, end)
        ]
    return {
        "partition_index": wanted.partition,
        "error_code": NONE,
        "high_watermark": log.end_offset,
        "last_stable_offset": log.last_stable_offset,
        "log_start_offset": log.start_offset,
        "aborted_transactions": aborted,
        "preferred_read_replica": -1,
        "records": data,
    }


def _check(wanted: Wanted, terms: Terms) -> None:
    """KafkaError when the client takes this broker for something else than it is."""
    if terms.replica >= 0:
        raise KafkaError(NOT_LEADER_OR_FOLLOWER)
    if wanted.leader_epoch > LEADER_EPOCH:
        raise KafkaError(UNKNOWN_LEADER_EPOCH)
    if wanted.last_epoch > LEADER_EPOCH:
        raise KafkaError(OFFSET_OUT_OF_RANGE)


def _failed(partition: int, code: int) -> dict[str, Any]:
    # librdkafka refuses null records in an error answer.
    return {
        "partition_index": partition,
        "error_code": code,
        "high_watermark": -1,
        "last_stable_offset": -1,
        "log_start_offset": -1,
        "aborted_transactions": [] if code in (UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID) else None,
        "preferred_read_replica": -1,
        "records": b"",
    }


APIS = (Api(1, 4, 18, fetch),)
