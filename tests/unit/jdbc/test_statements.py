"""The SQL each dialect writes, word by word (spec/jdbc.md 2.5 and 2.6)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from syncline.connectors.jdbc.binding import Binder
from syncline.connectors.jdbc.bound import BindAs, Bound
from syncline.connectors.jdbc.ddl import TableAlterOrCreateError, alter, check_alterable, create
from syncline.connectors.jdbc.dialect import Dialect, Operation, Target
from syncline.connectors.jdbc.dialects.mysql import MYSQL
from syncline.connectors.jdbc.dialects.mysql import write as mysql
from syncline.connectors.jdbc.dialects.postgresql import POSTGRESQL
from syncline.connectors.jdbc.dialects.postgresql import write as postgresql
from syncline.connectors.jdbc.dialects.sqlite import SQLITE
from syncline.connectors.jdbc.dialects.sqlite import write as sqlite
from syncline.connectors.jdbc.fields import FieldColumn, Fields, Part, fields_of
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId
from syncline.data import (
    Schema,
    Type,
    array,
    date_schema,
    decimal_schema,
    map_of,
    primitive,
    struct,
    time_schema,
    timestamp_schema,
)
from syncline.errors import ConnectError
from tests.unit.jdbc.sinks import INT, MAYBE_INT, MAYBE_TEXT, TEXT, config

DIALECTS = {"mysql": MYSQL, "postgresql": POSTGRESQL, "sqlite": SQLITE}


def created(dialect: Dialect, schema: Schema, key_schema: Schema | None = None, **options: str) -> str:
    settings = config(**options)
    fields = fields_of(settings, "t", key_schema, schema)
    quoting = settings.quoting.lower() == "always"
    return create(dialect, Binder(settings, dialect), TableId("t"), fields, quoting=quoting)


ALL = struct(
    [
        ("i8", primitive(Type.INT8)),
        ("i16", primitive(Type.INT16)),
        ("i32", INT),
        ("i64", primitive(Type.INT64)),
        ("f32", primitive(Type.FLOAT32)),
        ("f64", primitive(Type.FLOAT64)),
        ("b", primitive(Type.BOOLEAN)),
        ("s", MAYBE_TEXT),
        ("by", primitive(Type.BYTES)),
        ("dec", decimal_schema(2)),
        ("d", date_schema()),
        ("t", time_schema()),
        ("ts", timestamp_schema()),
        ("us", primitive(Type.INT64)),
    ]
)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        (
            "mysql",
            "TINYINT SMALLINT INT BIGINT FLOAT DOUBLE TINYINT TEXT VARBINARY(1024) DECIMAL(65,2) DATE TIME(3) "
            "DATETIME(3) DATETIME(6)",
        ),
        (
            "postgresql",
            "SMALLINT SMALLINT INT BIGINT REAL DOUBLE_PRECISION BOOLEAN TEXT BYTEA DECIMAL DATE TIME TIMESTAMP "
            "TIMESTAMP",
        ),
        (
            "sqlite",
            "INTEGER INTEGER INTEGER INTEGER REAL REAL INTEGER TEXT BLOB NUMERIC NUMERIC NUMERIC NUMERIC NUMERIC",
        ),
    ],
)
def test_types_of_new_columns(name: str, types: str) -> None:
    dialect = DIALECTS[name]
    clauses = created(dialect, ALL, timestamp_fields_list="us").splitlines()[1:]
    mark = dialect.quote_mark
    expected = [
        f"{mark}{field.name}{mark} {kind.replace('_', ' ')} {'NULL' if field.schema.optional else 'NOT NULL'}"
        for field, kind in zip(ALL.fields, types.split(), strict=True)
    ]
    assert [
        clause.rstrip(",").removesuffix(")") if i == 13 else clause.rstrip(",") for i, clause in enumerate(clauses)
    ] == expected


def test_create_table_with_a_key() -> None:
    schema = struct([("c1", INT), ("c2", MAYBE_TEXT)])
    assert created(MYSQL, schema, pk_mode="record_value", pk_fields="c1") == (
        "CREATE TABLE `t` (\n`c1` INT NOT NULL,\n`c2` TEXT NULL,\nPRIMARY KEY(`c1`))"
    )


def test_keys_are_never_null_and_texts_in_them_have_a_length_on_mysql() -> None:
    key = struct([("k", MAYBE_TEXT)])
    assert "`k` VARCHAR(255) NOT NULL" in created(MYSQL, struct([("v", INT)]), key, pk_mode="record_key")
    assert "`__connect_topic` VARCHAR(249) NOT NULL" in created(MYSQL, struct([("v", INT)]), pk_mode="kafka")
    assert '"k" TEXT NOT NULL' in created(POSTGRESQL, struct([("v", INT)]), key, pk_mode="record_key")


@pytest.mark.parametrize(
    ("schema", "mysql_", "postgresql_", "sqlite_"),
    [
        (primitive(Type.INT32, default=7), "7", "7", "7"),
        (primitive(Type.FLOAT64, default=2.5), "2.5", "2.5", "2.5"),
        (primitive(Type.BOOLEAN, default=True), "1", "TRUE", "1"),
        (primitive(Type.STRING, default="it's \\"), r"'it\'s \\'", "'it''s \\'", "'it''s \\'"),
        (primitive(Type.BYTES, default=b"\x01\xff"), "x'01ff'", r"'\x01ff'", "x'01ff'"),
        (decimal_schema(2, default=Decimal("1.50")), "1.50", "1.50", "1.50"),
        (date_schema(default=19_723), "'2024-01-01'", "'2024-01-01'", "'2024-01-01'"),
        (time_schema(default=45_296_789), "'12:34:56.789'", "'12:34:56.789'", "'12:34:56.789'"),
        (timestamp_schema(default=0), *("'1970-01-01 00:00:00.000'",) * 3),
    ],
)
def test_defaults_stand_in_place_of_null(schema: Schema, mysql_: str, postgresql_: str, sqlite_: str) -> None:
    for dialect, literal in ((MYSQL, mysql_), (POSTGRESQL, postgresql_), (SQLITE, sqlite_)):
        (line,) = created(dialect, struct([("c", schema)])).splitlines()[1:]
        assert line.endswith(f" DEFAULT {literal})"), line


def test_arrays_of_simple_values_are_columns_on_postgresql() -> None:
    assert '"a" TEXT[] NOT NULL' in created(POSTGRESQL, struct([("a", array(MAYBE_TEXT))]))
    default = struct([("a", array(TEXT, default=["x", "it's"]))])
    assert "TEXT[] DEFAULT ARRAY['x','it''s']::TEXT[]" in created(POSTGRESQL, default)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "schema", [map_of(TEXT, INT), struct([("x", INT)]), array(primitive(Type.BYTES)), array(array(INT))]
)
def test_a_type_without_a_column_is_refused_before_anything_is_created(name: str, schema: Schema) -> None:
    with pytest.raises(ConnectError, match="type doesn't have a mapping to the SQL database column type"):
        created(DIALECTS[name], struct([("c", schema)]))


def test_names_that_are_not_quoted() -> None:
    schema = struct([("Abc", INT), ("two words", INT)])
    assert created(POSTGRESQL, schema, quote_sql_identifiers="never") == (
        'CREATE TABLE t (\nAbc INT NOT NULL,\n"two words" INT NOT NULL)'
    )


def columns(*named: tuple[str, Schema]) -> list[FieldColumn]:
    return [FieldColumn(name, schema, Part.VALUE_FIELD) for name, schema in named]


def test_alter_table_adds_columns_in_the_records_order() -> None:
    missing = columns(("z", MAYBE_INT), ("a", primitive(Type.INT32, default=1)))

    def altered(dialect: Dialect, some: list[FieldColumn]) -> list[str]:
        return alter(dialect, Binder(config(), dialect), TableId("t"), some, quoting=True)

    assert altered(MYSQL, missing[:1]) == ["ALTER TABLE `t` ADD `z` INT NULL"]
    assert altered(MYSQL, missing) == ["ALTER TABLE `t`\nADD `z` INT NULL,\nADD `a` INT DEFAULT 1"]
    assert altered(SQLITE, missing) == [
        'ALTER TABLE "t" ADD "z" INTEGER NULL',
        'ALTER TABLE "t" ADD "a" INTEGER DEFAULT 1',
    ]


@pytest.mark.parametrize(
    ("kind", "schema", "evolve", "said"),
    [
        (Kind.VIEW, MAYBE_INT, True, "View t is missing fields (c) and ALTER VIEW is unsupported"),
        (Kind.PARTITIONED, MAYBE_INT, True, "Partitioned table t is missing fields (c) and ALTER PARTITIONED TABLE"),
        (
            Kind.TABLE,
            INT,
            True,
            "Cannot ALTER TABLE t to add missing field c, as the field is not optional and does not",
        ),
        (Kind.TABLE, INT, False, "Cannot ALTER TABLE"),
        (Kind.TABLE, MAYBE_INT, False, "Table t is missing fields (c) and auto-evolution is disabled"),
        (Kind.TABLE, MAYBE_INT, True, None),
        (Kind.TABLE, primitive(Type.INT32, default=1), True, None),
    ],
)
def test_what_may_not_be_added(kind: Kind, schema: Schema, evolve: bool, said: str | None) -> None:
    table = Table(TableId("t"), kind, ())
    if said is None:
        check_alterable(table, columns(("c", schema)), evolve=evolve)
        return
    with pytest.raises(TableAlterOrCreateError) as caught:
        check_alterable(table, columns(("c", schema)), evolve=evolve)
    assert said in str(caught.value)


def test_nothing_missing_is_never_wrong() -> None:
    check_alterable(Table(TableId("t"), Kind.VIEW, ()), [], evolve=False)


# --- rows --------------------------------------------------------------------------------------------


def target(*others: str, keys: tuple[str, ...] = ("id",), version: str | None = None) -> Target:
    names = (*keys, *others)
    table = Table(
        TableId("t"),
        Kind.TABLE,
        tuple(Column(name, "int", nullable=name not in keys, primary=name in keys) for name in names),
        unique=(frozenset(keys),),
    )
    return Target(table=table, keys=keys, others=others, version=version)


def mysql_sql(operation: Operation, found: Target) -> str:
    """What reaches the server for one row of ones; % for values of prepared statements."""
    sent: list[str] = []

    class Cursor:
        def execute(self, sql: str, values: object = None) -> None:
            sent.append(sql)

        def executemany(self, sql: str, rows: object) -> None:
            sent.append(sql)

        def fetchone(self) -> tuple[int]:
            return (16_777_216,)

    class Connection:
        def cursor(self) -> Cursor:
            return Cursor()

    rows = mysql.MySqlRows(MYSQL, Connection())
    sent.clear()
    names = found.keys if operation is Operation.DELETE else (*found.keys, *found.others)
    rows.prepare(operation, found)([Bound(BindAs.INTEGER, [1])] * len(names))
    (sql,) = sent
    return sql


def postgresql_sql(operation: Operation, found: Target) -> str:
    return postgresql._single(POSTGRESQL, operation, found)


def sqlite_sql(operation: Operation, found: Target) -> str:
    return sqlite._statement(SQLITE, operation, found)


AB = target("a", "b")
KEYS_ONLY = target()
TWO_KEYS = target("v", keys=("k1", "k2"))
VERSIONED = target("v", "a", version="v")


@pytest.mark.parametrize(
    ("write", "operation", "found", "sql"),
    [
        (mysql_sql, Operation.INSERT, AB, "INSERT INTO `t`(`id`,`a`,`b`) VALUES(1,1,1)"),
        (
            mysql_sql,
            Operation.UPSERT,
            AB,
            "INSERT INTO `t`(`id`,`a`,`b`) VALUES(1,1,1) ON DUPLICATE KEY UPDATE `a`=VALUES(`a`),`b`=VALUES(`b`)",
        ),
        (mysql_sql, Operation.UPSERT, KEYS_ONLY, "INSERT INTO `t`(`id`) VALUES(1) ON DUPLICATE KEY UPDATE `id`=`id`"),
        (mysql_sql, Operation.UPDATE, AB, "UPDATE `t` SET `a` = %s, `b` = %s WHERE `id` = %s"),
        (mysql_sql, Operation.DELETE, AB, "DELETE FROM `t` WHERE `id` IN (1)"),
        (mysql_sql, Operation.DELETE, TWO_KEYS, "DELETE FROM `t` WHERE `k1` = %s AND `k2` = %s"),
        (
            mysql_sql,
            Operation.UPSERT,
            VERSIONED,
            "INSERT INTO `t`(`id`,`v`,`a`) VALUES(1,1,1) ON DUPLICATE KEY UPDATE "
            "`a`=IF(`v` IS NULL OR `v`<=VALUES(`v`),VALUES(`a`),`a`),"
            "`v`=IF(`v` IS NULL OR `v`<=VALUES(`v`),VALUES(`v`),`v`)",
        ),
        (
            mysql_sql,
            Operation.UPDATE,
            VERSIONED,
            "UPDATE `t` SET `v` = %s, `a` = %s WHERE `id` = %s AND (`v` IS NULL OR `v` <= %s)",
        ),
        (postgresql_sql, Operation.INSERT, AB, 'INSERT INTO "t" AS mine ("id","a","b") VALUES ($1,$2,$3)'),
        (
            postgresql_sql,
            Operation.UPSERT,
            AB,
            'INSERT INTO "t" AS mine ("id","a","b") VALUES ($1,$2,$3) ON CONFLICT ("id") DO UPDATE SET '
            '"a"=EXCLUDED."a","b"=EXCLUDED."b"',
        ),
        (
            postgresql_sql,
            Operation.UPSERT,
            KEYS_ONLY,
            'INSERT INTO "t" AS mine ("id") VALUES ($1) ON CONFLICT ("id") DO NOTHING',
        ),
        (postgresql_sql, Operation.UPDATE, AB, 'UPDATE "t" AS mine SET "a"=$2,"b"=$3 WHERE mine."id" = $1'),
        (
            postgresql_sql,
            Operation.DELETE,
            TWO_KEYS,
            'DELETE FROM "t" AS mine WHERE mine."k1" = $1 AND mine."k2" = $2',
        ),
        (
            postgresql_sql,
            Operation.UPDATE,
            VERSIONED,
            'UPDATE "t" AS mine SET "v"=$2,"a"=$3 WHERE mine."id" = $1 AND (mine."v" IS NULL OR mine."v" <= $2)',
        ),
        (sqlite_sql, Operation.INSERT, AB, 'INSERT INTO "t"("id","a","b") VALUES(?,?,?)'),
        (
            sqlite_sql,
            Operation.UPSERT,
            AB,
            'INSERT INTO "t"("id","a","b") VALUES(?,?,?) ON CONFLICT("id") DO UPDATE SET '
            '"a"=excluded."a","b"=excluded."b"',
        ),
        (sqlite_sql, Operation.UPSERT, KEYS_ONLY, 'INSERT INTO "t"("id") VALUES(?) ON CONFLICT("id") DO NOTHING'),
        (sqlite_sql, Operation.UPDATE, AB, 'UPDATE "t" SET "a" = ?2, "b" = ?3 WHERE "id" = ?1'),
        (sqlite_sql, Operation.DELETE, TWO_KEYS, 'DELETE FROM "t" WHERE "k1" = ?1 AND "k2" = ?2'),
    ],
)
def test_statements(write: Callable[[Operation, Target], str], operation: Operation, found: Target, sql: str) -> None:
    assert write(operation, found) == sql


def test_on_mysql_an_upsert_cannot_change_a_row_with_another_key() -> None:
    guarded = target("a")
    table = Table(guarded.table.id, Kind.TABLE, guarded.table.columns, unique=(frozenset({"id"}), frozenset({"a"})))
    sql = mysql_sql(Operation.UPSERT, Target(table=table, keys=("id",), others=("a",)))
    assert sql.endswith("UPDATE `a`=VALUES(`a`),`id`=IF(`id`<=>VALUES(`id`),`id`,NULL)")


def test_a_statement_that_would_be_too_large_becomes_several() -> None:
    sent: list[str] = []

    class Cursor:
        def execute(self, sql: str, values: object = None) -> None:
            sent.append(sql)

        def fetchone(self) -> tuple[int]:
            return (1024,)

    class Connection:
        def cursor(self) -> Cursor:
            return Cursor()

    rows = mysql.MySqlRows(MYSQL, Connection())
    sent.clear()
    write = rows.prepare(Operation.INSERT, target("a"))
    texts = ["é" * 150] * 9
    write([Bound(BindAs.INTEGER, range(9)), Bound(BindAs.TEXT, texts)])
    assert all(len(sql.encode()) <= 1024 for sql in sent)
    assert sum(sql.count("é" * 150) for sql in sent) == 9
    assert len(sent) >= 3


def test_ddl_order_is_the_fields_order() -> None:
    fields: Fields = fields_of(config(pk_mode="kafka"), "t", None, struct([("z", INT), ("a", INT)]))
    assert [column.name for column in fields.ddl_order][-2:] == ["z", "a"]
