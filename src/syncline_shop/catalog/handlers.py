"""What the catalog hears: orders, whose stock it takes or refuses, each once, and says so."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from sqlalchemy import Connection

from syncline.kit.messages import EventTopic, Outbox, Received, stored_id
from syncline_shop.catalog.store import reserve
from syncline_shop.contracts import Outcome, StockDecision, StockOrder

log = structlog.get_logger(__name__)


class Reservations:
    """Decides about orders."""

    def __init__(self, outbox: Outbox, decisions: EventTopic[StockDecision], *, check_prices: bool) -> None:
        self._outbox = outbox
        self._decisions = decisions
        self._check_prices = check_prices

    def order_placed(self, event: Received[StockOrder], connection: Connection) -> None:
        """Take the order's stock. One that cannot be met is rejected with the reason, and is no failure."""
        order, now = event.value, datetime.now(UTC)
        # The tutorials' oldest producer sends no order id; its event stands for the order.
        order_id = stored_id(order.order_id or event.event_id)
        decided = reserve(
            connection,
            order_id=order_id,
            product_id=order.product_id,
            quantity=order.quantity,
            now=now,
            price=order.unit_price if self._check_prices else None,
        )
        if decided is None:
            log.info("order decided before", order_id=order_id)
            return
        if decided.outcome is Outcome.REJECTED:
            log.warning("order rejected", order_id=order_id, product_id=order.product_id, reason=decided.reason)
        else:
            log.info("stock reserved", order_id=order_id, product_id=order.product_id, quantity=order.quantity)
        if order.order_id:
            decision = StockDecision(order_id=order.order_id, outcome=decided.outcome, reason=decided.reason)
            headers = self._decisions.headers(now, event_id=f"{order_id}:decided", trace_id=event.trace_id)
            self._outbox.add(connection, self._decisions, decision, headers, now)
