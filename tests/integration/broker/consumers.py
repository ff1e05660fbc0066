"""Consumers of confluent-kafka that tests step through one poll at a time."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

DEADLINE_S = 60
REBALANCING = {KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.STALE_MEMBER_EPOCH}
_names = itertools.count(1)


def new_topic(bootstrap: str, partitions: int = 4) -> str:
    """An empty topic of its own name."""
    name = f"topic-{next(_names)}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, partitions)])[name].result(DEADLINE_S)
    return name


def fill(bootstrap: str, topic: str, values: Sequence[str], partitions: int = 4) -> None:
    """Produce `values`, spread over the partitions; returns when they are acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % partitions)
    assert producer.flush(DEADLINE_S) == 0


@dataclass
class Member:
    """One consumer of a group. It commits each message before it takes the next.

    Whoever makes one closes it, also when the test fails: librdkafka may spin for ever in a consumer that is
    thrown away unclosed after its broker has gone.
    """

    bootstrap: str
    group: str
    topic: str
    config: dict[str, Any] = field(default_factory=dict)
    got: list[str] = field(default_factory=list)
    history: list[tuple[str, list[int]]] = field(default_factory=list)
    """What was assigned and revoked, in order."""
    _closed: bool = False

    def __post_init__(self) -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                **self.config,
            }
        )
        self.consumer.subscribe(
            [self.topic],
            on_assign=lambda _, places: self._note("assigned", places),
            on_revoke=lambda _, places: self._note("revoked", places),
            on_lost=lambda _, places: self._note("lost", places),
        )

    def _note(self, what: str, places: Sequence[TopicPartition]) -> None:
        self.history.append((what, sorted(place.partition for place in places)))

    def step(self, seconds: float = 0.05) -> None:
        """One poll; the message, if any, is kept and committed."""
        message = self.consumer.poll(seconds)
        if message is None:
            return
        error = message.error()
        if error is not None:
            raise KafkaException(error)
        value = message.value()
        assert value is not None
        try:
            self.consumer.commit(message=message, asynchronous=False)
        except KafkaException as exc:
            if exc.args[0].code() not in REBALANCING:
                raise
            # The group went on meanwhile. Uncommitted, the message is still whoever's the partition is now.
            place = message.partition() or 0, message.offset() or 0
            if place[0] in self.partitions:
                self.consumer.seek(TopicPartition(message.topic() or self.topic, *place))
            return
        self.got.append(value.decode())

    @property
    def partitions(self) -> list[int]:
        return sorted(place.partition for place in self.consumer.assignment())

    def offsets(self, *numbers: int) -> list[int]:
        """Committed offsets."""
        places = [TopicPartition(self.topic, number) for number in numbers]
        return [place.offset for place in self.consumer.committed(places, DEADLINE_S)]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.consumer.close()


def until(condition: Callable[[], bool], *members: Member) -> None:
    """Step the members in turn until the condition holds; fails after a minute."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, [(member.partitions, len(member.got)) for member in members]
        for member in members:
            member.step()


def everything_once(values: Sequence[str], *members: Member) -> bool:
    """Whether every value arrived, and none twice."""
    got = Counter(value for member in members for value in member.got)
    assert all(count == 1 for count in got.values()), [value for value, count in got.items() if count > 1]
    return set(got) == set(values)
