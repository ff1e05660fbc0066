"""Writing to PostgreSQL: COPY, for anything but plain inserts into a temporary table first.

Values travel as text that the server reads as the column's own type, in COPY as well as in statements: few rows and
many behave the same, and json, uuid, inet or an enum needs no cast.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Any, Final

from syncline.connectors.jdbc.bound import BindAs, Bound, bind_kind
from syncline.connectors.jdbc.dialect import Dialect, Operation, RowWriter, Target, Write
from syncline.connectors.jdbc.dialects.postgresql.errors import refusal
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId
from syncline.data import DATE, DECIMAL, TIME, Schema, Type

log = logging.getLogger(__name__)

FEW: Final = 50
"""Up to so many rows a statement per row is faster than going through a temporary table."""

_TYPES: Final[Mapping[Type, str]] = {
    Type.INT8: "SMALLINT",
    Type.INT16: "SMALLINT",
    Type.INT32: "INT",
    Type.INT64: "BIGINT",
    Type.FLOAT32: "REAL",
    Type.FLOAT64: "DOUBLE PRECISION",
    Type.BOOLEAN: "BOOLEAN",
    Type.STRING: "TEXT",
    Type.BYTES: "BYTEA",
}
_KINDS: Final = {"r": Kind.TABLE, "f": Kind.TABLE, "p": Kind.PARTITIONED, "v": Kind.VIEW, "m": Kind.VIEW}


def column_type(schema: Schema) -> str:
    """The type of a new column; LookupError for maps, structs, and arrays of anything but simple values."""
    if schema.name == DECIMAL:
        return "DECIMAL"
    if bind_kind(schema) is BindAs.MOMENT:
        return "DATE" if schema.name == DATE else "TIME" if schema.name == TIME else "TIMESTAMP"
    if schema.type is Type.ARRAY:
        inner = schema.value_schema
        if inner is None or inner.name is not None or inner.type is Type.BYTES:
            raise LookupError(schema.type)
        return f"{_TYPES[inner.type]}[]"
    return _TYPES[schema.type]


class PostgreSqlRows(RowWriter):
    """Writes on one connection."""

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        import psycopg

        self._dialect = dialect
        self._connection = connection
        # With $1 for a value instead of %s: names may hold percent signs, and a value may be named twice.
        self._cursor = psycopg.RawCursor(connection)
        self._stages = count(1)

    def execute(self, sql: str) -> None:
        self._cursor.execute(sql)

    def table(self, table: TableId) -> Table | None:
        found = self._cursor.execute(
            "SELECT c.oid, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname = $1 AND c.relkind IN ('r', 'v', 'm', 'p', 'f') "
            "AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = $2 END",
            (table.name, table.schema),
        ).fetchone()
        if found is None:
            return None
        oid, kind = found
        rows = self._cursor.execute(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, "
            "COALESCE(a.attnum = ANY(i.indkey), false), "
            "a.atttypid IN ('timestamptz'::regtype, 'timetz'::regtype) "
            "FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
            "WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (oid,),
        ).fetchall()
        return Table(table, _KINDS[kind], tuple(Column(*row) for row in rows))

    # -- statements ---------------------------------------------------------------------------

    def prepare(self, operation: Operation, target: Target) -> Write:
        names = target.keys if operation is Operation.DELETE else (*target.keys, *target.others)
        # A view takes no COPY.
        if operation is Operation.INSERT and target.table.kind is not Kind.VIEW:
            return self._copy(self._dialect.qualified(target.table.id), names)
        single = _single(self._dialect, operation, target)
        stage = self._stage(target, names)
        many = None
        if stage is not None:
            many = self._through(stage, names, _from_stage(self._dialect, operation, target, stage))

        def write(columns: Sequence[Bound]) -> None:
            if many is not None and len(columns[0].values) > FEW:
                many(columns)
            else:
                self._cursor.executemany(single, list(zip(*map(_texts, columns), strict=True)))

        return write

    def _stage(self, target: Target, names: Sequence[str]) -> str | None:
        """A temporary table with the columns' own types; None where the account may not make one."""
        stage = f"pg_temp.syncline_{next(self._stages)}"
        listed, table = self._dialect.listed(names), self._dialect.qualified(target.table.id)
        try:
            self._cursor.execute(
                f"CREATE TEMPORARY TABLE {stage.removeprefix('pg_temp.')} ON COMMIT DELETE ROWS AS "
                f"SELECT {listed} FROM {table} WITH NO DATA"
            )
            self._connection.commit()
        except Exception as exc:
            found = refusal(exc)
            if found is None or found.state != "42501":
                raise
            self._connection.rollback()
            log.warning("%s is written row by row, since no temporary copy may be made: %s", target.table.id, found)
            return None
        return stage

    def _through(self, stage: str, names: Sequence[str], sql: str) -> Write:
        copy = self._copy(stage, names)

        def write(columns: Sequence[Bound]) -> None:
            # An earlier chunk of the same transaction may have left its rows.
            self._cursor.execute(f"DELETE FROM {stage}")
            copy(columns)
            self._cursor.execute(sql)

        return write

    def _copy(self, table: str, names: Sequence[str]) -> Write:
        sql = f"COPY {table} ({self._dialect.listed(names)}) FROM STDIN"

        def write(columns: Sequence[Bound]) -> None:
            lines = map("\t".join, zip(*map(_copied, columns), strict=True))
            with self._cursor.copy(sql) as copy:
                copy.write("\n".join(lines) + "\n")

        return write


