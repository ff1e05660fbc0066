"""The config topic: its records, and what they add up to (spec/connect.md 3.2).

`parse` and `encode` translate between records and events, byte for byte as Kafka Connect's; `ConfigSnapshot`
folds events into the state every worker agrees on. Pure: reading and writing the topic is `stores.topics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

import msgspec

from syncline.ids import ConnectorName, TaskId


class StoredTarget(StrEnum):
    """Target states, named as the topic names them."""

    STARTED = "STARTED"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class ConnectorConfigured:
    """The raw configuration of a connector; None deletes the connector."""

    name: ConnectorName
    properties: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class TaskConfigured:
    """The configuration of one task; counts only once `TasksCommitted` follows."""

    task: TaskId
    properties: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class TasksCommitted:
    """The connector has `count` tasks, numbered from 0, as configured since the last commit."""

    name: ConnectorName
    count: int


@dataclass(frozen=True, slots=True)
class TargetSet:
    """What a user wants of the connector; None goes with deletion and means STARTED."""

    name: ConnectorName
    target: StoredTarget | None


@dataclass(frozen=True, slots=True)
class TasksFenced:
    """Under exactly-once: so many producers are to be fenced before the next task set starts."""

    name: ConnectorName
    count: int


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The key workers sign their internal requests with."""

    key: str
    """Base64."""
    algorithm: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """Every worker restarts what it owns of the connector. Acts only when read live."""

    name: ConnectorName
    include_tasks: bool
    only_failed: bool

    @property
    def impact(self) -> int:
        """Of several waiting requests for one connector the one with more impact wins."""
        return 2 * (not self.only_failed) + self.include_tasks


@dataclass(frozen=True, slots=True)
class LoggerSet:
    """A log level for every worker. Acts only when read live."""

    logger: str
    level: str


ConfigEvent = (
    ConnectorConfigured
    | TaskConfigured
    | TasksCommitted
    | TargetSet
    | TasksFenced
    | SessionKey
    | RestartRequested
    | LoggerSet
)

_CONNECTOR: Final = "connector-"
_TASK: Final = "task-"
_COMMIT: Final = "commit-"
_TARGET: Final = "target-state-"
_FENCING: Final = "tasks-fencing-"
_SESSION_KEY: Final = "session-key"
_RESTART: Final = "restart-connector-"
_LOGGER: Final = "logger-cluster-"


class UnreadableRecord(ValueError):
    """A record of the topic that means nothing to us; the reader logs it and goes on."""


def parse(key: bytes, value: bytes | None) -> ConfigEvent:
    """The event a record stands for; UnreadableRecord for an unknown key or a malformed value."""
    try:
        name = key.decode()
        return _parse(name, None if value is None else msgspec.json.decode(value))
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as exc:
        if isinstance(exc, UnreadableRecord):
            raise
        raise UnreadableRecord(f"record with key {key!r} cannot be read: {exc}") from exc


def _parse(key: str, value: Any) -> ConfigEvent:
    # The order counts: `tasks-fencing-x` and `task-x-0` share their first letters.
    if key.startswith(_FENCING):
        return TasksFenced(_name(key, _FENCING), int(value["task-count"]))
    if key.startswith(_CONNECTOR):
        return ConnectorConfigured(_name(key, _CONNECTOR), None if value is None else dict(value["properties"]))
    if key.startswith(_TASK):
        name, dash, index = key.removeprefix(_TASK).rpartition("-")
        if not dash:
            raise UnreadableRecord(f"key {key!r} names no task")
        return TaskConfigured(TaskId(ConnectorName(name), int(index)), dict(value["properties"]))
    if key.startswith(_COMMIT):
        return TasksCommitted(_name(key, _COMMIT), int(value["tasks"]))
    if key.startswith(_TARGET):
        return TargetSet(_name(key, _TARGET), None if value is None else _target(value))
    if key == _SESSION_KEY:
        return SessionKey(str(value["key"]), str(value["algorithm"]), int(value["creation-timestamp"]))
    if key.startswith(_RESTART):
        return RestartRequested(_name(key, _RESTART), bool(value.get("include-tasks")), bool(value.get("only-failed")))
    if key.startswith(_LOGGER):
        return LoggerSet(key.removeprefix(_LOGGER), str(value["level"]))
    raise UnreadableRecord(f"key {key!r} is of no known kind")


def _name(key: str, prefix: str) -> ConnectorName:
    return ConnectorName(key.removeprefix(prefix))


def _target(value: Mapping[str, Any]) -> StoredTarget:
    # Workers before 3.5 know `state` only, and find PAUSED there for STOPPED.
    text = str(value.get("state.v2") or value.get("state"))
    return StoredTarget(text) if text in set(StoredTarget) else StoredTarget.STARTED


def encode(event: ConfigEvent) -> tuple[bytes, bytes | None]:
    """Key and value of the record for `event`; members of maps stay in the order given."""
    match event:
        case ConnectorConfigured(name, properties):
            return _record(f"{_CONNECTOR}{name}", None if properties is None else {"properties": dict(properties)})
        case TaskConfigured(task, properties):
            return _record(f"{_TASK}{task}", {"properties": dict(properties)})
        case TasksCommitted(name, count):
            return _record(f"{_COMMIT}{name}", {"tasks": count})
        case TargetSet(name, None):
            return _record(f"{_TARGET}{name}", None)
        case TargetSet(name, target):
            old = StoredTarget.PAUSED if target is StoredTarget.STOPPED else target
            return _record(f"{_TARGET}{name}", {"state": old, "state.v2": target})
        case TasksFenced(name, count):
            return _record(f"{_FENCING}{name}", {"task-count": count})
        case SessionKey(key, algorithm, created_ms):
            return _record(_SESSION_KEY, {"key": key, "algorithm": algorithm, "creation-timestamp": created_ms})
        case RestartRequested(name, include_tasks, only_failed):
            return _record(f"{_RESTART}{name}", {"include-tasks": include_tasks, "only-failed": only_failed})
        case LoggerSet(logger, level):
            return _record(f"{_LOGGER}{logger}", {"level": level})


