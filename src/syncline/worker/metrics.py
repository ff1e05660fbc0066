"""What connectors and tasks count, and its page for Prometheus (spec/connect.md 8).

Names are those of Kafka Connect's JMX attributes in the style of Strimzi's rules, `kafka_connect_<group>_<attribute>`,
so that existing dashboards work. Averages, maxima and rates look back over the last 30 to 60 seconds, as
Kafka's do; totals count from the start of the task. A metric is written by one thread and read by any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.ids import ConnectorName, TaskId, TopicPartition
from syncline.worker.states import State

WINDOW_SECONDS: Final = 30.0
"""Kafka's `metrics.sample.window.ms`; two windows are kept."""


@dataclass(slots=True)
class _Sample:
    began: float
    count: int = 0
    total: float = 0.0
    largest: float = 0.0


class Measured:
    """Values such as durations or batch sizes: how many, their sum, and recent average and maximum."""

    __slots__ = ("_clock", "_now", "_past", "count", "total")

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._now = _Sample(clock.monotonic())
        self._past: _Sample | None = None
        self.count = 0
        self.total = 0.0

    def record(self, value: float) -> None:
        self._turn()
        sample = self._now
        sample.count += 1
        sample.total += value
        sample.largest = max(sample.largest, value)
        self.count += 1
        self.total += value

    def _turn(self) -> None:
        age = self._clock.monotonic() - self._now.began
        if age >= WINDOW_SECONDS:
            self._past = self._now if age < 2 * WINDOW_SECONDS else None
            self._now = _Sample(self._clock.monotonic())

    def _samples(self) -> list[_Sample]:
        self._turn()
        past = self._past
        return [self._now] if past is None else [past, self._now]

    @property
    def average(self) -> float:
        """Of the recent values; 0 when there are none."""
        samples = self._samples()
        count = sum(sample.count for sample in samples)
        return sum(sample.total for sample in samples) / count if count else 0.0

    @property
    def largest(self) -> float:
        """The largest recent value; 0 when there is none."""
        return max(sample.largest for sample in self._samples())

    @property
    def rate(self) -> float:
        """The sum of the recent values per second."""
        samples = self._samples()
        # A task that has just begun is not shown with the rate of its first moment.
        elapsed = max(self._clock.monotonic() - samples[0].began, WINDOW_SECONDS)
        return sum(sample.total for sample in samples) / elapsed


@dataclass(slots=True)
class ErrorMetrics:
    """Kafka Connect's task-error-metrics."""

    record_failures: int = 0
    """Failed operations, each try counted."""
    record_errors: int = 0
    """Records that failed for good."""
    records_skipped: int = 0
    retries: int = 0
    errors_logged: int = 0
    dead_letters: int = 0
    dead_letter_failures: int = 0
    last_error_ms: int = 0
    """Milliseconds since the epoch; 0 when there was none."""


@dataclass(slots=True)
class CommitMetrics:
    """Commits of offsets, of either kind of task."""

    seconds: Measured = field(default_factory=Measured)
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    """There was nothing new to commit."""
    number: int = 0
    """Of the last commit."""

    def done(self, seconds: float, *, good: bool) -> None:
        self.seconds.record(seconds)
        if good:
            self.succeeded += 1
        else:
            self.failed += 1

    @property
    def failure_percentage(self) -> float:
        tried = self.succeeded + self.failed
        return self.failed / tried if tried else 0.0


@dataclass(slots=True)
class SinkMetrics:
    """Kafka Connect's sink-task-metrics."""

    read: Measured = field(default_factory=Measured)
    """Records per read."""
    put: Measured = field(default_factory=Measured)
    """Records per put."""
    put_seconds: Measured = field(default_factory=Measured)
    commits: CommitMetrics = field(default_factory=CommitMetrics)
    active: int = 0
    """Records read that the task has not taken yet."""
    put_retries: int = 0
    last_put_ms: int = 0
    """When `put` last succeeded with records, in milliseconds since the epoch; 0 for never."""
    lags: Mapping[TopicPartition, int] = field(default_factory=dict)
    """Records per owned partition that wait in Kafka; replaced as a whole."""
    partitions: int = 0


