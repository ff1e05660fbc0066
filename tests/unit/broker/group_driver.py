"""A classic group and the members tests play."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from syncline.broker.errors import MEMBER_ID_REQUIRED
from syncline.broker.groups import ClassicGroup, Joined, Joining, Limits, State, Synced
from tests.unit.broker.manual import ManualTime

T = TypeVar("T")

RANGE = (("range", b"topics"),)
SESSION_S = 10
REBALANCE_S = 60


def joining(
    member_id: str = "",
    *,
    instance_id: str | None = None,
    client_id: str = "client",
    protocols: tuple[tuple[str, bytes], ...] = RANGE,
    protocol_type: str = "consumer",
    session_s: float = SESSION_S,
    rebalance_s: float = REBALANCE_S,
    takes_member_id: bool = False,
    skips_assignment: bool = True,
) -> Joining:
    return Joining(
        member_id=member_id,
        instance_id=instance_id,
        client_id=client_id,
        host="/127.0.0.1",
        session_ms=round(session_s * 1000),
        rebalance_ms=round(rebalance_s * 1000),
        protocol_type=protocol_type,
        protocols=protocols,
        takes_member_id=takes_member_id,
        skips_assignment=skips_assignment,
    )


def answer(future: asyncio.Future[T]) -> T:
    """The answer, which must be there."""
    assert future.done(), "nobody answered yet"
    return future.result()


@dataclass
class Store:
    """Where a group keeps its metadata; fails while `broken`."""

    broken: bool = False
    stored: list[tuple[State, int, dict[str, bytes]]] = field(default_factory=list)

    def __call__(self, group: ClassicGroup) -> None:
        if self.broken:
            raise OSError("disk full")
        assignments = {member.id: member.assignment for member in group.members.values()}
        self.stored.append((group.state, group.generation, assignments))


@dataclass
class Driver:
    """One group under test."""

    time: ManualTime
    limits: Limits = field(default_factory=Limits)
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.group = ClassicGroup(id="g", clock=self.time, timers=self.time, store=self.store, limits=self.limits)

    def join(self, member_id: str = "", **facts: Any) -> asyncio.Future[Joined]:
        return self.group.join(joining(member_id, **facts))

    def join_with_id(self, **facts: Any) -> asyncio.Future[Joined]:
        """The two requests of a client that takes its id from the broker."""
        asked = replace(joining(**facts), takes_member_id=True)
        told = answer(self.group.join(asked))
        assert told.error == MEMBER_ID_REQUIRED
        return self.group.join(replace(asked, member_id=told.member_id))

    def state(self) -> State:
        return self.group.state

    def sync(
        self, joined: Joined, assignments: dict[str, bytes] | None = None, instance_id: str | None = None
    ) -> asyncio.Future[Synced]:
        return self.group.sync(joined.member_id, instance_id, joined.generation, assignments or {})

    def heartbeat(self, joined: Joined, instance_id: str | None = None) -> None:
        self.group.heartbeat(joined.member_id, instance_id, joined.generation)

    def stable(self, count: int, **facts: Any) -> list[Joined]:
        """A stable group of `count` members, the leader first; each is assigned its own number."""
        futures = [self.join(**facts)]
        for _ in range(count - 1):
            newcomer = self.join(**facts)
            known = [member for member in self.group.members.values() if member.joining is None]
            futures = [self.join(member.id, **facts) for member in known] + [newcomer]
        joined = [answer(future) for future in futures]
        assert len({one.generation for one in joined}) == 1
        leader = next(one for one in joined if one.member_id == one.leader)
        parts = {one.member_id: str(number).encode() for number, one in enumerate(joined)}
        for one in joined:
            self.sync(one, parts if one is leader else {})
        assert self.group.state is State.STABLE
        return sorted(joined, key=lambda one: one is not leader)
