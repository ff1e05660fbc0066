"""The loop of a sink task: read, convert, put, commit (spec/connect.md 5.5).

Two threads serve one task. The reader polls Kafka and converts, up to a few batches ahead; the task's own thread puts
them and commits, so that the next batch is decoded while the database works on this one. The task sees one thread
only. Partitions that are taken away travel through the same queue as records: everything read before is put first.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from syncline.api import ErrantRecordReporter, SinkTask
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.data import SinkRecord
from syncline.errors import ConnectError, RetriableError
from syncline.ids import TaskId, TopicPartition
from syncline.kafka.client import Consumer
from syncline.kafka.ports import KafkaRecord as Message
from syncline.kafka.ports import Rebalance
from syncline.worker.dlq import DeadLetters
from syncline.worker.metrics import SinkMetrics
from syncline.worker.pipeline import SinkPipeline
from syncline.worker.tolerance import Failure, Stage, Tolerance, Tolerated

log = logging.getLogger(__name__)

BATCH: Final = 5_000
"""Records per poll unless `consumer.override.max.poll.records` says otherwise."""
AHEAD: Final = 2
"""Batches converted ahead of the task."""
POLL_SECONDS: Final = 0.2
RETRY_MS: Final = 3_000
MAX_RETRY_WAIT: Final = 0.2
SINK_TASK: Final = "org.apache.kafka.connect.sink.SinkTask"


@dataclass(frozen=True, slots=True)
class Batch:
    """Converted records and how far they bring each partition."""

    records: list[SinkRecord]
    offsets: dict[TopicPartition, int]
    messages: dict[tuple[str, int, int], Message]
    """By coordinates; for dead letters, which carry the original bytes. Empty when no letters are written."""
    epoch: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Partitions came or went; the reader waits until the task has dealt with it."""

    kind: str
    partitions: list[TopicPartition]
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Broken:
    """The reader cannot go on."""

    error: Exception


