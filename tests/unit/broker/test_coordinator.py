"""The group coordinator over real logs: what it refuses, what survives a restart, what expires."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.broker.configs import Settings
from syncline.broker.consumer_groups import JOIN, Beat, ConsumerGroup, TopicFacts
from syncline.broker.coordinator import CoordinatorConfig, Credentials, GroupCoordinator
from syncline.broker.errors import (
    COORDINATOR_NOT_AVAILABLE,
    GROUP_ID_NOT_FOUND,
    GROUP_SUBSCRIBED_TO_TOPIC,
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    INVALID_GROUP_ID,
    INVALID_REGULAR_EXPRESSION,
    INVALID_SESSION_TIMEOUT,
    NON_EMPTY_GROUP,
    NONE,
    STALE_MEMBER_EPOCH,
    UNKNOWN_MEMBER_ID,
    UNSUPPORTED_VERSION,
    KafkaError,
)
from syncline.broker.group_log import GroupLog
from syncline.broker.group_records import Committed
from syncline.broker.groups import ClassicGroup, Joined, State
from syncline.broker.log import PartitionLog
from syncline.broker.offsets import Place
from syncline.broker.records import ABORT, COMMIT
from tests.integration.broker.raw import encode_subscription
from tests.unit.broker.group_driver import SESSION_S, answer, joining
from tests.unit.broker.manual import ManualTime
from tests.unit.broker.test_consumer_groups import Topics

ORDERS: Place = ("orders", 0)
USERS: Place = ("users", 0)
DAY_S = 24 * 3600


class Disk(PartitionLog):
    """A partition's log whose disk can be full."""

    full = False

    def append(self, *args: Any, **kwargs: Any) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().append(*args, **kwargs)


class World:
    """A coordinator that can be restarted."""

    def __init__(self, folder: Path, time: ManualTime, partitions: int = 1, **config: Any) -> None:
        self.folder, self.time, self.partitions = folder, time, partitions
        self.config = CoordinatorConfig(**config)
        self.topics = Topics()
        self._open()

    def _open(self) -> None:
        self.disks = [Disk(self.folder / f"__consumer_offsets-{n}") for n in range(self.partitions)]
        group_log = GroupLog(self.disks, self.time)
        self.groups = GroupCoordinator.open(group_log, self.topics, self.time, self.time, self.config)

    def close(self) -> None:
        self.groups.close()
        for disk in self.disks:
            disk.close()

    def restart(self) -> GroupCoordinator:
        self.close()
        self._open()
        return self.groups

    def stable(self, group_id: str = "g", topics: tuple[str, ...] = ("orders",), **facts: Any) -> Joined:
        """A classic group with one member, which reads `topics`."""
        protocols = (("range", encode_subscription(topics)),)
        joined = answer(self.groups.join(group_id, joining(protocols=protocols, **facts)))
        self.groups.sync(group_id, joined.member_id, None, joined.generation, {joined.member_id: b"all"})
        return joined

    def consumer(self, group_id: str = "g", member_id: str = "m", **facts: Any) -> int:
        """A member of the consumer protocol joins; its epoch."""
        said = {"topics": ("orders",), "rebalance_ms": 1000, "owned": frozenset(), **facts}
        return self.groups.consumer_heartbeat(group_id, Beat(member_id=member_id, epoch=JOIN, **said)).epoch

    def commit(self, group_id: str, *places: Place, offset: int = 5, **facts: Any) -> None:
        now = self.time.wall_ms()
        self.groups.commit(
            group_id, {place: Committed(offset, timestamp=now, **facts) for place in places or (ORDERS,)}
        )

    def commit_pending(self, group_id: str, *places: Place, offset: int = 7, producer: int = 1) -> None:
        found = {place: Committed(offset, timestamp=self.time.wall_ms()) for place in places or (ORDERS,)}
        self.groups.commit_pending(group_id, found, producer, 0)

    def end(self, group_id: str, kind: int, producer: int = 1) -> None:
        """A transaction ends: its marker is written, then the coordinator is told."""
        disk = self.disks[self.groups.partition_of(group_id)]
        disk.append_marker(producer, 0, kind, self.time.wall_ms())
        self.groups.complete_transaction(producer, self.groups.partition_of(group_id), kind == COMMIT)

    def offset(self, group_id: str = "g", place: Place = ORDERS) -> int | None:
        found = self.groups.offsets.get(group_id, place)
        return None if found is None else found.offset


@pytest.fixture
def world(tmp_path: Path, time: ManualTime) -> Iterator[World]:
    made = World(tmp_path, time)
    yield made
    made.close()


