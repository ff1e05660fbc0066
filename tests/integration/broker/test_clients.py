"""What one client library produces every other one consumes, in a group that goes on where it stopped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer

from syncline.broker import BrokerThread
from tests.integration.broker.consumers import DEADLINE_S, new_topic
from tests.servers import missing

Record = tuple[bytes, bytes]
"""Key and value."""

RECORDS: list[Record] = [(f"k{number % 7}".encode(), f"value {number} ü".encode()) for number in range(60)]
PARTITIONS = 3
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

pytestmark = pytest.mark.filterwarnings("ignore:.*_text is deprecated:DeprecationWarning")  # kafka-python's own import


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


def kcat(*arguments: str, text: str = "") -> str:
    """What kcat prints."""
    program = shutil.which("kcat")
    if program is None:
        missing("no kcat: install kcat")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- producing: bootstrap, topic, codec, records ---------------------------------------------


def confluent_produces(bootstrap: str, topic: str, codec: str, records: list[Record]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "compression.codec": codec, "enable.idempotence": True})
    for key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(DEADLINE_S) == 0


def kafka_python_produces(bootstrap: str, topic: str, codec: str, records: list[Record]) -> None:
    from kafka import KafkaProducer

    compression = None if codec == "none" else codec
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=compression, acks="all")
    sent = [producer.send(topic, value, key) for key, value in records]
    producer.flush(DEADLINE_S)
    assert all(future.succeeded() for future in sent)
    producer.close()


def aiokafka_produces(bootstrap: str, topic: str, codec: str, records: list[Record]) -> None:
    async def produce() -> None:
        compression = None if codec == "none" else codec
        async with AIOKafkaProducer(
            bootstrap_servers=bootstrap, compression_type=compression, enable_idempotence=True
        ) as producer:
            await asyncio.gather(*[await producer.send(topic, value, key) for key, value in records])

    asyncio.run(produce())


def kcat_produces(bootstrap: str, topic: str, codec: str, records: list[Record]) -> None:
    lines = "".join(f"{key.decode()}:{value.decode()}\n" for key, value in records)
    kcat("-P", "-b", bootstrap, "-t", topic, "-K", ":", "-z", codec, text=lines)


# -- consuming in a group: bootstrap, topic, group, how many ---------------------------------


def confluent_consumes(bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    with contextlib.closing(consumer):
        found: list[Record] = []
        while len(found) < count:
            message = consumer.poll(DEADLINE_S)
            assert message is not None
            assert message.error() is None, message.error()
            found.append((message.key() or b"", message.value() or b""))
        return found


def kafka_python_consumes(bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
    from kafka import KafkaConsumer

    consumer: Any = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        consumer_timeout_ms=DEADLINE_S * 1000,
    )
    with contextlib.closing(consumer):
        found = [(record.key, record.value) for record in itertools.islice(consumer, count)]
        consumer.commit()
        return found


def aiokafka_consumes(bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
    async def consume() -> list[Record]:
        found: list[Record] = []
        async with (
            asyncio.timeout(DEADLINE_S),
            AIOKafkaConsumer(
                topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest"
            ) as consumer,
        ):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [(record.key, record.value) for record in records]
        return found

    return asyncio.run(consume())


def kcat_consumes(bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
    lines = kcat(
        *("-b", bootstrap, "-G", group, "-X", "auto.offset.reset=earliest", "-c", str(count), "-f", "%k:%s\n", topic)
    )
    pairs = [line.partition(":") for line in lines.splitlines()]
    return [(key.encode(), value.encode()) for key, _, value in pairs]


PRODUCERS: dict[str, Callable[[str, str, str, list[Record]], None]] = {
    "confluent-kafka": confluent_produces,
    "kafka-python": kafka_python_produces,
    "aiokafka": aiokafka_produces,
    "kcat": kcat_produces,
}
CONSUMERS: dict[str, Callable[[str, str, str, int], list[Record]]] = {
    "confluent-kafka": confluent_consumes,
    "kafka-python": kafka_python_consumes,
    "aiokafka": aiokafka_consumes,
    "kcat": kcat_consumes,
}


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("producer", PRODUCERS)
def test_what_one_client_produces_a_group_of_another_consumes(bootstrap: str, producer: str, consumer: str) -> None:
    topic = new_topic(bootstrap, PARTITIONS)
    first, second = RECORDS[:40], RECORDS[40:]
    PRODUCERS[producer](bootstrap, topic, "none", first)
    assert sorted(CONSUMERS[consumer](bootstrap, topic, f"g-{topic}", len(first))) == sorted(first)
    PRODUCERS[producer](bootstrap, topic, "none", second)
    # The group goes on behind what its last member committed.
    assert sorted(CONSUMERS[consumer](bootstrap, topic, f"g-{topic}", len(second))) == sorted(second)


@pytest.mark.parametrize(
    ("producer", "codec"),
    # kafka-python asks for a package of its own for each of the others.
    [(producer, codec) for producer in PRODUCERS for codec in CODECS[: 2 if producer == "kafka-python" else None]],
)
def test_every_codec_of_every_client_is_readable(bootstrap: str, producer: str, codec: str) -> None:
    topic = new_topic(bootstrap, PARTITIONS)
    PRODUCERS[producer](bootstrap, topic, codec, RECORDS)
    assert sorted(confluent_consumes(bootstrap, topic, f"g-{topic}", len(RECORDS))) == sorted(RECORDS)
