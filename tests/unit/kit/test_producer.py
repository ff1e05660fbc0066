"""Records are confirmed by a broker, or the sender is told within the time it chose."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest

from syncline.broker import BrokerThread
from syncline.errors import DataError
from syncline.ids import TopicPartition
from syncline.kafka.client import Consumer
from syncline.kafka.ports import BEGINNING, KafkaRecord
from syncline.kit.errors import BrokerUnavailable
from syncline.kit.messages import ConnectRecord, Delivery, Int32, Key, Producer, Topic
from tests.servers import free_port, wait_for


class Count(ConnectRecord, name="counts"):
    id: Annotated[str, Key]
    value: Int32


COUNTS = Topic("counts", value=Count)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path / "broker") as running:
        yield running


def records(bootstrap: str, count: int) -> list[KafkaRecord]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    consumer.assign({TopicPartition("counts", 0): BEGINNING})
    found: list[KafkaRecord] = []

    def enough() -> bool:
        found.extend(consumer.read(100, 0.1))
        return len(found) >= count

    try:
        wait_for(enough, f"{count} records")
    finally:
        consumer.close()
    return found


async def test_a_confirmed_record_stands_where_the_delivery_says(broker: BrokerThread) -> None:
    async with Producer(broker.bootstrap_servers) as producer:
        first = await producer.send(COUNTS, Count(id="a", value=1), headers={"event_id": "e-1"})
        second = await producer.send(COUNTS, Count(id="a", value=2))
    assert (first, second) == (Delivery("counts", 0, 0), Delivery("counts", 0, 1))
    found = await asyncio.to_thread(records, broker.bootstrap_servers, 2)
    assert [Count.from_envelope(record.value or b"").value for record in found] == [1, 2]
    assert found[0].key == b'{"schema":{"type":"string","optional":false},"payload":"a"}'
    assert found[0].headers == [("event_id", b"e-1")]


async def test_many_senders_at_once_each_get_their_own_delivery(broker: BrokerThread) -> None:
    async with Producer(broker.bootstrap_servers) as producer:
        sent = await asyncio.gather(*(producer.send(COUNTS, Count(id="a", value=n)) for n in range(200)))
    assert sorted(delivery.offset for delivery in sent) == list(range(200))


async def test_a_value_that_does_not_fit_sends_nothing(broker: BrokerThread) -> None:
    async with Producer(broker.bootstrap_servers) as producer:
        with pytest.raises(DataError, match=r"Count\.value: 2147483648 does not fit INT32"):
            await producer.send(COUNTS, Count(id="a", value=2**31))
        assert (await producer.send(COUNTS, Count(id="a", value=1))).offset == 0


async def test_without_a_broker_the_sender_is_told_and_the_next_one_too() -> None:
    async with Producer(f"127.0.0.1:{free_port()}", delivery_ms=300) as producer:
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match="counts was not confirmed"):
                await producer.send(COUNTS, Count(id="a", value=1))


async def test_a_producer_goes_on_when_the_broker_is_back(tmp_path: Path) -> None:
    port = free_port()
    async with Producer(f"127.0.0.1:{port}", delivery_ms=500) as producer:
        with pytest.raises(BrokerUnavailable):
            await producer.send(COUNTS, Count(id="a", value=1))
        running = BrokerThread(tmp_path / "broker", port)
        await asyncio.to_thread(running.start)
        try:
            delivery = None
            while delivery is None:
                try:
                    delivery = await producer.send(COUNTS, Count(id="a", value=2))
                except BrokerUnavailable:
                    continue
            found = await asyncio.to_thread(records, running.bootstrap_servers, 1)
            assert [Count.from_envelope(record.value or b"").value for record in found] == [2]
        finally:
            await asyncio.to_thread(running.stop)


async def test_a_sender_that_gave_up_disturbs_nobody(broker: BrokerThread) -> None:
    async with Producer(broker.bootstrap_servers) as producer:
        impatient = asyncio.create_task(producer.send(COUNTS, Count(id="a", value=1)))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await producer.send(COUNTS, Count(id="a", value=2))).offset == 1
