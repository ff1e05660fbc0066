"""Source tasks: what reads one slice of an outside system."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from syncline.data import SourceRecord


class OffsetReader(Protocol):
    """Stored source offsets of one connector."""

    def offsets(self, partitions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        """The stored offset of each partition, in order; None where there is none."""
        ...


class SourceContext(Protocol):
    """What the worker offers a source task."""

    @property
    def offsets(self) -> OffsetReader: ...

    @property
    def config(self) -> Mapping[str, str]:
        """The task's configuration, resolved."""
        ...


class SourceTask(ABC):
    """Reads on a thread of its own and may block; `stop` alone comes from another thread."""

    @abstractmethod
    def start(self, config: Mapping[str, str], context: SourceContext) -> None:
        """Open what is needed and restore positions from `context.offsets`."""

    @abstractmethod
    def poll(self) -> Sequence[SourceRecord] | None:
        """The next records, in order; None or empty when there are none for now.

        Should return within about a second even without records, so that a pause or stop is obeyed.
        RetriableError is logged and the call repeated; any other exception fails the task.
        """

    def commit(self) -> None:
        """Called after offsets were committed; everything returned so far up to them is durable in Kafka."""

    @abstractmethod
    def stop(self) -> None:
        """Make a running `poll` return soon; called from another thread, possibly before `start` ended."""

    def close(self) -> None:
        """Release everything; called on the task's own thread after the last `poll`."""
