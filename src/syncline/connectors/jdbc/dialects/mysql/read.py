"""Reading from MariaDB and MySQL: tables, columns, and rows.

Both drivers speak the text protocol here, and parameters are put into the text as literals: prepared
statements of the C driver break when a table is altered under them, and the binary protocol cannot
bring a zero date. What the text protocol brings less than exactly (FLOAT with six digits) or what the
C driver cannot parse (a zero in a ZEROFILL or YEAR column, a date with a zero part) is selected through
a CAST instead; only then does a query differ from the plain SELECT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from syncline.connectors.jdbc.dialects.mysql.columns import (
    DATE,
    FLOAT,
    INTEGERS,
    NEWDATE,
    YEAR,
    ZEROFILL_FLAG,
    Columns,
    Field,
    fields_of,
)
from syncline.connectors.jdbc.dialects.mysql.rows import Fetcher
from syncline.connectors.jdbc.modes import Instant, Query
from syncline.connectors.jdbc.moments import DAY, day_of, sql_datetime
from syncline.connectors.jdbc.reading import (
    Kind,
    Reread,
    ResultColumn,
    Row,
    TableColumn,
    TableName,
    quoted,
)
from syncline.connectors.jdbc.types import TypeSettings

SYSTEM_DATABASES: Final = ("information_schema", "mysql", "performance_schema", "sys")

_TABLE_TYPES: Final = {"BASE TABLE": "TABLE", "SYSTEM VERSIONED": "TABLE"}

_SOME: Final = 1_000

_EPOCH: Final = datetime(1970, 1, 1)
_LITERALS: Final = (day_of(1, 1, 1) * DAY, day_of(9999, 12, 31) * DAY)
"""The wall clocks a literal can name."""


@dataclass(slots=True)
class _Result:
    """What is known of one table's or query's result."""

    fields: tuple[Field, ...]
    projection: str | None
    binary: dict[str, bool]
    """Of the columns where the protocol does not tell."""
    columns: list[ResultColumn] | None = None


class MySqlReader:
    """Over a connection of `mariadb` or PyMySQL."""

    def __init__(
        self,
        connection: Any,
        settings: TypeSettings,
        *,
        quote: str = "`",
        year_is_date: bool = True,
        session_variables: str = "",
    ) -> None:
        self._connection = connection
        self._settings = settings
        self.quote = quote
        self._columns = Columns(settings, year_is_date=year_is_date)
        self._is_pymysql = type(connection).__module__.startswith("pymysql")
        self._known: dict[str, _Result] = {}
        self._with_dates: set[str] = set()
        # As for the JDBC driver: clocks as the server shows them, which db.timezone says how to read, and
        # SQL as the server takes it. A reader that is slow, because Kafka is, must not be cut off.
        self._number = int(self._select("SELECT CONNECTION_ID()")[0][0])
        self._run("SET SESSION time_zone = DEFAULT, sql_mode = DEFAULT, net_write_timeout = 3600")
        if session_variables:
            self._run(f"SET SESSION {session_variables}")

    # --- the catalogue -----------------------------------------------------------------------------

    def tables(self, types: Iterable[str], catalog_pattern: str | None, schema_pattern: str | None) -> list[TableName]:
        # To the JDBC drivers databases are catalogs, and there are no schemas to select by.
        where, params = "", list(SYSTEM_DATABASES)
        if catalog_pattern:
            where, params = "AND TABLE_SCHEMA LIKE %s", [*params, catalog_pattern]
        elif self._select("SELECT DATABASE()")[0][0] is not None:
            where = "AND TABLE_SCHEMA = DATABASE()"
        rows = self._select(
            "SELECT TABLE_TYPE, TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES "
            f"WHERE TABLE_SCHEMA NOT IN (%s, %s, %s, %s) {where}",
            params,
        )
        wanted = {kind.upper() for kind in types}
        named = [(_TABLE_TYPES.get(kind, kind), schema, name) for kind, schema, name in rows]
        return [TableName(schema, name) for kind, schema, name in sorted(named) if kind in wanted]

    def table_columns(self, table: TableName) -> list[TableColumn]:
        where, params = "TABLE_SCHEMA = %s AND TABLE_NAME = %s", (table.qualifier, table.name)
        indexes: dict[str, list[tuple[int, str, int]]] = {}
        for index, position, column, non_unique in self._select(
            "SELECT INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, NON_UNIQUE "
            f"FROM information_schema.STATISTICS WHERE {where}",
            params,
        ):
            indexes.setdefault(index, []).append((position, column, non_unique))
        firsts = {index: min(parts) for index, parts in indexes.items()}
        leading = {column for _, column, _ in firsts.values()}
        unique = {
            column for index, (_, column, non_unique) in firsts.items() if len(indexes[index]) == 1 and not non_unique
        }
        return [
            TableColumn(
                name=name,
                type=type_,
                kind=_kind(data_type, scale),
                nullable=nullable == "YES",
                auto_increment="auto_increment" in extra,
                leads_index=name in leading,
                unique=name in unique,
            )
            for name, type_, data_type, scale, nullable, extra in self._select(
                "SELECT COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, NUMERIC_SCALE, IS_NULLABLE, EXTRA "
                f"FROM information_schema.COLUMNS WHERE {where} ORDER BY ORDINAL_POSITION",
                params,
            )
        ]

    def refresh(self) -> None:
        """The protocol tells all there is with each result."""

    def timestamp_sql(self, column: str) -> str:
        return column

    def now(self) -> int:
        ((text,),) = self._select("SELECT CAST(CURRENT_TIMESTAMP AS CHAR)")
        wall = (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
        return self._settings.zone.instant(wall) * 1_000

    def check(self, query: str) -> None:
        self._select(f"EXPLAIN {query}")

    def end(self) -> None:
        self._connection.commit()

    def interrupt(self, connect: Callable[[], Any]) -> None:
        second = connect()
        try:
            cursor = second.cursor()
            cursor.execute(f"KILL QUERY {self._number}")
            cursor.close()
        finally:
            second.close()

    # --- rows --------------------------------------------------------------------------------------

    def open(self, query: Query, *, stream: bool) -> MySqlRows:
        key = query.table or query.text
        known = self._known.get(key)
        if known is None or known.projection is not None:
            # A projection hides that the table was altered, so its columns are looked up each time.
            known = self._recognise(key, self._describe(query))
        cursor = self._execute(self._text(query, known.projection or "*"))
        fields = fields_of(cursor)
        if known.projection is None and fields != known.fields:
            cursor.close()
            self._recognise(key, fields)
            raise Reread
        return MySqlRows(self, cursor, key, known)

    def check_complete(self) -> None:
        """Raise the error that ended a result, if one did.

        The C driver takes an error in the midst of rows for their end: a query killed after half of them
        would pass for a table half as long.
        """
        if self._is_pymysql:
            return
        import mariadb

        for _, code, text in self._select("SHOW ERRORS"):
            raise mariadb.OperationalError(text, code)

    def without_zero_parts(self, key: str) -> None:
        """From now on select the dates of this table or query in the form that knows zero parts."""
        self._with_dates.add(key)
        self._known.pop(key, None)

    def columns_of(self, result: _Result, rows: Sequence[Row]) -> list[ResultColumn]:
        """What the columns are; the first row shows what the driver does not tell."""
        if result.columns is None:
            result.columns = [
                self._columns.column(field, _first(rows, index), result.binary.get(field.label, field.binary))
                for index, field in enumerate(result.fields)
            ]
        return result.columns

    def _describe(self, query: Query) -> tuple[Field, ...]:
        """The columns of the plain query, without running it."""
        self._run("SET SQL_SELECT_LIMIT = 0")
        try:
            cursor = self._execute(self._text(query.limited(None)))
            fields = fields_of(cursor)
            cursor.close()
        finally:
            self._run("SET SQL_SELECT_LIMIT = DEFAULT")
        return fields

    def _recognise(self, key: str, fields: tuple[Field, ...]) -> _Result:
        unsure = [field.label for field in fields if field.binary is None]
        binary = self._binary_labels(key, unsure) if unsure else {}
        projection = _projection(fields, with_dates=key in self._with_dates)
        self._known[key] = result = _Result(fields, projection, binary)
        return result

    def _binary_labels(self, key: str, labels: Sequence[str]) -> dict[str, bool]:
        """Which columns are bytes: in the protocol a text with a binary collation looks the same."""
        asked = ", ".join(f"CHARSET({quoted(label, '`')})" for label in labels)
        source = key if key.startswith("`") else f"({key}) query"
        found = self._select(f"SELECT {asked} FROM {source} LIMIT 1")
        if not found:
            return {}  # no rows, so no values either
        return {label: charset == "binary" for label, charset in zip(labels, found[0], strict=True)}

    def _text(self, query: Query, projection: str = "*") -> str:
        first, *rest = query.pieces(projection)
        return first + "".join(self._literal(param) + text for param, text in zip(query.params, rest, strict=True))

    def _literal(self, param: int | Instant) -> str:
        if not isinstance(param, Instant):
            return str(param)
        low, high = _LITERALS
        wall = self._settings.zone.wall(param.nanos // 1_000)
        return f"TIMESTAMP'{sql_datetime(min(max(wall, low), high))}'"

    def _execute(self, sql: str) -> Any:
        if self._is_pymysql:
            from pymysql.cursors import SSCursor

            cursor = self._connection.cursor(SSCursor)
        else:
            cursor = self._connection.cursor(buffered=False)
        cursor.execute(sql)
        return cursor

    def _run(self, sql: str) -> None:
        cursor = self._connection.cursor()
        cursor.execute(sql)
        cursor.close()

    def _select(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql, params or None)
            fetcher = Fetcher(cursor)
            return [row for rows in iter(lambda: fetcher.fetch(_SOME), []) for row in rows]
        finally:
            cursor.close()


class MySqlRows:
    """A running query, read as it comes; the connection serves nothing else meanwhile."""

    def __init__(self, reader: MySqlReader, cursor: Any, key: str, result: _Result) -> None:
        self._reader = reader
        self._cursor = cursor
        self._fetcher = Fetcher(cursor)
        self._key = key
        self._result = result

    def fetch(self, count: int) -> list[Row]:
        try:
            rows = self._fetcher.fetch(count)
        except ValueError as exc:
            # The C driver met a DATE such as 2024-02-00, which a Python date cannot be.
            self._cursor.close()
            self._reader.without_zero_parts(self._key)
            raise Reread from exc
        if len(rows) < count:
            self._cursor.close()
            self._reader.check_complete()
        return rows

    def columns(self, rows: Sequence[Row]) -> list[ResultColumn]:
        return self._reader.columns_of(self._result, rows)

    def close(self) -> None:
        self._cursor.close()


def _projection(fields: Sequence[Field], *, with_dates: bool) -> str | None:
    """The columns by name, in casts where needed; None where the plain row will do."""
    casts = [_cast(field, with_dates=with_dates) for field in fields]
    if not any(casts):
        return None
    names = [quoted(field.label, "`") for field in fields]
    return ", ".join(
        f"{cast.format(name)} AS {name}" if cast else name for cast, name in zip(casts, names, strict=True)
    )


def _cast(field: Field, *, with_dates: bool) -> str:
    if field.type == FLOAT:
        return "CAST({} AS DOUBLE)"
    if field.type == YEAR or (field.type in INTEGERS and field.flags & ZEROFILL_FLAG):
        return "CAST({} AS UNSIGNED)"
    if with_dates and field.type in (DATE, NEWDATE):
        # Days since 1970; NULL for a date with zero parts, as the JDBC driver has it.
        return "TO_DAYS({}) - 719528"
    return ""


def _first(rows: Sequence[Row], index: int) -> Any:
    return next((row[index] for row in rows if row[index] is not None), None)


def _kind(data_type: str, scale: int | None) -> Kind:
    if data_type in ("tinyint", "smallint", "mediumint", "int", "bigint") or (data_type == "decimal" and scale == 0):
        return Kind.INTEGER
    return Kind.TIMESTAMP if data_type in ("datetime", "timestamp") else Kind.OTHER
