"""Types and values that are special to one database, beyond those recorded."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from syncline.connectors.jdbc.dialects.mysql.connect import connect
from syncline.connectors.jdbc.dialects.mysql.read import MySqlReader
from syncline.connectors.jdbc.modes import Query
from syncline.connectors.jdbc.moments import Calendar, zone_of
from syncline.connectors.jdbc.options import settings_of
from syncline.connectors.jdbc.reading import Layout, Reader, Reread
from syncline.connectors.jdbc.session import Session
from syncline.connectors.jdbc.source_config import SourceConfig
from syncline.connectors.jdbc.types import Granularity, NumericMapping, TypeSettings
from syncline.data import DATE, DECIMAL, TIMESTAMP
from syncline.errors import DataError
from tests.servers import Database

SETTINGS = TypeSettings(
    numeric_mapping=NumericMapping.NONE,
    granularity=Granularity.CONNECT_LOGICAL,
    zone=zone_of("UTC"),
    calendar=Calendar.LEGACY,
)


def read(reader: Reader, query: Query) -> tuple[Layout, list[Any]]:
    """All rows of a query, read as a task reads them: what must be reread is asked for again."""
    for _ in range(4):
        with contextlib.suppress(Reread):
            running = reader.open(query, stream=True)
            try:
                rows = running.fetch(1_000)
                layout = Layout(running.columns(rows), "t")
                return layout, layout.values(rows)
            finally:
                running.close()
                reader.end()
    raise AssertionError("reread without end")


def kinds(layout: Layout) -> dict[str, str]:
    return {field.name: field.schema.name or str(field.schema.type) for field in layout.schema.fields}


# --- MariaDB, over both drivers --------------------------------------------------------------------------


@pytest.fixture(params=["mariadb", "pymysql"])
def maria(
    request: pytest.FixtureRequest, mariadb: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Database, MySqlReader]]:
    pytest.importorskip(request.param)
    if request.param == "pymysql":
        monkeypatch.setitem(sys.modules, "mariadb", None)
    connection = connect(settings_of(mariadb.connector_config))
    try:
        yield mariadb, MySqlReader(connection, SETTINGS)
    finally:
        connection.close()


def maria_table(database: Database, columns: str, *rows: str) -> Query:
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute(f"CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, {columns})")
        for row in rows:
            cursor.execute(f"INSERT INTO t VALUES (NULL, {row})")
    return Query("`t`", "")


def test_text_and_bytes_are_told_apart_where_the_protocol_does_not(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    columns = {
        "a": ("varchar(5) COLLATE utf8mb4_bin", "'a'", "STRING"),
        "b": ("varbinary(5)", "'b'", "BYTES"),
        "c": ("text COLLATE utf8mb4_bin", "NULL", "STRING"),
        "d": ("blob", "NULL", "BYTES"),
        "e": ("json", "'{}'", "STRING"),
        "f": ("uuid", "'123e4567-e89b-12d3-a456-426614174000'", "STRING"),
        "g": ("char(3) CHARACTER SET latin1", "'ü'", "STRING"),
        "h": ("binary(3)", "'h'", "BYTES"),
    }
    declared = ", ".join(f"{name} {column[0]}" for name, column in columns.items())
    query = maria_table(database, declared, ", ".join(column[1] for column in columns.values()))
    layout, (row,) = read(reader, query)
    assert kinds(layout) == {"id": "INT32", **{name: column[2] for name, column in columns.items()}}
    assert (row.a, row.b, row.c, row.d, row.g, row.h) == ("a", b"b", None, None, "ü", b"h\0\0")


def test_no_value_that_was_read_is_kept(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    row = "'text', 1627815857, 2.5, 1.25, now(), curdate(), curtime(6), x'ff00', NULL"
    columns = "a text, b bigint, c double, d decimal(9,2), e datetime, f date, g time(6), h blob, i int"
    query = maria_table(database, columns, *[row] * 5)
    read(reader, query)
    running = reader.open(query, stream=True)
    rows = [*running.fetch(2), *running.fetch(1), *running.fetch(5)]
    running.close()
    assert len(rows) == 5
    mine = (object(),)
    for found in rows:
        for value in found[1:-1]:
            assert sys.getrefcount(value) == sys.getrefcount(mine[0]) + 1, value


def test_a_query_s_expressions_are_told_apart_too(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    maria_table(database, "v varchar(5)", "'x'")
    text = "SELECT 'x' COLLATE utf8mb4_bin AS a, CAST('y' AS BINARY) AS b, id FROM t"
    layout, (row,) = read(reader, Query(None, text))
    assert kinds(layout) == {"a": "STRING", "b": "BYTES", "id": "INT32"}
    assert (row.a, row.b) == ("x", b"y")


def test_zero_dates_are_null(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    query = maria_table(
        database, "d date, dt datetime, ts timestamp(6) NULL", "0, 0, 0", "'2024-02-00', '2024-00-00', NULL"
    )
    layout, rows = read(reader, query)
    assert kinds(layout) == {"id": "INT32", "d": DATE, "dt": TIMESTAMP, "ts": TIMESTAMP}
    assert [(row.d, row.dt, row.ts) for row in rows] == [(None, None, None)] * 2


def test_a_zero_date_where_none_may_be_missing_names_row_and_column(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    query = maria_table(database, "dt datetime NOT NULL", "'2024-01-01'", "0")
    with pytest.raises(DataError, match=r"Column dt \(DATETIME\) of t .* begins with 2: no value"):
        read(reader, query)


def test_good_dates_beside_bad_ones_keep_their_days(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    query = maria_table(database, "d date", "'2024-01-02'", "'2024-02-00'", "'1969-12-31'", "'1000-01-01'")
    _, rows = read(reader, query)
    assert [row.d for row in rows] == [19_724, None, -1, -354_280]


def test_zeros_with_leading_zeros_are_read(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    query = maria_table(database, "z int(5) ZEROFILL, y year", "0, 0", "7, 2024")
    layout, rows = read(reader, query)
    assert kinds(layout) == {"id": "INT32", "z": "INT64", "y": DATE}
    assert [(row.z, row.y) for row in rows] == [(0, -719_530), (7, 19_723)]


def test_a_float_keeps_all_its_digits(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    _, rows = read(reader, maria_table(database, "f float", "16777216", "0.1"))
    assert [row.f for row in rows] == [16_777_216.0, pytest.approx(0.1, abs=1e-8)]


def test_a_query_with_what_needs_a_cast_is_read_too(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    maria_table(database, "f float, d date", "16777216, '2024-02-00'")
    _, (row,) = read(reader, Query(None, "SELECT f AS `a``b`, d, id FROM t"))
    values = {field.name: getattr(row, field.attribute) for field in read_schema(reader).fields}
    assert values == {"a`b": 16_777_216.0, "d": None, "id": 1}


def read_schema(reader: MySqlReader) -> Any:
    return read(reader, Query(None, "SELECT f AS `a``b`, d, id FROM t"))[0].schema


@pytest.mark.parametrize(
    ("declared", "value", "precision", "scale"),
    [
        ("decimal(5,2)", "123.45", "5", "2"),
        ("decimal(5,2) unsigned", "123.45", "5", "2"),
        ("decimal(38,35)", "1.5", "38", "35"),
        ("decimal(65,0)", "9" * 65, "65", "0"),
        ("decimal(1)", "-9", "1", "0"),
    ],
)
def test_decimals_keep_precision_scale_and_every_digit(
    maria: tuple[Database, MySqlReader], declared: str, value: str, precision: str, scale: str
) -> None:
    database, reader = maria
    layout, (row,) = read(reader, maria_table(database, f"d {declared}", value))
    schema = layout.schema.fields[1].schema
    assert schema.name == DECIMAL
    assert dict(schema.parameters) == {"scale": scale, "connect.decimal.precision": precision}
    assert row.d == Decimal(value)
    assert row.d.as_tuple().exponent == -int(scale)


def test_an_unsigned_bigint_beyond_a_long_is_refused_by_name(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    query = maria_table(database, "n bigint unsigned", "9223372036854775807", "18446744073709551615")
    with pytest.raises(DataError, match=r"Column n \(BIGINT\) .*18446744073709551615 does not fit INT64"):
        read(reader, query)


def test_an_altered_table_is_noticed_between_queries(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    query = maria_table(database, "v varchar(5)", "'7'")
    assert kinds(read(reader, query)[0])["v"] == "STRING"
    for change, kind in (("int", "INT32"), ("float", "FLOAT32"), ("blob", "BYTES"), ("varchar(9)", "STRING")):
        database.query(f"ALTER TABLE t MODIFY v {change}")
        assert kinds(read(reader, query)[0])["v"] == kind


def test_columns_of_an_index_are_known(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    maria_table(database, "a int, b int NOT NULL, c int, UNIQUE(a), KEY(b, c), UNIQUE(c, a)")
    (table,) = reader.tables(["TABLE"], None, None)
    found = {column.name: (column.leads_index, column.unique) for column in reader.table_columns(table)}
    assert found == {"id": (True, True), "a": (True, True), "b": (True, False), "c": (True, False)}


def test_databases_are_catalogs(maria: tuple[Database, MySqlReader]) -> None:
    database, reader = maria
    maria_table(database, "v int")
    here = [f"{database.name}.t"]
    assert [table.full for table in reader.tables(["TABLE"], None, "anything")] == here
    assert [table.full for table in reader.tables(["TABLE"], "", None)] == here
    assert [table.full for table in reader.tables(["TABLE"], database.name, None)] == here
    assert reader.tables(["TABLE"], "nosuch%", None) == []
    assert reader.tables(["VIEW"], None, None) == []


def test_the_server_s_clock_and_time_zone_are_used(mariadb: Database) -> None:
    """A server east of UTC: NOW() in a DATETIME is what `db.timezone` says, and rows of now are not of the future."""
    mariadb.query("SET GLOBAL time_zone = '+05:00'")
    try:
        mariadb.query("CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, dt datetime(6), ts timestamp(6))")
        mariadb.query("INSERT INTO t VALUES (1, '2024-01-01 12:00:00', '2024-01-01 12:00:00')")
        for zone, hour in (("UTC", 12), ("+05:00", 7)):
            config = SourceConfig.load({"mode": "bulk", "table.whitelist": "t", "db.timezone": zone})
            session = Session(config, {**mariadb.connector_config, "db.timezone": zone})
            try:
                _, (row,) = read(session.reader(), Query("`t`", ""))
                now = session.reader().now() // 1_000_000_000
            finally:
                session.close()
            day = 1_704_067_200_000
            assert (row.dt - day, row.ts - day) == (hour * 3_600_000, hour * 3_600_000)
            ((clock,),) = mariadb.query("SELECT UNIX_TIMESTAMP()")
            shift = 5 * 3_600 if zone == "UTC" else 0
            assert abs(now - clock - shift) < 60
    finally:
        mariadb.query("SET GLOBAL time_zone = 'SYSTEM'")


# --- PostgreSQL ------------------------------------------------------------------------------------------


@pytest.fixture
def postgres(postgresql: Database) -> Iterator[Callable[..., Reader]]:
    """Makes a reader of the database, with configuration."""
    sessions: list[Session] = []

    def make(**changes: str) -> Reader:
        config = {"mode": "bulk", "table.whitelist": "t", **{k.replace("_", "."): v for k, v in changes.items()}}
        session = Session(SourceConfig.load(config), {**postgresql.connector_config, **config})
        sessions.append(session)
        return session.reader()

    yield make
    for session in sessions:
        session.close()


T = Query('"public"."t"', "")


def postgres_table(database: Database, columns: str, *rows: str) -> None:
    database.query(f"CREATE TABLE t (id serial PRIMARY KEY, {columns})")
    for row in rows:
        database.query(f"INSERT INTO t VALUES (DEFAULT, {row})")


def test_enums_and_domains_are_their_text_and_base(postgresql: Database, postgres: Callable[..., Reader]) -> None:
    postgresql.query("CREATE TYPE mood AS ENUM ('happy', 'sad')")
    postgresql.query("CREATE DOMAIN small AS smallint NOT NULL")
    postgres_table(postgresql, "m mood, s small", "'sad', 7")
    layout, (row,) = read(postgres(), T)
    assert kinds(layout) == {"id": "INT32", "m": "STRING", "s": "INT16"}
    assert not layout.schema.fields[2].schema.optional
    assert (row.m, row.s) == ("sad", 7)


def test_what_connect_cannot_hold_is_left_out(postgresql: Database, postgres: Callable[..., Reader]) -> None:
    postgres_table(
        postgresql,
        "a int[], b interval, c inet, d point, e int4range, f tsvector, g varbit(3), v text, n numeric[]",
        "'{1}', '1 mon', '::1', '(1,2)', '[1,2)', 'a', B'101', 'kept', '{1.5}'",
    )
    layout, (row,) = read(postgres(), T)
    assert kinds(layout) == {"id": "INT32", "v": "STRING"}
    assert row.v == "kept"
    assert [column.label for column in layout.skipped] == list("abcdefgn")


@pytest.mark.parametrize(
    ("declared", "value", "kind", "read_as"),
    [
        ("bit(3)", "B'101'", "INT16", 5),
        ("bit(8)", "B'10000001'", "INT16", 129),
        ("bit(12)", "B'000000000011'", "BYTES", b"000000000011"),
        ("time", "'24:00'", "org.apache.kafka.connect.data.Time", 86_400_000),
        ("timetz", "'00:30:00+02'", "org.apache.kafka.connect.data.Time", 81_000_000),
        ("timestamp", "'-infinity'", TIMESTAMP, -9_223_372_036_832_400_000),
        ("timestamptz", "'infinity'", TIMESTAMP, 9_223_372_036_825_200_000),
        ("timestamp", "'0044-03-15 BC'", TIMESTAMP, -735_162 * 86_400_000),
        ("jsonb", """'{"a": [1, "é"]}'""", "STRING", '{"a": [1, "é"]}'),
        ("xml", "'<a/>'", "STRING", "<a/>"),
        ("money", "12.30", "FLOAT64", 12.3),
        ("numeric(4,-2)", "123456", DECIMAL, Decimal("1235E2")),
        ("char(5)", "'ab'", "STRING", "ab   "),
        ("name", "'n'", "STRING", "n"),
    ],
)
def test_a_value_is_read_exactly(
    postgresql: Database, postgres: Callable[..., Reader], declared: str, value: str, kind: str, read_as: Any
) -> None:
    postgres_table(postgresql, f"c {declared}", value)
    layout, (row,) = read(postgres(), T)
    assert kinds(layout)["c"] == kind
    assert row.c == read_as
    if kind == DECIMAL:
        assert row.c.as_tuple() == read_as.as_tuple()


def test_infinity_has_no_other_form(postgresql: Database, postgres: Callable[..., Reader]) -> None:
    postgres_table(postgresql, "c timestamp", "'infinity'")
    with pytest.raises(DataError, match=r"connect_logical has one"):
        read(postgres(timestamp_granularity="micros_long"), T)


def test_a_number_that_is_none_is_refused_by_name(postgresql: Database, postgres: Callable[..., Reader]) -> None:
    postgres_table(postgresql, "c numeric(4,2)", "'NaN'")
    with pytest.raises(DataError, match=r"Column c \(numeric\) of t .*NaN is no number"):
        read(postgres(), T)


def test_schemas_narrow_the_search_and_system_tables_are_left_out(
    postgresql: Database, postgres: Callable[..., Reader]
) -> None:
    postgres_table(postgresql, "v int")
    postgresql.query("CREATE SCHEMA other")
    postgresql.query("CREATE TABLE other.t (id int)")
    postgresql.query("CREATE TABLE part (id int) PARTITION BY RANGE (id)")
    reader = postgres()
    assert [table.full for table in reader.tables(["TABLE"], None, None)] == ["other.t", "public.t"]
    assert [table.full for table in reader.tables(["TABLE"], None, "oth%")] == ["other.t"]
    assert [table.full for table in reader.tables(["TABLE"], None, "")] == ["other.t", "public.t"]
    assert [table.full for table in reader.tables(["PARTITIONED TABLE"], None, None)] == ["public.part"]


def test_identity_and_serial_columns_count_and_indexes_are_known(
    postgresql: Database, postgres: Callable[..., Reader]
) -> None:
    postgres_table(postgresql, "i int GENERATED ALWAYS AS IDENTITY, p int, q int NOT NULL, UNIQUE(p), n numeric(9)")
    postgresql.query("CREATE UNIQUE INDEX partial ON t(q) WHERE p > 0")
    reader = postgres()
    (table,) = reader.tables(["TABLE"], None, None)
    columns = {column.name: column for column in reader.table_columns(table)}
    assert [name for name, column in columns.items() if column.auto_increment] == ["id", "i"]
    assert [name for name, column in columns.items() if column.unique] == ["id", "p"]
    assert [name for name, column in columns.items() if not column.nullable] == ["id", "i", "q"]
    assert columns["n"].kind is columns["id"].kind