def _record(key: str, value: Mapping[str, Any] | None) -> tuple[bytes, bytes | None]:
    return key.encode(), None if value is None else msgspec.json.encode(value)


@dataclass(frozen=True, slots=True)
class ConfigSnapshot:
    """What the config topic says up to `offset`; immutable, so that readers never lock."""

    offset: int = 0
    """Of the next record to be read."""
    connectors: Mapping[ConnectorName, Mapping[str, str | None]] = field(default_factory=dict)
    targets: Mapping[ConnectorName, StoredTarget] = field(default_factory=dict)
    tasks: Mapping[TaskId, Mapping[str, str | None]] = field(default_factory=dict)
    """Of committed sets only."""
    task_counts: Mapping[ConnectorName, int] = field(default_factory=dict)
    inconsistent: frozenset[ConnectorName] = frozenset()
    """Connectors whose last commit came without all of its task records; they report no tasks."""
    fencing: Mapping[ConnectorName, int] = field(default_factory=dict)
    session_key: SessionKey | None = None
    applied: Mapping[ConnectorName, Mapping[str, str | None]] = field(default_factory=dict)
    """The connector's configuration at the time its tasks were committed."""
    _deferred: Mapping[ConnectorName, Mapping[int, Mapping[str, str | None]]] = field(default_factory=dict)

    def target(self, name: ConnectorName) -> StoredTarget:
        """STARTED unless a record says otherwise."""
        return self.targets.get(name, StoredTarget.STARTED)

    def tasks_of(self, name: ConnectorName) -> list[TaskId]:
        """Tasks of the connector, in order; none while its set is inconsistent or the connector deleted."""
        if name in self.inconsistent or name not in self.connectors:
            return []
        return [TaskId(name, index) for index in range(self.task_counts.get(name, 0))]

    def events(self) -> Iterator[ConfigEvent]:
        """Events that add up to this snapshot, in an order that is good at every moment."""
        if self.session_key is not None:
            yield self.session_key
        for name, target in self.targets.items():
            yield TargetSet(name, target)
        for name, count in self.fencing.items():
            yield TasksFenced(name, count)
        for name, properties in self.connectors.items():
            # What the tasks were made from comes first, or the commit would pass for one of the later configuration.
            applied = self.applied.get(name)
            yield ConnectorConfigured(name, properties if applied is None else applied)
            tasks = self.tasks_of(name)
            if name in self.task_counts and name not in self.inconsistent:
                yield from (TaskConfigured(task, self.tasks[task]) for task in tasks)
                yield TasksCommitted(name, len(tasks))
            if applied is not None and applied != properties:
                yield ConnectorConfigured(name, properties)

    def fold(self, events: Iterable[ConfigEvent], offset: int) -> Self:
        """The snapshot after `events`, with `offset` as the next to read."""
        snapshot = self
        for event in events:
            snapshot = snapshot.apply(event)
        return replace(snapshot, offset=offset)

    def apply(self, event: ConfigEvent) -> Self:
        """The snapshot after one event; live-only events (restart, logger) change nothing."""
        match event:
            case ConnectorConfigured(name, None):
                # Task records stay on the topic for ever: a connector created again under the same name
                # must not find its predecessor's tasks, also when compaction kept only some of them.
                return replace(
                    self,
                    connectors=_without(self.connectors, name),
                    targets=_without(self.targets, name),
                    task_counts=_without(self.task_counts, name),
                    tasks={task: config for task, config in self.tasks.items() if task.connector != name},
                    applied=_without(self.applied, name),
                    inconsistent=self.inconsistent - {name},
                    _deferred=_without(self._deferred, name),
                )
            case ConnectorConfigured(name, properties) if properties is not None:
                return replace(self, connectors={**self.connectors, name: properties})
            case TargetSet(name, None):
                return replace(self, targets=_without(self.targets, name))
            case TargetSet(name, target) if target is not None:
                return replace(self, targets={**self.targets, name: target})
            case TaskConfigured(task, properties):
                held = {**self._deferred.get(task.connector, {}), task.index: properties}
                return replace(self, _deferred={**self._deferred, task.connector: held})
            case TasksCommitted(name, count):
                return self._commit(name, count)
            case TasksFenced(name, count):
                return replace(self, fencing={**self.fencing, name: count})
            case SessionKey():
                return replace(self, session_key=event)
            case _:
                return self

    def _commit(self, name: ConnectorName, count: int) -> Self:
        held = self._deferred.get(name, {})
        deferred = _without(self._deferred, name)
        if name not in self.connectors:
            return replace(self, _deferred=deferred)
        # More tasks than committed may be held: compaction keeps the last record of every task there ever was.
        if not held.keys() >= set(range(count)):
            return replace(
                self,
                _deferred=deferred,
                task_counts={**self.task_counts, name: count},
                inconsistent=self.inconsistent | {name},
            )
        others = {task: config for task, config in self.tasks.items() if task.connector != name}
        return replace(
            self,
            _deferred=deferred,
            tasks={**others, **{TaskId(name, index): held[index] for index in range(count)}},
            task_counts={**self.task_counts, name: count},
            inconsistent=self.inconsistent - {name},
            applied={**self.applied, name: self.connectors[name]},
        )


def _without(mapping: Mapping[ConnectorName, Any], name: ConnectorName) -> dict[ConnectorName, Any]:
    return {key: value for key, value in mapping.items() if key != name}
