"""Mode connect: orders go to the topic, and are remembered here until the sink has written their rows."""

from __future__ import annotations

from collections import OrderedDict

from syncline.kit.messages import Producer
from syncline_shop.contracts import ORDERS, OrderRow
from syncline_shop.order.domain import Order

REMEMBERED = 10_000


class OrderPublisher:
    """Publishes orders and answers for those whose row is not there yet."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._pending: OrderedDict[str, Order] = OrderedDict()

    async def publish(self, order: Order) -> None:
        """Returns when the broker has confirmed the order; BrokerUnavailable when it did not."""
        await self._producer.send(ORDERS, row_of(order))
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
