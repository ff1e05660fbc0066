"""The records of `__consumer_offsets`: committed offsets and group metadata, in Kafka's own key and value formats.

The schemas are those of Kafka's group coordinator (KIP-496, KIP-848). A key begins with a number that tells
what the record is about, a value with the version of its format. Written are the versions Apache Kafka 4
writes; older ones are read too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

T = TypeVar("T")

Partitions = frozenset[tuple[UUID, int]]
"""Partitions as topic id and number."""


class Kind(IntEnum):
    """What a record is about: the number its key begins with."""

    OFFSET_V0 = 0
    OFFSET = 1
    CLASSIC_GROUP = 2
    CONSUMER_GROUP = 3
    CONSUMER_MEMBER = 5
    TARGET_EPOCH = 6
    TARGET_MEMBER = 7
    CURRENT_MEMBER = 8
    REGEX = 16


_NAMED: Final = frozenset({Kind.CONSUMER_MEMBER, Kind.TARGET_MEMBER, Kind.CURRENT_MEMBER, Kind.REGEX})
"""Kinds with a name after the group: a member id or an expression."""
_OFFSETS: Final = frozenset({Kind.OFFSET_V0, Kind.OFFSET})


class Key(NamedTuple):
    """The key of a record."""

    kind: Kind
    group: str
    name: str = ""
    """Topic of an offset, member id, or regular expression."""
    partition: int = -1


class Committed(NamedTuple):
    """What a group committed for one partition."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""
    timestamp: int = -1
    """Of the commit, milliseconds since the epoch."""
    expires: int = -1
    """When it expires, where the client said so (OffsetCommit v2 to v4); -1: by the broker's retention."""


class StoredMember(NamedTuple):
    """A member of a classic group with the assignment it was given."""

    id: str
    instance_id: str | None
    client_id: str
    host: str
    rebalance_ms: int
    session_ms: int
    subscription: bytes
    """Its metadata for the protocol that was chosen."""
    assignment: bytes


class StoredGroup(NamedTuple):
    """A classic group between two rebalances."""

    protocol_type: str
    generation: int
    protocol: str | None
    leader: str | None
    since_ms: int
    members: tuple[StoredMember, ...]


class StoredConsumerGroup(NamedTuple):
    """A group of the consumer protocol."""

    epoch: int
    metadata_hash: int = 0
    """Of the topics subscribed to, by which a change of theirs is noticed."""


class StoredConsumerMember(NamedTuple):
    """What a member of the consumer protocol says of itself."""

    instance_id: str | None
    rack_id: str | None
    client_id: str
    host: str
    topics: tuple[str, ...]
    regex: str | None
    rebalance_ms: int
    assignor: str | None


class StoredCurrent(NamedTuple):
    """Where a member of the consumer protocol stands."""

    epoch: int
    previous_epoch: int
    state: int
    assigned: Partitions
    revoking: Partitions


class StoredRegex(NamedTuple):
    """The topics an expression stood for."""

    topics: tuple[str, ...]
    version: int
    timestamp: int


class UnreadableRecord(ValueError):
    """A record that is in none of the formats known here."""


# -- keys ------------------------------------------------------------------------------------


def encode_key(key: Key) -> bytes:
    out = Writer(key.kind)
    out.text(key.group)
    if key.kind in _NAMED or key.kind in _OFFSETS:
        out.text(key.name)
    if key.kind in _OFFSETS:
        out.number(">i", key.partition)
    return bytes(out.data)


def decode_key(data: bytes) -> Key | None:
    """The key, or None for a kind that is not used here; UnreadableRecord when it is cut short."""
    reader = Reader(data)
    if reader.version not in Kind.__members__.values():
        return None
    kind = Kind(reader.version)
    group = reader.text()
    name = reader.text() if kind in _NAMED or kind in _OFFSETS else ""
    partition = reader.number(">i") if kind in _OFFSETS else -1
    return Key(Kind.OFFSET if kind is Kind.OFFSET_V0 else kind, group, name, partition)


# -- values ----------------------------------------------------------------------------------


def encode_offset(committed: Committed) -> bytes:
    """OffsetCommitValue; version 1 is the only one that knows when the offset expires."""
    out = Writer(3 if committed.expires < 0 else 1)
    out.number(">q", committed.offset)
    if committed.expires < 0:
        out.number(">i", committed.leader_epoch)
    out.text(committed.metadata)
    out.number(">q", committed.timestamp)
    if committed.expires >= 0:
        out.number(">q", committed.expires)
    return bytes(out.data)


def decode_offset(data: bytes) -> Committed:
    reader = Reader(data, newest=4, flexible_from=4)
    offset = reader.number(">q")
    leader_epoch = reader.number(">i") if reader.version >= 3 else -1
    metadata = reader.text()
    timestamp = reader.number(">q")
    expires = reader.number(">q") if reader.version == 1 else -1
    return Committed(offset, leader_epoch, metadata, timestamp, expires)


