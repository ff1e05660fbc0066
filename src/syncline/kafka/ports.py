"""Kafka as the rest of Syncline sees it: what a producer, a consumer and an admin client can do.

Everything blocks. Errors are ConnectError, or RetriableError when the same call may succeed later.
`syncline.kafka.client` implements these over librdkafka, `syncline.testing.kafka` in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from syncline.errors import ConnectError, RetriableError
from syncline.ids import TopicPartition

RawHeaders = Sequence[tuple[str, bytes | None]]

NO_TIMESTAMP: Final = 0
CREATE_TIME: Final = 1
LOG_APPEND_TIME: Final = 2

BEGINNING: Final = -2
"""An offset for `Consumer.assign`: the oldest record there is."""
END: Final = -1
"""An offset for `Consumer.assign`: the next record to be written."""


class KafkaRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as it stands in a topic."""

    topic: str
    partition: int
    offset: int
    stamp: tuple[int, int]
    """One of NO_TIMESTAMP, CREATE_TIME, LOG_APPEND_TIME, and milliseconds since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]] | None
    """In order; None when there are none."""

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since the epoch, if the record has a timestamp."""
        kind, milliseconds = self.stamp
        return None if kind == NO_TIMESTAMP or milliseconds < 0 else milliseconds


class QueueFull(RetriableError):
    """The producer's queue has no room: the broker is slower than the sender."""


class Delivered(Protocol):
    """A record that was sent, as a delivery report shows it."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...


OnDelivery = Callable[[Exception | None, Delivered], None]


class Producer(Protocol):
    """Sends records, in order per partition; any thread may call."""

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
        """Queue one record; while the queue is full wait, or with `wait` raise QueueFull after so many seconds.

        Without `partition` the key decides as Java's partitioner does. `on_delivery` is called from `poll`
        or `flush`; without it a failed delivery is raised by the next `check`.
        """
        ...

    def poll(self, seconds: float = 0) -> None:
        """Serve delivery reports; wait for the first one at most `seconds`."""
        ...

    def check(self) -> None:
        """Raise ConnectError if a record that had no `on_delivery` was not delivered."""
        ...

    def outstanding(self) -> int:
        """How many records are neither acknowledged nor reported as failed."""
        ...

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is outstanding; False when the time was not enough."""
        ...

    def close(self, seconds: float = 5) -> None:
        """Send what is queued, within the time, and let go."""
        ...


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What happens when partitions come and go; called on the thread that reads, which waits."""

    assigned: Callable[[list[TopicPartition]], Mapping[TopicPartition, int] | None]
    """May return offsets to start from in place of the committed ones."""
    revoked: Callable[[list[TopicPartition]], None]
    """Still this consumer's until the call returns: offsets may be committed."""
    lost: Callable[[list[TopicPartition]], None]
    """Already somebody else's."""


class Consumer(Protocol):
    """Reads records; one thread reads, `commit` and `commit_soon` may come from another."""

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Join the group for these topics, which need not exist yet; calling again changes the topics."""
        ...

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, without a group; BEGINNING and END are understood."""
        ...

    def assignment(self) -> list[TopicPartition]: ...

    def read(self, count: int, seconds: float) -> list[KafkaRecord]:
        """At most `count` records: what is there at once, or after at most `seconds` if nothing is."""
        ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to read and wait for it; RetriableError when the group does not take them now."""
        ...

    def commit_soon(self, offsets: Mapping[TopicPartition, int], done: Callable[[ConnectError | None], None]) -> None:
        """Commit without waiting; `done` hears of it on the thread that reads."""
        ...

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed offsets; partitions without one are left out."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`; RetriableError while the partition is not yet being fetched."""
        ...

    def pause(self, partitions: Iterable[TopicPartition]) -> None: ...

    def resume(self, partitions: Iterable[TopicPartition]) -> None: ...

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        """First offset and end offset, asked of the broker."""
        ...

    def end_known(self, partition: TopicPartition) -> int | None:
        """The end offset as of the last fetch, without asking; None before the first."""
        ...

    def ended_at(self, partition: TopicPartition) -> int | None:
        """The end that reading last came to; past what is no record, such as the marks of transactions.

        None before the first. Known only of a consumer with `enable.partition.eof=true`.
        """
        ...

    def topics(self) -> list[str]:
        """Names of all topics of the cluster."""
        ...

    def close(self) -> None:
        """Leave the group; revokes partitions first."""
        ...


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the cluster describes it."""

    name: str
    partitions: int
    replication_factor: int
    internal: bool


@dataclass(frozen=True, slots=True)
class PartitionDetails:
    """A partition and where its replicas are, by numbers of brokers."""

    number: int
    leader: int | None
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TopicDetails:
    """A topic with everything that a description of it shows."""

    name: str
    topic_id: str
    """As Kafka's tools print it."""
    internal: bool
    partitions: tuple[PartitionDetails, ...]


