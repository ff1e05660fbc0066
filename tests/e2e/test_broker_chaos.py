"""kill -9 of the broker under load: what was acknowledged is there, in order, once; what was aborted is not.

Producers of three kinds write, and groups of both protocols read and commit, while the broker is killed and started
again, `ROUNDS` times, with rubbish added to the ends of some logs in between; one topic is compacted meanwhile.
`SYNCLINE_CHAOS_ROUNDS=200` is the long run.
"""

from __future__ import annotations

import math
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.processes import BrokerProgram
from tests.servers import wait_for

ROUNDS = int(os.environ.get("SYNCLINE_CHAOS_ROUNDS", "8"))
KEYS = 20
COMMITS_OF_THE_RESTLESS = 30
FAR = 10_000
IN_TRANSACTION = 10
ALIVE = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 500}
"""A member whose farewell the dying broker did not hear holds the others up for no longer."""
GROUPS: dict[str, dict[str, Any]] = {
    "eager": {"partition.assignment.strategy": "range", **ALIVE},
    "cooperative": {"partition.assignment.strategy": "cooperative-sticky", **ALIVE},
    "next generation": {"group.protocol": "consumer"},
}
CLIENT = {
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 100,
    "message.timeout.ms": 60_000,
    "linger.ms": 1,
    "enable.idempotence": True,
    "queue.buffering.max.messages": 500,
}


class Writing(threading.Thread):
    """Writes until it is told to stop, and knows what became of it."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.bootstrap = bootstrap
        self.stopping = threading.Event()
        self.wrong: list[str] = []

    def finish(self) -> None:
        self.stopping.set()
        self.join(120)
        assert not self.is_alive()
        assert self.wrong == []


class Plain(Writing):
    """One number after the other into one partition; to a compacted topic the number is the value of its key."""

    def __init__(self, bootstrap: str, topic: str, *, keys: bool, read: Callable[[], float] = lambda: math.inf) -> None:
        super().__init__(bootstrap)
        self.topic = topic
        self.keys = keys
        self.read = read
        """How many of them the slowest reader has; it is never left far behind."""
        self.acknowledged: list[int] = []

    def run(self) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, **CLIENT})
        number = 0
        while not self.stopping.is_set():
            key = str(number % KEYS) if self.keys else None
            if number > self.read() + FAR:
                producer.poll(0.01)
                continue
            try:
                producer.produce(self.topic, str(number), key, on_delivery=self._note(number))
                number += 1
            except BufferError:
                producer.poll(0.1)
            producer.poll(0)
        if producer.flush(60):
            self.wrong.append(f"{len(producer)} records of {self.topic} were not acknowledged")

    def _note(self, number: int) -> Callable[[object, object], None]:
        def delivered(error: object, _message: object) -> None:
            if error is None:
                self.acknowledged.append(number)
            else:
                self.wrong.append(f"{number}: {error}")

        return delivered


class Transactional(Writing):
    """Transaction after transaction, every third of them aborted."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(bootstrap)
        self.topic = topic
        self.committed: list[int] = []
        self.aborted: list[int] = []
        self.unsure: list[int] = []
        """The commit failed; the records are there all or none."""

    def run(self) -> None:
        number = 0
        producer = self._fresh()
        while not self.stopping.is_set():
            try:
                producer.begin_transaction()
                for part in range(IN_TRANSACTION):
                    producer.produce(self.topic, f"{number}/{part}", partition=part % 2)
                if number % 3 == 2:
                    producer.abort_transaction(60)
                    self.aborted.append(number)
                else:
                    producer.commit_transaction(60)
                    self.committed.append(number)
            except KafkaException as exc:
                self.unsure.append(number)
                if not exc.args[0].txn_requires_abort():
                    producer = self._fresh()
                else:
                    producer.abort_transaction(60)
            number += 1

    def _fresh(self) -> Producer:
        producer = Producer({"bootstrap.servers": self.bootstrap, **CLIENT, "transactional.id": "chaos"})
        producer.init_transactions(60)
        return producer


@dataclass
class Group:
    """What the members of one group know together."""

    name: str
    topic: str
    config: Mapping[str, Any]
    lock: threading.Lock = field(default_factory=threading.Lock)
    seen: set[int] = field(default_factory=set)
    committed: dict[int, int] = field(default_factory=dict)
    """The highest offset of each partition whose commit was acknowledged."""


