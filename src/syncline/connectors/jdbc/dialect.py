"""What a database is to the connectors: a driver, quoting, types, statements, and how it says no."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from syncline.connectors.jdbc.moments import Zone, zone_of
from syncline.connectors.jdbc.tables import Table, TableId, split_name
from syncline.connectors.jdbc.url import JdbcUrl
from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, Type
from syncline.errors import ConfigError, SqlError


class Refusal(Enum):
    """Why a database refused a statement, and so what to do about it."""

    AWAY = "away"
    """The connection is gone or the server is not ready: try again, with a new connection."""
    BUSY = "busy"
    """Deadlock, lock timeout, serialisation failure: try again."""
    DATA = "data"
    """The values are bad; other rows may be fine."""
    SCHEMA = "schema"
    """Missing table or column, wrong statement, no permission: trying again does not help."""


class Refused(SqlError):
    """A refusal with its kind; carries SQLSTATE and vendor code like every SqlError."""

    def __init__(self, message: str, kind: Refusal, *, state: str | None = None, code: int | None = None) -> None:
        super().__init__(message, state=state, code=code)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to connect."""

    url: JdbcUrl
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    properties: Mapping[str, str] = field(default_factory=dict)
    """Further `connection.*` keys, without the prefix."""
    timezone: Zone = field(default_factory=lambda: zone_of("UTC"))
    isolation: str | None = None
    """`READ COMMITTED` and so on; None for the database's default."""
    timeout: int = 40
    """Seconds a connection may take."""

    def option(self, *names: str) -> str | None:
        """A driver option, given in the URL or as `connection.<name>`."""
        for name in names:
            for place in (self.url.options, self.properties):
                if name in place:
                    return place[name]
        return None


class BindAs(Enum):
    """What kind of SQL value a column's values are once bound."""

    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    BYTES = "bytes"
    DECIMAL = "decimal"
    MOMENT = "moment"
    """Dates and times: text in SQL's form, or integers where the dialect stores them so."""
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Bound:
    """One column of rows to write: its name, its kind, and a value per row."""

    name: str
    kind: BindAs
    values: list[Any]
    cast: str = ""
    """Type the database must be told, such as `uuid`."""


LOGICAL: Final = frozenset({DATE, TIME, TIMESTAMP})


def bind_kind(schema: Schema) -> BindAs:
    """What kind of SQL value a Connect value of `schema` is; ConnectError-free: unknown ones raise LookupError."""
    if schema.name == DECIMAL:
        return BindAs.DECIMAL
    if schema.name in LOGICAL:
        return BindAs.MOMENT
    return _KINDS[schema.type]


_KINDS: Final[Mapping[Type, BindAs]] = {
    **dict.fromkeys((Type.INT8, Type.INT16, Type.INT32, Type.INT64), BindAs.INTEGER),
    **dict.fromkeys((Type.FLOAT32, Type.FLOAT64), BindAs.FLOAT),
    Type.BOOLEAN: BindAs.BOOLEAN,
    Type.STRING: BindAs.TEXT,
    Type.BYTES: BindAs.BYTES,
    Type.ARRAY: BindAs.ARRAY,
}


