"""A Kafka in memory that keeps the promises of `syncline.kafka.ports`, for tests of tasks and plug-ins.

One process, no network, no time-outs. Groups are eager: `rebalance` takes every partition away and gives them out
anew, on the threads that read. What a broker may do wrong is done on request: `refuse_commits`, `refuse_records`.
"""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from syncline.clock import SYSTEM_CLOCK
from syncline.errors import ConnectError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.config import poll_records
from syncline.kafka.errors import GroupNotEmpty, TopicExists, UnknownTopic
from syncline.kafka.ports import (
    BEGINNING,
    CREATE_TIME,
    END,
    GroupDetails,
    KafkaRecord,
    MemberDetails,
    Membership,
    OnDelivery,
    PartitionDetails,
    QueueFull,
    RawHeaders,
    Rebalance,
    Resource,
    Role,
    Setting,
    TopicDetails,
    TopicFacts,
)


@dataclass(slots=True)
class _Topic:
    partitions: list[list[KafkaRecord]]
    replication_factor: int
    configs: dict[str, str]


@dataclass(slots=True)
class _Group:
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    members: list[MemoryConsumer] = field(default_factory=list)


class MemoryKafka:
    """A cluster, and the maker of its clients (`kafka.ports.Kafka`)."""

    def __init__(self, *, auto_create: int = 1) -> None:
        """Topics that are merely used get `auto_create` partitions; 0 turns that off."""
        self.changed = threading.Condition()
        self.topics: dict[str, _Topic] = {}
        self.groups: dict[str, _Group] = {}
        self.made: list[Mapping[str, str]] = []
        """The properties of every client made, in order."""
        self.refuse_commits: ConnectError | None = None
        """Set to have commits fail with it."""
        self.refuse_topics: ConnectError | None = None
        """Raised by every request to make a topic."""
        self.refuse_records: Callable[[str, bytes | None], Exception | None] = lambda topic, value: None
        """Gives the error with which a record is not delivered."""
        self.held = False
        """While True records stay in the producers, unacknowledged."""
        self.lines: dict[str, list[MemoryMember]] = {}
        """Members of groups with one active member, in order of joining."""
        self.generation = 0
        self.room = 1_000_000
        """Records a producer holds before its queue is full."""
        self._auto_create = auto_create

    def producer(self, properties: Mapping[str, str]) -> MemoryProducer:
        self.made.append(properties)
        return MemoryProducer(self)

    def consumer(self, properties: Mapping[str, str]) -> MemoryConsumer:
        self.made.append(properties)
        return MemoryConsumer(self, properties)

    def admin(self, properties: Mapping[str, str]) -> MemoryAdmin:
        self.made.append(properties)
        return MemoryAdmin(self)

    def member(
        self, properties: Mapping[str, str], membership: Membership, changed: Callable[[Role | None], None]
    ) -> MemoryMember:
        return MemoryMember(self, membership, changed)

    # -- for tests ----------------------------------------------------------------------------

    def produce(self, topic: str, *values: bytes | None, key: bytes | None = None, partition: int = 0) -> None:
        """Append records."""
        for value in values:
            self.append(topic, key, value, partition=partition)

    def read(self, topic: str) -> list[KafkaRecord]:
        """All records of a topic, partition by partition."""
        with self.changed:
            found = self.topics.get(topic)
            return [] if found is None else [record for log in found.partitions for record in log]

    def values(self, topic: str) -> list[bytes | None]:
        """The values of all records of a topic."""
        return [record.value for record in self.read(topic)]

    def committed(self, group: str) -> dict[TopicPartition, int]:
        """What a group has committed."""
        with self.changed:
            return dict(self.groups[group].offsets) if group in self.groups else {}

    def rebalance(self, group: str) -> None:
        """Take all partitions of the group away, and give them out again, when its members read next."""
        with self.changed:
            for member in self.groups[group].members:
                member.rebalance_wanted = True
            self.changed.notify_all()

    def expel(self, group: str) -> None:
        """Let the members of the group lose their partitions, as after a session that ran out."""
        with self.changed:
            for member in self.groups[group].members:
                member.expelled = member.rebalance_wanted = True
            self.changed.notify_all()

    # -- for clients --------------------------------------------------------------------------

    def topic(self, name: str) -> _Topic | None:
        with self.changed:
            if name not in self.topics and self._auto_create:
                self.topics[name] = _Topic([[] for _ in range(self._auto_create)], 1, {})
            return self.topics.get(name)

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: RawHeaders = (),
    ) -> KafkaRecord:
        with self.changed:
            found = self.topic(topic)
            if found is None:
                raise ConnectError(f"UNKNOWN_TOPIC_OR_PART: {topic}")
            where = partition if partition is not None else zlib.crc32(key or b"") % len(found.partitions)
            log = found.partitions[where]
            stamp = (CREATE_TIME, SYSTEM_CLOCK.wall_ms() if timestamp is None else timestamp)
            log.append(KafkaRecord(topic, where, len(log), stamp, key, value, list(headers) or None))
            self.changed.notify_all()
            return log[-1]


