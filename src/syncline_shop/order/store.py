"""The table `orders`: in mode connect the sink connector writes it, in all others this service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, MetaData, String, Table, and_, or_, select

from syncline.kit.db import Database, Moment, insert_once
from syncline.kit.messages import inbox_tables, outbox_table
from syncline_shop.order.domain import Order, OrderStatus

TABLES = MetaData()

ORDERS = Table(
    "orders",
    TABLES,
    # Filled in by the database: the record of an order has none.
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("order_id", String(36), nullable=False, unique=True),
    Column("user_id", String(50), nullable=False),
    Column("product_id", String(120), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    Column("total_price", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("orders_of_user", "user_id", "created_at"),
    mysql_charset="utf8mb4",
)

DECISIONS = Table(
    "order_decisions",
    TABLES,
    Column("order_id", String(200), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("reason", String(32)),
    Column("decided_at", Moment, nullable=False),
    mysql_charset="utf8mb4",
)
"""A table of its own, because in mode connect a decision may come before the row it is about."""

OUTBOX_TABLES = MetaData()
OUTBOX = outbox_table(OUTBOX_TABLES)
"""In mode outbox."""

INBOX_TABLES = MetaData()
INBOX = inbox_tables(INBOX_TABLES)
"""In all modes but private."""

_WRITTEN = [column for column in ORDERS.columns if column.name != "id"]
_READ = select(*_WRITTEN, DECISIONS.c.status, DECISIONS.c.reason).outerjoin_from(
    ORDERS, DECISIONS, ORDERS.c.order_id == DECISIONS.c.order_id
)


class OrderStore:
    """Reads and writes orders; calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, order: Order, also: Callable[[Connection], None] | None = None) -> None:
        """Store a new order, and do what else belongs into its transaction; one that is there stays as it is."""
        with self._database.writing() as connection:
            if insert_order(connection, order) and also is not None:
                also(connection)

    def get(self, user_id: str, order_id: str) -> Order | None:
        """The user's order, or None."""
        query = _READ.where(ORDERS.c.order_id == order_id, ORDERS.c.user_id == user_id)
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _order(row)

    def decided(self, order: Order) -> Order:
        """An order that is no row yet, with what was decided about it."""
        query = select(DECISIONS.c.status, DECISIONS.c.reason).where(DECISIONS.c.order_id == order.order_id)
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
        return order if row is None else replace(order, status=OrderStatus(row.status), reason=row.reason)

    def newest(self, user_id: str, limit: int, before: Order | None = None) -> list[Order]:
        """The user's orders, newest first, at most `limit`, those after `before` in that order.

        The order is total (moment, then id), so every instance gives the same list and pages have no gaps.
        """
        query = _READ.where(ORDERS.c.user_id == user_id)
        if before is not None:
            earlier = ORDERS.c.created_at < before.created_at
            same_moment = and_(ORDERS.c.created_at == before.created_at, ORDERS.c.order_id < before.order_id)
            query = query.where(or_(earlier, same_moment))
        query = query.order_by(ORDERS.c.created_at.desc(), ORDERS.c.order_id.desc()).limit(limit)
        with self._database.begin() as connection:
            rows: Sequence[Any] = connection.execute(query).all()
        return [_order(row) for row in rows]


def insert_order(connection: Connection, order: Order) -> bool:
    """Whether the order was not there."""
    return insert_once(connection, ORDERS, {column.name: getattr(order, column.name) for column in _WRITTEN})


def _order(row: Any) -> Order:
    values = dict(row._mapping)
    return Order(**{**values, "status": OrderStatus(values["status"] or OrderStatus.PENDING)})
