"""Names and definitions of tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from syncline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TableId:
    """A table's name; parts that are not given are those of the connection."""

    name: str
    schema: str | None = None
    """PostgreSQL's schema; the attached database on SQLite."""
    catalog: str | None = None
    """The database on MariaDB and MySQL."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are given, the table last."""
        return tuple(part for part in (self.catalog, self.schema, self.name) if part)

    def __str__(self) -> str:
        return ".".join(self.parts)


def split_name(text: str, quote: str) -> list[str]:
    """The parts of a dotted name; a part in `quote`s may hold dots, and the quote itself doubled.

    Raises ConfigError when a quote is never closed or a part is empty.
    """
    parts: list[str] = []
    rest = text
    while True:
        part, rest = _quoted(text, rest, quote) if rest.startswith(quote) else _plain(rest)
        if not part:
            raise ConfigError(f"table name {text!r} has an empty part")
        parts.append(part)
        if not rest:
            return parts
        if not rest.startswith("."):
            raise ConfigError(f"table name {text!r}: text after a closing quote")
        rest = rest[1:]


def _plain(text: str) -> tuple[str, str]:
    part, dot, rest = text.partition(".")
    return part, dot + rest


def _quoted(whole: str, text: str, quote: str) -> tuple[str, str]:
    start = 1
    while True:
        end = text.find(quote, start)
        if end < 0:
            raise ConfigError(f"table name {whole!r}: a quote is never closed")
        if not text.startswith(quote, end + 1):
            return text[1:end].replace(quote * 2, quote), text[end + 1 :]
        start = end + 2


class Kind(StrEnum):
    """Kinds of tables, named as `table.types` names them."""

    TABLE = "TABLE"
    VIEW = "VIEW"
    PARTITIONED = "PARTITIONED TABLE"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an existing table."""

    name: str
    type: str
    """In the database's own words, lower case."""
    nullable: bool
    primary: bool = False
    instant: bool = False
    """Holds a point in time, which is written as UTC, rather than what a clock showed in `db.timezone`."""


@dataclass(frozen=True, slots=True)
class Table:
    """An existing table."""

    id: TableId
    kind: Kind
    columns: tuple[Column, ...]
    transactional: bool = True
    """Whether what was written can be taken back."""
    unique: tuple[frozenset[str], ...] | None = None
    """The columns that are unique together, of each such index, the primary key included; None where it does not matter
    because an upsert says which index it means."""
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {column.name: column for column in self.columns})

    def column(self, name: str) -> Column | None:
        """The column of that name; in another letter case if there is no exact one."""
        exact = self._by_name.get(name)
        if exact is not None:
            return exact
        folded = name.lower()
        return next((column for column in self.columns if column.name.lower() == folded), None)
