"""Outbox, relay and the lock between relays, on real databases and a real broker."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, MetaData, func, select

from syncline.broker import BrokerThread
from syncline.errors import DataError
from syncline.ids import TopicPartition
from syncline.kafka.client import Consumer
from syncline.kafka.ports import BEGINNING, KafkaRecord
from syncline.kit.db import Database
from syncline.kit.errors import DatabaseUnavailable
from syncline.kit.messages import EventTopic, Outbox, Relay, TopicCheck, outbox_table
from syncline.kit.messages.outbox import Stored
from tests import servers
from tests.servers import free_port, wait_for

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
TABLES = MetaData()
TABLE = outbox_table(TABLES)


class Said(msgspec.Struct):
    number: int


SAYINGS = EventTopic(
    name="sayings",
    value=Said,
    key=lambda said: str(said.number % 3),
    identity=lambda said: str(said.number),
    event_type="Said",
    partitions=2,
)


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    found: servers.Database = request.getfixturevalue(request.param)
    return found.url


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path / "broker") as running:
        yield running


def say(connection: Connection, *numbers: int, outbox: Outbox | None = None) -> None:
    for number in numbers:
        headers = SAYINGS.headers(NOW, event_id=f"said-{number}", trace_id="0" * 31 + "1")
        (outbox or Outbox(TABLE)).add(connection, SAYINGS, Said(number), headers, NOW)


@asynccontextmanager
async def relaying(
    url: str, bootstrap: str, outbox: Outbox | None = None, registry: CollectorRegistry | None = None
) -> AsyncIterator[Relay]:
    """One instance that publishes, with a database of its own to be connected to."""
    async with Database(url, TABLES) as database, TopicCheck(bootstrap, [SAYINGS], readers_after=3600) as topics:
        outbox = outbox or Outbox(TABLE)
        relay = Relay(bootstrap, name="s", database=database, outbox=outbox, topics=topics, registry=registry)
        async with relay:
            yield relay


def heard(bootstrap: str, count: int) -> list[KafkaRecord]:
    """So many committed records, in the order of each partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "isolation.level": "read_committed"})
    consumer.assign({TopicPartition("sayings", number): BEGINNING for number in range(2)})
    found: list[KafkaRecord] = []

    def enough() -> bool:
        found.extend(consumer.read(1000, 0.1))
        return len(found) >= count

    try:
        wait_for(enough, f"{count} records", 30)
    finally:
        consumer.close()
    return found


def numbers(records: Sequence[KafkaRecord]) -> list[int]:
    return [SAYINGS.decode(record.value).number for record in records]


async def all_published(database: Database) -> None:
    def left() -> int:
        with database.begin() as connection:
            waiting = select(func.count()).select_from(TABLE).where(TABLE.c.published_at.is_(None))
            return int(connection.execute(waiting).scalar_one())

    await asyncio.to_thread(wait_for, lambda: left() == 0, "everything is published", 30)


