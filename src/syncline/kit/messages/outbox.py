"""What is to be published: stored in the transaction of its cause, so that there is neither one without the other.

    with database.begin() as connection:
        connection.execute(insert(ORDERS).values(...))
        outbox.add(connection, STOCK_ORDERS, event, headers)

A `Relay` publishes what is stored, and tells the table when the broker has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar, overload

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.mysql import LONGBLOB

from syncline.errors import DataError
from syncline.kit.db import Moment
from syncline.kit.messages.envelope import ConnectRecord
from syncline.kit.messages.events import EVENT_ID, EventTopic, Headers
from syncline.kit.messages.inbox import stored_id
from syncline.kit.messages.topics import Topic

R = TypeVar("R", bound=ConnectRecord)
E = TypeVar("E", bound=msgspec.Struct)

_BYTES: Final = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def outbox_table(tables: MetaData, name: str = "outbox") -> Table:
    """Declare an outbox among a service's own tables.

    Services that share a database need names that differ: whoever publishes a table publishes all that is in it.
    """
    return Table(
        name,
        tables,
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
        Column("event_id", String(200), nullable=False, unique=True),
        Column("topic", String(249), nullable=False),
        Column("record_key", _BYTES, nullable=False),
        Column("payload", _BYTES, nullable=False),
        Column("headers", _BYTES, nullable=False),
        Column("created_at", Moment, nullable=False),
        Column("published_at", Moment),
        Index(f"{name}_by_publication", "published_at", "id"),
        # The default collations of MariaDB and MySQL take a and A for the same id.
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


@dataclass(frozen=True, slots=True)
class Stored:
    """A record that the broker does not have yet, as far as the table knows."""

    id: int
    topic: str
    key: bytes
    payload: bytes
    headers: Headers
    created_at: datetime


class Outbox:
    """Records on their way from a service's database to the broker."""

    def __init__(self, table: Table) -> None:
        """`table` is declared by `outbox_table`."""
        self._table = table

    @overload
    def add(self, connection: Connection, topic: Topic[R], record: R, headers: Headers, now: datetime) -> None: ...
    @overload
    def add(self, connection: Connection, topic: EventTopic[E], record: E, headers: Headers, now: datetime) -> None: ...
    def add(
        self,
        connection: Connection,
        topic: Topic[Any] | EventTopic[Any],
        record: Any,
        headers: Mapping[str, str],
        now: datetime,
    ) -> None:
        """Store a record for its topic; it is published if the connection's transaction commits.

        `headers` hold an `event_id`, by which readers know a record that comes again. DataError names the field
        that does not fit, or that header.
        """
        key, payload = topic.encode(record)
        event_id = headers.get(EVENT_ID)
        if not event_id:
            raise DataError(f"a record for {topic.name} needs the header {EVENT_ID}, by which readers tell a repeat")
        values = {
            "event_id": stored_id(event_id),
            "topic": topic.name,
            "record_key": key,
            "payload": payload,
            "headers": msgspec.json.encode(headers),
            "created_at": now,
        }
        connection.execute(insert(self._table).values(values))

    def unpublished(self, connection: Connection, limit: int) -> list[Stored]:
        """The oldest records that are not marked as published, in the order in which they were stored.

        All that bear no mark, and not those beyond the last id seen: a transaction that took its id early may
        commit late.
        """
        table = self._table.c
        columns = (table.id, table.topic, table.record_key, table.payload, table.headers, table.created_at)
        query = select(*columns).where(table.published_at.is_(None)).order_by(table.id).limit(limit)
        return [
            Stored(number, topic, key, payload, msgspec.json.decode(headers, type=Headers), created_at)
            for number, topic, key, payload, headers, created_at in connection.execute(query)
        ]

    def mark(self, connection: Connection, published: Iterable[Stored], now: datetime) -> None:
        """Say that the broker has these records."""
        mine = self._table.c.id.in_([stored.id for stored in published])
        connection.execute(update(self._table).where(mine).values(published_at=now))

    def forget(self, connection: Connection, before: datetime) -> int:
        """Drop what was published before a moment; how many."""
        return connection.execute(delete(self._table).where(self._table.c.published_at < before)).rowcount
