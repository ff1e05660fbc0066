"""Whatever members of the consumer protocol do: no partition has two owners, and groups settle."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from syncline.broker.consumer_groups import LEAVE, LEAVE_FOR_NOW, TopicFacts
from syncline.broker.errors import KafkaError
from tests.unit.broker.manual import ManualTime
from tests.unit.broker.test_consumer_groups import REBALANCE_S, SESSION_S, Client, World

CLIENTS = st.integers(0, 4)
SUBSCRIPTIONS = st.sampled_from([("orders",), ("users",), ("orders", "users"), ()])


class Groups(RuleBasedStateMachine):
    """Five clients, two of them static, on one group. A client owns what it says it owns."""

    def __init__(self) -> None:
        super().__init__()
        self.time = ManualTime()
        self.world = World(self.time)
        self.clients = [
            self.world.client(str(number), instance_id=f"s{number}" if number > 2 else None) for number in range(5)
        ]
        self.joined: set[int] = set()
        self.starts = 0

    def act(self, number: int, action: str, **facts: object) -> None:
        """One request of a client; one that is refused lets go of everything, as clients do."""
        client = self.clients[number]
        try:
            getattr(client, action)(**facts)
            self.joined.add(number)
        except KafkaError:
            self.lose(number)

    def lose(self, number: int) -> None:
        self.clients[number].owned = frozenset()
        self.joined.discard(number)

    @rule(number=CLIENTS, topics=SUBSCRIPTIONS, assignor=st.sampled_from([None, "range", "uniform"]))
    def start(self, number: int, topics: tuple[str, ...], assignor: str | None) -> None:
        """A new process, whatever became of the old one."""
        self.starts += 1
        old = self.clients[number]
        self.clients[number] = Client(
            self.world.group,
            f"{number}-{self.starts}",
            instance_id=old.instance_id,
            topics=topics,
            assignor=assignor,
        )
        self.lose(number)
        self.act(number, "join")

    @rule(numbers=st.lists(CLIENTS, min_size=1, max_size=20))
    def behave(self, numbers: list[int]) -> None:
        for number in numbers:
            self.act(number, "heartbeat" if number in self.joined else "join")

    @rule(number=CLIENTS, says=st.booleans())
    def be_busy(self, number: int, says: bool) -> None:
        """A heartbeat while callbacks run: the client still has what it had, whatever it is told."""
        if number in self.joined:
            client = self.clients[number]
            try:
                answer = self.world.group.heartbeat(client.beat(owned=client.owned if says else None))
                client.epoch = answer.epoch
            except KafkaError:
                self.lose(number)

    @rule(number=CLIENTS, topics=SUBSCRIPTIONS)
    def subscribe_anew(self, number: int, topics: tuple[str, ...]) -> None:
        if number in self.joined:
            self.act(number, "heartbeat", topics=topics)

    @rule(number=CLIENTS, for_now=st.booleans())
    def leave(self, number: int, for_now: bool) -> None:
        client = self.clients[number]
        self.lose(number)
        try:
            client.leave(LEAVE_FOR_NOW if for_now and client.instance_id else LEAVE)
        except KafkaError:
            return

    @rule(orders=st.integers(1, 8), users=st.integers(0, 3))
    def topics_change(self, orders: int, users: int) -> None:
        known = self.world.topics.known
        known["orders"] = TopicFacts(known["orders"].id, max(orders, known["orders"].partitions))
        if users:
            known.setdefault("users", TopicFacts(UUID(int=100 + users), users))
        else:
            known.pop("users", None)

    @rule(seconds=st.sampled_from([0.0, 5.0, 20.0, SESSION_S]))
    def time_passes(self, seconds: float) -> None:
        self.time.advance(seconds)
        for number in list(self.joined):
            if self.clients[number].id not in self.world.group.snapshot.members:
                self.lose(number)

    @invariant()
    def no_partition_has_two_owners(self) -> None:
        owners = Counter(place for number in self.joined for place in self.clients[number].owned)
        assert all(count == 1 for count in owners.values())
        held = Counter(p for member in self.world.group.snapshot.members.values() for p in member.held)
        assert all(count == 1 for count in held.values())

    @invariant()
    def what_a_client_owns_the_group_knows(self) -> None:
        for number in self.joined:
            client = self.clients[number]
            assert client.owned <= self.world.group.snapshot.members[client.id].held

    @invariant()
    def epochs_are_in_order(self) -> None:
        snapshot = self.world.group.snapshot
        assert snapshot.target_epoch <= snapshot.epoch
        assert all(member.epoch <= snapshot.target_epoch for member in snapshot.members.values())

    def teardown(self) -> None:
        group = self.world.group
        self.time_passes(SESSION_S + REBALANCE_S)
        for number in range(len(self.clients)):
            if number not in self.joined:
                self.act(number, "join")
        self.world.settle(*self.clients)
        assert group.snapshot.state == "Stable"
        wanted = {
            (facts.id, number)
            for name, facts in self.world.topics.known.items()
            if any(name in member.topics for member in group.snapshot.members.values())
            for number in range(facts.partitions)
        }
        assert {place for client in self.clients for place in client.owned} == wanted
        group.close()
        assert self.time.scheduled == 0
        self.time.close()


Groups.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestGroups = Groups.TestCase
