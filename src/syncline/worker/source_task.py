"""The loop of a source task: poll, convert, produce, commit offsets (spec/connect.md 5.4)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from syncline.api import OffsetReader, SourceTask
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConnectError, RetriableError
from syncline.ids import TaskId
from syncline.kafka.client import Admin, Producer
from syncline.stores.offsets import OffsetStore
from syncline.worker.ledger import Ledger
from syncline.worker.metrics import SourceMetrics
from syncline.worker.pipeline import SourcePipeline

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 0.1


class SourceTaskRunner:
    """Runs one source task; `run` is the body of its thread."""

    def __init__(
        self,
        task_id: TaskId,
        task: SourceTask,
        config: Mapping[str, str],
        *,
        make_producer: Callable[[], Producer],
        make_admin: Callable[[], Admin],
        make_pipeline: Callable[[], SourcePipeline],
        store: OffsetStore,
        reader: OffsetReader,
        flush_ms: int,
        flush_timeout_ms: int,
        stopping: threading.Event,
        on_topic: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.id = task_id
        self._task = task
        self._config = config
        self._make_producer = make_producer
        self._make_admin = make_admin
        self._make_pipeline = make_pipeline
        self._store = store
        self._offsets = reader
        self._flush_seconds = flush_ms / 1000
        self._flush_timeout = flush_timeout_ms / 1000
        self._stopping = stopping
        self._on_topic = on_topic
        self._clock = clock
        self._paused = threading.Event()
        self._ledger = Ledger()
        self._topics_seen: set[str] = set()
        self.metrics = SourceMetrics()

    # -- from other threads -------------------------------------------------------------------

    def set_paused(self, paused: bool) -> None:
        """Stop or go on calling `poll`."""
        if paused:
            self._paused.set()
        else:
            self._paused.clear()

    def interrupt(self) -> None:
        """Make a running `poll` return."""
        self._task.stop()

    # -- the context the task is given --------------------------------------------------------

    @property
    def offsets(self) -> OffsetReader:
        return self._offsets

    @property
    def config(self) -> Mapping[str, str]:
        return self._config

    # -- the task's thread --------------------------------------------------------------------

    def run(self, started: Callable[[], None]) -> None:
        """Start the task, work until told to stop, commit once more. Raises what fails the task."""
        pipeline = self._make_pipeline()
        producer = self._make_producer()
        try:
            while self._paused.is_set() and not self._stopping.is_set():
                self._clock.wait(self._stopping, IDLE_SECONDS)
            self._task.start(self._config, self)
            started()
            try:
                self._work(pipeline, producer)
            finally:
                self._last_commit(producer)
        finally:
            self._task.close()
            producer.close()

    def _work(self, pipeline: SourcePipeline, producer: Producer) -> None:
        next_commit = self._clock.monotonic() + self._flush_seconds
        while not self._stopping.is_set():
            producer.check()
            if self._clock.monotonic() >= next_commit:
                self._commit(producer, self._flush_timeout)
                next_commit = self._clock.monotonic() + self._flush_seconds
            if self._paused.is_set():
                producer.poll()
                self._clock.wait(self._stopping, IDLE_SECONDS)
                continue
            began = self._clock.monotonic()
            try:
                records = self._task.poll()
            except RetriableError as exc:
                log.warning("task %s: poll failed and is tried again: %s", self.id, exc)
                self._clock.wait(self._stopping, IDLE_SECONDS)
                continue
            if not records:
                producer.poll()
                continue
            self.metrics.polled(len(records), self._clock.monotonic() - began)
            self._send(pipeline, producer, list(records))

    def _send(self, pipeline: SourcePipeline, producer: Producer, records: list[object]) -> None:
        send, sent = producer.send, self._ledger.sent
        written = 0
        for entry in pipeline.encode(records):  # type: ignore[arg-type]  # source records
            record = entry.record
            if entry.topic is not None:
                if entry.topic not in self._topics_seen:
                    self._new_topic(entry.topic)
                send(
                    entry.topic,
                    entry.key,
                    entry.value,
                    partition=record.partition,
                    timestamp=record.timestamp,
                    headers=entry.headers,
                )
                written += 1
            sent(record.source_partition, record.source_offset)
        producer.poll()
        self.metrics.written += written

    def _new_topic(self, topic: str) -> None:
        self._topics_seen.add(topic)
        partitions = self._config.get("topic.creation.default.partitions")
        if partitions is not None:
            factor = int(self._config.get("topic.creation.default.replication.factor") or -1)
            prefix = "topic.creation.default."
            configs = {
                key.removeprefix(prefix): value
                for key, value in self._config.items()
                if key.startswith(prefix)
                and key.removeprefix(prefix) not in ("partitions", "replication.factor", "include", "exclude")
            }
            self._make_admin().create_topic(
                topic, partitions=int(partitions), replication_factor=factor, configs=configs, exists_ok=True
            )
        self._on_topic(topic)

    def _commit(self, producer: Producer, timeout: float) -> bool:
        """Commit the offsets of everything acknowledged; False when acknowledgements took too long."""
        if not len(self._ledger):
            return True
        taken = self._ledger.take()
        began = self._clock.monotonic()
        try:
            if not producer.flush(timeout):
                self._ledger.give_back(taken)
                self.metrics.commit(False, self._clock.monotonic() - began)
                log.warning(
                    "task %s: records were not acknowledged within %.0f s; offsets are committed later",
                    *(self.id, timeout),
                )
                return False
        except ConnectError:
            self._ledger.give_back(taken)
            raise
        self._store.commit(self.id.connector, taken)
        self.metrics.commit(True, self._clock.monotonic() - began)
        self._task.commit()
        return True

    def _last_commit(self, producer: Producer) -> None:
        try:
            self._commit(producer, self._flush_timeout)
        except ConnectError as exc:
            log.error("task %s: the last offsets were not committed: %s", self.id, exc)
