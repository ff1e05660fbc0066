"""What a product and a reservation are; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from syncline_shop.contracts import Outcome


class Reason(StrEnum):
    """Why an order was rejected."""

    OUT_OF_STOCK = "OUT_OF_STOCK"
    UNKNOWN_PRODUCT = "UNKNOWN_PRODUCT"
    PRICE_CHANGED = "PRICE_CHANGED"
    """The customer has another price in mind than the catalog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Something that can be ordered."""

    product_id: str
    product_name: str
    stock: int
    unit_price: int
    """In the currency's smallest unit."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What the catalog decided about an order."""

    order_id: str
    product_id: str
    quantity: int
    outcome: Outcome
    reason: Reason | None
    created_at: datetime


SEED = (
    ("CATALOG-0001", "Berlin", 100, 1500),
    ("CATALOG-0002", "Tokyo", 100, 900),
    ("CATALOG-0003", "Stockholm", 100, 1200),
)
"""What a new catalog has: product id, name, stock, price."""
