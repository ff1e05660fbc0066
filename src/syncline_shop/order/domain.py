"""What an order is; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MAX_MONEY = 2**63 - 1
"""What a BIGINT column and an int64 field hold."""


class OrderStatus(StrEnum):
    """Where an order is in its life."""

    PENDING = "PENDING"
    """Accepted; the catalog has not said yet whether there is enough of it."""
    CONFIRMED = "CONFIRMED"
    """Its stock is taken."""
    REJECTED = "REJECTED"
    """There is not enough of it, or no such product."""


class TotalTooLarge(ValueError):
    """Quantity times price is beyond what can be stored."""

    def __init__(self, quantity: int, unit_price: int) -> None:
        super().__init__(f"{quantity} times {unit_price} is more than {MAX_MONEY}, the largest total")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order of one product."""

    order_id: str
    user_id: str
    product_id: str
    quantity: int
    unit_price: int
    """In the currency's smallest unit."""
    total_price: int
    created_at: datetime
    """Aware, in whole milliseconds: what every database and the topic can hold."""
    status: OrderStatus = OrderStatus.PENDING
    reason: str | None = None
    """Why it was rejected."""

    @classmethod
    def place(
        cls, *, order_id: str, user_id: str, product_id: str, quantity: int, unit_price: int, now: datetime
    ) -> Order:
        """A new order; the total is ours to compute, never the caller's. TotalTooLarge when it overflows."""
        total = quantity * unit_price
        if total > MAX_MONEY:
            raise TotalTooLarge(quantity, unit_price)
        return cls(
            order_id=order_id,
            user_id=user_id,
            product_id=product_id,
            quantity=quantity,
            unit_price=unit_price,
            total_price=total,
            created_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
        )
