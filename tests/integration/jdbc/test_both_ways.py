"""One table on two databases, each with a source and a sink: changes cross over once and come to rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.api import SinkContext
from syncline.connectors.jdbc.origin import HEADER
from syncline.connectors.jdbc.sink import JdbcSinkTask
from syncline.data import SinkRecord, SourceRecord
from tests.jdbc_source import Offsets, Worker
from tests.servers import Database

HOUR = 3_601.0
MICROSECOND = {"mariadb": "datetime(6)", "postgresql": "timestamp", "sqlite": "timestamp"}


class Side:
    """A database with the table, what an application does to it, and its two connectors."""

    def __init__(self, name: str, dialect: str, config: dict[str, str], connection: Any) -> None:
        self.dialect = dialect
        self.connection = connection
        self._config = {**config, "name": name, "tasks.max": "1", "origin.name": name, "origin.column": "origin"}
        self.run(
            f"CREATE TABLE t (id int PRIMARY KEY, v varchar(20), ts {MICROSECOND[dialect]} NOT NULL, "
            "origin varchar(120))"
        )
        self._offsets = Offsets()
        self.source = self._started()
        self.sink = JdbcSinkTask()
        self.sink.start(
            {
                **self._config,
                **{"topics": "t", "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id"},
                "upsert.version.field": "ts",
            },
            # No dead letters: a record that is refused fails the test.
            cast(SinkContext, SimpleNamespace(errant_record_reporter=None)),
        )

    def _started(self) -> Worker:
        return Worker(
            {
                **self._config,
                **{"mode": "timestamp+incrementing", "incrementing.column.name": "id", "timestamp.column.name": "ts"},
                **{"table.whitelist": "t", "topic.prefix": "", "poll.interval.ms": "3600000"},
            },
            self._offsets,
        )

    def restart(self) -> None:
        """The source's tasks go on from their stored offsets."""
        self.source.stop()
        self.source = self._started()

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(statement)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        cursor.close()
        return rows

    def write(self, number: int, text: str, second: int) -> None:
        """As an application does, which knows nothing of the column `origin`."""
        moment = f"'2024-01-01 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.123456'"
        if self.dialect == "sqlite":
            # As the sink writes them there; a text would be greater than any of those.
            moment = str(1_704_067_200_123 + second * 1_000)
        if self.run(f"SELECT id FROM t WHERE id = {number}"):
            self.run(f"UPDATE t SET v = '{text}', ts = {moment} WHERE id = {number}")
        else:
            self.run(f"INSERT INTO t (id, v, ts) VALUES ({number}, '{text}', {moment})")

    def changes(self) -> list[SourceRecord]:
        found = self.source.poll(HOUR, once=False)
        assert self.source.error is None
        return found

    def rows(self) -> list[tuple[Any, ...]]:
        return self.run("SELECT id, v FROM t ORDER BY id")

    def stop(self) -> None:
        self.source.stop()
        self.sink.stop()
        self.connection.close()


class Pair:
    """Two databases and what lies between: one topic that both sources write to and both sinks read."""

    def __init__(self, left: Side, right: Side) -> None:
        self.left, self.right = left, right
        self.topic: list[SinkRecord] = []
        self._read = 0

    def settle(self) -> int:
        """Let records cross over until none moves any more; how many there were."""
        before = len(self.topic)
        for _ in range(10):
            for side in (self.left, self.right):
                for record in side.changes():
                    self.topic.append(
                        SinkRecord(
                            *(record.topic, 0, len(self.topic), None, None, record.value_schema, record.value),
                            headers=record.headers,
                        )
                    )
            new = self.topic[self._read :]
            if not new:
                return len(self.topic) - before
            for side in (self.left, self.right):
                side.sink.put(new)
            self._read = len(self.topic)
        raise AssertionError("records go round and round")

    def stop(self) -> None:
        self.left.stop()
        self.right.stop()


def sqlite_side(name: str, folder: Path) -> Side:
    path = folder / f"{name}.db"
    connection = sqlite3.connect(path, isolation_level=None)
    return Side(name, "sqlite", {"connection.url": f"jdbc:sqlite:{path}"}, connection)


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    dialect: str = request.param

    def side(name: str) -> Side:
        if dialect == "sqlite":
            return sqlite_side(name, tmp_path)
        new_database: Callable[[str], Database] = request.getfixturevalue("new_database")
        database = new_database(dialect)
        return Side(name, dialect, dict(database.connector_config), database.connect())

    made = Pair(side("left"), side("right"))
    try:
        yield made
    finally:
        made.stop()


def test_a_row_crosses_over_once_and_does_not_come_back(pair: Pair) -> None:
    pair.left.write(1, "from the left", 1)
    pair.right.write(2, "from the right", 2)
    assert pair.settle() == 2
    assert pair.left.rows() == pair.right.rows() == [(1, "from the left"), (2, "from the right")]
    assert pair.settle() == 0


def test_a_row_from_elsewhere_that_is_changed_here_goes_back(pair: Pair) -> None:
    pair.left.write(1, "one", 1)
    pair.settle()
    pair.right.write(1, "two", 2)
    assert pair.settle() == 1
    pair.left.write(1, "three", 3)
    assert pair.settle() == 1
    assert pair.left.rows() == pair.right.rows() == [(1, "three")]
    assert [record.headers[0].value for record in pair.topic] == [
        *("left@1704067201123", "right@1704067202123", "left@1704067203123")
    ]


def test_of_two_changes_at_once_the_later_wins_on_both_sides(pair: Pair) -> None:
    pair.left.write(1, "start", 1)
    pair.settle()
    pair.right.write(1, "later", 3)
    pair.left.write(1, "earlier", 2)
    assert pair.settle() == 2
    assert pair.left.rows() == pair.right.rows() == [(1, "later")]


def test_a_source_that_starts_over_sends_nothing_that_came_from_elsewhere(pair: Pair) -> None:
    for number in range(5):
        pair.left.write(number, "x", number)
    assert pair.settle() == 5
    pair.right.restart()
    assert pair.right.changes() == []


def test_records_carry_where_they_come_from_and_not_the_note(pair: Pair) -> None:
    pair.left.write(1, "x", 1)
    (record,) = pair.left.changes()
    assert [(header.key, header.value) for header in record.headers] == [(HEADER, "left@1704067201123")]
    assert record.value_schema is not None
    assert [field.name for field in record.value_schema.fields] == ["id", "v", "ts"]


WRITES = st.lists(st.tuples(st.sampled_from(["left", "right", "settle", "restart"]), st.integers(1, 3)), max_size=25)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=WRITES)
def test_whatever_is_written_where_both_sides_end_up_equal(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    pair = Pair(sqlite_side("left", folder), sqlite_side("right", folder))
    written = 0
    try:
        for second, (what, number) in enumerate(steps, 1):
            if what == "settle":
                pair.settle()
            elif what == "restart":
                pair.left.restart()
            else:
                written += 1
                (pair.left if what == "left" else pair.right).write(number, f"{what} {second}", second)
        pair.settle()
        assert pair.left.rows() == pair.right.rows()
        assert len(pair.topic) <= written
        last = {
            number: f"{what} {second}" for second, (what, number) in enumerate(steps, 1) if what in ("left", "right")
        }
        assert dict(pair.left.rows()) == last
    finally:
        pair.stop()