class Reading(Writing):
    """A member that commits what it has read before it reads on; a restless one leaves and comes back."""

    def __init__(self, bootstrap: str, group: Group, *, restless: bool) -> None:
        super().__init__(bootstrap)
        self.group = group
        self.restless = restless

    def run(self) -> None:
        while not self.stopping.is_set():
            self._stay()

    def _stay(self) -> None:
        """Until told to stop or, restless, after some commits."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.group.name,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "reconnect.backoff.ms": 10,
                "reconnect.backoff.max.ms": 100,
                **self.group.config,
            }
        )
        consumer.subscribe([self.group.topic])
        commits = 0
        while not self.stopping.is_set() and not (self.restless and commits >= COMMITS_OF_THE_RESTLESS):
            messages = [message for message in consumer.consume(100, 0.1) if message.error() is None]
            if not messages:
                continue
            again = self._take(messages)
            if self._commit(consumer):
                commits += 1
                # A member that the group has given up may still hold such records, but it can no longer commit.
                self.wrong += [f"{self.group.name} got {place} again, which it had committed" for place in again]
        consumer.close()

    def _take(self, messages: Sequence[Message]) -> list[tuple[int, int]]:
        """Partition and offset of those that the group had committed before."""
        with self.group.lock:
            self.group.seen.update(int(message.value() or b"") for message in messages)
            places = [(message.partition() or 0, message.offset() or 0) for message in messages]
            return [place for place in places if place[1] < self.group.committed.get(place[0], 0)]

    def _commit(self, consumer: Consumer) -> bool:
        """Whether the positions are committed now; if not, they are with the next ones, or are read again."""
        try:
            places = consumer.commit(asynchronous=False) or []
        except KafkaException:
            return False
        with self.group.lock:
            for place in places:
                if place.error is None:
                    before = self.group.committed.get(place.partition, 0)
                    self.group.committed[place.partition] = max(before, place.offset)
        return True


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProgram]:
    made = BrokerProgram.at(tmp_path)
    settings = {"log.cleaner.backoff.ms": 50, "log.cleaner.min.cleanable.ratio": 0.01, "log.segment.bytes": 100_000}
    settings |= {"group.consumer.heartbeat.interval.ms": 200, "group.consumer.session.timeout.ms": 10_000}
    made.arguments = [*made.arguments, *(f"--override={key}={value}" for key, value in settings.items())]
    with made:
        yield made


def damage_tails(folder: Path, choose: random.Random) -> None:
    """What a crash of the machine may leave behind the last whole batch."""
    for partition in folder.glob("*-0"):
        newest = max(partition.glob("*.log"), default=None)
        if newest is not None and choose.random() < 0.5:
            with newest.open("ab") as out:
                out.write(choose.choice([bytes(200), choose.randbytes(80)]))


def read_all(bootstrap: str, topic: str, partitions: int) -> list[list[tuple[str | None, str]]]:
    """Keys and values of every partition, in order, as a reader of committed records finds them."""
    found = []
    for partition in range(partitions):
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"read-{topic}", "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, partition, 0)])
        records: list[tuple[str | None, str]] = []
        while True:
            message = consumer.poll(30)
            assert message is not None, f"{topic}-{partition} ends after {len(records)} records, without an end"
            if message.error() is not None:
                break
            key = message.key()
            records.append((None if key is None else key.decode(), (message.value() or b"").decode()))
        consumer.close()
        found.append(records)
    return found


def committed_offsets(bootstrap: str, group: Group) -> dict[int, int]:
    """Where the group would go on."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group.name})
    places = consumer.committed([TopicPartition(group.topic, number) for number in range(4)], 30)
    consumer.close()
    return {place.partition: place.offset for place in places if place.offset >= 0}


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(300 + 10 * ROUNDS)
def test_what_was_acknowledged_is_there_once_and_what_was_aborted_is_not(broker: BrokerProgram, tmp_path: Path) -> None:
    choose = random.Random(5)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    topics = [
        NewTopic("plain", 1),
        NewTopic("compacted", 1, config={"cleanup.policy": "compact"}),
        NewTopic("transactional", 2),
        NewTopic("shared", 4),
    ]
    for future in admin.create_topics(topics).values():
        future.result(30)
    plain = Plain(broker.bootstrap, "plain", keys=False)
    compacted = Plain(broker.bootstrap, "compacted", keys=True)
    transactional = Transactional(broker.bootstrap, "transactional")
    groups = [Group(name, "shared", config) for name, config in GROUPS.items()]
    shared = Plain(broker.bootstrap, "shared", keys=True, read=lambda: min(len(group.seen) for group in groups))
    writers = (plain, compacted, transactional, shared)
    readers = [Reading(broker.bootstrap, group, restless=restless) for group in groups for restless in (False, True)]
    for thread in (*writers, *readers):
        thread.start()
    for turn in range(ROUNDS):
        seen = len(plain.acknowledged), len(transactional.committed)
        more = choose.randint(20, 300)
        wait_for(
            lambda: len(plain.acknowledged) > seen[0] + more and len(transactional.committed) > seen[1],  # noqa: B023
            f"round {turn}: records are acknowledged",
        )
        broker.kill()
        damage_tails(tmp_path / "broker", choose)
        broker.start()
    for writer in writers:
        writer.finish()
    for group in groups:
        wait_for(lambda: group.seen >= set(shared.acknowledged), f"{group.name} has read everything")  # noqa: B023
    for reader in readers:
        reader.finish()

    (records,) = read_all(broker.bootstrap, "plain", 1)
    assert [int(value) for _, value in records] == plain.acknowledged
    (records,) = read_all(broker.bootstrap, "compacted", 1)
    assert len(records) < len(compacted.acknowledged)
    latest = {number % KEYS: number for number in compacted.acknowledged}
    assert {int(key or -1): int(value) for key, value in records} == latest
    values = [value for records in read_all(broker.bootstrap, "transactional", 2) for _, value in records]
    assert len(values) == len(set(values))
    there = {int(value.partition("/")[0]) for value in values}
    assert len(values) == IN_TRANSACTION * len(there)
    assert set(transactional.committed) <= there
    assert there <= {*transactional.committed, *transactional.unsure}
    assert transactional.aborted
    for group in groups:
        assert group.seen == set(shared.acknowledged)
        kept = committed_offsets(broker.bootstrap, group)
        assert {place: offset for place, offset in group.committed.items() if kept[place] < offset} == {}
