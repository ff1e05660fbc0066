"""The topic `orders`: one record per order, as the sink writes it into the table of the same name."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from syncline.kit.messages import (
    ConnectKey,
    ConnectRecord,
    DataError,
    EventTopic,
    Int32,
    Int64,
    Key,
    MaxLen,
    Timestamp,
    Topic,
)


class OrderRow(ConnectRecord, name="orders"):
    """Field names are column names. Money is int64, in the smallest unit: 1,500 x 1,500,000 is no int32."""

    order_id: Annotated[str, Key, MaxLen(36)]
    user_id: Annotated[str, MaxLen(50)]
    product_id: Annotated[str, MaxLen(120)]
    quantity: Int32
    unit_price: Int64
    total_price: Int64
    created_at: Timestamp


ORDERS = Topic("orders", value=OrderRow, key=ConnectKey)
"""Keyed by order id, so that an order's records keep their order."""


class OrderCopy(Struct, frozen=True, kw_only=True):
    """An order as a service reads it from the topic; `created_at` is milliseconds since the epoch."""

    order_id: Annotated[str, Meta(min_length=1, max_length=36)]
    user_id: Annotated[str, Meta(min_length=1, max_length=50)]
    product_id: Annotated[str, Meta(min_length=1, max_length=120)]
    quantity: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    unit_price: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    total_price: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    created_at: int


def _payload(envelope: object) -> object:
    if not isinstance(envelope, dict) or "payload" not in envelope:
        raise DataError('this is no order: its value is to be {"schema": ..., "payload": ...}')
    return envelope["payload"]


ORDER_COPIES = EventTopic(
    name=ORDERS.name,
    value=OrderCopy,
    key=lambda order: order.order_id,
    identity=lambda order: order.order_id,
    event_type="order",
    upcast=_payload,
)
"""The same topic for readers."""