def encode_group(group: StoredGroup) -> bytes:
    """GroupMetadataValue, version 3."""
    out = Writer(3)
    out.text(group.protocol_type)
    out.number(">i", group.generation)
    out.optional(group.protocol)
    out.optional(group.leader)
    out.number(">q", group.since_ms)
    out.count(len(group.members))
    for member in group.members:
        out.text(member.id)
        out.optional(member.instance_id)
        out.text(member.client_id)
        out.text(member.host)
        out.number(">ii", member.rebalance_ms, member.session_ms)
        out.blob(member.subscription)
        out.blob(member.assignment)
    return bytes(out.data)


def decode_group(data: bytes) -> StoredGroup:
    reader = Reader(data, newest=4, flexible_from=4)
    version = reader.version

    def member() -> StoredMember:
        member_id = reader.text()
        instance_id = reader.optional() if version >= 3 else None
        client_id, host = reader.text(), reader.text()
        rebalance_ms = reader.number(">i") if version >= 1 else -1
        session_ms = reader.number(">i")
        found = StoredMember(
            member_id,
            instance_id,
            client_id,
            host,
            session_ms if rebalance_ms < 0 else rebalance_ms,
            session_ms,
            reader.blob(),
            reader.blob(),
        )
        reader.tags()
        return found

    return StoredGroup(
        protocol_type=reader.text(),
        generation=reader.number(">i"),
        protocol=reader.optional(),
        leader=reader.optional(),
        since_ms=reader.number(">q") if version >= 2 else -1,
        members=tuple(reader.many(member)),
    )


_HASH_TAG: Final = 0


def encode_consumer_group(group: StoredConsumerGroup) -> bytes:
    """ConsumerGroupMetadataValue, version 0."""
    out = Writer(0, flexible=True)
    out.number(">i", group.epoch)
    out.tags({_HASH_TAG: struct.pack(">q", group.metadata_hash)} if group.metadata_hash else None)
    return bytes(out.data)


def decode_consumer_group(data: bytes) -> StoredConsumerGroup:
    reader = Reader(data, newest=0, flexible_from=0)
    epoch = reader.number(">i")
    tagged = reader.tags().get(_HASH_TAG)
    return StoredConsumerGroup(epoch, struct.unpack(">q", tagged)[0] if tagged else 0)


def encode_consumer_member(member: StoredConsumerMember) -> bytes:
    """ConsumerGroupMemberMetadataValue, version 0."""
    out = Writer(0, flexible=True)
    out.optional(member.instance_id)
    out.optional(member.rack_id)
    out.text(member.client_id)
    out.text(member.host)
    out.count(len(member.topics))
    for topic in member.topics:
        out.text(topic)
    out.optional(member.regex)
    out.number(">i", member.rebalance_ms)
    out.optional(member.assignor)
    out.tags()
    return bytes(out.data)


def decode_consumer_member(data: bytes) -> StoredConsumerMember:
    reader = Reader(data, newest=0, flexible_from=0)
    return StoredConsumerMember(
        instance_id=reader.optional(),
        rack_id=reader.optional(),
        client_id=reader.text(),
        host=reader.text(),
        topics=tuple(reader.many(reader.text)),
        regex=reader.optional(),
        rebalance_ms=reader.number(">i"),
        assignor=reader.optional(),
    )


def encode_target_epoch(epoch: int) -> bytes:
    """ConsumerGroupTargetAssignmentMetadataValue, version 0."""
    out = Writer(0, flexible=True)
    out.number(">i", epoch)
    out.tags()
    return bytes(out.data)


def decode_target_epoch(data: bytes) -> int:
    return Reader(data, newest=0, flexible_from=0).number(">i")


def encode_target(partitions: Partitions) -> bytes:
    """ConsumerGroupTargetAssignmentMemberValue, version 0."""
    out = Writer(0, flexible=True)
    out.partitions(partitions)
    out.tags()
    return bytes(out.data)


def decode_target(data: bytes) -> Partitions:
    return Reader(data, newest=0, flexible_from=0).partitions()


def encode_current(current: StoredCurrent) -> bytes:
    """ConsumerGroupCurrentMemberAssignmentValue, version 0."""
    out = Writer(0, flexible=True)
    out.number(">iib", current.epoch, current.previous_epoch, current.state)
    out.partitions(current.assigned)
    out.partitions(current.revoking)
    out.tags()
    return bytes(out.data)


def decode_current(data: bytes) -> StoredCurrent:
    reader = Reader(data, newest=0, flexible_from=0)
    return StoredCurrent(
        epoch=reader.number(">i"),
        previous_epoch=reader.number(">i"),
        state=reader.number(">b"),
        assigned=reader.partitions(),
        revoking=reader.partitions(),
    )


