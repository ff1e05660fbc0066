"""The loop of a source task: poll, encode, send, commit offsets (spec/connect.md 5.4).

Sending does not wait: while records are on their way the task is polled again. The producer reports failures only,
so the moment nothing is outstanding settles everything sent before (`ledger`); a commit waits for that moment. What
is outstanding is bounded by the producer's queue.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from syncline.api import OffsetReader, SourceTask
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.data import SourceRecord
from syncline.errors import ConnectError, RetriableError
from syncline.ids import TaskId
from syncline.kafka.ports import Admin, Delivered, Producer, QueueFull
from syncline.stores.offsets import OffsetStore
from syncline.worker.encoding import Encoder, Outgoing
from syncline.worker.ledger import Ledger
from syncline.worker.metrics import SourceMetrics
from syncline.worker.states import State, TargetState
from syncline.worker.task import Say
from syncline.worker.tolerance import Failure, Skipped, Stage, Tolerance
from syncline.worker.topic_creation import TopicPlan, TopicPlans

log = logging.getLogger(__name__)

ROOM_SECONDS: Final = 0.2
"""How long a send waits for room in the producer's queue before the loop looks whether to stop."""
PAUSED_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 0.1
"""After a poll that failed for now; Kafka Connect polls again at once, which is a busy loop."""
PRODUCER: Final = "org.apache.kafka.clients.producer.KafkaProducer"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceParts:
    """What a source task is made of, by its worker; the callables are used on the task's thread."""

    task: Callable[[], SourceTask]
    producer: Callable[[], Producer]
    admin: Callable[[], Admin]
    encoder: Callable[[], Encoder]
    tolerance: Tolerance
    plans: Callable[[], TopicPlans]
    store: OffsetStore
    offsets: OffsetReader
    topic_active: Callable[[str], None]
    """Told once of each topic that records go to."""


