"""What happens when a record cannot be converted, transformed, sent or written (spec/connect.md 5.6)."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.data import SourceRecord, TimestampType
from syncline.data.values import java_text
from syncline.errors import ConnectError, RetriableError
from syncline.kafka.ports import CREATE_TIME, LOG_APPEND_TIME, NO_TIMESTAMP, KafkaRecord
from syncline.options import Importance, Kind, load, one_of, option
from syncline.worker.metrics import ErrorMetrics

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_DELAY_MS: Final = 300
"""Before the second try; doubles with each further one."""


class Stage(StrEnum):
    """Where a record failed, named as in dead letters."""

    TASK_POLL = "TASK_POLL"
    TASK_PUT = "TASK_PUT"
    TRANSFORMATION = "TRANSFORMATION"
    KEY_CONVERTER = "KEY_CONVERTER"
    VALUE_CONVERTER = "VALUE_CONVERTER"
    HEADER_CONVERTER = "HEADER_CONVERTER"
    KAFKA_PRODUCE = "KAFKA_PRODUCE"
    KAFKA_CONSUME = "KAFKA_CONSUME"


@dataclass(frozen=True, kw_only=True)
class ErrorSettings:
    """The error handling options of a connector."""

    retry_timeout_ms: int = option(
        "errors.retry.timeout",
        "Milliseconds a failed operation is tried again; 0 for not at all, -1 for ever.",
        kind=Kind.LONG,
        default="0",
    )
    retry_delay_max_ms: int = option(
        "errors.retry.delay.max.ms",
        "Most milliseconds between two tries.",
        kind=Kind.LONG,
        default="60000",
    )
    tolerance: str = option(
        "errors.tolerance",
        "none: the first bad record fails the task; all: bad records are set aside.",
        default="none",
        check=one_of(["none", "all"]),
    )
    log: bool = option(
        "errors.log.enable", "Whether bad records are written to the log.", kind=Kind.BOOLEAN, default="false"
    )
    log_records: bool = option(
        "errors.log.include.messages",
        "Whether the log says which record it was.",
        kind=Kind.BOOLEAN,
        default="false",
        importance=Importance.MEDIUM,
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """One record that failed, and how."""

    stage: Stage
    class_name: str
    """Java class of the converter, transform or task."""
    error: Exception
    record: KafkaRecord | SourceRecord


class Reporter(Protocol):
    """Takes failures somewhere: the log, a dead-letter topic."""

    def report(self, failure: Failure) -> None: ...


class Skipped(Exception):  # no error: the record is set aside
    """The failure was reported and is tolerated; the task goes on without the record."""


class Tolerance:
    """The policy of one task: try again, then set aside or fail. Any of the task's threads may call."""

    def __init__(
        self,
        config: Mapping[str, str],
        metrics: ErrorMetrics,
        *,
        stopping: threading.Event,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """ConfigError when an option cannot be used. Waiting ends early when `stopping` is set."""
        self.settings = load(ErrorSettings, config)
        self.metrics = metrics
        self.reporters: list[Reporter] = []
        self._stopping = stopping
        self._clock = clock
        self._lock = threading.Lock()

    def recover(
        self,
        stage: Stage,
        class_name: str,
        record: KafkaRecord | SourceRecord,
        error: Exception,
        operation: Callable[[], T],
    ) -> T:
        """The result of `operation`, which just failed with `error`, if trying again helps.

        Raises Skipped when the record is set aside, ConnectError to fail the task.
        """
        began = self._clock.monotonic()
        attempt = 0
        while True:
            self.metrics.record_failures += 1
            if not isinstance(error, RetriableError) or not self._may_retry(began):
                self.give_up(Failure(stage, class_name, error, record))
            self.metrics.retries += 1
            self._clock.wait(self._stopping, self._delay_ms(attempt) / 1000)
            attempt += 1
            try:
                return operation()
            except Exception as exc:  # converters and transforms are strangers' code
                error = exc

    def run(self, stage: Stage, class_name: str, record: KafkaRecord | SourceRecord, operation: Callable[[], T]) -> T:
        """The result of `operation`; failures as in `recover`."""
        try:
            return operation()
        except Exception as exc:  # converters and transforms are strangers' code
            return self.recover(stage, class_name, record, exc, operation)

    def _may_retry(self, began: float) -> bool:
        if self._stopping.is_set():
            return False
        timeout = self.settings.retry_timeout_ms
        return timeout < 0 or (self._clock.monotonic() - began) * 1000 < timeout

    def _delay_ms(self, attempt: int) -> float:
        delay = FIRST_DELAY_MS * 2 ** min(attempt, 32)
        longest = self.settings.retry_delay_max_ms
        return delay if delay <= longest else random.uniform(0, longest)  # noqa: S311  # spreads tries

    def give_up(self, failure: Failure) -> None:
        """Report the failure, also when it is not tolerated; then raise Skipped, or ConnectError to fail the task."""
        with self._lock:
            self.metrics.record_errors += 1
            self.metrics.last_error_ms = self._clock.wall_ms()
            for reporter in self.reporters:
                reporter.report(failure)
            if self.settings.tolerance == "all":
                self.metrics.records_skipped += 1
                raise Skipped from failure.error
        # Tools look for the first words; people need to know which record it was.
        raise ConnectError(
            f"Tolerance exceeded in error handler ({failure.stage}, {place_of(failure.record)})"
        ) from failure.error


def place_of(record: KafkaRecord | SourceRecord) -> str:
    """Where a record is to be found, for an error's text."""
    if isinstance(record, KafkaRecord):
        return f"topic {record.topic}, partition {record.partition}, offset {record.offset}"
    return f"source partition {_map_text(record.source_partition)}, source offset {_map_text(record.source_offset)}"


_STAMP_TYPES: Final = {
    NO_TIMESTAMP: TimestampType.NO_TIMESTAMP_TYPE,
    CREATE_TIME: TimestampType.CREATE_TIME,
    LOG_APPEND_TIME: TimestampType.LOG_APPEND_TIME,
}


def described(record: KafkaRecord | SourceRecord) -> str:
    """A record in the words of Kafka Connect's log."""
    if isinstance(record, KafkaRecord):
        return (
            f"where consumed record is {{topic='{record.topic}', partition={record.partition}, "
            f"offset={record.offset}, timestamp={record.stamp[1]}, timestampType={_STAMP_TYPES[record.stamp[0]]}}}"
        )
    partition = "null" if record.partition is None else record.partition
    timestamp = "null" if record.timestamp is None else record.timestamp
    headers = ", ".join(
        f"ConnectHeader(key={h.key}, value={java_text(h.schema, h.value)}, schema={h.schema or 'null'})"
        for h in record.headers
    )
    return (
        f"where source record is = SourceRecord{{sourcePartition={_map_text(record.source_partition)}, "
        f"sourceOffset={_map_text(record.source_offset)}}} ConnectRecord{{topic='{record.topic}', "
        f"kafkaPartition={partition}, key={java_text(record.key_schema, record.key)}, "
        f"keySchema={record.key_schema or 'null'}, value={java_text(record.value_schema, record.value)}, "
        f"valueSchema={record.value_schema or 'null'}, timestamp={timestamp}, "
        f"headers=ConnectHeaders(headers={headers})}}"
    )


def _map_text(fields: Mapping[str, object] | None) -> str:
    return java_text(None, None if fields is None else dict(fields))


class LogReporter:
    """Writes failures to the log."""

    def __init__(self, task: str, settings: ErrorSettings, metrics: ErrorMetrics) -> None:
        self._task = task
        self._with_record = settings.log_records
        self._metrics = metrics

    def report(self, failure: Failure) -> None:
        log.error(
            "Error encountered in task %s. Executing stage '%s' with class '%s'%s.",
            self._task,
            failure.stage,
            failure.class_name,
            f", {described(failure.record)}" if self._with_record else "",
            exc_info=failure.error,
        )
        self._metrics.errors_logged += 1
