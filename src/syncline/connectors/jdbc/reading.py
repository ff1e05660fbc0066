"""What the source needs of a database, and how rows become structs, fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
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

    def interrupt(self, connect: Callable[[], Any]) -> None:
        """Stop the query that is running, if one is; called from another thread.

        `connect` opens a second connection, for databases that take such a wish from there only.
        """
        ...


class Reread(Exception):  # a word of the protocol between Rows and the task, never an outcome
    """The driver cannot represent a value; the same query asked again will bring it another way."""


class Layout:
    """How the rows of one result become structs, and where the offset columns stand."""

    def __init__(self, columns: Sequence[ResultColumn], name: str | None, *, without: str | None = None) -> None:
        kept = [
            (index, column, column.target)
            for index, column in enumerate(columns)
            if column.target is not None and column.label != without
        ]
        twice = [label for label, count in Counter(column.label for _, column, _ in kept).items() if count > 1]
        if twice:
            raise DataError(f"Column {twice[0]} occurs more than once; give the others names with AS")
        self.columns = columns
        self.schema: Schema = struct([(column.label, target.schema) for _, column, target in kept], name=name)
        self.skipped = [column for column in columns if column.target is None]
        targets = {
            index: (field.attribute, target) for (index, _, target), field in zip(kept, self.schema.fields, strict=True)
        }
        self._conversions = {
            index: target.convert if target.schema.optional else _required(target.convert)
            for index, (_, target) in targets.items()
            if target.convert is not None
        }
        self._build = _builder(self.schema.struct_class, len(columns), targets, self._conversions)

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
        try:
            return self._build(rows)
        except (ValueError, TypeError, OverflowError) as exc:
            raise self._culprit(rows) or exc from None

    def _culprit(self, rows: Sequence[Row]) -> DataError | None:
        """The first value that cannot be converted, as an error."""
        for row in rows:
            for index, convert in self._conversions.items():
                column = self.columns[index]
                optional = column.target is not None and column.target.schema.optional
                if optional and row[index] is None:
                    continue
                try:
                    convert(row[index])
                except (ValueError, TypeError, OverflowError) as exc:
                    error = DataError(
                        f"Column {column.label} ({column.type}) of {self.schema.name or 'the query'} has the value "
                        f"{_short(row[index])} in the row that begins with {_short(row[0])}: {exc}. "
                        f"Convert it in a query, or leave it out"
                    )
                    error.__cause__ = exc
                    return error
        return None


def _required(convert: Convert) -> Convert:
    """`convert` for a column that is NOT NULL; zero dates make None of a value all the same."""

    def converted(value: Any) -> Any:
        found = None if value is None else convert(value)
        if found is None:
            raise ValueError("no value in a column that is NOT NULL")
        return found

    return converted


def _builder(
    make: Any, width: int, targets: Mapping[int, tuple[str, Target]], conversions: Mapping[int, Convert]
) -> Callable[[Sequence[Row]], list[Any]]:
    """A function from rows to structs, for columns (by index) to attributes of the class `make`.

    It is compiled, as namedtuple and dataclass compile theirs: one call with keywords a row, where a
    dictionary a row would cost four times as much, and most of what reading a row costs at all. The text
    is made of numbers and of attribute names, which are identifiers.
    """
    known: dict[str, Any] = {"make": make}
    arguments = []
    for index, (attribute, target) in targets.items():
        value = f"v{index}"
        if index in conversions:
            known[f"f{index}"] = conversions[index]
            value = f"f{index}(v{index})"
            if target.schema.optional:
                value = f"None if v{index} is None else {value}"
        if attribute.isascii():
            arguments.append(f"{attribute}={value}")
        else:
            # The compiler would normalise it, and the class has it as it is.
            known[f"n{index}"] = attribute
            arguments.append(f"**{{n{index}: {value}}}")
    row = ", ".join(f"v{index}" for index in range(width))
    text = f"lambda {', '.join(known)}: lambda rows: [make({', '.join(arguments)}) for {row}, in rows]"
    compiled = eval(text, {"__builtins__": {}})  # noqa: S307  # see above
    build: Callable[[Sequence[Row]], list[Any]] = compiled(**known)
    return build


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
