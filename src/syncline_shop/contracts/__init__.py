"""The only place for names and shapes that services share: topics, records, connectors."""

from syncline_shop.contracts.orders import ORDERS, OrderRow

__all__ = ["ORDERS", "OrderRow"]
