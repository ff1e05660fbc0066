"""What a task counts, named as Kafka Connect's metrics are (spec/connect.md 8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Commits:
    commits: int = 0
    failed_commits: int = 0

    def _count(self, good: bool) -> None:
        self.commits += 1
        self.failed_commits += not good


@dataclass(slots=True)
class SinkMetrics(_Commits):
    """Of one sink task."""

    read: int = 0
    sent: int = 0
    partitions: int = 0
    put_batches: int = 0
    put_seconds: float = 0.0
    put_max_seconds: float = 0.0
    largest_batch: int = 0

    def put(self, records: int, seconds: float) -> None:
        self.sent += records
        self.put_batches += 1
        self.put_seconds += seconds
        self.put_max_seconds = max(self.put_max_seconds, seconds)
        self.largest_batch = max(self.largest_batch, records)

    def commit(self, good: bool) -> None:
        self._count(good)


@dataclass(slots=True)
class SourceMetrics(_Commits):
    """Of one source task."""

    polled_records: int = 0
    written: int = 0
    poll_batches: int = 0
    poll_seconds: float = 0.0
    poll_max_seconds: float = 0.0
    commit_max_seconds: float = 0.0

    def polled(self, records: int, seconds: float) -> None:
        self.polled_records += records
        self.poll_batches += 1
        self.poll_seconds += seconds
        self.poll_max_seconds = max(self.poll_max_seconds, seconds)

    def commit(self, good: bool, seconds: float) -> None:
        self._count(good)
        self.commit_max_seconds = max(self.commit_max_seconds, seconds)
