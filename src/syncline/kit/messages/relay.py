"""Publishing what the outbox holds: nothing is left out, and what belongs together keeps its order.

    relay = svc.during(Relay("127.0.0.1:9092", name="order-service", database=database, outbox=outbox))
    ...
    relay.wake()  # after a commit; without it the record leaves with the next look, a moment later

Of a service's instances one publishes, whoever holds the lock in the database; two would mix up the order of
records with the same key. Each batch is one Kafka transaction, under a transactional id that all instances share:
an instance that lost the lock without noticing is shut out by the broker. Between the commit of a batch and its
mark in the table lies the moment in which a crash makes the batch come again, with the same event ids: listeners
know them (`inbox.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConnectError
from syncline.kit.db import Database
from syncline.kit.errors import Unavailable
from syncline.kit.messages.outbox import Outbox, Stored
from syncline.kit.messages.producer import DELIVERY_MS
from syncline.kit.messages.provision import TopicCheck
from syncline.kit.messages.retry import Backoff
from syncline.kit.messages.transactions import TransactionalProducer

log = structlog.get_logger(__name__)

_BATCH: Final = 500
_LOOK_SECONDS: Final = 0.2
_PURGE_SECONDS: Final = 3600


class Relay:
    """One service's way from its outbox to the broker; give it to `Service.during`.

    It needs no broker to start: without one the outbox fills, and empties in order when there is one.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        name: str,
        database: Database,
        outbox: Outbox,
        topics: TopicCheck,
        registry: CollectorRegistry | None = None,
        keep_days: float = 7,
        properties: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`name` is the service's; its instances share it, and no other service has it. `topics` makes those that
        the outbox is for.

        What was published is kept for `keep_days`, for whoever wants to know when. `registry` gets the gauges
        `outbox_unpublished` and `outbox_oldest_seconds`, which are 0 on instances that do not publish.
        """
        self._servers = bootstrap_servers
        self._id = f"outbox-{name}"
        self._database = database
        self._outbox = outbox
        self._topics = topics
        self._keep = timedelta(days=keep_days)
        self._properties = dict(properties or {})
        self._clock = clock
        self._retry = Backoff(first=0.1, cap=2)
        self._lock = database.lock(self._id)
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._next_purge = 0.0
        self._waiting = Gauge("outbox_unpublished", "Records on their way, at most a batch.", registry=registry)
        self._oldest = Gauge("outbox_oldest_seconds", "How long the first of them has waited.", registry=registry)

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    async def check(self) -> None:
        """ConnectError when nothing is published any more and only a restart helps."""
        if self._task is not None and self._task.done() and (error := self._task.exception()) is not None:
            raise ConnectError(f"the relay {self._id} has ended: {type(error).__name__}: {error}")

    async def __aenter__(self) -> Relay:
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name=self._id)
        return self

    async def __aexit__(self, *_: object) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._stopping.set()
            self.wake()
            with contextlib.suppress(Exception):  # it was logged where it happened
                await task

    async def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if await asyncio.to_thread(self._lock.held):
                    await self._publish()
                else:
                    await _until(self._stopping, _LOOK_SECONDS)
        except Exception:
            log.exception("the relay has ended", relay=self._id)
            raise

    async def _publish(self) -> None:
        """As long as the lock is ours."""
        log.info("publishing the outbox", relay=self._id)
        try:
            # Opened only now: it shuts out whoever had the transactional id before.
            async with TransactionalProducer(
                self._servers, transactional_id=self._id, properties=self._properties, clock=self._clock
            ) as producer:
                await self._batches(producer)
        finally:
            self._show([])
            await asyncio.to_thread(self._lock.release)

    async def _batches(self, producer: TransactionalProducer) -> None:
        failures = 0
        while not self._stopping.is_set() and await asyncio.to_thread(self._lock.held):
            try:
                pause = 0.0 if await self._batch(producer) else _LOOK_SECONDS
                await self._purge_when_due()
                failures = 0
            except Unavailable as exc:
                failures += 1
                pause = self._retry.pause(failures)
                log.warning("the outbox waits", relay=self._id, seconds=pause, reason=str(exc))
            if pause:
                await _until(self._woken, pause)
                self._woken.clear()

    async def _batch(self, producer: TransactionalProducer) -> bool:
        """Whether there may be more."""
        found = await asyncio.to_thread(self._read)
        self._show(found)
        if not found:
            return False
        await self._topics.made(DELIVERY_MS / 1000)
        async with producer.transaction() as records:
            for stored in found:
                records.add_encoded(stored.topic, stored.key, stored.payload, stored.headers)
        await asyncio.to_thread(self._mark, found)
        return True

    def _read(self) -> list[Stored]:
        with self._database.begin() as connection:
            return self._outbox.unpublished(connection, _BATCH)

    def _mark(self, published: list[Stored]) -> None:
        with self._database.begin() as connection:
            self._outbox.mark(connection, published, self._now())

    def _show(self, found: list[Stored]) -> None:
        self._waiting.set(len(found))
        self._oldest.set((self._now() - found[0].created_at).total_seconds() if found else 0)

    async def _purge_when_due(self) -> None:
        if self._clock.monotonic() >= self._next_purge:
            self._next_purge = self._clock.monotonic() + _PURGE_SECONDS
            await asyncio.to_thread(self._purge)

    def _purge(self) -> None:
        with self._database.begin() as connection:
            self._outbox.forget(connection, self._now() - self._keep)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for it, or so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
