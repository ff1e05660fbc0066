"""Names and definitions of tables."""

from __future__ import annotations

from collections.abc import Iterable
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

    def __str__(self) -> str:
        return ".".join(part for part in (self.catalog, self.schema, self.name) if part)


def split_name(text: str, quote: str) -> list[str]:
    """The parts of a dotted name; a part in `quote`s may hold dots.

    Raises ConfigError when a quote is never closed or a part is empty.
    """
    parts: list[str] = []
    rest = text
    while True:
        if rest.startswith(quote):
            end = rest.find(quote, 1)
            if end < 0:
                raise ConfigError(f"table name {text!r}: a quote is never closed")
            part, rest = rest[1:end], rest[end + 1 :]
        else:
            part, dot, after = rest.partition(".")
            rest = dot + after
        if not part:
            raise ConfigError(f"table name {text!r} has an empty part")
        parts.append(part)
        if not rest:
            return parts
        if not rest.startswith("."):
            raise ConfigError(f"table name {text!r}: text after a closing quote")
        rest = rest[1:]


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


@dataclass(frozen=True, slots=True)
class Table:
    """An existing table."""

    id: TableId
    kind: Kind
    columns: tuple[Column, ...]
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

    def missing(self, names: Iterable[str]) -> list[str]:
        """The names that are no columns."""
        return [name for name in names if self.column(name) is None]
