"""The classic group protocol: who is in a group, who leads it, and what each member was assigned.

A state machine without I/O (KIP-62, KIP-345, KIP-394, KIP-814): requests are method calls, answers that have
to wait are futures, time is an injected scheduler, and what must survive a restart goes through `store`. Any
protocol type is served; consumers use `consumer`, Connect workers `connect`.

A rebalance, seen from the group:

    Empty ──join──> PreparingRebalance ──all joined, or time is up──> CompletingRebalance
      ^                ^         │                                          │ the leader's assignment
      │                │         └──nobody left──> Empty                    v
      └── (a rebalance nobody joins)        └──── join, leave, expiry ─── Stable
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar
from uuid import uuid4

from syncline.broker.errors import (
    COORDINATOR_NOT_AVAILABLE,
    FENCED_INSTANCE_ID,
    GROUP_ID_NOT_FOUND,
    GROUP_MAX_SIZE_REACHED,
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    MEMBER_ID_REQUIRED,
    NON_EMPTY_GROUP,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
    KafkaError,
)
from syncline.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

NO_GENERATION: Final = -1
NEW_MEMBER_JOIN_MS: Final = 5 * 60 * 1000
"""How long the first join of a member may wait; a client that gave up on it cannot say so (Kafka's figure)."""

Protocols = tuple[tuple[str, bytes], ...]
"""What a member can speak, best first: protocol name and the member's metadata for it."""


class Timer(Protocol):
    """An action that was scheduled."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """Where actions and answers wait; an event loop is one."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call once, `delay` seconds from now."""
        ...

    def create_future(self) -> asyncio.Future[Any]: ...


class State(StrEnum):
    """States, named as DescribeGroups and ListGroups name them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


ALLOWED: Final[Mapping[State, frozenset[State]]] = {
    State.EMPTY: frozenset({State.PREPARING, State.DEAD}),
    State.PREPARING: frozenset({State.COMPLETING, State.EMPTY, State.DEAD}),
    State.COMPLETING: frozenset({State.STABLE, State.PREPARING, State.DEAD}),
    State.STABLE: frozenset({State.PREPARING, State.DEAD}),
    State.DEAD: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """What a member says when it joins."""

    member_id: str
    """Empty when it has none yet."""
    instance_id: str | None = None
    client_id: str
    host: str
    session_ms: int
    rebalance_ms: int
    protocol_type: str
    protocols: Protocols
    takes_member_id: bool = True
    """It understands that it has to come back with the id it is given (v4 and later, KIP-394)."""
    skips_assignment: bool = True
    """v9 and later: a returning static leader can be told to leave the assignment alone (KIP-814)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One member as the leader sees it."""

    member_id: str
    instance_id: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The answer to a join."""

    error: int = NONE
    member_id: str
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    peers: tuple[Peer, ...] = ()
    """All members, for the leader alone."""
    skip_assignment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The answer to a sync."""

    error: int = NONE
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


@dataclass(slots=True, eq=False, kw_only=True)
class Member:
    """One member of a group."""

    id: str
    instance_id: str | None = None
    client_id: str
    host: str
    session_ms: int
    rebalance_ms: int
    protocols: Protocols
    assignment: bytes = b""
    fresh: bool = True
    """Its first join is not answered yet."""
    joining: asyncio.Future[Joined] | None = None
    syncing: asyncio.Future[Synced] | None = None
    expiry: Timer | None = None

    def metadata(self, protocol: str | None) -> bytes:
        return next((data for name, data in self.protocols if name == protocol), b"")

    @property
    def waiting(self) -> bool:
        """Whether the member waits for us, not we for it."""
        return self.joining is not None or self.syncing is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The settings that bound a group."""

    initial_delay_ms: int = 0
    """`group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits for more members."""
    max_size: int = 2**31 - 1
    """`group.max.size`"""


@dataclass(eq=False, kw_only=True)
class ClassicGroup:
    """One group. Used from one thread only.

    `store` makes the group's present metadata durable; it is called before a member hears of an assignment,
    and it may raise OSError, after which the members are told to come again.
    """

    id: str
    clock: Clock
    timers: Timers
    store: Callable[[ClassicGroup], None]
    limits: Limits = field(default_factory=Limits)
    state: State = State.EMPTY
    generation: int = 0
    protocol_type: str | None = None
    """None: no member ever joined; somebody commits offsets under this name."""
    protocol: str | None = None
    leader: str | None = None
    since_ms: int = -1
    """When the present state began, milliseconds since the epoch; -1: unknown."""
    members: dict[str, Member] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._statics = {m.instance_id: m.id for m in self.members.values() if m.instance_id is not None}
        self._promised: dict[str, Timer] = {}
        """Member ids handed out but not yet joined with."""
        self._unsynced: set[str] = set()
        """Members that have not asked for their assignment of this generation."""
        self._deadline: Timer | None = None
        """When the join phase, or the wait for syncs, ends."""
        self._delaying = False
        """The first rebalance of an empty group waits for more members to arrive."""
        self._arrived = False

    # -- looking ------------------------------------------------------------------------------

    @property
    def rebalance_ms(self) -> int:
        """How long a rebalance may take: the most patient member decides."""
        return max((member.rebalance_ms for member in self.members.values()), default=0)

    @property
    def promised(self) -> frozenset[str]:
        """Member ids that were handed out and not used yet."""
        return frozenset(self._promised)

    def member(self, member_id: str, instance_id: str | None) -> Member:
        """The member; KafkaError when it is not one, or was replaced under its instance id."""
        if instance_id is not None:
            current = self._statics.get(instance_id)
            if current is None:
                raise KafkaError(UNKNOWN_MEMBER_ID)
            if current != member_id:
                raise KafkaError(FENCED_INSTANCE_ID)
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError(UNKNOWN_MEMBER_ID)
        return member

    # -- joining ------------------------------------------------------------------------------

    def join(self, asked: Joining) -> asyncio.Future[Joined]:
        """Join, or join again; answered when the generation is complete. KafkaError refuses at once."""
        if not self._has_room(asked):
            self.expel(asked.member_id, GROUP_MAX_SIZE_REACHED)
            raise KafkaError(GROUP_MAX_SIZE_REACHED)
        if not self._speaks(asked):
            raise KafkaError(INCONSISTENT_GROUP_PROTOCOL)
        if asked.member_id:
            return self._join_known(asked)
        if asked.instance_id in self._statics:
            return self._take_over(asked)
        member_id = f"{asked.instance_id or asked.client_id}-{uuid4()}"
        if asked.takes_member_id and asked.instance_id is None:
            # Without this a client that times out while joining leaves one ghost per attempt (KIP-394).
            forget = self.timers.call_later(asked.session_ms / 1000, lambda: self._forget_promise(member_id))
            self._promised[member_id] = forget
            return self._answer(Joined(error=MEMBER_ID_REQUIRED, member_id=member_id))
        return self._admit(asked, member_id)

    def _has_room(self, asked: Joining) -> bool:
        known = self.members.get(asked.member_id or self._statics.get(asked.instance_id or "", ""))
        if self.state is not State.PREPARING:
            return known is not None or len(self.members) < self.limits.max_size
        # Those already waiting count, not the members: the last to rejoin an overfull group have to go.
        waiting = sum(member.joining is not None for member in self.members.values())
        return (known is not None and known.joining is not None) or waiting < self.limits.max_size

    def _speaks(self, asked: Joining) -> bool:
        """Whether the group would still have a protocol in common."""
        if not asked.protocol_type or not asked.protocols:
            return False
        if not self.members:
            return True
        return self.protocol_type == asked.protocol_type and any(
            name in self._common_protocols() for name, _ in asked.protocols
        )

    def _join_known(self, asked: Joining) -> asyncio.Future[Joined]:
        if asked.instance_id is None and asked.member_id in self._promised:
            self._promised.pop(asked.member_id).cancel()
            return self._admit(asked, asked.member_id)
        member = self.member(asked.member_id, asked.instance_id)
        same = member.protocols == asked.protocols
        if same and self.state is State.COMPLETING:
            # The answer to its join was lost; it may have it again.
            return self._answer(self._joined(member))
        if same and self.state is State.STABLE and member.id != self.leader:
            # A leader that joins wants a rebalance, perhaps for a change outside its metadata.
            return self._answer(self._joined(member))
        return self._rejoin(member, asked)

    def _admit(self, asked: Joining, member_id: str) -> asyncio.Future[Joined]:
        """Take a new member in."""
        member = Member(
            id=member_id,
            instance_id=asked.instance_id,
            client_id=asked.client_id,
            host=asked.host,
            session_ms=asked.session_ms,
            rebalance_ms=asked.rebalance_ms,
            protocols=asked.protocols,
            joining=self.timers.create_future(),
        )
        if not self.members:
            self.protocol_type = asked.protocol_type
            self.leader = member_id
        self.members[member_id] = member
        if asked.instance_id is not None:
            self._statics[asked.instance_id] = member_id
        self._arrived = True
        # It cannot send heartbeats before it knows the answer.
        self._expire_in(member, NEW_MEMBER_JOIN_MS)
        return self._rebalance_for(member)

    def _rejoin(self, member: Member, asked: Joining) -> asyncio.Future[Joined]:
        member.protocols = asked.protocols
        member.session_ms = asked.session_ms
        member.rebalance_ms = asked.rebalance_ms
        if member.joining is None:
            member.joining = self.timers.create_future()
        return self._rebalance_for(member)

    def _rebalance_for(self, member: Member) -> asyncio.Future[Joined]:
        """Count the member, which has just joined, in: in this join phase, or by beginning one."""
        assert member.joining is not None
        answer = member.joining
        if self.state is State.PREPARING:
            self._complete_if_all_joined()
        else:
            self._prepare()
        return answer

    def _take_over(self, asked: Joining) -> asyncio.Future[Joined]:
        """A static member came back as a new process, and takes its old place (KIP-345)."""
        assert asked.instance_id is not None
        old = self.members[self._statics[asked.instance_id]]
        old_leader = self.leader
        member = Member(
            id=f"{asked.instance_id}-{uuid4()}",
            instance_id=asked.instance_id,
            client_id=asked.client_id,
            host=asked.host,
            session_ms=asked.session_ms,
            rebalance_ms=asked.rebalance_ms,
            protocols=asked.protocols,
            assignment=old.assignment,
            fresh=False,
        )
        self._replace(old, member)
        self._refuse(old, FENCED_INSTANCE_ID)
        self._touch(member)
        if self.state is not State.STABLE or self._vote() != self.protocol:
            # While the leader assigns, its answer would name the old id, and the new one would get nothing.
            return self._rejoin(member, asked)
        try:
            self.store(self)
        except OSError:
            log.exception("group %s: the return of static member %s cannot be stored", self.id, member.id)
            self._replace(member, old)
            self._refuse(member, COORDINATOR_NOT_AVAILABLE)
            self._touch(old)
            raise KafkaError(COORDINATOR_NOT_AVAILABLE) from None
        joined = self._joined(member)
        if member.id == self.leader and not asked.skips_assignment:
            # Told that somebody else leads, it does not assign, and nothing moves.
            joined = self._joined(member, leader=old_leader)
        elif member.id == self.leader:
            joined = self._joined(member, skip_assignment=True)
        return self._answer(joined)

    def _replace(self, old: Member, new: Member) -> None:
        """Put `new` where `old` was; the order of members stays, because assignors depend on it."""
        self.members = {
            (new.id if member is old else member.id): (new if member is old else member)
            for member in self.members.values()
        }
        assert new.instance_id is not None
        self._statics[new.instance_id] = new.id
        if self.leader == old.id:
            self.leader = new.id
        if old.id in self._unsynced:
            self._unsynced = self._unsynced - {old.id} | {new.id}

    def _forget_promise(self, member_id: str) -> None:
        if self._promised.pop(member_id, None) is not None:
            self._complete_if_all_joined()

    # -- rebalancing --------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Begin a rebalance: everybody has to join again."""
        if self.state is State.COMPLETING:
            self._distribute({}, REBALANCE_IN_PROGRESS)
        first = self.state is State.EMPTY
        self._move(State.PREPARING)
        delay = self.limits.initial_delay_ms
        if first and delay:
            self._delaying, self._arrived = True, False
            remaining = max(self.rebalance_ms - delay, 0)
            self._set_deadline(delay, lambda: self._end_delay(remaining))
        elif first:
            self._complete()
        else:
            self._set_deadline(self.rebalance_ms, self._complete)
            self._complete_if_all_joined()

    def _end_delay(self, remaining_ms: int) -> None:
        """Wait once more for each time somebody arrived, within the rebalance timeout."""
        if self._arrived and remaining_ms > 0:
            self._arrived = False
            delay = min(self.limits.initial_delay_ms, remaining_ms)
            self._set_deadline(delay, lambda: self._end_delay(remaining_ms - delay))
        else:
            self._complete()

    def _complete_if_all_joined(self) -> None:
        if self.state is not State.PREPARING or self._delaying or self._promised:
            return
        if all(member.joining is not None for member in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        """End the join phase: a new generation of those who came, and of static members that are away."""
        self._cancel_deadline()
        self._delaying = False
        for member in list(self.members.values()):
            if member.joining is None and member.instance_id is None:
                log.info("group %s: member %s did not rejoin in time", self.id, member.id)
                self._drop(member, UNKNOWN_MEMBER_ID)
        if self.members and not self._elect():
            # Only static members that are away: they keep their places until their sessions end.
            self._set_deadline(self.rebalance_ms, self._complete)
            return
        self.generation += 1
        if not self.members:
            self._become_empty()
            return
        self.protocol = self._vote()
        self._move(State.COMPLETING)
        self._unsynced = set(self.members)
        self._set_deadline(self.rebalance_ms, self._expel_unsynced)
        for member in self.members.values():
            waiting, member.joining = member.joining, None
            member.fresh = False
            self._touch(member)
            if waiting is not None:
                _resolve(waiting, self._joined(member))

    def _become_empty(self) -> None:
        self.protocol = self.leader = None
        self._move(State.EMPTY)
        try:
            self.store(self)
        except OSError:
            # Its last generation is read back instead; those members are gone and their sessions will end.
            log.exception("group %s: that it is empty cannot be stored", self.id)

    def _elect(self) -> bool:
        """Keep or choose a leader among those who joined; False when nobody did."""
        leader = self.members.get(self.leader or "")
        if leader is not None and leader.joining is not None:
            return True
        present = next((member.id for member in self.members.values() if member.joining is not None), None)
        if present is not None:
            self.leader = present
        return present is not None

    def _common_protocols(self) -> set[str]:
        return set.intersection(*({name for name, _ in m.protocols} for m in self.members.values()))

    def _vote(self) -> str:
        """The protocol most members prefer, among those that all know; the first of them in a draw."""
        common = self._common_protocols()
        votes = Counter(
            next(name for name, _ in member.protocols if name in common) for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def _joined(self, member: Member, leader: str | None = None, skip_assignment: bool = False) -> Joined:
        """The answer to a member's join; `leader`, where it is told of another one than itself."""
        told = leader or self.leader or ""
        peers = (
            tuple(Peer(m.id, m.instance_id, m.metadata(self.protocol)) for m in self.members.values())
            if told == member.id
            else ()
        )
        return Joined(
            member_id=member.id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=told,
            peers=peers,
            skip_assignment=skip_assignment,
        )

    # -- syncing, heartbeats, leaving ---------------------------------------------------------

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: Mapping[str, bytes],
        *,
        protocol_type: str | None = None,
        protocol: str | None = None,
    ) -> asyncio.Future[Synced]:
        """The member's assignment, once the leader has brought `assignments` (member id to bytes)."""
        member = self.member(member_id, instance_id)
        if generation != self.generation:
            raise KafkaError(ILLEGAL_GENERATION)
        if protocol_type not in (None, self.protocol_type) or protocol not in (None, self.protocol):
            raise KafkaError(INCONSISTENT_GROUP_PROTOCOL)
        if self.state is State.EMPTY:
            raise KafkaError(UNKNOWN_MEMBER_ID)
        if self.state is State.PREPARING:
            raise KafkaError(REBALANCE_IN_PROGRESS)
        self._unsynced.discard(member_id)
        if not self._unsynced:
            self._cancel_deadline()
        self._touch(member)
        if self.state is State.STABLE:
            return self._answer(self._synced(member))
        if member.syncing is None:
            member.syncing = self.timers.create_future()
        answer = member.syncing
        if member_id == self.leader:
            self._assign(assignments)
        return answer

    def _assign(self, assignments: Mapping[str, bytes]) -> None:
        """Store what the leader decided, then tell it to everybody."""
        for member in self.members.values():
            member.assignment = assignments.get(member.id, b"")
        try:
            self.store(self)
        except OSError:
            log.exception("group %s: generation %d cannot be stored", self.id, self.generation)
            self._distribute({}, COORDINATOR_NOT_AVAILABLE)
            self._prepare()
            return
        self._move(State.STABLE)
        self._distribute(assignments)

    def _distribute(self, assignments: Mapping[str, bytes], error: int = NONE) -> None:
        """Answer everybody who waits for an assignment; from now on heartbeats are expected again."""
        for member in self.members.values():
            member.assignment = assignments.get(member.id, b"")
            waiting, member.syncing = member.syncing, None
            self._touch(member)
            if waiting is not None:
                _resolve(waiting, self._synced(member) if error == NONE else Synced(error=error))

    def _synced(self, member: Member) -> Synced:
        return Synced(protocol_type=self.protocol_type, protocol=self.protocol, assignment=member.assignment)

    def _expel_unsynced(self) -> None:
        """Members that got their generation and never asked for their part of it hold everybody up."""
        for member_id in list(self._unsynced):
            log.info("group %s: member %s did not sync in time", self.id, member_id)
            self._drop(self.members[member_id], UNKNOWN_MEMBER_ID)
        self._prepare()

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> None:
        """Keep the session alive; KafkaError tells the member what to do."""
        member = self.member(member_id, instance_id)
        if generation != self.generation:
            raise KafkaError(ILLEGAL_GENERATION)
        self._touch(member)
        if self.state is State.PREPARING:
            raise KafkaError(REBALANCE_IN_PROGRESS)

    def leave(self, leaving: Iterable[tuple[str, str | None]]) -> list[int]:
        """Members leave together; an error code for each pair of member and instance id.

        An administrator may name a static member by its instance id alone (KIP-345).
        """
        before = len(self.members)
        codes = [self._leave(member_id, instance_id) for member_id, instance_id in leaving]
        if len(self.members) < before:
            self._after_loss()
        return codes

    def _leave(self, member_id: str, instance_id: str | None) -> int:
        if not member_id and instance_id is not None:
            member_id = self._statics.get(instance_id, "")
        if member_id in self._promised:
            self._promised[member_id].cancel()
            self._forget_promise(member_id)
            return NONE
        try:
            self._drop(self.member(member_id, instance_id), UNKNOWN_MEMBER_ID)
        except KafkaError as exc:
            return exc.code
        return NONE

    def expel(self, member_id: str, error: int = UNKNOWN_MEMBER_ID) -> None:
        """Remove a member, if it is one, and answer what it waits for with `error`."""
        member = self.members.get(member_id)
        if member is not None:
            self._drop(member, error)
            self._after_loss()

    # -- offsets ------------------------------------------------------------------------------

    def check_commit(
        self, member_id: str, instance_id: str | None, generation: int, *, transactional: bool = False
    ) -> None:
        """KafkaError when these credentials may not commit offsets for the group.

        Nobody needs credentials while the group is empty, and a transaction of an old client has none.
        """
        if generation < 0 and self.state is State.EMPTY:
            return
        if generation < 0 and not member_id and instance_id is None:
            if not transactional:
                raise KafkaError(UNKNOWN_MEMBER_ID)
            return
        member = self.member(member_id, instance_id)
        if generation != self.generation:
            raise KafkaError(ILLEGAL_GENERATION)
        if self.state is State.COMPLETING and not transactional:
            # Its partitions may be somebody else's already; it learns that from its own sync.
            raise KafkaError(REBALANCE_IN_PROGRESS)
        if not transactional:
            self._touch(member)

    def check_delete(self) -> None:
        """KafkaError when the group cannot be deleted now."""
        if self.state is State.DEAD:
            raise KafkaError(GROUP_ID_NOT_FOUND)
        if self.state is not State.EMPTY:
            raise KafkaError(NON_EMPTY_GROUP)

    # -- beginning and ending -----------------------------------------------------------------

    def resume(self) -> None:
        """Go on after a restart: the members read back are expected to be heard of again."""
        for member in self.members.values():
            member.fresh = False
            self._touch(member)
        if len(self.members) > self.limits.max_size:
            log.warning("group %s has more members than group.max.size now allows; they rejoin", self.id)
            self._prepare()

    def close(self) -> None:
        """End for good: no timer is left, and whoever waits is answered."""
        self._move(State.DEAD)
        self._cancel_deadline()
        for timer in self._promised.values():
            timer.cancel()
        self._promised.clear()
        for member in self.members.values():
            self._refuse(member, COORDINATOR_NOT_AVAILABLE)

    def _move(self, state: State) -> None:
        assert state in ALLOWED[self.state], f"a group cannot go from {self.state} to {state}"
        log.debug("group %s generation %d: %s -> %s", self.id, self.generation, self.state, state)
        self.state = state
        self.since_ms = self.clock.wall_ms()

    # -- sessions and timers ------------------------------------------------------------------

    def _touch(self, member: Member) -> None:
        """The member is alive: its session begins anew."""
        if not member.fresh:
            self._expire_in(member, member.session_ms)

    def _expire_in(self, member: Member, ms: int) -> None:
        if member.expiry is not None:
            member.expiry.cancel()
        member.expiry = self.timers.call_later(ms / 1000, lambda: self._expire(member))

    def _expire(self, member: Member) -> None:
        if member.waiting and not member.fresh:
            self._touch(member)
            return
        log.info("group %s: session of member %s ended", self.id, member.id)
        self.expel(member.id)

    def _drop(self, member: Member, error: int) -> None:
        """Take a member out; what follows from the loss is the caller's."""
        del self.members[member.id]
        self._unsynced.discard(member.id)
        if member.instance_id is not None:
            del self._statics[member.instance_id]
        if self.leader == member.id:
            self.leader = next(iter(self.members), None)
        self._refuse(member, error)

    def _after_loss(self) -> None:
        if self.state in (State.STABLE, State.COMPLETING):
            self._prepare()
        else:
            self._complete_if_all_joined()

    @staticmethod
    def _refuse(member: Member, error: int) -> None:
        """Answer what a member that is gone waits for; nobody else will."""
        if member.expiry is not None:
            member.expiry.cancel()
            member.expiry = None
        joining, member.joining = member.joining, None
        syncing, member.syncing = member.syncing, None
        if joining is not None:
            _resolve(joining, Joined(error=error, member_id=member.id))
        if syncing is not None:
            _resolve(syncing, Synced(error=error))

    def _set_deadline(self, ms: int, action: Callable[[], None]) -> None:
        self._cancel_deadline()
        self._deadline = self.timers.call_later(ms / 1000, action)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _answer(self, answer: T) -> asyncio.Future[T]:
        """An answer that need not wait."""
        future = self.timers.create_future()
        future.set_result(answer)
        return future


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    # Cancelled, when its client went away meanwhile.
    if not future.done():
        future.set_result(answer)
