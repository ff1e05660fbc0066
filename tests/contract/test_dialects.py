"""What every dialect of the JDBC connectors does, on its real database."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncline.connectors.jdbc.bound import BindAs, Bound
from syncline.connectors.jdbc.dialect import Dialect, Operation, RowWriter, Target
from syncline.connectors.jdbc.dialects import dialect_of
from syncline.connectors.jdbc.refusal import Refusal, Refused
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.tables import Kind, Table, TableId
from syncline.connectors.jdbc.url import parse_url
from syncline.data import Schema, Type, date_schema, decimal_schema, primitive, time_schema, timestamp_schema
from tests.servers import Database

KINDS = ("sqlite", "mariadb", "mariadb-pymysql", "postgresql", "generic")
MANY = 200
"""Enough rows for the bulk path of each dialect; FEW takes the other one."""
FEW = 3


@dataclass
class World:
    """A dialect with an empty database of its own."""

    dialect: Dialect
    settings: Settings
    stack: contextlib.ExitStack

    def connect(self) -> Any:
        connection = self.dialect.connect(self.settings)
        self.stack.callback(self._close, connection)
        return connection

    def _close(self, connection: Any) -> None:
        with contextlib.suppress(Refused), self.dialect.refusing():
            connection.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def world(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    new_database: Callable[[str], Database],
) -> Iterator[World]:
    if kind == "mariadb-pymysql":
        monkeypatch.setitem(sys.modules, "mariadb", None)
    if kind == "sqlite":
        settings = Settings(url=parse_url(f"jdbc:sqlite:{tmp_path / 'contract.db'}"))
    else:
        database = new_database("mariadb" if kind.startswith("mariadb") else "postgresql")
        settings = Settings(
            url=parse_url(database.jdbc_url), user=database.server.user, password=database.server.password
        )
    dialect = dialect_of(settings.url, "GenericDatabaseDialect" if kind == "generic" else "")
    with contextlib.ExitStack() as stack:
        yield World(dialect, settings, stack)


class Hand:
    """A connection with what the sink needs of it."""

    def __init__(self, world: World) -> None:
        self.dialect = world.dialect
        self.connection = world.connect()
        self.rows: RowWriter = self.dialect.rows(self.connection)

    def execute(self, sql: str) -> None:
        self.rows.execute(sql)
        self.connection.commit()

    def create(self, name: str, *columns: tuple[str, Schema], keys: Sequence[str] = ()) -> Table:
        clauses = [
            f"{self.dialect.quote(column)} {self.dialect.column_type(schema, key=column in keys)}"
            f"{' NOT NULL' if column in keys else ''}"
            for column, schema in columns
        ]
        if keys:
            clauses.append(f"PRIMARY KEY({','.join(map(self.dialect.quote, keys))})")
        self.execute(f"CREATE TABLE {self.dialect.quote(name)} ({','.join(clauses)}){self.rows.table_options()}")
        return self.table(name)

    def table(self, name: str) -> Table:
        with self.dialect.refusing():
            found = self.rows.table(TableId(name))
        assert found is not None
        return found

    def write(self, operation: Operation, target: Target, *columns: Bound) -> None:
        with self.dialect.refusing():
            write = self.rows.prepare(operation, target)
            self.rows.begin()
            write(columns)

    def all(self, name: str) -> list[tuple[Any, ...]]:
        sql = f"SELECT * FROM {self.dialect.quote(name)} ORDER BY 1"
        if hasattr(self.connection, "exec_driver_sql"):
            return [tuple(row) for row in self.connection.exec_driver_sql(sql)]
        cursor = self.connection.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]


@pytest.fixture
def hand(world: World) -> Hand:
    return Hand(world)


INT = primitive(Type.INT32, optional=True)
TEXT = primitive(Type.STRING, optional=True)


def integers(*values: int | None) -> Bound:
    return Bound(BindAs.INTEGER, values)


def texts(*values: str | None) -> Bound:
    return Bound(BindAs.TEXT, values)


@pytest.fixture
def people(hand: Hand) -> Target:
    """id (key), name, age."""
    table = hand.create("people", ("id", INT), ("name", TEXT), ("age", INT), keys=["id"])
    return Target(table=table, keys=("id",), others=("name",))


@pytest.fixture(params=[FEW, MANY], ids=["few rows", "many rows"])
def count(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


# --- connections -------------------------------------------------------------------------------------


def test_a_connection_is_alive_until_it_is_closed(world: World) -> None:
    connection = world.connect()
    assert world.dialect.alive(connection)
    connection.close()
    assert not world.dialect.alive(connection)


def test_nothing_is_written_before_the_commit(world: World, hand: Hand, people: Target) -> None:
    hand.write(Operation.INSERT, people, integers(1), texts("a"))
    hand.connection.rollback()
    assert hand.all("people") == []
    hand.write(Operation.INSERT, people, integers(1), texts("a"))
    hand.connection.commit()
    hand.connection.close()
    assert Hand(world).all("people") == [(1, "a", None)]


def test_an_account_that_is_not_known_is_no_reason_to_try_again(world: World, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite has no accounts")
    with pytest.raises(Refused) as caught:
        world.dialect.connect(replace(world.settings, password="wrong-word"))
    assert "wrong-word" not in str(caught.value)
    if kind.startswith("mariadb"):
        assert caught.value.kind is Refusal.SCHEMA  # libpq tells no code, so PostgreSQL's reason stays unknown


def test_a_server_that_is_not_there_is_worth_another_try(world: World, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite has no server")
    url = world.settings.url
    nowhere = replace(url, hosts=(replace(url.hosts[0], port=1),))
    with pytest.raises(Refused) as caught:
        world.dialect.connect(replace(world.settings, url=nowhere))
    assert caught.value.kind in (Refusal.AWAY, Refusal.BUSY)


def test_localhost_is_a_host_with_a_port_and_no_socket(world: World, kind: str) -> None:
    """Every tutorial's URL; the database may be in a container, and a socket's file another one's."""
    if kind == "sqlite":
        pytest.skip("a file has no host")
    world.settings = replace(world.settings, url=parse_url(world.settings.url.text.replace("127.0.0.1", "localhost")))
    assert world.dialect.alive(world.connect())


