"""One suite for every Kafka behind the ports: the real client library on the embedded broker, and the double."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pytest

from syncline.broker import BrokerThread
from syncline.errors import ConnectError
from syncline.ids import TopicPartition
from syncline.kafka.client import KAFKA
from syncline.kafka.errors import GroupNotEmpty, TopicExists, UnknownTopic
from syncline.kafka.ports import (
    BEGINNING,
    END,
    Admin,
    Consumer,
    Delivered,
    Kafka,
    KafkaRecord,
    Member,
    Membership,
    Producer,
    Rebalance,
    Resource,
    Role,
)
from syncline.testing.kafka import MemoryKafka

T = TypeVar("T")

PATIENCE = 30.0
_numbers = itertools.count(1)


@dataclass
class Site:
    """A cluster to try, with a name of its own for each test."""

    kafka: Kafka
    properties: Mapping[str, str]
    topic: str

    @property
    def admin(self) -> Admin:
        return self.kafka.admin(self.properties)

    def producer(self) -> Producer:
        return self.kafka.producer(self.properties)

    def consumer(self, group: str = "g") -> Consumer:
        return self.kafka.consumer({**self.properties, "group.id": f"{group}-{self.topic}"})

    def write(self, *values: bytes | None, partition: int | None = None) -> None:
        producer = self.producer()
        for value in values:
            producer.send(self.topic, None, value, partition=partition)
        assert producer.flush(PATIENCE)
        producer.close()

    def place(self, partition: int = 0) -> TopicPartition:
        return TopicPartition(self.topic, partition)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture(params=["librdkafka", "memory"])
def site(request: pytest.FixtureRequest) -> Site:
    topic = f"t{next(_numbers)}"
    if request.param == "memory":
        return Site(MemoryKafka(), {}, topic)
    bootstrap = request.getfixturevalue("bootstrap")
    return Site(KAFKA, {"bootstrap.servers": bootstrap, "session.timeout.ms": "6000", "linger.ms": "0"}, topic)


class Reading:
    """A member of a group, read on the test's thread."""

    def __init__(self, consumer: Consumer, topic: str, start: Mapping[TopicPartition, int] | None = None) -> None:
        self.consumer = consumer
        self.records: list[KafkaRecord] = []
        self.owned: set[TopicPartition] = set()
        self.events: list[str] = []
        self._start = start
        consumer.subscribe([topic], Rebalance(self._assigned, self._revoked, self._revoked))

    def _assigned(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        self.events.append("assigned")
        self.owned |= set(partitions)
        return self._start

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self.events.append("revoked")
        self.owned -= set(partitions)

    def read(self) -> None:
        self.records += self.consumer.read(100, 0.1)

    @property
    def values(self) -> list[bytes | None]:
        return [record.value for record in self.records]


def until(condition: Callable[[], T], *readers: Reading) -> T:
    """The first true result, while the readers read."""
    tries = iter(range(int(PATIENCE * 10)))
    while not (found := condition()):
        assert next(tries, None) is not None, [reader.values for reader in readers]
        for reader in readers:
            reader.read()
    return found


def test_a_record_comes_back_as_it_was_sent(site: Site) -> None:
    producer = site.producer()
    headers = [("h", b"1"), ("h", None), ("ü", b"\xff")]
    producer.send(site.topic, b"k", b"v", timestamp=1234, headers=headers)
    producer.send(site.topic, None, None)
    assert producer.flush(PATIENCE)
    reader = Reading(site.consumer(), site.topic)
    until(lambda: len(reader.records) == 2, reader)
    first, second = reader.records
    assert (first.key, first.value, first.timestamp, first.headers) == (b"k", b"v", 1234, headers)
    assert (second.key, second.value, second.headers) == (None, None, None)
    assert (first.topic, first.partition, first.offset, second.offset) == (site.topic, 0, 0, 1)
    reader.consumer.close()


def test_only_failures_are_reported_unless_asked(site: Site) -> None:
    reports: list[tuple[Exception | None, str | None]] = []

    def report(error: Exception | None, delivered: Delivered) -> None:
        reports.append((error, delivered.topic()))

    producer = site.producer()
    producer.send(site.topic, None, b"v", on_delivery=report)
    assert producer.flush(PATIENCE)
    assert producer.outstanding() == 0
    assert reports == []


def test_a_group_reads_on_from_what_it_committed(site: Site) -> None:
    site.write(b"a", b"b", b"c")
    first = Reading(site.consumer(), site.topic)
    until(lambda: first.values == [b"a", b"b", b"c"], first)
    first.consumer.commit({site.place(): 1})
    assert first.consumer.committed([site.place()]) == {site.place(): 1}
    first.consumer.close()
    second = Reading(site.consumer(), site.topic)
    until(lambda: second.values == [b"b", b"c"], second)
    second.consumer.close()


def test_a_commit_that_is_not_waited_for_is_answered_while_reading(site: Site) -> None:
    site.write(b"a")
    reader = Reading(site.consumer(), site.topic)
    until(lambda: reader.values, reader)
    answers: list[ConnectError | None] = []
    reader.consumer.commit_soon({site.place(): 1}, answers.append)
    until(lambda: answers, reader)
    assert answers == [None]
    assert reader.consumer.committed([site.place()]) == {site.place(): 1}
    reader.consumer.close()


def test_commits_of_another_thread_get_their_turn_while_reading_goes_on(site: Site) -> None:
    site.write(*(str(number).encode() for number in range(20)))
    reader = Reading(site.consumer(), site.topic)
    until(lambda: len(reader.records) == 20, reader)
    stopped = threading.Event()

    def read_on() -> None:
        while not stopped.is_set():
            reader.consumer.read(500, 1)

    reading = threading.Thread(target=read_on)
    reading.start()
    committed: list[int] = []

    def commit_each() -> None:
        for offset in range(1, 21):
            reader.consumer.commit({site.place(): offset})
            committed.append(offset)

    committing = threading.Thread(target=commit_each, daemon=True)
    committing.start()
    committing.join(PATIENCE)
    stopped.set()
    reading.join(PATIENCE)
    assert committed == list(range(1, 21))
    assert reader.consumer.committed([site.place()]) == {site.place(): 20}
    reader.consumer.close()


def test_a_member_may_start_elsewhere_than_committed(site: Site) -> None:
    site.write(b"a", b"b", b"c")
    reader = Reading(site.consumer(), site.topic, {site.place(): 2})
    until(lambda: reader.values == [b"c"], reader)
    reader.consumer.close()


def test_seeking_reads_again_and_nothing_read_before_comes_late(site: Site) -> None:
    site.write(*(str(number).encode() for number in range(50)))
    reader = Reading(site.consumer(), site.topic)
    until(lambda: len(reader.records) >= 10, reader)
    reader.records.clear()
    reader.consumer.seek(site.place(), 5)
    until(lambda: len(reader.records) == 45, reader)
    assert [record.offset for record in reader.records] == list(range(5, 50))
    reader.consumer.close()


def test_a_paused_partition_is_not_read_and_goes_on_where_it_was(site: Site) -> None:
    site.admin.create_topic(site.topic, partitions=2)
    reader = Reading(site.consumer(), site.topic)
    until(lambda: len(reader.owned) == 2, reader)
    reader.consumer.pause([site.place(0)])
    site.write(b"a", partition=0)
    site.write(b"b", partition=1)
    until(lambda: reader.values == [b"b"], reader)
    reader.consumer.resume([site.place(0)])
    until(lambda: reader.values == [b"b", b"a"], reader)
    reader.consumer.close()


def test_members_share_partitions_and_are_told(site: Site) -> None:
    site.admin.create_topic(site.topic, partitions=2)
    first = Reading(site.consumer(), site.topic)
    until(lambda: len(first.owned) == 2, first)
    second = Reading(site.consumer(), site.topic)
    until(lambda: len(first.owned) == len(second.owned) == 1, first, second)
    assert first.owned | second.owned == {site.place(0), site.place(1)}
    assert first.events[:3] == ["assigned", "revoked", "assigned"]
    second.consumer.close()
    until(lambda: len(first.owned) == 2, first)
    first.consumer.close()


@pytest.mark.parametrize(("start", "values"), [(BEGINNING, [b"a", b"b", b"c"]), (END, [b"c"]), (1, [b"b", b"c"])])
def test_partitions_can_be_read_without_a_group(site: Site, start: int, values: list[bytes]) -> None:
    site.write(b"a", b"b")
    consumer = site.consumer()
    consumer.assign({site.place(): start})
    found: list[bytes | None] = []
    if start == END:
        consumer.read(10, 0.5)  # the end is where it is when reading begins
    site.write(b"c")
    tries = iter(range(int(PATIENCE)))
    while len(found) < len(values):
        assert next(tries, None) is not None, found
        found += [record.value for record in consumer.read(10, 1)]
    assert found == values
    assert consumer.assignment() == [site.place()]
    assert consumer.watermarks(site.place()) == (0, 3)
    consumer.close()


def test_a_consumer_lists_the_topics_of_the_cluster(site: Site) -> None:
    site.admin.create_topic(site.topic)
    consumer = site.consumer()
    assert site.topic in consumer.topics()
    consumer.close()


def test_topics_are_made_described_grown_and_deleted(site: Site) -> None:
    admin = site.admin
    assert admin.topic(site.topic) is None
    assert admin.create_topic(site.topic, partitions=2, configs={"cleanup.policy": "compact"})
    assert not admin.create_topic(site.topic, exists_ok=True)
    with pytest.raises(TopicExists):
        admin.create_topic(site.topic)
    facts = admin.topic(site.topic)
    assert facts is not None
    assert (facts.partitions, facts.replication_factor, facts.internal) == (2, 1, False)
    # A cluster may give every topic settings of its own, as Kafka 4.1 does with min.insync.replicas.
    assert admin.topic_configs(site.topic).items() >= {("cleanup.policy", "compact")}
    assert "retention.ms" not in admin.topic_configs(site.topic)
    admin.alter_topic_configs(site.topic, {"cleanup.policy": None, "retention.ms": "1000"})
    changed = admin.topic_configs(site.topic)
    assert changed["retention.ms"] == "1000"
    assert "cleanup.policy" not in changed
    admin.add_partitions(site.topic, 3)
    assert [topic.partitions for topic in admin.topics() if topic.name == site.topic] == [3]
    admin.delete_topic(site.topic)
    assert admin.topic(site.topic) is None
    assert admin.cluster_id()


def test_a_topic_of_three_replicas_is_accepted_and_serves_from_one(site: Site) -> None:
    assert site.admin.create_topic(site.topic, replication_factor=3)
    site.write(b"a")
    reader = Reading(site.consumer(), site.topic)
    until(lambda: reader.values, reader)
    assert reader.values == [b"a"]
    reader.consumer.close()


def test_offsets_of_a_group_are_set_forgotten_and_deleted(site: Site) -> None:
    admin, group = site.admin, f"g-{site.topic}"
    admin.create_topic(site.topic, partitions=3)
    assert admin.group_offsets(group) == {}
    admin.alter_group_offsets(group, {site.place(0): 5, site.place(1): 6})
    assert group in admin.groups()
    admin.alter_group_offsets(group, {site.place(1): 7, site.place(2): 8})
    assert admin.group_offsets(group) == {site.place(0): 5, site.place(1): 7, site.place(2): 8}
    admin.forget_group_offsets(group, [site.place(0)])
    assert admin.group_offsets(group) == {site.place(1): 7, site.place(2): 8}
    admin.delete_group(group)
    admin.delete_group(group)
    assert admin.group_offsets(group) == {}


def test_offsets_of_a_group_with_members_are_not_changed(site: Site) -> None:
    site.write(b"a")
    reader = Reading(site.consumer(), site.topic)
    until(lambda: reader.values, reader)
    reader.consumer.commit({site.place(): 1})
    group = f"g-{site.topic}"
    with pytest.raises(GroupNotEmpty):
        site.admin.alter_group_offsets(group, {site.place(): 0})
    with pytest.raises(GroupNotEmpty):
        site.admin.delete_group(group)
    reader.consumer.close()


def test_end_offsets_say_where_the_next_record_stands(site: Site) -> None:
    site.admin.create_topic(site.topic, partitions=2)
    site.write(b"a", b"b", partition=1)
    assert site.admin.end_offsets([site.place(0), site.place(1)]) == {site.place(0): 0, site.place(1): 2}
    assert site.admin.end_offsets([]) == {}


def test_a_reader_knows_the_end_it_came_to(site: Site) -> None:
    site.write(b"1", b"2")
    consumer = site.kafka.consumer({**site.properties, "group.id": "ends", "enable.partition.eof": "true"})
    consumer.assign({site.place(): BEGINNING})
    tries = iter(range(int(PATIENCE * 10)))
    while consumer.ended_at(site.place()) != 2:
        assert next(tries, None) is not None
        consumer.read(10, 0.1)
    consumer.close()


def test_one_member_of_a_group_is_active_and_the_next_takes_over(site: Site) -> None:
    told: dict[str, list[Role | None]] = {"a": [], "b": []}
    changed = threading.Condition()

    def member(url: str) -> Member:
        def hear(role: Role | None) -> None:
            with changed:
                told[url].append(role)
                changed.notify_all()

        membership = Membership(group=f"m-{site.topic}", url=url, session_ms=6000, heartbeat_ms=200, rebalance_ms=6000)
        return site.kafka.member(site.properties, membership, hear)

    def hears(url: str, active: bool, active_url: str) -> None:
        def says() -> bool:
            role = told[url][-1] if told[url] else None
            return role is not None and (role.active, role.active_url) == (active, active_url)

        with changed:
            assert changed.wait_for(says, PATIENCE), told

    first, second = member("a"), member("b")
    first.start()
    hears("a", True, "a")
    second.start()
    hears("b", False, "a")
    hears("a", True, "a")
    first.stop()
    hears("b", True, "b")
    assert told["a"][-1] is None
    second.stop()


def test_topics_are_described_with_their_partitions(site: Site) -> None:
    site.admin.create_topic(site.topic, partitions=2)
    topic = next(topic for topic in site.admin.describe_topics() if topic.name == site.topic)
    assert topic.topic_id
    assert not topic.internal
    assert [part.number for part in topic.partitions] == [0, 1]
    broker = site.admin.brokers()[0]
    assert all(
        (part.leader, part.replicas, part.in_sync) == (broker, (broker,), (broker,)) for part in topic.partitions
    )


def test_settings_tell_where_they_come_from(site: Site) -> None:
    site.admin.create_topic(site.topic)
    site.admin.alter_settings(Resource.TOPIC, site.topic, {"retention.ms": "5", "segment.ms": "6"})
    site.admin.alter_settings(Resource.TOPIC, site.topic, {"segment.ms": None})
    own = {
        setting.name: setting.value
        for setting in site.admin.settings(Resource.TOPIC, site.topic)
        if setting.source == "DYNAMIC_TOPIC_CONFIG"
    }
    assert own == {"retention.ms": "5"}
    with pytest.raises(UnknownTopic):
        site.admin.settings(Resource.TOPIC, f"{site.topic}-missing")


def test_offsets_are_found_by_time(site: Site) -> None:
    site.admin.create_topic(site.topic)
    producer = site.producer()
    for stamp in (1000, 2000, 3000):
        producer.send(site.topic, None, b"v", timestamp=stamp)
    assert producer.flush(PATIENCE)
    place = site.place()
    assert site.admin.start_offsets([place]) == {place: 0}
    assert site.admin.offsets_at([place], 1500) == {place: 1}
    assert site.admin.offsets_at([place], 3001) == {place: -1}


def test_a_group_is_described_with_its_members(site: Site) -> None:
    site.write(b"1")
    reader = Reading(site.consumer(), site.topic)
    until(lambda: bool(reader.owned), reader)
    group = f"g-{site.topic}"
    facts = site.admin.describe_group(group)
    assert (facts.state, facts.assignor) == ("Stable", "range")
    assert [member.partitions for member in facts.members] == [(site.place(),)]
    assert site.admin.group_states()[group] == "Stable"
    reader.consumer.commit({site.place(): 1})
    reader.consumer.close()
    assert site.admin.describe_group(group).state == "Empty"
    assert site.admin.describe_group(f"{group}-missing").state == "Dead"
