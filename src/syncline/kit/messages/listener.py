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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConfigError, ConnectError, DataError, RetriableError
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import Consumer, Kafka, KafkaRecord
from syncline.kit.db import Database
from syncline.kit.errors import Unavailable
from syncline.kit.messages.dead_letters import DeadLetters, Failure
from syncline.kit.messages.events import EventTopic, Received
from syncline.kit.messages.inbox import Inbox, InboxTables, Reached
from syncline.kit.messages.membership import Lane, Membership
from syncline.kit.messages.provision import ensure
from syncline.kit.messages.retry import Backoff

log = structlog.get_logger(__name__)

E = TypeVar("E", bound=msgspec.Struct)

_JOIN_SECONDS: Final = 60
_LEAVE_SECONDS: Final = 6
_CONSUMER: Final = {
    # Partitions of an instance that died are taken over after this.
    "session.timeout.ms": "10000",
    "heartbeat.interval.ms": "3000",
    # Each attempt to reach a broker that is away is a line in the log.
    "reconnect.backoff.ms": "500",
    "reconnect.backoff.max.ms": "2000",
}
_PURGE_SECONDS: Final = 3600
_ADDRESS: Final = re.compile(r".+:\d{1,5}")
_ADMIN: Final = {"default.api.timeout.ms": "3000"}


@dataclass(frozen=True, slots=True)
class Listens(Generic[E]):
    """What to do with the events of one topic."""

    topic: EventTopic[E]
    handle: Callable[[Received[E], Connection], None]
    """Called on the listener's thread, inside the transaction that is committed after it."""


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
        inbox: InboxTables,
        listens: Sequence[Listens[Any]],
        retry: Backoff | None = None,
        commit_seconds: float = 1,
        inbox_days: float = 30,
        properties: Mapping[str, str] | None = None,
        kafka: Kafka = KAFKA,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`group` is the service's name; `inbox` is declared by `inbox_tables` among the tables of `database`.

        `inbox_days` must exceed the time for which records can come again: the topic's retention.
        """
        if _ADDRESS.fullmatch(group):
            raise ConfigError(f"the group {group} looks like a broker's address; name it after the service")
        self.group = group
        self._database = database
        self._inbox = Inbox(inbox, group)
        self._reached = Reached(database, self._inbox)
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
                    **_CONSUMER,
                    **self._properties,
                    "group.id": self.group,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "allow.auto.create.topics": "false",
                    "enable.partition.eof": "true",
                }
            )
            try:
                membership = Membership(consumer, self._reached, self._clock, self._commit_seconds)
                consumer.subscribe(list(self._listens), membership.rebalance)
                while not self._stopping.is_set():
                    self._turn(membership, letters)
            finally:
                self._leave(consumer)
        finally:
            letters.close()

    def _leave(self, consumer: Consumer) -> None:
        """Commit and leave the group; without a broker the library may wait for one for ever, and we do not."""

        def close() -> None:
            try:
                consumer.close()
            except ConnectError as exc:
                log.warning("left the group in disorder", group=self.group, reason=str(exc))

        leaving = threading.Thread(target=close, name=f"leaving {self.group}", daemon=True)
        leaving.start()
        leaving.join(_LEAVE_SECONDS)
        if leaving.is_alive():
            log.warning("left the group without a word: the broker does not answer", group=self.group)

    def _turn(self, membership: Membership, letters: DeadLetters) -> None:
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

    def _attempt(self, lane: Lane, letters: DeadLetters) -> bool:
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
        known = {} if event.trace_id is None else {"trace_id": event.trace_id}
        with structlog.contextvars.bound_contextvars(**known), self._database.begin() as connection:
            if self._inbox.first_time(connection, event.event_id, self._now()):
                listens.handle(event, connection)
            else:
                log.info("heard before", event_id=event.event_id, **_place(record))

    def _failed(self, lane: Lane, error: Exception) -> bool:
        lane.failures += 1
        lane.first_failure = lane.first_failure or self._now()
        log.warning("will be tried again", **_place(lane.waiting[0]), failures=lane.failures, reason=str(error))
        return False

    def _set_aside(self, lane: Lane, error: Exception, letters: DeadLetters) -> bool:
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


def _place(record: KafkaRecord) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
