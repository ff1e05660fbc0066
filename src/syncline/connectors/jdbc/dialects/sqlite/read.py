"""Reading from SQLite: tables, columns, and rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from syncline.connectors.jdbc.dialects.sqlite.columns import Columns, Family, Field, family_of
from syncline.connectors.jdbc.modes import Instant, Query
from syncline.connectors.jdbc.reading import Kind, ResultColumn, Row, TableColumn, TableName
from syncline.connectors.jdbc.types import TypeSettings
from syncline.errors import DataError

_INSTANT: Final = "syncline_instant"
_VIEW: Final = "syncline_query"
_AUTOINCREMENT: Final = re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE)
_WHOLE: Final = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*\d+\s*(?:,\s*0\s*)?\)")
_HIDDEN: Final = 1  # of a virtual table, not part of SELECT *


class SqliteReader:
    """Over a connection of sqlite3 that nothing else uses."""

    def __init__(self, connection: Any, settings: TypeSettings, *, quote: str = '"') -> None:
        self._connection = connection
        self.quote = quote
        self._columns = Columns(settings)
        self._queries: dict[str, list[Field]] = {}
        self._bad_timestamp: DataError | None = None
        connection.create_function(_INSTANT, 1, self._instant, deterministic=True)

    # --- the catalogue -----------------------------------------------------------------------------

    def tables(self, types: Iterable[str], catalog_pattern: str | None, schema_pattern: str | None) -> list[TableName]:
        wanted = {kind.upper() for kind in types}
        rows = self._select(
            "SELECT upper(type), name FROM sqlite_master "
            "WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1, 2"
        )
        return [TableName(None, name) for kind, name in rows if kind in wanted]

    def table_columns(self, table: TableName) -> list[TableColumn]:
        rows = self._table_info(table.name)
        key = [name for name, _, _, part in rows if part]
        leading, unique = self._indexed(table.name)
        if len(key) == 1:
            leading.add(key[0])
            unique.add(key[0])
        created = self._select("SELECT sql FROM sqlite_master WHERE name = ?", (table.name,))
        counts = bool(created and _AUTOINCREMENT.search(created[0][0] or ""))
        return [
            TableColumn(
                name=name,
                type=declared or "undeclared",
                kind=_kind(declared.upper()),
                nullable=not (not_null or part),
                auto_increment=counts and bool(part),
                leads_index=name in leading,
                unique=name in unique,
            )
            for name, declared, not_null, part in rows
        ]

    def refresh(self) -> None:
        self._queries.clear()

    def timestamp_sql(self, column: str) -> str:
        """Text and numbers both become microseconds: SQLite itself takes any text to be after any number."""
        return f"{_INSTANT}({column})"

    def now(self) -> int:
        ((text,),) = self._select("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
        since = datetime.fromisoformat(text) - datetime(1970, 1, 1)
        return since // timedelta(microseconds=1) * 1_000

    def check(self, query: str) -> None:
        self._select(f"EXPLAIN {query}")

    def end(self) -> None:
        self._connection.commit()

    def interrupt(self, connect: Callable[[], Any]) -> None:
        self._connection.interrupt()

    # --- rows --------------------------------------------------------------------------------------

    def open(self, query: Query, *, stream: bool) -> SqliteRows:
        first, *rest = query.pieces()
        text = first + "".join(_literal(param) + piece for param, piece in zip(query.params, rest, strict=True))
        cursor = self._connection.cursor()
        try:
            cursor.execute(text)
            fields = self._fields(query, [described[0] for described in cursor.description])
        except Exception:
            cursor.close()
            self._complain()
            raise
        return SqliteRows(self, cursor, query.table or query.text, fields)

    def columns_of(self, key: str, fields: Sequence[Field], rows: Sequence[Row]) -> list[ResultColumn]:
        """What the columns of a result with these fields and rows are."""
        return self._columns.columns(key, fields, rows)

    def _complain(self) -> None:
        """Raise what went wrong in the function inside SQL; SQLite itself says only that something did."""
        if self._bad_timestamp is not None:
            error, self._bad_timestamp = self._bad_timestamp, None
            raise error

    def _fields(self, query: Query, labels: Sequence[str]) -> list[Field]:
        if query.table is None:
            known = self._query_fields(query.text)
        else:
            known = [
                Field(name, declared.upper(), bool(not_null))
                for name, declared, not_null, _ in self._table_info(_unquoted(query.table))
            ]
        if [field.label for field in known] == list(labels):
            return known
        return [Field(label, "", False) for label in labels]

    def _query_fields(self, text: str) -> list[Field]:
        """The declared types behind a query's columns, which a view tells and a cursor does not."""
        known = self._queries.get(text)
        if known is None:
            view = f"temp.{_VIEW}"
            self._select(f"DROP VIEW IF EXISTS {view}")
            self._select(f"CREATE TEMP VIEW {_VIEW} AS {text}")
            known = self._queries[text] = [
                Field(name, declared.upper(), False)
                for _, name, declared, *_ in self._select(f"PRAGMA temp.table_info({_VIEW})")
            ]
            self._select(f"DROP VIEW {view}")
        return known

    def _table_info(self, table: str) -> list[tuple[str, str, int, int]]:
        """Name, declared type, NOT NULL and place in the primary key of each column of SELECT *."""
        return [
            (name, declared, not_null, part)
            for name, declared, not_null, part, hidden in self._select(
                'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', (table,)
            )
            if hidden != _HIDDEN
        ]

    def _indexed(self, table: str) -> tuple[set[str], set[str]]:
        """The columns that lead an index, and those that are unique on their own."""
        leading, unique = set(), set()
        for index, is_unique in self._select(
            'SELECT name, "unique" FROM pragma_index_list(?) WHERE NOT partial', (table,)
        ):
            columns = [name for (name,) in self._select("SELECT name FROM pragma_index_info(?)", (index,))]
            leading.add(columns[0])
            if is_unique and len(columns) == 1:
                unique.add(columns[0])
        return leading, unique

    def _instant(self, value: Any) -> int | None:
        if value is None:
            return None
        try:
            return self._columns.instant(value)
        except ValueError as exc:
            self._bad_timestamp = DataError(
                f"The timestamp column holds {value!r}, which is neither ISO text nor milliseconds: {exc}"
            )
            raise

    def _select(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        cursor = self._connection.cursor()
        try:
            return list(cursor.execute(sql, params).fetchall())
        finally:
            cursor.close()


class SqliteRows:
    """A running query; the file is locked for writers until it is closed, unless in WAL mode."""

    def __init__(self, reader: SqliteReader, cursor: Any, key: str, fields: list[Field]) -> None:
        self._reader = reader
        self._cursor = cursor
        self._key = key
        self._fields = fields

    def fetch(self, count: int) -> list[Row]:
        try:
            return list(self._cursor.fetchmany(count))
        except Exception:
            self._reader._complain()
            raise

    def columns(self, rows: Sequence[Row]) -> list[ResultColumn]:
        return self._reader.columns_of(self._key, self._fields, rows)

    def close(self) -> None:
        self._cursor.close()


def _literal(param: int | Instant) -> str:
    return str(param.nanos // 1_000 if isinstance(param, Instant) else param)


def _unquoted(table: str) -> str:
    for quote in '"`':
        if table.startswith(quote):
            return table[1:-1].replace(quote * 2, quote)
    return table


def _kind(declared: str) -> Kind:
    family = family_of(declared)
    if family is Family.INTEGER or _WHOLE.fullmatch(declared):
        return Kind.INTEGER
    return Kind.TIMESTAMP if family is Family.TIMESTAMP else Kind.OTHER