class Dialect(ABC):
    """One kind of database. Stateless; what a connection needs travels with it."""

    name: str
    """As `dialect.name` knows it."""
    subprotocols: tuple[str, ...]
    quote_mark: str
    max_identifier: int = 128
    one_add_per_alter: bool = False
    """ALTER TABLE takes one new column at a time."""
    max_parts: int = 2
    """Parts a table name may have."""
    epoch_type: str = "TIMESTAMP"
    """Type of a new column for a field of `timestamp.fields.list`."""
    moments_as_integers: bool = False
    """Dates and times are stored as integers, as the JDBC driver does."""

    # -- connections --------------------------------------------------------------------------

    @abstractmethod
    def connect(self, settings: Settings) -> Any:
        """A new DB-API connection, autocommit off, with the session settled. Raises Refused."""

    @abstractmethod
    def refusal(self, error: Exception) -> Refused | None:
        """A driver's error as ours; None for errors that are not the driver's."""

    def alive(self, connection: Any) -> bool:
        """Whether a connection still answers."""
        try:
            cursor = connection.cursor()
            cursor.execute("SELECT 1")
            cursor.fetchall()
            cursor.close()
        except Exception as exc:
            if self.refusal(exc) is None:
                raise
            return False
        return True

    @contextmanager
    def refusing(self, what: str = "") -> Iterator[None]:
        """Turn driver errors inside into Refused."""
        try:
            yield
        except Exception as exc:
            refused = self.refusal(exc)
            if refused is None:
                raise
            raise refused from None

    # -- names --------------------------------------------------------------------------------

    def quote(self, identifier: str, *, quoting: bool = True) -> str:
        """An identifier as SQL writes it."""
        if not quoting:
            return identifier
        mark = self.quote_mark
        return f"{mark}{identifier.replace(mark, mark * 2)}{mark}"

    def parse_table(self, text: str) -> TableId:
        """The table a name means; ConfigError when it has too many parts."""
        parts = split_name(text.strip(), self.quote_mark)
        if len(parts) > self.max_parts:
            raise ConfigError(f"table name {text!r} has {len(parts)} parts; {self.name} knows {self.max_parts}")
        return self.table_id(parts)

    def table_id(self, parts: Sequence[str]) -> TableId:
        """A TableId from the parts of a dotted name."""
        return TableId(parts[-1], *reversed(parts[:-1]))

    def qualified(self, table: TableId, *, quoting: bool = True) -> str:
        """The table's name as SQL writes it."""
        parts = [part for part in (table.catalog, table.schema, table.name) if part]
        return ".".join(self.quote(part, quoting=quoting) for part in parts)

    # -- tables -------------------------------------------------------------------------------

    @abstractmethod
    def table(self, cursor: Any, table: TableId) -> Table | None:
        """The definition of an existing table or view."""

    @abstractmethod
    def column_type(self, schema: Schema, *, key: bool) -> str:
        """The type of a new column; LookupError when there is none."""

    def literal(self, schema: Schema, value: Any) -> str:
        """A default as a literal of this database; LookupError when it cannot be written."""
        kind = bind_kind(schema)
        if kind in (BindAs.INTEGER, BindAs.FLOAT, BindAs.DECIMAL):
            return str(value)
        if kind is BindAs.BOOLEAN:
            return "1" if value else "0"
        if kind is BindAs.BYTES:
            return f"x'{value.hex()}'"
        if kind is BindAs.TEXT:
            return "'" + str(value).replace("'", "''") + "'"
        raise LookupError(kind)

    # -- writing ------------------------------------------------------------------------------

    @abstractmethod
    def insert(self, cursor: Any, table: str, columns: Sequence[Bound]) -> None:
        """Insert rows; all or none."""

    @abstractmethod
    def upsert(self, cursor: Any, table: str, keys: Sequence[Bound], others: Sequence[Bound], *, quoting: bool) -> None:
        """Insert rows or update those whose key is there; no key occurs twice."""

    def update(self, cursor: Any, table: str, keys: Sequence[Bound], others: Sequence[Bound], *, quoting: bool) -> None:
        """Update rows by key; a row that is not there is left out."""
        assignments = ", ".join(f"{self.quote(c.name, quoting=quoting)} = {self.mark(c)}" for c in others)
        self._each(cursor, f"UPDATE {table} SET {assignments} WHERE {self._where(keys, quoting)}", [*others, *keys])

    def delete(self, cursor: Any, table: str, keys: Sequence[Bound], *, quoting: bool) -> None:
        """Delete rows by key; one that is not there does no harm."""
        self._each(cursor, f"DELETE FROM {table} WHERE {self._where(keys, quoting)}", keys)

    def _where(self, keys: Sequence[Bound], quoting: bool) -> str:
        return " AND ".join(f"{self.quote(key.name, quoting=quoting)} = {self.mark(key)}" for key in keys)

    def _each(self, cursor: Any, sql: str, columns: Sequence[Bound]) -> None:
        cursor.executemany(sql, list(zip(*(column.values for column in columns), strict=True)))

    def mark(self, column: Bound) -> str:
        """The placeholder for a value of the column."""
        return "%s"

    def names(self, columns: Sequence[Bound], *, quoting: bool) -> str:
        """The columns' names with commas between."""
        return ",".join(self.quote(column.name, quoting=quoting) for column in columns)

    # -- transactions -------------------------------------------------------------------------

    def savepoint(self, cursor: Any) -> None:
        """Mark a place in the transaction to come back to."""
        cursor.execute("SAVEPOINT chunk")

    def undo(self, cursor: Any) -> None:
        """Go back to the savepoint."""
        cursor.execute("ROLLBACK TO SAVEPOINT chunk")
