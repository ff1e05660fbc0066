"""The only place for names and shapes that services share: topics, records, connectors."""

from syncline_shop.contracts.orders import ORDERS, OrderRow
from syncline_shop.contracts.stock import STOCK_ORDERS, StockOrder, StockTopicSettings

__all__ = ["ORDERS", "STOCK_ORDERS", "OrderRow", "StockOrder", "StockTopicSettings"]
