"""The loop of a sink task: take, put, commit (spec/connect.md 5.5).

Two threads serve one task. The reader (`sink_reader`) polls Kafka and decodes, a little ahead; this loop puts and
commits on the task's own thread, which is the only one the task ever sees. So the next records are decoded while the
database works on these. What passes between the two is in `handoff`, what may be committed in `positions`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from syncline.api import ErrantRecordReporter, SinkTask
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.data import SinkRecord
from syncline.errors import ConnectError, RetriableError
from syncline.ids import TaskId, TopicPartition
from syncline.kafka.ports import Consumer, KafkaRecord
from syncline.worker.decoding import Decoder
from syncline.worker.dlq import DeadLetters
from syncline.worker.handoff import Batch, Handoff
from syncline.worker.metrics import SinkMetrics
from syncline.worker.positions import Positions
from syncline.worker.sink_commits import SinkCommits
from syncline.worker.sink_reader import SinkReader, TopicChoice
from syncline.worker.states import State, TargetState
from syncline.worker.task import Say
from syncline.worker.tolerance import Failure, Skipped, Stage, Tolerance

log = logging.getLogger(__name__)

AHEAD_READS: Final = 2
"""How many full reads the reader may be ahead."""
AHEAD_BYTES: Final = 32 * 1024 * 1024
"""How many bytes, as they were in Kafka, it may be ahead."""
IDLE_SECONDS: Final = 1.0
"""After so long without records the task is given an empty list, so that it can flush by time."""
RETRY_FIRST_SECONDS: Final = 0.5
RETRY_MOST_SECONDS: Final = 10.0
"""Between tries of the same list, doubling, where the task asks for no time of its own."""
SINK_TASK: Final = "org.apache.kafka.connect.sink.SinkTask"


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkParts:
    """What a sink task is made of, by its worker; the callables are used on the task's thread."""

    task: Callable[[], SinkTask]
    consumer: Callable[[], Consumer]
    decoder: Callable[[], Decoder]
    letters: Callable[[], DeadLetters | None]
    tolerance: Tolerance
    reread: Callable[[TopicPartition, int], KafkaRecord | None]
    """A record as it stands in Kafka, for a task that reports it long after it was put."""
    topic_active: Callable[[str], None]
    """Told once of each topic that records come from."""