def refused(code: int) -> pytest.RaisesExc[KafkaError]:
    return pytest.RaisesExc(KafkaError, check=lambda error: error.code == code)


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("session_s", [5.999, 1800.001])
def test_session_timeouts_have_bounds(world: World, session_s: float) -> None:
    with refused(INVALID_SESSION_TIMEOUT):
        world.groups.join("g", joining(session_s=session_s))


def test_members_need_a_group_with_a_name(world: World) -> None:
    for ask in (
        lambda: world.groups.join("", joining()),
        lambda: world.groups.sync("", "m", None, 1, {}),
        lambda: world.groups.heartbeat("", "m", None, 1),
        lambda: world.groups.leave("", [("m", None)]),
        lambda: world.groups.delete_offsets("", []),
    ):
        with refused(INVALID_GROUP_ID):
            ask()


def test_nobody_is_known_in_a_group_that_does_not_exist(world: World) -> None:
    with refused(UNKNOWN_MEMBER_ID):
        world.groups.join("g", joining("m"))
    with refused(UNKNOWN_MEMBER_ID):
        world.groups.sync("g", "m", None, 1, {})
    with refused(UNKNOWN_MEMBER_ID):
        world.groups.heartbeat("g", "m", None, 1)
    assert world.groups.leave("g", [("m", None), ("n", None)]) == [UNKNOWN_MEMBER_ID] * 2
    assert world.groups.all() == []


def test_a_join_that_is_refused_makes_no_group(world: World) -> None:
    with refused(INCONSISTENT_GROUP_PROTOCOL):
        world.groups.join("g", joining(protocols=()))
    assert world.groups.all() == []


def test_a_full_disk_is_said_and_changes_nothing(world: World) -> None:
    joined = world.stable()
    world.commit("h")
    world.disks[0].full = True
    for ask in (
        lambda: world.commit("g"),
        lambda: world.commit_pending("g"),
        lambda: world.consumer("c"),
        lambda: world.groups.delete("h"),
        lambda: world.groups.forget_topic("orders"),
    ):
        with refused(COORDINATOR_NOT_AVAILABLE):
            ask()
    world.disks[0].full = False
    world.groups.heartbeat("g", joined.member_id, None, joined.generation)
    assert {group.id for group in world.groups.all()} == {"g", "h"}
    assert (world.offset("g"), world.offset("h")) == (None, 5)


# -- commits ---------------------------------------------------------------------------------


def test_anybody_may_commit_for_a_group_without_members(world: World) -> None:
    world.groups.check_commit("g", Credentials())
    world.commit("g")
    world.groups.check_commit("g", Credentials())
    group = world.groups.get("g")
    assert isinstance(group, ClassicGroup)
    assert (group.state, group.protocol_type) == (State.EMPTY, None)


@pytest.mark.parametrize(
    ("version", "transactional", "code"),
    [(8, False, ILLEGAL_GENERATION), (9, False, GROUP_ID_NOT_FOUND), (9, True, ILLEGAL_GENERATION)],
)
def test_a_member_of_nothing_may_not_commit(world: World, version: int, transactional: bool, code: int) -> None:
    by = Credentials(member_id="m", epoch=3, version=version)
    with refused(code):
        world.groups.check_commit("g", by, transactional=transactional)


def test_commits_of_members_are_checked_by_their_own_protocol(world: World) -> None:
    joined = world.stable("classic")
    world.groups.check_commit("classic", Credentials(member_id=joined.member_id, epoch=joined.generation))
    epoch = world.consumer("modern")
    by = Credentials(member_id="m", epoch=epoch + 1)
    with refused(STALE_MEMBER_EPOCH):
        world.groups.check_commit("modern", by)
    with refused(ILLEGAL_GENERATION):
        world.groups.check_commit("modern", by, transactional=True)
    with refused(UNSUPPORTED_VERSION):
        world.groups.check_commit("modern", Credentials(member_id="m", epoch=epoch, version=8))


def test_reading_offsets_needs_nothing_but_true_credentials_if_any(world: World) -> None:
    world.groups.check_fetch("nothing", None, -1)
    world.groups.check_fetch("nothing", "m", 1)
    epoch = world.consumer()
    world.groups.check_fetch("g", "m", epoch)
    with refused(STALE_MEMBER_EPOCH):
        world.groups.check_fetch("g", "m", epoch + 1)


# -- the two protocols -----------------------------------------------------------------------


def test_protocols_do_not_mix_while_there_are_members(world: World) -> None:
    world.stable("classic")
    with refused(GROUP_ID_NOT_FOUND):
        world.consumer("classic")
    world.consumer("modern")
    with refused(INCONSISTENT_GROUP_PROTOCOL):
        world.groups.join("modern", joining())
    with refused(UNKNOWN_MEMBER_ID):
        world.groups.heartbeat("modern", "m", None, 1)


