"""The toolkit's database on real servers: tables, moments, and a server that goes away."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, insert, select
from sqlalchemy.exc import IntegrityError

from syncline.kit.db import Database, Moment
from syncline.kit.errors import DatabaseUnavailable
from syncline_shop.order.domain import Order
from syncline_shop.order.store import TABLES as SHOP_TABLES
from syncline_shop.order.store import OrderStore
from tests import servers

TABLES = MetaData()
EVENTS = Table(
    "events",
    TABLES,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(20), nullable=False, unique=True),
    Column("at", Moment, nullable=False),
    Index("events_by_moment", "at"),
    mysql_charset="utf8mb4",
)
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.timezone(dt.timedelta(hours=9)))
IN_MILLISECONDS = dt.datetime(2026, 1, 1, 18, 4, 5, 678_000, tzinfo=dt.UTC)

KINDS = ["mariadb", "postgresql"]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> servers.Database:
    found: servers.Database = request.getfixturevalue(request.param)
    return found


async def test_texts_and_moments_come_back_as_they_were(database: servers.Database) -> None:
    async with Database(database.url, TABLES) as opened:
        with opened.begin() as connection:
            connection.execute(insert(EVENTS).values(id=1, name="텍스트😀", at=NOW))
        with opened.begin() as connection:
            assert connection.execute(select(EVENTS)).one() == (1, "텍스트😀", IN_MILLISECONDS)


async def test_localhost_is_a_host_with_a_port_and_no_socket(database: servers.Database) -> None:
    async with Database(database.url.replace("127.0.0.1", "localhost"), TABLES) as opened:
        with opened.begin() as connection:
            assert connection.execute(select(EVENTS)).all() == []


async def test_instances_that_start_together_make_the_tables_once(database: servers.Database) -> None:
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(Database(database.url, TABLES)) for _ in range(8)))


async def test_an_error_of_the_statement_stays_itself_and_rolls_back(database: servers.Database) -> None:
    async with Database(database.url, TABLES) as opened:
        rows = [{"id": 1, "name": "a", "at": NOW}, {"id": 2, "name": "a", "at": NOW}]
        with pytest.raises(IntegrityError), opened.begin() as connection:
            connection.execute(insert(EVENTS), rows)
        with opened.begin() as connection:
            assert connection.execute(select(EVENTS)).all() == []


async def test_pages_of_orders_are_the_same_as_on_any_database(database: servers.Database) -> None:
    async with Database(database.url, SHOP_TABLES) as opened:
        store = OrderStore(opened)
        placed = [
            Order.place(
                order_id=f"{number:036d}",
                user_id="roy",
                product_id="😀",
                quantity=1500,
                unit_price=1_500_000,
                now=NOW + dt.timedelta(seconds=number // 3),
            )
            for number in range(10)
        ]
        for order in placed:
            store.add(order)
        first = store.newest("roy", 4)
        rest = store.newest("roy", 100, first[-1])
        assert [*first, *rest] == placed[::-1]
        assert first[0].total_price == 2_250_000_000


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.Server]:
    """A server that the test may stop."""
    make = {"mariadb": servers.make_mariadb, "postgresql": servers.make_postgresql}[request.param]
    yield from servers.running(make, tmp_path)


async def test_a_server_that_goes_away_is_unavailable_and_then_available_again(own_server: servers.Server) -> None:
    place = own_server.database("shop")
    async with Database(place.url, TABLES) as opened:
        own_server.kill()
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="cannot use the database") as caught:
                await opened.check()
            assert own_server.password not in str(caught.value)
        own_server.start()
        await opened.check()


async def test_a_server_that_is_lost_in_a_transaction_is_unavailable(own_server: servers.Server) -> None:
    place = own_server.database("shop")
    async with Database(place.url, TABLES) as opened:
        with pytest.raises(DatabaseUnavailable):
            _lose(opened, own_server)


def _lose(opened: Database, server: servers.Server) -> None:
    with opened.begin() as connection:
        connection.execute(insert(EVENTS).values(id=1, name="a", at=NOW))
        server.kill()
        connection.execute(insert(EVENTS).values(id=2, name="b", at=NOW))
