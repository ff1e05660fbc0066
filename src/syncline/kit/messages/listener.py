"""Hearing events: each takes effect once, in order per partition, and none is lost or in the way of others.

    listener = Listener(
        "127.0.0.1:9092", group="catalog-service", database=database, inbox=INBOX,
        listens=[Listens(STOCK_ORDERS, reserve)],
    )
    svc.during(listener)
    svc.ready_when("listener", listener.check)

    def reserve(event: Received[StockOrder], connection: Connection) -> None: ...

For every record: decode, remember its id in the inbox, call the handler, commit the database's
transaction, and only then count the record as read. What was read is committed to the group every
second, before partitions go to another instance, and at the end. A crash between the two commits makes
the record come again, and the inbox makes it have no effect again.

What fails, and what becomes of the record:

    DataError, of decoding or of the handler      a dead letter at once
    Unavailable, RetriableError                   tried again, with pauses, until it succeeds
    any other error of the handler                tried again, with pauses, `retry.attempts` times; then a dead letter

While a record waits for its next attempt its partition is paused, which keeps its order; the others go
on, and the group takes this member for alive.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection, Table

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConfigError, ConnectError, DataError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import Consumer, Kafka, KafkaRecord, Rebalance
from syncline.kit.db import Database
from syncline.kit.errors import Unavailable
from syncline.kit.messages.dead_letters import DeadLetters, Failure
from syncline.kit.messages.events import TRACEPARENT, EventTopic, Received, header
from syncline.kit.messages.inbox import Inbox
from syncline.kit.messages.provision import ensure
from syncline.kit.messages.retry import Backoff

log = structlog.get_logger(__name__)

E = TypeVar("E", bound=msgspec.Struct)

_BATCH: Final = 100
"""Records read at once: with the longest handler they stay far below `max.poll.interval.ms`."""
_READ_SECONDS: Final = 0.1
"""Bounds how long a stop or a due retry waits for a read that finds nothing."""
_JOIN_SECONDS: Final = 60
_PURGE_SECONDS: Final = 3600
_ADDRESS: Final = re.compile(r".+:\d{1,5}")
_ADMIN: Final = {"default.api.timeout.ms": "3000"}


@dataclass(frozen=True, slots=True)
class Listens(Generic[E]):
    """What to do with the events of one topic."""

    topic: EventTopic[E]
    handle: Callable[[Received[E], Connection], None]
    """Called on the listener's thread, inside the transaction that is committed after it."""


@dataclass(slots=True)
class _Lane:
    """One partition in this instance's hands."""

    waiting: deque[KafkaRecord] = field(default_factory=deque)
    """Read and not done with; the first one is being tried."""
    expected: int = 0
    """The least offset that was not seen yet."""
    done: int | None = None
    """The next offset to read after a restart."""
    committed: int | None = None
    failures: int = 0
    first_failure: datetime | None = None
    retry_at: float | None = None
    """On the monotonic clock, while the first record waits for its next attempt."""
    paused: bool = False
    """Until all that is waiting is done with."""


