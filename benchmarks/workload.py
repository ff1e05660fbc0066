"""What is moved: the order of the tutorial as Kafka Connect's JSON envelope, about 560 bytes a record."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__

SCHEMA = {
    "type": "struct",
    "fields": [
        {"type": "int32", "optional": False, "field": "id"},
        {"type": "string", "optional": True, "field": "user_id"},
        {"type": "string", "optional": True, "field": "pwd"},
        {"type": "string", "optional": True, "field": "name"},
        {
            "type": "int64",
            "optional": True,
            "name": "org.apache.kafka.connect.data.Timestamp",
            "version": 1,
            "field": "created_at",
        },
    ],
    "optional": False,
    "name": "users",
}
_PREFIX = b'{"schema":' + json.dumps(SCHEMA, separators=(",", ":")).encode() + b',"payload":'


def envelope(number: int) -> bytes:
    """Record `number` of the stream."""
    payload = {
        "id": number,
        "user_id": f"user-{number % 1000:04}",
        "pwd": f"password-{number:09}",
        "name": f"Name of {number}",
        "created_at": 1_627_815_857_000 + number,
    }
    return _PREFIX + json.dumps(payload, separators=(",", ":")).encode() + b"}"


def create_topic(bootstrap: str, topic: str, partitions: int = 1) -> None:
    """Make `topic` and wait until it is there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(30)


def fill_topic(bootstrap: str, topic: str, records: int) -> float:
    """Produce `records` envelopes without keys; return the seconds it took."""
    create_topic(bootstrap, topic)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "batch.size": 500_000,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 262_144,
        }
    )
    began = time.monotonic()
    for number in range(1, records + 1):
        while True:
            try:
                producer.produce(topic, envelope(number))
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(120):
        raise RuntimeError("the broker did not take all records")
    return time.monotonic() - began


def end_offset(consumer: Consumer, topic: str) -> int:
    """How many records stand in partition 0 of `topic`; 0 while there is no such topic."""
    from confluent_kafka import KafkaException

    try:
        high: int = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)[1]
    except KafkaException:
        return 0
    return high


def rows(count: int, batch: int = 5_000) -> Iterator[list[tuple[int, str, str, str, str]]]:
    """Rows of the source table, in lists."""
    for start in range(1, count + 1, batch):
        yield [
            (
                number,
                f"user-{number % 1000:04}",
                f"password-{number:09}",
                f"Name of {number}",
                "2021-08-01 11:04:17",
            )
            for number in range(start, min(start + batch, count + 1))
        ]
