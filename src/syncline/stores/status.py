"""The status topic: its records, and the table they add up to (spec/connect.md 3.4).

Pure: reading and writing the topic is `stores.topics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from syncline.ids import ConnectorName, TaskId
from syncline.stores.configs import UnreadableRecord


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a connector or task as one worker saw it."""

    state: str
    trace: str | None
    worker_id: str
    generation: int
    """Of the group in which the writer runs; a later one outranks an earlier."""
    version: str | None


@dataclass(frozen=True, slots=True)
class ActiveTopic:
    """A topic that a connector has used."""

    name: str
    connector: ConnectorName
    task: int
    discovered_ms: int


ConnectorStatus = tuple[ConnectorName, Status | None]

_CONNECTOR: Final = "status-connector-"
_TASK: Final = "status-task-"
_TOPIC: Final = "status-topic-"
_SEPARATOR: Final = ":connector-"

_SAFE: Final = frozenset({"FAILED", "UNASSIGNED"})
"""States written by a "safe put": never over the record of another worker of a later generation."""


@dataclass(slots=True)
class StatusTable:
    """Statuses as read from the topic. Owned by one thread; `absorb` is called in topic order."""

    connectors: dict[ConnectorName, Status] = field(default_factory=dict)
    tasks: dict[TaskId, Status] = field(default_factory=dict)
    topics: dict[ConnectorName, dict[str, ActiveTopic]] = field(default_factory=dict)

    def absorb(self, key: bytes, value: bytes | None) -> None:
        """Take one record; UnreadableRecord when it means nothing to us."""
        try:
            self._absorb(key.decode(), None if value is None else msgspec.json.decode(value))
        except (KeyError, TypeError, ValueError, msgspec.DecodeError) as exc:
            if isinstance(exc, UnreadableRecord):
                raise
            raise UnreadableRecord(f"record with key {key!r} cannot be read: {exc}") from exc

    def _absorb(self, key: str, value: Any) -> None:
        if key.startswith(_TOPIC):
            # A topic's name cannot hold a colon, a connector's can.
            topic, separator, connector = key.removeprefix(_TOPIC).partition(_SEPARATOR)
            if not separator:
                raise UnreadableRecord(f"key {key!r} names no connector")
            self._absorb_topic(ConnectorName(connector), topic, value)
        elif key.startswith(_CONNECTOR):
            name = ConnectorName(key.removeprefix(_CONNECTOR))
            if value is None:
                self.connectors.pop(name, None)
            else:
                self.connectors[name] = _status(value)
        elif key.startswith(_TASK):
            connector, dash, index = key.removeprefix(_TASK).rpartition("-")
            if not dash:
                raise UnreadableRecord(f"key {key!r} names no task")
            self._absorb_task(TaskId(ConnectorName(connector), int(index)), value)
        else:
            raise UnreadableRecord(f"key {key!r} is of no known kind")

    def _absorb_task(self, task: TaskId, value: Any) -> None:
        if value is None:
            self.tasks.pop(task, None)
            return
        status, known = _status(value), self.tasks.get(task)
        # After a rebalance the old owner's UNASSIGNED may be written after the new owner's RUNNING.
        if (
            status.state == "UNASSIGNED"
            and known is not None
            and known.state == "RUNNING"
            and known.generation >= status.generation
        ):
            return
        self.tasks[task] = status

    def _absorb_topic(self, connector: ConnectorName, topic: str, value: Any) -> None:
        if value is None:
            known = self.topics.get(connector, {})
            known.pop(topic, None)
            if not known:
                self.topics.pop(connector, None)
            return
        facts = value["topic"]
        active = ActiveTopic(topic, connector, int(facts["task"]), int(facts["discoverTimestamp"]))
        self.topics.setdefault(connector, {})[topic] = active

    def may_put(self, known: Status | None, status: Status) -> bool:
        """Whether `status` may be written over `known`, by the rule of the safe put."""
        return (
            status.state not in _SAFE
            or known is None
            or known.worker_id == status.worker_id
            or known.generation <= status.generation
        )


def _status(value: Mapping[str, Any]) -> Status:
    return Status(
        str(value["state"]),
        value.get("trace"),
        str(value["worker_id"]),
        int(value["generation"]),
        value.get("version"),
    )


def connector_record(name: ConnectorName, status: Status | None) -> tuple[bytes, bytes | None]:
    """Key and value of a connector's status; None deletes it."""
    return f"{_CONNECTOR}{name}".encode(), _value(status)


def task_record(task: TaskId, status: Status | None) -> tuple[bytes, bytes | None]:
    """Key and value of a task's status; None deletes it."""
    return f"{_TASK}{task}".encode(), _value(status)


def topic_record(topic: str, connector: ConnectorName, active: ActiveTopic | None) -> tuple[bytes, bytes | None]:
    """Key and value of a topic's use; None forgets it."""
    key = f"{_TOPIC}{topic}{_SEPARATOR}{connector}".encode()
    if active is None:
        return key, None
    facts = {
        "name": active.name,
        "connector": active.connector,
        "task": active.task,
        "discoverTimestamp": active.discovered_ms,
    }
    return key, msgspec.json.encode({"topic": facts})


def _value(status: Status | None) -> bytes | None:
    if status is None:
        return None
    return msgspec.json.encode(
        {
            "state": status.state,
            "trace": status.trace,
            "worker_id": status.worker_id,
            "generation": status.generation,
            "version": status.version,
        }
    )