@dataclass(frozen=True, slots=True)
class _Report:
    record: KafkaRecord | None
    name: str

    def topic(self) -> str | None:
        return self.name

    def partition(self) -> int | None:
        return None if self.record is None else self.record.partition

    def offset(self) -> int | None:
        return None if self.record is None else self.record.offset


class MemoryProducer:
    """Delivers when served, like librdkafka's; reports failures only (`kafka.ports.Producer`)."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self._queue: list[tuple[Callable[[], KafkaRecord], str, bytes | None, OnDelivery | None]] = []
        self._failure: Exception | None = None
        self.closed = False

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: RawHeaders = (),
        on_delivery: OnDelivery | None = None,
        wait: float | None = None,
    ) -> None:
        if len(self._queue) >= self._kafka.room:
            raise QueueFull("the queue is full")
        kafka = self._kafka

        def deliver() -> KafkaRecord:
            return kafka.append(topic, key, value, partition=partition, timestamp=timestamp, headers=headers)

        self._queue.append((deliver, topic, value, on_delivery))

    def poll(self, seconds: float = 0) -> None:
        if self._kafka.held:
            return
        queue, self._queue = self._queue, []
        for deliver, topic, value, on_delivery in queue:
            error = self._kafka.refuse_records(topic, value)
            if error is None:
                deliver()
            elif on_delivery is not None:
                on_delivery(error, _Report(None, topic))
            else:
                self._failure = self._failure or error

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def outstanding(self) -> int:
        return len(self._queue)

    def flush(self, seconds: float) -> bool:
        self.poll()
        self.check()
        return not self._queue

    def close(self, seconds: float = 5) -> None:
        self.poll()
        self.closed = True


class MemoryMember:
    """Stands in line for its group: the first is active (`kafka.ports.Member`)."""

    def __init__(self, kafka: MemoryKafka, membership: Membership, changed: Callable[[Role | None], None]) -> None:
        self._kafka = kafka
        self.membership = membership
        self.changed = changed

    def start(self) -> None:
        self._line.append(self)
        self._tell()

    def stop(self) -> None:
        if self in self._line:
            self._line.remove(self)
            self.changed(None)
            self._tell()

    @property
    def _line(self) -> list[MemoryMember]:
        return self._kafka.lines.setdefault(self.membership.group, [])

    def _tell(self) -> None:
        self._kafka.generation += 1
        for place, member in enumerate(self._line):
            member.changed(Role(self._kafka.generation, place == 0, self._line[0].membership.url))


class MemoryConsumer:
    """A member of a group, or a reader of assigned partitions (`kafka.ports.Consumer`)."""

    def __init__(self, kafka: MemoryKafka, properties: Mapping[str, str]) -> None:
        self._kafka = kafka
        self._group = kafka.groups.setdefault(properties.get("group.id", ""), _Group())
        self._most = poll_records(properties, 1_000_000)
        self._topics: list[str] = []
        self._rebalance: Rebalance | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._commits: list[tuple[dict[TopicPartition, int], Callable[[ConnectError | None], None]]] = []
        self.rebalance_wanted = False
        self.expelled = False
        self.closed = False

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        with self._kafka.changed:
            self._topics, self._rebalance = list(topics), rebalance
            if self not in self._group.members:
                self._group.members.append(self)
            for member in self._group.members:
                member.rebalance_wanted = True

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            _, end = self.watermarks(partition)
            self._positions[partition] = {BEGINNING: 0, END: end}.get(offset, offset)

    def assignment(self) -> list[TopicPartition]:
        return list(self._positions)

    def read(self, count: int, seconds: float) -> list[KafkaRecord]:
        self._answer_commits()
        if self.rebalance_wanted:
            self._take_part()
        with self._kafka.changed:
            self._kafka.changed.wait_for(lambda: self._has_records() or self.rebalance_wanted, seconds)
            return self._next(min(count, self._most))

    def _has_records(self) -> bool:
        return any(self._log(tp)[at:] for tp, at in self._positions.items() if tp not in self._paused)

    def _next(self, count: int) -> list[KafkaRecord]:
        found: list[KafkaRecord] = []
        for partition, at in self._positions.items():
            if partition not in self._paused and len(found) < count:
                taken = self._log(partition)[at : at + count - len(found)]
                self._positions[partition] = at + len(taken)
                found += taken
        return found

    def _log(self, partition: TopicPartition) -> list[KafkaRecord]:
        topic = self._kafka.topic(partition.topic)
        return [] if topic is None else topic.partitions[partition.partition]

    def _take_part(self) -> None:
        """Give back what is had, then take what falls to this member: partitions in turn, in order of joining."""
        assert self._rebalance is not None
        had = list(self._positions)
        if had:
            (self._rebalance.lost if self.expelled else self._rebalance.revoked)(had)
        self._positions, self._paused = {}, set()
        self.rebalance_wanted = self.expelled = False
        with self._kafka.changed:
            members = self._group.members
            turn = members.index(self)
            everything = [
                TopicPartition(name, number)
                for name in self._topics
                if (topic := self._kafka.topic(name)) is not None
                for number in range(len(topic.partitions))
            ]
            mine = everything[turn :: len(members)]
        start = self._rebalance.assigned(mine) or {}
        with self._kafka.changed:
            for partition in mine:
                self._positions[partition] = start.get(partition, self._group.offsets.get(partition, 0))

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._kafka.refuse_commits is not None:
            raise self._kafka.refuse_commits
        with self._kafka.changed:
            self._group.offsets.update(offsets)
            self._kafka.changed.notify_all()

    def commit_soon(self, offsets: Mapping[TopicPartition, int], done: Callable[[ConnectError | None], None]) -> None:
        with self._kafka.changed:
            self._commits.append((dict(offsets), done))

    def _answer_commits(self) -> None:
        with self._kafka.changed:
            commits, self._commits = self._commits, []
        for offsets, done in commits:
            try:
                self.commit(offsets)
            except ConnectError as exc:
                done(exc)
            else:
                done(None)

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._group.offsets[tp] for tp in partitions if tp in self._group.offsets}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        with self._kafka.changed:
            if partition not in self._positions:
                raise RetriableError(f"{partition} is not assigned")
            self._positions[partition] = offset

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        with self._kafka.changed:
            self._paused |= set(partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        with self._kafka.changed:
            self._paused -= set(partitions)
            self._kafka.changed.notify_all()

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        return 0, len(self._log(partition))

    def end_known(self, partition: TopicPartition) -> int | None:
        return len(self._log(partition))

    def ended_at(self, partition: TopicPartition) -> int | None:
        return self._positions.get(partition)

    def topics(self) -> list[str]:
        return list(self._kafka.topics)

    def close(self) -> None:
        self.closed = True
        if self._positions and self._rebalance is not None:
            self._rebalance.revoked(list(self._positions))
        with self._kafka.changed:
            if self in self._group.members:
                self._group.members.remove(self)
            for member in self._group.members:
                member.rebalance_wanted = True
            self._kafka.changed.notify_all()


class MemoryAdmin:
    """Topics and groups (`kafka.ports.Admin`)."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka

    def cluster_id(self) -> str:
        return "memory"

    def topics(self) -> list[TopicFacts]:
        return [facts for name in sorted(self._kafka.topics) if (facts := self.topic(name)) is not None]

    def topic(self, name: str) -> TopicFacts | None:
        found = self._kafka.topics.get(name)
        if found is None:
            return None
        return TopicFacts(name, len(found.partitions), found.replication_factor, name.startswith("__"))

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int = 1,
        configs: Mapping[str, str] | None = None,
        exists_ok: bool = False,
    ) -> bool:
        if name in self._kafka.topics:
            if exists_ok:
                return False
            raise TopicExists(f"Topic '{name}' already exists.")
        if self._kafka.refuse_topics is not None:
            raise self._kafka.refuse_topics
        logs: list[list[KafkaRecord]] = [[] for _ in range(max(partitions, 1))]
        self._kafka.topics[name] = _Topic(logs, replication_factor, dict(configs or {}))
        return True

    def delete_topic(self, name: str) -> None:
        self._kafka.topics.pop(name, None)

    def add_partitions(self, name: str, count: int) -> None:
        logs = self._kafka.topics[name].partitions
        logs += [[] for _ in itertools.repeat(None, count - len(logs))]

    def topic_configs(self, name: str, *, with_defaults: bool = False) -> dict[str, str]:
        return dict(self._kafka.topics[name].configs)

    def alter_topic_configs(self, name: str, changes: Mapping[str, str | None]) -> None:
        merged = {**self._kafka.topics[name].configs, **changes}
        self._kafka.topics[name].configs = {key: value for key, value in merged.items() if value is not None}

    def groups(self) -> list[str]:
        return sorted(self._kafka.groups)

    def group_offsets(self, group: str) -> dict[TopicPartition, int]:
        return self._kafka.committed(group)

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._empty(group).offsets.update(offsets)

    def forget_group_offsets(self, group: str, partitions: Collection[TopicPartition]) -> None:
        if partitions:
            for partition in partitions:
                self._empty(group).offsets.pop(partition, None)

    def delete_group(self, group: str) -> None:
        self._empty(group)
        self._kafka.groups.pop(group, None)

    def _empty(self, group: str) -> _Group:
        found = self._kafka.groups.setdefault(group, _Group())
        if found.members:
            raise GroupNotEmpty("The group is not empty.")
        return found

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self._kafka.topics[tp.topic].partitions[tp.partition]) for tp in partitions}

    def start_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def offsets_at(self, partitions: Iterable[TopicPartition], timestamp: int) -> dict[TopicPartition, int]:
        return {
            tp: next(
                (r.offset for r in self._kafka.topics[tp.topic].partitions[tp.partition] if r.stamp[1] >= timestamp), -1
            )
            for tp in partitions
        }

    def describe_topics(self) -> list[TopicDetails]:
        return [
            TopicDetails(
                facts.name,
                facts.name,
                facts.internal,
                tuple(PartitionDetails(number, 1, (1,), (1,)) for number in range(facts.partitions)),
            )
            for facts in self.topics()
        ]

    def brokers(self) -> list[int]:
        return [1]

    def settings(self, resource: Resource, name: str) -> list[Setting]:
        if resource is not Resource.TOPIC:
            return []
        if name not in self._kafka.topics:
            raise UnknownTopic(name)
        source = "DYNAMIC_TOPIC_CONFIG"
        return [
            Setting(key, value, source, False, ((source, key, value),))
            for key, value in sorted(self.topic_configs(name).items())
        ]

    def alter_settings(self, resource: Resource, name: str, changes: Mapping[str, str | None]) -> None:
        if resource is not Resource.TOPIC:
            raise ConnectError("only topics have settings here")
        self.alter_topic_configs(name, changes)

    def group_states(self) -> dict[str, str]:
        return {name: "Stable" if group.members else "Empty" for name, group in self._kafka.groups.items()}

    def describe_group(self, group: str) -> GroupDetails:
        found = self._kafka.groups.get(group)
        if found is None:
            return GroupDetails(group, "Dead", "", "", ())
        members = tuple(
            MemberDetails(f"member-{number}", "", "", tuple(sorted(member.assignment())))
            for number, member in enumerate(found.members)
        )
        return GroupDetails(group, "Stable" if members else "Empty", "range" if members else "", "", members)
