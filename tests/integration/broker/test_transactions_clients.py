"""Transactional producers and `read_committed` consumers of three client libraries, each with each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError as AioKafkaError
from aiokafka.structs import TopicPartition as AioPlace
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from syncline.broker import BrokerThread
from tests.integration.broker.consumers import DEADLINE_S, new_topic

pytestmark = pytest.mark.filterwarnings("ignore:.*_text is deprecated:DeprecationWarning")  # kafka-python's own import


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


class Fenced(Exception):
    """Another producer of the same transactional id has taken over."""


@dataclass
class ConfluentProducer:
    """confluent-kafka, as `script` steps through it."""

    bootstrap: str
    id: str

    def __post_init__(self) -> None:
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": self.id})
        self.producer.init_transactions(DEADLINE_S)

    def write(self, topic: str, *values: str) -> None:
        self.producer.begin_transaction()
        for value in values:
            self.producer.produce(topic, value)
        self.producer.flush(DEADLINE_S)

    def send_offset(self, topic: str, group: str, offset: int) -> None:
        member = _unsubscribed(self.bootstrap, group)
        self.producer.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], member, DEADLINE_S)

    def commit(self) -> None:
        try:
            self.producer.commit_transaction(DEADLINE_S)
        except KafkaException as exc:
            raise (Fenced if exc.args[0].fatal() else exc) from exc

    def abort(self) -> None:
        self.producer.abort_transaction(DEADLINE_S)

    def close(self) -> None:
        """It closes itself."""


def _unsubscribed(bootstrap: str, group: str) -> Any:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    try:
        return consumer.consumer_group_metadata()
    finally:
        consumer.close()


class AioProducer:
    """aiokafka, on a loop of its own."""

    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._start(bootstrap, transactional_id))

    async def _start(self, bootstrap: str, transactional_id: str) -> None:
        self.producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
        await self.producer.start()

    def _run(self, work: Any) -> None:
        self._loop.run_until_complete(asyncio.wait_for(work, DEADLINE_S))

    def write(self, topic: str, *values: str) -> None:
        async def write() -> None:
            await self.producer.begin_transaction()
            for value in values:
                await self.producer.send_and_wait(topic, value.encode())

        self._fenced(write())

    def send_offset(self, topic: str, group: str, offset: int) -> None:
        self._run(self.producer.send_offsets_to_transaction({AioPlace(topic, 0): offset}, group))

    def commit(self) -> None:
        self._fenced(self.producer.commit_transaction())

    def _fenced(self, work: Any) -> None:
        try:
            self._run(work)
        except AioKafkaError as exc:
            raise (Fenced if "Fenced" in type(exc).__name__ else exc) from exc

    def abort(self) -> None:
        self._run(self.producer.abort_transaction())

    def close(self) -> None:
        with contextlib.suppress(AioKafkaError):  # of one that was fenced
            self._run(self.producer.stop())
        self._loop.close()


class KafkaPythonProducer:
    """kafka-python."""

    def __init__(self, bootstrap: str, transactional_id: str) -> None:
        from kafka import KafkaProducer

        self.producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id)
        self.producer.init_transactions()

    def write(self, topic: str, *values: str) -> None:
        self.producer.begin_transaction()
        for value in values:
            self.producer.send(topic, value.encode())
        self.producer.flush(DEADLINE_S)

    def send_offset(self, topic: str, group: str, offset: int) -> None:
        from kafka import TopicPartition as Place
        from kafka.structs import OffsetAndMetadata

        self.producer.send_offsets_to_transaction({Place(topic, 0): OffsetAndMetadata(offset, "", -1)}, group)

    def commit(self) -> None:
        from kafka.errors import KafkaError

        try:
            self.producer.commit_transaction()
        except KafkaError as exc:
            raise (Fenced if "Fenced" in f"{type(exc).__name__}{exc}" else exc) from exc

    def abort(self) -> None:
        self.producer.abort_transaction()

    def close(self) -> None:
        self.producer.close(timeout=DEADLINE_S)


def confluent_reads(bootstrap: str, topic: str, until: str) -> list[str]:
    config = {"group.id": str(uuid4()), "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    consumer = Consumer({"bootstrap.servers": bootstrap, "enable.auto.commit": False, **config})
    consumer.subscribe([topic])
    found: list[str] = []
    try:
        while until not in found:
            message = consumer.poll(DEADLINE_S)
            assert message is not None, f"only {found} came"
            error = message.error()
            assert error is None, error
            found.append((message.value() or b"").decode())
    finally:
        consumer.close()
    return found


def aiokafka_reads(bootstrap: str, topic: str, until: str) -> list[str]:
    async def read() -> list[str]:
        found: list[str] = []
        config: dict[str, Any] = {"auto_offset_reset": "earliest", "isolation_level": "read_committed"}
        async with (
            asyncio.timeout(DEADLINE_S),
            AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, **config) as consumer,
        ):
            while until not in found:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [record.value.decode() for record in records]
        return found

    return asyncio.run(read())


def kafka_python_reads(bootstrap: str, topic: str, until: str) -> list[str]:
    from kafka import KafkaConsumer

    config = {"auto_offset_reset": "earliest", "isolation_level": "read_committed", "group_id": None}
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, consumer_timeout_ms=DEADLINE_S * 1000, **config)
    found: list[str] = []
    for record in consumer:
        found.append(record.value.decode())
        if until in found:
            break
    consumer.close()
    assert until in found
    return found


PRODUCERS: dict[str, Callable[[str, str], Any]] = {
    "confluent-kafka": ConfluentProducer,
    "aiokafka": AioProducer,
    "kafka-python": KafkaPythonProducer,
}
CONSUMERS: dict[str, Callable[[str, str, str], list[str]]] = {
    "confluent-kafka": confluent_reads,
    "aiokafka": aiokafka_reads,
    "kafka-python": kafka_python_reads,
}


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("library", PRODUCERS)
def test_what_is_committed_is_read_and_what_is_aborted_is_not(bootstrap: str, library: str, consumer: str) -> None:
    topic = new_topic(bootstrap, 1)
    producer = PRODUCERS[library](bootstrap, topic)
    producer.write(topic, "a", "b")
    producer.commit()
    producer.write(topic, "never", "never")
    producer.abort()
    producer.write(topic, "c")
    producer.commit()
    producer.write(topic, "open")
    plain = Producer({"bootstrap.servers": bootstrap})
    plain.produce(topic, "end")
    assert plain.flush(DEADLINE_S) == 0
    producer.abort()
    producer.close()
    assert CONSUMERS[consumer](bootstrap, topic, "end") == ["a", "b", "c", "end"]


@pytest.mark.parametrize("library", PRODUCERS)
def test_offsets_count_when_their_transaction_is_committed(bootstrap: str, library: str) -> None:
    topic, group = new_topic(bootstrap, 1), str(uuid4())
    producer = PRODUCERS[library](bootstrap, topic)
    for offset, commits, expected in ((3, True, 3), (5, False, 3), (7, True, 7)):
        producer.write(topic, "v")
        producer.send_offset(topic, group, offset)
        if commits:
            producer.commit()
        else:
            producer.abort()
        assert committed(bootstrap, group, topic) == expected
    producer.close()


def committed(bootstrap: str, group: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_committed"})
    try:
        return consumer.committed([TopicPartition(topic, 0)], DEADLINE_S)[0].offset
    finally:
        consumer.close()


@pytest.mark.parametrize("library", PRODUCERS)
def test_a_producer_whose_id_another_takes_is_fenced(bootstrap: str, library: str) -> None:
    topic = new_topic(bootstrap, 1)
    first = PRODUCERS[library](bootstrap, topic)
    first.write(topic, "never")
    second = PRODUCERS[library](bootstrap, topic)
    with pytest.raises(Fenced):
        first.commit()
    second.write(topic, "a")
    second.commit()
    second.close()
    first.close()
    assert confluent_reads(bootstrap, topic, "a") == ["a"]
