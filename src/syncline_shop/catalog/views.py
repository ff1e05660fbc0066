"""The JSON bodies of the catalog service, named as the tutorials name them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_serializer
from pydantic.alias_generators import to_camel

from syncline_shop.catalog.domain import Product, Reason, Reservation
from syncline_shop.contracts import Outcome


class _View(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    created_at: datetime

    @field_serializer("created_at")
    def _in_milliseconds(self, moment: datetime) -> str:
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ProductView(_View):
    """A product as it is shown."""

    product_id: str
    product_name: str
    stock: int
    unit_price: int

    @classmethod
    def of(cls, product: Product) -> ProductView:
        return cls(
            product_id=product.product_id,
            product_name=product.product_name,
            stock=product.stock,
            unit_price=product.unit_price,
            created_at=product.created_at,
        )


class ReservationView(_View):
    """What the catalog decided about an order."""

    order_id: str
    product_id: str
    quantity: int
    outcome: Outcome
    reason: Reason | None

    @classmethod
    def of(cls, reservation: Reservation) -> ReservationView:
        return cls(
            order_id=reservation.order_id,
            product_id=reservation.product_id,
            quantity=reservation.quantity,
            outcome=reservation.outcome,
            reason=reservation.reason,
            created_at=reservation.created_at,
        )


class NewStock(BaseModel):
    """`{"stock": 100}`."""

    stock: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]