def test_an_emptied_group_may_change_its_protocol_and_keeps_its_offsets(world: World) -> None:
    joined = world.stable()
    world.commit("g")
    world.groups.leave("g", [(joined.member_id, None)])
    world.consumer()
    assert isinstance(world.restart().get("g"), ConsumerGroup)
    world.groups.consumer_heartbeat("g", Beat(member_id="m", epoch=-1))
    world.stable()
    group = world.restart().get("g")
    assert isinstance(group, ClassicGroup)
    assert group.state is State.STABLE
    assert world.offset() == 5


def test_a_refused_change_of_protocol_changes_nothing(world: World) -> None:
    world.commit("g")
    with refused(INVALID_REGULAR_EXPRESSION):
        world.consumer(regex="(")
    assert isinstance(world.groups.get("g"), ClassicGroup)
    assert world.offset() == 5
    epoch = world.consumer()
    world.groups.consumer_heartbeat("g", Beat(member_id="m", epoch=-1))
    assert epoch == 1
    with refused(UNKNOWN_MEMBER_ID):
        world.groups.join("g", joining("somebody"))
    assert isinstance(world.groups.get("g"), ConsumerGroup)


# -- restarts --------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 50])
def test_offsets_survive_a_restart(tmp_path: Path, time: ManualTime, partitions: int) -> None:
    world = World(tmp_path, time, partitions)
    for number in range(20):
        world.commit(f"g{number}", offset=number, metadata=f"m{number}", leader_epoch=3)
    before = [world.groups.offsets.of(f"g{number}") for number in range(20)]
    after = world.restart()
    assert [after.offsets.of(f"g{number}") for number in range(20)] == before
    assert len(after.all()) == 20
    world.close()


def test_a_classic_group_survives_a_restart_without_a_rebalance(world: World, time: ManualTime) -> None:
    joined = world.stable(instance_id=None)
    before = world.groups.get("g")
    after = world.restart()
    after.heartbeat("g", joined.member_id, None, joined.generation)
    assert answer(after.sync("g", joined.member_id, None, joined.generation, {})).assignment == b"all"
    group = after.get("g")
    assert isinstance(group, ClassicGroup)
    assert isinstance(before, ClassicGroup)
    assert (group.state, group.protocol, group.leader) == (State.STABLE, "range", joined.member_id)
    time.advance(SESSION_S)
    assert group.members == {}


def test_a_consumer_group_survives_a_restart_without_a_rebalance(world: World) -> None:
    epoch = world.consumer(regex="user.", instance_id="one", rack_id="r", assignor="range")
    before = world.groups.get("g")
    assert isinstance(before, ConsumerGroup)
    after = world.restart()
    group = after.get("g")
    assert isinstance(group, ConsumerGroup)
    assert group.snapshot == before.snapshot
    assert group.snapshot.state == "Stable"
    assert after.consumer_heartbeat("g", Beat(member_id="m", epoch=epoch)).assigned is None


def test_an_emptied_group_is_empty_after_a_restart(world: World) -> None:
    joined = world.stable()
    world.groups.leave("g", [(joined.member_id, None)])
    group = world.restart().get("g")
    assert isinstance(group, ClassicGroup)
    assert (group.state, group.generation, group.protocol_type) == (State.EMPTY, 2, "consumer")


@pytest.mark.parametrize(("kind", "offset"), [(COMMIT, 7), (ABORT, 5)])
@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_a_transaction_s_offsets_wait_for_its_end_through_restarts(
    world: World, kind: int, offset: int, restarts: int
) -> None:
    world.commit("g")
    world.commit_pending("g")
    if restarts:
        world.restart()
    assert world.offset() == 5
    assert world.groups.offsets.pending_in("g", ORDERS)
    world.end("g", kind)
    if restarts == 2:
        world.restart()
    assert world.offset() == offset
    assert not world.groups.offsets.pending_in("g", ORDERS)


def test_a_transaction_that_ends_late_does_not_undo_a_later_commit(world: World) -> None:
    world.commit_pending("g")
    world.commit("g", offset=9)
    world.end("g", COMMIT)
    assert world.offset() == 9
    world.restart()
    assert world.offset() == 9