# --- statements ----------------------------------------------------------------------------------


def _single(dialect: Dialect, operation: Operation, target: Target) -> str:
    """The statement for one row: $1 and so on are the target's keys, then its others."""
    names = (*target.keys, *target.others)
    marks = {name: f"${number}" for number, name in enumerate(names, 1)}
    table = dialect.qualified(target.table.id)
    if operation is Operation.DELETE:
        return f"DELETE FROM {table} AS mine WHERE {_same(dialect, target, marks)}"
    if operation is Operation.UPDATE:
        return f"UPDATE {table} AS mine SET {_sets(dialect, target, marks)} WHERE {_same(dialect, target, marks)}"
    insert = f"INSERT INTO {table} AS mine ({dialect.listed(names)}) VALUES ({','.join(marks.values())})"
    return insert if operation is Operation.INSERT else insert + _on_conflict(dialect, target)


def _from_stage(dialect: Dialect, operation: Operation, target: Target, stage: str) -> str:
    """The statement for all rows of a temporary table."""
    names = (*target.keys, *target.others)
    theirs = {name: f"new.{dialect.quote(name)}" for name in names}
    table = dialect.qualified(target.table.id)
    if operation is Operation.DELETE:
        return f"DELETE FROM {table} AS mine USING {stage} AS new WHERE {_same(dialect, target, theirs)}"
    if operation is Operation.UPDATE:
        sets, same = _sets(dialect, target, theirs), _same(dialect, target, theirs)
        return f"UPDATE {table} AS mine SET {sets} FROM {stage} AS new WHERE {same}"
    listed = dialect.listed(names)
    insert = f"INSERT INTO {table} AS mine ({listed}) SELECT {listed} FROM {stage}"
    return insert if operation is Operation.INSERT else insert + _on_conflict(dialect, target)


def _sets(dialect: Dialect, target: Target, values: Mapping[str, str]) -> str:
    return ",".join(f"{dialect.quote(name)}={values[name]}" for name in target.others)


def _same(dialect: Dialect, target: Target, values: Mapping[str, str]) -> str:
    """Which row is meant, and for a conditional update whether it may be overwritten."""
    same = " AND ".join(f"mine.{dialect.quote(key)} = {values[key]}" for key in target.keys)
    if target.version is None or target.version not in values:
        return same
    return f"{same} AND ({_older(dialect, target.version, values[target.version])})"


def _on_conflict(dialect: Dialect, target: Target) -> str:
    conflict = f" ON CONFLICT ({dialect.listed(target.keys)}) DO"
    if not target.others:
        return f"{conflict} NOTHING"
    theirs = {name: f"EXCLUDED.{dialect.quote(name)}" for name in target.others}
    update = f"{conflict} UPDATE SET {_sets(dialect, target, theirs)}"
    if target.version is None:
        return update
    return f"{update} WHERE {_older(dialect, target.version, theirs[target.version])}"


def _older(dialect: Dialect, version: str, theirs: str) -> str:
    mine = f"mine.{dialect.quote(version)}"
    return f"{mine} IS NULL OR {mine} <= {theirs}"


# --- values as text ------------------------------------------------------------------------------

_ESCAPED: Final = re.compile(r"[\\\t\n\r]")
_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _texts(column: Bound) -> Sequence[str | None]:
    """Values as the server reads them for any column type; None is NULL."""
    values = column.values
    if column.kind in (BindAs.TEXT, BindAs.MOMENT):
        return values
    text = _TEXTS[column.kind]
    if None in values:
        return [None if value is None else text(value) for value in values]
    return list(map(text, values))


def _copied(column: Bound) -> Sequence[str]:
    """Values as COPY's text format has them."""
    texts = _texts(column)
    if column.kind in _MAY_ESCAPE and _ESCAPED.search("".join(filter(None, texts))) is not None:
        texts = [None if text is None else _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text) for text in texts]
    return ["\\N" if text is None else text for text in texts]


_MAY_ESCAPE: Final = frozenset({BindAs.TEXT, BindAs.BYTES, BindAs.ARRAY})


def _decimal(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _array(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


_TEXTS: Final[Mapping[BindAs, Callable[[Any], str]]] = {
    BindAs.INTEGER: str,
    BindAs.FLOAT: repr,
    BindAs.DECIMAL: _decimal,
    BindAs.BOOLEAN: lambda value: "t" if value else "f",
    BindAs.BYTES: lambda value: f"\\x{value.hex()}",
    BindAs.ARRAY: _array,
}
