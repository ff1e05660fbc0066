"""What was already heard: the id of an event is stored in the transaction of its effect, so a repeat has none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    select,
    update,
)

from syncline.ids import TopicPartition
from syncline.kit.db import Database, Moment, insert_once

_LONGEST: Final = 200
# Databases disagree about other characters, and about spaces at the end, when they compare keys.
_PLAIN: Final = re.compile(rf"[!-~](?:[ -~]{{0,{_LONGEST - 2}}}[!-~])?")


@dataclass(frozen=True, slots=True)
class InboxTables:
    """Where a service remembers what it heard."""

    events: Table
    positions: Table


def inbox_tables(tables: MetaData) -> InboxTables:
    """Declare `inbox` and `inbox_positions` among a service's own tables."""
    # The default collations of MariaDB and MySQL take a and A for the same id.
    exact: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
    return InboxTables(
        Table(
            "inbox",
            tables,
            Column("consumer", String(100), primary_key=True),
            Column("event_id", String(_LONGEST), primary_key=True),
            Column("received_at", Moment, nullable=False),
            Index("inbox_by_age", "received_at"),
            **exact,
        ),
        Table(
            "inbox_positions",
            tables,
            Column("consumer", String(100), primary_key=True),
            Column("topic", String(249), primary_key=True),
            Column("part", Integer, primary_key=True, autoincrement=False),
            Column("next_offset", BigInteger, nullable=False),
            **exact,
        ),
    )


class Inbox:
    """The events one consumer has heard."""

    def __init__(self, tables: InboxTables, consumer: str) -> None:
        self._events = tables.events
        self._positions = tables.positions
        self._consumer = consumer

    def first_time(self, connection: Connection, event_id: str, now: datetime) -> bool:
        """Whether the event was not heard before; it is remembered if the connection's transaction commits.

        A transaction that is about to remember the same event makes this one wait for its end.
        """
        values = {"consumer": self._consumer, "event_id": stored_id(event_id), "received_at": now}
        return insert_once(connection, self._events, values)

    def positions(self, connection: Connection, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """The next offsets to read, as far as this database knows."""
        table = self._positions
        query = select(table.c.topic, table.c.part, table.c.next_offset).where(
            table.c.consumer == self._consumer, table.c.topic.in_(sorted(topics))
        )
        return {TopicPartition(topic, part): offset for topic, part, offset in connection.execute(query)}

    def reach(self, connection: Connection, partition: TopicPartition, offset: int) -> None:
        """Remember that everything before `offset` has had its effect."""
        table = self._positions
        place = {"consumer": self._consumer, "topic": partition.topic, "part": partition.partition}
        if not insert_once(connection, table, {**place, "next_offset": offset}):
            mine = [table.c[name] == value for name, value in place.items()]
            connection.execute(update(table).where(*mine).values(next_offset=offset))

    def forget(self, connection: Connection, before: datetime) -> int:
        """Drop what this consumer heard before a moment; how many. A later repeat would have its effect again."""
        old = delete(self._events).where(
            self._events.c.consumer == self._consumer,
            self._events.c.received_at < before,
        )
        return connection.execute(old).rowcount


def stored_id(event_id: str) -> str:
    """The id as the table holds it: itself, or its digest when it is long or not plain text."""
    if _PLAIN.fullmatch(event_id):
        return event_id
    return f"sha256:{hashlib.sha256(event_id.encode('utf-8', 'surrogatepass')).hexdigest()}"


class Reached:
    """How far the effects in the database go: offsets and state live in one place, and die together."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox

    def read(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offsets stored; partitions without one are left out."""
        wanted = set(partitions)
        with self._database.begin() as connection:
            found = self._inbox.positions(connection, {partition.topic for partition in wanted})
        return {partition: offset for partition, offset in found.items() if partition in wanted}

    def store(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Before they are committed to the group, so that the group is never ahead of its database."""
        with self._database.begin() as connection:
            for partition, offset in sorted(offsets.items()):
                self._inbox.reach(connection, partition, offset)