class Listener:
    """A member of a consumer group with a thread of its own; give it to `Service.during`.

    It needs no broker to start: until there is one it keeps trying, and says so in the log.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        group: str,
        database: Database,
        inbox: Table,
        listens: Sequence[Listens[Any]],
        retry: Backoff | None = None,
        commit_seconds: float = 1,
        inbox_days: float = 30,
        properties: Mapping[str, str] | None = None,
        kafka: Kafka = KAFKA,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`group` is the service's name; `inbox` is made by `inbox_table` among the tables of `database`.

        `inbox_days` must exceed the time for which records can come again: the topic's retention.
        """
        if _ADDRESS.fullmatch(group):
            raise ConfigError(f"the group {group} looks like a broker's address; name it after the service")
        self.group = group
        self._database = database
        self._inbox = Inbox(inbox, group)
        self._listens = {each.topic.name: each for each in listens}
        self._retry = retry or Backoff()
        self._commit_seconds = commit_seconds
        self._inbox_days = inbox_days
        self._properties = {"bootstrap.servers": bootstrap_servers, "client.id": group, **(properties or {})}
        self._kafka = kafka
        self._clock = clock
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""
        self._letter_sent = False
        self._next_purge = 0.0

    async def __aenter__(self) -> Listener:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Begin to listen; a repeat does nothing."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name=f"listener {self.group}", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Finish the record at hand, commit, leave the group."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join(_JOIN_SECONDS)
            self._thread = None

    async def check(self) -> None:
        """ConnectError when nobody listens any more and only a restart helps."""
        if self._thread is not None and not self._thread.is_alive():
            raise ConnectError(f"the listener has ended: {self._trouble}")

    def _run(self) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                try:
                    self._session()
                    return
                except ConnectError as exc:
                    failures += 1
                    pause = self._retry.pause(failures)
                    log.warning("listening again after a pause", group=self.group, seconds=pause, reason=str(exc))
                    self._clock.wait(self._stopping, pause)
        except Exception as exc:  # the thread ends here; readiness tells
            self._trouble = f"{type(exc).__name__}: {exc}"
            log.exception("the listener has ended", group=self.group)

    def _session(self) -> None:
        """One membership of the group; ConnectError when it cannot go on."""
        ensure(self._kafka.admin({**self._properties, **_ADMIN}), [each.topic for each in self._listens.values()])
        letters = DeadLetters(self._kafka, self._properties, self.group)
        try:
            consumer = self._kafka.consumer(
                {
                    **self._properties,
                    "group.id": self.group,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "allow.auto.create.topics": "false",
                }
            )
            try:
                membership = _Membership(consumer, self._clock, self._commit_seconds)
                consumer.subscribe(list(self._listens), membership.rebalance)
                while not self._stopping.is_set():
                    self._turn(membership, letters)
            finally:
                consumer.close()
        finally:
            letters.close()

    def _turn(self, membership: _Membership, letters: DeadLetters) -> None:
        membership.read()
        for partition, lane in membership.ready():
            while lane.waiting and lane.retry_at is None and not self._stopping.is_set():
                if self._attempt(lane, letters):
                    lane.done = lane.waiting.popleft().offset + 1
                    lane.failures, lane.first_failure = 0, None
                else:
                    membership.hold(partition, lane, self._retry.pause(lane.failures))
                # A crash now would send the same dead letter again.
                membership.commit_when_due(at_once=self._letter_sent)
                self._letter_sent = False
            if not lane.waiting:
                membership.let_go(partition, lane)
        membership.commit_when_due()
        self._purge_when_due()

    def _attempt(self, lane: _Lane, letters: DeadLetters) -> bool:
        """Whether the lane's first record is done with: its effect is committed, or it is a dead letter."""
        record = lane.waiting[0]
        try:
            self._handle(record)
        except DataError as exc:
            return self._set_aside(lane, exc, letters)
        except (Unavailable, RetriableError) as exc:
            return self._failed(lane, exc)
        except Exception as exc:  # a handler may raise anything; here it ends
            log.warning("handler failed", **_place(record), exc_info=exc)
            if lane.failures + 1 >= self._retry.attempts:
                return self._set_aside(lane, exc, letters)
            return self._failed(lane, exc)
        return True

    def _handle(self, record: KafkaRecord) -> None:
        listens = self._listens[record.topic]
        event = Received.of(listens.topic, record)
        trace = header(record, TRACEPARENT).split("-")
        known = {"trace_id": trace[1]} if len(trace) == 4 else {}
        with structlog.contextvars.bound_contextvars(**known), self._database.begin() as connection:
            if self._inbox.first_time(connection, event.event_id, self._now()):
                listens.handle(event, connection)
            else:
                log.info("heard before", event_id=event.event_id, **_place(record))

    def _failed(self, lane: _Lane, error: Exception) -> bool:
        lane.failures += 1
        lane.first_failure = lane.first_failure or self._now()
        log.warning("will be tried again", **_place(lane.waiting[0]), failures=lane.failures, reason=str(error))
        return False

    def _set_aside(self, lane: _Lane, error: Exception, letters: DeadLetters) -> bool:
        record = lane.waiting[0]
        failure = Failure(error=error, attempts=lane.failures + 1, first=lane.first_failure or self._now())
        try:
            letters.send(record, failure)
        except ConnectError as exc:
            return self._failed(lane, exc)
        log.error("dead letter", topic_of_it=letters.topic_for(record.topic), **_place(record), reason=str(error))
        self._letter_sent = True
        return True

    def _purge_when_due(self) -> None:
        if self._clock.monotonic() < self._next_purge:
            return
        self._next_purge = self._clock.monotonic() + _PURGE_SECONDS
        try:
            with self._database.begin() as connection:
                self._inbox.forget(connection, self._now() - timedelta(days=self._inbox_days))
        except Unavailable as exc:
            log.warning("the inbox was not purged", reason=str(exc))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)


