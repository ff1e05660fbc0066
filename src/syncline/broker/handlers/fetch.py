"""Fetch: read record batches, waiting for new ones if there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from syncline.broker.errors import NONE, UNKNOWN_TOPIC_ID, KafkaError
from syncline.broker.wire import Answer, Api, Context

READ_COMMITTED = 1


def fetch(broker: Any, request: Any, context: Context) -> Answer | Awaitable[Answer]:
    answer, enough = _collect(broker, request, context)
    wait = request.max_wait.total_seconds()
    if enough or wait <= 0:
        return _counted(broker, answer)
    return _wait(broker, request, context, wait)


async def _wait(broker: Any, request: Any, context: Context, seconds: float) -> Answer:
    """Look again whenever something was appended, until there is enough or the time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        # Looked again also at first: records may have come before this coroutine began, and wake nobody now.
        answer, enough = _collect(broker, request, context)
        if enough or loop.time() >= deadline:
            return _counted(broker, answer)
        waiter: asyncio.Future[None] = loop.create_future()
        logs = _logs(broker, request, context)
        for log in logs:
            log.watch(waiter)
        timer = loop.call_at(deadline, _resolve, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            for log in logs:
                log.unwatch(waiter)


def _counted(broker: Any, answer: dict[str, Any]) -> dict[str, Any]:
    for topic in answer["responses"]:
        size = sum([len(part["records"]) for part in topic["partitions"]])
        if size:
            broker.metrics.fetched(topic["topic"], size)
    return answer


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _name(broker: Any, topic: Any, context: Context) -> str | None:
    if context.api_version < 13:
        return str(topic.topic)
    found = broker.topics.by_id(topic.topic_id)
    return None if found is None else str(found.name)


def _logs(broker: Any, request: Any, context: Context) -> list[Any]:
    found = []
    for topic in request.topics:
        known = broker.topics.get(_name(broker, topic, context) or "")
        if known is not None:
            found += [
                known.partitions[p.partition] for p in topic.partitions if 0 <= p.partition < len(known.partitions)
            ]
    return found


def _collect(broker: Any, request: Any, context: Context) -> tuple[dict[str, Any], bool]:
    """The answer as things stand, and whether the client should have it now.

    It should when it holds enough, or as much as it may, and when there is an error to hear of.
    """
    # Clients ask for 50 MiB. That much would be copied about in memory while everyone else waits; they ask again, and
    # begin with other partitions then (KIP-74).
    left = most = min(request.max_bytes, broker.fetch_limit())
    committed = getattr(request, "isolation_level", 0) == READ_COMMITTED
    at_once, responses = False, []
    for topic in request.topics:
        name = _name(broker, topic, context)
        partitions = []
        for part in topic.partitions:
            try:
                if name is None:
                    raise KafkaError(UNKNOWN_TOPIC_ID)
                found = _read(broker, name, part, left, committed, first=left == most)
            except KafkaError as exc:
                partitions.append(_failed(part.partition, exc.code))
                at_once = True
                continue
            readable = found["last_stable_offset"] if committed else found["high_watermark"]
            if left < most and not found["records"] and part.fetch_offset < readable:
                at_once = True  # what is here no longer fits
            left -= len(found["records"])
            partitions.append(found)
        responses.append({"topic": name, "topic_id": getattr(topic, "topic_id", None), "partitions": partitions})
    answer = {"error_code": NONE, "session_id": 0, "responses": responses}
    return answer, at_once or most - left >= min(request.min_bytes, max(most, 1))


def _read(broker: Any, name: str, part: Any, left: int, committed: bool, *, first: bool) -> dict[str, Any]:
    log = broker.topics.partition(name, part.partition)
    limit = log.last_stable_offset if committed else log.end_offset
    wanted = min(part.partition_max_bytes, left)
    data = b""
    if wanted > 0 or first:
        # One batch is sent however small the limits, or a large record could never be read (KIP-74).
        data = log.read(part.fetch_offset, max(wanted, 0), limit, at_least_one=first)
    else:
        log.read(part.fetch_offset, 0, part.fetch_offset)
    aborted = None
    if committed:
        end = limit if not data else min(limit, part.fetch_offset + len(data))
        aborted = [
            {"producer_id": a.producer_id, "first_offset": a.first_offset}
            for a in log.producers.aborted_between(part.fetch_offset, end)
        ]
    return {
        "partition_index": part.partition,
        "error_code": NONE,
        "high_watermark": log.end_offset,
        "last_stable_offset": log.last_stable_offset,
        "log_start_offset": log.start_offset,
        "aborted_transactions": aborted,
        "preferred_read_replica": -1,
        "records": data,
    }


def _failed(partition: int, code: int) -> dict[str, Any]:
    # librdkafka refuses null records in an error answer.
    return {
        "partition_index": partition,
        "error_code": code,
        "high_watermark": -1,
        "last_stable_offset": -1,
        "log_start_offset": -1,
        "aborted_transactions": None,
        "preferred_read_replica": -1,
        "records": b"",
    }


APIS = (Api(1, 4, 17, fetch),)
