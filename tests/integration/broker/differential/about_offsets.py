"""Conversations about offsets: of partitions, of groups, and who coordinates."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tests.integration.broker.differential.talk import (
    DELETE_GROUPS,
    DELETE_RECORDS,
    DESCRIBE_GROUPS,
    FIND_COORDINATOR,
    LEADER_EPOCH,
    LIST_GROUPS,
    LIST_OFFSETS,
    OFFSET_COMMIT,
    OFFSET_DELETE,
    OFFSET_FETCH,
    Talk,
    conversation,
)

NOBODY = UUID("01234567-89ab-cdef-0123-456789abcdef")

# -- ListOffsets -----------------------------------------------------------------------------


def offsets(talk: Talk, version: int, topic: str, *times: int, **facts: Any) -> None:
    for time_ms in times:
        part = {
            "partition_index": facts.get("partition", 0),
            "timestamp": time_ms,
            "current_leader_epoch": facts.get("epoch", -1),
        }
        talk.ask(
            LIST_OFFSETS,
            version,
            replica_id=facts.get("replica", -1),
            isolation_level=facts.get("isolation", 0),
            topics=[{"name": topic, "partitions": [part]}],
            timeout=1000,
        )


for _version in range(1, 12):

    @conversation(f"list offsets v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        now = talk.now_ms
        offsets(talk, version, name, -1, -2, now)
        talk.filled(name)
        offsets(talk, version, name, -1, -2, 0, now, now + 1, now + 1000, now + 2000, now + 2001)

    @conversation(f"list offsets by special times v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        offsets(talk, version, name, -3, -4, -5, -6, -7)
        talk.filled(name)
        offsets(talk, version, name, -3, -4, -5, -6, -7)


@conversation("list offsets of what is not there")
def _(talk: Talk) -> None:
    name = talk.topic()
    offsets(talk, 9, name, -1, -2, -3, partition=7)
    offsets(talk, 9, f"{name}-unknown", -1, -2, -3)
    offsets(talk, 9, name, -1, -2, partition=-1)


@conversation("list offsets with an epoch")
def _(talk: Talk) -> None:
    name = talk.topic()
    for epoch in (0, 1, 9, -1):
        offsets(talk, 9, name, -1, epoch=epoch)


@conversation("list offsets of committed records")
def _(talk: Talk) -> None:
    name = talk.topic()
    talk.filled(name)
    for level in (0, 1):
        offsets(talk, 9, name, -1, -2, -3, talk.now_ms, isolation=level)


@conversation("list offsets after records were deleted")
def _(talk: Talk) -> None:
    name = talk.topic()
    talk.filled(name)
    delete(talk, name, 3)
    offsets(talk, 9, name, -1, -2, -3, -4, 0, talk.now_ms)


@conversation("list offsets of the same partition twice")
def _(talk: Talk) -> None:
    name = talk.topic()
    part = {"partition_index": 0, "timestamp": -1, "current_leader_epoch": -1}
    asked = [{"name": name, "partitions": [part, {**part, "timestamp": -2}]}]
    talk.ask(LIST_OFFSETS, 9, replica_id=-1, topics=asked)


@conversation("list offsets where times go back")
def _(talk: Talk) -> None:
    name = talk.topic()
    for start in (5000, 1000, 9000, 2000):
        talk.filled(name, batches=1, start_ms=talk.now_ms + start)
    for time_ms in (0, 1000, 1001, 5001, 9000, 9001):
        offsets(talk, 9, name, talk.now_ms + time_ms)
    offsets(talk, 9, name, -3)


# -- OffsetForLeaderEpoch --------------------------------------------------------------------

for _version in (2, 3, 4):

    @conversation(f"leader epochs v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        talk.filled(name)
        for current, epoch in ((-1, 0), (0, 0), (-1, 1), (1, 0), (-1, -1), (-1, 99)):
            part = {"partition": 0, "current_leader_epoch": current, "leader_epoch": epoch}
            talk.ask(LEADER_EPOCH, version, replica_id=-1, topics=[{"topic": name, "partitions": [part]}])

    @conversation(f"leader epochs of what is not there v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        for topic, number in ((name, 7), (f"{name}-unknown", 0)):
            part = {"partition": number, "current_leader_epoch": -1, "leader_epoch": 0}
            talk.ask(LEADER_EPOCH, version, replica_id=-1, topics=[{"topic": topic, "partitions": [part]}])


# -- DeleteRecords ---------------------------------------------------------------------------


def delete(talk: Talk, topic: str, *to: int, version: int = 2, partition: int = 0) -> None:
    for offset in to:
        asked = [{"name": topic, "partitions": [{"partition_index": partition, "offset": offset}]}]
        talk.ask(DELETE_RECORDS, version, topics=asked, timeout=10_000)


for _version in range(3):

    @conversation(f"delete records v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        talk.filled(name)
        delete(talk, name, 2, 1, 3, 7, -2, -1, 0, version=version)
        offsets(talk, 9, name, -2)
        talk.fetch(12, name, 2)


@conversation("delete records of what is not there")
def _(talk: Talk) -> None:
    name = talk.topic()
    delete(talk, name, 0, -1, partition=5)
    delete(talk, f"{name}-unknown", 0)
    delete(talk, name, 0, -1, 1)


@conversation("delete records of a compacted topic")
def _(talk: Talk) -> None:
    compacted = talk.topic("-c", cleanup_policy="compact")
    both = talk.topic("-b", cleanup_policy="compact,delete")
    for name in (compacted, both):
        talk.filled(name)
        delete(talk, name, 2)


# -- OffsetCommit, OffsetFetch, OffsetDelete -------------------------------------------------


def commit(talk: Talk, version: int, group: str, topic: str, offset: int = 5, **facts: Any) -> None:
    part = {
        "partition_index": facts.pop("partition", 0),
        "committed_offset": offset,
        "committed_leader_epoch": facts.pop("epoch", -1),
        "committed_metadata": facts.pop("metadata", "m"),
    }
    wanted: dict[str, Any] = {"name": topic, "partitions": [part]}
    if version >= 10:
        wanted["topic_id"] = facts.pop("topic_id", None) or talk.topic_id(topic)
    asked = {"generation_id_or_member_epoch": -1, "member_id": "", "retention_time": -1, **facts}
    talk.ask(OFFSET_COMMIT, version, group_id=group, topics=[wanted], **asked)


def fetch(talk: Talk, version: int, group: str, topic: str | None, *partitions: int, **facts: Any) -> None:
    wanted: Any = None
    if topic is not None:
        wanted = [{"name": topic, "partition_indexes": partitions or [0]}]
        if version >= 10:
            wanted[0]["topic_id"] = facts.pop("topic_id", None) or talk.topic_id(topic)
    groups = [{"group_id": group, "topics": wanted, "member_id": None, "member_epoch": -1}]
    talk.ask(OFFSET_FETCH, version, group_id=group, topics=wanted, groups=groups, require_stable=False)


for _version in range(2, 11):

    @conversation(f"commit offsets v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=2)
        commit(talk, version, talk.prefix, name)
        commit(talk, version, talk.prefix, name, partition=7)
        commit(talk, version, talk.prefix, name, partition=1, metadata=None)
        commit(talk, version, talk.prefix, name, partition=1, offset=-1)
        commit(talk, version, talk.prefix, name, metadata="m" * 4097)
        commit(talk, version, talk.prefix, name, member_id="nobody", generation_id_or_member_epoch=1)
        commit(talk, version, talk.prefix, name, generation_id_or_member_epoch=1)
        commit(talk, version, f"{talk.prefix}-new", name, generation_id_or_member_epoch=1)
        commit(talk, version, "", name)
        if version < 10:
            commit(talk, version, talk.prefix, f"{name}-unknown")
        fetch(talk, 9, talk.prefix, name, 0, 1, 7)


for _version in range(1, 11):

    @conversation(f"fetch offsets v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=2)
        group = talk.prefix
        fetch(talk, version, group, name, 0, 1, 7)
        commit(talk, 9, group, name, metadata="mine", epoch=0)
        fetch(talk, version, group, name, 0, 1, 7)
        fetch(talk, version, f"{group}-unknown", name)
        fetch(talk, version, "", name)
        if version >= 2:
            fetch(talk, version, group, None)
            fetch(talk, version, f"{group}-unknown", None)
        if version < 10:
            fetch(talk, version, group, f"{name}-unknown", 0, 1)


@conversation("offsets by ids that are not known")
def _(talk: Talk) -> None:
    name = talk.topic()
    commit(talk, 10, talk.prefix, name, topic_id=NOBODY)
    fetch(talk, 10, talk.prefix, name, topic_id=NOBODY)
    commit(talk, 10, talk.prefix, name)
    fetch(talk, 10, talk.prefix, name)


for _version in (8, 9):

    @conversation(f"fetch offsets of many groups v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(partitions=2)
        groups = [f"{talk.prefix}-{number}" for number in range(3)]
        for number, group in enumerate(groups):
            commit(talk, 9, group, name, offset=number, partition=number % 2)
        wanted: list[dict[str, Any]] = [
            {"group_id": groups[0], "topics": [{"name": name, "partition_indexes": [0]}]},
            {"group_id": groups[1], "topics": None},
            {"group_id": groups[2], "topics": []},
            {"group_id": "nobody", "topics": None},
        ]
        asked = [{"member_id": None, "member_epoch": -1, **each} for each in wanted]
        talk.ask(OFFSET_FETCH, version, groups=asked, require_stable=True)
        talk.ask(OFFSET_FETCH, version, groups=[], require_stable=True)
        talk.ask(OFFSET_FETCH, version, groups=[asked[0], asked[0]], require_stable=True)


@conversation("delete offsets")
def _(talk: Talk) -> None:
    name = talk.topic(partitions=2)
    group = talk.prefix
    commit(talk, 9, group, name)

    def forget(group: str, topic: str, *partitions: int) -> None:
        asked = [{"name": topic, "partitions": [{"partition_index": number} for number in partitions]}]
        talk.ask(OFFSET_DELETE, 0, group_id=group, topics=asked)

    forget(group, f"{name}-unknown", 0)
    forget(group, name, 7)
    forget(f"{group}-unknown", name, 0)
    forget("", name, 0)
    forget(group, name, 1)
    forget(group, name, 0)
    forget(group, name, 0)
    fetch(talk, 9, group, name)
    talk.ask(OFFSET_DELETE, 0, group_id=group, topics=[])


@conversation("a topic's offsets go with it")
def _(talk: Talk) -> None:
    name = talk.topic()
    other = talk.topic("-stays")
    commit(talk, 9, talk.prefix, name)
    commit(talk, 9, talk.prefix, other)
    talk.quietly(20, 6, topics=[{"name": name, "topic_id": None}], timeout=10_000)
    fetch(talk, 9, talk.prefix, None)


# -- coordinators and groups -----------------------------------------------------------------

for _version in range(7):

    @conversation(f"find a coordinator v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        for kind in (0, 1, 2, 3, -1) if version else (0,):
            for key in ("someone", ""):
                asked = {"key": key, "coordinator_keys": [key, f"{key}-2"]}
                for _ in range(100):
                    answer = talk.quietly(FIND_COORDINATOR, version, key_type=kind, **asked)
                    found = getattr(answer, "coordinators", None) or [answer]
                    if isinstance(answer, str) or int(found[0].error_code) != 15:
                        break
                talk.note(f"{kind} {key}", answer)


@conversation("find no coordinator")
def _(talk: Talk) -> None:
    talk.ask(FIND_COORDINATOR, 4, key_type=0, coordinator_keys=[])


for _version in range(6):

    @conversation(f"list groups v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        talk.whole = True
        name = talk.topic()
        commit(talk, 9, talk.prefix, name)
        for states in ([], ["Empty"], ["stable"], ["EMPTY", "Stable"], ["nonsense"]):
            talk.ask(LIST_GROUPS, version, states_filter=states, types_filter=[])
        for kinds in (["classic"], ["Consumer"], ["share"], ["nonsense"]):
            talk.ask(LIST_GROUPS, version, states_filter=[], types_filter=kinds)


for _version in range(7):

    @conversation(f"describe groups v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        commit(talk, 9, talk.prefix, name)
        for groups in ([talk.prefix], [f"{talk.prefix}-unknown"], [""], [], [talk.prefix, talk.prefix]):
            for operations in (False, True):
                talk.ask(DESCRIBE_GROUPS, version, groups=groups, include_authorized_operations=operations)


for _version in range(3):

    @conversation(f"delete groups v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic()
        commit(talk, 9, talk.prefix, name)
        for groups in ([f"{talk.prefix}-unknown"], [""], [], [talk.prefix], [talk.prefix]):
            talk.ask(DELETE_GROUPS, version, groups_names=groups)
        fetch(talk, 9, talk.prefix, name)
