"""Sending records from an asyncio service, each confirmed by the broker before `send` returns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from syncline.errors import ConnectError
from syncline.kafka import client
from syncline.kit.errors import BrokerUnavailable
from syncline.kit.messages.envelope import ConnectRecord
from syncline.kit.messages.topics import Topic

log = structlog.get_logger(__name__)

R = TypeVar("R", bound=ConnectRecord)

DELIVERY_MS: Final = 3_000
_SCAN_MS: Final = 1_000
"""The client library looks for records that are late once a second, so it may notice that much later."""
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a confirmed record stands."""

    topic: str
    partition: int
    offset: int


class Producer:
    """An idempotent producer with `acks=all`; give it to `Service.during`.

    It needs no broker to start: a service that reads its own database goes on without one.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        client_id: str = "",
        delivery_ms: int = DELIVERY_MS,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """`delivery_ms` bounds how long `send` waits; `properties` are Kafka's, security settings for example."""
        self._properties = {
            "bootstrap.servers": bootstrap_servers,
            "client.id": client_id,
            "linger.ms": "0",
            **(properties or {}),
            "acks": "all",
            "enable.idempotence": "true",
            "delivery.timeout.ms": str(max(delivery_ms - _SCAN_MS, delivery_ms // 2)),
        }
        self._producer: client.Producer | None = None
        self._polling: threading.Thread | None = None
        self._stopping = threading.Event()

    async def __aenter__(self) -> Producer:
        self._producer = client.Producer(self._properties, report_each=True)
        self._stopping.clear()
        self._polling = threading.Thread(target=self._poll, args=(self._producer,), name="deliveries", daemon=True)
        self._polling.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._close)

    async def send(self, topic: Topic[R], record: R, *, headers: Mapping[str, str] | None = None) -> Delivery:
        """Send `record` and wait until every in-sync replica has it.

        DataError when a field does not fit; BrokerUnavailable when the broker did not confirm within
        `delivery_ms`: then the record is given up, though one that was on its way may still be stored.
        """
        assert self._producer is not None, "open the producer first: async with"
        key, value = topic.encode(record)
        loop = asyncio.get_running_loop()
        delivered: asyncio.Future[Delivery] = loop.create_future()

        def settle(error: Exception | None, message: Any) -> None:
            if delivered.done():  # the request was cancelled meanwhile
                return
            if error is not None:
                delivered.set_exception(error)
            else:
                delivered.set_result(Delivery(message.topic(), message.partition(), message.offset()))

        def report(error: Exception | None, message: Any) -> None:
            """Called on the thread that polls."""
            loop.call_soon_threadsafe(settle, error, message)

        try:
            self._producer.send(
                topic.name,
                key,
                value,
                headers=[(name, text.encode()) for name, text in (headers or {}).items()],
                on_delivery=report,
                wait=0,  # the loop serves others, too
            )
            return await delivered
        except ConnectError as exc:
            raise BrokerUnavailable(f"a record for {topic.name} was not confirmed: {exc}") from exc

    def _poll(self, producer: client.Producer) -> None:
        while not self._stopping.is_set():
            producer.poll(_POLL_SECONDS)

    def _close(self) -> None:
        if self._producer is None or self._polling is None:
            return
        self._producer.close()
        self._stopping.set()
        self._polling.join()
        self._producer = None
