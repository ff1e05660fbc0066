"""What connectors and tasks do, as far as this worker knows; shared by whoever reports and whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from syncline.ids import ConnectorName, TaskId
from syncline.stores.status import ActiveTopic, Status, StatusTable, connector_record, task_record, topic_record
from syncline.stores.topics import Raw


@dataclass(frozen=True, slots=True)
class ConnectorStatuses:
    """A connector's state and those of its tasks, as of one moment."""

    connector: Status
    tasks: dict[int, Status]
    """By number, in order; only of tasks that have a state."""


class Statuses:
    """A StatusTable behind a lock; any thread may call."""

    def __init__(self, store: Callable[[bytes, bytes | None], None] = lambda key, value: None) -> None:
        """`store` is told of every change as a record of the status topic, in order, and must not block for long."""
        self._lock = threading.Lock()
        self._table = StatusTable()
        self._store = store

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
        """Every state there is."""
        with self._lock:
            return dict(self._table.connectors), dict(self._table.tasks)

    def records(self) -> list[Raw]:
        """Records that add up to everything that is known."""
        with self._lock:
            used = [active for topics in self._table.topics.values() for active in topics.values()]
            return [
                *(connector_record(name, status) for name, status in self._table.connectors.items()),
                *(task_record(task, status) for task, status in self._table.tasks.items()),
                *(topic_record(active.name, active.connector, active) for active in used),
            ]

    def absorb(self, key: bytes, value: bytes | None) -> None:
        """Take in what is stored; UnreadableRecord when it means nothing to us."""
        with self._lock:
            self._table.absorb(key, value)

    def set_connector(self, name: ConnectorName, status: Status) -> None:
        with self._lock:
            if self._table.may_put(self._table.connectors.get(name), status):
                self._table.connectors[name] = status
                self._store(*connector_record(name, status))

    def set_task(self, task: TaskId, status: Status) -> None:
        with self._lock:
            if self._table.may_put(self._table.tasks.get(task), status):
                self._table.tasks[task] = status
                self._store(*task_record(task, status))

    def forget_tasks(self, tasks: Iterable[TaskId]) -> None:
        with self._lock:
            self._forget_tasks(sorted(tasks))

    def _forget_tasks(self, tasks: Iterable[TaskId]) -> None:
        for task in tasks:
            if self._table.tasks.pop(task, None) is not None:
                self._store(*task_record(task, None))

    def forget(self, name: ConnectorName) -> None:
        """Everything about a connector: it was deleted."""
        with self._lock:
            self._forget_topics(name)
            if self._table.connectors.pop(name, None) is not None:
                self._store(*connector_record(name, None))
            self._forget_tasks([task for task in self._table.tasks if task.connector == name])

    def topics(self, name: ConnectorName) -> list[str]:
        """Topics the connector has used, sorted."""
        with self._lock:
            return sorted(self._table.topics.get(name, ()))

    def add_topic(self, topic: ActiveTopic) -> None:
        with self._lock:
            known = self._table.topics.setdefault(topic.connector, {})
            if topic.name not in known:
                known[topic.name] = topic
                self._store(*topic_record(topic.name, topic.connector, topic))

    def forget_topics(self, name: ConnectorName) -> None:
        with self._lock:
            self._forget_topics(name)

    def _forget_topics(self, name: ConnectorName) -> None:
        for topic in self._table.topics.pop(name, {}):
            self._store(*topic_record(topic, name, None))

    def connectors_with_topics(self) -> set[ConnectorName]:
        """Connectors of which any topic is known."""
        with self._lock:
            return set(self._table.topics)