class Resource(StrEnum):
    """What has settings that can be asked for."""

    TOPIC = "topic"
    BROKER = "broker"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as the cluster describes it."""

    name: str
    value: str | None
    """None when it is sensitive."""
    source: str
    """DEFAULT_CONFIG, STATIC_BROKER_CONFIG, DYNAMIC_TOPIC_CONFIG and so on, as Kafka names them."""
    sensitive: bool
    synonyms: tuple[tuple[str, str, str | None], ...]
    """Source, name and value of everything that could decide it, the first deciding."""


@dataclass(frozen=True, slots=True)
class MemberDetails:
    """A member of a group."""

    member_id: str
    client_id: str
    host: str
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class GroupDetails:
    """A group as its coordinator describes it."""

    name: str
    state: str
    """Stable, Empty, Dead, PreparingRebalance or CompletingRebalance."""
    assignor: str
    coordinator: str
    """Host, port and number of the broker, as Kafka's tools print it."""
    members: tuple[MemberDetails, ...]


class Admin(Protocol):
    """Topics and groups of a cluster."""

    def cluster_id(self) -> str: ...

    def topics(self) -> list[TopicFacts]:
        """All topics, internal ones too, by name."""
        ...

    def topic(self, name: str) -> TopicFacts | None:
        """One topic, or None; asking never makes it."""
        ...

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int = 1,
        configs: Mapping[str, str] | None = None,
        exists_ok: bool = False,
    ) -> bool:
        """Create a topic; numbers of -1 are the broker's defaults.

        False when it was there and `exists_ok`, TopicExists otherwise.
        """
        ...

    def delete_topic(self, name: str) -> None: ...

    def add_partitions(self, name: str, count: int) -> None:
        """Grow a topic to `count` partitions."""
        ...

    def topic_configs(self, name: str, *, with_defaults: bool = False) -> dict[str, str]:
        """Settings of a topic; only those that differ from their defaults unless asked otherwise."""
        ...

    def alter_topic_configs(self, name: str, changes: Mapping[str, str | None]) -> None:
        """Set settings of a topic, or return them to their defaults with None."""
        ...

    def groups(self) -> list[str]:
        """Consumer groups, by name."""
        ...

    def group_offsets(self, group: str) -> dict[TopicPartition, int]:
        """What a group has committed; empty when there is no such group."""
        ...

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set offsets of a group; GroupNotEmpty while it has members."""
        ...

    def forget_group_offsets(self, group: str, partitions: Collection[TopicPartition]) -> None:
        """Remove committed offsets of single partitions; GroupNotEmpty while the group has members."""
        ...

    def delete_group(self, group: str) -> None:
        """Delete a group with its offsets; nothing happens when there is none. GroupNotEmpty while it has members."""
        ...

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the next record of each partition will stand."""
        ...

    def start_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the oldest record of each partition stands."""
        ...

    def offsets_at(self, partitions: Iterable[TopicPartition], timestamp: int) -> dict[TopicPartition, int]:
        """The first record of each partition from that moment on (milliseconds); -1 when there is none."""
        ...

    # -- for descriptions ---------------------------------------------------------------------

    def describe_topics(self) -> list[TopicDetails]:
        """All topics, internal ones too, by name."""
        ...

    def brokers(self) -> list[int]:
        """Numbers of the brokers there are."""
        ...

    def settings(self, resource: Resource, name: str) -> list[Setting]:
        """Everything that can be set for a topic, broker or group, by name; UnknownTopic for a missing topic."""
        ...

    def alter_settings(self, resource: Resource, name: str, changes: Mapping[str, str | None]) -> None:
        """Set settings, or return them to their defaults with None."""
        ...

    def group_states(self) -> dict[str, str]:
        """States of all consumer groups, in the words of `GroupDetails.state`."""
        ...

    def describe_group(self, group: str) -> GroupDetails:
        """A group; one that does not exist is `Dead` and has no members."""
        ...


@dataclass(frozen=True, slots=True)
class Role:
    """What a member is in one generation of its group."""

    generation: int
    active: bool
    active_url: str
    """Of the member that is active, this one or another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A group of which one member is active while the others stand by, and how this process is in it."""

    group: str
    url: str
    """Tells the others where this member is reached."""
    session_ms: int
    heartbeat_ms: int
    rebalance_ms: int


class Member(Protocol):
    """One member of such a group; joins, and joins again, until `stop`."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Leave, so that another member takes over at once."""
        ...


class Kafka(Protocol):
    """Makes clients from properties under Java's names; ConfigError when a value cannot be used."""

    def producer(self, properties: Mapping[str, str]) -> Producer: ...

    def consumer(self, properties: Mapping[str, str]) -> Consumer: ...

    def admin(self, properties: Mapping[str, str]) -> Admin: ...

    def member(
        self, properties: Mapping[str, str], membership: Membership, changed: Callable[[Role | None], None]
    ) -> Member:
        """`changed` hears of every role, and of None when the member is out of the group.

        It must then give up at once what only the active member may do. It is called on the member's thread, and
        the member answers nobody meanwhile; so it must be quick.
        """
        ...