def encode_regex(regex: StoredRegex) -> bytes:
    """ConsumerGroupRegularExpressionValue, version 0."""
    out = Writer(0, flexible=True)
    out.count(len(regex.topics))
    for topic in regex.topics:
        out.text(topic)
    out.number(">qq", regex.version, regex.timestamp)
    out.tags()
    return bytes(out.data)


def decode_regex(data: bytes) -> StoredRegex:
    reader = Reader(data, newest=0, flexible_from=0)
    return StoredRegex(tuple(reader.many(reader.text)), reader.number(">q"), reader.number(">q"))


def by_topic(partitions: Iterable[tuple[UUID, int]]) -> dict[UUID, list[int]]:
    """Partitions grouped by topic, in order."""
    grouped: dict[UUID, list[int]] = {}
    for topic, number in sorted(partitions, key=lambda place: (place[0].int, place[1])):
        grouped.setdefault(topic, []).append(number)
    return grouped


# -- Kafka's primitive types -----------------------------------------------------------------


class Writer:
    """Fields of one record, one after the other; flexible formats have varint lengths and tags (KIP-482)."""

    def __init__(self, version: int, *, flexible: bool = False) -> None:
        self.data = bytearray(struct.pack(">h", version))
        self._flexible = flexible

    def number(self, form: str, *values: int) -> None:
        self.data += struct.pack(form, *values)

    def text(self, text: str) -> None:
        raw = text.encode()
        self._length(len(raw), ">h")
        self.data += raw

    def optional(self, text: str | None) -> None:
        if text is None:
            self._length(-1, ">h")
        else:
            self.text(text)

    def blob(self, data: bytes) -> None:
        self._length(len(data), ">i")
        self.data += data

    def count(self, count: int) -> None:
        self._length(count, ">i")

    def partitions(self, partitions: Partitions) -> None:
        grouped = by_topic(partitions)
        self.count(len(grouped))
        for topic, numbers in grouped.items():
            self.data += topic.bytes
            self.count(len(numbers))
            self.number(f">{len(numbers)}i", *numbers)
            self.tags()

    def tags(self, tagged: dict[int, bytes] | None = None) -> None:
        self._varint(len(tagged or {}))
        for tag, data in (tagged or {}).items():
            self._varint(tag)
            self._varint(len(data))
            self.data += data

    def _length(self, length: int, form: str) -> None:
        if self._flexible:
            self._varint(length + 1)
        else:
            self.number(form, length)

    def _varint(self, number: int) -> None:
        while number > 0x7F:
            self.data.append((number & 0x7F) | 0x80)
            number >>= 7
        self.data.append(number)


class Reader:
    """The counterpart of Writer; UnreadableRecord for a version after `newest`, and where data is cut short."""

    def __init__(self, data: bytes, *, newest: int | None = None, flexible_from: int | None = None) -> None:
        self._data = data
        self._position = 0
        self.version = self.number(">h")
        if newest is not None and not 0 <= self.version <= newest:
            raise UnreadableRecord(f"format version {self.version} is not known, {newest} is the newest")
        self._flexible = flexible_from is not None and self.version >= flexible_from

    def number(self, form: str) -> int:
        raw = self._take(struct.calcsize(form))
        found: int = struct.unpack(form, raw)[0]
        return found

    def text(self) -> str:
        found = self.optional()
        if found is None:
            raise UnreadableRecord("a text that must be there is null")
        return found

    def optional(self) -> str | None:
        length = self._length(">h")
        try:
            return None if length < 0 else self._take(length).decode()
        except UnicodeDecodeError as exc:
            raise UnreadableRecord(f"a text is not UTF-8: {exc}") from exc

    def blob(self) -> bytes:
        return self._take(max(self._length(">i"), 0))

    def many(self, read: Callable[[], T]) -> list[T]:
        return [read() for _ in range(self._length(">i"))]

    def partitions(self) -> Partitions:
        def topic() -> list[tuple[UUID, int]]:
            topic_id = UUID(bytes=self._take(16))
            numbers = self.many(lambda: self.number(">i"))
            self.tags()
            return [(topic_id, number) for number in numbers]

        return frozenset(place for places in self.many(topic) for place in places)

    def tags(self) -> dict[int, bytes]:
        """Tagged fields; there are none in formats that are not flexible."""
        if not self._flexible:
            return {}
        return {self._varint(): self._take(self._varint()) for _ in range(self._varint())}

    def _length(self, form: str) -> int:
        return self._varint() - 1 if self._flexible else self.number(form)

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise UnreadableRecord(f"{size} bytes expected at {self._position} of {len(self._data)}")
        taken = self._data[self._position : end]
        self._position = end
        return taken
