"""What was already heard: the id of an event is stored in the transaction of its effect, so a repeat has none."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Final

from sqlalchemy import Column, Connection, Index, MetaData, String, Table, delete, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from syncline.kit.db import Moment

_LONGEST: Final = 200
# Databases disagree about other characters, and about spaces at the end, when they compare keys.
_PLAIN: Final = re.compile(rf"[!-~](?:[ -~]{{0,{_LONGEST - 2}}}[!-~])?")


def inbox_table(tables: MetaData) -> Table:
    """Declare the table `inbox` among a service's own."""
    return Table(
        "inbox",
        tables,
        Column("consumer", String(100), primary_key=True),
        Column("event_id", String(_LONGEST), primary_key=True),
        Column("received_at", Moment, nullable=False),
        Index("inbox_by_age", "received_at"),
        # The default collations of MariaDB and MySQL take a and A for the same id.
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


class Inbox:
    """The events one consumer has heard."""

    def __init__(self, table: Table, consumer: str) -> None:
        self._table = table
        self._consumer = consumer

    def first_time(self, connection: Connection, event_id: str, now: datetime) -> bool:
        """Whether the event was not heard before; it is remembered if the connection's transaction commits.

        A transaction that is about to remember the same event makes this one wait for its end.
        """
        values = {"consumer": self._consumer, "event_id": stored(event_id), "received_at": now}
        dialect = connection.dialect.name
        # An error would end a PostgreSQL transaction, and SQLite's driver knows no savepoint that is the first.
        if dialect == "postgresql":
            statement = postgresql.insert(self._table).values(values).on_conflict_do_nothing()
            return connection.execute(statement).rowcount == 1
        if dialect == "sqlite":
            ignoring = sqlite.insert(self._table).values(values).on_conflict_do_nothing()
            return connection.execute(ignoring).rowcount == 1
        # INSERT IGNORE would hide every other error, too.
        try:
            with connection.begin_nested():
                connection.execute(insert(self._table).values(values))
        except IntegrityError:
            return False
        return True

    def forget(self, connection: Connection, before: datetime) -> int:
        """Drop what this consumer heard before a moment; how many. A later repeat would have its effect again."""
        old = delete(self._table).where(
            self._table.c.consumer == self._consumer,
            self._table.c.received_at < before,
        )
        return connection.execute(old).rowcount


def stored(event_id: str) -> str:
    """The id as the table holds it: itself, or its digest when it is long or not plain text."""
    if _PLAIN.fullmatch(event_id):
        return event_id
    return f"sha256:{hashlib.sha256(event_id.encode('utf-8', 'surrogatepass')).hexdigest()}"
