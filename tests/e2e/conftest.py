"""Programs that several end-to-end tests share."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from tests.processes import BrokerProgram, WorkerProgram
from tests.servers import wait_for

NOT_YET = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._PARTITION_EOF)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProgram]:
    with BrokerProgram.at(tmp_path_factory.mktemp("broker")) as program:
        yield program


@pytest.fixture(scope="module")
def worker(broker: BrokerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProgram]:
    with WorkerProgram.at(tmp_path_factory.mktemp("worker"), broker.bootstrap) as program:
        yield program


@pytest.fixture
def topic() -> str:
    """A topic name nobody used before."""
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def produce(broker: BrokerProgram) -> Callable[..., None]:
    """Produces values (and keys) to a topic and waits until they are acknowledged."""

    def send(topic: str, *values: str | bytes | None, key: str | bytes | None = None) -> None:
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for value in values:
            producer.produce(topic, value, key=key)
        assert producer.flush(30) == 0

    return send


@pytest.fixture
def read(broker: BrokerProgram) -> Callable[[str, int], list[Message]]:
    """Reads the first `count` records of partition 0 of a topic."""

    def fetch(topic: str, count: int) -> list[Message]:
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[Message] = []

        def enough() -> bool:
            message = consumer.poll(0.2)
            error = message.error() if message is not None else None
            if message is not None and error is None:
                found.append(message)
            # A topic that the connector has yet to make is worth waiting for.
            assert error is None or error.code() in NOT_YET, error
            return len(found) >= count

        try:
            wait_for(enough, f"{count} records in {topic}", 30)
        finally:
            consumer.close()
        return found

    return fetch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
