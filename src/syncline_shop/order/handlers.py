"""What the order service hears in mode replicate: the orders of all instances, each written into its own database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from syncline.kit.messages import Received
from syncline_shop.contracts import OrderCopy
from syncline_shop.order.domain import Order
from syncline_shop.order.store import insert_order

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def order_heard(event: Received[OrderCopy], connection: Connection) -> None:
    """Store the order unless it is there."""
    copy = event.value
    order = Order(
        order_id=copy.order_id,
        user_id=copy.user_id,
        product_id=copy.product_id,
        quantity=copy.quantity,
        unit_price=copy.unit_price,
        total_price=copy.total_price,
        created_at=_EPOCH + timedelta(milliseconds=copy.created_at),
    )
    insert_order(connection, order)
