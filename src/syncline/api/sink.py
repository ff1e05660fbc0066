"""Sink tasks: what writes records to an outside system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol

from syncline.data import SinkRecord
from syncline.ids import TopicPartition


class ErrantRecordReporter(Protocol):
    """Takes single records a sink cannot write."""

    def report(self, record: SinkRecord, error: Exception) -> None:
        """Send `record` to the dead-letter topic and the log, as configured.

        The report is durable before the record's offset is committed. Raises ConnectError when
        `errors.tolerance` is `none`: the task must let it pass.
        """
        ...


class SinkContext(Protocol):
    """What the worker offers a sink task. Called from the task's own thread only."""

    @property
    def config(self) -> Mapping[str, str]:
        """The task's configuration, resolved."""
        ...

    @property
    def assignment(self) -> Collection[TopicPartition]:
        """The partitions this task owns now."""
        ...

    @property
    def errant_record_reporter(self) -> ErrantRecordReporter | None:
        """None unless a dead-letter topic or `errors.log.enable` is configured (KIP-610)."""
        ...

    def timeout(self, milliseconds: int) -> None:
        """After a RetriableError from `put`, wait this long before the same list is put again."""
        ...

    def offset(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Rewind: deliver again from these offsets."""
        ...

    def pause(self, *partitions: TopicPartition) -> None: ...

    def resume(self, *partitions: TopicPartition) -> None: ...

    def request_commit(self) -> None:
        """Commit offsets soon, without waiting for the interval."""
        ...


class SinkTask(ABC):
    """Writes on a thread of its own and may block."""

    @abstractmethod
    def start(self, config: Mapping[str, str], context: SinkContext) -> None:
        """Open what is needed; raising fails the task."""

    def open(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are now this task's."""

    @abstractmethod
    def put(self, records: list[SinkRecord]) -> None:
        """Take `records`, in order; write them now, or by the next `pre_commit` at the latest.

        Called with an empty list when nothing was read. A record may come again after a failure, a
        restart or a rebalance, but none is left out. On RetriableError nothing more is read and the same
        list is put again.
        """

    def flush(self) -> None:
        """Make durable everything put so far."""

    def pre_commit(self, offsets: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """The offsets safe to commit, at most `offsets` (the next to read per partition)."""
        self.flush()
        return offsets

    def close(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are no longer this task's; `pre_commit` came before unless they were lost."""

    def stop(self) -> None:
        """Release everything; the last call, also after a failed `start`."""
