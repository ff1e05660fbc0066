"""SQLite, through the standard library."""

from __future__ import annotations

from typing import Any, Final

from syncline.connectors.jdbc.dialect import KEY_LENGTH, Capabilities, Dialect, RowWriter
from syncline.connectors.jdbc.dialects.sqlite import errors, write
from syncline.connectors.jdbc.refusal import Refused
from syncline.connectors.jdbc.settings import Settings
from syncline.data import Schema

BUSY_MS: Final = 5_000
"""How long to wait for another writer before the whole list is tried again later."""
_PRAGMAS: Final = {"journal_mode": "WAL", "synchronous": "FULL", "foreign_keys": None}
"""Options of the JDBC driver that are obeyed, and what holds without them."""


class Sqlite(Dialect):
    """Dates and times are epoch milliseconds in NUMERIC columns, as the JDBC driver stores them.

    The file is switched to the write-ahead log unless `journal_mode` says otherwise: readers and the writer then
    do not block each other. `synchronous` stays FULL: with NORMAL, which is common with that log, a power cut
    could lose rows whose offsets are committed.
    """

    name = "SqliteDatabaseDialect"
    subprotocols = ("sqlite",)
    quote_mark = '"'
    capabilities = Capabilities(adds_many=False, epoch_type="NUMERIC", moments_as_integers=True)

    def connect(self, settings: Settings) -> Any:
        import sqlite3

        busy = settings.option("busy_timeout")
        with self.refusing():
            # Transactions are opened by hand, with BEGIN IMMEDIATE: one that turns from reading to writing half way
            # would be refused without waiting.
            connection = sqlite3.connect(
                settings.url.database,
                timeout=(int(busy) if busy and busy.isdigit() else BUSY_MS) / 1000,
                isolation_level=None,
                check_same_thread=False,
                uri=settings.url.database.startswith("file:"),
            )
            for name, usual in _PRAGMAS.items():
                value = settings.option(name) or usual
                if value is not None and value.isalnum():
                    connection.execute(f"PRAGMA {name}={value}")
        return connection

    def rows(self, connection: Any) -> RowWriter:
        return write.SqliteRows(self, connection)

    def refusal(self, error: Exception) -> Refused | None:
        return errors.refusal(error)

    def column_type(self, schema: Schema, *, key: bool, longest: int = KEY_LENGTH) -> str:
        return write.column_type(schema)


SQLITE: Final = Sqlite()
DIALECT: Final = SQLITE
