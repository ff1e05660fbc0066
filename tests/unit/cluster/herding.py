"""A herder over a Kafka in memory, with a probe of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from syncline.client.models import ConnectorStateInfo
from syncline.cluster.answers import DistributedAnswers
from syncline.cluster.standalone import StandaloneHerder
from syncline.errors import NotFound
from syncline.stores.memory import MemoryOffsets
from syncline.testing.builders import WORKER
from syncline.testing.kafka import MemoryKafka
from syncline.testing.probes import PROBE_SINK, PROBE_SOURCE, ProbeSink, ProbeSource
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from tests.unit.worker.conftest import installed

SOURCE: Final = {"connector.class": PROBE_SOURCE}
SINK: Final = {"connector.class": PROBE_SINK, "topics": "t"}


@dataclass
class Site:
    """What a test of the herder has at hand; a connector `c` is the one that is looked at."""

    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    source: ProbeSource = field(default_factory=ProbeSource)
    sink: ProbeSink = field(default_factory=ProbeSink)
    offsets: MemoryOffsets = field(default_factory=MemoryOffsets)
    properties: Mapping[str, str] = field(default_factory=dict)
    """Of the worker, besides what all tests have."""
    started: bool = True
    herder: StandaloneHerder = field(init=False)

    def __post_init__(self) -> None:
        plugins = Plugins([*installed().all, self.source.plugin(), self.sink.plugin()])
        settings = WorkerSettings.of({**WORKER, **self.properties})
        self.herder = StandaloneHerder(
            settings, plugins, self.offsets, "here:1", answers=DistributedAnswers(), kafka=self.kafka
        )
        if self.started:
            self.herder.start()

    def status(self) -> ConnectorStateInfo:
        return self.herder.status("c")

    def states(self) -> tuple[str, list[str]]:
        """Of the connector and of its tasks."""
        try:
            status = self.status()
        except NotFound:
            return "", []
        return status.connector.state, [task.state for task in status.tasks]
