"""Several records or none: Kafka transactions for an asyncio service.

    async with producer.transaction() as records:
        records.add(ORDERS, row)
        records.add(STOCK_ORDERS, order, headers)
    # here all of them are committed; readers with `read_committed` never see a part

Nothing is sent before the block's end; an error inside it sends nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, overload

import msgspec
import structlog

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConnectError, RetriableError
from syncline.kafka import client
from syncline.kit.errors import BrokerUnavailable
from syncline.kit.messages.envelope import ConnectRecord
from syncline.kit.messages.events import EventTopic
from syncline.kit.messages.producer import DELIVERY_MS
from syncline.kit.messages.topics import Topic

log = structlog.get_logger(__name__)

R = TypeVar("R", bound=ConnectRecord)
E = TypeVar("E", bound=msgspec.Struct)

_MOST: Final = 200
"""Units of callers that one transaction takes together: under load its cost is shared."""
_LEAST_SECONDS: Final = 0.05
_ABORT_SECONDS: Final = 1.0
_CONNECT_SECONDS: Final = 1.0
_TRANSACTION_MS: Final = 10_000
"""After so long the broker ends the transaction of a producer that is gone; until then readers wait behind it."""


@dataclass(frozen=True, slots=True)
class _Raw:
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(slots=True)
class Records:
    """What one transaction is to contain."""

    _raws: list[_Raw] = field(default_factory=list)

    @overload
    def add(self, topic: Topic[R], record: R, headers: Mapping[str, str] | None = None) -> None: ...
    @overload
    def add(self, topic: EventTopic[E], record: E, headers: Mapping[str, str] | None = None) -> None: ...
    def add(self, topic: Topic[Any] | EventTopic[Any], record: Any, headers: Mapping[str, str] | None = None) -> None:
        """Encode a record; DataError names the field that does not fit."""
        self.add_encoded(topic.name, *topic.encode(record), headers or {})

    def add_encoded(self, topic: str, key: bytes, value: bytes, headers: Mapping[str, str]) -> None:
        """A record that was encoded earlier."""
        encoded = tuple((name, text.encode()) for name, text in headers.items())
        self._raws.append(_Raw(topic, key, value, encoded))


@dataclass(frozen=True, slots=True)
class _Unit:
    """One caller's records."""

    raws: list[_Raw]
    deadline: float
    """On the monotonic clock: the caller is answered by then."""
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]

    def settle(self, error: BaseException | None) -> None:
        """Tell the caller; from any thread."""

        def tell() -> None:
            if self.done.done():  # the request was cancelled meanwhile
                return
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(tell)


