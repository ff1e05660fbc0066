"""The only place for names and shapes that services share: topics, records, connectors."""

from syncline_shop.contracts.orders import ORDER_COPIES, ORDERS, OrderCopy, OrderRow
from syncline_shop.contracts.stock import (
    STOCK_DECISIONS,
    STOCK_ORDERS,
    Outcome,
    StockDecision,
    StockOrder,
    StockTopicSettings,
)

__all__ = [
    "ORDERS",
    "ORDER_COPIES",
    "STOCK_DECISIONS",
    "STOCK_ORDERS",
    "OrderCopy",
    "OrderRow",
    "Outcome",
    "StockDecision",
    "StockOrder",
    "StockTopicSettings",
]