class SinkLoop:
    """Runs one sink task; `run` is the body of its thread."""

    def __init__(
        self,
        task_id: TaskId,
        config: Mapping[str, str],
        parts: SinkParts,
        *,
        target: TargetState,
        poll_records: int,
        flush_ms: int,
        flush_timeout_ms: int,
        stopping: threading.Event,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`stopping` is the task's: waiting for a retry ends when it is set."""
        self.id = task_id
        self.config = config
        self.metrics = SinkMetrics()
        self._parts = parts
        self._tolerance = parts.tolerance
        self._target = target
        self._poll_records = poll_records
        self._flush_seconds = flush_ms / 1000
        self._flush_timeout = flush_timeout_ms / 1000
        self._stopping = stopping
        self._abandoned = threading.Event()
        self._clock = clock
        self._positions = Positions()
        self._handoff = Handoff(max_records=AHEAD_READS * poll_records, max_bytes=AHEAD_BYTES)
        self._task: SinkTask
        self._commits: SinkCommits
        self._reader: SinkReader | None = None
        self._paused = False
        self._pending: Batch | None = None
        """Given to the task, which has not taken it yet."""
        self._aside: Batch | None = None
        """Read ahead of partitions that the task paused meanwhile."""
        self._held: set[TopicPartition] = set()
        """Partitions the task paused."""
        self._last_put = 0.0
        self._retry_at = 0.0
        self._retries = 0
        self._asked_delay: float | None = None
        self._commit_wanted = False
        self._next_commit = 0.0
        self._opening: Collection[TopicPartition] = ()
        self._starts: dict[TopicPartition, int] = {}
        self._topics_seen: set[str] = set()

    # -- from other threads -------------------------------------------------------------------

    def set_target(self, target: TargetState) -> None:
        self._target = target
        self._handoff.wake()

    def forget_topics(self) -> None:
        self._topics_seen.clear()

    def stop(self) -> None:
        self._stopping.set()
        self._handoff.wake()

    def abandon(self) -> None:
        self._abandoned.set()
        self._handoff.close()
        if self._reader is not None:
            # Whoever is to have the partitions next waits until this member has left the group.
            self._reader.finish(0)

    # -- the task's thread --------------------------------------------------------------------

    def run(self, say: Say) -> None:
        if not self._await_resume(say):
            return
        topics = TopicChoice(self.config)
        letters = self._parts.letters()
        try:
            if letters is not None:
                self._tolerance.reporters.append(letters)
            decoder = self._parts.decoder()
            try:
                self._run_task(say, topics, letters, decoder)
            finally:
                decoder.close()
        finally:
            if letters is not None:
                letters.close()

    def _await_resume(self, say: Say) -> bool:
        """A task that is to be paused is not even started; False when it was stopped meanwhile."""
        if self._target is not TargetState.STARTED:
            say(State.PAUSED)
        while self._target is not TargetState.STARTED and not self._stopping.is_set():
            self._handoff.wait(IDLE_SECONDS)
        return not self._stopping.is_set()

    def _run_task(self, say: Say, topics: TopicChoice, letters: DeadLetters | None, decoder: Decoder) -> None:
        self._task = self._parts.task()
        failure: Exception | None = None
        try:
            self._task.start(self.config, _Context(self))
            self._start_reading(topics, letters, decoder)
            say(State.RUNNING)
            self._work(say)
        except Exception as exc:
            failure = exc
            raise
        finally:
            self._close(failure)

    def _start_reading(self, topics: TopicChoice, letters: DeadLetters | None, decoder: Decoder) -> None:
        consumer = self._parts.consumer()
        self._commits = SinkCommits(
            str(self.id),
            self._task,
            consumer,
            self._positions,
            letters,
            self.metrics.commits,
            timeout=self._flush_timeout,
            clock=self._clock,
        )
        self._reader = SinkReader(
            str(self.id),
            consumer,
            decoder,
            self._handoff,
            _Owner(self),
            topics,
            self.metrics,
            count=self._poll_records,
            keep_raw=bool(self._tolerance.reporters),
            clock=self._clock,
        )
        self._reader.start()
        self._last_put = self._clock.monotonic()
        self._next_commit = self._last_put + self._flush_seconds

    def _work(self, say: Say) -> None:
        while not self._stopping.is_set():
            self._handoff.serve()
            self._obey_target(say)
            self._commits.settle()
            now = self._clock.monotonic()
            if self._commits.idle and (self._commit_wanted or now >= self._next_commit):
                self._commit()
            wait = min(max(self._next_commit - now, 0.0), IDLE_SECONDS)
            if self._paused:
                self._handoff.wait(wait)
            elif now < self._retry_at:
                self._handoff.wait(min(wait, self._retry_at - now))
            elif self._pending is not None:
                self._put(self._pending)
            else:
                self._take(wait)

    def _obey_target(self, say: Say) -> None:
        pause = self._target is not TargetState.STARTED
        if pause is not self._paused:
            self._paused = pause
            self._tell_reader()
            log.info("task %s is %s", self.id, "paused" if pause else "resumed")
            say(State.PAUSED if pause else State.RUNNING)

    def _tell_reader(self) -> None:
        if self._reader is not None:
            self._reader.hold(self._held, everything=self._paused)

    def _commit(self) -> None:
        self._commit_wanted = False
        self._next_commit = self._clock.monotonic() + self._flush_seconds
        self._rewind(self._commits.begin())

    # -- putting ------------------------------------------------------------------------------

    def _take(self, seconds: float) -> None:
        batch = self._resumed() or self._handoff.take(self._poll_records, seconds)
        if batch is None:
            if self._positions.owned and self._clock.monotonic() - self._last_put >= IDLE_SECONDS:
                self._put_nothing()
            return
        self._positions.started(batch.starts)
        self._set_held_aside(batch)
        self._tell_topics(batch)
        if batch.records:
            self._pending = batch
            self._put(batch)
        else:
            self._positions.delivered(batch.positions)

    def _resumed(self) -> Batch | None:
        """What was set aside of partitions that the task has resumed since."""
        if self._aside is None:
            return None
        ready = self._aside.positions.keys() - self._held
        if not ready:
            return None
        batch = self._aside.only(ready)
        self._aside.without(ready)
        if not self._aside.positions:
            self._aside = None
        return batch

    def _set_held_aside(self, batch: Batch) -> None:
        """What was read before the task paused its partition waits until it is resumed."""
        held = self._held & batch.positions.keys()
        if held:
            aside = batch.only(held)
            if self._aside is None:
                self._aside = aside
            else:
                self._aside.extend(aside)
            batch.without(held)

    def _put(self, batch: Batch) -> None:
        """Put the batch; it stays pending until the task takes it."""
        count, began = len(batch.records), self._clock.monotonic()
        self._asked_delay = None
        try:
            self._call_put(batch.records)
        except RetriableError as exc:
            self._retries += 1
            self.metrics.put_retries += 1
            delay = self._retry_delay()
            self._retry_at = self._clock.monotonic() + delay
            log.warning("task %s: %d records are put again in %.1f s: %s", self.id, count, delay, exc)
            return
        self._retries = 0
        # A rewind by the task during `put` has taken its partitions out of the batch.
        self._positions.delivered(batch.positions)
        self._pending = None
        self._last_put = self._clock.monotonic()
        self.metrics.put.record(count)
        self.metrics.put_seconds.record(self._last_put - began)
        self.metrics.last_put_ms = self._clock.wall_ms()

    def _put_nothing(self) -> None:
        self._last_put = self._clock.monotonic()
        try:
            self._call_put([])
        except RetriableError as exc:
            log.warning("task %s: %s", self.id, exc)

    def _call_put(self, records: list[SinkRecord]) -> None:
        try:
            self._task.put(records)
        except RetriableError:
            raise
        except Exception as exc:  # a stranger's task
            raise ConnectError("Exiting WorkerSinkTask due to unrecoverable exception.") from exc

    def _retry_delay(self) -> float:
        if self._asked_delay is not None:
            return self._asked_delay
        doubled: float = RETRY_FIRST_SECONDS * 2 ** min(self._retries - 1, 16)
        return min(doubled, RETRY_MOST_SECONDS)

    def _tell_topics(self, batch: Batch) -> None:
        for topic in {partition.topic for partition in batch.positions} - self._topics_seen:
            self._topics_seen.add(topic)
            self._parts.topic_active(topic)

    # -- partitions come and go ---------------------------------------------------------------

    def opened(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The group gave the task these; returns where the task wants to begin instead of the committed offsets."""
        self._positions.gained(partitions)
        self.metrics.partitions = len(self._positions.owned)
        self._opening, self._starts = partitions, {}
        try:
            self._task.open(partitions)
        finally:
            self._opening = ()
        return self._starts

    def closed(self, partitions: Collection[TopicPartition], *, lost: bool) -> None:
        """The group takes these, or has taken them when they are `lost`."""
        mine = sorted(self._positions.owned & set(partitions))
        if not mine:
            return
        self._drop(mine)
        try:
            # Before they go, not after: once the group has moved on our commit is refused, the next owner starts
            # from the old offset, and everything since is written twice.
            if not lost:
                self._commits.now(mine)
            self._task.close(mine)
        finally:
            self._positions.gave_up(mine)
            self._held -= set(mine)
            self.metrics.partitions = len(self._positions.owned)

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        """Forget what the task has not taken of these partitions."""
        for batch in (self._pending, self._aside):
            if batch is not None:
                batch.without(partitions)
        if self._pending is not None and not self._pending.positions:
            self._pending = None
        if self._aside is not None and not self._aside.positions:
            self._aside = None

    def _rewind(self, offsets: Mapping[TopicPartition, int]) -> None:
        mine = {tp: offset for tp, offset in offsets.items() if tp in self._positions.owned}
        if mine:
            self._handoff.rewind(mine)
            self._drop(mine)
            self._positions.rewound(mine)

    def _close(self, failure: Exception | None) -> None:
        """Commit what was put, give everything back, leave the group. An error does not hide `failure`."""
        try:
            if self._reader is not None:
                self._reader.end()
                if not self._abandoned.is_set():
                    self.closed(list(self._positions.owned), lost=False)
        except Exception:
            if failure is None:
                raise
            log.exception("task %s, which failed before, did not close its partitions cleanly", self.id)
        finally:
            self._handoff.close()
            if self._reader is not None:
                self._reader.finish(self._flush_timeout)
            self._stop_task()

    def _stop_task(self) -> None:
        try:
            self._task.stop()
        except Exception:  # a stranger's task, which is going away
            log.exception("Could not stop task %s", self.id)

    # -- what the task asks for (api.SinkContext) ---------------------------------------------

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions.owned)

    @property
    def reporter(self) -> ErrantRecordReporter | None:
        return self if self._tolerance.reporters else None

    def ask_delay(self, milliseconds: int) -> None:
        self._asked_delay = max(milliseconds, 0) / 1000

    def ask_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._starts |= {tp: offset for tp, offset in offsets.items() if tp in self._opening}
        self._rewind({tp: offset for tp, offset in offsets.items() if tp not in self._opening})

    def ask_pause(self, partitions: Collection[TopicPartition]) -> None:
        self._must_own(partitions)
        self._held |= set(partitions)
        self._tell_reader()

    def ask_resume(self, partitions: Collection[TopicPartition]) -> None:
        self._must_own(partitions)
        self._held -= set(partitions)
        self._tell_reader()

    def _must_own(self, partitions: Collection[TopicPartition]) -> None:
        foreign = sorted(set(partitions) - self._positions.owned)
        if foreign:
            named = ", ".join(map(str, foreign))
            raise ConnectError(f"a sink task may pause and resume only partitions it has, and not {named}")

    def ask_commit(self) -> None:
        self._commit_wanted = True

    def report(self, record: SinkRecord, error: Exception) -> None:
        """Set one record aside (api.ErrantRecordReporter)."""
        place = TopicPartition(record.kafka_topic, record.kafka_partition)
        raw = self._raw(place, record.offset) or self._parts.reread(place, record.offset)
        if raw is None:
            raise ConnectError(f"the record at {place}, offset {record.offset} is gone from Kafka: cannot report it")
        self._tolerance.metrics.record_failures += 1
        try:
            self._tolerance.give_up(Failure(Stage.TASK_PUT, SINK_TASK, error, raw))
        except Skipped:
            return

    def _raw(self, place: TopicPartition, offset: int) -> KafkaRecord | None:
        """The original of a record of the batch in hand."""
        if self._pending is None:
            return None
        return next(
            (
                raw
                for raws in self._pending.raws
                for raw in raws
                if raw.offset == offset and raw.partition == place.partition and raw.topic == place.topic
            ),
            None,
        )


class _Owner:
    """The loop as its reader sees it."""

    def __init__(self, loop: SinkLoop) -> None:
        self.opened = loop.opened
        self.closed = loop.closed


class _Context:
    """The loop as the task sees it (api.SinkContext)."""

    def __init__(self, loop: SinkLoop) -> None:
        self._loop = loop
        self.timeout = loop.ask_delay
        self.offset = loop.ask_offsets
        self.request_commit = loop.ask_commit

    @property
    def config(self) -> Mapping[str, str]:
        return self._loop.config

    @property
    def assignment(self) -> Collection[TopicPartition]:
        return self._loop.assignment

    @property
    def errant_record_reporter(self) -> ErrantRecordReporter | None:
        return self._loop.reporter

    def pause(self, *partitions: TopicPartition) -> None:
        self._loop.ask_pause(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._loop.ask_resume(partitions)
