"""The consumer group protocol of KIP-848: the broker assigns, members reconcile one heartbeat at a time.

A group is an immutable `Snapshot`; a heartbeat computes the next one, `store` makes it durable, and only
then does it count. No I/O; timers are injected.

Three numbers tell how far things are. The group's epoch grows when members or their topics change; the
target's epoch is the group's epoch that the target assignment was made for; a member's epoch is the target's
epoch it has reached. A member first gives up what it is not to have, and gets a partition only when its
former owner has given it up:

    Stable ──something to give up──> UnrevokedPartitions ──it owns none of it any more──┐
      ^  ^                                                                              v
      │  └───────────────────── everything is free ─────────────────────────────── reconciled
      └── the last one is given up ── UnreleasedPartitions <── somebody still holds some ──┘
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, TypeVar
from uuid import UUID, uuid4

from syncline.broker.assignors import ASSIGNORS, Subscriber
from syncline.broker.errors import (
    FENCED_INSTANCE_ID,
    FENCED_MEMBER_EPOCH,
    GROUP_MAX_SIZE_REACHED,
    NON_EMPTY_GROUP,
    STALE_MEMBER_EPOCH,
    UNKNOWN_MEMBER_ID,
    UNRELEASED_INSTANCE_ID,
    UNSUPPORTED_VERSION,
    KafkaError,
)
from syncline.broker.group_records import Partitions
from syncline.broker.groups import Timer, Timers
from syncline.broker.topic_regex import matching

log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")

JOIN: Final = 0
LEAVE: Final = -1
LEAVE_FOR_NOW: Final = -2
"""Epochs with a meaning of their own; the last is a static member's that means to come back."""
FIRST_COMMIT_VERSION: Final = 9
"""Of OffsetCommit, that can name a member epoch."""


class TopicFacts(NamedTuple):
    """What assignments depend on."""

    id: UUID
    partitions: int


class Catalogue(Protocol):
    """The topics there are."""

    def facts(self, name: str) -> TopicFacts | None: ...

    def names(self) -> Iterable[str]: ...

    @property
    def edition(self) -> int:
        """Another one whenever there are other names."""
        ...


