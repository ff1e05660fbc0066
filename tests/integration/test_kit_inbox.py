"""Inbox, stock and the whole catalog service on real databases, with many writers at once."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from syncline.broker import BrokerThread
from syncline.ids import TopicPartition
from syncline.kit.db import Database
from syncline.kit.errors import DatabaseUnavailable
from syncline.kit.messages import Inbox
from syncline.kit.messages.inbox import Reached
from syncline_shop.catalog.domain import Reason
from syncline_shop.catalog.store import CATALOG, INBOX, RESERVATIONS, TABLES, CatalogStore, reserve
from syncline_shop.contracts import Outcome
from tests import servers
from tests.unit.shop.stocks import catalog, order, send

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    found: servers.Database = request.getfixturevalue(request.param)
    return found.url


async def test_an_event_is_heard_once_and_ids_are_compared_exactly(url: str) -> None:
    ids = ["a", "A", "a ", "ä", "a\0", "x" * 200, "x" * 201, "😀"]
    async with Database(url, TABLES) as database:
        ears = Inbox(INBOX, "ears")
        for expected in (True, False):
            with database.begin() as connection:
                assert [ears.first_time(connection, name, NOW) for name in ids] == [expected] * len(ids)
                # The transaction goes on after a repeat, and other consumers hear for themselves.
                assert Inbox(INBOX, "eyes").first_time(connection, f"{expected}", NOW)


async def test_what_is_rolled_back_was_not_heard(url: str) -> None:
    async with Database(url, TABLES) as database:
        inbox = Inbox(INBOX, "ears")

        def hear_and_fail() -> None:
            with database.begin() as connection:
                assert inbox.first_time(connection, "e", NOW)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            hear_and_fail()
        with database.begin() as connection:
            assert inbox.first_time(connection, "e", NOW)


async def test_what_is_old_can_be_forgotten(url: str) -> None:
    async with Database(url, TABLES) as database:
        inbox = Inbox(INBOX, "ears")
        with database.begin() as connection:
            inbox.first_time(connection, "old", NOW)
            inbox.first_time(connection, "new", NOW + dt.timedelta(days=1))
            assert inbox.forget(connection, NOW + dt.timedelta(hours=1)) == 1
        with database.begin() as connection:
            assert inbox.first_time(connection, "old", NOW)
            assert not inbox.first_time(connection, "new", NOW)


async def test_positions_are_kept_per_partition(url: str) -> None:
    async with Database(url, TABLES) as database:
        reached = Reached(database, Inbox(INBOX, "ears"))
        one, two = TopicPartition("t", 0), TopicPartition("t", 1)
        reached.store({one: 5, two: 7})
        reached.store({one: 6})
        assert reached.read([one, two, TopicPartition("t", 2)]) == {one: 6, two: 7}
        assert Reached(database, Inbox(INBOX, "eyes")).read([one]) == {}


async def test_under_load_nothing_is_taken_twice_or_below_zero(url: str) -> None:
    """80 orders of 2, each heard three times, on a stock of 100: 50 are met, 30 are not."""
    async with Database(url, TABLES) as database:
        inbox = Inbox(INBOX, "catalog")

        def hear(number: int) -> bool:
            while True:
                try:
                    with database.begin() as connection:
                        if not inbox.first_time(connection, f"e-{number}", NOW):
                            return False
                        reserve(connection, order_id=f"o-{number}", product_id="CATALOG-0001", quantity=2, now=NOW)
                        return True
                except DatabaseUnavailable:  # lost against another transaction, as the listener would see it
                    continue

        def all_at_once() -> list[bool]:
            with ThreadPoolExecutor(8) as pool:
                return list(pool.map(hear, [number for number in range(80) for _ in range(3)]))

        first = await asyncio.to_thread(all_at_once)
        assert Counter(first) == {True: 80, False: 160}
        with database.begin() as connection:
            kinds = connection.execute(
                select(RESERVATIONS.c.outcome, RESERVATIONS.c.reason, func.count()).group_by(
                    RESERVATIONS.c.outcome, RESERVATIONS.c.reason
                )
            ).all()
            assert sorted(map(tuple, kinds), key=str) == [
                (Outcome.REJECTED, Reason.OUT_OF_STOCK, 30),
                (Outcome.RESERVED, None, 50),
            ]
            assert connection.scalar(select(CATALOG.c.stock).where(CATALOG.c.product_id == "CATALOG-0001")) == 0


async def test_the_database_itself_refuses_a_negative_stock(url: str) -> None:
    async with Database(url, TABLES) as database:
        with pytest.raises(DBAPIError, match="catalog_stock_is_not_negative"):
            CatalogStore(database).set_stock("CATALOG-0001", -1)
        large = CatalogStore(database).set_stock("CATALOG-0001", 2**63 - 1)
        assert large is not None
        assert large.stock == 2**63 - 1
        assert CatalogStore(database).get("catalog-0001") is None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path / "broker") as running:
        yield running


async def test_two_instances_sell_what_there_is_and_no_more(url: str, broker: BrokerThread) -> None:
    async with catalog(url, broker.bootstrap_servers) as one, catalog(url, broker.bootstrap_servers) as two:
        orders = [order(number, 5) for number in range(30)]
        await asyncio.to_thread(send, broker.bootstrap_servers, *orders, *orders)
        outcomes: list[str] = []
        async with asyncio.timeout(60):
            for placed in orders:
                path = f"/catalog-service/reservations/{placed['orderId']}"
                while (answer := await two.get(path)).status_code == 404:
                    await one.get("/health/live")
                outcomes.append(answer.json()["outcome"])
        assert Counter(outcomes) == {"RESERVED": 20, "REJECTED": 10}
        assert (await one.get("/catalog-service/catalogs/CATALOG-0001")).json()["stock"] == 0
