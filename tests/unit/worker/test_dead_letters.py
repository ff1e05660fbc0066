"""Dead letters, byte for byte as Kafka Connect writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from syncline.errors import ConnectError, DataError, RetriableError
from syncline.ids import ConnectorName, TaskId
from syncline.kafka.ports import KafkaRecord
from syncline.testing.builders import kafka_record
from syncline.testing.kafka import MemoryKafka
from syncline.worker.dlq import DeadLetters, DeadLetterSettings
from syncline.worker.metrics import ErrorMetrics
from syncline.worker.tolerance import Failure, Stage

TASK = TaskId(ConnectorName("X"), 3)
NOTHING: Final[Mapping[str, str]] = {}
OPTIONS = {
    "errors.deadletterqueue.topic.name": "d",
    "errors.deadletterqueue.topic.replication.factor": "1",
    "errors.deadletterqueue.context.headers.enable": "true",
}


def letters(
    kafka: MemoryKafka, changes: Mapping[str, str] = NOTHING, *, metrics: ErrorMetrics | None = None
) -> DeadLetters:
    settings = DeadLetterSettings.of({**OPTIONS, **changes})
    return DeadLetters(
        TASK,
        settings,
        metrics or ErrorMetrics(),
        producer=lambda: kafka.producer({}),
        admin=lambda: kafka.admin({}),
    )


def failure(record: KafkaRecord, error: Exception | None = None) -> Failure:
    return Failure(
        Stage.VALUE_CONVERTER, "org.apache.kafka.connect.json.JsonConverter", error or DataError("no JSON"), record
    )


def test_a_letter_has_the_records_own_bytes_and_says_why_it_is_here() -> None:
    kafka = MemoryKafka()
    record = kafka_record(b"v", key=b"k", topic="t", partition=2, offset=7, timestamp=5, headers=[("own", b"1")])
    made = letters(kafka)
    made.report(failure(record))
    made.flush()
    (letter,) = kafka.read("d")
    assert (letter.key, letter.value, letter.timestamp) == (b"k", b"v", 5)
    assert letter.headers is not None
    assert letter.headers[:9] == [
        ("own", b"1"),
        ("__connect.errors.topic", b"t"),
        ("__connect.errors.partition", b"2"),
        ("__connect.errors.offset", b"7"),
        ("__connect.errors.connector.name", b"X"),
        ("__connect.errors.task.id", b"3"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
        ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
    ]
    (message, trace) = letter.headers[9:]
    assert message == ("__connect.errors.exception.message", b"no JSON")
    assert trace[0] == "__connect.errors.exception.stacktrace"
    assert trace[1] is not None
    assert trace[1].startswith(b"org.apache.kafka.connect.errors.DataException: no JSON\n")


def test_context_headers_are_left_out_unless_asked_for() -> None:
    kafka = MemoryKafka()
    made = letters(kafka, {"errors.deadletterqueue.context.headers.enable": "false"})
    made.report(failure(kafka_record(b"v")))
    made.flush()
    assert kafka.read("d")[0].headers is None


def test_an_error_without_a_text_has_a_null_message() -> None:
    kafka = MemoryKafka()
    made = letters(kafka)
    made.report(failure(kafka_record(b"v"), DataError()))
    made.flush()
    assert dict(kafka.read("d")[0].headers or ())["__connect.errors.exception.message"] is None


def test_a_record_without_timestamp_gets_the_time_of_its_letter() -> None:
    kafka = MemoryKafka()
    made = letters(kafka)
    made.report(failure(KafkaRecord("t", 0, 0, (0, -1), None, None, None)))
    made.flush()
    (letter,) = kafka.read("d")
    assert (letter.key, letter.value) == (None, None)
    assert letter.timestamp is not None
    assert letter.timestamp > 0


def test_the_topic_is_made_with_one_partition() -> None:
    kafka = MemoryKafka(auto_create=0)
    letters(kafka)
    facts = kafka.admin({}).topic("d")
    assert facts is not None
    assert (facts.partitions, facts.replication_factor) == (1, 1)


def test_a_topic_that_is_there_is_taken_as_it_is() -> None:
    kafka = MemoryKafka()
    kafka.admin({}).create_topic("d", partitions=4)
    letters(kafka, {"errors.deadletterqueue.topic.replication.factor": "3"})
    facts = kafka.admin({}).topic("d")
    assert facts is not None
    assert facts.partitions == 4


def test_a_topic_that_cannot_be_made_is_said_with_the_option() -> None:
    kafka = MemoryKafka()
    kafka.refuse_topics = ConnectError("INVALID_REPLICATION_FACTOR: 3 replicas on one broker")
    with pytest.raises(ConnectError) as caught:
        letters(kafka, {"errors.deadletterqueue.topic.replication.factor": "3"})
    assert str(caught.value).startswith(
        "Could not initialize dead letter queue with topic=d and errors.deadletterqueue.topic.replication.factor=3"
    )


def test_letters_that_are_not_acknowledged_in_time_are_waited_for_again() -> None:
    kafka = MemoryKafka()
    made = letters(kafka)
    kafka.held = True
    made.report(failure(kafka_record(b"v")))
    with pytest.raises(RetriableError, match="topic d"):
        made.flush()
    kafka.held = False
    made.flush()
    assert kafka.values("d") == [b"v"]


def test_a_refused_letter_is_an_error_for_good() -> None:
    kafka = MemoryKafka()
    kafka.refuse_records = lambda topic, value: ConnectError("too large")
    metrics = ErrorMetrics()
    made = letters(kafka, metrics=metrics)
    made.report(failure(kafka_record(b"v")))
    for _ in range(2):
        with pytest.raises(ConnectError, match="dead-letter topic d"):
            made.flush()
    assert (metrics.dead_letters, metrics.dead_letter_failures) == (1, 1)
