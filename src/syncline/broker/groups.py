"""Consumer groups, the classic protocol: joining, rebalancing, leaving (KIP-62, KIP-345, KIP-394, KIP-814).

A state machine without I/O: calls come from the handlers, waiting answers are futures, time is the event
loop's. Any protocol type is served; Connect workers use `connect`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

from syncline.broker.configs import Settings
from syncline.broker.errors import (
    FENCED_INSTANCE_ID,
    GROUP_ID_NOT_FOUND,
    GROUP_MAX_SIZE_REACHED,
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    INVALID_GROUP_ID,
    INVALID_SESSION_TIMEOUT,
    MEMBER_ID_REQUIRED,
    NON_EMPTY_GROUP,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
    KafkaError,
)
from syncline.broker.offsets import Offsets

NO_GENERATION: Final = -1


class State(StrEnum):
    """States, named as DescribeGroups names them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


Protocols = list[tuple[str, bytes]]


@dataclass(slots=True, eq=False)
class Member:
    """One member of a group."""

    id: str
    instance_id: str | None
    client_id: str
    host: str
    session_ms: int
    rebalance_ms: int
    protocols: Protocols
    assignment: bytes = b""
    joining: asyncio.Future[dict[str, Any]] | None = None
    syncing: asyncio.Future[bytes] | None = None
    expiry: asyncio.TimerHandle | None = None

    def metadata(self, protocol: str | None) -> bytes:
        return next((data for name, data in self.protocols if name == protocol), b"")