class TransactionalProducer:
    """One transactional producer, shared by all requests; give it to `Service.during`.

    It needs no broker to start. One thread runs the transactions, one after the other; requests that
    come while one is running share the next.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        transactional_id: str,
        delivery_ms: int = DELIVERY_MS,
        properties: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`transactional_id` belongs to this instance alone: the broker shuts out whoever had it before.

        `delivery_ms` bounds how long the end of a transaction waits.
        """
        self._id = transactional_id
        self._seconds = delivery_ms / 1000
        self._properties = {
            "bootstrap.servers": bootstrap_servers,
            "client.id": transactional_id,
            "linger.ms": "0",
            # An away broker is looked for this often, or the first order after its return would be refused, too.
            "reconnect.backoff.max.ms": "1000",
            **(properties or {}),
            "acks": "all",
            "enable.idempotence": "true",
            "transactional.id": transactional_id,
            "transaction.timeout.ms": str(max(_TRANSACTION_MS, delivery_ms)),
            "delivery.timeout.ms": str(delivery_ms),
        }
        self._clock = clock
        self._units: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._producer: client.Producer | None = None
        self._begun = False

    async def __aenter__(self) -> TransactionalProducer:
        self._thread = threading.Thread(target=self._run, name=f"transactions {self._id}", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._thread is not None:
            self._units.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[Records]:
        """Collect records; at the end of the block they are committed, all together.

        BrokerUnavailable when the broker did not confirm within `seconds`, at most and without them `delivery_ms`:
        nothing is stored then.
        The one exception is a broker that goes away in the moment of the commit; whether it did it is
        not known before it returns.
        """
        assert self._thread is not None, "open the producer first: async with"
        records = Records()
        yield records
        loop = asyncio.get_running_loop()
        seconds = self._seconds if seconds is None else min(seconds, self._seconds)
        unit = _Unit(records._raws, self._clock.monotonic() + seconds * 0.9, loop, loop.create_future())
        self._units.put(unit)
        try:
            await unit.done
        except ConnectError as exc:
            raise BrokerUnavailable(f"a transaction was not committed: {exc}") from exc

    def _run(self) -> None:
        """The thread: everything about the client library happens here."""
        with contextlib.suppress(ConnectError):
            self._ready(_CONNECT_SECONDS)  # so that the first request need not wait for it
        while True:
            unit = self._units.get()
            if unit is None:
                break
            units, going_on = self._more(unit)
            self._together(units)
            if not going_on:
                break
        self._discard()

    def _more(self, first: _Unit) -> tuple[list[_Unit], bool]:
        """The units that wait already, and whether there will be others."""
        units = [first]
        with contextlib.suppress(queue.Empty):
            while len(units) < _MOST:
                unit = self._units.get_nowait()
                if unit is None:
                    return units, False
                units.append(unit)
        return units, True

    def _together(self, units: list[_Unit]) -> None:
        """One transaction for all of them."""
        late = [unit for unit in units if self._left(unit.deadline) <= _LEAST_SECONDS or unit.done.cancelled()]
        for unit in late:
            unit.settle(RetriableError("the broker was not reached in time"))
        units = [unit for unit in units if unit not in late]
        if not units:
            return
        error: BaseException | None = None
        try:
            self._transact(units)
        except ConnectError as exc:
            log.warning("transaction given up", transactional_id=self._id, reason=str(exc))
            error = exc
        except Exception as exc:  # a request each waits for what this thread says
            log.exception("transaction failed", transactional_id=self._id)
            error = exc
        for unit in units:
            unit.settle(error)
        if error is not None:
            self._clear_away(error)

    def _transact(self, units: list[_Unit]) -> None:
        deadline = min(unit.deadline for unit in units)
        producer = self._ready(self._left(deadline))
        failed: list[Exception] = []

        def report(error: Exception | None, _: Any) -> None:
            if error is not None:
                failed.append(error)

        producer.begin_transaction()
        for unit in units:
            for raw in unit.raws:
                producer.send(raw.topic, raw.key, raw.value, headers=raw.headers, on_delivery=report, wait=0)
        # The time that is left must do for the commit, too.
        if not producer.flush(self._left(deadline) * 0.8):
            raise RetriableError("the broker did not take the records in time")
        if failed:
            raise failed[0]
        producer.commit_transaction(self._left(deadline))

    def _ready(self, seconds: float) -> client.Producer:
        """The producer, known to the broker as the only one with its id."""
        if self._producer is None:
            self._producer, self._begun = client.Producer(self._properties), False
        if not self._begun:
            self._producer.begin(seconds)
            self._begun = True
        return self._producer

    def _clear_away(self, error: BaseException) -> None:
        """Abort what is open; where that fails a new producer makes the broker do it.

        That also covers a producer that was fenced, which can do nothing any more.
        """
        if self._producer is None:
            return
        if not self._begun:
            if not isinstance(error, RetriableError):
                self._discard()
            return  # otherwise it goes on looking for the broker
        try:
            self._producer.abort_transaction(_ABORT_SECONDS)
        except ConnectError as exc:
            log.warning("the producer starts anew", transactional_id=self._id, reason=str(exc))
            self._discard()
            with contextlib.suppress(ConnectError):
                self._ready(_LEAST_SECONDS)

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.close(0)
            self._producer = None

    def _left(self, deadline: float) -> float:
        return max(deadline - self._clock.monotonic(), _LEAST_SECONDS / 2)
