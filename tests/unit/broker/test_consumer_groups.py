"""The consumer group protocol of KIP-848, one heartbeat at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from syncline.broker.consumer_groups import (
    JOIN,
    LEAVE,
    LEAVE_FOR_NOW,
    Answer,
    Beat,
    ConsumerGroup,
    ConsumerLimits,
    MemberState,
    Snapshot,
    TopicFacts,
)
from syncline.broker.errors import (
    FENCED_INSTANCE_ID,
    FENCED_MEMBER_EPOCH,
    GROUP_MAX_SIZE_REACHED,
    INVALID_REGULAR_EXPRESSION,
    NON_EMPTY_GROUP,
    STALE_MEMBER_EPOCH,
    UNKNOWN_MEMBER_ID,
    UNRELEASED_INSTANCE_ID,
    UNSUPPORTED_VERSION,
    KafkaError,
)
from syncline.broker.group_records import Partitions
from tests.unit.broker.manual import ManualTime

ORDERS, USERS = UUID(int=1), UUID(int=2)
SESSION_S = 45
REBALANCE_S = 60


@dataclass
class Topics:
    """A catalogue that tests write in."""

    known: dict[str, TopicFacts] = field(
        default_factory=lambda: {"orders": TopicFacts(ORDERS, 4), "users": TopicFacts(USERS, 2)}
    )
    looked_through: int = 0

    def facts(self, name: str) -> TopicFacts | None:
        return self.known.get(name)

    def names(self) -> Iterable[str]:
        self.looked_through += 1
        return list(self.known)

    @property
    def edition(self) -> int:
        return hash(frozenset(self.known))


@dataclass
class Store:
    """Takes every step of a group; fails while `broken`."""

    steps: list[Snapshot] = field(default_factory=list)
    broken: bool = False

    def __call__(self, group: ConsumerGroup, after: Snapshot) -> None:
        if self.broken:
            raise OSError("disk full")
        self.steps.append(after)


@dataclass
class Client:
    """A consumer that does as it is told."""

    group: ConsumerGroup
    id: str
    instance_id: str | None = None
    epoch: int = JOIN
    owned: Partitions = frozenset()
    topics: tuple[str, ...] = ("orders",)
    regex: str | None = None
    assignor: str | None = None

    def join(self) -> Answer:
        """The first heartbeat, which says everything."""
        self.epoch, self.owned = JOIN, frozenset()
        return self._hear(
            self.beat(
                rebalance_ms=REBALANCE_S * 1000,
                topics=self.topics,
                regex=self.regex,
                assignor=self.assignor,
                owned=self.owned,
            )
        )

    def beat(self, **facts: object) -> Beat:
        return Beat(member_id=self.id, epoch=self.epoch, instance_id=self.instance_id, **facts)  # type: ignore[arg-type]

    def heartbeat(self, **facts: object) -> Answer:
        """Nothing new, but what it has."""
        return self._hear(self.beat(**{"owned": self.owned, **facts}))

    def silent(self) -> Answer:
        """A heartbeat that says nothing at all, while callbacks run."""
        return self.group.heartbeat(self.beat())

    def _hear(self, beat: Beat) -> Answer:
        answer = self.group.heartbeat(beat)
        self.epoch = answer.epoch
        if answer.assigned is not None:
            self.owned = answer.assigned
        return answer

    def leave(self, epoch: int = LEAVE) -> Answer:
        self.epoch = epoch
        return self.group.heartbeat(self.beat())

    @property
    def numbers(self) -> list[int]:
        return sorted(number for _, number in self.owned)


@dataclass
class World:
    """One group, its topics and its log."""

    time: ManualTime
    limits: ConsumerLimits = field(default_factory=ConsumerLimits)
    topics: Topics = field(default_factory=Topics)
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.group = ConsumerGroup(
            id="g", timers=self.time, catalogue=self.topics, store=self.store, limits=self.limits
        )

    def client(self, member_id: str, **facts: object) -> Client:
        return Client(self.group, member_id, **facts)  # type: ignore[arg-type]

    def settle(self, *clients: Client) -> None:
        """Heartbeats until nothing moves any more."""
        for _ in range(10):
            before = self.group.snapshot
            for client in clients:
                client.heartbeat()
            if self.group.snapshot == before:
                return
        raise AssertionError("the group does not settle")


@pytest.fixture
def world(time: ManualTime) -> World:
    return World(time)


def places(topic: UUID, count: int) -> Partitions:
    """All partitions of a topic."""
    return frozenset((topic, number) for number in range(count))


def refused(code: int) -> pytest.RaisesExc[KafkaError]:
    return pytest.RaisesExc(KafkaError, check=lambda error: error.code == code)


# -- assigning -------------------------------------------------------------------------------


def test_the_first_member_gets_everything_at_once(world: World) -> None:
    answer = world.client("a").join()
    assert (answer.member_id, answer.epoch) == ("a", 1)
    assert answer.assigned == places(ORDERS, 4)
    assert world.group.snapshot.state == "Stable"


def test_a_client_without_an_id_is_given_one(world: World) -> None:
    assert world.client("").join().member_id


def test_nothing_is_said_twice(world: World) -> None:
    client = world.client("a")
    client.join()
    assert client.heartbeat().assigned is None
    assert client.join().assigned is not None


def test_a_partition_is_given_only_after_its_owner_gave_it_up(world: World) -> None:
    first, second = world.client("a"), world.client("b")
    first.join()
    assert second.join().assigned == frozenset()
    assert world.group.snapshot.members["b"].state is MemberState.UNRELEASED
    held = first.owned
    kept = first.silent().assigned  # told what to keep, it has given up nothing yet
    assert kept is not None
    assert len(kept) == 2
    assert world.group.snapshot.members["a"].state is MemberState.UNREVOKED
    second.heartbeat()
    assert second.owned == frozenset()
    first.owned = kept
    assert first.heartbeat().epoch == 2
    second.heartbeat()
    assert second.owned == held - kept
    assert world.group.snapshot.state == "Stable"


def test_states_are_named_as_kafka_names_them(world: World) -> None:
    first, second = world.client("a"), world.client("b")
    assert world.group.snapshot.state == "Empty"
    first.join()
    second.join()
    assert world.group.snapshot.state == "Reconciling"
    world.settle(first, second)
    second.leave()
    assert world.group.snapshot.state == "Assigning"
    first.heartbeat()
    assert world.group.snapshot.state == "Stable"


def test_members_choose_the_assignor_by_majority(world: World) -> None:
    clients = [world.client(name, assignor="range") for name in "ab"] + [world.client("c", assignor="uniform")]
    for client in clients:
        client.join()
    world.settle(*clients)
    assert world.group.snapshot.assignor == "range"
    assert [client.numbers for client in clients] == [[0, 1], [2], [3]]


def test_a_new_subscription_takes_effect_with_the_heartbeat(world: World) -> None:
    client = world.client("a")
    client.join()
    answer = client.heartbeat(topics=("users",))
    assert answer.assigned == frozenset()
    client.owned = frozenset()
    assert client.heartbeat().assigned == places(USERS, 2)


def test_a_topic_that_appears_later_is_assigned_when_it_does(world: World) -> None:
    client = world.client("a", topics=("later",))
    assert client.join().assigned == frozenset()
    world.topics.known["later"] = TopicFacts(UUID(int=9), 1)
    assert client.heartbeat().assigned == places(UUID(int=9), 1)


def test_new_partitions_are_assigned_and_deleted_topics_taken_away(world: World) -> None:
    client = world.client("a", topics=("orders", "users"))
    client.join()
    world.topics.known["orders"] = TopicFacts(ORDERS, 5)
    assert len(client.heartbeat().assigned or ()) == 7
    del world.topics.known["users"]
    assert client.heartbeat().assigned == places(ORDERS, 5)


# -- regular expressions ---------------------------------------------------------------------


def test_an_expression_stands_for_the_topics_that_match_as_a_whole(world: World) -> None:
    client = world.client("a", topics=(), regex="user.")
    assert client.join().assigned == places(USERS, 2)
    world.topics.known["users2"] = TopicFacts(UUID(int=8), 1)
    world.topics.known["userx"] = TopicFacts(UUID(int=9), 1)
    assert client.heartbeat().assigned == places(USERS, 2) | places(UUID(int=9), 1)


def test_topics_are_looked_through_when_there_are_others_and_not_at_every_heartbeat(world: World) -> None:
    client = world.client("a", topics=(), regex="user.*")
    client.join()
    before = world.topics.looked_through
    for _ in range(3):
        client.heartbeat()
    assert world.topics.looked_through == before
    for change in (lambda: world.topics.known.pop("users"), lambda: world.topics.known.update(u=TopicFacts(USERS, 1))):
        change()
        client.heartbeat()
        before += 1
        assert world.topics.looked_through == before
    client.heartbeat(regex="u.*")
    assert client.owned == places(USERS, 1)


def test_an_expression_is_added_to_names_and_can_be_taken_back(world: World) -> None:
    client = world.client("a", topics=("orders",), regex="user.*")
    assert len(client.join().assigned or ()) == 6
    assert len(client.heartbeat(regex="").assigned or ()) == 4


@pytest.mark.parametrize("expression", ["(", "a(?=b)", r"(a)\1", "a++", "[[:alpha:]]", r"\p{L}"])
def test_an_expression_that_re2_or_python_does_not_know_is_refused(world: World, expression: str) -> None:
    with refused(INVALID_REGULAR_EXPRESSION):
        world.client("a", topics=(), regex=expression).join()
    assert world.group.snapshot == Snapshot()


# -- epochs ----------------------------------------------------------------------------------


def test_a_stranger_is_refused(world: World) -> None:
    world.client("a").join()
    with refused(UNKNOWN_MEMBER_ID):
        world.client("b", epoch=1).heartbeat()
    with refused(UNKNOWN_MEMBER_ID):
        world.client("b").leave()


def test_a_member_ahead_of_the_group_is_fenced(world: World) -> None:
    client = world.client("a")
    client.join()
    client.epoch += 1
    with refused(FENCED_MEMBER_EPOCH):
        client.heartbeat()


def test_a_member_that_lost_an_answer_may_say_so_with_what_it_has(world: World) -> None:
    first, second = world.client("a"), world.client("b")
    first.join()
    second.join()
    first.owned = first.silent().assigned or frozenset()
    first.heartbeat()
    first.epoch = 1
    assert first.heartbeat().epoch == 2
    first.epoch = 1
    with refused(FENCED_MEMBER_EPOCH):  # it does not say what it has
        first.silent()


def test_a_fenced_member_that_joins_again_is_told_everything(world: World) -> None:
    client = world.client("a")
    client.join()
    assert len(client.join().assigned or ()) == 4


# -- leaving and expiring --------------------------------------------------------------------


def test_the_partitions_of_a_member_that_left_go_to_the_others(world: World, time: ManualTime) -> None:
    first, second = world.client("a"), world.client("b")
    first.join()
    second.join()
    world.settle(first, second)
    assert second.leave() == Answer("b", LEAVE)
    world.settle(first)
    assert first.numbers == [0, 1, 2, 3]
    first.leave()
    assert world.group.snapshot.state == "Empty"
    assert time.scheduled == 0


def test_a_session_ends_without_heartbeats(world: World, time: ManualTime) -> None:
    first, second = world.client("a"), world.client("b")
    first.join()
    second.join()
    world.settle(first, second)
    for _ in range(3):
        time.advance(SESSION_S * 0.4)
        first.heartbeat()
    world.settle(first)
    assert first.numbers == [0, 1, 2, 3]
    with refused(UNKNOWN_MEMBER_ID):
        second.heartbeat()


def test_a_member_that_keeps_what_it_is_to_give_up_is_expelled(world: World, time: ManualTime) -> None:
    first, second = world.client("a"), world.client("b")
    first.join()
    second.join()
    for _ in range(round(REBALANCE_S / 20)):
        first.silent()
        second.heartbeat()
        time.advance(20)
    with refused(UNKNOWN_MEMBER_ID):
        first.silent()
    world.settle(second)
    assert second.numbers == [0, 1, 2, 3]


def test_a_member_that_gives_up_in_time_stays(world: World, time: ManualTime) -> None:
    first, second = world.client("a"), world.client("b")
    first.join()
    second.join()
    world.settle(first, second)
    for _ in range(6):
        time.advance(20)
        first.heartbeat()
        second.heartbeat()
    assert set(world.group.snapshot.members) == {"a", "b"}


# -- static members --------------------------------------------------------------------------


def test_a_static_member_that_restarts_finds_its_partitions(world: World) -> None:
    first, second = world.client("a", instance_id="one"), world.client("b", instance_id="two")
    first.join()
    second.join()
    world.settle(first, second)
    epoch, owned = second.epoch, second.owned
    assert second.leave(LEAVE_FOR_NOW) == Answer("b", LEAVE_FOR_NOW)
    first.heartbeat()
    again = world.client("c", instance_id="two")
    assert again.join() == Answer("c", epoch, owned)
    assert set(world.group.snapshot.members) == {"a", "c"}
    assert world.group.snapshot.epoch == epoch


def test_an_instance_in_use_is_not_given_to_another(world: World) -> None:
    world.client("a", instance_id="one").join()
    with refused(UNRELEASED_INSTANCE_ID):
        world.client("b", instance_id="one").join()


def test_a_replaced_instance_is_fenced(world: World) -> None:
    old = world.client("a", instance_id="one")
    old.join()
    old.leave(LEAVE_FOR_NOW)
    world.client("b", instance_id="one").join()
    old.epoch = 1
    with refused(FENCED_INSTANCE_ID):
        old.heartbeat()
    with refused(FENCED_INSTANCE_ID):
        old.leave()
    with refused(UNKNOWN_MEMBER_ID):
        world.client("x", instance_id="three", epoch=1).heartbeat()


def test_a_static_member_that_does_not_come_back_loses_its_place(world: World, time: ManualTime) -> None:
    client = world.client("a", instance_id="one")
    client.join()
    client.leave(LEAVE_FOR_NOW)
    time.advance(SESSION_S)
    assert world.group.snapshot.members == {}


# -- limits, commits, what survives ------------------------------------------------------------


def test_a_full_group_takes_nobody_else(time: ManualTime) -> None:
    world = World(time, ConsumerLimits(max_size=1))
    client = world.client("a")
    client.join()
    with refused(GROUP_MAX_SIZE_REACHED):
        world.client("b").join()
    client.join()


def test_commits_need_the_epoch_of_the_member(world: World) -> None:
    world.group.check_commit("", None, -1)
    client = world.client("a")
    client.join()
    world.group.check_commit("a", None, client.epoch)
    world.group.check_commit("", None, -1, transactional=True)
    with refused(STALE_MEMBER_EPOCH):
        world.group.check_commit("a", None, client.epoch - 1)
    with refused(UNKNOWN_MEMBER_ID):
        world.group.check_commit("", None, -1)
    with refused(UNSUPPORTED_VERSION):
        world.group.check_commit("a", None, client.epoch, version=8)


def test_offsets_are_read_by_anybody_or_by_a_member_at_its_epoch(world: World) -> None:
    client = world.client("a")
    client.join()
    world.group.check_fetch(None, -1)
    world.group.check_fetch("a", client.epoch)
    with refused(STALE_MEMBER_EPOCH):
        world.group.check_fetch("a", client.epoch + 1)
    with refused(UNKNOWN_MEMBER_ID):
        world.group.check_fetch("b", 1)


def test_only_an_empty_group_can_be_deleted(world: World) -> None:
    world.group.check_delete()
    world.client("a").join()
    with refused(NON_EMPTY_GROUP):
        world.group.check_delete()


def test_a_step_that_cannot_be_stored_is_not_taken(world: World, time: ManualTime) -> None:
    client = world.client("a")
    client.join()
    before = world.group.snapshot
    world.store.broken = True
    with pytest.raises(OSError, match="disk full"):
        world.client("b").join()
    assert world.group.snapshot is before
    time.advance(SESSION_S)
    assert world.group.snapshot is before  # the end of its session cannot be stored either
    world.store.broken = False
    time.advance(SESSION_S)
    assert world.group.snapshot.members == {}


def test_a_quiet_heartbeat_stores_nothing(world: World) -> None:
    client = world.client("a")
    client.join()
    steps = len(world.store.steps)
    client.heartbeat()
    assert len(world.store.steps) == steps


def test_a_group_goes_on_after_a_restart(world: World, time: ManualTime) -> None:
    client = world.client("a")
    client.join()
    world.group.close()
    after = World(time)
    after.group.snapshot = world.store.steps[-1]
    after.group.resume()
    client.group = after.group
    assert client.heartbeat().assigned is None
    time.advance(SESSION_S)
    assert after.group.snapshot.members == {}
