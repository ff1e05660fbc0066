"""Tables and rows, read through SQLAlchemy in short transactions; nothing is ever written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, MetaData, Table, func, inspect, select, type_coerce
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError
from sqlalchemy.types import NullType

from syncline.errors import ConnectError, NotFound, SynclineError

ROWS_A_PAGE: Final = 50
MOST_COUNTED: Final = 10_000
"""Beyond it a table is said to have more; counting millions of rows would keep the database busy for nothing."""

Begin = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as the list of tables shows it."""

    name: str
    rows: str
    """How many, or `10,000+`."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a table, in the order of its primary key."""

    columns: Sequence[tuple[str, str]]
    """Names and types."""
    rows: Sequence[Sequence[Any]]
    first: int
    """Of the first row, counted from 0."""
    more: bool


class Databases:
    """The databases to look at, by the names the user gave them."""

    def __init__(self, databases: Mapping[str, tuple[str, Begin]]) -> None:
        """Name to the URL as it may be shown, and what begins a transaction."""
        self._databases = databases

    @property
    def shown(self) -> dict[str, str]:
        """Name to URL without its password."""
        return {name: url for name, (url, _) in self._databases.items()}

    def tables(self, name: str) -> list[TableFacts]:
        """The tables and views, by name. NotFound, or ConnectError when the database does not answer."""
        with self._begin(name) as connection:
            looked_at = inspect(connection)
            names = sorted({*looked_at.get_table_names(), *looked_at.get_view_names()})
            return [TableFacts(table, _counted(connection, _table(connection, table))) for table in names]

    def rows(self, name: str, table: str, first: int) -> Page:
        """The rows of a table from `first` on. NotFound, ConnectError."""
        with self._begin(name) as connection:
            found = _table(connection, table)
            order = list(found.primary_key.columns) or list(found.columns)[:1]
            # As the driver has them: what stands in a column need not be what its declared type promises.
            values = [type_coerce(column, NullType()) for column in found.columns]
            query = select(*values).order_by(*order).offset(first).limit(ROWS_A_PAGE + 1)
            rows = [tuple(row) for row in connection.execute(query)]
        columns = [(column.name, str(column.type)) for column in found.columns]
        return Page(columns, rows[:ROWS_A_PAGE], first, len(rows) > ROWS_A_PAGE)

    def _begin(self, name: str) -> _Asked:
        if name not in self._databases:
            raise NotFound(f"There is no database called {name!r} here")
        return _Asked(self._databases[name][1]())


class _Asked:
    """A transaction whose errors are the console's own."""

    def __init__(self, transaction: AbstractContextManager[Connection]) -> None:
        self._transaction = transaction

    def __enter__(self) -> Connection:
        return self._transaction.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._transaction.__exit__(kind, error, trace)
        if isinstance(error, NoSuchTableError):
            raise NotFound(f"There is no table called {error} here") from error
        if isinstance(error, SQLAlchemyError) and not isinstance(error, SynclineError):
            raise ConnectError(f"The database cannot be read: {type(error).__name__}") from error


def _table(connection: Connection, name: str) -> Table:
    return Table(name, MetaData(), autoload_with=connection, resolve_fks=False)


def _counted(connection: Connection, table: Table) -> str:
    some = select(1).select_from(table).limit(MOST_COUNTED + 1).subquery()
    count = connection.scalar(select(func.count()).select_from(some)) or 0
    return f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else f"{count:,}"