class SourceLoop:
    """Runs one source task; `run` is the body of its thread."""

    def __init__(
        self,
        task_id: TaskId,
        config: Mapping[str, str],
        parts: SourceParts,
        *,
        target: TargetState,
        flush_ms: int,
        flush_timeout_ms: int,
        stopping: threading.Event,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`stopping` is the task's: waiting for a retry ends when it is set."""
        self.id = task_id
        self.config = config
        self.offsets = parts.offsets
        self.metrics = SourceMetrics()
        self._parts = parts
        self._tolerance = parts.tolerance
        self._target = target
        self._flush_seconds = flush_ms / 1000
        self._flush_timeout = flush_timeout_ms / 1000
        self._stopping = stopping
        self._abandoned = threading.Event()
        self._woken = threading.Event()
        self._clock = clock
        self._ledger = Ledger()
        self._unsent: deque[Outgoing] = deque()
        """Encoded, but not yet in the producer's queue."""
        self._undelivered: list[tuple[SourceRecord, Exception]] = []
        self._lossy = False
        """A record is missing in Kafka: no offset sent after it may ever be committed."""
        self._task_lock = threading.Lock()
        self._task: SourceTask | None = None
        self._producer: Producer
        self._admin: Admin | None = None
        self._plans: TopicPlans
        self._topics_seen: set[str] = set()
        self._paused = False
        self._next_commit = 0.0

    # -- from other threads -------------------------------------------------------------------

    def set_target(self, target: TargetState) -> None:
        self._target = target
        self._woken.set()

    def forget_topics(self) -> None:
        self._topics_seen.clear()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()
        with self._task_lock:
            task = self._task
        if task is not None:
            try:
                task.stop()
            except Exception:  # a stranger's task, which is going away
                log.exception("Could not stop task %s", self.id)

    def abandon(self) -> None:
        self._abandoned.set()

    # -- the task's thread --------------------------------------------------------------------

    def run(self, say: Say) -> None:
        if not self._await_resume(say):
            return
        encoder = self._parts.encoder()
        try:
            self._plans = self._parts.plans()
            self._producer = self._parts.producer()
            try:
                self._run_task(say, encoder)
            finally:
                self._producer.close(0 if self._abandoned.is_set() else self._flush_timeout)
        finally:
            encoder.close()

    def _await_resume(self, say: Say) -> bool:
        """A task that is to be paused is not even started; False when it was stopped meanwhile."""
        if self._target is not TargetState.STARTED:
            say(State.PAUSED)
        while self._target is not TargetState.STARTED and not self._stopping.is_set():
            self._pause_a_little()
        return not self._stopping.is_set()

    def _pause_a_little(self) -> None:
        self._clock.wait(self._woken, PAUSED_SECONDS)
        self._woken.clear()

    def _run_task(self, say: Say, encoder: Encoder) -> None:
        task = self._parts.task()
        with self._task_lock:
            self._task = task
        try:
            task.start(self.config, self)
            say(State.RUNNING)
            self._next_commit = self._clock.monotonic() + self._flush_seconds
            try:
                self._work(task, say, encoder)
            finally:
                self._commit_last(task)
        finally:
            try:
                task.close()
            except Exception:  # a stranger's task, which is going away
                log.exception("Could not close task %s", self.id)

    def _work(self, task: SourceTask, say: Say, encoder: Encoder) -> None:
        while not self._stopping.is_set():
            self._obey_target(say)
            self._serve_producer(0)
            if self._clock.monotonic() >= self._next_commit:
                self._commit(task, self._flush_timeout)
            if self._unsent:
                self._send()
            elif self._paused:
                self._pause_a_little()
            else:
                records = self._poll(task)
                if records:
                    self._unsent.extend(encoder.encode(records))
                    self._send()

    def _obey_target(self, say: Say) -> None:
        pause = self._target is not TargetState.STARTED
        if pause is not self._paused:
            self._paused = pause
            log.info("task %s is %s", self.id, "paused" if pause else "resumed")
            say(State.PAUSED if pause else State.RUNNING)

    def _poll(self, task: SourceTask) -> Sequence[SourceRecord] | None:
        began = self._clock.monotonic()
        try:
            records = task.poll()
        except RetriableError as exc:
            log.warning("task %s: poll failed and is repeated: %s", self.id, exc)
            self._clock.wait(self._stopping, RETRY_SECONDS)
            return None
        if records:
            self.metrics.polled.record(len(records))
            self.metrics.poll_seconds.record(self._clock.monotonic() - began)
        return records

    # -- sending ------------------------------------------------------------------------------

    def _send(self) -> None:
        """Queue what is encoded, in order, until the producer's queue is full."""
        unsent, count = self._unsent, 0
        while unsent:
            outgoing = unsent[0]
            topic = None if outgoing.record is None else outgoing.record.topic
            if topic is not None:
                if topic not in self._topics_seen and not self._meet(topic):
                    break
                try:
                    self._send_one(outgoing)
                except QueueFull:
                    break
                except ConnectError as exc:  # refused before it was queued: too large for the client, for example
                    self._undelivered.append((outgoing.origin, exc))
                count += 1
            self._ledger.sent(outgoing.origin.source_partition, outgoing.origin.source_offset)
            unsent.popleft()
        if count:
            self.metrics.written.record(count)

    def _send_one(self, outgoing: Outgoing) -> None:
        record = outgoing.record
        assert record is not None
        self._producer.send(
            record.topic,
            outgoing.key,
            outgoing.value,
            partition=record.partition,
            timestamp=record.timestamp,
            headers=outgoing.headers,
            on_delivery=partial(self._delivered, outgoing.origin),
            wait=ROOM_SECONDS,
        )

    def _delivered(self, origin: SourceRecord, error: Exception | None, _: Delivered) -> None:
        """Called while the producer is served, for failures only."""
        if error is not None:
            self._undelivered.append((origin, error))

    def _serve_producer(self, seconds: float) -> None:
        """Learn what became of the records sent; wait at most `seconds` for all of them to be settled."""
        if seconds > 0:
            self._producer.flush(seconds)
        else:
            self._producer.poll(0)
        undelivered, self._undelivered = self._undelivered, []
        for origin, error in undelivered:
            if self._tolerance.settings.tolerance == "none":
                self._lossy = True
                raise ConnectError("Unrecoverable exception from producer send callback") from error
            self._tolerance.metrics.record_failures += 1
            try:
                self._tolerance.give_up(Failure(Stage.KAFKA_PRODUCE, PRODUCER, error, origin))
            except Skipped:
                continue
        self.metrics.active = self._producer.outstanding()
        if self.metrics.active == 0 and not self._lossy:
            self._ledger.settle()

    def _meet(self, topic: str) -> bool:
        """Set a topic up before the first record goes to it, if the connector says how; False to try again later."""
        if self._plans:
            try:
                self._make_topic(topic, self._plans.plan(topic))
            except RetriableError as exc:
                log.warning("task %s: topic %s could not be set up yet: %s", self.id, topic, exc)
                self._clock.wait(self._stopping, RETRY_SECONDS)
                return False
        self._topics_seen.add(topic)
        self._parts.topic_active(topic)
        return True

    def _make_topic(self, topic: str, plan: TopicPlan) -> None:
        if self._admin is None:
            self._admin = self._parts.admin()
        if self._admin.topic(topic) is not None:
            return
        try:
            self._admin.create_topic(
                topic,
                partitions=plan.partitions,
                replication_factor=plan.replication_factor,
                configs=plan.configs,
                exists_ok=True,
            )
        except RetriableError:
            raise
        except ConnectError as exc:
            raise ConnectError(
                f"Task failed to create new topic {topic} ({plan}). Ensure that the task is authorized to create "
                "topics or that the topic exists and restart the task"
            ) from exc
        log.info("task %s created topic %s: %s", self.id, topic, plan)

    # -- committing ---------------------------------------------------------------------------

    def _commit(self, task: SourceTask, timeout: float) -> None:
        """Store the offsets of what is in Kafka; waits for what is outstanding, but not longer than `timeout`."""
        self._next_commit = self._clock.monotonic() + self._flush_seconds
        if self._ledger.waiting:
            self._serve_producer(timeout)
        offsets = self._ledger.committable()
        if not offsets:
            if self._ledger.waiting:
                log.warning(
                    "task %s: records were not acknowledged within %.1f s; their offsets are committed later",
                    *(self.id, timeout),
                )
            self.metrics.commits.skipped += 1
            return
        began = self._clock.monotonic()
        self.metrics.commits.number += 1
        try:
            self._parts.store.commit(self.id.connector, offsets, timeout)
        except RetriableError as exc:
            self.metrics.commits.done(self._clock.monotonic() - began, good=False)
            log.warning("task %s: offsets were not stored and will be with the next commit: %s", self.id, exc)
            return
        self._ledger.committed(offsets)
        self.metrics.commits.done(self._clock.monotonic() - began, good=True)
        try:
            task.commit()
        except Exception:  # a stranger's task; its offsets are stored all the same
            log.exception("Exception thrown while calling task.commit() of task %s", self.id)

    def _commit_last(self, task: SourceTask) -> None:
        """Once more at the end, also after a failure: what is in Kafka need not be read again."""
        if self._abandoned.is_set():
            return
        try:
            self._commit(task, self._flush_timeout)
        except ConnectError as exc:
            log.error("task %s: the last offsets were not committed: %s", self.id, exc)
