"""The standalone herder: one worker, configurations in memory, source offsets in a file (spec/connect.md 2.4)."""

from __future__ import annotations

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.cluster.answers import Answers, StandaloneAnswers
from syncline.cluster.local import LocalHerder
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import Kafka
from syncline.stores.configs import ConfigEvent
from syncline.stores.offsets import OffsetStore
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings


class StandaloneHerder(LocalHerder):
    """Connectors created by requests are gone with the process."""

    def __init__(
        self,
        settings: WorkerSettings,
        plugins: Plugins,
        offsets: OffsetStore,
        worker_id: str,
        *,
        answers: Answers | None = None,
        kafka: Kafka = KAFKA,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(
            settings, plugins, offsets, worker_id, answers=answers or StandaloneAnswers(), kafka=kafka, clock=clock
        )

    def _start(self) -> None:
        with self.progress.during("reading stored offsets"):
            self._worker.start()
        self._find_cluster()
        self._ready.set()

    def _record(self, *events: ConfigEvent) -> None:
        with self._lock:
            for event in events:
                self._snapshot = self._snapshot.apply(event)

    def set_cluster_logger(self, name: str, level: str | None) -> None:
        self.set_logger(name, level)
