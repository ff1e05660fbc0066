"""What the source needs of a database, and how rows become structs, fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from syncline.connectors.jdbc.modes import Query
from syncline.connectors.jdbc.types import Convert, Target
from syncline.data import Schema, struct
from syncline.errors import ConnectError, DataError

Row = Sequence[Any]


class TableName(NamedTuple):
    """A table as its dialect names it."""

    qualifier: str | None
    """The database (MariaDB, MySQL) or the schema (PostgreSQL); None on SQLite."""
    name: str

    @property
    def full(self) -> str:
        """The unquoted full name: what offsets and the lists of tables go by."""
        return self.name if self.qualifier is None else f"{self.qualifier}.{self.name}"

    def quoted(self, quote: str) -> str:
        """The full name as SQL, with identifiers between `quote`; an empty `quote` quotes nothing."""
        parts = (self.name,) if self.qualifier is None else (self.qualifier, self.name)
        return ".".join(quoted(part, quote) for part in parts)


def quoted(identifier: str, quote: str) -> str:
    """An identifier as SQL."""
    return f"{quote}{identifier.replace(quote, quote * 2)}{quote}" if quote else identifier


def split_names(text: str, quote: str) -> list[TableName]:
    """The tables of a comma-separated list of quoted full names; the inverse of `TableName.quoted`."""
    names: list[TableName] = []
    parts: list[str] = []
    rest = text.strip()
    while rest:
        part, rest = _identifier(rest, quote)
        parts.append(part)
        rest = rest.lstrip()
        if rest.startswith("."):
            rest = rest[1:]
            continue
        if rest and not rest.startswith(","):
            raise ConnectError(f"The list of tables {text!r} cannot be read from {rest!r} on")
        *qualifier, name = parts
        names.append(TableName(".".join(qualifier) if qualifier else None, name))
        parts = []
        rest = rest[1:].lstrip()
    return names


def _identifier(text: str, quote: str) -> tuple[str, str]:
    if not text.startswith(quote):
        end = min((at for at in (text.find("."), text.find(",")) if at >= 0), default=len(text))
        return text[:end].strip(), text[end:]
    end = 1
    while True:
        end = text.find(quote, end)
        if end < 0:
            raise ConnectError(f"The list of tables has an identifier without its closing quote: {text!r}")
        if not text.startswith(quote, end + 1):
            return text[1:end].replace(quote * 2, quote), text[end + 1 :]
        end += 2


class Kind(Enum):
    """What a column could serve for in the incremental modes."""

    INTEGER = auto()
    """Whole numbers, also exact decimals without a fraction: an incrementing column."""
    TIMESTAMP = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column of a table, as the catalogue describes it."""

    name: str
    type: str
    """The database's own name of its type, for messages."""
    kind: Kind
    nullable: bool
    auto_increment: bool
    leads_index: bool
    """Some index begins with this column: rows in its order cost no sort."""
    unique: bool
    """No two rows have the same value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultColumn:
    """A column of a result, and what becomes of it."""

    label: str
    type: str
    """The database's own name of its type, for messages."""
    target: Target | None
    """None: Connect has no type for it, and it is left out."""
    instant: Convert | None = None
    """From the driver's value to microseconds since the epoch, where the column is a timestamp."""


class Rows(Protocol):
    """A running query."""

    def fetch(self, count: int) -> list[Row]:
        """The next rows, fewer than `count` only at the end. Raises the driver's errors, or Reread."""
        ...

    def columns(self, rows: Sequence[Row]) -> Sequence[ResultColumn]:
        """What the columns are; the same object as for the rows before when nothing changed.

        A dialect whose values decide about types looks at `rows`.
        """
        ...

    def close(self) -> None: ...


