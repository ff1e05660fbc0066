"""Dead letters: records a sink could not take, with Kafka Connect's headers (spec/connect.md 5.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from syncline.errors import ConnectError, java_class_of, trace_of
from syncline.ids import TaskId
from syncline.kafka.client import Admin, Producer
from syncline.kafka.ports import KafkaRecord as Message
from syncline.worker.tolerance import ErrorMetrics, Failure

PREFIX: Final = "__connect.errors."
FLUSH_SECONDS: Final = 60


class DeadLetters:
    """Writes failed records to a topic; `flush` before their offsets are committed."""

    def __init__(
        self,
        task: TaskId,
        config: Mapping[str, str],
        producer: Callable[[], Producer],
        admin: Callable[[], Admin],
        metrics: Callable[[], ErrorMetrics],
    ) -> None:
        self.topic = config["errors.deadletterqueue.topic.name"]
        self._factor = int(config.get("errors.deadletterqueue.topic.replication.factor") or 3)
        self._headers = config.get("errors.deadletterqueue.context.headers.enable", "false").lower() == "true"
        self._task = task
        self._make_producer, self._make_admin = producer, admin
        self._producer: Producer | None = None
        self._metrics = metrics
        self._waiting = False

    def start(self) -> None:
        """Make sure the topic is there; ConnectError when it cannot be made."""
        admin = self._make_admin()
        if admin.topic(self.topic) is None:
            admin.create_topic(self.topic, partitions=1, replication_factor=self._factor, exists_ok=True)
        self._producer = self._make_producer()

    def report(self, failure: Failure) -> None:
        """Queue the letter: the record's own bytes, and why it is here."""
        if self._producer is None:
            raise ConnectError("dead letters were not started")
        message: Message = failure.record
        headers = list(message.headers or [])
        if self._headers:
            headers += [(PREFIX + name, value.encode()) for name, value in self._context(failure, message)]
        stamp = message.stamp[1]
        self._producer.send(
            self.topic, message.key, message.value, headers=headers, timestamp=stamp if stamp > 0 else None
        )
        self._waiting = True
        self._metrics().dead_letters += 1

    def _context(self, failure: Failure, message: Message) -> list[tuple[str, str]]:
        return [
            ("topic", message.topic),
            ("partition", str(message.partition)),
            ("offset", str(message.offset)),
            ("connector.name", self._task.connector),
            ("task.id", str(self._task.index)),
            ("stage", failure.stage),
            ("class.name", failure.class_name),
            ("exception.class.name", java_class_of(failure.error)),
            ("exception.message", str(failure.error)),
            ("exception.stacktrace", trace_of(failure.error)),
        ]

    def flush(self) -> None:
        """Wait until all letters are durable; ConnectError otherwise, so that no offset passes them."""
        if self._waiting and self._producer is not None:
            if not self._producer.flush(FLUSH_SECONDS):
                raise ConnectError(f"dead letters could not be written to {self.topic} within {FLUSH_SECONDS} s")
            self._waiting = False

    def stop(self) -> None:
        if self._producer is not None:
            self._producer.close()
