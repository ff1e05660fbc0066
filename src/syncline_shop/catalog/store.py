"""The catalog's tables: products, what was reserved of them, the inbox of the events that did it, and the outbox."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    event,
    insert,
    select,
    update,
)

from syncline.kit.db import Database, Moment, insert_once
from syncline.kit.messages import inbox_tables, outbox_table
from syncline_shop.catalog.domain import SEED, Product, Reason, Reservation
from syncline_shop.contracts import Outcome

TABLES = MetaData()

# Product ids differ by case, too, which the default collations of MariaDB and MySQL overlook.
_EXACT: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_ID = BigInteger().with_variant(Integer(), "sqlite")

CATALOG = Table(
    "catalog",
    TABLES,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("product_id", String(120), nullable=False, unique=True),
    Column("product_name", String(200), nullable=False),
    Column("stock", BigInteger, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    CheckConstraint("stock >= 0", name="catalog_stock_is_not_negative"),
    **_EXACT,
)

RESERVATIONS = Table(
    "reservations",
    TABLES,
    Column("order_id", String(200), primary_key=True),
    Column("product_id", String(120), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(32)),
    Column("created_at", Moment, nullable=False),
    **_EXACT,
)

INBOX = inbox_tables(TABLES)
OUTBOX = outbox_table(TABLES, "catalog_outbox")
"""The order service has one, too, and on a server both may be in one database."""

_PRODUCT = [column for column in CATALOG.columns if column.name != "id"]


@event.listens_for(CATALOG, "after_create")
def _seed(_: Table, connection: Connection, **__: Any) -> None:
    """A new table gets its products; one that was there is left alone, whatever is in it."""
    now = datetime.now(UTC)
    names = ("product_id", "product_name", "stock", "unit_price")
    connection.execute(insert(CATALOG), [{**dict(zip(names, row, strict=True)), "created_at": now} for row in SEED])


class CatalogStore:
    """Reads and writes the catalog; calls block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, limit: int, after: str | None = None) -> list[Product]:
        """At most `limit` products in the order of their ids, those after one of them."""
        query = select(*_PRODUCT).order_by(CATALOG.c.product_id).limit(limit)
        if after is not None:
            query = query.where(CATALOG.c.product_id > after)
        with self._database.begin() as connection:
            return [_product(row) for row in connection.execute(query)]

    def get(self, product_id: str) -> Product | None:
        """One product, or None."""
        with self._database.begin() as connection:
            return _one(connection, product_id)

    def set_stock(self, product_id: str, stock: int, *, instead_of: int | None = None) -> Product | None:
        """The product with its new stock; None when there is none, or its stock is not `instead_of` any more."""
        statement = update(CATALOG).where(CATALOG.c.product_id == product_id).values(stock=stock)
        if instead_of is not None:
            statement = statement.where(CATALOG.c.stock == instead_of)
        with self._database.begin() as connection:
            if connection.execute(statement).rowcount == 0:
                return None
            return _one(connection, product_id)

    def reservation(self, order_id: str) -> Reservation | None:
        """What was decided about an order, or None while nothing was."""
        query = select(RESERVATIONS).where(RESERVATIONS.c.order_id == order_id)
        with self._database.begin() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        values = dict(row._mapping)
        outcome, reason = Outcome(values["outcome"]), values["reason"]
        return Reservation(**{**values, "outcome": outcome, "reason": None if reason is None else Reason(reason)})


def reserve(
    connection: Connection, *, order_id: str, product_id: str, quantity: int, now: datetime, price: int | None = None
) -> Reservation | None:
    """Take the stock of an order in the connection's transaction; None when the order was decided before.

    With a `price` only if that is the product's.

    The condition stands in the statement: two instances that read 1 and both write 0 would sell it twice.
    """
    values: dict[str, Any] = {
        "order_id": order_id,
        "product_id": product_id,
        "quantity": quantity,
        "outcome": Outcome.RESERVED,
        "reason": None,
        "created_at": now,
    }
    if not insert_once(connection, RESERVATIONS, values):
        return None
    enough = [CATALOG.c.product_id == product_id, CATALOG.c.stock >= quantity]
    if price is not None:
        enough.append(CATALOG.c.unit_price == price)
    taken = connection.execute(update(CATALOG).where(*enough).values(stock=CATALOG.c.stock - quantity))
    if taken.rowcount == 0:
        refused = {"outcome": Outcome.REJECTED, "reason": _why(_one(connection, product_id), price)}
        connection.execute(update(RESERVATIONS).where(RESERVATIONS.c.order_id == order_id).values(refused))
        values.update(refused)
    return Reservation(**values)


def _why(product: Product | None, price: int | None) -> Reason:
    if product is None:
        return Reason.UNKNOWN_PRODUCT
    return Reason.OUT_OF_STOCK if price in (None, product.unit_price) else Reason.PRICE_CHANGED


def _one(connection: Connection, product_id: str) -> Product | None:
    row = connection.execute(select(*_PRODUCT).where(CATALOG.c.product_id == product_id)).one_or_none()
    return None if row is None else _product(row)


def _product(row: Row[Any]) -> Product:
    return Product(**row._mapping)
