"""A worker over a Kafka in memory, with a probe of each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import pytest

from syncline.ids import ConnectorName, TaskId
from syncline.stores.memory import MemoryOffsets
from syncline.testing.builders import Heard, worker_settings
from syncline.testing.kafka import MemoryKafka
from syncline.testing.probes import PROBE_SINK, PROBE_SOURCE, ProbeSink, ProbeSource
from syncline.worker.plugins import Plugins
from syncline.worker.states import State, TargetState
from syncline.worker.worker import Worker


@cache
def installed() -> Plugins:
    return Plugins.installed()


NAME: Final = ConnectorName("c")
NOTHING: Final[Mapping[str, str]] = {}


@dataclass
class World:
    """What a test of the worker has at hand; connectors are called `c`."""

    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    heard: Heard = field(default_factory=Heard)
    sink: ProbeSink = field(default_factory=ProbeSink)
    source: ProbeSource = field(default_factory=ProbeSource)
    offsets: MemoryOffsets = field(default_factory=MemoryOffsets)
    name: ConnectorName = NAME
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.make_worker()

    def make_worker(self, **properties: str) -> None:
        """Another worker, with other properties, over the same Kafka and offsets."""
        plugins = Plugins([*installed().all, self.sink.plugin(), self.source.plugin()])
        self.worker = Worker(worker_settings(**properties), plugins, self.offsets, self.heard, kafka=self.kafka)
        self.worker.start()

    def task(self, index: int = 0) -> TaskId:
        return TaskId(self.name, index)

    def start_sink(
        self, options: Mapping[str, str] = NOTHING, *, target: TargetState = TargetState.STARTED, index: int = 0
    ) -> TaskId:
        """A sink task on topic `t`."""
        return self._start({"connector.class": PROBE_SINK, "topics": "t", **options}, target, index)

    def start_source(
        self, options: Mapping[str, str] = NOTHING, *, target: TargetState = TargetState.STARTED, index: int = 0
    ) -> TaskId:
        """A source task."""
        return self._start({"connector.class": PROBE_SOURCE, **options}, target, index)

    def _start(self, config: dict[str, str], target: TargetState, index: int) -> TaskId:
        task = self.task(index)
        self.worker.start_task(task, {"name": self.name, **config}, {}, target)
        if target is TargetState.STARTED:
            self.heard.wait(lambda: bool(self.heard.tasks.get(task)), "the task to say something")
        return task

    def stop(self, task: TaskId | None = None) -> None:
        self.worker.stop_tasks([task or self.task()])

    def committed(self, partition: int = 0) -> int | None:
        """What the sink's group has committed of topic `t`."""
        found = self.kafka.committed(f"connect-{self.name}")
        return next((at for tp, at in found.items() if tp == ("t", partition)), None)

    def wait_committed(self, offset: int, partition: int = 0) -> None:
        with self.kafka.changed:
            assert self.kafka.changed.wait_for(lambda: self.committed(partition) == offset, 20), (
                f"committed {self.committed(partition)}, not {offset}"
            )

    def wait_failed(self, task: TaskId | None = None) -> str:
        """The trace of a task that fails."""
        self.heard.wait_task(task or self.task(), State.FAILED)
        return self.heard.traces[-1]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.worker.stop()
