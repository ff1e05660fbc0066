"""Writing to SQLite: prepared statements, run for all rows in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from syncline.connectors.jdbc.bound import BindAs, Bound, bind_kind
from syncline.connectors.jdbc.dialect import Dialect, Operation, RowWriter, Target, Write
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId
from syncline.data import Schema
from syncline.errors import DataError

_TYPES: Final = {
    BindAs.INTEGER: "INTEGER",
    BindAs.FLOAT: "REAL",
    BindAs.BOOLEAN: "INTEGER",
    BindAs.TEXT: "TEXT",
    BindAs.BYTES: "BLOB",
    BindAs.DECIMAL: "NUMERIC",
    BindAs.MOMENT: "NUMERIC",
}


def column_type(schema: Schema) -> str:
    """The type of a new column; LookupError for arrays, maps and structs."""
    return _TYPES[bind_kind(schema)]


class SqliteRows(RowWriter):
    """Writes on one connection."""

    def __init__(self, dialect: Dialect, connection: Any) -> None:
        self._dialect = dialect
        self._connection = connection

    def begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")

    def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    def table(self, table: TableId) -> Table | None:
        place = f"{self._dialect.quote(table.schema)}." if table.schema else ""
        listed = f"SELECT name, type FROM {place}sqlite_master WHERE type IN ('table', 'view')"
        found = (
            self._connection.execute(f"{listed} AND name = ?", (table.name,)).fetchone()
            or self._connection.execute(f"{listed} AND lower(name) = lower(?)", (table.name,)).fetchone()
        )
        if found is None:
            return None
        name, kind = found
        rows = self._connection.execute(f"PRAGMA {place}table_info({self._dialect.quote(name)})").fetchall()
        columns = tuple(
            Column(column, str(declared).lower(), not notnull and not primary, bool(primary))
            for _, column, declared, notnull, _, primary in rows
        )
        return Table(TableId(name, table.schema), Kind.VIEW if kind == "view" else Kind.TABLE, columns)

    def prepare(self, operation: Operation, target: Target) -> Write:
        sql = _statement(self._dialect, operation, target)
        run = self._connection.executemany

        def write(columns: Sequence[Bound]) -> None:
            run(sql, zip(*map(_plain, columns), strict=True))

        return write


def _statement(dialect: Dialect, operation: Operation, target: Target) -> str:
    table = dialect.qualified(target.table.id)
    names = (*target.keys, *target.others)
    where = " AND ".join(f"{dialect.quote(key)} = ?{number}" for number, key in enumerate(target.keys, 1))
    if operation is Operation.DELETE:
        return f"DELETE FROM {table} WHERE {where}"
    if operation is Operation.UPDATE:
        marks = {name: f"?{number}" for number, name in enumerate(names, 1)}
        version = target.version
        newer = (
            f" AND ({dialect.quote(version)} IS NULL OR {dialect.quote(version)} <= {marks[version]})"
            if version
            else ""
        )
        sets = ", ".join(f"{dialect.quote(name)} = {marks[name]}" for name in target.others)
        return f"UPDATE {table} SET {sets} WHERE {where}{newer}"
    insert = f"INSERT INTO {table}({dialect.listed(names)}) VALUES({','.join('?' * len(names))})"
    if operation is Operation.INSERT:
        return insert
    conflict = f"{insert} ON CONFLICT({dialect.listed(target.keys)}) DO"
    if not target.others:
        return f"{conflict} NOTHING"
    sets = ",".join(f"{dialect.quote(name)}=excluded.{dialect.quote(name)}" for name in target.others)
    if target.version is None:
        return f"{conflict} UPDATE SET {sets}"
    mine = f"{dialect.quote(target.table.id.name)}.{dialect.quote(target.version)}"
    return f"{conflict} UPDATE SET {sets} WHERE {mine} IS NULL OR {mine} <= excluded.{dialect.quote(target.version)}"


def _plain(column: Bound) -> Iterable[Any]:
    values = column.values
    if column.kind is BindAs.DECIMAL:
        # The library binds no Decimal; NUMERIC affinity turns the text into a number where that is exact.
        return [str(value) if isinstance(value, Decimal) else value for value in values]
    if column.kind is BindAs.FLOAT and any(value != value for value in values):
        raise DataError("SQLite has no NaN: it would store NULL instead")
    return values
