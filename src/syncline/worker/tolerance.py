"""What happens when a record cannot be converted or transformed (spec/connect.md 5.6)."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConnectError, RetriableError

log = logging.getLogger(__name__)

FIRST_DELAY_MS: Final = 300
T = TypeVar("T")


class Stage(StrEnum):
    """Where a record failed, named as in dead letters."""

    TASK_PUT = "TASK_PUT"
    TASK_POLL = "TASK_POLL"
    TRANSFORMATION = "TRANSFORMATION"
    KEY_CONVERTER = "KEY_CONVERTER"
    VALUE_CONVERTER = "VALUE_CONVERTER"
    HEADER_CONVERTER = "HEADER_CONVERTER"
    KAFKA_PRODUCE = "KAFKA_PRODUCE"
    KAFKA_CONSUME = "KAFKA_CONSUME"


@dataclass(frozen=True, slots=True)
class Failure:
    """One record that failed, and how."""

    stage: Stage
    class_name: str
    """Java class of the converter, transform or task."""
    error: Exception
    record: Any
    """The consumed record or the source record."""
    where: str
    """The record's coordinates in words, for messages."""


class Reporter(Protocol):
    """Takes failures somewhere: the log, a dead-letter topic."""

    def report(self, failure: Failure) -> None: ...


class Tolerated(Exception):  # not an error: the record is skipped
    """The record is set aside and the task goes on."""


@dataclass(slots=True)
class ErrorMetrics:
    """Counts of one task, named as in Kafka Connect's task-error-metrics."""

    record_failures: int = 0
    record_errors: int = 0
    records_skipped: int = 0
    retries: int = 0
    errors_logged: int = 0
    dead_letters: int = 0
    last_error_ms: int = 0


class Tolerance:
    """The policy of one task: retry, then set aside or fail."""

    def __init__(
        self,
        config: Mapping[str, str],
        reporters: list[Reporter],
        *,
        stopping: threading.Event,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.all = config.get("errors.tolerance", "none") == "all"
        self._timeout_ms = int(config.get("errors.retry.timeout", "0"))
        self._delay_max_ms = int(config.get("errors.retry.delay.max.ms", "60000"))
        self._reporters = reporters
        self._stopping = stopping
        self._clock = clock
        self.metrics = ErrorMetrics()

    def run(self, stage: Stage, class_name: str, record: Any, where: str, operation: Callable[[], T]) -> T:
        """The operation's result. Raises Tolerated when the record is skipped, ConnectError to fail the task."""
        deadline = self._clock.monotonic() + self._timeout_ms / 1000
        attempt = 0
        while True:
            try:
                return operation()
            except RetriableError as exc:
                self.metrics.record_failures += 1
                forever = self._timeout_ms < 0
                if self._stopping.is_set() or not (forever or self._clock.monotonic() < deadline):
                    self.fail(Failure(stage, class_name, exc, record, where))
                self.metrics.retries += 1
                self._clock.wait(self._stopping, self._delay(attempt) / 1000)
                attempt += 1
            except Exception as exc:  # converters and transforms are strangers' code
                self.metrics.record_failures += 1
                self.fail(Failure(stage, class_name, exc, record, where))

    def _delay(self, attempt: int) -> float:
        delay = FIRST_DELAY_MS * 2**attempt
        return delay if delay <= self._delay_max_ms else random.uniform(0, self._delay_max_ms)  # noqa: S311  # jitter

    def fail(self, failure: Failure) -> None:
        """Report; then Tolerated or ConnectError, by `errors.tolerance`."""
        self.metrics.record_errors += 1
        self.metrics.last_error_ms = self._clock.wall_ms()
        for reporter in self._reporters:
            reporter.report(failure)
        if self.all:
            self.metrics.records_skipped += 1
            raise Tolerated from failure.error
        raise ConnectError(
            f"Tolerance exceeded in error handler ({failure.where}, stage {failure.stage})"
        ) from failure.error


class LogReporter:
    """Writes failures to the log, with the record's coordinates if asked for."""

    def __init__(self, task: str, *, include_messages: bool, metrics: Callable[[], ErrorMetrics]) -> None:
        self._task = task
        self._include = include_messages
        self._metrics = metrics

    def report(self, failure: Failure) -> None:
        record = f", where {failure.where}" if self._include else ""
        log.error(
            "Error encountered in task %s. Executing stage '%s' with class '%s'%s.",
            *(self._task, failure.stage, failure.class_name, record),
            exc_info=failure.error,
        )
        self._metrics().errors_logged += 1
