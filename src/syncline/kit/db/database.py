"""A service's database: transactions, tables, and errors that say whether trying again makes sense."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from syncline.errors import ConfigError
from syncline.kit.db import url as urls
from syncline.kit.db.locks import NamedLock, named_lock, writers_turn
from syncline.kit.errors import DatabaseUnavailable

_DDL_LOCK: Final = 7_270_319
"""Any number; every service's instances must take the same one."""


class Database:
    """A pool of connections to one database; calls block, so they belong into threads.

    Give it to `Service.during`; it is asked once before the service starts.
    """

    def __init__(self, url: str, *tables: MetaData) -> None:
        """`tables` are created where they are missing. ConfigError for a URL that cannot be used."""
        given = urls.parse(url)
        resolved, connect_args = urls.resolve(given)
        self.shown = urls.shown(given)
        """The URL without its password."""
        self._tables = tables
        self._engine: Engine = create_engine(
            resolved, connect_args=connect_args, pool_pre_ping=True, pool_timeout=urls.CONNECT_SECONDS
        )
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _let_readers_and_writer_work_together)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back on an error.

        DatabaseUnavailable when the database does not answer, is lost meanwhile, has no room left, or
        gives this transaction up for the sake of others (deadlock, serialization failure, lock wait);
        other database errors are the caller's own and pass as SQLAlchemy raises them.
        """
        try:
            connection = self._engine.connect()
        except (DBAPIError, PoolTimeout) as exc:
            raise self._unavailable(exc) from exc
        try:
            with connection, connection.begin():
                yield connection
        except DBAPIError as exc:
            if exc.connection_invalidated or _passes(exc.orig):
                raise self._unavailable(exc) from exc
            raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """`begin`, for what many requests write at once: on SQLite they take turns, first come, first served."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(writers_turn(self._engine))
            except OSError as exc:
                raise self._unavailable(exc) from exc
            yield stack.enter_context(self.begin())

    def lock(self, name: str) -> NamedLock:
        """The lock that one process on this database holds at a time; `name` is fit for a file's name."""
        return named_lock(self._engine, name)

    async def check(self) -> None:
        """Ask the database; DatabaseUnavailable when it does not answer."""
        await asyncio.to_thread(self._ask)

    async def __aenter__(self) -> Database:
        await asyncio.to_thread(self._create_tables if self._tables else self._ask)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._engine.dispose)

    def _ask(self) -> None:
        with self.begin() as connection:
            connection.execute(text("SELECT 1"))

    def _create_tables(self) -> None:
        with self.begin() as connection, _one_at_a_time(connection):
            for tables in self._tables:
                tables.create_all(connection)
            for table in (table for tables in self._tables for table in tables.sorted_tables):
                found = {column["name"] for column in inspect(connection).get_columns(table.name)}
                missing = [column.name for column in table.columns if column.name not in found]
                if missing:
                    raise ConfigError(
                        f"the table {table.name} in {self.shown} was made by something else: it lacks "
                        f"{', '.join(missing)}; give this service another database or drop the table"
                    )

    def _unavailable(self, exc: Exception) -> DatabaseUnavailable:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        reason = str(cause.args[-1] if cause is not None and cause.args else exc)
        return DatabaseUnavailable(f"cannot use the database {self.shown}: {reason.splitlines()[0]}")


_BUSY: Final = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_BUSY_SNAPSHOT"}
_POSTGRESQL_GAVE_WAY: Final = {"40001", "40P01", "55P03"}
_MYSQL_GAVE_WAY: Final = {1020, 1205, 1213}
"""Record changed since it was read, lock wait timed out, deadlock."""
_FULL: Final = ("SQLITE_FULL", "SQLITE_IOERR")
_POSTGRESQL_FULL: Final = "53"
"""The class of what a server has too little of: room on its disk, memory, connections."""
_MYSQL_FULL: Final = {1021, 1037, 1040, 1041, 1114}
"""The same: disk, memory, connections, memory, and the room of a table."""


def _passes(error: object) -> bool:
    """Whether the same transaction may succeed when it is tried again: it gave way to others, or room was short."""
    sqlite, state = getattr(error, "sqlite_errorname", "") or "", getattr(error, "sqlstate", "") or ""
    if sqlite in _BUSY or sqlite.startswith(_FULL):
        return True
    if state in _POSTGRESQL_GAVE_WAY or state.startswith(_POSTGRESQL_FULL):
        return True
    # The MariaDB connector has `errno`, PyMySQL the number as its first argument.
    arguments = getattr(error, "args", None) or (None,)
    return getattr(error, "errno", arguments[0]) in _MYSQL_GAVE_WAY | _MYSQL_FULL


def _let_readers_and_writer_work_together(connection: Any, _: object) -> None:
    """SQLite's write-ahead log: readers see the last commit while one process writes."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


@contextmanager
def _one_at_a_time(connection: Connection) -> Iterator[None]:
    """Instances that start together create tables one after the other, or the second one would fail.

    PostgreSQL lets go at the end of the transaction, SQLite too.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _DDL_LOCK})
    elif dialect == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(
            text("SELECT GET_LOCK(:lock, :seconds)"),
            {"lock": str(_DDL_LOCK), "seconds": urls.STATEMENT_SECONDS},
        )
    try:
        yield
    finally:
        if dialect in ("mysql", "mariadb"):
            connection.execute(text("SELECT RELEASE_LOCK(:lock)"), {"lock": str(_DDL_LOCK)})
