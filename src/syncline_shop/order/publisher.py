"""Mode connect: orders go to their topics, and are remembered here until the sink has written their rows."""

from __future__ import annotations

from collections import OrderedDict

from syncline.kit.messages import EventTopic, TopicCheck, TransactionalProducer
from syncline_shop.contracts import ORDERS, OrderRow, StockOrder
from syncline_shop.order.domain import Order

REMEMBERED = 10_000


class OrderPublisher:
    """Publishes orders and answers for those whose row is not there yet."""

    def __init__(
        self, producer: TransactionalProducer, topics: TopicCheck, stock: EventTopic[StockOrder], topics_seconds: float
    ) -> None:
        """`topics_seconds` is how long an order waits for topics that are not there yet."""
        self._producer = producer
        self._topics = topics
        self._stock = stock
        self._topics_seconds = topics_seconds
        self._pending: OrderedDict[str, Order] = OrderedDict()

    async def publish(self, order: Order, trace_id: str | None = None) -> None:
        """Returns when the broker has the order for the sink and for the catalog; BrokerUnavailable when for neither.

        The same order published again is the same event, which has no effect a second time.
        """
        headers = self._stock.headers(order.created_at, event_id=f"{order.order_id}:placed", trace_id=trace_id)
        await self._topics.made(self._topics_seconds)
        async with self._producer.transaction() as records:
            records.add(ORDERS, row_of(order))
            records.add(self._stock, event_of(order), headers)
        self._pending[order.order_id] = order
        if len(self._pending) > REMEMBERED:
            self._pending.popitem(last=False)

    def pending(self, user_id: str, order_id: str) -> Order | None:
        """An order of this instance whose row was not seen yet."""
        order = self._pending.get(order_id)
        return order if order is not None and order.user_id == user_id else None

    def seen(self, order_id: str) -> None:
        """The order's row is there; the database answers from now on."""
        self._pending.pop(order_id, None)


def row_of(order: Order) -> OrderRow:
    """The order as it stands in the topic."""
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
