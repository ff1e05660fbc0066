"""What the source promises on every database; one suite, all dialects."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncline.connectors.jdbc.source import JdbcSourceConnector
from syncline.connectors.jdbc.source_config import SourceConfig
from syncline.data import SourceRecord
from syncline.errors import ConfigError, ConnectError, SqlError
from syncline.options import check_all, options_of
from tests.jdbc_source import Offsets, Worker
from tests.servers import Database, wait_for

DIALECTS = ("mariadb", "postgresql", "sqlite")
HOUR = 3_601.0
"""More than the interval between polls: the clock moves only when the test says so."""


class World:
    """An empty database of one kind, and a connector that reads table `t` by its id."""

    def __init__(self, dialect: str, config: dict[str, str], connection: Any) -> None:
        self.dialect = dialect
        self.connection = connection
        self.config = {
            **config,
            "name": "c",
            "tasks.max": "1",
            "mode": "incrementing",
            "incrementing.column.name": "id",
            "table.whitelist": "t",
            "topic.prefix": "p.",
            "poll.interval.ms": "3600000",
        }
        self.offsets = Offsets()
        self._workers: list[Worker] = []

    @property
    def serial(self) -> str:
        """The declaration of a key the database counts up."""
        return {
            "mariadb": "int NOT NULL AUTO_INCREMENT PRIMARY KEY",
            "postgresql": "serial PRIMARY KEY",
            "sqlite": "integer PRIMARY KEY AUTOINCREMENT",
        }[self.dialect]

    @property
    def timestamp(self) -> str:
        """A type of timestamps with microseconds."""
        return "datetime(6)" if self.dialect == "mariadb" else "timestamp"

    def run(self, *statements: str) -> None:
        cursor = self.connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()

    def insert(self, *ids: int, table: str = "t") -> None:
        """Rows with these ids and a text made of them."""
        for start in range(0, len(ids), 1_000):
            values = ",".join(f"({i}, 'v{i}')" for i in ids[start : start + 1_000])
            self.run(f"INSERT INTO {table}(id, v) VALUES {values}")

    def worker(self, **config: str) -> Worker:
        made = Worker({**self.config, **{k.replace("_", "."): v for k, v in config.items()}}, self.offsets)
        self._workers.append(made)
        return made

    def stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        self.connection.close()


@pytest.fixture(params=DIALECTS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    dialect: str = request.param
    if dialect == "sqlite":
        path = tmp_path / "t.db"
        made = World(dialect, {"connection.url": f"jdbc:sqlite:{path}"}, sqlite3.connect(path, isolation_level=None))
    else:
        new_database: Callable[[str], Database] = request.getfixturevalue("new_database")
        database = new_database(dialect)
        made = World(dialect, dict(database.connector_config), database.connect())
    try:
        yield made
    finally:
        made.stop()


def ids(records: list[SourceRecord]) -> list[int]:
    return [record.value.id for record in records]


def test_rows_come_once_in_order_and_in_batches(world: World) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))")
    world.insert(*range(1, 2_501))
    worker = world.worker(batch_max_rows="100")
    records = worker.poll(HOUR, once=False)
    assert worker.error is None
    assert ids(records) == list(range(1, 2_501))
    assert [record.value.v for record in records] == [f"v{i}" for i in range(1, 2_501)]
    assert worker.poll(HOUR, once=False) == []
    world.insert(2_501, 2_600)
    assert ids(worker.poll(HOUR, once=False)) == [2_501, 2_600]


def test_a_batch_has_at_most_the_configured_rows(world: World) -> None:
    world.run("CREATE TABLE t (id int NOT NULL, v varchar(20))")
    world.insert(*range(1, 26))
    worker = world.worker(batch_max_rows="10")
    sizes = []
    task = worker.tasks[0]
    while batch := task.poll():
        sizes.append(len(batch))
    assert sizes == [10, 10, 5]


@pytest.mark.parametrize("batch", ["1", "2", "3", "7", "1000"])
def test_rows_of_one_timestamp_are_neither_lost_nor_repeated(world: World, batch: str) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20), ts {world.timestamp} NOT NULL)")
    for second in (1, 1, 1, 2, 2, 3, 3, 3, 3):
        world.run(f"INSERT INTO t(v, ts) VALUES ('', '2024-01-01 00:00:0{second}.500000')")
    worker = world.worker(mode="timestamp", timestamp_column_name="ts", batch_max_rows=batch)
    assert ids(worker.poll(HOUR, once=False)) == list(range(1, 10))
    assert worker.error is None
    assert list(world.offsets.by_key.values()) == ['{"timestamp_nanos":500000000,"timestamp":1704067203500}']


@pytest.mark.parametrize("mode", ["timestamp", "timestamp+incrementing"])
@pytest.mark.parametrize("batch", ["1", "2", "4"])
def test_a_crash_after_any_batch_loses_nothing(world: World, mode: str, batch: str) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20), ts {world.timestamp} NOT NULL)")
    for second in (1, 1, 1, 2, 2, 3):
        world.run(f"INSERT INTO t(v, ts) VALUES ('', '2024-01-01 00:00:0{second}')")
    first = world.worker(mode=mode, timestamp_column_name="ts", batch_max_rows=batch)
    seen = list(first.tasks[0].poll() or [])
    for record in seen:
        world.offsets.commit(record)
    first.stop()
    next_one = world.worker(mode=mode, timestamp_column_name="ts", batch_max_rows=batch)
    again = ids(next_one.poll(HOUR, once=False))
    assert {*ids(seen), *again} == {1, 2, 3, 4, 5, 6}
    if mode == "timestamp+incrementing":
        assert ids(seen) + again == [1, 2, 3, 4, 5, 6]


def test_an_index_on_the_timestamp_changes_nothing(world: World) -> None:
    world.run(
        f"CREATE TABLE t (id {world.serial}, v varchar(20), ts {world.timestamp} NOT NULL)",
        "CREATE INDEX i ON t(ts)",
    )
    for second in (1, 2, 2, 2, 2, 2, 3):
        world.run(f"INSERT INTO t(v, ts) VALUES ('', '2024-01-01 00:00:0{second}')")
    worker = world.worker(mode="timestamp", timestamp_column_name="ts", batch_max_rows="2")
    assert ids(worker.poll(HOUR, once=False)) == [1, 2, 3, 4, 5, 6, 7]
    assert worker.error is None


def test_several_tables_are_read_in_turn(world: World) -> None:
    for name in ("t", "u", "w"):
        world.run(f"CREATE TABLE {name} (id {world.serial}, v varchar(20))")
        world.insert(*range(1, 31), table=name)
    worker = world.worker(table_whitelist="t,u,w", batch_max_rows="10")
    records = worker.poll(HOUR, once=False)
    for name in ("t", "u", "w"):
        assert ids([record for record in records if record.topic == f"p.{name}"]) == list(range(1, 31))
    turns = [record.topic for record in records[::10]]
    if world.dialect != "sqlite":
        assert turns[:3] == ["p.t", "p.u", "p.w"], "no table waits for the end of another"


def test_a_column_that_is_added_or_dropped_shows_at_the_next_poll(world: World) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))")
    world.insert(1)
    worker = world.worker()
    assert ids(worker.poll(HOUR, once=False)) == [1]
    world.run("ALTER TABLE t ADD x int", "INSERT INTO t(id, v, x) VALUES (2, 'b', 7)")
    (record,) = worker.poll(HOUR, once=False)
    assert (record.value.id, record.value.x) == (2, 7)
    world.run("ALTER TABLE t DROP COLUMN v", "INSERT INTO t(id, x) VALUES (3, 8)")
    (record,) = worker.poll(HOUR, once=False)
    assert record.value_schema is not None
    assert [field.name for field in record.value_schema.fields] == ["id", "x"]
    assert worker.error is None
    assert worker.retried == []


def test_a_column_that_becomes_not_null_shows_at_the_next_poll(world: World) -> None:
    if world.dialect == "sqlite":
        pytest.skip("SQLite cannot change a column")
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))")
    world.insert(1)
    worker = world.worker()
    (record,) = worker.poll(HOUR, once=False)
    assert record.value_schema is not None
    assert record.value_schema.fields[1].schema.optional
    change = "MODIFY v varchar(20) NOT NULL" if world.dialect == "mariadb" else "ALTER v SET NOT NULL"
    world.run(f"ALTER TABLE t {change}")
    world.insert(2)
    (record,) = worker.poll(HOUR, once=False)
    assert record.value_schema is not None
    assert not record.value_schema.fields[1].schema.optional


def test_a_table_that_is_dropped_fails_the_task_until_it_is_back(world: World) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))")
    world.insert(1)
    worker = world.worker(table_poll_interval_ms="20")
    assert ids(worker.poll(HOUR, once=False)) == [1]
    world.run("DROP TABLE t")
    assert worker.poll(HOUR, once=False) == []
    assert isinstance(worker.error, ConnectError)
    assert isinstance(worker.error.__cause__, SqlError)
    wait_for(worker.context.changed.is_set, "the connector sees that the table is gone")
    worker.start_tasks()
    assert isinstance(worker.error, ConfigError)
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))")
    world.insert(1, 2)
    wait_for(worker.context.changed.is_set, "the connector sees that the table is back")
    worker.start_tasks()
    assert ids(worker.poll(HOUR, once=False)) == [2]


def test_views_are_read_when_asked_for(world: World) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))", "CREATE VIEW w AS SELECT id, v FROM t")
    world.insert(1, 2)
    assert world.worker(table_whitelist="w").error is not None
    worker = world.worker(table_whitelist="w", table_types="view", validate_non_null="false")
    assert ids(worker.poll(HOUR, once=False)) == [1, 2]


def test_a_query_is_read_by_id_and_by_time(world: World) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20), ts {world.timestamp} NOT NULL)")
    world.run("INSERT INTO t(v, ts) VALUES ('100%', '2024-01-01 00:00:01'), ('b', '2024-01-01 00:00:02')")
    query = {"query": "SELECT * FROM (SELECT id, v AS w, ts FROM t WHERE v LIKE '%0%%' OR v = 'b') x"}
    del world.config["table.whitelist"]
    worker = world.worker(topic_prefix="q", **query)
    records = worker.poll(HOUR, once=False)
    assert [(record.topic, record.value.id, record.value.w) for record in records] == [("q", 1, "100%"), ("q", 2, "b")]
    assert world.offsets.by_key == {'["NAME",{"query":"query"}]': '{"incrementing":2}'}
    by_time = world.worker(topic_prefix="q", mode="timestamp", timestamp_column_name="ts", **query)
    assert ids(by_time.poll(HOUR, once=False)) == [1, 2]


def test_a_query_the_database_refuses_makes_the_configuration_invalid(world: World) -> None:
    del world.config["table.whitelist"]
    config = {**world.config, "query": "SELECT nope FROM nowhere"}
    answers = check_all(options_of(SourceConfig), config)
    JdbcSourceConnector().validate(config, answers)
    assert {name for name, answer in answers.items() if answer.errors} == {"query"}
    assert "not valid" in answers["query"].errors[0]


def test_names_that_need_quotes_are_quoted(world: World) -> None:
    quote = "`" if world.dialect == "mariadb" else '"'
    name = f"we ird{quote}.,t"
    sql = quote + name.replace(quote, quote * 2) + quote
    world.run(f"CREATE TABLE {sql} (id {world.serial}, {quote}se lect{quote} int, {quote}group{quote} int)")
    world.run(f"INSERT INTO {sql}({quote}se lect{quote}, {quote}group{quote}) VALUES (1, 2)")
    world.config["table.whitelist"] = ""
    worker = world.worker()
    (record,) = worker.poll(HOUR, once=False)
    assert worker.error is None
    assert record.value_schema is not None
    assert [field.name for field in record.value_schema.fields] == ["id", "se lect", "group"]
    assert record.topic == f"p.{name}"


def test_stopping_in_the_middle_of_a_long_result_is_quick_and_clean(world: World) -> None:
    world.run("CREATE TABLE t (id int NOT NULL, v varchar(20))")
    world.insert(*range(1, 5_001))
    worker = world.worker(mode="bulk", batch_max_rows="10")
    assert len(worker.tasks[0].poll() or []) == 10
    worker.stop()
    assert ids(world.worker().poll(HOUR, once=False)) == list(range(1, 5_001))


def test_the_isolation_level_is_set(world: World) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))")
    world.insert(1)
    worker = world.worker(transaction_isolation_mode="SERIALIZABLE")
    assert ids(worker.poll(HOUR, once=False)) == [1]
    assert worker.error is None


def test_bulk_reads_the_whole_table_each_time(world: World) -> None:
    world.run(f"CREATE TABLE t (id {world.serial}, v varchar(20))")
    world.insert(*range(1, 101))
    worker = world.worker(mode="bulk", batch_max_rows="7")
    for _ in range(2):
        assert sorted(ids(worker.poll(HOUR, once=True))) == list(range(1, 101))


SLOW = {
    "mariadb": "SELECT 1 AS id, SLEEP(300) AS s",
    "postgresql": "SELECT 1 AS id, pg_sleep(300)::text AS s",
    "sqlite": (
        "SELECT 1 AS id, (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100000000000) "
        "SELECT count(*) FROM c) AS s"
    ),
}


def test_stopping_does_not_wait_for_a_slow_query(world: World) -> None:
    del world.config["table.whitelist"]
    task = world.worker(mode="bulk", query=SLOW[world.dialect]).tasks[0]
    ended = threading.Event()
    outcome: list[object] = []

    def poll() -> None:
        outcome.append(task.poll())
        ended.set()

    thread = threading.Thread(target=poll)
    thread.start()
    wait_for(lambda: task._querying.is_set(), "the query runs")

    def stopped() -> bool:
        task.stop()
        return ended.wait(0.1)

    try:
        # Again and again: the first wish may come before the query does.
        wait_for(stopped, "the poll returns", seconds=30)
    finally:
        thread.join(60)
    assert outcome == [None]