class SinkTaskRunner:
    """Runs one sink task; `run` is the body of its thread."""

    def __init__(
        self,
        task_id: TaskId,
        task: SinkTask,
        config: Mapping[str, str],
        *,
        make_consumer: Callable[[], Consumer],
        make_pipeline: Callable[[], SinkPipeline],
        tolerance: Tolerance,
        letters: DeadLetters | None,
        reporting: bool,
        flush_ms: int,
        stopping: threading.Event,
        on_topic: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.id = task_id
        self._task = task
        self._config = config
        self._make_consumer = make_consumer
        self._make_pipeline = make_pipeline
        self._tolerance = tolerance
        self._letters = letters
        self._reporting = reporting
        self._flush_seconds = flush_ms / 1000
        self._stopping = stopping
        self._on_topic = on_topic
        self._clock = clock
        self._batch_size = int(config.get("consumer.override.max.poll.records") or BATCH)
        self._queue: queue.Queue[Batch | Moved | Broken] = queue.Queue(AHEAD)
        self._paused = threading.Event()
        self._state_changed = threading.Event()
        self._reader_done = threading.Event()
        self._finished = threading.Event()
        """The task's last commit is over, so the consumer may close; closing it earlier would block the commit."""
        self._consumer: Consumer
        self._owned: set[TopicPartition] = set()
        self._held: set[TopicPartition] = set()
        """Partitions the task itself paused."""
        self._delivered: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._rewind: dict[TopicPartition, int] = {}
        self._epoch = 0
        self._timeout_ms: int | None = None
        self._commit_wanted = False
        self._current: Batch | None = None
        self._topics_seen: set[str] = set()
        self.metrics = SinkMetrics()

    # -- from other threads -------------------------------------------------------------------

    def set_paused(self, paused: bool) -> None:
        """Stop or go on reading; what was read already is still put."""
        if paused:
            self._paused.set()
        else:
            self._paused.clear()
        self._state_changed.set()

    # -- the task's thread --------------------------------------------------------------------

    def run(self, started: Callable[[], None]) -> None:
        """Start the task, work until told to stop, release everything. Raises what fails the task."""
        try:
            if self._letters is not None:
                self._letters.start()
            pipeline = self._make_pipeline()
            self._consumer = self._make_consumer()
            self._task.start(self._config, _Context(self))
            reader = threading.Thread(target=self._read, args=(pipeline,), name=f"reader-{self.id}", daemon=True)
            reader.start()
            try:
                started()
                self._work()
                self._finish()
            finally:
                self._stopping.set()
                self._finished.set()
                self._drain_until_reader_ends()
                reader.join()
        finally:
            self._task.stop()
            if self._letters is not None:
                self._letters.stop()

    def _work(self) -> None:
        next_commit = self._clock.monotonic() + self._flush_seconds
        while not self._stopping.is_set():
            item = self._next(max(0.0, min(next_commit - self._clock.monotonic(), POLL_SECONDS)))
            if isinstance(item, Broken):
                raise item.error
            if isinstance(item, Moved):
                self._moved(item)
            elif item is None:
                self._put_nothing()
            elif item.epoch == self._epoch:
                self._put(item)
            if self._commit_wanted or self._clock.monotonic() >= next_commit:
                self._commit(self._owned)
                next_commit = self._clock.monotonic() + self._flush_seconds

    def _next(self, seconds: float) -> Batch | Moved | Broken | None:
        try:
            return self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None

    def _put_nothing(self) -> None:
        # Connect's contract: an empty list when nothing was read, so that a task can flush by time.
        if self._owned:
            self._task.put([])

    def _put(self, batch: Batch) -> None:
        """Put until the task takes it; the same list each time."""
        self._current = batch
        for topic in {record.kafka_topic for record in batch.records} - self._topics_seen:
            self._topics_seen.add(topic)
            self._on_topic(topic)
        while True:
            began = self._clock.monotonic()
            try:
                self._task.put(batch.records)
                break
            except RetriableError as exc:
                self._tolerance.metrics.retries += 1
                wait = (self._timeout_ms if self._timeout_ms is not None else RETRY_MS) / 1000
                self._timeout_ms = None
                log.warning("task %s: %s; the same records are put again in %.1f s", self.id, exc, wait)
                if self._wait_serving_moves(wait):
                    return
            except ConnectError as exc:
                raise ConnectError("Exiting WorkerSinkTask due to unrecoverable exception.") from exc
            except Exception as exc:
                raise ConnectError("Exiting WorkerSinkTask due to unrecoverable exception.") from exc
        self._timeout_ms = None
        self.metrics.put(len(batch.records), self._clock.monotonic() - began)
        if batch.epoch == self._epoch:
            self._delivered.update({tp: offset for tp, offset in batch.offsets.items() if tp in self._owned})
        self._current = None

    def _wait_serving_moves(self, seconds: float) -> bool:
        """Wait before the next try; True when the records are not to be tried again."""
        self._clock.wait(self._stopping, seconds)
        return self._stopping.is_set()

    def _commit(self, partitions: Collection[TopicPartition]) -> bool:
        """Commit what the task says is safe; False when the group did not take it."""
        self._commit_wanted = False
        reached = {tp: self._delivered[tp] for tp in partitions if tp in self._delivered}
        if not reached:
            return True
        try:
            if self._letters is not None:
                self._letters.flush()
            safe = self._task.pre_commit(reached)
        except Exception:  # the task could not flush: what it was given since the last commit comes again
            log.exception("task %s could not flush; it gets its records since the last commit again", self.id)
            self._rewind.update({tp: self._committed[tp] for tp in reached if tp in self._committed})
            self._apply_rewind()
            return False
        wanted = {
            tp: min(offset, reached[tp])
            for tp, offset in safe.items()
            if tp in reached and self._committed.get(tp) != min(offset, reached[tp])
        }
        if not wanted:
            return True
        try:
            self._consumer.commit(wanted)
        except ConnectError as exc:
            self.metrics.commit(False)
            log.warning("task %s: offsets were not committed, next try at the next interval: %s", self.id, exc)
            return False
        self._committed.update(wanted)
        self.metrics.commit(True)
        return True

    def _moved(self, moved: Moved) -> None:
        try:
            if moved.kind == "assigned":
                self._owned |= set(moved.partitions)
                for partition in moved.partitions:
                    self._delivered.pop(partition, None)
                    self._committed.pop(partition, None)
                self._task.open(moved.partitions)
            else:
                # Commit before giving up, not after: once the group has moved on our commit is refused, the
                # new owner starts from the old offset, and everything since is written twice.
                if moved.kind == "revoked":
                    self._commit(moved.partitions)
                self._owned -= set(moved.partitions)
                self._held -= set(moved.partitions)
                for partition in moved.partitions:
                    self._delivered.pop(partition, None)
                    self._committed.pop(partition, None)
                self._task.close(moved.partitions)
            self.metrics.partitions = len(self._owned)
        finally:
            moved.done.set()

    def _finish(self) -> None:
        """Asked to stop: commit what was put. What was read but not put is read again next time."""
        self._commit(self._owned)

    def _drain_until_reader_ends(self) -> None:
        """The reader may wait for us with partitions to give back while it leaves the group."""
        while not self._reader_done.is_set():
            item = self._next(0.05)
            if isinstance(item, Moved):
                try:
                    if item.kind != "assigned" and set(item.partitions) & self._owned:
                        self._owned -= set(item.partitions)
                        self._task.close(item.partitions)
                except Exception:  # the task ends anyway, with its first error
                    log.exception("task %s failed to close its partitions", self.id)
                finally:
                    item.done.set()

    def _apply_rewind(self) -> None:
        """Forget what was read ahead; the reader seeks before it reads on."""
        if self._rewind:
            for partition, offset in self._rewind.items():
                self._delivered[partition] = offset
            self._epoch += 1

    # -- reporting ----------------------------------------------------------------------------

    def report(self, record: SinkRecord, error: Exception) -> None:
        """Set one record aside; ConnectError when that is not tolerated."""
        batch = self._current
        place = (record.kafka_topic, record.kafka_partition, record.offset)
        message = batch.messages.get(place) if batch is not None else None
        where = f"topic '{place[0]}', partition {place[1]}, offset {place[2]}"
        try:
            self._tolerance.fail(Failure(Stage.TASK_PUT, SINK_TASK, error, message, where))
        except Tolerated:
            return

    # -- the reader's thread ------------------------------------------------------------------

    def _read(self, pipeline: SinkPipeline) -> None:
        consumer = self._consumer
        try:
            consumer.subscribe(
                _subscription(self._config),
                Rebalance(
                    lambda partitions: self._hand_over(Moved("assigned", partitions)),
                    lambda partitions: self._hand_over(Moved("revoked", partitions)),
                    lambda partitions: self._hand_over(Moved("lost", partitions)),
                ),
            )
            epoch = 0
            while not self._stopping.is_set():
                if self._state_changed.is_set():
                    self._state_changed.clear()
                    self._apply_pause(consumer)
                if epoch != self._epoch:
                    epoch = self._epoch
                    self._seek(consumer)
                messages = consumer.read(self._batch_size, POLL_SECONDS)
                if messages and epoch == self._epoch:
                    self._deliver(consumer, self._convert(pipeline, messages, epoch))
        except Exception as exc:  # reaches the task's thread, which fails with it
            if not self._stopping.is_set():
                self._put_item(Broken(exc))
        finally:
            self._finished.wait()
            try:
                consumer.close()
            except Exception:  # the task ends anyway
                log.exception("task %s: the consumer did not close cleanly", self.id)
            self._reader_done.set()

    def _convert(self, pipeline: SinkPipeline, messages: Sequence[Message], epoch: int) -> Batch:
        records = pipeline.records(messages)
        self.metrics.read += len(messages)
        offsets: dict[TopicPartition, int] = {}
        for message in messages:
            offsets[TopicPartition(message.topic, message.partition)] = message.offset + 1
        originals = {(m.topic, m.partition, m.offset): m for m in messages} if self._reporting else {}
        return Batch(records, offsets, originals, epoch)

    def _deliver(self, consumer: Consumer, batch: Batch) -> None:
        """Queue a batch; while the task is busy keep polling, or the group would take us for dead."""
        try:
            self._queue.put(batch, timeout=POLL_SECONDS)
            return
        except queue.Full:
            pass
        assigned = consumer.assignment()
        consumer.pause(assigned)
        early: list[Message] = []
        try:
            while not self._stopping.is_set():
                early += consumer.read(1, 0.05)
                try:
                    self._queue.put_nowait(batch)
                    break
                except queue.Full:
                    continue
        finally:
            still = set(consumer.assignment())
            if not self._paused.is_set():
                consumer.resume([tp for tp in assigned if tp in still and tp not in self._held])
        for message in early:
            # Came out of the local queue before the pause took hold; asked for again, in order.
            partition = TopicPartition(message.topic, message.partition)
            if partition in still:
                consumer.seek(partition, message.offset)
                still.discard(partition)

    def _apply_pause(self, consumer: Consumer) -> None:
        assigned = consumer.assignment()
        if self._paused.is_set():
            consumer.pause(assigned)
        else:
            consumer.pause([tp for tp in assigned if tp in self._held])
            consumer.resume([tp for tp in assigned if tp not in self._held])

    def _seek(self, consumer: Consumer) -> None:
        wanted, self._rewind = self._rewind, {}
        for partition, offset in wanted.items():
            if partition in set(consumer.assignment()):
                consumer.seek(partition, offset)

    def _hand_over(self, moved: Moved) -> None:
        """Called while polling; the group waits for us, so we wait for the task."""
        if moved.kind == "assigned":
            self._state_changed.set()
        self._put_item(moved)
        while not moved.done.wait(0.1):
            if self._stopping.is_set() and self._reader_done.is_set():
                return

    def _put_item(self, item: Moved | Broken) -> None:
        while True:
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                if self._stopping.is_set() and isinstance(item, Broken):
                    return


class _Context:
    """What the task is offered (api.SinkContext)."""

    def __init__(self, runner: SinkTaskRunner) -> None:
        self._runner = runner

    @property
    def config(self) -> Mapping[str, str]:
        return self._runner._config

    @property
    def assignment(self) -> Collection[TopicPartition]:
        return frozenset(self._runner._owned)

    @property
    def errant_record_reporter(self) -> ErrantRecordReporter | None:
        return self._runner if self._runner._reporting else None

    def timeout(self, milliseconds: int) -> None:
        self._runner._timeout_ms = milliseconds

    def offset(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._runner._rewind.update(offsets)
        self._runner._apply_rewind()

    def pause(self, *partitions: TopicPartition) -> None:
        self._runner._held |= set(partitions)
        self._runner._state_changed.set()

    def resume(self, *partitions: TopicPartition) -> None:
        self._runner._held -= set(partitions)
        self._runner._state_changed.set()

    def request_commit(self) -> None:
        self._runner._commit_wanted = True


def _subscription(config: Mapping[str, Any]) -> list[str]:
    pattern = (config.get("topics.regex") or "").strip()
    if pattern:
        return [f"^(?:{pattern})$"]
    return [topic.strip() for topic in (config.get("topics") or "").split(",") if topic.strip()]