class Reader(Protocol):
    """Reads one database over one connection; raises the driver's errors."""

    quote: str
    """What encloses identifiers in generated SQL; empty for no quoting."""

    def tables(self, types: Iterable[str], catalog_pattern: str | None, schema_pattern: str | None) -> list[TableName]:
        """The tables of these types (upper case), system tables left out, in the driver's order."""
        ...

    def table_columns(self, table: TableName) -> list[TableColumn]:
        """The columns of a table; empty when there is no such table."""
        ...

    def refresh(self) -> None:
        """Look at what is known of results anew: a table is about to be read again."""
        ...

    def timestamp_sql(self, column: str) -> str:
        """An expression over a timestamp column that compares with instants."""
        ...

    def now(self) -> int:
        """The database's clock, nanoseconds since the epoch."""
        ...

    def open(self, query: Query, *, stream: bool) -> Rows:
        """Run `query`. With `stream` the result may be of any size and is never held as a whole."""
        ...

    def check(self, query: str) -> None:
        """Have the database check a SELECT without running it."""
        ...

    def end(self) -> None:
        """End the transaction, so that none stays open between polls."""
        ...


class Reread(Exception):  # a word of the protocol between Rows and the task, never an outcome
    """The driver cannot represent a value; the same query asked again will bring it another way."""


class Layout:
    """How the rows of one result become structs, and where the offset columns stand."""

    def __init__(self, columns: Sequence[ResultColumn], name: str | None) -> None:
        kept = [(index, column) for index, column in enumerate(columns) if column.target is not None]
        twice = [label for label, count in Counter(c.label for _, c in kept).items() if count > 1]
        if twice:
            raise DataError(f"Column {twice[0]} occurs more than once; give the others names with AS")
        self.columns = columns
        self.schema: Schema = struct(
            [(column.label, column.target.schema) for _, column in kept if column.target is not None],
            name=name,
        )
        self.skipped = [column for column in columns if column.target is None]
        self._make = self.schema.struct_class
        self._attributes = [field.attribute for field in self.schema.fields]
        self._pick: Callable[[Row], Row] | None = None
        if self.skipped:
            self._pick = _picker([index for index, _ in kept])
        self._conversions = [
            (attribute, column, column.target.convert, not column.target.schema.optional)
            for attribute, (_, column) in zip(self._attributes, kept, strict=True)
            if column.target is not None and column.target.convert is not None
        ]

    def index(self, label: str, *, any_case: bool) -> int:
        """Where the column called `label` stands in a row; with `any_case` its case is the second choice.

        Raises DataError when there is none, or more than one.
        """
        found = [at for at, column in enumerate(self.columns) if column.label == label]
        if not found and any_case:
            found = [at for at, column in enumerate(self.columns) if column.label.lower() == label.lower()]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"Column {label} is ambiguous: {len(found)} columns have that name")
        labels = ",".join(column.label for column in self.columns)
        raise DataError(f"Column {label} not found in {labels}")

    def values(self, rows: Sequence[Row]) -> list[Any]:
        """The structs of `rows`; DataError names the row and the column that has no Connect value."""
        if self._pick is not None:
            rows = list(map(self._pick, rows))
        attributes = self._attributes
        made = [dict(zip(attributes, row, strict=False)) for row in rows]
        for attribute, column, convert, required in self._conversions:
            for fields in made:
                value = fields[attribute]
                if value is not None:
                    try:
                        value = fields[attribute] = convert(value)
                    except (ValueError, TypeError, OverflowError) as exc:
                        raise DataError(self._complaint(column, fields[attribute], fields, str(exc))) from exc
                if required and value is None:
                    raise DataError(self._complaint(column, None, fields, "no value in a column that is NOT NULL"))
        make = self._make
        return [make(**fields) for fields in made]

    def _complaint(self, column: ResultColumn, value: Any, fields: dict[str, Any], why: str) -> str:
        first = next(iter(fields.values()), None)
        return (
            f"Column {column.label} ({column.type}) of {self.schema.name or 'the query'} has the value "
            f"{_short(value)} in the row that begins with {_short(first)}: {why}. "
            f"Convert it in a query, or leave it out"
        )


def _picker(indexes: Sequence[int]) -> Callable[[Row], Row]:
    if not indexes:
        return lambda row: ()
    if len(indexes) == 1:
        only = indexes[0]
        return lambda row: (row[only],)
    return itemgetter(*indexes)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
