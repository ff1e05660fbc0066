"""The topic `orders`: one record per order, as the sink writes it into the table of the same name."""

from __future__ import annotations

from typing import Annotated

from syncline.kit.messages import ConnectKey, ConnectRecord, Int32, Int64, Key, MaxLen, Timestamp, Topic


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
