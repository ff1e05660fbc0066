"""Records on several topics are committed together or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from syncline.broker import BrokerThread
from syncline.errors import DataError
from syncline.ids import TopicPartition
from syncline.kafka.client import Consumer
from syncline.kafka.ports import BEGINNING, KafkaRecord
from syncline.kit.errors import BrokerUnavailable
from syncline.kit.messages import ConnectRecord, EventTopic, Int32, Key, Topic, TransactionalProducer
from tests.servers import free_port, wait_for


class Row(ConnectRecord, name="rows"):
    id: Annotated[str, Key]
    value: Int32


class Event(msgspec.Struct):
    id: str


ROWS = Topic("rows", value=Row)
EVENTS = EventTopic(
    name="events",
    value=Event,
    key=lambda event: event.id,
    identity=lambda event: event.id,
    event_type="Event",
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path / "broker") as running:
        yield running


async def put(producer: TransactionalProducer, name: str, value: int = 1) -> None:
    async with producer.transaction() as records:
        records.add(EVENTS, Event(name), {"event_id": name})
        records.add(ROWS, Row(id=name, value=value))


def committed(bootstrap: str, last: str) -> dict[str, list[KafkaRecord]]:
    """What a reader of committed records sees on each topic, up to and with the event `last`."""
    topics = ("rows", "events")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "isolation.level": "read_committed"})
    consumer.assign({TopicPartition(name, 0): BEGINNING for name in topics})
    found: dict[str, list[KafkaRecord]] = {name: [] for name in topics}

    def there() -> bool:
        for record in consumer.read(1000, 0.1):
            found[record.topic].append(record)
        return all(any(last.encode() in (record.value or b"") for record in found[name]) for name in topics)

    try:
        wait_for(there, f"{last} on both topics", 30)
    finally:
        consumer.close()
    return found


def ids(records: list[KafkaRecord]) -> list[str]:
    return [(dict(record.headers or ())["event_id"] or b"").decode() for record in records]


async def test_a_transaction_puts_its_records_on_both_topics(broker: BrokerThread) -> None:
    async with TransactionalProducer(broker.bootstrap_servers, transactional_id="t") as producer:
        await put(producer, "a")
    found = await asyncio.to_thread(committed, broker.bootstrap_servers, "a")
    (row,), (event,) = found["rows"], found["events"]
    assert Row.from_envelope(row.value or b"") == Row(id="a", value=1)
    assert (event.key, event.value, event.headers) == (b"a", b'{"id":"a"}', [("event_id", b"a")])


async def test_many_callers_share_transactions_and_each_is_answered(broker: BrokerThread) -> None:
    names = [f"n-{number}" for number in range(300)]
    async with TransactionalProducer(broker.bootstrap_servers, transactional_id="t", delivery_ms=20_000) as producer:
        await asyncio.gather(*(put(producer, name) for name in names))
        await put(producer, "last")
    found = await asyncio.to_thread(committed, broker.bootstrap_servers, "last")
    assert len(found["rows"]) == 301
    assert sorted(ids(found["events"])) == sorted([*names, "last"])


async def test_an_error_inside_the_block_sends_nothing(broker: BrokerThread) -> None:
    async with TransactionalProducer(broker.bootstrap_servers, transactional_id="t") as producer:
        with pytest.raises(DataError, match=r"Row\.value"):
            await put(producer, "half", value=2**31)
        await put(producer, "last")
    found = await asyncio.to_thread(committed, broker.bootstrap_servers, "last")
    assert ids(found["events"]) == ["last"]


async def test_without_a_broker_every_caller_is_told_in_time() -> None:
    away = f"127.0.0.1:{free_port()}"
    async with TransactionalProducer(away, transactional_id="t", delivery_ms=500) as producer:
        results = await asyncio.gather(*(put(producer, f"{n}") for n in range(5)), return_exceptions=True)
        results += await asyncio.gather(put(producer, "later"), return_exceptions=True)
    assert [type(result) for result in results] == [BrokerUnavailable] * 6


async def test_a_broker_that_goes_and_comes_back_has_what_was_confirmed_and_nothing_else(tmp_path: Path) -> None:
    port = free_port()
    running = BrokerThread(tmp_path / "broker", port)
    await asyncio.to_thread(running.start)
    stored = ["first"]
    async with TransactionalProducer(f"127.0.0.1:{port}", transactional_id="t", delivery_ms=1000) as producer:
        await put(producer, "first")
        await asyncio.to_thread(running.stop)
        with pytest.raises(BrokerUnavailable):
            await put(producer, "lost")
        running = BrokerThread(tmp_path / "broker", port)
        await asyncio.to_thread(running.start)
        try:
            for number in range(60):
                try:
                    await put(producer, f"again-{number}")
                except BrokerUnavailable:
                    continue
                stored.append(f"again-{number}")
                break
            found = await asyncio.to_thread(committed, running.bootstrap_servers, stored[-1])
            assert ids(found["events"]) == stored
            assert len(found["rows"]) == 2
        finally:
            await asyncio.to_thread(running.stop)


async def test_who_is_shut_out_by_a_namesake_is_told_and_comes_back(broker: BrokerThread) -> None:
    async with TransactionalProducer(broker.bootstrap_servers, transactional_id="t") as first:
        await put(first, "a")
        async with TransactionalProducer(broker.bootstrap_servers, transactional_id="t") as second:
            await put(second, "b")
            with pytest.raises(BrokerUnavailable, match="fenced by a newer instance"):
                await put(first, "refused")
            await put(first, "c")
    found = await asyncio.to_thread(committed, broker.bootstrap_servers, "c")
    assert ids(found["events"]) == ["a", "b", "c"]


async def test_a_caller_that_gave_up_disturbs_nobody(broker: BrokerThread) -> None:
    async with TransactionalProducer(broker.bootstrap_servers, transactional_id="t") as producer:
        impatient = asyncio.create_task(put(producer, "a"))
        await asyncio.sleep(0)
        impatient.cancel()
        await put(producer, "b")
    found = await asyncio.to_thread(committed, broker.bootstrap_servers, "b")
    assert ids(found["events"])[-1] == "b"
