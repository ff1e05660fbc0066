"""A listener on a Kafka in memory and an SQLite file, with a handler that fails on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, MetaData, String, Table, insert, select

from syncline.ids import TopicPartition
from syncline.kit.db import Database
from syncline.kit.messages import Backoff, EventTopic, Listener, Listens, Received, inbox_tables
from syncline.testing.kafka import MemoryKafka
from tests.servers import wait_for

TABLES = MetaData()
INBOX = inbox_tables(TABLES)
HEARD = Table("heard", TABLES, Column("name", String(50)), Column("event_id", String(200)))


class Said(msgspec.Struct):
    name: str
    id: str | None = None


SAID = EventTopic(
    name="said",
    value=Said,
    key=lambda said: said.name,
    identity=lambda said: said.id,
    event_type="Said",
)
GROUP = "ears"
LETTERS = "said.ears.dlt"
QUICK = Backoff(attempts=3, first=0.01, cap=0.02, jitter=False)


@dataclass
class Ears:
    """What was heard, and what goes wrong meanwhile."""

    kafka: MemoryKafka
    database: Database
    fails: Callable[[Received[Said]], None] = field(default=lambda event: None)
    tried: list[str] = field(default_factory=list)
    inside: threading.Event = field(default_factory=threading.Event)

    def listener(self, **options: Any) -> Listener:
        return Listener(
            "unused",
            database=self.database,
            inbox=INBOX,
            listens=[Listens(SAID, self.hear)],
            **{"group": GROUP, "retry": QUICK, "kafka": self.kafka, **options},
        )

    def hear(self, event: Received[Said], connection: Connection) -> None:
        self.tried.append(event.value.name)
        connection.execute(insert(HEARD).values(name=event.value.name, event_id=event.event_id))
        self.inside.set()
        self.fails(event)

    def heard(self) -> list[str]:
        with self.database.begin() as connection:
            return list(connection.scalars(select(HEARD.c.name)))

    def committed(self, partition: int = 0) -> int | None:
        return self.kafka.committed(GROUP).get(TopicPartition("said", partition))

    def until_committed(self, offset: int, partition: int = 0) -> None:
        wait_for(lambda: self.committed(partition) == offset, f"offset {offset}, is {self.committed(partition)}", 20)
