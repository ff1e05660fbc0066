"""Dead letters: records a sink could not take, with Kafka Connect's headers (spec/connect.md 5.6)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from syncline.data import SourceRecord
from syncline.errors import ConnectError, RetriableError, java_class_of, trace_of
from syncline.ids import TaskId
from syncline.kafka.ports import Admin, Delivered, KafkaRecord, Producer
from syncline.options import Kind, load, option
from syncline.worker.metrics import ErrorMetrics
from syncline.worker.tolerance import Failure

log = logging.getLogger(__name__)

PREFIX: Final = "__connect.errors."
FLUSH_SECONDS: Final = 10
ROOM_SECONDS: Final = 30

TOPIC_NAME: Final = "errors.deadletterqueue.topic.name"
REPLICATION_FACTOR: Final = "errors.deadletterqueue.topic.replication.factor"


@dataclass(frozen=True, kw_only=True)
class DeadLetterSettings:
    """The dead-letter options of a sink connector."""

    topic: str = option(TOPIC_NAME, "Topic that failed records go to; empty for none.", default="")
    replication_factor: int = option(
        REPLICATION_FACTOR, "Replicas of the topic if it has to be made.", kind=Kind.SHORT, default="3"
    )
    context_headers: bool = option(
        "errors.deadletterqueue.context.headers.enable",
        "Whether headers say where a record came from and why it failed.",
        kind=Kind.BOOLEAN,
        default="false",
    )

    @classmethod
    def of(cls, config: Mapping[str, str]) -> DeadLetterSettings:
        """ConfigError when an option cannot be used."""
        return load(cls, config)


class DeadLetters:
    """Writes failed records to a topic; `flush` before their offsets are committed. Any thread may call."""

    def __init__(
        self,
        task: TaskId,
        settings: DeadLetterSettings,
        metrics: ErrorMetrics,
        *,
        producer: Callable[[], Producer],
        admin: Callable[[], Admin],
    ) -> None:
        """Make sure the topic is there; ConnectError when it cannot be made."""
        self._task = task
        self._settings = settings
        self._metrics = metrics
        self._failure: Exception | None = None
        try:
            self._make_topic(admin())
        except ConnectError as exc:
            raise ConnectError(
                f"Could not initialize dead letter queue with topic={settings.topic} and "
                f"{REPLICATION_FACTOR}={settings.replication_factor}: {exc}"
            ) from exc
        self._producer = producer()

    def _make_topic(self, admin: Admin) -> None:
        if admin.topic(self._settings.topic) is None:
            admin.create_topic(
                self._settings.topic,
                partitions=1,
                replication_factor=self._settings.replication_factor,
                exists_ok=True,
            )

    def report(self, failure: Failure) -> None:
        """Queue the letter: the record's own bytes, and why it is here."""
        record = failure.record
        if isinstance(record, SourceRecord):
            raise TypeError("only consumed records have a dead-letter topic")
        headers = list(record.headers or ())
        if self._settings.context_headers:
            headers += [
                (PREFIX + name, None if text is None else text.encode(errors="replace"))
                for name, text in self._context(failure, record)
            ]
        self._metrics.dead_letters += 1
        self._producer.send(
            self._settings.topic,
            record.key,
            record.value,
            headers=headers,
            timestamp=record.timestamp,
            on_delivery=self._delivered,
            wait=ROOM_SECONDS,
        )

    def _context(self, failure: Failure, record: KafkaRecord) -> list[tuple[str, str | None]]:
        return [
            ("topic", record.topic),
            ("partition", str(record.partition)),
            ("offset", str(record.offset)),
            ("connector.name", self._task.connector),
            ("task.id", str(self._task.index)),
            ("stage", failure.stage),
            ("class.name", failure.class_name),
            ("exception.class.name", java_class_of(failure.error)),
            ("exception.message", str(failure.error) or None),
            ("exception.stacktrace", trace_of(failure.error)),
        ]

    def _delivered(self, error: Exception | None, letter: Delivered) -> None:
        if error is not None:
            log.error("Could not produce message to dead letter queue. topic=%s", letter.topic(), exc_info=error)
            self._metrics.dead_letter_failures += 1
            self._failure = self._failure or error

    def flush(self) -> None:
        """Return when all letters are durable.

        RetriableError when that takes too long. ConnectError when one was refused: committing the offset of its
        record would lose it, so the task has to fail.
        """
        done = self._producer.flush(FLUSH_SECONDS) if self._producer.outstanding() else True
        if self._failure is not None:
            raise ConnectError(
                f"a record could not be written to the dead-letter topic {self._settings.topic}"
            ) from self._failure
        if not done:
            raise RetriableError(
                f"dead letters were not acknowledged within {FLUSH_SECONDS} s (topic {self._settings.topic})"
            )

    def close(self) -> None:
        self._producer.close()
