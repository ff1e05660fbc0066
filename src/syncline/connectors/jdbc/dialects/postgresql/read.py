"""Reading from PostgreSQL: tables, columns, and rows in the binary protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from syncline.connectors.jdbc.dialects.postgresql.columns import (
    BIT,
    DATE,
    JSON,
    JSONB,
    MONEY,
    NAMES,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    TIMETZ,
    UUID_,
    XML,
    Columns,
    Field,
    is_exact_integer,
)
from syncline.connectors.jdbc.modes import Instant, Query
from syncline.connectors.jdbc.moments import DAY, day_of, sql_datetime
from syncline.connectors.jdbc.reading import Kind, ResultColumn, Row, TableColumn, TableName
from syncline.connectors.jdbc.types import TypeSettings

_KINDS: Final = {
    "r": "TABLE",
    "p": "PARTITIONED TABLE",
    "v": "VIEW",
    "m": "MATERIALIZED VIEW",
    "f": "FOREIGN TABLE",
    "S": "SEQUENCE",
}
_LITERALS: Final = (day_of(1, 1, 1) * DAY, day_of(9999, 12, 31) * DAY)
"""The wall clocks a literal can name."""

_CURSOR: Final = "syncline_rows"


class PostgreSqlReader:
    """Over a connection of psycopg 3 that nothing else uses."""

    def __init__(self, connection: Any, settings: TypeSettings, *, quote: str = '"') -> None:
        self._connection = connection
        self._settings = settings
        self.quote = quote
        # A prepared statement would fail once after each ALTER TABLE ("cached plan must not change").
        connection.prepare_threshold = None
        _load_raw_values(connection)
        self._columns: Columns | None = None
        self._not_null: dict[tuple[int, int], bool] = {}
        self._types: dict[int, tuple[str, bool]] = {}
        self._results: dict[tuple[Field, ...], list[ResultColumn]] = {}

    # --- the catalogue -----------------------------------------------------------------------------

    def tables(self, types: Iterable[str], catalog_pattern: str | None, schema_pattern: str | None) -> list[TableName]:
        rows = self._select(
            "SELECT c.relkind::text, n.nspname::text, c.relname::text FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname LIKE %s",
            (schema_pattern or "%",),
        )
        wanted = {kind.upper() for kind in types}
        named = [(_KINDS.get(kind, ""), schema, name) for kind, schema, name in rows]
        return [TableName(schema, name) for kind, schema, name in sorted(named) if kind in wanted]

    def table_columns(self, table: TableName) -> list[TableColumn]:
        rows = self._select(
            "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), "
            "  CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END, "
            "  CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, "
            "  a.attnotnull OR t.typnotnull, "
            "  a.attidentity <> '' "
            "    OR coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') LIKE 'nextval(%%', "
            "  EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid "
            "    AND i.indpred IS NULL AND i.indkey[0] = a.attnum), "
            "  EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid "
            "    AND i.indpred IS NULL AND i.indkey[0] = a.attnum AND i.indisunique AND i.indnkeyatts = 1) "
            "FROM pg_catalog.pg_attribute a "
            "JOIN pg_catalog.pg_class c ON c.oid = a.attrelid "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
            "LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
            "WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped "
            "ORDER BY a.attnum",
            (table.qualifier, table.name),
        )
        return [
            TableColumn(
                name=name,
                type=type_,
                kind=_kind(oid, modifier),
                nullable=not not_null,
                auto_increment=auto_increment,
                leads_index=leads_index,
                unique=unique,
            )
            for name, type_, oid, modifier, not_null, auto_increment, leads_index, unique in rows
        ]

    def refresh(self) -> None:
        # NOT NULL comes and goes with ALTER TABLE and is not part of what the protocol tells.
        self._not_null.clear()
        self._results.clear()

    def timestamp_sql(self, column: str) -> str:
        return column

    def now(self) -> int:
        ((micros,),) = self._select("SELECT (extract(epoch FROM CURRENT_TIMESTAMP) * 1000000)::int8", binary=True)
        return int(micros) * 1_000

    def check(self, query: str) -> None:
        cursor = self._connection.cursor()
        cursor.execute(f"EXPLAIN {query}")
        cursor.close()

    def end(self) -> None:
        self._connection.commit()

    def interrupt(self, connect: Callable[[], Any]) -> None:
        self._connection.cancel_safe(timeout=5.0)

    # --- rows --------------------------------------------------------------------------------------

    def open(self, query: Query, *, stream: bool) -> PostgreSqlRows:
        first, *rest = query.pieces()
        text = first + "".join(self._literal(param) + piece for param, piece in zip(query.params, rest, strict=True))
        cursor = self._connection.cursor(name=_CURSOR, binary=True) if stream else self._connection.cursor(binary=True)
        try:
            cursor.execute(text)
        except BaseException:
            cursor.close()
            raise
        return PostgreSqlRows(self, cursor)

    def columns_of(self, fields: tuple[Field, ...]) -> list[ResultColumn]:
        """What the columns of a result with these fields are."""
        known = self._results.get(fields)
        if known is None:
            known = self._results[fields] = self._recognise(fields)
        return known

    def _recognise(self, fields: tuple[Field, ...]) -> list[ResultColumn]:
        self._look_up_not_null({(field.table, field.column) for field in fields if field.table})
        self._look_up_types({field.oid for field in fields} - NAMES.keys() - self._types.keys())
        if self._columns is None:
            self._columns = Columns(self._settings, money_digits=self._money_digits())
        made = []
        for field in fields:
            name, textual = self._types.get(field.oid, ("", False))
            optional = not self._not_null.get((field.table, field.column), False)
            made.append(self._columns.column(field, optional=optional, textual=textual, type_name=name))
        return made

    def _look_up_not_null(self, origins: set[tuple[int, int]]) -> None:
        if not origins:
            return
        tables = sorted({table for table, _ in origins})
        for table, column, not_null in self._select(
            "SELECT a.attrelid::int8, a.attnum, a.attnotnull OR t.typnotnull FROM pg_catalog.pg_attribute a "
            "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE a.attrelid = ANY(%s::oid[])",
            (tables,),
        ):
            self._not_null[table, column] = not_null

    def _look_up_types(self, oids: set[int]) -> None:
        """Enums, and types of extensions that are text, such as citext."""
        if not oids:
            return
        for oid, name, textual in self._select(
            "SELECT oid::int8, typname::text, typtype = 'e' OR typcategory = 'S' "
            "FROM pg_catalog.pg_type WHERE oid = ANY(%s::oid[])",
            (sorted(oids),),
        ):
            self._types[oid] = (name, textual)

    def _money_digits(self) -> int:
        ((text,),) = self._select("SELECT '1'::money::numeric::text")
        return len(text.partition(".")[2])

    def _literal(self, param: int | Instant) -> str:
        if not isinstance(param, Instant):
            return str(param)
        # A zone goes with the clock: a timestamptz column compares instants, a timestamp column takes the
        # clock and passes the zone over.
        low, high = _LITERALS
        instant = param.nanos // 1_000
        wall = min(max(self._settings.zone.wall(instant), low), high)
        seconds = (wall - instant) // 1_000_000 if low < wall < high else 0
        sign = "-" if seconds < 0 else "+"
        hours, rest = divmod(abs(seconds), 3600)
        return f"'{sql_datetime(wall)}{sign}{hours:02d}:{rest // 60:02d}:{rest % 60:02d}'"

    def _select(self, sql: str, params: Sequence[Any] = (), *, binary: bool = False) -> list[Row]:
        cursor = self._connection.cursor(binary=binary)
        try:
            cursor.execute(sql, params or None)
            return list(cursor.fetchall())
        finally:
            cursor.close()


class PostgreSqlRows:
    """A running query."""

    def __init__(self, reader: PostgreSqlReader, cursor: Any) -> None:
        self._reader = reader
        self._cursor = cursor
        result = cursor.pgresult
        self._fields = tuple(
            Field(
                result.fname(index).decode(),
                result.ftype(index),
                result.fmod(index),
                result.ftable(index),
                result.ftablecol(index),
            )
            for index in range(result.nfields)
        )

    def fetch(self, count: int) -> list[Row]:
        return list(self._cursor.fetchmany(count))

    def columns(self, rows: Sequence[Row]) -> list[ResultColumn]:
        return self._reader.columns_of(self._fields)

    def close(self) -> None:
        self._cursor.close()


def _load_raw_values(connection: Any) -> None:
    """Have binary results bring times as integers, and what Connect does not know as bytes.

    The driver's own objects cannot hold infinity, years before 1 and 24:00, and it would parse types that
    are left out anyway.
    """
    from psycopg.pq import Format
    from psycopg.types.numeric import Int4BinaryLoader, Int8BinaryLoader
    from psycopg.types.string import ByteaBinaryLoader, TextBinaryLoader

    adapters = connection.adapters
    for info in adapters.types:
        for oid in (info.oid, info.array_oid):
            if oid and oid not in NAMES and adapters.get_loader(oid, Format.BINARY) is not None:
                adapters.register_loader(oid, ByteaBinaryLoader)
    for oid in (BIT, JSONB, TIMETZ, UUID_):
        adapters.register_loader(oid, ByteaBinaryLoader)
    for oid in (JSON, XML):
        adapters.register_loader(oid, TextBinaryLoader)
    for oid in (TIME, TIMESTAMP, TIMESTAMPTZ, MONEY):
        adapters.register_loader(oid, Int8BinaryLoader)
    adapters.register_loader(DATE, Int4BinaryLoader)


def _kind(oid: int, modifier: int) -> Kind:
    if is_exact_integer(oid, modifier):
        return Kind.INTEGER
    return Kind.TIMESTAMP if oid in (TIMESTAMP, TIMESTAMPTZ) else Kind.OTHER
