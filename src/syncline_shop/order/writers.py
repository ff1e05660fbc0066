"""How an order becomes a row, one class for each write mode."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol

from sqlalchemy import Connection

from syncline.kit.clock import SYSTEM_CLOCK
from syncline.kit.messages import EventTopic, Headers, Outbox, Relay, TopicCheck, TransactionalProducer
from syncline_shop.contracts import ORDERS, OrderRow, StockOrder
from syncline_shop.order.domain import Order
from syncline_shop.order.store import OrderStore

REMEMBERED = 10_000


class OrderWriter(Protocol):
    """Takes orders, and knows those whose row is not there yet."""

    async def write(self, order: Order, trace_id: str | None = None) -> bool:
        """Whether the row is there; Unavailable when the order is not taken, and will never be a row.

        The same order written again has no effect a second time.
        """

    def pending(self, user_id: str, order_id: str) -> Order | None:
        """An order of this instance whose row was not seen yet."""

    def seen(self, order_id: str) -> None:
        """The order's row is there; the database answers from now on."""


class RowWriter:
    """Mode private: the row, and nothing else."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store

    async def write(self, order: Order, trace_id: str | None = None) -> bool:
        await asyncio.to_thread(self._store.add, order)
        return True

    def pending(self, user_id: str, order_id: str) -> Order | None:
        return None

    def seen(self, order_id: str) -> None:
        pass


class OutboxWriter(RowWriter):
    """Mode outbox: the row, and in its transaction what the catalog is to hear."""

    def __init__(self, store: OrderStore, outbox: Outbox, relay: Relay, stock: EventTopic[StockOrder]) -> None:
        super().__init__(store)
        self._outbox = outbox
        self._relay = relay
        self._stock = stock

    async def write(self, order: Order, trace_id: str | None = None) -> bool:
        def announce(connection: Connection) -> None:
            headers = placed(self._stock, order, trace_id)
            self._outbox.add(connection, self._stock, event_of(order), headers, order.created_at)

        await asyncio.to_thread(self._store.add, order, announce)
        self._relay.wake()
        return True


class TopicWriter:
    """Modes connect and replicate: the order goes to the topics, and somebody makes a row of it."""

    def __init__(
        self, producer: TransactionalProducer, topics: TopicCheck, stock: EventTopic[StockOrder], seconds: float
    ) -> None:
        """`seconds` is how long an order waits for the broker, up to half of them for topics to be made."""
        self._producer = producer
        self._topics = topics
        self._stock = stock
        self._seconds = seconds
        self._pending: OrderedDict[str, Order] = OrderedDict()

    async def write(self, order: Order, trace_id: str | None = None) -> bool:
        """Both topics have the order, or neither."""
        began = SYSTEM_CLOCK.monotonic()
        await self._topics.made(self._seconds / 2)
        async with self._producer.transaction(self._seconds - (SYSTEM_CLOCK.monotonic() - began)) as records:
            records.add(ORDERS, row_of(order))
            records.add(self._stock, event_of(order), placed(self._stock, order, trace_id))
        self._pending[order.order_id] = order
        if len(self._pending) > REMEMBERED:
            self._pending.popitem(last=False)
        return False

    def pending(self, user_id: str, order_id: str) -> Order | None:
        order = self._pending.get(order_id)
        return order if order is not None and order.user_id == user_id else None

    def seen(self, order_id: str) -> None:
        self._pending.pop(order_id, None)


def row_of(order: Order) -> OrderRow:
    """The order as it stands in the topic `orders`."""
    return OrderRow(
        order_id=order.order_id,
        user_id=order.user_id,
        product_id=order.product_id,
        quantity=order.quantity,
        unit_price=order.unit_price,
        total_price=order.total_price,
        created_at=order.created_at,
    )


def event_of(order: Order) -> StockOrder:
    """The order as the catalog hears of it."""
    return StockOrder(
        product_id=order.product_id,
        quantity=order.quantity,
        unit_price=order.unit_price,
        total_price=order.total_price,
        order_id=order.order_id,
        user_id=order.user_id,
    )


def placed(topic: EventTopic[StockOrder], order: Order, trace_id: str | None) -> Headers:
    """The headers of the event; the same order is the same event, however often it is published."""
    return topic.headers(order.created_at, event_id=f"{order.order_id}:placed", trace_id=trace_id)
