"""What the order service hears: what the catalog decided, and in mode replicate the orders of all instances."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection

from syncline.kit.db import insert_once
from syncline.kit.messages import Received
from syncline_shop.contracts import OrderCopy, Outcome, StockDecision
from syncline_shop.order.domain import Order, OrderStatus
from syncline_shop.order.store import DECISIONS, insert_order

log = structlog.get_logger(__name__)

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


def stock_decided(event: Received[StockDecision], connection: Connection) -> None:
    """Remember whether the order's stock is taken; the first decision stands."""
    decision = event.value
    taken = decision.outcome is Outcome.RESERVED
    values = {
        "order_id": decision.order_id,
        "status": OrderStatus.CONFIRMED if taken else OrderStatus.REJECTED,
        "reason": decision.reason,
        "decided_at": datetime.now(UTC),
    }
    insert_once(connection, DECISIONS, values)
    log.info("order decided", order_id=decision.order_id, status=values["status"], reason=decision.reason)