class MemberState(IntEnum):
    """How far a member is, numbered as in Kafka's records."""

    STABLE = 0
    UNREVOKED = 1
    UNRELEASED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One heartbeat: what a member says. None and -1 stand for "as before"."""

    member_id: str
    epoch: int
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    host: str = ""
    rebalance_ms: int = -1
    topics: tuple[str, ...] | None = None
    regex: str | None = None
    assignor: str | None = None
    owned: Partitions | None = None

    @property
    def full(self) -> bool:
        """It says everything, and so wants to hear everything."""
        subscribes = self.topics is not None or self.regex is not None
        return self.epoch == JOIN or (self.rebalance_ms >= 0 and subscribes and self.owned is not None)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a heartbeat."""

    member_id: str
    epoch: int
    assigned: Partitions | None = None
    """None: as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerMember:
    """One member, as it describes itself and as far as it is."""

    id: str
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    host: str = ""
    rebalance_ms: int = -1
    topics: frozenset[str] = frozenset()
    regex: str = ""
    assignor: str | None = None
    epoch: int = 0
    previous_epoch: int = -1
    """Its epoch before the last change; a member that lost an answer still has it."""
    state: MemberState = MemberState.STABLE
    assigned: Partitions = frozenset()
    revoking: Partitions = frozenset()
    """What it is to give up and has not yet."""

    @property
    def held(self) -> Partitions:
        """What nobody else may have."""
        return self.assigned | self.revoking

    def heard(self, beat: Beat) -> ConsumerMember:
        """The member with what it says of itself now."""
        return replace(
            self,
            instance_id=self.instance_id if beat.instance_id is None else beat.instance_id,
            rack_id=self.rack_id if beat.rack_id is None else beat.rack_id,
            client_id=beat.client_id,
            host=beat.host,
            rebalance_ms=self.rebalance_ms if beat.rebalance_ms < 0 else beat.rebalance_ms,
            topics=self.topics if beat.topics is None else frozenset(beat.topics),
            regex=self.regex if beat.regex is None else beat.regex,
            assignor=self.assignor if beat.assignor is None else beat.assignor,
        )

    def moved(
        self, epoch: int, state: MemberState, assigned: Partitions, revoking: Partitions = frozenset()
    ) -> ConsumerMember:
        return replace(self, epoch=epoch, previous_epoch=self.epoch, state=state, assigned=assigned, revoking=revoking)

    def reached(self, epoch: int) -> bool:
        """Whether it has all it is to have at `epoch`, and nothing else."""
        return self.state is MemberState.STABLE and self.epoch == epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything about a group that survives a restart."""

    epoch: int = 0
    metadata_hash: int = 0
    """Of the topics subscribed to; when it changes, partitions have to be assigned anew."""
    members: Mapping[str, ConsumerMember] = field(default_factory=dict)
    target_epoch: int = 0
    targets: Mapping[str, Partitions] = field(default_factory=dict)
    """What each member is to have, by member id."""
    regexes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What each expression stands for."""

    def with_member(self, member: ConsumerMember) -> Snapshot:
        return replace(self, members={**self.members, member.id: member})

    def without(self, member_id: str) -> Snapshot:
        return replace(self, members=_without(self.members, member_id), targets=_without(self.targets, member_id))

    def replacing(self, old: ConsumerMember, new: ConsumerMember) -> Snapshot:
        """`new` in the place of `old`, with what `old` was to have."""
        targets = {(new.id if key == old.id else key): value for key, value in self.targets.items()}
        return replace(self.without(old.id), targets=targets).with_member(new)

    def static(self, instance_id: str) -> ConsumerMember | None:
        return next((one for one in self.members.values() if one.instance_id == instance_id), None)

    def names_of(self, member: ConsumerMember) -> frozenset[str]:
        """Every topic name a member is subscribed to."""
        return member.topics | self.regexes.get(member.regex, frozenset())

    @property
    def names(self) -> frozenset[str]:
        """Every topic name anybody is subscribed to."""
        return frozenset().union(*map(self.names_of, self.members.values()))

    @property
    def assignor(self) -> str | None:
        """The assignor most members ask for; None when nobody asks for one."""
        votes = Counter(one.assignor for one in self.members.values() if one.assignor is not None)
        return votes.most_common(1)[0][0] if votes else None

    @property
    def state(self) -> str:
        """The state, named as ConsumerGroupDescribe names it."""
        if not self.members:
            return "Empty"
        if self.epoch > self.target_epoch:
            return "Assigning"
        reached = all(member.reached(self.target_epoch) for member in self.members.values())
        return "Stable" if reached else "Reconciling"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerLimits:
    """The settings of `group.consumer.*`."""

    session_ms: int = 45_000
    heartbeat_ms: int = 5_000
    max_size: int = 2**31 - 1
    assignors: tuple[str, ...] = tuple(ASSIGNORS)
    """The first is used where members do not ask for one."""


Store = Callable[["ConsumerGroup", Snapshot], None]
"""Makes the step from a group's present snapshot to the next one durable; may raise OSError."""