@dataclass(slots=True)
class SourceMetrics:
    """Kafka Connect's source-task-metrics."""

    polled: Measured = field(default_factory=Measured)
    """Records per poll."""
    written: Measured = field(default_factory=Measured)
    """Records per batch that were sent."""
    poll_seconds: Measured = field(default_factory=Measured)
    commits: CommitMetrics = field(default_factory=CommitMetrics)
    active: int = 0
    """Records sent that Kafka has not acknowledged yet."""


@dataclass(slots=True)
class WorkerMetrics:
    """Starts of connectors and tasks on this worker."""

    connector_starts: int = 0
    connector_start_failures: int = 0
    task_starts: int = 0
    task_start_failures: int = 0


@dataclass(frozen=True, slots=True)
class ConnectorFacts:
    """What the page says of a connector that runs here."""

    state: State
    kind: str
    """`source` or `sink`."""
    java_class: str
    version: str


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What the page says of a task that runs here."""

    state: State
    metrics: SinkMetrics | SourceMetrics
    errors: ErrorMetrics


def prometheus(
    worker: WorkerMetrics, connectors: Mapping[ConnectorName, ConnectorFacts], tasks: Mapping[TaskId, TaskFacts]
) -> str:
    """The page, in Prometheus' text format."""
    page = Page()
    _worker(page, worker, len(connectors), len(tasks))
    for name, connector in connectors.items():
        _connector(page, name, connector, [facts.state for task, facts in tasks.items() if task.connector == name])
    for task, facts in tasks.items():
        labels = {"connector": str(task.connector), "task": str(task.index)}
        _task(page, facts, labels)
        _errors(page, facts.errors, labels)
        if isinstance(facts.metrics, SinkMetrics):
            _sink(page, facts.metrics, labels)
        else:
            _source(page, facts.metrics, labels)
    return page.text()


def _worker(page: Page, worker: WorkerMetrics, connectors: int, tasks: int) -> None:
    page.gauge("worker_connector_count", connectors)
    page.gauge("worker_task_count", tasks)
    for what, tried, failed in (
        ("connector", worker.connector_starts, worker.connector_start_failures),
        ("task", worker.task_starts, worker.task_start_failures),
    ):
        page.counter(f"worker_{what}_startup_attempts_total", tried)
        page.counter(f"worker_{what}_startup_success_total", tried - failed)
        page.counter(f"worker_{what}_startup_failure_total", failed)
        page.gauge(f"worker_{what}_startup_success_percentage", (tried - failed) / tried if tried else 0)
        page.gauge(f"worker_{what}_startup_failure_percentage", failed / tried if tried else 0)


_COUNTED: Final = (
    State.RUNNING,
    State.PAUSED,
    State.FAILED,
    State.UNASSIGNED,
    State.DESTROYED,
    State.RESTARTING,
)


def _connector(page: Page, name: ConnectorName, facts: ConnectorFacts, tasks: Iterable[State]) -> None:
    states = list(tasks)
    page.gauge("connector_status", 1, connector=name, status=facts.state.lower())
    about = {
        "connector_type": facts.kind,
        "connector_class": facts.java_class,
        "connector_version": facts.version,
    }
    page.gauge("connector_info", 1, connector=name, **about)
    page.gauge("worker_connector_total_task_count", len(states), connector=name)
    for state in _COUNTED:
        page.gauge(f"worker_connector_{state.lower()}_task_count", states.count(state), connector=name)


def _task(page: Page, facts: TaskFacts, labels: Mapping[str, str]) -> None:
    commits = facts.metrics.commits
    page.gauge("connector_task_status", 1, **labels, status=facts.state.lower())
    page.gauge("connector_task_running_ratio", float(facts.state is State.RUNNING), **labels)
    page.gauge("connector_task_pause_ratio", float(facts.state is State.PAUSED), **labels)
    page.gauge("connector_task_offset_commit_avg_time_ms", commits.seconds.average * 1000, **labels)
    page.gauge("connector_task_offset_commit_max_time_ms", commits.seconds.largest * 1000, **labels)
    page.gauge("connector_task_offset_commit_failure_percentage", commits.failure_percentage, **labels)
    tried = commits.succeeded + commits.failed
    success = 1 - commits.failure_percentage if tried else 0
    page.gauge("connector_task_offset_commit_success_percentage", success, **labels)
    batches = facts.metrics.put if isinstance(facts.metrics, SinkMetrics) else facts.metrics.polled
    page.gauge("connector_task_batch_size_avg", batches.average, **labels)
    page.gauge("connector_task_batch_size_max", batches.largest, **labels)


