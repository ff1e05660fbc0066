"""The partitions in one listener's hands, how far each of them is, and what is committed of that."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from syncline.clock import Clock
from syncline.errors import ConnectError, SynclineError
from syncline.ids import TopicPartition
from syncline.kafka.ports import Consumer, KafkaRecord, Rebalance
from syncline.kit.errors import Unavailable
from syncline.kit.messages.inbox import Reached

log = structlog.get_logger(__name__)

_BATCH: Final = 100
"""Records read at once: with the longest handler they stay far below `max.poll.interval.ms`."""
_READ_SECONDS: Final = 0.1
"""Bounds how long a stop or a due retry waits for a read that finds nothing."""


@dataclass(slots=True)
class Lane:
    """One partition in this instance's hands."""

    waiting: deque[KafkaRecord] = field(default_factory=deque)
    """Read and not done with; the first one is being tried."""
    expected: int = 0
    """The least offset that was not seen yet."""
    done: int | None = None
    """The next offset to read after a restart."""
    committed: int | None = None
    old_end: int | None = None
    """Met by an earlier assignment of the partition; says nothing about this one."""
    failures: int = 0
    first_failure: datetime | None = None
    retry_at: float | None = None
    """On the monotonic clock, while the first record waits for its next attempt."""
    paused: bool = False
    """Until all that is waiting is done with."""


class Membership:
    """The partitions in hand, and how far each of them is."""

    def __init__(self, consumer: Consumer, reached: Reached, clock: Clock, commit_seconds: float) -> None:
        self._consumer = consumer
        self._reached = reached
        self._clock = clock
        self._commit_seconds = commit_seconds
        self._lanes: dict[TopicPartition, Lane] = {}
        self._new: list[TopicPartition] = []
        self._commit_at = clock.monotonic() + commit_seconds
        self._committing = False
        self.rebalance = Rebalance(self._assigned, self._revoked, self._lost)

    def read(self) -> None:
        """Take what is there into the lanes."""
        for record in self._consumer.read(_BATCH, _READ_SECONDS):
            lane = self._lanes.get(TopicPartition(record.topic, record.partition))
            if lane is not None and record.offset >= lane.expected:
                lane.expected = record.offset + 1
                lane.waiting.append(record)
        for partition, lane in self._lanes.items():
            if not lane.waiting:
                self._pass_marks(partition, lane)
        if self._new:
            self._pin()

    def ready(self) -> list[tuple[TopicPartition, Lane]]:
        """Lanes with a record whose time has come."""
        now = self._clock.monotonic()
        for lane in self._lanes.values():
            if lane.retry_at is not None and lane.retry_at <= now:
                lane.retry_at = None
        return [(tp, lane) for tp, lane in self._lanes.items() if lane.waiting and lane.retry_at is None]

    def hold(self, partition: TopicPartition, lane: Lane, seconds: float) -> None:
        """Leave the lane alone for so long."""
        lane.retry_at = self._clock.monotonic() + seconds
        if not lane.paused:
            self._consumer.pause([partition])
            lane.paused = True

    def let_go(self, partition: TopicPartition, lane: Lane) -> None:
        """Fetch for the lane again, if that was paused."""
        if lane.paused:
            self._consumer.resume([partition])
            lane.paused = False

    def commit_when_due(self, *, at_once: bool = False) -> None:
        """Commit without waiting what was done since the last time, once in a while."""
        if self._clock.monotonic() < self._commit_at and not at_once:
            return
        self._commit_at = self._clock.monotonic() + self._commit_seconds
        offsets = self._uncommitted(self._lanes)
        if not offsets or self._committing:
            return

        def done(error: SynclineError | None) -> None:
            self._committing = False
            if error is not None:
                log.warning("offsets not committed yet", reason=str(error))
            else:
                self._count_as_committed(offsets)

        self._committing = True
        try:
            self._reached.store(offsets)
            self._consumer.commit_soon(offsets, done)
        except (ConnectError, Unavailable) as exc:
            done(exc)

    def _pass_marks(self, partition: TopicPartition, lane: Lane) -> None:
        """Count the marks of transactions behind the last record as read: otherwise the lag would never be 0."""
        end = self._consumer.ended_at(partition)
        if end is not None and end != lane.old_end and end > max(lane.expected, lane.done or 0):
            lane.done = lane.expected = end

    def _pin(self) -> None:
        """Give partitions that nobody has read a committed offset: the group shows up with all its lag."""
        try:
            known = self._consumer.committed(self._new)
            for partition in self._new:
                lane = self._lanes[partition]
                if partition not in known and lane.done is None:
                    lane.done = lane.waiting[0].offset if lane.waiting else self._consumer.watermarks(partition)[0]
        except ConnectError as exc:
            log.warning("committed offsets are not known yet", reason=str(exc))
        else:
            self._new = []

    def _assigned(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        for partition in partitions:
            self._lanes[partition] = Lane(old_end=self._consumer.ended_at(partition))
        self._new = [*self._new, *partitions]
        log.info("partitions assigned", partitions=[str(partition) for partition in partitions])
        return self._where_the_database_is(partitions)

    def _where_the_database_is(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        """Starting points for partitions of which the database knows less than the group has read.

        That is a database which is new, or was restored: without its effects the records count as unread.
        """
        try:
            held = self._reached.read(partitions)
            behind = {
                tp: held.get(tp, 0) for tp, at in self._consumer.committed(partitions).items() if held.get(tp, 0) < at
            }
        except (ConnectError, Unavailable) as exc:
            log.warning("starting from the group's offsets; the database's are not known", reason=str(exc))
            return None
        if behind:
            places = {str(partition): offset for partition, offset in behind.items()}
            log.warning("the database is behind the group's offsets; records are read again", start=places)
        return behind

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        mine = {partition: self._lanes[partition] for partition in partitions if partition in self._lanes}
        offsets = self._uncommitted(mine)
        if offsets:
            try:
                self._reached.store(offsets)
                self._consumer.commit(offsets)
            except (ConnectError, Unavailable) as exc:
                # Whoever gets them hears the last records again; the inbox knows them.
                log.warning("offsets not committed before leaving", reason=str(exc))
        self._lost(partitions)

    def _lost(self, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._lanes.pop(partition, None)
        self._new = [partition for partition in self._new if partition not in partitions]

    def _uncommitted(self, lanes: Mapping[TopicPartition, Lane]) -> dict[TopicPartition, int]:
        return {tp: lane.done for tp, lane in lanes.items() if lane.done is not None and lane.done != lane.committed}

    def _count_as_committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        for partition, offset in offsets.items():
            if partition in self._lanes:
                self._lanes[partition].committed = offset
