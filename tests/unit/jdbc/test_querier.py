"""Reading one table in batches, from a real SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.connectors.jdbc.dialects.sqlite.read import SqliteReader
from syncline.connectors.jdbc.modes import Mode
from syncline.connectors.jdbc.moments import Calendar, zone_of
from syncline.connectors.jdbc.offsets import table_partition, timestamp_offset
from syncline.connectors.jdbc.querier import Plan, Querier
from syncline.connectors.jdbc.reading import TableName
from syncline.connectors.jdbc.types import Granularity, NumericMapping, TypeSettings
from syncline.data import SourceRecord
from syncline.errors import ConfigError, ConnectError, DataError

SETTINGS = TypeSettings(
    numeric_mapping=NumericMapping.NONE,
    granularity=Granularity.CONNECT_LOGICAL,
    zone=zone_of("UTC"),
    calendar=Calendar.LEGACY,
)
PLAN = Plan(
    table=TableName(None, "t"),
    query="",
    topic="p-t",
    partition=table_partition("t"),
    mode=Mode.INCREMENTING,
    incrementing="id",
    timestamps=(),
    suffix="",
    batch_rows=3,
    delay_ms=0,
    initial_ms=None,
    check_nulls=True,
)


class World:
    """A SQLite database and a reader of it."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")  # as the dialect has it
        self.connection = sqlite3.connect(path)
        self.reader = SqliteReader(self.connection, SETTINGS)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.db.execute(statement)

    def querier(self, plan: Plan = PLAN, stored: dict[str, Any] | None = None) -> Querier:
        querier = Querier(plan, stored)
        querier.prepare(self.reader)
        return querier

    def sweep(self, querier: Querier) -> list[SourceRecord]:
        records = querier.batch(self.reader)
        while querier.sweeping:
            batch = querier.batch(self.reader)
            assert len(batch) <= querier.plan.batch_rows
            records += batch
        return records


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "t.db")
    try:
        yield made
    finally:
        made.db.close()
        made.connection.close()


def ids(records: list[SourceRecord]) -> list[int]:
    return [record.value.id for record in records]


def offsets(records: list[SourceRecord]) -> list[Any]:
    return [record.source_offset for record in records]


BY_KEY = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"
WITHOUT_INDEX = "CREATE TABLE t (id INTEGER NOT NULL, v TEXT)"


@pytest.mark.parametrize("table", [BY_KEY, WITHOUT_INDEX], ids=["in pages", "in one result"])
def test_new_rows_come_once_and_in_order(world: World, table: str) -> None:
    world.run(table, *(f"INSERT INTO t VALUES ({i}, 'v{i}')" for i in (5, 1, 4, 2, 3, 7, 6)))
    querier = world.querier()
    records = world.sweep(querier)
    assert ids(records) == [1, 2, 3, 4, 5, 6, 7]
    assert offsets(records) == [{"incrementing": i} for i in range(1, 8)]
    assert {record.topic for record in records} == {"p-t"}
    assert records[0].source_partition == {"protocol": "1", "table": "t"}
    schema = records[0].value_schema
    assert schema is not None
    assert schema is records[-1].value_schema
    assert schema.name == "t"
    assert world.sweep(querier) == []
    world.run("INSERT INTO t VALUES (9, 'v9')")
    assert ids(world.sweep(querier)) == [9]


def test_a_stored_offset_is_where_reading_begins(world: World) -> None:
    world.run(BY_KEY, *(f"INSERT INTO t VALUES ({i}, '')" for i in range(-2, 6)))
    assert ids(world.sweep(world.querier(stored={"incrementing": 3}))) == [4, 5]
    assert ids(world.sweep(world.querier())) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("index", ["", "CREATE INDEX i ON t(id)"], ids=["in one result", "in pages"])
@pytest.mark.parametrize("copies", [2, 3, 4, 7])
def test_rows_with_one_id_are_not_torn_apart(world: World, index: str, copies: int) -> None:
    world.run("CREATE TABLE t (id INTEGER NOT NULL, n INTEGER)")
    if index:
        world.run(index)
    for i in (1, 2, 3):
        world.run(*(f"INSERT INTO t VALUES ({i}, {n})" for n in range(copies)))
    found = [(record.value.id, record.value.n) for record in world.sweep(world.querier())]
    assert sorted(found) == [(i, n) for i in (1, 2, 3) for n in range(copies)]


