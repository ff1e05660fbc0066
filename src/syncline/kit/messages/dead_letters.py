"""Records a service could not take, set aside on `<topic>.<group>.dlt` with the reason in headers.

Key, value, timestamp and headers are the original's, byte for byte, so that a replay is the same event.
Added are (spec/shop.md, GAP-05), all as text:

    dlt-original-topic, -partition, -offset, -timestamp   where it stood; the timestamp in milliseconds
    dlt-group             who could not take it
    dlt-attempts          how often it was tried
    dlt-exception-class, dlt-exception-message, dlt-exception-trace
    dlt-first-failure     when it failed first, ISO 8601
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from syncline.errors import RetriableError
from syncline.kafka.ports import Delivered, Kafka, KafkaRecord

log = structlog.get_logger(__name__)

PREFIX: Final = "dlt-"
_SEND_SECONDS: Final = 5
_LONGEST_MESSAGE: Final = 1_000
_LONGEST_TRACE: Final = 4_000
# The original may have been as large as its topic allows, and the headers come on top.
_MAX_BYTES: Final = 16 << 20
_RETENTION_MS: Final = 30 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a record is given up."""

    error: BaseException
    attempts: int
    first: datetime


class DeadLetters:
    """Sends one group's dead letters; used by one thread."""

    def __init__(self, kafka: Kafka, properties: Mapping[str, str], group: str) -> None:
        self._kafka = kafka
        self._properties = dict(properties)
        self._group = group
        self._known: set[str] = set()
        self._producer = kafka.producer(
            {**properties, "acks": "all", "max.request.size": str(_MAX_BYTES), "linger.ms": "0"}
        )

    def topic_for(self, topic: str) -> str:
        """Where the dead letters of a topic go."""
        return f"{topic}.{self._group}.dlt"

    def send(self, record: KafkaRecord, failure: Failure) -> None:
        """Returns when the broker has the dead letter; ConnectError when it has not."""
        topic = self.topic_for(record.topic)
        self._ensure(topic)
        refused: list[Exception] = []

        def report(error: Exception | None, _: Delivered) -> None:
            if error is not None:
                refused.append(error)

        headers = [*(record.headers or ()), *self._about(record, failure)]
        self._producer.send(
            topic, record.key, record.value, timestamp=record.timestamp, headers=headers, on_delivery=report
        )
        if not self._producer.flush(_SEND_SECONDS):
            raise RetriableError(f"a dead letter for {topic} was not confirmed within {_SEND_SECONDS} s")
        if refused:
            raise refused[0]

    def _ensure(self, topic: str) -> None:
        if topic in self._known:
            return
        admin = self._kafka.admin(self._properties)
        configs = {"max.message.bytes": str(_MAX_BYTES), "retention.ms": str(_RETENTION_MS)}
        if admin.topic(topic) is None and admin.create_topic(topic, configs=configs, exists_ok=True):
            log.info("topic created", topic=topic)
        self._known.add(topic)

    def _about(self, record: KafkaRecord, failure: Failure) -> list[tuple[str, bytes | None]]:
        kind = type(failure.error)
        trace = "".join(traceback.format_exception(failure.error))
        said = {
            "original-topic": record.topic,
            "original-partition": str(record.partition),
            "original-offset": str(record.offset),
            "original-timestamp": "" if record.timestamp is None else str(record.timestamp),
            "group": self._group,
            "attempts": str(failure.attempts),
            "exception-class": f"{kind.__module__}.{kind.__qualname__}",
            "exception-message": str(failure.error)[:_LONGEST_MESSAGE],
            # The end of it names the place.
            "exception-trace": trace[-_LONGEST_TRACE:],
            "first-failure": failure.first.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return [(PREFIX + name, text.encode("utf-8", "backslashreplace")) for name, text in said.items()]

    def close(self) -> None:
        """Let go of the producer."""
        self._producer.close(0)
