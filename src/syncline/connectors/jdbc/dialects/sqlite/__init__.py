"""SQLite, through the standard library."""

from __future__ import annotations

import sqlite3 as _types
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from syncline.connectors.jdbc.dialect import BindAs, Bound, Dialect, Refusal, Refused, Settings, bind_kind
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId
from syncline.data import Schema

_TYPES: Final = {
    BindAs.INTEGER: "INTEGER",
    BindAs.FLOAT: "REAL",
    BindAs.BOOLEAN: "INTEGER",
    BindAs.TEXT: "TEXT",
    BindAs.BYTES: "BLOB",
    BindAs.DECIMAL: "NUMERIC",
    BindAs.MOMENT: "NUMERIC",
}
_BUSY: Final = frozenset({5, 6, 10, 13})
"""SQLITE_BUSY, LOCKED, IOERR, FULL."""
_DATA: Final = frozenset({18, 19, 20})
"""SQLITE_TOOBIG, CONSTRAINT, MISMATCH."""


class Sqlite(Dialect):
    """Dates and times are epoch milliseconds in NUMERIC columns, as the JDBC driver stores them."""

    name = "SqliteDatabaseDialect"
    subprotocols = ("sqlite",)
    quote_mark = '"'
    one_add_per_alter = True
    epoch_type = "NUMERIC"
    moments_as_integers = True

    def connect(self, settings: Settings) -> Any:
        import sqlite3

        busy = settings.option("busy_timeout")
        with self.refusing():
            connection = sqlite3.connect(
                settings.url.database,
                timeout=int(busy) / 1000 if busy else 30,
                isolation_level=None,
                check_same_thread=False,
            )
            # Readers and the writer do not block each other then, and a commit costs one sync instead of two.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def refusal(self, error: Exception) -> Refused | None:
        if not isinstance(error, _types.Error):
            return None
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        kind = Refusal.BUSY if primary in _BUSY else Refusal.DATA if primary in _DATA else Refusal.SCHEMA
        if primary == 14:
            kind = Refusal.AWAY
        if isinstance(error, _types.ProgrammingError) and "closed" in str(error):
            kind = Refusal.AWAY
        if isinstance(error, _types.InterfaceError | _types.DataError) or "Error binding parameter" in str(error):
            kind = Refusal.DATA
        return Refused(f"[{getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')}] {error}", kind, code=code)

    def begin(self, cursor: Any) -> None:
        """Open a transaction; the connection itself is in autocommit mode."""
        if not cursor.connection.in_transaction:
            cursor.execute("BEGIN IMMEDIATE")

    def savepoint(self, cursor: Any) -> None:
        self.begin(cursor)
        super().savepoint(cursor)

    def table(self, cursor: Any, table: TableId) -> Table | None:
        place = f"{self.quote(table.schema)}." if table.schema else ""
        cursor.execute(
            f"SELECT name, type FROM {place}sqlite_master WHERE type IN ('table','view') AND name = ?", (table.name,)
        )
        found = cursor.fetchone()
        if found is None:
            cursor.execute(
                f"SELECT name, type FROM {place}sqlite_master WHERE type IN ('table','view') AND lower(name) = ?",
                (table.name.lower(),),
            )
            found = cursor.fetchone()
        if found is None:
            return None
        cursor.execute(f"PRAGMA {place}table_info({self.quote(found[0])})")
        columns = tuple(
            Column(name, str(kind).lower(), not notnull and not primary, bool(primary))
            for _, name, kind, notnull, _, primary in cursor.fetchall()
        )
        return Table(table, Kind.VIEW if found[1] == "view" else Kind.TABLE, columns)

    def column_type(self, schema: Schema, *, key: bool) -> str:
        return _TYPES[bind_kind(schema)]

    def mark(self, column: Bound) -> str:
        return "?"

    def insert(self, cursor: Any, table: str, columns: Sequence[Bound]) -> None:
        marks = ",".join("?" * len(columns))
        names = self.names(columns, quoting=True)
        cursor.executemany(f"INSERT INTO {table}({names}) VALUES({marks})", self._rows(columns))

    def upsert(self, cursor: Any, table: str, keys: Sequence[Bound], others: Sequence[Bound], *, quoting: bool) -> None:
        columns = [*keys, *others]
        marks = ",".join("?" * len(columns))
        sets = ",".join(f"{self.quote(c.name)}=excluded.{self.quote(c.name)}" for c in others)
        action = f"DO UPDATE SET {sets}" if others else "DO NOTHING"
        cursor.executemany(
            f"INSERT INTO {table}({self.names(columns, quoting=True)}) VALUES({marks}) "
            f"ON CONFLICT({self.names(keys, quoting=True)}) {action}",
            self._rows(columns),
        )

    def _each(self, cursor: Any, sql: str, columns: Sequence[Bound]) -> None:
        cursor.executemany(sql, self._rows(columns))

    @staticmethod
    def _rows(columns: Sequence[Bound]) -> Any:
        return zip(*(_plain(column) for column in columns), strict=True)


def _plain(column: Bound) -> list[Any]:
    if column.kind is BindAs.DECIMAL:
        # The library binds no Decimal; NUMERIC affinity turns the text into a number where that is exact.
        return [
            None if value is None else str(value) if isinstance(value, Decimal) else value for value in column.values
        ]
    return column.values


SQLITE: Final = Sqlite()