class _Membership:
    """The partitions in hand, and how far each of them is."""

    def __init__(self, consumer: Consumer, clock: Clock, commit_seconds: float) -> None:
        self._consumer = consumer
        self._clock = clock
        self._commit_seconds = commit_seconds
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._new: list[TopicPartition] = []
        self._commit_at = clock.monotonic() + commit_seconds
        self._committing = False
        self.rebalance = Rebalance(self._assigned, self._revoked, self._lost)

    def read(self) -> None:
        """Take what is there into the lanes."""
        for record in self._consumer.read(_BATCH, _READ_SECONDS):
            lane = self._lanes.get(TopicPartition(record.topic, record.partition))
            if lane is not None and record.offset >= lane.expected:
                lane.expected = record.offset + 1
                lane.waiting.append(record)
        if self._new:
            self._pin()

    def ready(self) -> list[tuple[TopicPartition, _Lane]]:
        """Lanes with a record whose time has come."""
        now = self._clock.monotonic()
        for lane in self._lanes.values():
            if lane.retry_at is not None and lane.retry_at <= now:
                lane.retry_at = None
        return [(tp, lane) for tp, lane in self._lanes.items() if lane.waiting and lane.retry_at is None]

    def hold(self, partition: TopicPartition, lane: _Lane, seconds: float) -> None:
        """Leave the lane alone for so long."""
        lane.retry_at = self._clock.monotonic() + seconds
        if not lane.paused:
            self._consumer.pause([partition])
            lane.paused = True

    def let_go(self, partition: TopicPartition, lane: _Lane) -> None:
        """Fetch for the lane again, if that was paused."""
        if lane.paused:
            self._consumer.resume([partition])
            lane.paused = False

    def commit_when_due(self, *, at_once: bool = False) -> None:
        """Commit without waiting what was done since the last time, once in a while."""
        if self._clock.monotonic() < self._commit_at and not at_once:
            return
        self._commit_at = self._clock.monotonic() + self._commit_seconds
        offsets = self._uncommitted(self._lanes)
        if not offsets or self._committing:
            return

        def done(error: ConnectError | None) -> None:
            self._committing = False
            if error is not None:
                log.warning("offsets not committed yet", reason=str(error))
            else:
                self._count_as_committed(offsets)

        self._committing = True
        try:
            self._consumer.commit_soon(offsets, done)
        except ConnectError as exc:
            done(exc)

    def _pin(self) -> None:
        """Give partitions that nobody has read a committed offset: the group shows up with all its lag."""
        try:
            known = self._consumer.committed(self._new)
            for partition in self._new:
                lane = self._lanes[partition]
                if partition not in known and lane.done is None:
                    lane.done = lane.waiting[0].offset if lane.waiting else self._consumer.watermarks(partition)[0]
        except ConnectError as exc:
            log.warning("committed offsets are not known yet", reason=str(exc))
        else:
            self._new = []

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        self._lanes.update({partition: _Lane() for partition in partitions})
        self._new = [*self._new, *partitions]
        log.info("partitions assigned", partitions=[str(partition) for partition in partitions])

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        mine = {partition: self._lanes[partition] for partition in partitions if partition in self._lanes}
        offsets = self._uncommitted(mine)
        if offsets:
            try:
                self._consumer.commit(offsets)
            except ConnectError as exc:
                # Whoever gets them hears the last records again; the inbox knows them.
                log.warning("offsets not committed before leaving", reason=str(exc))
        self._lost(partitions)

    def _lost(self, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._lanes.pop(partition, None)
        self._new = [partition for partition in self._new if partition not in partitions]

    def _uncommitted(self, lanes: Mapping[TopicPartition, _Lane]) -> dict[TopicPartition, int]:
        return {tp: lane.done for tp, lane in lanes.items() if lane.done is not None and lane.done != lane.committed}

    def _count_as_committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            if partition in self._lanes:
                self._lanes[partition].committed = offset


def _place(record: KafkaRecord) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
