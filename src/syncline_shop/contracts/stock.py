"""The stock topic: one event per order, from the order service to the catalog; and back, what the catalog decided."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from pydantic import Field

from syncline.kit.messages import DataError, EventTopic
from syncline.kit.settings import ServiceSettings

_MOST = 2**31 - 1


class StockOrder(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was ordered. Money is int64, in the smallest unit.

    Only what the catalog needs must be there: the tutorials' producers send more or less of the rest,
    and user ids that are numbers.
    """

    product_id: Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")]
    quantity: Annotated[int, Meta(ge=1, le=_MOST)]
    unit_price: int | None = None
    total_price: int | None = None
    order_id: Annotated[str, Meta(min_length=1)] | None = None
    user_id: str | int | None = None


def _one_amount(body: object) -> object:
    """`qty` is what the older tutorials call the quantity."""
    if not isinstance(body, dict) or "qty" not in body:
        return body
    if body.get("quantity", body["qty"]) != body["qty"]:
        raise DataError("this is no OrderPlaced: it gives both quantity and qty, and they differ")
    return {**body, "quantity": body["qty"]}


STOCK_ORDERS = EventTopic(
    name="example-catalog-topic",
    value=StockOrder,
    key=lambda order: order.order_id or order.product_id,
    identity=lambda order: order.order_id,
    event_type="OrderPlaced",
    partitions=3,
    upcast=_one_amount,
)
"""Three partitions, so that up to three catalog instances share the work."""


class Outcome(StrEnum):
    """What became of an order's stock."""

    RESERVED = "RESERVED"
    REJECTED = "REJECTED"


class StockDecision(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the catalog decided about an order."""

    order_id: Annotated[str, Meta(min_length=1, max_length=200)]
    outcome: Outcome
    reason: Annotated[str, Meta(max_length=32)] | None = None
    """Why it was rejected: `OUT_OF_STOCK`, `UNKNOWN_PRODUCT`."""


STOCK_DECISIONS = EventTopic(
    name="stock-decisions",
    value=StockDecision,
    key=lambda decision: decision.order_id,
    identity=lambda decision: decision.order_id,
    event_type="StockDecided",
    partitions=3,
)


class StockTopicSettings(ServiceSettings, populate_by_name=True):
    """Settings of a service on either side of the stock topics.

    One variable for all of them: a name that differs between writer and reader means that stock never
    changes and no error appears anywhere.
    """

    stock_topic: str = Field(default=STOCK_ORDERS.name, validation_alias="SHOP_STOCK_TOPIC")
    decisions_topic: str = Field(default=STOCK_DECISIONS.name, validation_alias="SHOP_DECISIONS_TOPIC")