def test_bulk_reads_everything_each_time_and_stores_nothing(world: World) -> None:
    world.run(BY_KEY, *(f"INSERT INTO t VALUES ({i}, '')" for i in range(1, 8)))
    querier = world.querier(replace(PLAN, mode=Mode.BULK))
    for _ in range(2):
        records = world.sweep(querier)
        assert ids(records) == list(range(1, 8))
        assert set(offsets(records)) == {None}


def test_a_query_with_a_suffix_runs_once_per_sweep(world: World) -> None:
    world.run(BY_KEY, *(f"INSERT INTO t VALUES ({i}, '')" for i in range(1, 4)))
    querier = world.querier(replace(PLAN, suffix="LIMIT 1"))
    assert [ids(world.sweep(querier)) for _ in range(4)] == [[1], [2], [3], []]


def test_a_query_is_read_by_its_labels(world: World) -> None:
    world.run(BY_KEY, *(f"INSERT INTO t VALUES ({i}, 'v{i}')" for i in range(1, 6)))
    plan = replace(PLAN, table=None, query="SELECT id, v AS w, 1.5 AS d FROM t", partition={"query": "query"})
    querier = world.querier(plan)
    records = world.sweep(querier)
    assert [(r.value.id, r.value.w, r.value.d) for r in records] == [(i, f"v{i}", 1.5) for i in range(1, 6)]
    assert records[0].value_schema is not None
    assert records[0].value_schema.name is None


def test_the_auto_increment_column_is_found(world: World) -> None:
    world.run("CREATE TABLE t (v TEXT, id INTEGER PRIMARY KEY AUTOINCREMENT)", "INSERT INTO t(v) VALUES ('')")
    assert ids(world.sweep(world.querier(replace(PLAN, incrementing="")))) == [1]