@dataclass(eq=False, kw_only=True)
class ConsumerGroup:
    """One group. Used from one thread only."""

    id: str
    timers: Timers
    catalogue: Catalogue
    store: Store
    limits: ConsumerLimits = field(default_factory=ConsumerLimits)
    snapshot: Snapshot = field(default_factory=Snapshot)

    protocol_type: Final = "consumer"

    def __post_init__(self) -> None:
        self._sessions: dict[str, Timer] = {}
        self._revocations: dict[str, Timer] = {}
        """How long members may take to give partitions up."""
        self._matches: dict[str, tuple[int, frozenset[str]]] = {}
        """What expressions stood for, in which edition of the catalogue."""

    # -- heartbeats ---------------------------------------------------------------------------

    def heartbeat(self, beat: Beat) -> Answer:
        """Take in what a member says and tell it what it is to have now; KafkaError refuses it."""
        if beat.epoch in (LEAVE, LEAVE_FOR_NOW):
            return self._leave(beat)
        before, member = self._find(beat)
        heard = member.heard(beat)
        subscribed_anew = (heard.topics, heard.regex) != (member.topics, member.regex)
        after = self._refreshed(before.with_member(heard), bump=subscribed_anew or before.epoch == 0)
        if after.epoch > after.target_epoch:
            after = self._assigned(after)
        reconciled = self._reconciled(after, heard, beat.owned)
        self._adopt(after.with_member(reconciled))
        self._expect(reconciled, moved=reconciled != heard)
        tell = beat.full or reconciled.assigned != member.assigned
        return Answer(reconciled.id, reconciled.epoch, reconciled.assigned if tell else None)

    def _find(self, beat: Beat) -> tuple[Snapshot, ConsumerMember]:
        """Who sends the heartbeat, and the snapshot with it in it."""
        snapshot = self.snapshot
        known = snapshot.members.get(beat.member_id)
        if beat.instance_id is not None:
            return self._find_static(beat, beat.instance_id, snapshot.static(beat.instance_id))
        if known is None and beat.epoch == JOIN:
            return self._newcomer(beat)
        if known is None:
            raise KafkaError(UNKNOWN_MEMBER_ID, f"Member {beat.member_id} is not a member of group {self.id}.")
        _check_epoch(known, beat)
        return snapshot, known

    def _find_static(
        self, beat: Beat, instance_id: str, known: ConsumerMember | None
    ) -> tuple[Snapshot, ConsumerMember]:
        if beat.epoch != JOIN:
            known = self._current_static(beat, instance_id)
            _check_epoch(known, beat)
            return self.snapshot, known
        if known is None:
            return self._newcomer(beat)
        if known.id == beat.member_id:
            return self.snapshot, known
        if known.epoch != LEAVE_FOR_NOW:
            raise KafkaError(
                UNRELEASED_INSTANCE_ID,
                f"Static member {beat.member_id} with instance id {instance_id} cannot join the group "
                f"because the instance id is owned by {known.id} member.",
            )
        successor = replace(known, id=beat.member_id or str(uuid4()), epoch=JOIN)
        return self.snapshot.replacing(known, successor), successor

    def _newcomer(self, beat: Beat) -> tuple[Snapshot, ConsumerMember]:
        if len(self.snapshot.members) >= self.limits.max_size:
            raise KafkaError(
                GROUP_MAX_SIZE_REACHED,
                f"The consumer group has reached its maximum capacity of {self.limits.max_size} members.",
            )
        return self.snapshot, ConsumerMember(id=beat.member_id or str(uuid4()))

    def _current_static(self, beat: Beat, instance_id: str) -> ConsumerMember:
        known = self.snapshot.static(instance_id)
        if known is None:
            raise KafkaError(UNKNOWN_MEMBER_ID, f"Instance id {instance_id} is unknown.")
        if known.id != beat.member_id:
            raise KafkaError(
                FENCED_INSTANCE_ID,
                f"Static member {beat.member_id} with instance id {instance_id} was fenced by member {known.id}.",
            )
        return known

    def _leave(self, beat: Beat) -> Answer:
        if beat.instance_id is not None:
            member = self._current_static(beat, beat.instance_id)
        else:
            found = self.snapshot.members.get(beat.member_id)
            if found is None:
                raise KafkaError(UNKNOWN_MEMBER_ID, f"Member {beat.member_id} is not a member of group {self.id}.")
            member = found
        if beat.epoch == LEAVE_FOR_NOW:
            # It keeps what it has until its session ends, so that a restart moves nothing.
            away = replace(member, epoch=LEAVE_FOR_NOW, revoking=frozenset())
            self._adopt(self.snapshot.with_member(away))
        else:
            self._remove(member.id)
        return Answer(member.id, beat.epoch)

    def _remove(self, member_id: str) -> None:
        self._adopt(self._refreshed(self.snapshot.without(member_id), bump=True))

    # -- the three steps ----------------------------------------------------------------------

    def _refreshed(self, snapshot: Snapshot, *, bump: bool) -> Snapshot:
        """Look at the topics again; a new epoch if they, or the members (`bump`), have changed."""
        expressions = {member.regex for member in snapshot.members.values() if member.regex}
        self._matches = {one: self._match(one) for one in expressions}
        regexes = {one: names for one, (_, names) in self._matches.items()}
        if regexes != snapshot.regexes:
            snapshot = replace(snapshot, regexes=regexes)
        found = self._metadata_hash(snapshot.names)
        if not bump and found == snapshot.metadata_hash:
            return snapshot
        return replace(snapshot, epoch=snapshot.epoch + 1, metadata_hash=found)

    def _match(self, expression: str) -> tuple[int, frozenset[str]]:
        """Looking at every topic there is at every heartbeat would cost more the more there are."""
        edition = self.catalogue.edition
        known = self._matches.get(expression)
        return known if known and known[0] == edition else (edition, matching(expression, self.catalogue.names()))

    def _metadata_hash(self, names: Iterable[str]) -> int:
        facts = [(name, self.catalogue.facts(name)) for name in sorted(names)]
        known = [f"{name} {found.id} {found.partitions}" for name, found in facts if found is not None]
        if not known:
            return 0
        digest = hashlib.blake2b("\n".join(known).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def _assigned(self, snapshot: Snapshot) -> Snapshot:
        """A target for the group's epoch."""
        assignor = snapshot.assignor or self.limits.assignors[0]
        facts = {name: self.catalogue.facts(name) for name in snapshot.names}
        ids = {name: found.id for name, found in facts.items() if found is not None}
        counts = {found.id: found.partitions for found in facts.values() if found is not None}
        subscribers = {
            member.id: Subscriber(
                frozenset(ids[name] for name in snapshot.names_of(member) if name in ids),
                snapshot.targets.get(member.id, frozenset()),
                member.instance_id,
            )
            for member in snapshot.members.values()
        }
        targets = ASSIGNORS[assignor](subscribers, counts)
        log.info("group %s: assignment for epoch %d by %s", self.id, snapshot.epoch, assignor)
        return replace(snapshot, targets=targets, target_epoch=snapshot.epoch)

    def _reconciled(self, snapshot: Snapshot, member: ConsumerMember, owned: Partitions | None) -> ConsumerMember:
        """The member as near to its target as it can be now; `owned` is what it says it has, if it does."""
        if member.reached(snapshot.target_epoch):
            return member
        facts = (self.catalogue.facts(name) for name in snapshot.names_of(member))
        subscribed = {found.id for found in facts if found is not None}
        target = snapshot.targets.get(member.id, frozenset())
        others = (one.held for one in snapshot.members.values() if one.id != member.id)
        return reconcile(
            member,
            target=frozenset(place for place in target if place[0] in subscribed),
            target_epoch=snapshot.target_epoch,
            subscribed=subscribed,
            taken=frozenset().union(*others),
            owned=owned,
        )

    def _adopt(self, snapshot: Snapshot) -> None:
        if snapshot == self.snapshot:
            return
        self.store(self, snapshot)
        for member_id in self.snapshot.members.keys() - snapshot.members.keys():
            self._forget_timers(member_id)
        self.snapshot = snapshot

    # -- sessions -----------------------------------------------------------------------------

    def _expect(self, member: ConsumerMember, *, moved: bool) -> None:
        """The next heartbeat within a session, and what is to be given up within the rebalance timeout."""
        self._set(self._sessions, member.id, self.limits.session_ms, lambda: self._end_session(member.id))
        if member.state is not MemberState.UNREVOKED:
            self._cancel(self._revocations, member.id)
        elif moved or member.id not in self._revocations:
            epoch = member.epoch
            action = lambda: self._end_revocation(member.id, epoch)  # noqa: E731
            self._set(self._revocations, member.id, member.rebalance_ms, action)

    def _end_session(self, member_id: str) -> None:
        log.info("group %s: session of member %s ended", self.id, member_id)
        self._expel(member_id)

    def _end_revocation(self, member_id: str, epoch: int) -> None:
        self._revocations.pop(member_id, None)
        if self.snapshot.members[member_id].epoch == epoch:
            log.info("group %s: member %s did not give up its partitions in time", self.id, member_id)
            self._expel(member_id)

    def _expel(self, member_id: str) -> None:
        try:
            self._remove(member_id)
        except OSError:
            log.exception("group %s: that member %s is gone cannot be stored; it is tried again", self.id, member_id)
            self._set(self._sessions, member_id, self.limits.session_ms, lambda: self._end_session(member_id))

    def _set(self, timers: dict[str, Timer], member_id: str, ms: int, action: Callable[[], None]) -> None:
        self._cancel(timers, member_id)
        timers[member_id] = self.timers.call_later(ms / 1000, action)

    @staticmethod
    def _cancel(timers: dict[str, Timer], member_id: str) -> None:
        timer = timers.pop(member_id, None)
        if timer is not None:
            timer.cancel()

    def _forget_timers(self, member_id: str) -> None:
        self._cancel(self._sessions, member_id)
        self._cancel(self._revocations, member_id)

    def resume(self) -> None:
        """Go on after a restart: the members read back are expected to be heard of again."""
        for member in self.snapshot.members.values():
            self._expect(member, moved=True)

    def close(self) -> None:
        """End for good: no timer is left."""
        for member_id in {*self._sessions, *self._revocations}:
            self._forget_timers(member_id)

    # -- offsets ------------------------------------------------------------------------------

    def check_commit(
        self,
        member_id: str,
        instance_id: str | None,
        epoch: int,
        *,
        transactional: bool = False,
        version: int = FIRST_COMMIT_VERSION,
    ) -> None:
        """KafkaError when these credentials may not commit offsets for the group."""
        if epoch < 0 and not self.snapshot.members:
            return
        if transactional and epoch < 0 and not member_id and instance_id is None:
            return
        member = self._known(member_id)
        if not transactional and version < FIRST_COMMIT_VERSION:
            raise KafkaError(UNSUPPORTED_VERSION, "Members of this group commit with OffsetCommit version 9.")
        _check_same_epoch(member, epoch)

    def check_fetch(self, member_id: str | None, epoch: int) -> None:
        """KafkaError when these credentials may not read the group's offsets."""
        if member_id or epoch >= 0:
            _check_same_epoch(self._known(member_id or ""), epoch)

    def check_delete(self) -> None:
        """KafkaError when the group cannot be deleted now."""
        if self.snapshot.members:
            raise KafkaError(NON_EMPTY_GROUP)

    def _known(self, member_id: str) -> ConsumerMember:
        member = self.snapshot.members.get(member_id)
        if member is None:
            raise KafkaError(UNKNOWN_MEMBER_ID, f"Member {member_id} is not a member of group {self.id}.")
        return member


def reconcile(
    member: ConsumerMember,
    *,
    target: Partitions,
    target_epoch: int,
    subscribed: Iterable[UUID],
    taken: Partitions,
    owned: Partitions | None,
) -> ConsumerMember:
    """The next step of a member towards `target`; the same member when it has to wait.

    `taken` is what other members hold, `owned` what the member itself says it has (None: it does not say).
    """

    def has(places: Partitions) -> bool:
        return owned is None or bool(owned & places)

    if member.state is MemberState.UNREVOKED and has(member.revoking):
        topics = set(subscribed)
        unwanted = frozenset(place for place in member.assigned if place[0] not in topics)
        if not unwanted:
            return member
        return replace(member, assigned=member.assigned - unwanted, revoking=member.revoking | unwanted)
    epoch = member.epoch
    if member.state is MemberState.UNREVOKED:
        epoch = min(epoch + 1, target_epoch)
    kept = member.assigned & target
    revoking = member.assigned - kept
    if revoking and has(revoking):
        return member.moved(epoch, MemberState.UNREVOKED, kept, revoking)
    missing = target - kept
    state = MemberState.UNRELEASED if missing & taken else MemberState.STABLE
    return member.moved(target_epoch, state, kept | (missing - taken))


def _check_epoch(member: ConsumerMember, beat: Beat) -> None:
    """KafkaError when the member is not where it says it is."""
    if beat.epoch in (JOIN, member.epoch):
        return
    lost_answer = beat.epoch == member.previous_epoch and beat.owned is not None
    if beat.epoch < member.epoch and lost_answer and (beat.owned or frozenset()) <= member.assigned:
        return
    relation = "greater" if beat.epoch > member.epoch else "smaller"
    raise KafkaError(
        FENCED_MEMBER_EPOCH,
        f"The consumer group member has a {relation} member epoch ({beat.epoch}) than the one known by the "
        f"group coordinator ({member.epoch}). The member must abandon all its partitions and rejoin.",
    )


def _check_same_epoch(member: ConsumerMember, epoch: int) -> None:
    if epoch != member.epoch:
        raise KafkaError(
            STALE_MEMBER_EPOCH,
            f"The received member epoch {epoch} does not match the expected member epoch {member.epoch}.",
        )


def _without(mapping: Mapping[K, V], key: K) -> dict[K, V]:
    return {one: value for one, value in mapping.items() if one != key}
