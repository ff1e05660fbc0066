"""What connectors and tasks do, as far as this worker knows; shared by whoever reports and whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from syncline.ids import ConnectorName, TaskId
from syncline.stores.status import ActiveTopic, Status, StatusTable


@dataclass(frozen=True, slots=True)
class ConnectorStatuses:
    """A connector's state and those of its tasks, as of one moment."""

    connector: Status
    tasks: dict[int, Status]
    """By number, in order; only of tasks that have a state."""


class Statuses:
    """A StatusTable behind a lock; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table = StatusTable()

    def of(self, name: ConnectorName) -> ConnectorStatuses | None:
        """None when the connector has no state."""
        with self._lock:
            connector = self._table.connectors.get(name)
            if connector is None:
                return None
            tasks = sorted((task.index, status) for task, status in self._table.tasks.items() if task.connector == name)
            return ConnectorStatuses(connector, dict(tasks))

    def task(self, task: TaskId) -> Status | None:
        with self._lock:
            return self._table.tasks.get(task)

    def all(self) -> tuple[dict[ConnectorName, Status], dict[TaskId, Status]]:
        """Everything, for metrics."""
        with self._lock:
            return dict(self._table.connectors), dict(self._table.tasks)

    def set_connector(self, name: ConnectorName, status: Status) -> None:
        with self._lock:
            self._table.connectors[name] = status

    def set_task(self, task: TaskId, status: Status) -> None:
        with self._lock:
            self._table.tasks[task] = status

    def forget_tasks(self, tasks: Iterable[TaskId]) -> None:
        with self._lock:
            for task in tasks:
                self._table.tasks.pop(task, None)

    def forget(self, name: ConnectorName) -> None:
        """Everything about a connector: it was deleted."""
        with self._lock:
            self._table.connectors.pop(name, None)
            self._table.topics.pop(name, None)
            for task in [task for task in self._table.tasks if task.connector == name]:
                del self._table.tasks[task]

    def topics(self, name: ConnectorName) -> list[str]:
        """Topics the connector has used, sorted."""
        with self._lock:
            return sorted(self._table.topics.get(name, ()))

    def add_topic(self, topic: ActiveTopic) -> None:
        with self._lock:
            self._table.topics.setdefault(topic.connector, {}).setdefault(topic.name, topic)

    def forget_topics(self, name: ConnectorName) -> None:
        with self._lock:
            self._table.topics.pop(name, None)