@pytest.mark.parametrize(
    ("table", "plan", "error", "why"),
    [
        pytest.param("CREATE TABLE u (id INT)", PLAN, ConfigError, "does not exist", id="no table"),
        pytest.param(
            BY_KEY, replace(PLAN, incrementing="x"), ConfigError, "x does not exist in table 't'", id="no column"
        ),
        pytest.param(
            "CREATE TABLE t (id INTEGER PRIMARY KEY)",
            replace(PLAN, incrementing=""),
            ConfigError,
            "no auto-increment column",
            id="no auto-increment column",
        ),
        pytest.param("CREATE TABLE t (id INTEGER)", PLAN, ConnectError, "this column is nullable", id="a nullable id"),
        pytest.param("CREATE TABLE t (id VARCHAR(5) NOT NULL)", PLAN, ConnectError, "Invalid type", id="a text id"),
        pytest.param("CREATE TABLE t (id DECIMAL(10,2) NOT NULL)", PLAN, ConnectError, "scale 0", id="fractions"),
        pytest.param(
            "CREATE TABLE t (id INTEGER NOT NULL, ts TIMESTAMP)",
            replace(PLAN, mode=Mode.TIMESTAMP, timestamps=("ts",)),
            ConnectError,
            "all of these columns are nullable",
            id="a nullable timestamp",
        ),
        pytest.param(
            "CREATE TABLE t (id INTEGER NOT NULL, ts TEXT NOT NULL)",
            replace(PLAN, mode=Mode.TIMESTAMP, timestamps=("ts",)),
            ConnectError,
            "no timestamp",
            id="a text for a timestamp",
        ),
        pytest.param(
            BY_KEY,
            replace(PLAN, mode=Mode.TIMESTAMP, timestamps=("a", "b")),
            ConfigError,
            "a, b do not exist in table 't'",
            id="no timestamp column",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_before_the_first_row(
    world: World, table: str, plan: Plan, error: type[Exception], why: str
) -> None:
    world.run(table)
    with pytest.raises(error, match=why):
        world.querier(plan)


def test_an_id_in_another_case_names_the_right_one(world: World) -> None:
    world.run(BY_KEY)
    with pytest.raises(ConnectError) as caught:
        world.querier(replace(PLAN, incrementing="ID"))
    assert isinstance(caught.value.__cause__, DataError)
    assert "it is called id" in str(caught.value.__cause__)


def test_nulls_may_be_allowed(world: World) -> None:
    world.run("CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1), (NULL), (2)")
    assert ids(world.sweep(world.querier(replace(PLAN, check_nulls=False)))) == [1, 2]


STAMPED = "CREATE TABLE t (id INTEGER PRIMARY KEY, ts TIMESTAMP NOT NULL)"
BY_TIME = replace(PLAN, mode=Mode.TIMESTAMP, timestamps=("ts",))
SECOND = 1_000_000_000


@pytest.mark.parametrize("written", ["'2024-01-01 00:00:0{}'", "17040672{:02d}000"], ids=["text", "numbers"])
def test_timestamps_in_sqlite_may_be_text_or_milliseconds(world: World, written: str) -> None:
    stamps = [written.format(second) for second in (1, 1, 2, 2, 3)]
    if "Z" not in written and not written.startswith("'"):
        stamps = [str(1_704_067_200_000 + 1_000 * second) for second in (1, 1, 2, 2, 3)]
    world.run(STAMPED, *(f"INSERT INTO t(ts) VALUES ({stamp})" for stamp in stamps))
    querier = world.querier(BY_TIME)
    records = world.sweep(querier)
    assert ids(records) == [1, 2, 3, 4, 5]
    start = 1_704_067_200 * SECOND
    assert offsets(records) == [
        timestamp_offset(at) for at in (0, start + SECOND, start + SECOND, start + 2 * SECOND, start + 3 * SECOND)
    ]
    world.run("UPDATE t SET ts = '2024-01-01T00:00:09.456Z' WHERE id = 2")
    assert offsets(world.sweep(querier)) == [timestamp_offset(start + 9 * SECOND + 456_000_000)]


def test_rows_of_the_future_wait_and_the_delay_holds_back_more(world: World) -> None:
    world.run(
        STAMPED,
        "INSERT INTO t(ts) VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 hour'))",
        "INSERT INTO t(ts) VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now', '+1 hour'))",
    )
    assert ids(world.sweep(world.querier(BY_TIME))) == [1]
    assert ids(world.sweep(world.querier(replace(BY_TIME, delay_ms=7_200_000)))) == []


def test_the_initial_timestamp_counts_without_a_stored_offset_only(world: World) -> None:
    world.run(STAMPED, *(f"INSERT INTO t(ts) VALUES ('2024-01-01 00:00:0{i}')" for i in range(1, 6)))
    plan = replace(BY_TIME, initial_ms=1_704_067_203_000)
    assert ids(world.sweep(world.querier(plan))) == [4, 5]
    assert ids(world.sweep(world.querier(plan, {"timestamp": 1_704_067_201_000}))) == [2, 3, 4, 5]
    assert ids(world.sweep(world.querier(replace(plan, initial_ms=-1)))) == []


def test_the_first_timestamp_that_is_not_null_counts(world: World) -> None:
    world.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up TIMESTAMP, cr TIMESTAMP NOT NULL)",
        "INSERT INTO t VALUES (1, NULL, '2024-01-01 00:00:01'), "
        "(2, '2024-01-01 00:00:05', '2024-01-01 00:00:02'), (3, NULL, '2024-01-01 00:00:03')",
    )
    querier = world.querier(replace(BY_TIME, timestamps=("up", "cr")))
    assert ids(world.sweep(querier)) == [1, 3, 2]
    world.run("UPDATE t SET up = '2024-01-01 00:00:09' WHERE id = 1")
    assert ids(world.sweep(querier)) == [1]


def test_a_timestamp_that_is_none_fails_with_the_value(world: World) -> None:
    world.run(STAMPED, "INSERT INTO t(ts) VALUES ('yesterday')")
    with pytest.raises(DataError, match="'yesterday'"):
        world.sweep(world.querier(BY_TIME))


def test_a_value_without_a_connect_value_names_row_and_column(world: World) -> None:
    world.run("CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE)", "INSERT INTO t VALUES (7, 'soon')")
    with pytest.raises(DataError, match=r"Column d \(DATE\) of t has the value 'soon' .* begins with 7"):
        world.sweep(world.querier())


def test_a_label_given_twice_is_refused(world: World) -> None:
    world.run(BY_KEY, "INSERT INTO t VALUES (1, 'a')")
    plan = replace(PLAN, table=None, query="SELECT v, v FROM t", mode=Mode.BULK)
    with pytest.raises(DataError, match="Column v occurs more than once"):
        world.sweep(world.querier(plan))


def test_any_label_makes_a_field(world: World) -> None:
    labels = ["id", "class", "make", "v0", "f1", "rows", "_x", "é", "ﬁ", "a b", "1", "Ünï", "self", 'q"q']
    columns = ", ".join('"' + label.replace('"', '""') + '"' + " TIMESTAMP" * (label != "id") for label in labels)
    world.run(f"CREATE TABLE t ({columns})".replace('"id"', "id INTEGER PRIMARY KEY"))
    world.run(f"INSERT INTO t VALUES ({', '.join(str(1_000 * n) for n in range(1, len(labels) + 1))})")
    (record,) = world.sweep(world.querier())
    assert record.value_schema is not None
    values = {field.name: getattr(record.value, field.attribute) for field in record.value_schema.fields}
    assert values == {label: 1_000 * n for n, label in enumerate(labels, 1)}


def test_columns_added_and_dropped_show_up_in_the_next_sweep(world: World) -> None:
    world.run(BY_KEY, "INSERT INTO t VALUES (1, 'a')")
    querier = world.querier()
    (first,) = world.sweep(querier)
    world.run("ALTER TABLE t ADD x INTEGER", "INSERT INTO t VALUES (2, 'b', 7)")
    (second,) = world.sweep(querier)
    assert second.value.x == 7
    assert second.value_schema is not first.value_schema
    world.run("ALTER TABLE t DROP COLUMN v", "INSERT INTO t VALUES (3, 8)")
    (third,) = world.sweep(querier)
    assert third.value_schema is not None
    assert [field.name for field in third.value_schema.fields] == ["id", "x"]


def test_an_integer_column_widens_and_stays_wide(world: World) -> None:
    world.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO t VALUES (1, 5)")
    querier = world.querier()
    kinds = []
    for value in (5, 5_000_000_000, 5):
        world.run(f"INSERT INTO t(n) VALUES ({value})")
        record = world.sweep(querier)[-1]
        assert record.value.n == value
        assert record.value_schema is not None
        kinds.append(str(record.value_schema.fields[1].schema.type))
    assert kinds == ["INT32", "INT64", "INT64"]


def test_text_beside_numbers_is_never_turned_into_a_number(world: World) -> None:
    world.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO t VALUES (1, 'abc'), (2, 5)")
    with pytest.raises(DataError, match="int and str"):
        world.sweep(world.querier())


@pytest.mark.parametrize("table", [BY_KEY, WITHOUT_INDEX], ids=["in pages", "in one result"])
def test_rows_that_were_read_when_the_transaction_could_not_end_are_read_again(
    world: World, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(table, *(f"INSERT INTO t VALUES ({i}, '')" for i in range(1, 4)))
    querier = world.querier(replace(PLAN, batch_rows=5))

    def lost() -> None:
        raise sqlite3.OperationalError("connection lost")

    with monkeypatch.context() as patched:
        patched.setattr(world.reader, "end", lost)
        with pytest.raises(sqlite3.OperationalError):
            querier.batch(world.reader)
    querier.abandon()
    assert ids(world.sweep(querier)) == [1, 2, 3]


def test_an_error_inside_a_sweep_is_resumed_after_the_last_record(world: World) -> None:
    world.run(WITHOUT_INDEX, *(f"INSERT INTO t VALUES ({i}, '')" for i in range(1, 8)))
    querier = world.querier()
    assert ids(querier.batch(world.reader)) == [1, 2, 3]
    querier.abandon()
    assert ids(world.sweep(querier)) == [4, 5, 6, 7]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(0, 4), max_size=25),
    indexed=st.booleans(),
    rows=st.integers(1, 4),
    crashes=st.sets(st.integers(0, 30)),
)
def test_whatever_happens_no_row_is_lost_or_out_of_order(
    world: World, steps: list[int], indexed: bool, rows: int, crashes: set[int]
) -> None:
    """Inserts and polls in any order; a crash forgets all but the last record's offset."""
    world.run("DROP TABLE IF EXISTS t", BY_KEY if indexed else WITHOUT_INDEX)
    plan = replace(PLAN, batch_rows=rows)
    querier = world.querier(plan)
    seen: list[int] = []
    committed: Any = None
    count = 0
    for number, step in enumerate([*steps, *[0] * (sum(steps) + 3)]):
        for _ in range(step):
            count += 1
            world.run(f"INSERT INTO t VALUES ({count}, '')")
        batch = querier.batch(world.reader)
        seen += ids(batch)
        committed = batch[-1].source_offset if batch else committed
        if number in crashes:
            querier.abandon()
            querier = world.querier(plan, committed)
    while querier.sweeping:
        seen += ids(querier.batch(world.reader))
    assert seen == list(range(1, count + 1))
