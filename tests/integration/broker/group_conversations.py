"""Conversations about groups, noted so that those with Apache Kafka and with the broker can be compared.

Run as a program against a broker, it prints what is in `groups_as_kafka.json`:

    python -m tests.integration.broker.group_conversations 127.0.0.1:9092
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from tests.integration.broker.raw import RawClient, encode_subscription

TOPIC = "group-conversations"
PARTITIONS = 4
RANGE = [{"name": "range", "metadata": encode_subscription([TOPIC])}]

OFFSET_COMMIT, OFFSET_FETCH, OFFSET_DELETE, METADATA, CREATE_TOPICS = 8, 9, 47, 3, 19
FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC = 10, 11, 12, 13, 14
INIT_PRODUCER, ADD_OFFSETS, END_TRANSACTION, TXN_OFFSET_COMMIT = 22, 25, 26, 28
DESCRIBE, LIST, DELETE, CONSUMER_HEARTBEAT, CONSUMER_DESCRIBE = 15, 16, 42, 68, 69


@dataclass
class Talk:
    """Two clients, the words of the protocol, and what was answered."""

    bootstrap: str
    notes: dict[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Group ids made here, which differ from run to run."""

    def __post_init__(self) -> None:
        self.one = RawClient(self.bootstrap)
        self.two = RawClient(self.bootstrap)

    def close(self) -> None:
        self.one.close()
        self.two.close()

    def group(self, name: str) -> str:
        self.names.append(f"{name}-{uuid4()}")
        return self.names[-1]

    def note(self, name: str, value: Any) -> None:
        assert name not in self.notes, f"{name} is noted twice"
        self.notes[name] = value

    def hidden(self, text: str | None) -> str | None:
        """A message without the names made here."""
        for name in self.names:
            text = None if text is None else text.replace(name, "GROUP")
        return text

    # -- the classic protocol -----------------------------------------------------------------

    def join(self, group: str, member: str = "", *, client: RawClient | None = None, **facts: Any) -> Any:
        version = facts.pop("version", 9)
        asked = {
            "group_id": group,
            "member_id": member,
            "session_timeout": 10_000,
            "rebalance_timeout": 10_000,
            "protocol_type": "consumer",
            "protocols": RANGE,
            **facts,
        }
        return (client or self.one).ask(JOIN, version, **asked)

    def sync(self, group: str, generation: int, member: str, parts: Mapping[str, bytes] = {}, **facts: Any) -> Any:
        version = facts.pop("version", 5)
        asked = {
            "group_id": group,
            "generation_id": generation,
            "member_id": member,
            "protocol_type": "consumer",
            "protocol_name": "range",
            "assignments": [{"member_id": to, "assignment": part} for to, part in parts.items()],
            **facts,
        }
        return self.one.ask(SYNC, version, **asked)

    def heartbeat(self, group: str, generation: int, member: str, instance: str | None = None) -> int:
        answer = self.one.ask(
            HEARTBEAT,
            4,
            group_id=group,
            generation_id=generation,
            member_id=member,
            group_instance_id=instance,
        )
        return int(answer.error_code)

    def leave(self, group: str, *members: tuple[str, str | None], version: int = 5) -> Any:
        asked = [{"member_id": member, "group_instance_id": instance} for member, instance in members]
        first = members[0][0] if members else ""
        answer = self.one.ask(LEAVE, version, group_id=group, members=asked, member_id=first)
        return [int(answer.error_code), [int(one.error_code) for one in getattr(answer, "members", ())]]

    def stable(self, group: str, instance: str | None = None) -> str:
        """A stable group of one member, whose id is returned."""
        member: str = self.join(group, version=3 if instance is None else 9, group_instance_id=instance).member_id
        self.sync(group, 1, member, {member: b"all"}, group_instance_id=instance)
        return member

    # -- offsets ------------------------------------------------------------------------------

    def commit(
        self,
        group: str,
        epoch: int = -1,
        member: str = "",
        *,
        topic: str = TOPIC,
        partition: int = 0,
        metadata: str = "",
        instance: str | None = None,
        version: int = 9,
    ) -> int:
        part = {
            "partition_index": partition,
            "committed_offset": 5,
            "committed_leader_epoch": -1,
            "committed_metadata": metadata,
        }
        answer = self.one.ask(
            OFFSET_COMMIT,
            version,
            group_id=group,
            generation_id_or_member_epoch=epoch,
            member_id=member,
            group_instance_id=instance,
            retention_time=-1,
            topics=[{"name": topic, "partitions": [part]}],
        )
        return int(answer.topics[0].partitions[0].error_code)

    def fetch(self, group: str, version: int = 9, *, topics: Any = ((TOPIC, [0, 1]),), **by: Any) -> Any:
        wanted = None if topics is None else [{"name": name, "partition_indexes": numbers} for name, numbers in topics]
        answer = self.one.ask(
            OFFSET_FETCH,
            version,
            group_id=group,
            topics=wanted,
            groups=[{"group_id": group, "topics": wanted, **by}],
            require_stable=True,
        )
        found = answer.groups[0] if version >= 8 else answer
        return [
            int(getattr(found, "error_code", 0)),
            [
                [topic.name, p.partition_index, p.committed_offset, p.metadata, int(p.error_code)]
                for topic in found.topics
                for p in topic.partitions
            ],
        ]

    def delete_offset(self, group: str, topic: str = TOPIC, partition: int = 0) -> Any:
        asked = [{"name": topic, "partitions": [{"partition_index": partition}]}]
        answer = self.one.ask(OFFSET_DELETE, 0, group_id=group, topics=asked)
        return [int(answer.error_code), [int(p.error_code) for t in answer.topics for p in t.partitions]]

    # -- looking at groups --------------------------------------------------------------------

    def describe(self, group: str, version: int = 6) -> Any:
        answer = self.one.ask(DESCRIBE, version, groups=[group], include_authorized_operations=True)
        found = answer.groups[0]
        return [
            int(found.error_code),
            self.hidden(getattr(found, "error_message", None)),
            found.group_state,
            found.protocol_type,
            found.protocol_data,
            sorted(
                [one.client_id, one.client_host, len(one.member_metadata), one.member_assignment.decode("latin1")]
                for one in found.members
            ),
            getattr(found, "authorized_operations", None),
        ]

    def listed(self, *groups: str, version: int = 5, **filters: Any) -> Any:
        answer = self.one.ask(LIST, version, **filters)
        return sorted(
            [
                self.hidden(found.group_id),
                found.protocol_type,
                getattr(found, "group_state", None),
                getattr(found, "group_type", None),
            ]
            for found in answer.groups
            if found.group_id in groups
        )

    def delete(self, group: str) -> int:
        return int(self.one.ask(DELETE, 2, groups_names=[group]).results[0].error_code)

    # -- the consumer protocol ----------------------------------------------------------------

    def beat(self, group: str, member: str, epoch: int, **facts: Any) -> Any:
        version = facts.pop("version", 1)
        asked = {
            "group_id": group,
            "member_id": member,
            "member_epoch": epoch,
            "rebalance_timeout": -1,
            **facts,
        }
        return self.one.ask(CONSUMER_HEARTBEAT, version, **asked)

    def beaten(self, group: str, member: str, epoch: int, **facts: Any) -> Any:
        """What is answered to a heartbeat, in words that do not differ from run to run."""
        answer = self.beat(group, member, epoch, **facts)
        return [
            int(answer.error_code),
            self.hidden(answer.error_message),
            answer.member_epoch,
            None if answer.assignment is None else [list(t.partitions) for t in answer.assignment.topic_partitions],
        ]

    def joins(self, group: str, member: str, **facts: Any) -> Any:
        return self.beaten(group, member, 0, **{**FULL, **facts})

    def consumer_described(self, group: str) -> Any:
        answer = self.one.ask(CONSUMER_DESCRIBE, 1, group_ids=[group], include_authorized_operations=True)
        found = answer.groups[0]
        return [
            int(found.error_code),
            self.hidden(found.error_message),
            [found.group_state, found.group_epoch, found.assignment_epoch, found.assignor_name],
            found.authorized_operations,
            sorted(
                [
                    [one.member_id, one.instance_id, one.rack_id, one.member_epoch, one.client_id, one.client_host],
                    [list(one.subscribed_topic_names), one.subscribed_topic_regex, one.member_type],
                    _places(one.assignment),
                    _places(one.target_assignment),
                ]
                for one in found.members
            ),
        ]

    def topic_id(self) -> UUID | None:
        found: UUID | None = self.one.ask(METADATA, 12, topics=[{"name": TOPIC}]).topics[0].topic_id
        return found

    def owns(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        return [{"topic_id": self.topic_id(), "partitions": list(numbers)}]


FULL = {"rebalance_timeout": 5_000, "subscribed_topic_names": [TOPIC], "topic_partitions": []}
"""What a member has to say when it joins."""


def _places(assignment: Any) -> list[list[Any]]:
    return [[topic.topic_name, list(topic.partitions)] for topic in assignment.topic_partitions]


def _joined(answer: Any, group_of: int | None = None) -> list[Any]:
    facts = [
        int(answer.error_code),
        answer.generation_id,
        bool(answer.member_id),
        bool(answer.leader) and answer.leader == answer.member_id,
        len(answer.members),
        answer.protocol_name,
        getattr(answer, "protocol_type", None),
        getattr(answer, "skip_assignment", None),
    ]
    return facts if group_of is None else facts[:group_of]


def joining(talk: Talk) -> None:
    """Every version, and every way of being refused."""
    for version in range(10):
        talk.note(f"version {version}", _joined(talk.join(talk.group("g"), version=version)))
    refusals: Mapping[str, dict[str, Any]] = {
        "session too short": {"session_timeout": 1},
        "session too long": {"session_timeout": 10**9},
        "no protocol": {"protocols": []},
        "no type": {"protocol_type": ""},
        "unknown member": {"member": "x"},
    }
    for name, facts in refusals.items():
        talk.note(name, _joined(talk.join(talk.group("g"), **facts)))
    talk.note("no group", _joined(talk.join("")))


def one_member(talk: Talk) -> None:
    """A group of one, from its first join to its deletion."""
    group = talk.group("g")
    member = talk.join(group).member_id
    talk.note("join", _joined(talk.join(group, member)))
    talk.note("heartbeat before sync", talk.heartbeat(group, 1, member))
    talk.note("commit before sync", talk.commit(group, 1, member))
    for name, sync in {
        "sync with another type": talk.sync(group, 1, member, protocol_type="connect"),
        "sync with another protocol": talk.sync(group, 1, member, protocol_name="sticky"),
        "sync without type": talk.sync(group, 1, member, protocol_type=None),
        "sync without type, version 4": talk.sync(group, 7, member, protocol_type=None, version=4),
        "sync of another generation": talk.sync(group, 2, member),
        "sync of a stranger": talk.sync(group, 1, "stranger"),
        "sync of no group": talk.sync(talk.group("none"), 1, member),
        "sync": talk.sync(group, 1, member, {member: b"all"}),
        "sync again": talk.sync(group, 1, member),
    }.items():
        talk.note(name, [int(sync.error_code), sync.assignment.decode(), getattr(sync, "protocol_type", None)])
    talk.note("heartbeat", talk.heartbeat(group, 1, member))
    talk.note("heartbeat of another generation", talk.heartbeat(group, 2, member))
    talk.note("heartbeat of a stranger", talk.heartbeat(group, 1, "stranger"))
    talk.note("heartbeat of no group", talk.heartbeat(talk.group("none"), 1, member))
    talk.note("heartbeat of an unknown instance", talk.heartbeat(group, 1, member, "i"))
    for version in (0, 3, 5, 6):
        talk.note(f"described, version {version}", talk.describe(group, version))
        talk.note(f"nothing described, version {version}", talk.describe(talk.group("none"), version))
    talk.note("deleting", talk.delete(group))
    talk.note("rejoin of the leader", _joined(talk.join(group, member)))
    talk.note("leave while completing", talk.leave(group, (member, None), version=1))
    talk.note("described when empty", talk.describe(group))
    talk.note("heartbeat when empty", talk.heartbeat(group, 3, member))
    talk.note("sync when empty", int(talk.sync(group, 3, member).error_code))
    talk.note("commit when empty", [talk.commit(group), talk.commit(group, 3, member)])
    talk.note("deleted", [talk.delete(group), talk.delete(group)])
    talk.note("described when deleted", talk.describe(group, 5))
    talk.note("offsets when deleted", talk.fetch(group))


def two_members(talk: Talk) -> None:
    """A second member joins, both sync, both leave."""
    group = talk.group("g")
    first = talk.join(group).member_id
    talk.join(group, first)
    talk.sync(group, 1, first, {first: b"all"})
    second = talk.join(group, client=talk.two).member_id
    talk.note("heartbeat while an id is promised", talk.heartbeat(group, 1, first))
    asked = {"group_id": group, "session_timeout": 10_000, "rebalance_timeout": 10_000, "protocol_type": "consumer"}
    talk.two.send(JOIN, 9, member_id=second, protocols=RANGE, **asked)
    while talk.heartbeat(group, 1, first) == 0:
        time.sleep(0.01)
    talk.note("heartbeat while joining", talk.heartbeat(group, 1, first))
    talk.note("sync while joining", int(talk.sync(group, 1, first).error_code))
    talk.note("commit while joining", talk.commit(group, 1, first))
    talk.note("described while joining", talk.describe(group))
    talk.note("first rejoins", _joined(talk.join(group, first)))
    talk.note("second joined", _joined(talk.two.receive(JOIN, 9)))
    facts = {"group_id": group, "generation_id": 2, "protocol_type": "consumer", "protocol_name": "range"}
    talk.two.send(SYNC, 5, member_id=second, assignments=[], **facts)
    talk.note("first synced", talk.sync(group, 2, first, {first: b"1", second: b"2"}).assignment.decode())
    talk.note("second synced", talk.two.receive(SYNC, 5).assignment.decode())
    talk.note("a follower joins unchanged", _joined(talk.join(group, second, client=talk.two)))
    leaving = [("stranger", None), (second, None), (second, None), ("", "no-instance"), ("", None)]
    talk.note("leave together", talk.leave(group, *leaving))
    talk.note("heartbeat after that", talk.heartbeat(group, 2, first))
    talk.note("rejoin alone", _joined(talk.join(group, first)))
    talk.note("a stranger leaves", talk.leave(group, ("stranger", None), version=1))
    talk.note("nobody leaves", talk.leave(group))
    none = talk.group("none")
    talk.note("leave no group", [talk.leave(none, ("a", None)), talk.leave(none, ("a", None), version=1)])
    talk.note("leave the group without a name", talk.leave("", ("a", None)))


def static_members(talk: Talk) -> None:
    """A static member is replaced, and the old one fenced."""
    group = talk.group("g")
    answer = talk.join(group, group_instance_id="i1")
    old = answer.member_id
    talk.note("join", [*_joined(answer), old.startswith("i1-")])
    talk.sync(group, 1, old, {old: b"all"}, group_instance_id="i1")
    answer = talk.join(group, group_instance_id="i1", client=talk.two)
    new = answer.member_id
    talk.note("take over", [*_joined(answer), new != old])
    talk.note("old heartbeat", [talk.heartbeat(group, 1, old, "i1"), talk.heartbeat(group, 1, old)])
    talk.note("old commit", talk.commit(group, 1, old, instance="i1"))
    talk.note("old sync", int(talk.sync(group, 1, old, group_instance_id="i1").error_code))
    talk.note("old join", _joined(talk.join(group, old, group_instance_id="i1")))
    talk.note("old leave", talk.leave(group, (old, "i1")))
    talk.note("new heartbeat", talk.heartbeat(group, 1, new, "i1"))
    talk.note("new sync", talk.sync(group, 1, new, group_instance_id="i1").assignment.decode())
    talk.note("unknown instance", talk.heartbeat(group, 1, new, "i9"))
    talk.note("take over, version 5", _joined(talk.join(group, group_instance_id="i1", version=5)))
    talk.note("leave by instance", talk.leave(group, ("", "i1")))
    talk.note("described", talk.describe(group))


def other_types(talk: Talk) -> None:
    """A group of Connect workers."""
    group = talk.group("g")
    protocols = [{"name": "sessioned", "metadata": b"x"}, {"name": "eager", "metadata": b"y"}]
    answer = talk.join(group, protocol_type="connect", protocols=protocols, version=3)
    talk.note("join", _joined(answer))
    talk.note("a consumer joins", _joined(talk.join(group, version=3, client=talk.two)))
    talk.note("deleting an offset", talk.delete_offset(group))
    talk.note("listed", talk.listed(group))


def offsets(talk: Talk) -> None:
    """Committing, reading and deleting, with and without members."""
    group = talk.group("g")
    member = talk.stable(group)
    talk.note("commit", talk.commit(group, 1, member))
    talk.note("commit of another generation", talk.commit(group, 3, member))
    talk.note("commit of nobody", talk.commit(group))
    talk.note("commit of a stranger", talk.commit(group, 1, "stranger"))
    talk.note("commit of an unknown instance", talk.commit(group, 1, member, instance="i"))
    talk.note("commit for an unknown topic", talk.commit(group, 1, member, topic="nothing"))
    talk.note("commit for an unknown partition", talk.commit(group, 1, member, partition=77))
    talk.note("commit for a negative partition", talk.commit(group, 1, member, partition=-1))
    talk.note("commit with long metadata", talk.commit(group, 1, member, metadata="x" * 5000))
    none = talk.group("none")
    talk.note("commit of no group", [talk.commit(none, 1, "m"), talk.commit(none, 1, "m", version=8)])
    talk.note("commit for the group without a name", talk.commit(""))
    simple = talk.group("simple")
    for version in range(2, 10):
        talk.note(f"simple commit, version {version}", talk.commit(simple, version=version))
    for version in range(1, 10):
        talk.note(f"fetch, version {version}", talk.fetch(group, version))
    for version in range(2, 10):
        talk.note(f"fetch all, version {version}", talk.fetch(group, version, topics=None))
    talk.note("fetch of no group", [talk.fetch(none), talk.fetch(none, topics=None)])
    talk.note("fetch for an unknown topic", talk.fetch(group, topics=[("nothing", [0])]))
    talk.note("fetch as a stranger", talk.fetch(group, member_id="stranger", member_epoch=1))
    talk.note("fetch as a stranger of no group", talk.fetch(none, member_id="stranger", member_epoch=1))
    talk.note("described", talk.describe(simple))
    talk.note("listed", talk.listed(group, simple))
    talk.note("listed by state", talk.listed(group, simple, states_filter=["STABLE"], types_filter=["classic"]))
    talk.note("listed when empty", talk.listed(group, simple, states_filter=["empty"]))
    talk.note("listed by other types", talk.listed(group, simple, types_filter=["consumer", "new"]))
    for version in range(5):
        talk.note(f"listed, version {version}", talk.listed(group, simple, version=version))
    talk.note("delete what is read", talk.delete_offset(group))
    talk.note("delete of no group", talk.delete_offset(none))
    talk.note("delete without a group's name", talk.delete_offset(""))
    talk.note("delete", [talk.delete_offset(simple), talk.fetch(simple)])
    talk.note("delete for an unknown topic", talk.delete_offset(simple, "nothing"))
    talk.note("delete nothing", talk.delete_offset(simple, partition=1))
    talk.note("delete groups", [talk.delete(group), talk.delete(none), talk.delete(simple)])


def coordinators(talk: Talk) -> None:
    """Finding the coordinator of groups and transactions."""
    for version, key_type in ((0, 0), (1, 0), (2, 1), (3, 1), (4, 0), (5, 1), (6, 0), (1, 9), (6, 7)):
        answer = talk.one.ask(FIND_COORDINATOR, version, key="k", key_type=key_type, coordinator_keys=["k", "l"])
        found = answer.coordinators if version >= 4 else [answer]
        facts = [[int(one.error_code), one.node_id, bool(one.host), one.port > 0] for one in found]
        talk.note(f"version {version}, type {key_type}", facts)


def consumer_refusals(talk: Talk) -> None:
    """Heartbeats of the consumer protocol that cannot be meant."""
    group = talk.group("g")
    refusals: Mapping[str, dict[str, Any]] = {
        "no group": {"group_id": ""},
        "no member": {"member_id": ""},
        "no rebalance timeout": {"rebalance_timeout": -1},
        "no partitions": {"topic_partitions": None},
        "no topics": {"subscribed_topic_names": None},
        "unknown assignor": {"server_assignor": "zz"},
        "epoch -3": {"member_epoch": -3},
        "away without an instance": {"member_epoch": -2},
        "leaving nothing": {"member_epoch": -1},
        "a member of nothing": {"member_epoch": 4},
        "empty instance": {"instance_id": ""},
        "empty rack": {"rack_id": ""},
    }
    for name, facts in refusals.items():
        talk.note(name, talk.joins(group, "m", **facts))
    talk.note("no member, version 0", talk.joins(talk.group("a"), "", version=0))
    talk.note("empty topics, version 0", talk.joins(talk.group("b"), "m", version=0, subscribed_topic_names=[]))
    talk.note("empty topics", talk.joins(talk.group("c"), "m", subscribed_topic_names=[]))
    bad = talk.beat(group, "m", 0, **{**FULL, "subscribed_topic_names": None, "subscribed_topic_regex": "("})
    talk.note("bad expression", int(bad.error_code))


def consumer_members(talk: Talk) -> None:
    """Two members of the consumer protocol, from join to leave."""
    group = talk.group("g")
    talk.note("join", talk.joins(group, "m1"))
    talk.note("heartbeat", talk.beaten(group, "m1", 1))
    talk.note("full heartbeat", talk.beaten(group, "m1", 1, **FULL))
    talk.note("ahead", talk.beaten(group, "m1", 2))
    talk.note("stranger", talk.beaten(group, "stranger", 1))
    talk.note("join again", talk.joins(group, "m1"))
    talk.note("described", talk.consumer_described(group))
    talk.note("described as classic", [talk.describe(group, 5), talk.describe(group)])
    talk.note("listed", talk.listed(group))
    talk.note("a Connect worker joins", int(talk.join(group, version=3, protocol_type="connect").error_code))
    talk.note("classic heartbeat", talk.heartbeat(group, 1, "m1"))
    commits = [talk.commit(group, 1, "m1"), talk.commit(group, 1, "m1", version=8), talk.commit(group, 0, "m1")]
    talk.note("commits", [*commits, talk.commit(group, 1, "stranger"), talk.commit(group)])
    fetches = [(None, -1), ("m1", 1), ("m1", 9), ("stranger", 1)]
    talk.note("fetches", [talk.fetch(group, member_id=one, member_epoch=epoch)[0] for one, epoch in fetches])
    talk.note("second joins", talk.joins(group, "m2"))
    talk.note("described while assigning", talk.consumer_described(group)[2])
    told = talk.beat(group, "m1", 1)
    keep = [number for topic in told.assignment.topic_partitions for number in topic.partitions]
    talk.note("first is told", [told.member_epoch, len(keep)])
    talk.note("described while revoking", talk.consumer_described(group)[2])
    everything = {**FULL, "topic_partitions": talk.owns(range(PARTITIONS))}
    talk.note("first holds on", len(talk.beat(group, "m1", 1, **everything).assignment.topic_partitions[0].partitions))
    talk.note("first lets go", talk.beaten(group, "m1", 1, topic_partitions=talk.owns(keep)))
    got = talk.beat(group, "m2", 2).assignment.topic_partitions[0].partitions
    talk.note("second gets the rest", sorted([*keep, *got]))
    talk.note("described when stable", talk.consumer_described(group)[2])
    talk.note("an answer was lost", talk.beaten(group, "m1", 1, topic_partitions=talk.owns(keep))[:3])
    talk.note("it does not say what it has", talk.beaten(group, "m1", 1))
    talk.note("leave", talk.beaten(group, "m2", -1))
    talk.note("leave again", talk.beaten(group, "m2", -1))
    talk.note("described after that", talk.consumer_described(group)[2])
    talk.note("first gets all", talk.beaten(group, "m1", 2))
    talk.note("delete what is read", talk.delete_offset(group))
    talk.note("delete with members", talk.delete(group))
    talk.note("last leaves", talk.beaten(group, "m1", -1))
    talk.note("described when empty", talk.consumer_described(group))
    talk.note("deleted", [talk.delete(group), talk.consumer_described(group)])


def consumer_static_members(talk: Talk) -> None:
    """A static member of the consumer protocol goes away and comes back."""
    group = talk.group("g")
    talk.note("join", talk.joins(group, "a", instance_id="i1"))
    talk.note("join of another", talk.joins(group, "b", instance_id="i1"))
    talk.note("unknown instance", talk.beaten(group, "a", 1, instance_id="i9"))
    talk.note("fenced", talk.beaten(group, "z", 1, instance_id="i1"))
    talk.note("fenced leave", talk.beaten(group, "z", -1, instance_id="i1"))
    talk.note("away", talk.beaten(group, "a", -2, instance_id="i1"))
    talk.note("described while away", talk.consumer_described(group))
    talk.note("back", talk.joins(group, "b", instance_id="i1"))
    talk.note("described when back", talk.consumer_described(group))
    talk.note("away again", talk.beaten(group, "b", -2, instance_id="i1"))
    talk.note("heartbeat while away", talk.beaten(group, "b", 1, instance_id="i1"))
    talk.note("gone", talk.beaten(group, "b", -1, instance_id="i1"))


def both_protocols(talk: Talk) -> None:
    """A group changes its protocol when it is empty, and not before."""
    group = talk.group("g")
    protocols = [{"name": "x", "metadata": encode_subscription([TOPIC])}]
    member = talk.join(group, version=3, protocols=protocols).member_id
    talk.note("a stranger's heartbeat", talk.beaten(group, "z", 5))
    talk.note("leave", talk.leave(group, (member, None), version=1))
    talk.commit(group)
    talk.note("consumer joins", talk.joins(group, "z"))
    talk.note("offsets stay", talk.fetch(group))
    talk.note("consumer leaves", talk.beaten(group, "z", -1))
    talk.note("classic joins", _joined(talk.join(group, version=3)))
    talk.note("offsets still stay", talk.fetch(group))
    talk.note("described", talk.consumer_described(talk.group("none")))


UNSTABLE = '-1, "", 88]'
TRY_AGAIN = (14, 15, 16, 51)
"""A coordinator is loading, or still busy with the transaction before."""


def patiently(ask: Callable[[], Any]) -> Any:
    """An answer that does not ask for patience."""
    while int((answer := ask()).error_code) in TRY_AGAIN:
        time.sleep(0.01)
    return answer


@dataclass
class Transaction:
    """A transactional producer in a conversation."""

    talk: Talk
    id: str
    group: str

    def __post_init__(self) -> None:
        asked = {"transactional_id": self.id, "transaction_timeout": 30_000, "producer_id": -1, "producer_epoch": -1}
        answer = patiently(lambda: self.talk.one.ask(INIT_PRODUCER, 3, **asked))
        self.producer = {"producer_id": answer.producer_id, "producer_epoch": answer.producer_epoch}

    def add_offsets(self) -> int:
        asked = {"transactional_id": self.id, "group_id": self.group, **self.producer}
        return int(patiently(lambda: self.talk.one.ask(ADD_OFFSETS, 3, **asked)).error_code)

    def commit(self, offset: int = 7, version: int = 3, topic: str = TOPIC, **facts: Any) -> int:
        part = {"partition_index": 0, "committed_offset": offset, "committed_metadata": "t"}
        asked = {"transactional_id": self.id, "group_id": self.group, "generation_id": -1, **self.producer, **facts}
        answer = self.talk.one.ask(TXN_OFFSET_COMMIT, version, topics=[{"name": topic, "partitions": [part]}], **asked)
        return int(answer.topics[0].partitions[0].error_code)

    def end(self, committed: bool) -> int:
        asked = {"transactional_id": self.id, "committed": committed, **self.producer}
        code = int(self.talk.one.ask(END_TRANSACTION, 3, **asked).error_code)
        while UNSTABLE in json.dumps(self.talk.fetch(self.group)):
            time.sleep(0.01)  # Kafka writes markers after it has answered
        return code


def transactions(talk: Talk) -> None:
    """Offsets that wait for a transaction to end."""
    group = talk.group("g")
    one = Transaction(talk, talk.group("t"), group)
    talk.note("commit outside", one.commit())
    talk.note("commit of a stranger", Transaction(talk, talk.group("t"), group).commit(transactional_id="zz"))
    talk.note("add", one.add_offsets())
    for version in range(5):
        talk.note(f"commit, version {version}", one.commit(offset=version, version=version))
    talk.note("commit for an unknown topic", one.commit(topic="nothing"))
    talk.note("commit with an old epoch", [one.commit(version=v, producer_epoch=-1) for v in (1, 3)])
    talk.note("commit of no generation", one.commit(generation_id=3, member_id="m"))
    talk.note("commit meanwhile", talk.commit(talk.group("other")))
    talk.note("unstable", [talk.fetch(group), talk.fetch(group, 8), talk.fetch(group, 7), talk.fetch(group, 6)])
    talk.note("all unstable", talk.fetch(group, topics=None))
    talk.note("ended", one.end(committed=True))
    talk.note("stable", talk.fetch(group))
    one.add_offsets()
    one.commit(offset=99)
    talk.note("aborted", [one.end(committed=False), talk.fetch(group)])
    one.add_offsets()
    one.commit(offset=50)
    talk.note("a plain commit comes later", [talk.commit(group), one.end(committed=True), talk.fetch(group)])
    member = talk.stable(group)
    one.add_offsets()
    talk.note("commit as a member", one.commit(offset=11, generation_id=1, member_id=member))
    talk.note("commit of another generation", one.commit(offset=12, generation_id=9, member_id=member))
    talk.note("commit without credentials", one.commit(offset=13))
    talk.note("ended as a member", [one.end(committed=True), talk.fetch(group)])
    other = Transaction(talk, talk.group("t"), talk.group("consumers"))
    talk.joins(other.group, "m")
    other.add_offsets()
    for epoch in (0, 1, 2):
        talk.note(f"epoch {epoch}", other.commit(offset=epoch, generation_id=epoch, member_id="m"))
    talk.note("ended with an epoch", [other.end(committed=True), talk.fetch(other.group)])


CONVERSATIONS: Mapping[str, Callable[[Talk], None]] = {
    talk.__name__: talk
    for talk in (
        joining,
        one_member,
        two_members,
        static_members,
        other_types,
        offsets,
        coordinators,
        consumer_refusals,
        consumer_members,
        consumer_static_members,
        both_protocols,
        transactions,
    )
}


def held(bootstrap: str, name: str) -> dict[str, Any]:
    """What was noted in a conversation with a broker."""
    with RawClient(bootstrap) as client:
        topic = {"name": TOPIC, "num_partitions": PARTITIONS, "replication_factor": 1}
        client.ask(CREATE_TOPICS, 5, topics=[topic], timeout=10_000)
    talk = Talk(bootstrap)
    try:
        CONVERSATIONS[name](talk)
    finally:
        talk.close()
    noted: dict[str, Any] = json.loads(json.dumps(talk.notes))
    return noted


if __name__ == "__main__":
    print(json.dumps({name: held(sys.argv[1], name) for name in CONVERSATIONS}, indent=1))
