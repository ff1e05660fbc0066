"""Fetch waits for records, and not a moment longer than they take to come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from syncline.broker import Broker
from syncline.broker.errors import OFFSET_OUT_OF_RANGE
from syncline.broker.handlers.fetch import fetch
from syncline.broker.log import LOOKED_AT
from syncline.broker.wire import Context, encode

TOPIC = "orders"
CONTEXT = Context(api_key=1, api_version=12, client_id="test", host="127.0.0.1")
WAIT_SECONDS = 60


def request(partitions: int = 1, min_bytes: int = 1) -> Any:
    """A consumer's, from the beginning of each partition; it would wait for a minute."""
    places = [
        SimpleNamespace(partition=number, fetch_offset=0, partition_max_bytes=1 << 20) for number in range(partitions)
    ]
    return SimpleNamespace(
        max_wait=timedelta(seconds=WAIT_SECONDS),
        min_bytes=min_bytes,
        max_bytes=50 << 20,
        replica_id=-1,
        topics=[SimpleNamespace(topic=TOPIC, partitions=places)],
    )


def asking(broker: Broker) -> Awaitable[Any]:
    """A consumer at the end of the topic's only partition."""
    answer = fetch(broker, request(), CONTEXT)
    assert isinstance(answer, Awaitable)
    return answer


def records(answer: Any) -> bytes:
    found: bytes = answer["responses"][0]["partitions"][0]["records"]
    return found


async def test_records_that_come_while_waiting_are_sent_at_once(tmp_path: Path) -> None:
    async with Broker(tmp_path) as broker, asyncio.timeout(WAIT_SECONDS / 2):
        topic = broker.topics.create(TOPIC, 1, {})
        waiting = asyncio.ensure_future(asking(broker))
        await asyncio.sleep(0)
        topic.partitions[0].append_records([(None, b"v")], broker.now_ms())
        assert b"v" in records(await waiting)


async def test_records_that_come_before_the_waiting_has_begun_are_not_slept_over(tmp_path: Path) -> None:
    async with Broker(tmp_path) as broker, asyncio.timeout(WAIT_SECONDS / 2):
        topic = broker.topics.create(TOPIC, 1, {})
        waiting = asking(broker)
        topic.partitions[0].append_records([(None, b"v")], broker.now_ms())
        assert b"v" in records(await waiting)


async def test_an_answer_holds_no_more_than_the_broker_allows_and_that_is_enough(tmp_path: Path) -> None:
    settings = {"fetch.max.bytes": "5000"}
    async with Broker(tmp_path, settings=settings) as broker, asyncio.timeout(WAIT_SECONDS / 2):
        topic = broker.topics.create(TOPIC, 3, {})
        for partition in topic.partitions:
            for _ in range(3):
                partition.append_records([(None, bytes(1500))], broker.now_ms())
        answer: Any = fetch(broker, request(partitions=3, min_bytes=1 << 20), CONTEXT)
        if isinstance(answer, Awaitable):
            answer = await answer
        sizes = [len(part["records"]) for part in answer["responses"][0]["partitions"]]
        assert 0 < sum(sizes) <= 5000
        assert sizes[0] > 0 == sizes[1] == sizes[2]


def whole(answer: Any) -> bytes:
    """The answer as a client gets it."""
    return bytes(encode(1, CONTEXT.api_version, 1, answer))


async def test_large_answers_are_read_when_they_are_written(tmp_path: Path) -> None:
    async with Broker(tmp_path) as broker:
        topic = broker.topics.create(TOPIC, 3, {})
        for number, size in enumerate((LOOKED_AT * 4, 10, LOOKED_AT * 2)):
            topic.partitions[number].append_records([(None, bytes([number + 1]) * size)], broker.now_ms())
        answer: Any = fetch(broker, request(partitions=3), CONTEXT)
        frame = whole(answer)
        for partition in topic.partitions:
            assert partition.read(0, 1 << 20, partition.end_offset) in frame
        assert int.from_bytes(frame[:4], "big") == len(frame) - 4


async def test_records_found_before_the_waiting_are_looked_for_again_after_it(tmp_path: Path) -> None:
    async with Broker(tmp_path) as broker, asyncio.timeout(WAIT_SECONDS / 2):
        topic = broker.topics.create(TOPIC, 1, {})
        log = topic.partitions[0]
        log.append_records([(None, b"a" * LOOKED_AT * 2)], broker.now_ms())
        wanted = request(min_bytes=1 << 20)
        wanted.max_wait = timedelta(milliseconds=50)
        waiting = asyncio.ensure_future(cast("Awaitable[Any]", fetch(broker, wanted, CONTEXT)))
        await asyncio.sleep(0)
        log.delete_before(log.end_offset)
        answer = await waiting
        assert answer["responses"][0]["partitions"][0]["error_code"] == OFFSET_OUT_OF_RANGE
        assert whole(answer)
