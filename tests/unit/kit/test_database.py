"""Database URLs, transactions and errors, on SQLite; the servers' turn is in tests/integration."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select
from sqlalchemy.exc import IntegrityError

from syncline.errors import ConfigError
from syncline.kit.db import Database, Moment
from syncline.kit.errors import DatabaseUnavailable

TABLES = MetaData()
EVENTS = Table("events", TABLES, Column("id", Integer, primary_key=True), Column("at", Moment, nullable=False))
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.timezone(dt.timedelta(hours=9)))
IN_MILLISECONDS = dt.datetime(2026, 1, 1, 18, 4, 5, 678_000, tzinfo=dt.UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'x.db'}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no url", "this is no database URL"),
        (
            "oracle://u:hidden@h/d",
            "oracle:// is not supported; use one of mariadb, mysql, postgres, postgresql, sqlite",
        ),
        ("mariadb://u:hidden@h", "mariadb://u@h names no host or no database"),
        ("postgresql:///d", "names no host"),
        ("mariadb://u:hidden@h:port/d", "this is no database URL"),
        ("sqlite://", "an SQLite URL needs a file"),
        ("sqlite:////no/such/folder/x.db", "the folder of .* does not exist"),
    ],
)
def test_a_url_that_cannot_work_is_refused_with_its_fault_and_without_its_password(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Database(text)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["mariadb", "mysql", "postgresql", "postgres"])
def test_a_database_is_shown_without_its_password(scheme: str) -> None:
    database = Database(f"{scheme}://root:hid%40den@db.example:3306/shop?ssl=true")
    assert database.shown == f"{scheme}://root@db.example:3306/shop"


async def test_a_moment_comes_back_in_utc_and_milliseconds(url: str) -> None:
    async with Database(url, TABLES) as database:
        with database.begin() as connection:
            connection.execute(insert(EVENTS).values(id=1, at=NOW))
        with database.begin() as connection:
            assert connection.execute(select(EVENTS.c.at)).scalar_one() == IN_MILLISECONDS


async def test_a_moment_that_a_sink_wrote_as_text_or_number_is_understood(url: str, tmp_path: Path) -> None:
    async with Database(url, TABLES) as database:
        with sqlite3.connect(tmp_path / "x.db") as raw:
            raw.execute("INSERT INTO events VALUES (1, 1767290645678), (2, '2026-01-01 18:04:05.678')")
        raw.close()
        with database.begin() as connection:
            assert set(connection.execute(select(EVENTS.c.at)).scalars()) == {IN_MILLISECONDS}


async def test_a_moment_without_time_zone_is_refused(url: str) -> None:
    async with Database(url, TABLES) as database:
        with pytest.raises(Exception, match="has no time zone"), database.begin() as connection:
            connection.execute(insert(EVENTS).values(id=1, at=dt.datetime(2026, 1, 1)))


async def test_an_error_rolls_back_and_stays_itself(url: str) -> None:
    async with Database(url, TABLES) as database:
        with pytest.raises(IntegrityError), database.begin() as connection:
            connection.execute(insert(EVENTS), [{"id": 1, "at": NOW}, {"id": 1, "at": NOW}])
        with database.begin() as connection:
            assert connection.execute(select(EVENTS.c.id)).all() == []


async def test_instances_that_start_together_make_the_tables_once(url: str) -> None:
    databases = [Database(url, TABLES) for _ in range(8)]
    await asyncio.gather(*(database.__aenter__() for database in databases))
    await asyncio.gather(*(database.__aexit__() for database in databases))


async def test_a_table_of_somebody_else_is_refused_with_the_columns_it_lacks(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as raw:
        raw.execute("CREATE TABLE events (id INTEGER, name TEXT)")
    raw.close()
    with pytest.raises(ConfigError, match=r"the table events in sqlite:///.* lacks at; give this service"):
        await Database(url, TABLES).__aenter__()


async def test_a_file_that_is_no_database_is_said_in_one_sentence(url: str, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("something else entirely" * 100)
    with pytest.raises(DatabaseUnavailable, match=r"cannot use the database sqlite:///.*: file is not a database"):
        await Database(url).__aenter__()


async def test_a_full_disk_is_a_reason_to_try_again_later(url: str) -> None:
    async with Database(url, TABLES) as database:
        with database.begin() as connection:
            # SQLite's own limit; it fails with what a full disk fails with.
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        rows = [{"id": number, "at": NOW} for number in range(5000)]
        with pytest.raises(DatabaseUnavailable, match="database or disk is full"), database.begin() as connection:
            connection.execute(insert(EVENTS), rows)
        with database.begin() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 10000")
            connection.execute(insert(EVENTS), rows)


async def test_a_reader_does_not_wait_for_the_writer(url: str) -> None:
    async with Database(url, TABLES) as database, Database(url) as other:
        with database.begin() as writing:
            writing.execute(insert(EVENTS).values(id=1, at=NOW))
            with other.begin() as reading:
                assert reading.execute(select(EVENTS.c.id)).all() == []


async def test_writers_take_turns(url: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        # Each opens the file by itself, as the processes of several instances do.
        databases = [await stack.enter_async_context(Database(url, TABLES)) for _ in range(12)]
        inside: list[int] = []
        together: list[int] = []

        def write(number: int) -> None:
            with databases[number % 12].writing() as connection:
                inside.append(number)
                together.append(len(inside))
                connection.execute(insert(EVENTS).values(id=number, at=NOW))
                inside.remove(number)

        await asyncio.gather(*(asyncio.to_thread(write, number) for number in range(48)))
        assert together == [1] * 48


async def test_a_writer_that_fails_lets_the_next_one_in(url: str) -> None:
    async with Database(url, TABLES) as database:
        for _ in range(2):
            with pytest.raises(IntegrityError), database.writing() as connection:
                connection.execute(insert(EVENTS), [{"id": 1, "at": NOW}, {"id": 1, "at": NOW}])
        with database.writing() as connection:
            connection.execute(insert(EVENTS).values(id=1, at=NOW))