def _errors(page: Page, errors: ErrorMetrics, labels: Mapping[str, str]) -> None:
    page.gauge("task_error_total_record_failures", errors.record_failures, **labels)
    page.gauge("task_error_total_record_errors", errors.record_errors, **labels)
    page.gauge("task_error_total_records_skipped", errors.records_skipped, **labels)
    page.gauge("task_error_total_retries", errors.retries, **labels)
    page.gauge("task_error_total_errors_logged", errors.errors_logged, **labels)
    page.gauge("task_error_deadletterqueue_produce_requests", errors.dead_letters, **labels)
    page.gauge("task_error_deadletterqueue_produce_failures", errors.dead_letter_failures, **labels)
    page.gauge("task_error_last_error_timestamp", errors.last_error_ms, **labels)


def _sink(page: Page, metrics: SinkMetrics, labels: Mapping[str, str]) -> None:
    page.gauge("sink_task_sink_record_read_rate", metrics.read.rate, **labels)
    page.counter("sink_task_sink_record_read_total", metrics.read.total, **labels)
    page.gauge("sink_task_sink_record_send_rate", metrics.put.rate, **labels)
    page.counter("sink_task_sink_record_send_total", metrics.put.total, **labels)
    page.gauge("sink_task_sink_record_active_count", metrics.active, **labels)
    page.gauge("sink_task_partition_count", metrics.partitions, **labels)
    page.gauge("sink_task_put_batch_avg_time_ms", metrics.put_seconds.average * 1000, **labels)
    page.gauge("sink_task_put_batch_max_time_ms", metrics.put_seconds.largest * 1000, **labels)
    page.counter("sink_task_put_retries_total", metrics.put_retries, **labels)
    page.gauge("sink_task_last_put_timestamp", metrics.last_put_ms, **labels)
    page.gauge("sink_task_offset_commit_seq_no", metrics.commits.number, **labels)
    page.counter("sink_task_offset_commit_completion_total", metrics.commits.succeeded, **labels)
    page.counter("sink_task_offset_commit_skip_total", metrics.commits.skipped, **labels)
    lags = metrics.lags
    page.gauge("sink_task_sink_record_lag_max", max(lags.values(), default=0), **labels)
    for partition, lag in lags.items():
        place = {"topic": partition.topic, "partition": str(partition.partition)}
        page.gauge("sink_task_sink_record_lag", lag, **labels, **place)


def _source(page: Page, metrics: SourceMetrics, labels: Mapping[str, str]) -> None:
    page.gauge("source_task_source_record_poll_rate", metrics.polled.rate, **labels)
    page.counter("source_task_source_record_poll_total", metrics.polled.total, **labels)
    page.gauge("source_task_source_record_write_rate", metrics.written.rate, **labels)
    page.counter("source_task_source_record_write_total", metrics.written.total, **labels)
    page.gauge("source_task_source_record_active_count", metrics.active, **labels)
    page.gauge("source_task_poll_batch_avg_time_ms", metrics.poll_seconds.average * 1000, **labels)
    page.gauge("source_task_poll_batch_max_time_ms", metrics.poll_seconds.largest * 1000, **labels)


class Page:
    """A page of metrics in the making; the text puts lines of one name together, as the format wants."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._kinds: dict[str, str] = {}

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """A value that goes up and down."""
        self._add("gauge", name, value, labels)

    def counter(self, name: str, value: float, **labels: str) -> None:
        """A value that only grows; its name ends in `_total`."""
        self._add("counter", name, value, labels)

    def _add(self, kind: str, name: str, value: float, labels: Mapping[str, str]) -> None:
        full = f"kafka_connect_{name}"
        self._kinds[full] = kind
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        number = int(value) if value == int(value) else value
        self._lines.setdefault(full, []).append(f"{full}{{{shown}}} {number}" if shown else f"{full} {number}")

    def text(self) -> str:
        parts: list[str] = []
        for name, lines in self._lines.items():
            parts += [f"# TYPE {name} {self._kinds[name]}", *lines]
        return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