@dataclass(frozen=True, slots=True)
class Joining:
    """What a member says when it joins."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    session_ms: int
    rebalance_ms: int
    protocol_type: str
    protocols: Protocols
    knows_member_id_required: bool
    """The client understands that it must come back with the id it is given (v4 and later)."""
    knows_skip_assignment: bool
    """v9 and later: a returning static leader need not assign again."""


@dataclass(slots=True, eq=False)
class Group:
    """One group and its members."""

    id: str
    state: State = State.EMPTY
    generation: int = 0
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str | None = None
    members: dict[str, Member] = field(default_factory=dict)
    statics: dict[str, str] = field(default_factory=dict)
    """Instance id to member id."""
    promised: set[str] = field(default_factory=set)
    """Member ids handed out but not yet joined with."""
    timer: asyncio.TimerHandle | None = None
    initial_delay_over: bool = True

    def member(self, member_id: str, instance_id: str | None) -> Member:
        """The member; KafkaError when it is not one, or was replaced under its instance id."""
        if instance_id is not None and instance_id in self.statics:
            if self.statics[instance_id] != member_id:
                raise KafkaError(FENCED_INSTANCE_ID)
        elif instance_id is not None:
            raise KafkaError(UNKNOWN_MEMBER_ID)
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError(UNKNOWN_MEMBER_ID)
        return member


class Groups:
    """All groups of the broker. Used from its event loop only."""

    def __init__(self, settings: Settings, offsets: Offsets) -> None:
        self._settings = settings
        self.offsets = offsets
        self._groups: dict[str, Group] = {}

    # -- looking ------------------------------------------------------------------------------

    def get(self, group_id: str) -> Group | None:
        """The group; one that only committed offsets counts as empty."""
        known = self._groups.get(group_id)
        if known is None and self.offsets.of(group_id):
            return Group(group_id)
        return known

    def all(self) -> list[Group]:
        """Every group with members or offsets."""
        ids = dict.fromkeys([*self._groups, *self.offsets.groups()])
        return [group for group in map(self.get, ids) if group is not None]

    # -- joining ------------------------------------------------------------------------------

    async def join(self, group_id: str, joining: Joining) -> dict[str, Any]:
        """Join or join again; waits until the generation is complete."""
        if not group_id:
            raise KafkaError(INVALID_GROUP_ID)
        low = self._settings.number("group.min.session.timeout.ms")
        high = self._settings.number("group.max.session.timeout.ms")
        if not low <= joining.session_ms <= high:
            raise KafkaError(INVALID_SESSION_TIMEOUT)
        group = self._groups.get(group_id)
        if group is None:
            if joining.member_id:
                raise KafkaError(UNKNOWN_MEMBER_ID)
            group = self._groups[group_id] = Group(group_id)
        self._check_protocols(group, joining)
        member = self._admit(group, joining)
        if isinstance(member, dict):
            return member
        if member.joining is None or member.joining.done():
            member.joining = asyncio.get_running_loop().create_future()
        waiting = member.joining
        if group.state is not State.PREPARING:
            self._prepare(group)
        else:
            self._complete_if_all_joined(group)
        return await asyncio.shield(waiting)

    def _check_protocols(self, group: Group, joining: Joining) -> None:
        if not joining.protocol_type or not joining.protocols:
            raise KafkaError(INCONSISTENT_GROUP_PROTOCOL)
        others = [member for member in group.members.values() if member.id != joining.member_id]
        if not others:
            return
        names = {name for name, _ in joining.protocols}
        common = set.intersection(*({name for name, _ in member.protocols} for member in others))
        if group.protocol_type != joining.protocol_type or not names & common:
            raise KafkaError(INCONSISTENT_GROUP_PROTOCOL)

    def _admit(self, group: Group, joining: Joining) -> Member | dict[str, Any]:
        """The member as it joins now, or an answer that needs no rebalance."""
        if joining.instance_id is not None and joining.instance_id in group.statics:
            return self._rejoin_static(group, joining)
        if joining.member_id and joining.member_id not in group.members:
            if joining.member_id not in group.promised:
                raise KafkaError(UNKNOWN_MEMBER_ID)
            group.promised.discard(joining.member_id)
            return self._add(group, joining, joining.member_id)
        if joining.member_id:
            return self._rejoin(group, joining, group.members[joining.member_id])
        if len(group.members) >= self._settings.number("group.max.size"):
            raise KafkaError(GROUP_MAX_SIZE_REACHED)
        member_id = f"{joining.instance_id or joining.client_id}-{uuid4()}"
        if joining.knows_member_id_required and joining.instance_id is None:
            # Without this a client that times out while joining leaves one ghost per attempt (KIP-394).
            group.promised.add(member_id)
            asyncio.get_running_loop().call_later(joining.session_ms / 1000, group.promised.discard, member_id)
            raise MemberIdRequired(member_id)
        return self._add(group, joining, member_id)

    def _add(self, group: Group, joining: Joining, member_id: str) -> Member:
        member = Member(
            member_id,
            joining.instance_id,
            joining.client_id,
            joining.host,
            joining.session_ms,
            joining.rebalance_ms,
            joining.protocols,
        )
        if not group.members:
            group.protocol_type = joining.protocol_type
        group.members[member_id] = member
        if joining.instance_id is not None:
            group.statics[joining.instance_id] = member_id
        if group.leader is None:
            group.leader = member_id
        return member

    def _rejoin(self, group: Group, joining: Joining, member: Member) -> Member | dict[str, Any]:
        same = member.protocols == joining.protocols
        member.protocols, member.session_ms = joining.protocols, joining.session_ms
        member.rebalance_ms = joining.rebalance_ms
        if same and group.state is State.COMPLETING:
            # The answer to its join was lost; it may have it again.
            self._touch(group, member)
            return self._joined(group, member)
        if same and group.state is State.STABLE and member.id != group.leader:
            self._touch(group, member)
            return self._joined(group, member)
        return member

    def _rejoin_static(self, group: Group, joining: Joining) -> Member | dict[str, Any]:
        """A static member came back, perhaps as a new process: it takes its old place (KIP-345)."""
        assert joining.instance_id is not None
        old = group.members[group.statics[joining.instance_id]]
        if joining.member_id and joining.member_id != old.id:
            raise KafkaError(FENCED_INSTANCE_ID)
        if joining.member_id:
            return self._rejoin(group, joining, old)
        member_id = f"{joining.instance_id}-{uuid4()}"
        del group.members[old.id]
        self._release(old, KafkaError(FENCED_INSTANCE_ID))
        leads = group.leader == old.id
        same = old.protocols == joining.protocols
        member = self._add(group, joining, member_id)
        member.assignment = old.assignment
        if leads:
            group.leader = member_id
        if group.state is not State.STABLE or not same:
            return member
        self._touch(group, member)
        answer = self._joined(group, member)
        if leads and joining.knows_skip_assignment:
            answer["skip_assignment"] = True
        elif leads:
            # Told that another member leads, it does not assign, and nothing moves.
            answer.update(leader=old.id, members=[])
        return answer

    def _prepare(self, group: Group) -> None:
        """Begin a rebalance: everybody has to join again."""
        if group.state is State.COMPLETING:
            for member in group.members.values():
                if member.syncing is not None and not member.syncing.done():
                    member.syncing.set_exception(KafkaError(REBALANCE_IN_PROGRESS))
                member.syncing = None
        was_empty = group.state is State.EMPTY
        group.state = State.PREPARING
        delay = self._settings.number("group.initial.rebalance.delay.ms")
        loop = asyncio.get_running_loop()
        self._cancel_timer(group)
        if was_empty and delay:
            group.initial_delay_over = False
            group.timer = loop.call_later(delay / 1000, self._initial_delay_over, group)
            return
        longest = max((member.rebalance_ms for member in group.members.values()), default=0)
        group.timer = loop.call_later(longest / 1000, self._complete, group)
        self._complete_if_all_joined(group)

    def _initial_delay_over(self, group: Group) -> None:
        group.initial_delay_over = True
        self._complete(group)

    def _complete_if_all_joined(self, group: Group) -> None:
        waiting = all(m.joining is not None and not m.joining.done() for m in group.members.values())
        if group.state is State.PREPARING and group.initial_delay_over and waiting and not group.promised:
            self._complete(group)

    def _complete(self, group: Group) -> None:
        """Close the join phase: a new generation of those who came."""
        self._cancel_timer(group)
        for member in list(group.members.values()):
            absent = member.joining is None or member.joining.done()
            if absent and member.instance_id is None:
                self._drop(group, member)
        group.generation += 1
        if not group.members:
            group.state, group.protocol, group.leader = State.EMPTY, None, None
            return
        present = [m for m in group.members.values() if m.joining is not None and not m.joining.done()]
        if not present:
            # Only static members that are away: they keep their place until their session ends.
            longest = max(member.rebalance_ms for member in group.members.values())
            group.timer = asyncio.get_running_loop().call_later(longest / 1000, self._complete, group)
            return
        group.protocol = self._vote(group)
        if group.leader not in {member.id for member in present}:
            group.leader = present[0].id
        group.state = State.COMPLETING
        for member in present:
            answer = self._joined(group, member)
            assert member.joining is not None
            member.joining.set_result(answer)
            member.joining = None
        for member in group.members.values():
            self._touch(group, member)

    @staticmethod
    def _vote(group: Group) -> str:
        """The protocol most members prefer, among those all members know."""
        common = set.intersection(*({name for name, _ in m.protocols} for m in group.members.values()))
        votes: Counter[str] = Counter()
        for member in group.members.values():
            votes[next(name for name, _ in member.protocols if name in common)] += 1
        return max(votes, key=lambda name: votes[name])

    def _joined(self, group: Group, member: Member) -> dict[str, Any]:
        leads = member.id == group.leader
        return {
            "error_code": NONE,
            "generation_id": group.generation,
            "protocol_type": group.protocol_type,
            "protocol_name": group.protocol or "",
            "leader": group.leader or "",
            "member_id": member.id,
            "skip_assignment": False,
            "members": [
                {
                    "member_id": other.id,
                    "group_instance_id": other.instance_id,
                    "metadata": other.metadata(group.protocol),
                }
                for other in group.members.values()
            ]
            if leads
            else [],
        }

    # -- syncing, heartbeats, leaving ---------------------------------------------------------

    async def sync(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: dict[str, bytes],
    ) -> tuple[Group, bytes]:
        """The member's assignment; waits for the leader's."""
        group = self._known(group_id)
        member = group.member(member_id, instance_id)
        if generation != group.generation:
            raise KafkaError(ILLEGAL_GENERATION)
        if group.state is State.PREPARING:
            raise KafkaError(REBALANCE_IN_PROGRESS)
        if group.state is State.EMPTY:
            raise KafkaError(UNKNOWN_MEMBER_ID)
        if group.state is State.STABLE:
            self._touch(group, member)
            return group, member.assignment
        if member.syncing is None or member.syncing.done():
            member.syncing = asyncio.get_running_loop().create_future()
        waiting = member.syncing
        self._touch(group, member)
        if member.id == group.leader:
            group.state = State.STABLE
            for other in group.members.values():
                other.assignment = assignments.get(other.id, b"")
                if other.syncing is not None and not other.syncing.done():
                    other.syncing.set_result(other.assignment)
                other.syncing = None
        return group, await asyncio.shield(waiting)

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> None:
        """KafkaError tells the member what to do."""
        group = self._known(group_id)
        member = group.member(member_id, instance_id)
        if generation != group.generation:
            raise KafkaError(ILLEGAL_GENERATION)
        self._touch(group, member)
        if group.state is State.PREPARING:
            raise KafkaError(REBALANCE_IN_PROGRESS)

    def leave(self, group_id: str, member_id: str, instance_id: str | None) -> None:
        """Leave; a static member may be named by its instance id alone."""
        group = self._known(group_id)
        if instance_id is not None and not member_id:
            member_id = group.statics.get(instance_id, "")
        if member_id in group.promised:
            group.promised.discard(member_id)
            self._complete_if_all_joined(group)
            return
        self._remove(group, group.member(member_id, instance_id))

    def check_commit(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> None:
        """KafkaError when these credentials may not commit for the group."""
        group = self._groups.get(group_id)
        if generation < 0 and not member_id:
            if group is not None and group.members:
                raise KafkaError(UNKNOWN_MEMBER_ID)
            return
        if group is None:
            raise KafkaError(ILLEGAL_GENERATION)
        member = group.member(member_id, instance_id)
        if generation != group.generation:
            raise KafkaError(ILLEGAL_GENERATION)
        if group.state is State.COMPLETING:
            raise KafkaError(REBALANCE_IN_PROGRESS)
        self._touch(group, member)

    def delete(self, group_id: str, now_ms: int) -> None:
        """Delete an empty group with its offsets."""
        group = self.get(group_id)
        if group is None:
            raise KafkaError(GROUP_ID_NOT_FOUND)
        if group.members:
            raise KafkaError(NON_EMPTY_GROUP)
        self.offsets.forget(group_id, list(self.offsets.of(group_id)), now_ms)
        self._cancel_timer(group)
        self._groups.pop(group_id, None)

    def close(self) -> None:
        """Cancel all timers and waiting answers."""
        for group in self._groups.values():
            self._cancel_timer(group)
            for member in group.members.values():
                self._release(member, KafkaError(REBALANCE_IN_PROGRESS))

    # -- sessions -----------------------------------------------------------------------------

    def _known(self, group_id: str) -> Group:
        group = self._groups.get(group_id)
        if group is None:
            raise KafkaError(UNKNOWN_MEMBER_ID)
        return group

    def _touch(self, group: Group, member: Member) -> None:
        if member.expiry is not None:
            member.expiry.cancel()
        loop = asyncio.get_running_loop()
        member.expiry = loop.call_later(member.session_ms / 1000, self._expire, group, member)

    def _expire(self, group: Group, member: Member) -> None:
        if group.members.get(member.id) is not member:
            return
        if member.joining is not None and not member.joining.done():
            # It waits for us, not we for it.
            self._touch(group, member)
            return
        self._remove(group, member)

    def _remove(self, group: Group, member: Member) -> None:
        self._drop(group, member)
        if group.state in (State.STABLE, State.COMPLETING):
            self._prepare(group)
        elif group.state is State.PREPARING:
            self._complete_if_all_joined(group)

    def _drop(self, group: Group, member: Member) -> None:
        group.members.pop(member.id, None)
        if member.instance_id is not None and group.statics.get(member.instance_id) == member.id:
            del group.statics[member.instance_id]
        if group.leader == member.id:
            group.leader = next(iter(group.members), None)
        self._release(member, KafkaError(UNKNOWN_MEMBER_ID))

    @staticmethod
    def _release(member: Member, error: KafkaError) -> None:
        """Answer what the member waits for; nobody else will."""
        if member.expiry is not None:
            member.expiry.cancel()
        if member.joining is not None and not member.joining.done():
            member.joining.set_exception(error)
            member.joining.exception()
        if member.syncing is not None and not member.syncing.done():
            member.syncing.set_exception(error)
            member.syncing.exception()

    @staticmethod
    def _cancel_timer(group: Group) -> None:
        if group.timer is not None:
            group.timer.cancel()
            group.timer = None
        group.initial_delay_over = True


class MemberIdRequired(KafkaError):
    """The client must join again with the id it is given."""

    def __init__(self, member_id: str) -> None:
        super().__init__(MEMBER_ID_REQUIRED)
        self.member_id = member_id