def test_of_several_hosts_the_first_that_answers_is_taken(world: World, kind: str) -> None:
    if kind in ("sqlite", "generic"):
        pytest.skip("knows one host")
    url = world.settings.url
    hosts = (replace(url.hosts[0], port=1), url.hosts[0])
    connection = world.dialect.connect(replace(world.settings, url=replace(url, hosts=hosts)))
    assert world.dialect.alive(connection)
    connection.close()


# --- definitions -------------------------------------------------------------------------------------


def test_a_table_that_is_not_there_has_no_definition(hand: Hand) -> None:
    assert hand.rows.table(TableId("nobody")) is None


def test_columns_come_in_their_order_with_nulls_and_keys(hand: Hand, people: Target) -> None:
    columns = people.table.columns
    assert [column.name for column in columns] == ["id", "name", "age"]
    assert [column.primary for column in columns] == [True, False, False]
    assert [column.nullable for column in columns] == [False, True, True]


def test_a_view_is_known_as_one(hand: Hand, people: Target) -> None:
    hand.execute("CREATE VIEW grown_ups AS SELECT * FROM people")
    assert hand.table("grown_ups").kind is Kind.VIEW
    assert people.table.kind is Kind.TABLE


@pytest.mark.parametrize("name", ["a'b", "100%", "what?", "two words", "UPPER", "ä", 'quote"d', "tick`ed", "x$1"])
def test_any_name_can_be_a_table_and_a_column(hand: Hand, name: str) -> None:
    table = hand.create(name, ("id", INT), (name, TEXT), keys=["id"])
    target = Target(table=table, keys=("id",), others=(name,))
    hand.write(Operation.INSERT, target, integers(1), texts("v"))
    hand.write(Operation.UPSERT, target, integers(1, 2), texts("w", "x"))
    hand.write(Operation.UPDATE, target, integers(2), texts("y"))
    assert hand.all(name) == [(1, "w"), (2, "y")]
    hand.write(Operation.DELETE, target, integers(1))
    assert hand.all(name) == [(2, "y")]


def test_a_column_can_be_added(hand: Hand, people: Target) -> None:
    hand.execute(f"ALTER TABLE people ADD note {hand.dialect.column_type(TEXT, key=False)}")
    assert hand.table("people").column("note") is not None


