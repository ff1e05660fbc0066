"""The group coordinator: every group of the broker, of either protocol, and the offsets they commit.

Its state is a replay of `__consumer_offsets`. Groups are found or made here, their timers run on the broker's
event loop, and what they decide is appended to the log before anybody is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from syncline.broker.configs import Settings
from syncline.broker.consumer_groups import (
    JOIN,
    Answer,
    Beat,
    Catalogue,
    ConsumerGroup,
    ConsumerLimits,
    Snapshot,
    TopicFacts,
)
from syncline.broker.consumer_protocol import may_read
from syncline.broker.errors import (
    COORDINATOR_NOT_AVAILABLE,
    GROUP_ID_NOT_FOUND,
    GROUP_SUBSCRIBED_TO_TOPIC,
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    INVALID_GROUP_ID,
    INVALID_SESSION_TIMEOUT,
    NON_EMPTY_GROUP,
    NONE,
    STALE_MEMBER_EPOCH,
    UNKNOWN_MEMBER_ID,
    KafkaError,
)
from syncline.broker.group_log import Ended, GroupLog, Stored
from syncline.broker.group_records import Committed, Key, Kind, decode_offset, encode_offset
from syncline.broker.group_state import Records, Replayed, classic_records, consumer_records, difference
from syncline.broker.groups import ClassicGroup, Joined, Joining, Limits, State, Synced, Timer, Timers
from syncline.broker.offsets import Offsets, Place
from syncline.broker.topics import Topics
from syncline.clock import Clock

log = logging.getLogger(__name__)

Group = ClassicGroup | ConsumerGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorConfig:
    """The settings of groups and offsets, under Kafka's names."""

    min_session_ms: int = 6_000
    max_session_ms: int = 1_800_000
    classic: Limits = field(default_factory=Limits)
    consumer: ConsumerLimits = field(default_factory=ConsumerLimits)
    retention_ms: int = 7 * 24 * 3_600_000
    """`offsets.retention.minutes`"""
    retention_check_ms: int = 600_000
    """`offsets.retention.check.interval.ms`"""
    of_groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What was set for single groups, by their ids; it may change."""

    def consumer_limits(self, group_id: str) -> ConsumerLimits:
        """What holds for one consumer group."""
        own = self.of_groups.get(group_id)
        if not own:
            return self.consumer
        return replace(
            self.consumer,
            session_ms=int(own.get("consumer.session.timeout.ms", self.consumer.session_ms)),
            heartbeat_ms=int(own.get("consumer.heartbeat.interval.ms", self.consumer.heartbeat_ms)),
        )

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            min_session_ms=settings.number("group.min.session.timeout.ms"),
            max_session_ms=settings.number("group.max.session.timeout.ms"),
            classic=Limits(
                initial_delay_ms=settings.number("group.initial.rebalance.delay.ms"),
                max_size=settings.number("group.max.size"),
            ),
            consumer=ConsumerLimits(
                session_ms=settings.number("group.consumer.session.timeout.ms"),
                heartbeat_ms=settings.number("group.consumer.heartbeat.interval.ms"),
                max_size=settings.number("group.consumer.max.size"),
                assignors=tuple(name.strip() for name in settings.text("group.consumer.assignors").split(",")),
            ),
            retention_ms=settings.number("offsets.retention.minutes") * 60_000,
            retention_check_ms=settings.number("offsets.retention.check.interval.ms"),
            of_groups=settings.of_group,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """By what right offsets are committed or read."""

    member_id: str = ""
    instance_id: str | None = None
    epoch: int = -1
    """Generation, or member epoch; -1: none."""
    version: int = 9
    """Of the request."""


class GroupCoordinator:
    """All groups. Used from the broker's event loop only."""

    def __init__(
        self,
        group_log: GroupLog,
        catalogue: Catalogue,
        clock: Clock,
        timers: Timers,
        config: CoordinatorConfig,
    ) -> None:
        self.offsets = Offsets()
        self.config = config
        self._log = group_log
        self._catalogue = catalogue
        self._clock = clock
        self._timers = timers
        self._groups: dict[str, Group] = {}
        self._check: Timer | None = None

    @classmethod
    def open(
        cls,
        group_log: GroupLog,
        catalogue: Catalogue,
        clock: Clock,
        timers: Timers,
        config: CoordinatorConfig,
    ) -> Self:
        """The coordinator as the log says it was; members are expected to be heard of within a session."""
        found = cls(group_log, catalogue, clock, timers, config)
        found._replay()
        found._schedule_check()
        return found

    def close(self) -> None:
        """Answer everybody who waits, and leave no timer."""
        if self._check is not None:
            self._check.cancel()
        for group in self._groups.values():
            group.close()
        self._groups.clear()

    # -- looking ------------------------------------------------------------------------------

    def get(self, group_id: str) -> Group | None:
        return self._groups.get(group_id)

    def all(self) -> list[Group]:
        return list(self._groups.values())

    def partition_of(self, group_id: str) -> int:
        """The partition of `__consumer_offsets` that holds a group."""
        return self._log.partition_of(group_id)

    # -- the classic protocol -----------------------------------------------------------------

    def join(self, group_id: str, asked: Joining) -> asyncio.Future[Joined]:
        """Join a group, which is made if need be; KafkaError refuses at once."""
        if not group_id:
            raise KafkaError(INVALID_GROUP_ID)
        if not self.config.min_session_ms <= asked.session_ms <= self.config.max_session_ms:
            raise KafkaError(INVALID_SESSION_TIMEOUT)
        group = self._groups.get(group_id)
        if isinstance(group, ConsumerGroup) and group.snapshot.members:
            raise KafkaError(INCONSISTENT_GROUP_PROTOCOL, "The group uses the consumer protocol.")
        if not isinstance(group, ClassicGroup):
            if asked.member_id:
                raise KafkaError(UNKNOWN_MEMBER_ID)
            if group is not None:
                self._delete_group(group)
            group = self._classic(group_id)
        try:
            return group.join(asked)
        except KafkaError:
            if not group.protocol_type:
                self._forget_unused(group)
            raise

    def sync(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: Mapping[str, bytes],
        *,
        protocol_type: str | None = None,
        protocol: str | None = None,
    ) -> asyncio.Future[Synced]:
        """See `ClassicGroup.sync`."""
        return self._members_group(group_id).sync(
            member_id, instance_id, generation, assignments, protocol_type=protocol_type, protocol=protocol
        )

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> None:
        """See `ClassicGroup.heartbeat`."""
        self._members_group(group_id).heartbeat(member_id, instance_id, generation)

    def leave(self, group_id: str, leaving: Sequence[tuple[str, str | None]]) -> list[int]:
        """See `ClassicGroup.leave`; in a group that does not exist nobody is known."""
        group = self._groups.get(group_id)
        if not group_id:
            raise KafkaError(INVALID_GROUP_ID)
        if not isinstance(group, ClassicGroup):
            return [UNKNOWN_MEMBER_ID] * len(leaving)
        return group.leave(leaving)

    def _members_group(self, group_id: str) -> ClassicGroup:
        """The classic group a member speaks of."""
        if not group_id:
            raise KafkaError(INVALID_GROUP_ID)
        group = self._groups.get(group_id)
        if not isinstance(group, ClassicGroup):
            raise KafkaError(UNKNOWN_MEMBER_ID)
        return group

    def _forget_unused(self, group: ClassicGroup) -> None:
        """A group made for a join that was refused was never there."""
        if not group.promised and not self.offsets.places(group.id):
            group.close()
            del self._groups[group.id]

    # -- the consumer protocol ----------------------------------------------------------------

    def consumer_heartbeat(self, group_id: str, beat: Beat) -> Answer:
        """See `ConsumerGroup.heartbeat`. An empty classic group becomes one of the consumer protocol."""
        group = self._groups.get(group_id)
        empty = group is None or (isinstance(group, ClassicGroup) and group.state is State.EMPTY)
        if empty and beat.epoch == JOIN:
            group = self._consumer(group_id)
        if not isinstance(group, ConsumerGroup):
            if group is not None:
                raise KafkaError(GROUP_ID_NOT_FOUND, f"Group {group_id} is not a consumer group.")
            kind = "Consumer group" if beat.epoch > JOIN else "Group"
            raise KafkaError(GROUP_ID_NOT_FOUND, f"{kind} {group_id} not found.")
        try:
            answer = group.heartbeat(beat)
        except OSError as exc:
            raise self._unavailable(group_id, exc) from exc
        replaced = self._groups.get(group_id)
        if replaced is not group:
            if replaced is not None:
                replaced.close()
            self._groups[group_id] = group
        return answer

    # -- offsets ------------------------------------------------------------------------------

    def check_commit(self, group_id: str, by: Credentials, *, transactional: bool = False) -> None:
        """KafkaError when offsets may not be committed with these credentials.

        As in Kafka, offsets may be kept under the empty name too.
        """
        group = self._groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            try:
                group.check_commit(
                    by.member_id, by.instance_id, by.epoch, transactional=transactional, version=by.version
                )
            except KafkaError as exc:
                if transactional and exc.code == STALE_MEMBER_EPOCH:
                    # The transactional API has no word for a member epoch.
                    raise KafkaError(ILLEGAL_GENERATION, exc.message) from exc
                raise
        elif group is not None:
            group.check_commit(by.member_id, by.instance_id, by.epoch, transactional=transactional)
        elif by.epoch >= 0:
            # Clients before version 9 do not expect the clearer answer.
            new_client = by.version >= 9 and not transactional
            raise KafkaError(GROUP_ID_NOT_FOUND if new_client else ILLEGAL_GENERATION)

    def commit(self, group_id: str, offsets: Mapping[Place, Committed]) -> None:
        """Commit offsets; durable when this returns. KafkaError when that cannot be."""
        if not offsets:
            return
        try:
            first = self._log.append(group_id, _offset_records(group_id, offsets))
        except OSError as exc:
            raise self._unavailable(group_id, exc) from exc
        for number, (place, committed) in enumerate(offsets.items()):
            self.offsets.put(group_id, place, committed, first + number)
        self._named(group_id)

    def commit_pending(
        self, group_id: str, offsets: Mapping[Place, Committed], producer_id: int, producer_epoch: int
    ) -> None:
        """Commit offsets that count once the producer's transaction commits."""
        if not offsets:
            return
        records = _offset_records(group_id, offsets)
        try:
            first = self._log.append_pending(group_id, records, producer_id, producer_epoch)
        except OSError as exc:
            raise self._unavailable(group_id, exc) from exc
        for number, (place, committed) in enumerate(offsets.items()):
            self.offsets.put_pending(producer_id, group_id, place, committed, first + number)
        self._named(group_id)

    def complete_transaction(self, producer_id: int, partition: int, commit: bool) -> None:
        """A producer's transaction ended, and its marker is in a partition of the log: apply or forget what it held."""
        self.offsets.complete(producer_id, commit, lambda group_id: self.partition_of(group_id) == partition)

    def check_fetch(self, group_id: str, member_id: str | None, epoch: int) -> None:
        """KafkaError when the group's offsets may not be read with these credentials."""
        group = self._groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            group.check_fetch(member_id, epoch)

    def delete_offsets(self, group_id: str, places: Iterable[Place]) -> dict[Place, int]:
        """Delete offsets; an error code for each. KafkaError when the group does not let any go."""
        group = self._groups.get(group_id)
        if not group_id:
            raise KafkaError(INVALID_GROUP_ID)
        if group is None:
            raise KafkaError(GROUP_ID_NOT_FOUND)
        if isinstance(group, ClassicGroup) and group.members and group.protocol_type != "consumer":
            raise KafkaError(NON_EMPTY_GROUP)
        codes = {place: GROUP_SUBSCRIBED_TO_TOPIC if self._reads(group, place[0]) else NONE for place in places}
        self._forget(group_id, [place for place, code in codes.items() if code == NONE])
        return codes

    def forget_topic(self, topic: str) -> None:
        """A topic was deleted, and with it the offsets of every group for it."""
        for group_id in self.offsets.groups():
            self._forget(group_id, [place for place in self.offsets.places(group_id) if place[0] == topic])

    def delete(self, group_id: str) -> None:
        """Delete an empty group and its offsets; KafkaError when it is not empty."""
        group = self._groups.get(group_id)
        if group is None:
            raise KafkaError(GROUP_ID_NOT_FOUND)
        group.check_delete()
        self._forget(group_id, self.offsets.places(group_id))
        self._delete_group(group)
        log.info("group %s deleted", group_id)

    def _forget(self, group_id: str, places: Iterable[Place]) -> None:
        known = self.offsets.places(group_id) & set(places)
        if not known:
            return
        try:
            self._log.append(group_id, [(_offset_key(group_id, place), None) for place in sorted(known)])
        except OSError as exc:
            raise self._unavailable(group_id, exc) from exc
        self.offsets.remove(group_id, known)

    @staticmethod
    def _reads(group: Group, topic: str) -> bool:
        if isinstance(group, ConsumerGroup):
            return topic in group.snapshot.names
        return may_read(group, topic)

    # -- retention ----------------------------------------------------------------------------

    def _schedule_check(self) -> None:
        self._check = self._timers.call_later(self.config.retention_check_ms / 1000, self._check_retention)

    def _check_retention(self) -> None:
        try:
            self.expire()
        except KafkaError as exc:
            log.warning("offsets that expired cannot be deleted now: %s; it is tried again", exc)
        finally:
            self._schedule_check()

    def expire(self) -> None:
        """Delete offsets past their retention, and empty groups that have none left (KIP-211)."""
        now = self._clock.wall_ms()
        for group in self.all():
            expired = [
                place
                for place, committed in self.offsets.of(group.id).items()
                if not self.offsets.pending_in(group.id, place)
                and not self._reads(group, place[0])
                and self._expires_ms(group, committed) <= now
            ]
            if expired:
                log.info("group %s: %d offset(s) expired", group.id, len(expired))
                self._forget(group.id, expired)
            if _is_over(group) and not self.offsets.places(group.id):
                self._delete_group(group)

    def _expires_ms(self, group: Group, committed: Committed) -> float:
        """When a commit of the group expires, milliseconds since the epoch."""
        if committed.expires >= 0:
            return committed.expires
        since = committed.timestamp
        if isinstance(group, ClassicGroup) and group.protocol_type:
            if group.state is State.EMPTY:
                # The offsets of a group that worked until now are not old, whenever they were committed.
                since = group.since_ms if group.since_ms >= 0 else committed.timestamp
            elif group.state is not State.STABLE or group.protocol_type != "consumer":
                return float("inf")
        return since + self.config.retention_ms

    # -- groups -------------------------------------------------------------------------------

    def _named(self, group_id: str) -> Group:
        """The group, made as one that only commits if it is new."""
        return self._groups.get(group_id) or self._classic(group_id)

    def _classic(self, group_id: str) -> ClassicGroup:
        group = ClassicGroup(
            id=group_id,
            clock=self._clock,
            timers=self._timers,
            store=self._store_classic,
            limits=self.config.classic,
        )
        self._groups[group_id] = group
        return group

    def _consumer(self, group_id: str) -> ConsumerGroup:
        return ConsumerGroup(
            id=group_id,
            timers=self._timers,
            catalogue=self._catalogue,
            store=self._store_consumer,
            limits=self.config.consumer_limits(group_id),
        )

    def reconfigure(self, group_id: str) -> None:
        """The settings of a group have changed; they count from each member's next heartbeat on."""
        group = self._groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            group.limits = self.config.consumer_limits(group_id)

    def _store_classic(self, group: ClassicGroup) -> None:
        self._log.append(group.id, list(classic_records(group).items()))

    def _store_consumer(self, group: ConsumerGroup, after: Snapshot) -> None:
        replaced = self._groups.get(group.id)
        if isinstance(replaced, ClassicGroup):
            # One batch ends the one and begins the other: a crash leaves either of them.
            before = classic_records(replaced)
        else:
            before = consumer_records(group.id, group.snapshot) if group.snapshot.epoch else {}
        self._log.append(group.id, difference(before, consumer_records(group.id, after)))

    def _delete_group(self, group: Group) -> None:
        """Forget a group; its offsets stay."""
        if isinstance(group, ConsumerGroup):
            gone = difference(consumer_records(group.id, group.snapshot), {})
        else:
            gone = difference(classic_records(group), {})
        try:
            self._log.append(group.id, gone)
        except OSError as exc:
            raise self._unavailable(group.id, exc) from exc
        group.close()
        del self._groups[group.id]

    def _unavailable(self, group_id: str, exc: OSError) -> KafkaError:
        log.error("group %s: __consumer_offsets cannot be written: %s", group_id, exc)
        return KafkaError(COORDINATOR_NOT_AVAILABLE, f"The offsets log cannot be written: {exc.strerror}")

    # -- starting -----------------------------------------------------------------------------

    def _replay(self) -> None:
        replayed: dict[str, Replayed] = {}
        for entry in self._log.replay():
            if isinstance(entry, Ended):
                self.complete_transaction(entry.producer_id, entry.partition, entry.commit)
                continue
            try:
                if entry.key.kind is Kind.OFFSET:
                    self._replay_offset(entry)
                else:
                    replayed.setdefault(entry.key.group, Replayed()).apply(entry.key, entry.value)
            except ValueError as exc:
                log.warning("__consumer_offsets offset %d (%s): %s", entry.position, entry.key, exc)
        for group_id, found in replayed.items():
            self._restore(group_id, found)
        for group_id in self.offsets.groups():
            self._named(group_id)
        log.info("recovered %d group(s)", len(self._groups))

    def _replay_offset(self, entry: Stored) -> None:
        group_id, place = entry.key.group, (entry.key.name, entry.key.partition)
        if entry.value is None:
            self.offsets.remove(group_id, [place])
        elif entry.producer_id is None:
            self.offsets.put(group_id, place, decode_offset(entry.value), entry.position)
        else:
            committed = decode_offset(entry.value)
            self.offsets.put_pending(entry.producer_id, group_id, place, committed, entry.position)

    def _restore(self, group_id: str, found: Replayed) -> None:
        if found.consumer:
            consumer = self._consumer(group_id)
            consumer.snapshot = found.snapshot
            self._groups[group_id] = consumer
            consumer.resume()
        elif found.classic is not None:
            stored = found.classic
            group = ClassicGroup(
                id=group_id,
                clock=self._clock,
                timers=self._timers,
                store=self._store_classic,
                limits=self.config.classic,
                state=State.STABLE if stored.members else State.EMPTY,
                generation=stored.generation,
                protocol_type=stored.protocol_type or None,
                protocol=stored.protocol,
                leader=stored.leader,
                since_ms=stored.since_ms,
                members=found.members(),
            )
            self._groups[group_id] = group
            group.resume()


class TopicCatalogue:
    """The broker's topics, as assignments see them."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def facts(self, name: str) -> TopicFacts | None:
        topic = self._topics.get(name)
        return None if topic is None else TopicFacts(topic.id, len(topic.partitions))

    def names(self) -> Iterable[str]:
        return [topic.name for topic in self._topics]

    @property
    def edition(self) -> int:
        return self._topics.edition


def _offset_key(group_id: str, place: Place) -> Key:
    return Key(Kind.OFFSET, group_id, place[0], place[1])


def _offset_records(group_id: str, offsets: Mapping[Place, Committed]) -> Records:
    return [(_offset_key(group_id, place), encode_offset(found)) for place, found in offsets.items()]


def _is_over(group: Group) -> bool:
    """Whether nobody is in the group or about to join it."""
    if isinstance(group, ConsumerGroup):
        return not group.snapshot.members
    return group.state is State.EMPTY and not group.promised
