"""Short ways to make what tests need: records, settings, a listener that can be waited on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from syncline.data import SinkRecord, SourceRecord
from syncline.data.schema import Schema
from syncline.ids import ConnectorName, TaskId
from syncline.kafka.ports import CREATE_TIME, KafkaRecord
from syncline.testing.probes import PATIENCE
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import State

WORKER: Final[Mapping[str, str]] = {
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "offset.flush.interval.ms": "100",
    "offset.storage.file.filename": "unused",
}
"""Properties of a worker that passes text on and commits quickly."""


def worker_settings(**properties: str) -> WorkerSettings:
    """Settings for tests; keyword arguments are properties with `_` for `.`."""
    return WorkerSettings.of({**WORKER, **{name.replace("_", "."): value for name, value in properties.items()}})


def kafka_record(
    value: bytes | None = b"v",
    *,
    topic: str = "t",
    partition: int = 0,
    offset: int = 0,
    key: bytes | None = None,
    timestamp: int = 1_700_000_000_000,
    headers: list[tuple[str, bytes | None]] | None = None,
) -> KafkaRecord:
    """A consumed record."""
    return KafkaRecord(topic, partition, offset, (CREATE_TIME, timestamp), key, value, headers)


def sink_record(
    value: Any = "v",
    *,
    topic: str = "t",
    partition: int = 0,
    offset: int = 0,
    key: Any = None,
    key_schema: Schema | None = None,
    value_schema: Schema | None = None,
) -> SinkRecord:
    """A record as a sink task gets it."""
    return SinkRecord(topic, partition, offset, key_schema, key, value_schema, value)


def source_record(
    value: Any = "v",
    *,
    topic: str = "t",
    source: Mapping[str, Any] | None = None,
    offset: Mapping[str, Any] | None = None,
    key: Any = None,
    partition: int | None = None,
    value_schema: Schema | None = None,
) -> SourceRecord:
    """A record as a source task makes it, by default of source partition `{"p": 1}`."""
    return SourceRecord(
        {"p": 1} if source is None else source,
        offset,
        topic,
        value_schema,
        value,
        key=key,
        partition=partition,
    )


class Heard:
    """A StatusListener that remembers everything and can be waited on."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.connectors: dict[str, list[State]] = {}
        self.tasks: dict[TaskId, list[State]] = {}
        self.traces: list[str] = []
        self.reconfigurations: list[str] = []
        self.topics: list[tuple[str, str, int]] = []

    def _hear(self, change: Callable[[], Any], trace: str | None = None) -> None:
        with self.changed:
            change()
            if trace is not None:
                self.traces.append(trace)
            self.changed.notify_all()

    def connector_state(self, name: ConnectorName, state: State, trace: str | None) -> None:
        self._hear(lambda: self.connectors.setdefault(name, []).append(state), trace)

    def task_state(self, task: TaskId, state: State, trace: str | None) -> None:
        self._hear(lambda: self.tasks.setdefault(task, []).append(state), trace)

    def requested_reconfiguration(self, name: ConnectorName) -> None:
        self._hear(lambda: self.reconfigurations.append(name))

    def topic_active(self, name: ConnectorName, topic: str, task: int) -> None:
        self._hear(lambda: self.topics.append((name, topic, task)))

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` holds, looked at again after each change."""
        with self.changed:
            if not self.changed.wait_for(condition, PATIENCE):
                raise AssertionError(
                    f"waited {PATIENCE:.0f} s for {what}; heard {self.connectors}, {self.tasks}, {self.traces[-1:]}"
                )

    def wait_task(self, task: TaskId, state: State) -> None:
        """Wait until the task is in `state`."""
        self.wait(lambda: self.tasks.get(task, [])[-1:] == [state], f"{task} to be {state}")

    def wait_connector(self, name: str, state: State) -> None:
        """Wait until the connector is in `state`."""
        self.wait(lambda: self.connectors.get(name, [])[-1:] == [state], f"{name} to be {state}")