# --- values ------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[Schema, BindAs, list[Any]]] = {
    "int8": (primitive(Type.INT8), BindAs.INTEGER, [-128, 127]),
    "int16": (primitive(Type.INT16), BindAs.INTEGER, [-32768, 32767]),
    "int32": (primitive(Type.INT32), BindAs.INTEGER, [-(2**31), 2**31 - 1]),
    "int64": (primitive(Type.INT64), BindAs.INTEGER, [-(2**63), 2**63 - 1]),
    "float32": (primitive(Type.FLOAT32), BindAs.FLOAT, [1.5, -0.25]),
    "float64": (primitive(Type.FLOAT64), BindAs.FLOAT, [0.1, -1e300, 5e-324]),
    "boolean": (primitive(Type.BOOLEAN), BindAs.BOOLEAN, [True, False]),
    "text": (
        TEXT,
        BindAs.TEXT,
        ["", "it's", 'a "b"', "back\\slash", "\\N", "tab\tline\nreturn\r", "%s ? $1 :p0", "é😀", "\x1a", " blanks "],
    ),
    "bytes": (primitive(Type.BYTES), BindAs.BYTES, [b"", b"\x00\x01\xff'\\\n\t", b"\\x41"]),
    "decimal": (decimal_schema(4), BindAs.DECIMAL, [Decimal("12.3400"), Decimal("-0.0001"), Decimal("1E+2")]),
    "date": (date_schema(), BindAs.MOMENT, ["2024-02-29", "1970-01-01", "9999-12-31"]),
    "time": (time_schema(), BindAs.MOMENT, ["00:00:00.000", "23:59:59.999"]),
    "timestamp": (timestamp_schema(), BindAs.MOMENT, ["2024-01-02 03:04:05.678", "1969-12-31 23:59:59.999"]),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were(hand: Hand, name: str, count: int) -> None:
    schema, bind, values = VALUES[name]
    if hand.dialect.capabilities.moments_as_integers and bind is BindAs.MOMENT:
        bind, values = BindAs.INTEGER, [0, -1, 1_704_164_645_678]
    table = hand.create("t", ("id", INT), ("v", schema), keys=["id"])
    rows = [*values, None] * (count // FEW)
    target = Target(table=table, keys=("id",), others=("v",))
    for operation in (Operation.INSERT, Operation.UPSERT, Operation.UPDATE):
        if operation is not Operation.INSERT:
            rows.reverse()
        hand.write(operation, target, integers(*range(len(rows))), Bound(bind, rows))
        assert [same(row[1]) for row in hand.all("t")] == [same(value) for value in rows]


def same(value: Any) -> Any:
    """A value read back, as it was written."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", "milliseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.isoformat("milliseconds")
    if isinstance(value, datetime.timedelta):
        return (datetime.datetime(1970, 1, 1) + value).time().isoformat("milliseconds")
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return value


def test_values_can_be_the_key(hand: Hand) -> None:
    for number, (schema, bind, values) in enumerate(VALUES.values()):
        bytes_as_key = schema.type is Type.BYTES and bind is BindAs.BYTES
        if bytes_as_key or (hand.dialect.capabilities.moments_as_integers and bind is BindAs.MOMENT):
            continue
        name = f"t{number}"
        table = hand.create(name, ("k", schema), ("v", INT), keys=["k"])
        target = Target(table=table, keys=("k",), others=("v",))
        keys = Bound(bind, values)
        hand.write(Operation.UPSERT, target, keys, integers(*range(len(values))))
        hand.write(Operation.UPSERT, target, keys, integers(*([7] * len(values))))
        assert [row[1] for row in hand.all(name)] == [7] * len(values)
        hand.write(Operation.DELETE, target, keys)
        assert hand.all(name) == []


# --- operations --------------------------------------------------------------------------------------


def test_insert_adds_rows(hand: Hand, people: Target, count: int) -> None:
    hand.write(Operation.INSERT, people, integers(*range(count)), texts(*map(str, range(count))))
    assert hand.all("people") == [(number, str(number), None) for number in range(count)]


def test_upsert_changes_what_is_there_and_adds_the_rest(hand: Hand, people: Target, count: int) -> None:
    hand.execute("INSERT INTO people (id, name, age) VALUES (1, 'old', 9)")
    hand.write(Operation.UPSERT, people, integers(*range(count)), texts(*["new"] * count))
    ages = {1: 9}
    assert hand.all("people") == [(number, "new", ages.get(number)) for number in range(count)]


def test_upsert_of_keys_alone_leaves_rows_as_they_are(hand: Hand, people: Target, count: int) -> None:
    hand.execute("INSERT INTO people (id, name, age) VALUES (1, 'old', 9)")
    hand.write(Operation.UPSERT, replace(people, others=()), integers(*range(count)))
    assert hand.all("people") == [(n, "old" if n == 1 else None, 9 if n == 1 else None) for n in range(count)]


def test_update_changes_rows_and_adds_none(hand: Hand, people: Target, count: int) -> None:
    hand.execute("INSERT INTO people (id, name, age) VALUES (1, 'old', 9), (1000, 'other', 8)")
    hand.write(Operation.UPDATE, people, integers(*range(count)), texts(*["new"] * count))
    assert hand.all("people") == [(1, "new", 9), (1000, "other", 8)]


def test_delete_removes_rows_and_misses_none(hand: Hand, people: Target, count: int) -> None:
    hand.write(Operation.INSERT, people, integers(*range(count), 1000), texts(*["x"] * (count + 1)))
    hand.write(Operation.DELETE, people, integers(*range(count), 5000))
    assert hand.all("people") == [(1000, "x", None)]


def test_a_key_may_have_several_columns(hand: Hand, count: int) -> None:
    table = hand.create("t", ("a", INT), ("b", TEXT), ("v", INT), keys=["a", "b"])
    target = Target(table=table, keys=("a", "b"), others=("v",))
    ids, names = integers(*range(count)), texts(*["k"] * count)
    hand.write(Operation.INSERT, target, integers(0), texts("other"), integers(5))
    hand.write(Operation.UPSERT, target, ids, names, integers(*[1] * count))
    hand.write(Operation.UPDATE, target, ids, names, integers(*[2] * count))
    hand.write(Operation.DELETE, target, integers(*range(1, count)), texts(*["k"] * (count - 1)))
    assert sorted(hand.all("t")) == [(0, "k", 2), (0, "other", 5)]


@pytest.mark.parametrize("operation", [Operation.UPSERT, Operation.UPDATE])
def test_with_a_version_only_what_is_not_older_overwrites(hand: Hand, operation: Operation, count: int) -> None:
    table = hand.create("t", ("id", INT), ("v", INT), ("name", TEXT), keys=["id"])
    target = Target(table=table, keys=("id",), others=("v", "name"), version="v")
    rows = count + 4
    hand.write(
        Operation.INSERT, target, integers(*range(rows)), integers(5, 5, 5, None, *[5] * count), texts(*["old"] * rows)
    )
    hand.write(operation, target, integers(*range(rows)), integers(4, 5, 6, 1, *[4] * count), texts(*["new"] * rows))
    assert hand.all("t")[:4] == [(0, 5, "old"), (1, 5, "new"), (2, 6, "new"), (3, 1, "new")]
    assert {row[1:] for row in hand.all("t")[4:]} == {(5, "old")}


def test_a_view_can_be_written(hand: Hand, people: Target, kind: str, count: int) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite's views take no rows")
    hand.execute("CREATE VIEW names AS SELECT id, name FROM people")
    target = replace(people, table=hand.table("names"))
    hand.write(Operation.INSERT, target, integers(*range(count)), texts(*["x"] * count))
    assert hand.all("people") == [(number, "x", None) for number in range(count)]


def test_undo_takes_back_what_came_after_the_savepoint(hand: Hand, people: Target) -> None:
    hand.write(Operation.INSERT, people, integers(1), texts("kept"))
    hand.rows.savepoint()
    hand.write(Operation.INSERT, people, integers(2), texts("undone"))
    hand.rows.undo()
    hand.rows.savepoint()
    hand.write(Operation.INSERT, people, integers(3), texts("kept too"))
    hand.rows.release()
    hand.connection.commit()
    assert [row[0] for row in hand.all("people")] == [1, 3]


# --- refusals ----------------------------------------------------------------------------------------


def refused(hand: Hand, do: Callable[[], None]) -> Refused:
    hand.connection.commit()
    with pytest.raises(Refused) as caught, hand.dialect.refusing():
        do()
    hand.connection.rollback()
    return caught.value


def test_a_key_that_is_there_is_a_matter_of_data(hand: Hand, people: Target, count: int) -> None:
    hand.write(Operation.INSERT, people, integers(1), texts("secret-name"))
    error = refused(
        hand, lambda: hand.write(Operation.INSERT, people, integers(*range(count)), texts(*["secret-name"] * count))
    )
    assert error.kind is Refusal.DATA
    assert hand.all("people") == [(1, "secret-name", None)]


def test_a_null_that_is_not_allowed_is_a_matter_of_data(hand: Hand) -> None:
    hand.execute("CREATE TABLE t (id INTEGER NOT NULL, name VARCHAR(9) NOT NULL)")
    target = Target(table=hand.table("t"), keys=(), others=("id", "name"))
    error = refused(hand, lambda: hand.write(Operation.INSERT, target, integers(1, 2), texts("a", None)))
    assert error.kind is Refusal.DATA


def test_values_that_do_not_fit_are_a_matter_of_data_and_are_not_shown(hand: Hand, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite takes any value")
    hand.execute("CREATE TABLE t (id SMALLINT, name VARCHAR(5))")
    for values in ((integers(70_000), texts("a")), (integers(1), texts("secret-name")), (texts("secret"), texts("a"))):
        target = Target(table=hand.table("t"), keys=(), others=("id", "name"))
        if kind == "generic" and values[0].kind is BindAs.TEXT:
            continue  # SQLAlchemy declares the type, so this is the statement's fault there
        error = refused(hand, lambda: hand.write(Operation.INSERT, target, *values))  # noqa: B023  # called at once
        assert error.kind is Refusal.DATA, error
        if kind != "generic":
            assert "secret" not in str(error)


def test_a_table_that_is_gone_is_a_matter_of_the_schema(hand: Hand, people: Target) -> None:
    write = hand.rows.prepare(Operation.INSERT, people)
    hand.execute("DROP TABLE people")

    def insert() -> None:
        hand.rows.begin()
        write([integers(1), texts("a")])

    assert refused(hand, insert).kind is Refusal.SCHEMA


def test_a_broken_statement_is_a_matter_of_the_schema(hand: Hand) -> None:
    assert refused(hand, lambda: hand.rows.execute("SELEKT 1")).kind is Refusal.SCHEMA


def test_a_lock_that_is_not_given_is_worth_another_try(world: World, hand: Hand, people: Target, kind: str) -> None:
    hand.write(Operation.INSERT, people, integers(1), texts("a"))
    hand.connection.commit()
    hand.write(Operation.UPDATE, people, integers(1), texts("b"))
    short = {"sqlite": {"busy_timeout": "1"}, "mariadb": {"sessionVariables": "innodb_lock_wait_timeout=1"}}
    world.settings = replace(world.settings, properties=short.get(kind.partition("-")[0], {}))
    other = Hand(world)
    if kind in ("postgresql", "generic"):
        other.execute("SET lock_timeout = 1")
    error = refused(other, lambda: other.write(Operation.UPDATE, people_again(other), integers(1), texts("c")))
    assert error.kind is Refusal.BUSY


def people_again(hand: Hand) -> Target:
    return Target(table=hand.table("people"), keys=("id",), others=("name",))


def test_a_connection_that_was_cut_is_away(world: World, hand: Hand, people: Target, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("SQLite has no connections to cut")
    other = Hand(world)
    if kind.startswith("mariadb"):
        hand.rows.execute("SELECT CONNECTION_ID()")
        ((number,),) = hand.rows._cursor.fetchall()  # type: ignore[attr-defined]  # of MySqlRows
        other.rows.execute(f"KILL {number}")
    else:
        other.rows.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
    with pytest.raises(Refused) as caught, hand.dialect.refusing():
        hand.write(Operation.INSERT, people, integers(1), texts("a"))
    assert caught.value.kind is Refusal.AWAY
    assert not world.dialect.alive(hand.connection)


def test_text_that_is_no_unicode_is_a_matter_of_data(hand: Hand, people: Target) -> None:
    error = refused(hand, lambda: hand.write(Operation.INSERT, people, integers(1), texts("\ud800")))
    assert error.kind is Refusal.DATA
