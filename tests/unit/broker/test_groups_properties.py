"""Whatever members do, and in whatever order: the rules of the classic group protocol hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncline.broker.errors import MEMBER_ID_REQUIRED, NONE, REBALANCE_IN_PROGRESS, KafkaError
from syncline.broker.groups import NEW_MEMBER_JOIN_MS, Joined, Limits, Protocols, State, Synced
from tests.unit.broker.group_driver import REBALANCE_S, SESSION_S, Driver
from tests.unit.broker.manual import ManualTime

METADATA_OF_ALL: Protocols = (("range", b"1"),)
METADATA = st.sampled_from([METADATA_OF_ALL, (("range", b"2"),), (("sticky", b"1"), ("range", b"1"))])
CLIENTS = st.integers(0, 4)


@dataclass
class Client:
    """A client as it sees itself."""

    instance_id: str | None = None
    member_id: str = ""
    joined: Joined | None = None
    synced: bool = False
    waiting: list[asyncio.Future[Joined] | asyncio.Future[Synced]] = field(default_factory=list)

    def hear(self) -> None:
        """Read the answers that have come."""
        for future in [future for future in self.waiting if future.done()]:
            self.waiting.remove(future)
            found = future.result()
            if isinstance(found, Joined):
                self.member_id = found.member_id if found.error in (NONE, MEMBER_ID_REQUIRED) else ""
                self.joined = found if found.error == NONE else None
                self.synced = False
            elif found.error == NONE:
                self.synced = True
            else:
                self.forget(keep_id=found.error == REBALANCE_IN_PROGRESS)

    def forget(self, keep_id: bool = False) -> None:
        """It is no part of a generation any more."""
        self.joined, self.synced = None, False
        if not keep_id:
            self.member_id = ""


class Groups(RuleBasedStateMachine):
    """Five clients, two of them static, on one group."""

    def __init__(self) -> None:
        super().__init__()
        self.time = ManualTime()
        self.driver = Driver(self.time)
        self.group = self.driver.group
        self.clients = [Client(), Client(), Client(), Client("s1"), Client("s2")]
        self.leaders: dict[int, set[str]] = {}
        self.generation = 0
        self.answers: list[asyncio.Future[Joined] | asyncio.Future[Synced]] = []

    @initialize(delay_ms=st.sampled_from([0, 3000]))
    def configure(self, delay_ms: int) -> None:
        self.group.limits = Limits(initial_delay_ms=delay_ms)

    @rule(max_size=st.sampled_from([2, 100, 100]), broken=st.sampled_from([True, False, False]))
    def change_conditions(self, max_size: int, broken: bool) -> None:
        self.group.limits = replace(self.group.limits, max_size=max_size)
        self.driver.store.broken = broken

    @rule(number=CLIENTS, protocols=METADATA, takes_id=st.booleans(), skips=st.booleans())
    def join(self, number: int, protocols: Protocols, takes_id: bool, skips: bool) -> None:
        self._join(number, protocols, takes_id, skips)

    def _join(self, number: int, protocols: Protocols, takes_id: bool, skips: bool) -> None:
        client = self.clients[number]
        client.hear()
        try:
            future = self.driver.join(
                client.member_id,
                instance_id=client.instance_id,
                protocols=protocols,
                takes_member_id=takes_id,
                skips_assignment=skips,
            )
        except KafkaError:
            client.forget()
            return
        client.waiting.append(future)
        self.answers.append(future)

    @rule(numbers=st.lists(CLIENTS, min_size=4, max_size=25))
    def behave(self, numbers: list[int]) -> None:
        """Clients do what the protocol asks of them next."""
        for number in numbers:
            client = self.clients[number]
            client.hear()
            if client.joined is not None and client.synced:
                self._heartbeat(number)
            elif client.joined is not None:
                self._sync(number)
            elif not client.waiting:
                self._join(number, METADATA_OF_ALL, True, True)
            client.hear()

    @rule(number=CLIENTS)
    def restart(self, number: int) -> None:
        """The process dies and comes back, knowing nothing."""
        client = self.clients[number]
        client.forget()
        client.waiting = []

    @rule(number=CLIENTS)
    def sync(self, number: int) -> None:
        self._sync(number)

    def _sync(self, number: int) -> None:
        client = self.clients[number]
        client.hear()
        if client.joined is None:
            return
        parts = {peer.member_id: b"part" for peer in client.joined.peers}
        try:
            future = self.driver.sync(client.joined, parts, client.instance_id)
        except KafkaError as exc:
            client.forget(keep_id=exc.code == REBALANCE_IN_PROGRESS)
            return
        client.waiting.append(future)
        self.answers.append(future)

    @rule(number=CLIENTS)
    def heartbeat(self, number: int) -> None:
        self._heartbeat(number)

    def _heartbeat(self, number: int) -> None:
        client = self.clients[number]
        client.hear()
        if client.joined is None:
            return
        try:
            self.driver.heartbeat(client.joined, client.instance_id)
        except KafkaError as exc:
            client.forget(keep_id=exc.code == REBALANCE_IN_PROGRESS)
            return
        assert client.joined.generation == self.group.generation
        assert client.member_id in self.group.members

    @rule(number=CLIENTS)
    def leave(self, number: int) -> None:
        client = self.clients[number]
        client.hear()
        self.group.leave([(client.member_id, client.instance_id)])
        client.forget()

    @rule(seconds=st.sampled_from([0.0, 1.0, 3.0, SESSION_S / 2, SESSION_S]))
    def time_passes(self, seconds: float) -> None:
        self.time.advance(seconds)

    @invariant()
    def generations_have_one_leader_and_only_grow(self) -> None:
        for client in self.clients:
            client.hear()
            joined = client.joined
            if joined is not None and joined.peers:
                # A leader that came back leads under its new id.
                self.leaders.setdefault(joined.generation, set()).add(client.instance_id or client.member_id)
        assert all(len(found) == 1 for found in self.leaders.values())
        assert self.group.generation >= self.generation
        self.generation = self.group.generation

    @invariant()
    def every_member_of_a_stable_generation_has_an_assignment(self) -> None:
        if self.group.state is State.STABLE:
            assert self.group.members
            assert all(member.assignment for member in self.group.members.values())
            assert self.group.protocol is not None

    @invariant()
    def nobody_is_left_without_a_timer(self) -> None:
        members = self.group.members
        assert all(member.expiry is not None for member in members.values())
        assert self.group.state is not State.EMPTY or not members
        assert self.group.leader in members or not members
        if any(member.joining is not None for member in members.values()):
            assert self.group.state is State.PREPARING
        if any(member.syncing is not None for member in members.values()):
            assert self.group.state is State.COMPLETING

    def teardown(self) -> None:
        self.driver.store.broken = False
        self._everybody_sends_heartbeats_and_nothing_else()
        self._everybody_falls_silent()
        self.group.close()
        self.time.close()

    def _everybody_sends_heartbeats_and_nothing_else(self) -> None:
        """One that is alive but does not take part cannot hold up those that do."""
        for _ in range(4 * REBALANCE_S // SESSION_S):
            self.time.advance(SESSION_S / 2)
            for number in range(len(self.clients)):
                self._heartbeat(number)
        assert all(future.done() for future in self.answers)

    def _everybody_falls_silent(self) -> None:
        """A group without living members ends empty, with nothing left to do."""
        self.time.advance(NEW_MEMBER_JOIN_MS / 1000 + 5 * (REBALANCE_S + SESSION_S))
        assert self.group.state is State.EMPTY
        assert self.time.scheduled == 0


Groups.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestGroups = Groups.TestCase