async def test_what_is_committed_is_published_and_what_is_rolled_back_is_not(url: str, broker: BrokerThread) -> None:
    async with relaying(url, broker.bootstrap_servers) as relay, Database(url, TABLES) as database:

        def fail() -> None:
            with database.begin() as connection:
                say(connection, 1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(fail)
        with database.begin() as connection:
            say(connection, 2, 3)
        relay.wake()
        await all_published(database)
        await relay.check()
    found = await asyncio.to_thread(heard, broker.bootstrap_servers, 2)
    assert sorted(numbers(found)) == [2, 3]
    (second,) = [record for record in found if record.key == b"2"]
    assert dict(second.headers or ()).keys() == {
        "event_id",
        "event_type",
        "schema_version",
        "occurred_at",
        "traceparent",
    }
    assert dict(second.headers or ())["event_id"] == b"said-2"


async def test_a_transaction_that_commits_late_with_an_early_id_is_not_passed_over(
    url: str, broker: BrokerThread
) -> None:
    """AC-10, GAP-22."""
    if url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    async with Database(url, TABLES) as database:
        with database.begin() as early:
            say(early, 1)
            with database.begin() as late:
                say(late, 2)
            async with relaying(url, broker.bootstrap_servers):
                assert numbers(await asyncio.to_thread(heard, broker.bootstrap_servers, 1)) == [2]
        async with relaying(url, broker.bootstrap_servers):
            await all_published(database)
    assert sorted(numbers(heard(broker.bootstrap_servers, 2))) == [1, 2]


async def test_without_a_broker_the_outbox_waits_and_says_how_much(url: str, tmp_path: Path) -> None:
    port, registry = free_port(), CollectorRegistry()
    async with relaying(url, f"127.0.0.1:{port}", registry=registry) as relay, Database(url, TABLES) as database:
        with database.begin() as connection:
            say(connection, *range(20))
        await asyncio.to_thread(wait_for, lambda: registry.get_sample_value("outbox_unpublished") == 20, "20 wait", 30)
        assert (registry.get_sample_value("outbox_oldest_seconds") or 0) > 0
        await relay.check()
        with BrokerThread(tmp_path / "broker", port=port) as broker:
            await all_published(database)
            found = await asyncio.to_thread(heard, broker.bootstrap_servers, 20)
    assert sorted(numbers(found)) == list(range(20))
    assert in_order(found)


async def test_instances_that_come_and_go_leave_nothing_out_and_keep_the_order(url: str, broker: BrokerThread) -> None:
    count = itertools.count()
    async with Database(url, TABLES) as database:
        for _ in range(4):
            async with relaying(url, broker.bootstrap_servers) as one:
                async with relaying(url, broker.bootstrap_servers) as other:
                    for _ in range(10):
                        with database.begin() as connection:
                            say(connection, *itertools.islice(count, 5))
                        one.wake()
                        other.wake()
                    await one.check()
                # Stopped in the middle of it; the first one goes on.
                with database.begin() as connection:
                    say(connection, *itertools.islice(count, 5))
        async with relaying(url, broker.bootstrap_servers):
            await all_published(database)
    everything = next(count)
    found = heard(broker.bootstrap_servers, everything)
    assert sorted(numbers(found)) == list(range(everything))
    assert in_order(found)


class Forgetful(Outbox):
    """Cannot say that something was published, once."""

    failures = 1

    def mark(self, connection: Connection, published: object, now: dt.datetime) -> None:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("gone between the commit and the mark")
        super().mark(connection, published, now)  # type: ignore[arg-type]


async def test_between_commit_and_mark_a_batch_comes_again_with_the_same_ids(url: str, broker: BrokerThread) -> None:
    outbox = Forgetful(TABLE)
    async with relaying(url, broker.bootstrap_servers, outbox), Database(url, TABLES) as database:
        with database.begin() as connection:
            say(connection, 1, 2, 4)
        await all_published(database)
    found = heard(broker.bootstrap_servers, 6)
    ids = [dict(record.headers or ())["event_id"] for record in found]
    assert Counter(ids) == {b"said-1": 2, b"said-2": 2, b"said-4": 2}


async def test_an_event_that_cannot_be_encoded_is_refused_where_it_is_stored(url: str) -> None:
    async with Database(url, TABLES) as database:

        def store() -> None:
            with database.begin() as connection:
                Outbox(TABLE).add(connection, SAYINGS, Said(1), {}, NOW)

        with pytest.raises(DataError, match="event_id"):
            store()


async def test_what_was_published_is_forgotten_after_its_time_and_the_rest_is_not(url: str) -> None:
    async with Database(url, TABLES) as database:
        outbox = Outbox(TABLE)
        with database.begin() as connection:
            say(connection, 1, 2, 3)
            found = outbox.unpublished(connection, 10)
            outbox.mark(connection, found[:1], NOW)
            outbox.mark(connection, found[1:2], NOW + dt.timedelta(days=1))
        with database.begin() as connection:
            assert outbox.forget(connection, NOW + dt.timedelta(hours=1)) == 1
            left: list[Stored] = outbox.unpublished(connection, 10)
            assert [stored.id for stored in left] == [found[2].id]
            assert left[0].created_at == NOW


async def test_one_holds_the_lock_until_it_lets_go_or_its_session_ends(
    url: str, request: pytest.FixtureRequest
) -> None:
    async with Database(url) as one, Database(url) as other:
        mine, yours, another = one.lock("relay"), other.lock("relay"), other.lock("another")
        assert mine.held()
        assert mine.held()
        assert not yours.held()
        assert another.held()
        mine.release()
        mine.release()
        assert yours.held()
        assert not mine.held()
        if not url.startswith("sqlite"):
            end_sessions(request)
            assert not yours.held()
            assert mine.held()
        for lock in (mine, yours, another):
            lock.release()


def end_sessions(request: pytest.FixtureRequest) -> None:
    """As a server does that restarts."""
    if "postgresql" in request.fixturenames or "postgresql" in request.node.name:
        database: servers.Database = request.getfixturevalue("postgresql")
        mine = "pg_backend_pid()"
        database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = current_database() AND pid <> {mine}"
        )
        return
    database = request.getfixturevalue("mariadb")
    for (number,) in database.query(
        "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
    ):
        database.query(f"KILL {number}")


def in_order(records: Sequence[KafkaRecord]) -> bool:
    """Whether those with the same key have the order in which they were stored."""
    by_key: dict[bytes | None, list[int]] = {}
    for record, number in zip(records, numbers(records), strict=True):
        by_key.setdefault(record.key, []).append(number)
    return all(mine == sorted(mine) for mine in by_key.values())
