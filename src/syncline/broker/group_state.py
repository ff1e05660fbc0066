"""Groups as records of `__consumer_offsets`, and records as groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from syncline.broker.consumer_groups import ConsumerMember, MemberState, Snapshot
from syncline.broker.group_records import (
    Key,
    Kind,
    StoredConsumerGroup,
    StoredConsumerMember,
    StoredCurrent,
    StoredGroup,
    StoredMember,
    StoredRegex,
    decode_consumer_group,
    decode_consumer_member,
    decode_current,
    decode_group,
    decode_regex,
    decode_target,
    decode_target_epoch,
    encode_consumer_group,
    encode_consumer_member,
    encode_current,
    encode_group,
    encode_regex,
    encode_target,
    encode_target_epoch,
)
from syncline.broker.groups import ClassicGroup, Member

V = TypeVar("V")

Records = list[tuple[Key, bytes | None]]
"""Keys and values; None deletes."""


def classic_records(group: ClassicGroup) -> dict[Key, bytes]:
    """A classic group as it is now."""
    members = tuple(
        StoredMember(
            member.id,
            member.instance_id,
            member.client_id,
            member.host,
            member.rebalance_ms,
            member.session_ms,
            member.metadata(group.protocol),
            member.assignment,
        )
        for member in group.members.values()
    )
    stored = StoredGroup(
        group.protocol_type or "", group.generation, group.protocol, group.leader, group.since_ms, members
    )
    return {Key(Kind.CLASSIC_GROUP, group.id): encode_group(stored)}


def consumer_records(group: str, snapshot: Snapshot) -> dict[Key, bytes]:
    """A group of the consumer protocol, in the order in which Kafka writes its records."""
    members = snapshot.members.values()
    return {
        **{Key(Kind.CONSUMER_MEMBER, group, one.id): encode_consumer_member(_said(one)) for one in members},
        **{
            # When the expression was resolved does not matter here: that is done at every heartbeat.
            Key(Kind.REGEX, group, regex): encode_regex(StoredRegex(tuple(sorted(topics)), 0, 0))
            for regex, topics in snapshot.regexes.items()
        },
        Key(Kind.CONSUMER_GROUP, group): encode_consumer_group(
            StoredConsumerGroup(snapshot.epoch, snapshot.metadata_hash)
        ),
        **{
            Key(Kind.TARGET_MEMBER, group, member_id): encode_target(partitions)
            for member_id, partitions in snapshot.targets.items()
        },
        Key(Kind.TARGET_EPOCH, group): encode_target_epoch(snapshot.target_epoch),
        **{Key(Kind.CURRENT_MEMBER, group, one.id): encode_current(_stands(one)) for one in members},
    }


def _said(member: ConsumerMember) -> StoredConsumerMember:
    return StoredConsumerMember(
        member.instance_id,
        member.rack_id,
        member.client_id,
        member.host,
        tuple(sorted(member.topics)),
        member.regex,
        member.rebalance_ms,
        member.assignor,
    )


def _stands(member: ConsumerMember) -> StoredCurrent:
    return StoredCurrent(member.epoch, member.previous_epoch, member.state, member.assigned, member.revoking)


def difference(before: dict[Key, bytes], after: dict[Key, bytes]) -> Records:
    """The records that lead from one to the other; what goes, goes in the opposite order of its coming."""
    gone: Records = [(key, None) for key in reversed(before) if key not in after]
    return gone + [(key, value) for key, value in after.items() if before.get(key) != value]


@dataclass
class Replayed:
    """What the log says of one group, record by record."""

    classic: StoredGroup | None = None
    consumer: bool = False
    """There is a group of the consumer protocol."""
    snapshot: Snapshot = field(default_factory=Snapshot)

    def apply(self, key: Key, value: bytes | None) -> None:
        """Take one record in; UnreadableRecord when it is malformed."""
        match key.kind:
            case Kind.CLASSIC_GROUP:
                self.classic = None if value is None else decode_group(value)
            case Kind.CONSUMER_GROUP:
                self._group(None if value is None else decode_consumer_group(value))
            case Kind.TARGET_EPOCH:
                epoch = 0 if value is None else decode_target_epoch(value)
                self.snapshot = replace(self.snapshot, target_epoch=epoch)
            case Kind.TARGET_MEMBER:
                target = None if value is None else decode_target(value)
                self.snapshot = replace(self.snapshot, targets=_with(self.snapshot.targets, key.name, target))
            case Kind.REGEX:
                topics = None if value is None else frozenset(decode_regex(value).topics)
                self.snapshot = replace(self.snapshot, regexes=_with(self.snapshot.regexes, key.name, topics))
            case Kind.CONSUMER_MEMBER:
                self._member(key.name, None if value is None else decode_consumer_member(value))
            case Kind.CURRENT_MEMBER if value is not None:
                self._current(key.name, decode_current(value))

    def _group(self, stored: StoredConsumerGroup | None) -> None:
        self.consumer = stored is not None
        if stored is None:
            self.snapshot = Snapshot()
        else:
            self.snapshot = replace(self.snapshot, epoch=stored.epoch, metadata_hash=stored.metadata_hash)

    def _member(self, member_id: str, said: StoredConsumerMember | None) -> None:
        if said is None:
            member = None
        else:
            known = self.snapshot.members.get(member_id, ConsumerMember(id=member_id))
            member = replace(
                known,
                instance_id=said.instance_id,
                rack_id=said.rack_id,
                client_id=said.client_id,
                host=said.host,
                topics=frozenset(said.topics),
                regex=said.regex or "",
                rebalance_ms=said.rebalance_ms,
                assignor=said.assignor,
            )
        self.snapshot = replace(self.snapshot, members=_with(self.snapshot.members, member_id, member))

    def _current(self, member_id: str, stands: StoredCurrent) -> None:
        member = self.snapshot.members.get(member_id, ConsumerMember(id=member_id))
        self.snapshot = self.snapshot.with_member(
            replace(
                member,
                epoch=stands.epoch,
                previous_epoch=stands.previous_epoch,
                state=MemberState(stands.state),
                assigned=stands.assigned,
                revoking=stands.revoking,
            )
        )

    def members(self) -> dict[str, Member]:
        """The members of the classic group; each knows the one protocol that was chosen."""
        if self.classic is None:
            return {}
        protocol = self.classic.protocol or ""
        return {
            one.id: Member(
                id=one.id,
                instance_id=one.instance_id,
                client_id=one.client_id,
                host=one.host,
                session_ms=one.session_ms,
                rebalance_ms=one.rebalance_ms,
                protocols=((protocol, one.subscription),),
                assignment=one.assignment,
                fresh=False,
            )
            for one in self.classic.members
        }


def _with(mapping: Mapping[str, V], name: str, value: V | None) -> dict[str, V]:
    """A copy with `value` under `name`; without `name` when the value is None."""
    rest = {key: found for key, found in mapping.items() if key != name}
    return rest if value is None else {**rest, name: value}
