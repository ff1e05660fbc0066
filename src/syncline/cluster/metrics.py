"""The worker's metrics as Prometheus text, in the names of Strimzi's rules (spec/connect.md 8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from syncline.ids import ConnectorName, TaskId
from syncline.worker.metrics import ErrorMetrics, SinkMetrics, SourceMetrics
from syncline.worker.states import State


class _Page:
    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = defaultdict(list)

    def add(self, name: str, value: float, **labels: str) -> None:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        self._lines[name].append(
            f"kafka_connect_{name}{{{shown}}} {value:g}" if shown else f"kafka_connect_{name} {value:g}"
        )

    def text(self) -> str:
        parts = []
        for name, lines in sorted(self._lines.items()):
            kind = "counter" if name.endswith("_total") else "gauge"
            parts += [f"# TYPE kafka_connect_{name} {kind}", *lines]
        return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render(
    connectors: Mapping[ConnectorName, State],
    tasks: Mapping[TaskId, State],
    counted: Iterable[tuple[TaskId, SinkMetrics | SourceMetrics, ErrorMetrics]],
) -> str:
    """The page."""
    page = _Page()
    page.add("worker_connector_count", len(connectors))
    page.add("worker_task_count", len(tasks))
    for name, state in connectors.items():
        page.add("connector_status", 1, connector=name, status=state.lower())
        for wanted in (State.RUNNING, State.PAUSED, State.FAILED, State.UNASSIGNED, State.RESTARTING):
            count = sum(task.connector == name and found is wanted for task, found in tasks.items())
            page.add(f"worker_connector_{wanted.lower()}_task_count", count, connector=name)
    for task, state in tasks.items():
        page.add("connector_task_status", 1, connector=task.connector, task=str(task.index), status=state.lower())
    for task, metrics, errors in counted:
        labels = {"connector": str(task.connector), "task": str(task.index)}
        if isinstance(metrics, SinkMetrics):
            _sink(page, metrics, labels)
        else:
            _source(page, metrics, labels)
        page.add("task_error_total_record_failures", errors.record_failures, **labels)
        page.add("task_error_total_record_errors", errors.record_errors, **labels)
        page.add("task_error_total_records_skipped", errors.records_skipped, **labels)
        page.add("task_error_total_retries", errors.retries, **labels)
        page.add("task_error_total_errors_logged", errors.errors_logged, **labels)
        page.add("task_error_deadletterqueue_produce_requests", errors.dead_letters, **labels)
        page.add("task_error_last_error_timestamp", errors.last_error_ms, **labels)
    return page.text()


def _sink(page: _Page, metrics: SinkMetrics, labels: dict[str, str]) -> None:
    page.add("sink_task_sink_record_read_total", metrics.read.total, **labels)
    page.add("sink_task_sink_record_send_total", metrics.put.total, **labels)
    page.add("sink_task_partition_count", metrics.partitions, **labels)
    page.add("sink_task_put_batch_avg_time_ms", metrics.put_seconds.average * 1000, **labels)
    page.add("sink_task_put_batch_max_time_ms", metrics.put_seconds.largest * 1000, **labels)
    page.add("sink_task_offset_commit_completion_total", metrics.commits.succeeded, **labels)


def _source(page: _Page, metrics: SourceMetrics, labels: dict[str, str]) -> None:
    page.add("source_task_source_record_poll_total", metrics.polled.total, **labels)
    page.add("source_task_source_record_write_total", metrics.written.total, **labels)
    page.add("source_task_poll_batch_avg_time_ms", metrics.poll_seconds.average * 1000, **labels)
    page.add("source_task_poll_batch_max_time_ms", metrics.poll_seconds.largest * 1000, **labels)