def test_what_is_not_understood_is_passed_over(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.commit("g")
    world.disks[0].append_records([(b"\0\1\0", b"?"), (b"", None), (b"\0\x63", b"?")], 0)
    world.disks[0].append_records([(bytes.fromhex("0001 000167 000174 00000000"), b"\0\x63")], 0)
    world.restart()
    assert world.offset() == 5
    assert "offset 1" in caplog.text
    assert "format version 99" in caplog.text


# -- deleting --------------------------------------------------------------------------------


def test_a_deleted_group_is_gone_with_its_offsets(world: World) -> None:
    world.commit("g", ORDERS, USERS)
    world.groups.delete("g")
    for groups in (world.groups, world.restart()):
        assert groups.get("g") is None
        assert groups.offsets.of("g") == {}
    with refused(GROUP_ID_NOT_FOUND):
        world.groups.delete("g")


def test_an_emptied_consumer_group_can_be_deleted(world: World) -> None:
    world.consumer()
    with refused(NON_EMPTY_GROUP):
        world.groups.delete("g")
    world.groups.consumer_heartbeat("g", Beat(member_id="m", epoch=-1))
    world.groups.delete("g")
    assert world.restart().all() == []


def test_offsets_of_topics_that_members_read_are_kept(world: World) -> None:
    world.stable("classic")
    world.consumer("modern")
    for group_id in ("classic", "modern"):
        world.commit(group_id, ORDERS, USERS)
        codes = world.groups.delete_offsets(group_id, [ORDERS, USERS, ("other", 0)])
        assert codes == {ORDERS: GROUP_SUBSCRIBED_TO_TOPIC, USERS: NONE, ("other", 0): NONE}
        assert set(world.groups.offsets.of(group_id)) == {ORDERS}
    assert set(world.restart().offsets.of("classic")) == {ORDERS}


def test_what_members_of_another_type_read_is_not_known(world: World) -> None:
    world.groups.join("g", joining(protocol_type="connect"))
    with refused(NON_EMPTY_GROUP):
        world.groups.delete_offsets("g", [ORDERS])
    with refused(GROUP_ID_NOT_FOUND):
        world.groups.delete_offsets("nothing", [ORDERS])


def test_a_subscription_that_cannot_be_read_is_taken_for_everything(world: World) -> None:
    world.groups.join("g", joining(protocols=(("range", b"?"),)))
    world.commit("g")
    assert world.groups.delete_offsets("g", [ORDERS]) == {ORDERS: GROUP_SUBSCRIBED_TO_TOPIC}


def test_a_deleted_topic_takes_its_offsets_along(world: World) -> None:
    world.commit("g", ORDERS, USERS)
    world.commit_pending("h", ORDERS)
    world.groups.forget_topic("orders")
    world.groups.complete_transaction(1, world.groups.partition_of("h"), commit=True)
    assert set(world.restart().offsets.of("g")) == {USERS}
    assert world.groups.offsets.of("h") == {}


# -- retention -------------------------------------------------------------------------------


def test_offsets_of_a_group_without_members_expire_after_their_commit(world: World, time: ManualTime) -> None:
    world.commit("g", ORDERS)
    time.advance(6.5 * DAY_S)
    world.commit("g", USERS)
    time.advance(1 * DAY_S)
    assert set(world.groups.offsets.of("g")) == {USERS}
    time.advance(7 * DAY_S)
    assert world.groups.all() == []
    assert world.restart().all() == []


def test_offsets_of_an_emptied_group_expire_after_its_last_member_left(world: World, time: ManualTime) -> None:
    joined = world.stable(session_s=1800)
    world.commit("g", USERS)
    world.commit("g", ORDERS)
    for _ in range(8 * 96):
        time.advance(DAY_S / 96)
        world.groups.heartbeat("g", joined.member_id, None, joined.generation)
    # Nobody reads users any more, so its offset is as old as its commit.
    assert set(world.groups.offsets.of("g")) == {ORDERS}
    world.groups.leave("g", [(joined.member_id, None)])
    time.advance(6.9 * DAY_S)
    assert world.offset() == 5
    time.advance(0.2 * DAY_S)
    assert world.groups.all() == []


def test_offsets_of_a_connect_group_with_members_do_not_expire(world: World, time: ManualTime) -> None:
    joined = answer(world.groups.join("g", joining(protocol_type="connect", session_s=1800)))
    world.commit("g")
    world.groups.sync("g", joined.member_id, None, joined.generation, {joined.member_id: b""})
    for _ in range(8 * 96):
        time.advance(DAY_S / 96)
        world.groups.heartbeat("g", joined.member_id, None, joined.generation)
    assert world.offset() == 5


def test_offsets_that_wait_for_a_transaction_do_not_expire(world: World, time: ManualTime) -> None:
    world.commit("g", ORDERS, USERS)
    world.commit_pending("g", ORDERS)
    time.advance(8 * DAY_S)
    assert set(world.groups.offsets.of("g")) == {ORDERS}


def test_a_client_may_say_when_its_offsets_expire(world: World, time: ManualTime) -> None:
    world.commit("g", expires=time.wall_ms() + 3_600_000)
    world.restart()
    time.advance(3_500)
    assert world.offset() == 5
    time.advance(1_000)
    assert world.groups.all() == []


def test_a_group_whose_id_was_promised_is_not_over(world: World, time: ManualTime) -> None:
    told = answer(world.groups.join("g", joining(takes_member_id=True, session_s=1200)))
    time.advance(700)
    assert answer(world.groups.join("g", joining(told.member_id, takes_member_id=True))).generation == 1


def test_a_full_disk_does_not_end_the_checks(world: World, time: ManualTime) -> None:
    world.commit("g")
    world.disks[0].full = True
    time.advance(8 * DAY_S)
    assert world.offset() == 5
    world.disks[0].full = False
    time.advance(600)
    assert world.groups.all() == []


# -- settings, and everything at once ----------------------------------------------------------


def test_settings_have_kafka_s_names_and_units() -> None:
    config = CoordinatorConfig.of(
        Settings(
            {
                "group.initial.rebalance.delay.ms": "3000",
                "group.max.size": "9",
                "group.consumer.assignors": "range, uniform",
                "offsets.retention.minutes": "2",
            }
        )
    )
    assert config.classic.initial_delay_ms == 3000
    assert config.classic.max_size == 9
    assert config.consumer.assignors == ("range", "uniform")
    assert config.retention_ms == 120_000
    assert CoordinatorConfig.of(Settings()) == CoordinatorConfig()


PLACES = st.tuples(st.sampled_from(["orders", "users"]), st.integers(0, 1))
GROUPS = st.sampled_from(["a", "b"])
STEPS = st.one_of(
    st.tuples(st.just("commit"), GROUPS, PLACES, st.integers(0, 99)),
    st.tuples(st.just("pend"), GROUPS, PLACES, st.integers(1, 2)),
    st.tuples(st.just("end"), st.booleans(), st.integers(1, 2)),
    st.tuples(st.just("forget"), st.sampled_from(["orders", "users"])),
    st.tuples(st.just("delete"), GROUPS),
    st.tuples(st.just("topics"), st.integers(1, 6)),
    st.tuples(st.just("consume"), GROUPS, st.sampled_from(["m", "n"]), st.sampled_from(["user.*", "", "o.*"])),
    st.tuples(st.just("leave"), GROUPS, st.sampled_from(["m", "n"])),
    st.tuples(st.just("join"), GROUPS),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_a_replay_gives_what_memory_held(
    steps: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    time = ManualTime()
    world = World(tmp_path_factory.mktemp("log"), time)
    for step in steps:
        try:
            take(world, *step)
        except KafkaError:
            continue
    offsets = world.groups.offsets
    before = ({group: dict(offsets.of(group)) for group in "ab"}, offsets.pending, facts(world))
    world.restart()
    offsets = world.groups.offsets
    assert ({group: dict(offsets.of(group)) for group in "ab"}, offsets.pending, facts(world)) == before
    world.close()
    time.close()


def take(world: World, action: str, *facts: Any) -> None:
    match action, facts:
        case "commit", (group, place, offset):
            world.commit(group, place, offset=offset)
        case "pend", (group, place, producer):
            world.commit_pending(group, place, producer=producer)
        case "end", (commit, producer):
            world.end("a", COMMIT if commit else ABORT, producer)
        case "forget", (topic,):
            world.groups.forget_topic(topic)
        case "delete", (group,):
            world.groups.delete(group)
        case "topics", (count,):
            world.topics.known["orders"] = TopicFacts(UUID(int=1), count)
        case "consume", (group, member, regex):
            world.consumer(group, member, regex=regex)
        case "leave", (group, member):
            world.groups.consumer_heartbeat(group, Beat(member_id=member, epoch=-1))
        case "join", (group,):
            known = world.groups.get(group)
            if isinstance(known, ClassicGroup):
                world.groups.leave(group, [(member, None) for member in known.members])
            world.stable(group)


def facts(world: World) -> dict[str, object]:
    """What of the groups is to survive: groups that were only made in memory are not."""
    found: dict[str, object] = {}
    for group in world.groups.all():
        if isinstance(group, ConsumerGroup):
            found[group.id] = group.snapshot
        elif group.state is State.STABLE:
            found[group.id] = (group.generation, sorted(group.members))
        elif world.groups.offsets.places(group.id):
            found[group.id] = group.protocol_type
    return found
