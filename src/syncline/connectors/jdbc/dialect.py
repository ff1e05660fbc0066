"""What a database is to the connectors: a driver, quoting, types, statements, and how it says no."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from syncline.connectors.jdbc.bound import BindAs, Bound, bind_kind
from syncline.connectors.jdbc.refusal import Refusal, Refused
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.tables import Table, TableId, split_name
from syncline.data import Schema
from syncline.errors import ConfigError

__all__ = [
    "BindAs",
    "Bound",
    "Capabilities",
    "Dialect",
    "Operation",
    "Refusal",
    "Refused",
    "RowWriter",
    "Settings",
    "Target",
    "Write",
    "bind_kind",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What differs between databases and is no statement."""

    name_parts: int = 2
    """Parts a table's name may have."""
    adds_many: bool = True
    """ALTER TABLE takes several new columns at once."""
    epoch_type: str = "TIMESTAMP"
    """Type of a new column for a field of `timestamp.fields.list`."""
    moments_as_integers: bool = False
    """Dates and times are stored as milliseconds, as the JDBC driver does."""
    arrays: bool = False
    """Columns may hold arrays."""
    exact_text_keys: bool = False
    """Two texts are the same key only when they are the same text; otherwise a collation decides."""
    folds_unquoted: bool = False
    """Names that are not quoted are meant in lower case."""


class Operation(StrEnum):
    """What is done with rows."""

    INSERT = "insert"
    UPSERT = "upsert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which columns of which table are written; names as the table has them."""

    table: Table
    keys: tuple[str, ...]
    others: tuple[str, ...]
    version: str | None = None
    """Of `others`: a row is overwritten only by one whose value here is not lower."""


Write = Callable[[Sequence[Bound]], None]
"""Writes rows, given as columns: the target's keys, then, except for DELETE, its others. All or none within a
savepoint; raises the driver's errors, and DataError for values that cannot be written. For UPSERT and DELETE no
key occurs twice."""


class RowWriter(ABC):
    """What the sink does on one connection. Made anew for each connection, so it may remember what it prepared."""

    @abstractmethod
    def table(self, table: TableId) -> Table | None:
        """The definition of an existing table or view."""

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Run a statement without values and without rows: DDL."""

    @abstractmethod
    def prepare(self, operation: Operation, target: Target) -> Write:
        """How to do `operation` on `target`; may create temporary tables, so it is called between transactions."""

    def table_options(self) -> str:
        """What follows the closing bracket of CREATE TABLE."""
        return ""

    def begin(self) -> None:  # noqa: B027  # most drivers do so by themselves
        """Open a transaction, unless the driver does with the first statement."""

    def savepoint(self) -> None:
        """Mark a place in the transaction to come back to; there is one at a time."""
        self.execute("SAVEPOINT syncline")

    def release(self) -> None:
        """Forget the savepoint and keep what was written since."""
        self.execute("RELEASE SAVEPOINT syncline")

    def undo(self) -> None:
        """Take back what was written since the savepoint, and forget it."""
        self.execute("ROLLBACK TO SAVEPOINT syncline")
        self.execute("RELEASE SAVEPOINT syncline")


KEY_LENGTH: Final = 255
"""Characters of a text in a key, where a length must be given."""
_PLAIN: Final = re.compile(r"[^\W\d][\w$]*")


class Dialect(ABC):
    """One kind of database. Stateless: what belongs to a connection is in its RowWriter."""

    name: str
    """As `dialect.name` knows it."""
    subprotocols: tuple[str, ...]
    quote_mark: str
    capabilities: Capabilities

    # -- connections --------------------------------------------------------------------------

    @abstractmethod
    def connect(self, settings: Settings) -> Any:
        """A new DB-API connection, autocommit off, with the session settled.

        Raises Refused, and ConfigError when a driver is missing or an option cannot be used.
        """

    @abstractmethod
    def rows(self, connection: Any) -> RowWriter:
        """The sink's hand on a connection that `connect` made."""

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
            connection.rollback()
        except Exception as exc:
            if self.refusal(exc) is None:
                raise
            return False
        return True

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn driver errors inside into Refused."""
        try:
            yield
        except Refused:
            raise
        except UnicodeEncodeError as exc:
            raise Refused(f"text that is no valid Unicode cannot be stored: {exc.reason}", Refusal.DATA) from None
        except Exception as exc:
            refused = self.refusal(exc)
            if refused is None:
                raise
            raise refused from None

    # -- names --------------------------------------------------------------------------------

    def quote(self, identifier: str, *, quoting: bool = True) -> str:
        """An identifier as SQL writes it; without `quoting` only where it would not be one otherwise."""
        if not quoting and _PLAIN.fullmatch(identifier):
            return identifier
        mark = self.quote_mark
        return f"{mark}{identifier.replace(mark, mark * 2)}{mark}"

    def listed(self, identifiers: Sequence[str]) -> str:
        """Quoted identifiers with commas between."""
        return ",".join(map(self.quote, identifiers))

    def parse_table(self, text: str, *, quoting: bool = True) -> TableId:
        """The table a name means; ConfigError when it has too many parts."""
        parts = split_name(text.strip(), self.quote_mark)
        if len(parts) > self.capabilities.name_parts:
            raise ConfigError(
                f"table name {text!r} has {len(parts)} parts and a name has at most {self.capabilities.name_parts} "
                f"here; put a part that holds dots in {self.quote_mark}...{self.quote_mark}"
            )
        if not quoting and self.capabilities.folds_unquoted:
            parts = [*parts[:-1], parts[-1].lower()]
        return self.table_id(parts)

    def table_id(self, parts: Sequence[str]) -> TableId:
        """A TableId from the parts of a dotted name."""
        return TableId(parts[-1], *reversed(parts[:-1]))

    def qualified(self, table: TableId, *, quoting: bool = True) -> str:
        """The table's name as SQL writes it."""
        return ".".join(self.quote(part, quoting=quoting) for part in table.parts)

    # -- definitions --------------------------------------------------------------------------

    @abstractmethod
    def column_type(self, schema: Schema, *, key: bool, longest: int = KEY_LENGTH) -> str:
        """The type of a new column; LookupError when there is none. `longest` is how many characters a key may have."""

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
