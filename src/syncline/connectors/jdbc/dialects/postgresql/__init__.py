"""PostgreSQL, through psycopg 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from syncline.connectors.jdbc.dialect import BindAs, Bound, Dialect, Refusal, Refused, Settings, bind_kind
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId
from syncline.data import DATE, DECIMAL, TIME, Schema, Type
from syncline.errors import ConfigError

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
_ELEMENTS: Final = frozenset(_TYPES) - {Type.BYTES}
_KINDS: Final = {"r": Kind.TABLE, "v": Kind.VIEW, "m": Kind.VIEW, "p": Kind.PARTITIONED, "f": Kind.TABLE}
_CAST: Final = frozenset({"uuid", "json", "jsonb", "inet", "cidr", "xml", "interval"})


class PostgreSql(Dialect):
    """COPY for rows; for upserts COPY into a temporary table and one statement from there."""

    name = "PostgreSqlDatabaseDialect"
    subprotocols = ("postgresql",)
    quote_mark = '"'
    max_identifier = 63
    max_parts = 3

    # -- connections --------------------------------------------------------------------------

    def connect(self, settings: Settings) -> Any:
        try:
            import psycopg
        except ImportError as exc:
            raise ConfigError(
                {"connection.url": ["no driver for PostgreSQL is installed: pip install 'syncline[postgresql]'"]}
            ) from exc
        url = settings.url
        options: dict[str, Any] = {
            "host": url.host,
            "port": url.port or 5432,
            "dbname": url.database or settings.user,
            "user": settings.user or settings.option("user"),
            "password": settings.password or settings.option("password"),
            "connect_timeout": settings.timeout,
            "application_name": settings.option("ApplicationName") or "syncline",
            "keepalives_idle": 30,
        }
        for java, ours in (("sslmode", "sslmode"), ("sslrootcert", "sslrootcert"), ("sslcert", "sslcert")):
            value = settings.option(java)
            if value is not None:
                options[ours] = value
        with self.refusing():
            connection = psycopg.connect(**{key: value for key, value in options.items() if value is not None})
            # What is written is wall clock text of db.timezone; a zone-aware column must read it so.
            connection.execute("SELECT set_config('TimeZone', %s, false)", (_zone(settings),))
            schema = settings.option("currentSchema")
            if schema:
                connection.execute("SELECT set_config('search_path', %s, false)", (schema,))
            if settings.isolation:
                connection.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {settings.isolation}")
            connection.commit()
        return connection

    def refusal(self, error: Exception) -> Refused | None:
        import psycopg

        if not isinstance(error, psycopg.Error):
            return None
        state = error.sqlstate
        group = (state or "")[:2]
        if state is None:
            away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
            kind = Refusal.AWAY if away else Refusal.DATA
        elif group in ("08", "57", "58", "53"):
            kind = Refusal.AWAY
        elif group in ("40", "25") or state in ("55P03", "55006"):
            kind = Refusal.BUSY
        elif group in ("22", "23", "44", "P0", "21"):
            kind = Refusal.DATA
        else:
            kind = Refusal.SCHEMA
        return Refused(str(error).strip(), kind, state=state)

    # -- tables -------------------------------------------------------------------------------

    def parse_table(self, text: str) -> TableId:
        table = super().parse_table(text)
        # The server cuts longer names itself, with a notice nobody reads.
        return TableId(_cut(table.name), table.schema, table.catalog)

    def table(self, cursor: Any, table: TableId) -> Table | None:
        cursor.execute(
            "SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname = %s "
            "AND CASE WHEN %s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %s END "
            "AND c.relkind IN ('r','v','m','p','f')",
            (table.name, table.schema, table.schema),
        )
        found = cursor.fetchone()
        if found is None:
            return None
        cursor.execute(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, "
            "COALESCE(a.attnum = ANY(i.indkey), false) FROM pg_attribute a "
            "LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
            "WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (found[0],),
        )
        columns = tuple(Column(name, kind.lower(), nullable, primary) for name, kind, nullable, primary in cursor)
        kind = found[1].decode() if isinstance(found[1], bytes) else found[1]
        return Table(table, _KINDS[kind], columns)

    def column_type(self, schema: Schema, *, key: bool) -> str:
        if schema.name == DECIMAL:
            return "DECIMAL"
        if bind_kind(schema) is BindAs.MOMENT:
            return "DATE" if schema.name == DATE else "TIME" if schema.name == TIME else "TIMESTAMP"
        if schema.type is Type.ARRAY:
            inner = schema.value_schema
            if inner is None or inner.type not in _ELEMENTS or inner.name is not None:
                raise LookupError(schema.type)
            return f"{_TYPES[inner.type]}[]"
        return _TYPES[schema.type]

    def literal(self, schema: Schema, value: Any) -> str:
        kind = bind_kind(schema)
        if kind is BindAs.BOOLEAN:
            return "TRUE" if value else "FALSE"
        if kind is BindAs.BYTES:
            return f"'\\x{value.hex()}'"
        if kind is BindAs.ARRAY and schema.value_schema is not None:
            inner = schema.value_schema
            entries = ",".join(self.literal(inner, entry) for entry in value)
            return f"ARRAY[{entries}]::{self.column_type(schema, key=False)}"
        return super().literal(schema, value)

    # -- writing ------------------------------------------------------------------------------

    def mark(self, column: Bound) -> str:
        return f"%s::{column.cast}" if column.cast else "%s"

    def insert(self, cursor: Any, table: str, columns: Sequence[Bound]) -> None:
        self._copy(cursor, table, columns)

    def upsert(self, cursor: Any, table: str, keys: Sequence[Bound], others: Sequence[Bound], *, quoting: bool) -> None:
        columns = [*keys, *others]
        names = self.names(columns, quoting=quoting)
        sets = ",".join(
            f"{self.quote(c.name, quoting=quoting)}=EXCLUDED.{self.quote(c.name, quoting=quoting)}" for c in others
        )
        action = f"DO UPDATE SET {sets}" if others else "DO NOTHING"
        conflict = self.names(keys, quoting=quoting)
        if len(columns[0].values) < 50:
            marks = ",".join(self.mark(column) for column in columns)
            cursor.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({conflict}) {action}",
                list(zip(*(column.values for column in columns), strict=True)),
            )
            return
        cursor.execute("DROP TABLE IF EXISTS pg_temp.syncline_rows")
        cursor.execute(
            f"CREATE TEMPORARY TABLE syncline_rows ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA"
        )
        self._copy(cursor, "pg_temp.syncline_rows", columns, quoting=quoting)
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {names} FROM pg_temp.syncline_rows ON CONFLICT ({conflict}) {action}"
        )

    def _copy(self, cursor: Any, table: str, columns: Sequence[Bound], *, quoting: bool = True) -> None:
        with cursor.copy(f"COPY {table} ({self.names(columns, quoting=quoting)}) FROM STDIN") as copy:
            lines = map("\t".join, zip(*(_fields(column) for column in columns), strict=True))
            copy.write("\n".join(lines) + "\n")


def cast_of(column_type: str) -> str:
    """The type a text value must be cast to for a column; empty where the database casts by itself."""
    base = column_type.partition("(")[0]
    return base if base in _CAST else ""


def _cut(name: str) -> str:
    raw = name.encode()
    return name if len(raw) <= 63 else raw[:63].decode(errors="ignore")


def _zone(settings: Settings) -> str:
    zone = settings.timezone
    return "UTC" if zone.is_utc else zone.id


def _fields(column: Bound) -> list[str]:
    kind = column.kind
    if kind in (BindAs.TEXT, BindAs.MOMENT):
        return ["\\N" if value is None else _escaped(value) for value in column.values]
    if kind is BindAs.BYTES:
        return ["\\N" if value is None else "\\\\x" + value.hex() for value in column.values]
    if kind is BindAs.BOOLEAN:
        return ["\\N" if value is None else "t" if value else "f" for value in column.values]
    if kind is BindAs.ARRAY:
        return ["\\N" if value is None else _escaped(_array(value)) for value in column.values]
    return ["\\N" if value is None else str(value) for value in column.values]


def _escaped(text: str) -> str:
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return text


def _array(values: list[Any]) -> str:
    return "{" + ",".join(_element(value) for value in values) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


POSTGRESQL: Final = PostgreSql()
