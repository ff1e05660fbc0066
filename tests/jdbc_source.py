"""What stands in for the worker when the JDBC source is tested: time, offsets, and somebody who polls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from syncline.connectors.jdbc.source import JdbcSourceConnector, JdbcSourceTask
from syncline.data import SourceRecord
from syncline.errors import RetriableError


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def wall_ms(self) -> int:
        return int(self.now * 1_000)

    def monotonic(self) -> float:
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.now += max(seconds, 0.0)
        return event.is_set()


class Offsets:
    """The offsets topic: the latest value by the exact text of the key, as Kafka Connect finds it."""

    def __init__(self, before: Sequence[Sequence[str]] = ()) -> None:
        self.by_key: dict[str, str | None] = {key: value for key, value in before}

    def offsets(self, partitions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        found = [self.by_key.get(_key(partition)) for partition in partitions]
        return [None if value is None else json.loads(value) for value in found]

    def commit(self, record: SourceRecord) -> None:
        assert record.source_partition is not None
        offset = record.source_offset
        self.by_key[_key(record.source_partition)] = None if offset is None else compact(offset)


def _key(partition: Mapping[str, Any]) -> str:
    return compact(["NAME", dict(partition)])


def compact(value: Any) -> str:
    """JSON as Kafka Connect writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Context:
    """Of the connector and of its tasks."""

    def __init__(self, offsets: Offsets, config: Mapping[str, str]) -> None:
        self.offsets = offsets
        self.config = config
        self.changed = threading.Event()
        self.errors: list[Exception] = []

    def request_task_reconfiguration(self) -> None:
        self.changed.set()

    def raise_error(self, error: Exception) -> None:
        self.errors.append(error)


class Worker:
    """Runs the connector's tasks in turn, on the test's thread."""

    def __init__(self, config: Mapping[str, str], offsets: Offsets) -> None:
        self.config = config
        self.offsets = offsets
        self.clock = Clock()
        self.error: Exception | None = None
        """What failed a task, the last of them."""
        self.retried: list[RetriableError] = []
        """What tasks said was wrong for now."""
        self.tasks: list[JdbcSourceTask] = []
        self.task_configs: list[dict[str, str]] = []
        self.context = Context(offsets, config)
        self.connector = JdbcSourceConnector()
        self.connector.start(config, self.context)
        self.start_tasks()

    def start_tasks(self) -> None:
        """Start the tasks the connector wants, in place of those there are."""
        self.stop_tasks()
        self.error = None
        self.context.changed.clear()
        self.task_configs = self.connector.task_configs(int(self.config["tasks.max"]))
        for config in self.task_configs:
            task = JdbcSourceTask(clock=self.clock)
            self.tasks.append(task)
            try:
                task.start(config, self.context)
            except Exception as exc:  # what the worker would show as the task's trace
                self.error = exc

    def poll(self, seconds: float, *, once: bool) -> list[SourceRecord]:
        """Let `seconds` pass, and poll until nothing more comes; `once` for a mode that always has rows."""
        records: list[SourceRecord] = []
        while self.error is None:
            self.clock.now += seconds
            found = [record for task in self.tasks for record in self._drained(task)]
            records += found
            if once or not found:
                break
        return records

    def step(self) -> list[SourceRecord]:
        """One poll of each task, a second later."""
        self.clock.now += 1
        records: list[SourceRecord] = []
        for task in self.tasks:
            records += self._polled(task) or ()
        return records

    def _drained(self, task: JdbcSourceTask) -> Iterator[SourceRecord]:
        while True:
            batch = self._polled(task)
            if batch is None:
                return
            yield from batch

    def _polled(self, task: JdbcSourceTask) -> Sequence[SourceRecord] | None:
        try:
            batch = task.poll()
        except RetriableError as exc:
            self.retried.append(exc)
            return None
        except Exception as exc:  # what the worker would show as the task's trace
            self.error = exc
            return None
        for record in batch or ():
            self.offsets.commit(record)
        return batch

    def stop_tasks(self) -> None:
        """As the worker does: `stop` from its thread, `close` on the task's."""
        for task in self.tasks:
            task.stop()
            task.close()
        self.tasks = []

    def stop(self) -> None:
        self.stop_tasks()
        self.connector.stop()
