"""What a broker is asked to do: take records, give them out, pass one on at once."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

CHUNK = 1_000
"""Records handed to a producer at a time, all for one partition."""
WARM_UP = 50
DEADLINE_SECONDS = 300


@dataclass(frozen=True)
class Shape:
    """Records of one size, spread evenly over partitions and clients."""

    size: int
    partitions: int
    clients: int
    records: int

    def __str__(self) -> str:
        clients = "1 client" if self.clients == 1 else f"{self.clients} clients"
        partitions = "1 partition" if self.partitions == 1 else f"{self.partitions} partitions"
        return f"{self.size} B, {partitions}, {clients}"


def produce(bootstrap: str, topic: str, shape: Shape) -> float:
    """Records a second, from the first one handed over to the last acknowledgement (acks=all)."""
    config = {
        "bootstrap.servers": bootstrap,
        "log_level": 3,  # it reports that it forgot the acknowledgements nobody asked for
        "queue.buffering.max.messages": 2_000_000,
        "queue.buffering.max.kbytes": 1_048_576,
    }
    producers = [Producer(config) for _ in range(shape.clients)]
    for producer in producers:
        producer.list_topics(topic, 30)
    chunk = [{"value": bytes(range(32, 127)) * (shape.size // 95) + b"x" * (shape.size % 95)}] * CHUNK
    began = time.monotonic()
    for number in range(shape.records // CHUNK):
        producer = producers[number % shape.clients]
        while producer.produce_batch(topic, [dict(each) for each in chunk], number % shape.partitions) < CHUNK:
            raise RuntimeError("the producer's own queue is full")
    for producer in producers:
        if producer.flush(DEADLINE_SECONDS):
            raise RuntimeError("the broker did not take all records")
    return shape.records / (time.monotonic() - began)


def consume(bootstrap: str, topic: str, shape: Shape) -> float:
    """Records a second, of all clients together, from when they are told what to read to the last record.

    Each client reads its share of the partitions; where there are more clients than partitions, several read the same.
    A clock that began with the first record would count nothing of the answer it came in, and answers are not of the
    same size: Apache Kafka's hold up to 50 MiB here, all records of some runs.
    """
    shares = [
        [
            TopicPartition(topic, number, 0)
            for number in range(client % shape.partitions, shape.partitions, shape.clients)
        ]
        for client in range(shape.clients)
    ]
    config = {"bootstrap.servers": bootstrap, "group.id": "bench", "fetch.queue.backoff.ms": 5}
    consumers = [Consumer(config) for _ in shares]
    for consumer in consumers:
        consumer.list_topics(topic, 30)
    per_partition = shape.records // shape.partitions
    failed: list[str] = []

    def read(consumer: Consumer, share: list[TopicPartition]) -> None:
        consumer.assign(share)
        left = per_partition * len(share)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while left > 0 and time.monotonic() < deadline:
            left -= len(consumer.consume(min(left, 10_000), 0.1))
        if left:
            failed.append(f"{left} records of {topic} never came")

    threads = [threading.Thread(target=read, args=pair) for pair in zip(consumers, shares, strict=True)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    for consumer in consumers:
        consumer.close()
    if failed:
        raise RuntimeError("; ".join(failed))
    return sum(len(share) for share in shares) * per_partition / seconds


def latency(bootstrap: str, topic: str, samples: int) -> tuple[float, float]:
    """Median and 99th percentile of the milliseconds from produce to a waiting consumer, one record at a time."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    times = []
    for number in range(samples + WARM_UP):
        began = time.perf_counter()
        producer.produce(topic, b"x" * 100, partition=0)
        message: Message | None = consumer.poll(30)
        if message is None or message.error() is not None:
            raise RuntimeError("a record never came")
        if number >= WARM_UP:
            times.append((time.perf_counter() - began) * 1000)
        producer.poll(0)
    consumer.close()
    producer.flush(30)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def wait_until_ready(bootstrap: str) -> None:
    """Return when the broker has answered a request for metadata."""
    AdminClient(
        {"bootstrap.servers": bootstrap, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 10}
    ).list_topics(timeout=60)
