"""The source's one connection, and the reader on it: opened when needed, opened again when it was lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

from syncline.connectors.jdbc.connection import Connection
from syncline.connectors.jdbc.dialect import Dialect, Refusal, Refused, Settings
from syncline.connectors.jdbc.dialects.mysql import MYSQL
from syncline.connectors.jdbc.dialects.mysql.read import MySqlReader
from syncline.connectors.jdbc.dialects.postgresql import POSTGRESQL
from syncline.connectors.jdbc.dialects.postgresql.read import PostgreSqlReader
from syncline.connectors.jdbc.dialects.sqlite import SQLITE
from syncline.connectors.jdbc.dialects.sqlite.read import SqliteReader
from syncline.connectors.jdbc.options import dialect_for, settings_of
from syncline.connectors.jdbc.reading import Reader
from syncline.connectors.jdbc.source_config import SourceConfig
from syncline.connectors.jdbc.types import TypeSettings
from syncline.errors import ConfigError

log = logging.getLogger(__name__)

INTERRUPT_SECONDS: Final = 5
"""How long a second connection, to stop a query on the first, may take."""

MakeReader = Callable[[Any, TypeSettings, str, Settings], Reader]


def _mysql(connection: Any, types: TypeSettings, quote: str, settings: Settings) -> Reader:
    year_is_date = (settings.option("yearIsDateType") or "true").lower() != "false"
    return MySqlReader(
        connection,
        types,
        quote=quote,
        year_is_date=year_is_date,
        session_variables=settings.option("sessionVariables") or "",
    )


def _postgresql(connection: Any, types: TypeSettings, quote: str, settings: Settings) -> Reader:
    return PostgreSqlReader(connection, types, quote=quote)


def _sqlite(connection: Any, types: TypeSettings, quote: str, settings: Settings) -> Reader:
    return SqliteReader(connection, types, quote=quote)


READERS: Final[Mapping[str, MakeReader]] = {
    MYSQL.name: _mysql,
    POSTGRESQL.name: _postgresql,
    SQLITE.name: _sqlite,
}


class Session:
    """Used by one thread. Does not wait for a database that is away: the caller knows when to try again."""

    def __init__(self, config: SourceConfig, properties: Mapping[str, str]) -> None:
        """Opens nothing. Raises ConfigError for a URL or a dialect that cannot be used."""
        isolation = config.transaction_isolation_mode.upper()
        try:
            self._settings = settings_of(
                properties, isolation=None if isolation == "DEFAULT" else isolation.replace("_", " ")
            )
        except ValueError as exc:
            raise ConfigError({"connection.url": [str(exc)]}) from exc
        self.dialect: Dialect = dialect_for(properties, self._settings)
        quoting = config.quote_sql_identifiers.lower() != "never"
        self._quote = self.dialect.quote_mark if quoting else ""
        self._types = config.types
        self._connection = Connection(self.dialect, self._settings, attempts=1, backoff_ms=0)
        self._connection.on_connect = self._forget
        self._reader: Reader | None = None

    def reader(self) -> Reader:
        """A reader on a live connection. Raises Refused, of kind AWAY when there is no connection now."""
        connection = self._connection.try_get()
        if self._reader is None:
            with self.refusing():
                make = READERS[self.dialect.name]
                self._reader = make(connection, self._types, self._quote, self._settings)
        return self._reader

    def interrupt(self) -> None:
        """Make a query that is running end soon, with an error; called from another thread."""
        reader = self._reader
        if reader is None:
            return
        try:
            with self.refusing():
                reader.interrupt(lambda: self.dialect.connect(replace(self._settings, timeout=INTERRUPT_SECONDS)))
        except Refused as exc:
            log.debug("interrupting a query: %s", exc)

    def refusing(self) -> AbstractContextManager[None]:
        """Turns the driver's errors inside into Refused."""
        return self.dialect.refusing()

    def recover(self, error: Refused) -> None:
        """After an error: end the transaction, or give the connection up when it is of no more use."""
        if error.kind is Refusal.AWAY:
            self._connection.drop()
        else:
            self._connection.rollback()

    def close(self) -> None:
        """Close the connection; the next `reader` opens another."""
        self._connection.drop()
        self._reader = None

    def _forget(self) -> None:
        self._reader = None


def retriable(error: Refused) -> bool:
    """Whether the same may succeed later."""
    return error.kind in (Refusal.AWAY, Refusal.BUSY)
