"""The JSON bodies of the order service, named as the tutorials name them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_serializer, model_validator
from pydantic.alias_generators import to_camel

from syncline_shop.order.domain import Order, OrderStatus

# Control characters have no business in an id, and PostgreSQL refuses NUL in any text.
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"


class NewOrder(BaseModel):
    """What a customer sends: `{"productId": "CATALOG-0001", "quantity": 10, "unitPrice": 1000}`.

    `qty` is accepted for `quantity`. Other members are ignored, a total among them: it is computed.
    """

    model_config = ConfigDict(alias_generator=to_camel)

    product_id: Annotated[str, Field(min_length=1, max_length=120, pattern=PRINTABLE)]
    quantity: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]
    unit_price: Annotated[StrictInt, Field(ge=0, le=2**63 - 1)]

    @model_validator(mode="before")
    @classmethod
    def _one_amount(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "qty" not in values:
            return values
        if "quantity" in values and values["quantity"] != values["qty"]:
            raise ValueError("gives both quantity and qty, and they differ")
        return {**values, "quantity": values["qty"]}


class OrderView(BaseModel):
    """An order as it is shown."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    product_id: str
    quantity: int
    unit_price: int
    total_price: int
    order_id: str
    user_id: str
    created_at: datetime
    status: OrderStatus
    reason: str | None = None
    """Why it was rejected; not shown otherwise."""
    synced: bool
    """Whether the order's row is in the database."""

    @field_serializer("created_at")
    def _in_milliseconds(self, moment: datetime) -> str:
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @classmethod
    def of(cls, order: Order, *, synced: bool) -> OrderView:
        return cls(
            product_id=order.product_id,
            quantity=order.quantity,
            unit_price=order.unit_price,
            total_price=order.total_price,
            order_id=order.order_id,
            user_id=order.user_id,
            created_at=order.created_at,
            status=order.status,
            reason=order.reason,
            synced=synced,
        )
