"""What the catalog hears: orders, whose stock it takes or refuses, each once."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from sqlalchemy import Connection

from syncline.kit.messages import Received, stored_id
from syncline_shop.catalog.domain import Outcome
from syncline_shop.catalog.store import reserve
from syncline_shop.contracts import StockOrder

log = structlog.get_logger(__name__)


def order_placed(event: Received[StockOrder], connection: Connection) -> None:
    """Take the order's stock. One that cannot be met is recorded with the reason, and is no failure."""
    order = event.value
    # The tutorials' oldest producer sends no order id; its event stands for the order.
    order_id = stored_id(order.order_id or event.event_id)
    decided = reserve(
        connection,
        order_id=order_id,
        product_id=order.product_id,
        quantity=order.quantity,
        now=datetime.now(UTC),
    )
    if decided is None:
        log.info("order decided before", order_id=order_id)
    elif decided.outcome is Outcome.REJECTED:
        log.warning("order rejected", order_id=order_id, product_id=order.product_id, reason=decided.reason)
    else:
        log.info("stock reserved", order_id=order_id, product_id=order.product_id, quantity=order.quantity)
