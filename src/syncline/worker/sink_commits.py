"""Committing a sink task's offsets: what the task says is safe, once its dead letters are durable."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from syncline.api import SinkTask
from syncline.clock import Clock
from syncline.errors import ConnectError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.ports import Consumer
from syncline.worker.dlq import DeadLetters
from syncline.worker.metrics import CommitMetrics
from syncline.worker.positions import Positions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Commit:
    offsets: Mapping[TopicPartition, int]
    began: float


class SinkCommits:
    """Used by the task's thread; only the answers to commits come from the one that reads."""

    def __init__(
        self,
        name: str,
        task: SinkTask,
        consumer: Consumer,
        positions: Positions,
        letters: DeadLetters | None,
        metrics: CommitMetrics,
        *,
        timeout: float,
        clock: Clock,
    ) -> None:
        """`timeout` is how many seconds a commit may take before it counts as failed."""
        self._name = name
        self._task = task
        self._consumer = consumer
        self._positions = positions
        self._letters = letters
        self._metrics = metrics
        self._timeout = timeout
        self._clock = clock
        self._in_flight: _Commit | None = None
        self._answers: deque[tuple[_Commit, ConnectError | None]] = deque()

    @property
    def idle(self) -> bool:
        """Whether no commit is on its way."""
        return self._in_flight is None

    def begin(self) -> dict[TopicPartition, int]:
        """Start a commit of everything that is safe.

        Returns where to read on when the task could not flush; usually nothing. ConnectError when dead letters
        cannot be written.
        """
        began = self._clock.monotonic()
        try:
            wanted = self._safe(self._positions.reached())
        except Exception:  # a stranger's task
            log.exception("Offset commit of task %s failed, rewinding to last committed offsets", self._name)
            self._metrics.done(self._clock.monotonic() - began, good=False)
            return self._positions.back_to_committed()
        commit = _Commit(wanted, began)
        try:
            self._flush_letters()
            if wanted:
                self._consumer.commit_soon(wanted, lambda error: self._answers.append((commit, error)))
                self._in_flight = commit
        except RetriableError as exc:
            self._note(commit, exc)
        return {}

    def settle(self) -> None:
        """Take note of answers that came, and give up on one that does not."""
        while self._answers:
            commit, error = self._answers.popleft()
            if commit is self._in_flight:
                self._in_flight = None
            self._note(commit, error)
        late = self._in_flight
        if late is not None and self._clock.monotonic() - late.began > self._timeout:
            self._in_flight = None
            self._note(late, RetriableError("Commit of offsets timed out"))

    def now(self, partitions: Collection[TopicPartition]) -> None:
        """Commit these partitions before they go, and wait; what cannot be committed is delivered again.

        ConnectError when dead letters cannot be written.
        """
        began = self._clock.monotonic()
        try:
            wanted = self._safe(self._positions.reached(partitions))
        except Exception:  # a stranger's task
            log.exception("Offset commit of task %s failed during close", self._name)
            self._metrics.done(self._clock.monotonic() - began, good=False)
            return
        commit = _Commit(wanted, began)
        try:
            self._flush_letters()
        except RetriableError as exc:
            self._note(commit, exc)
            return
        if wanted:
            try:
                self._consumer.commit(wanted)
            except ConnectError as exc:
                self._note(commit, exc)
            else:
                self._note(commit, None)

    def _safe(self, reached: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        """What to commit, as the task states it; empty when there is nothing new."""
        stated = self._task.pre_commit(dict(reached)) if reached else {}
        wanted = self._positions.to_commit(stated or {}, reached)
        if wanted:
            self._metrics.number += 1
        else:
            self._metrics.skipped += 1
        return wanted

    def _flush_letters(self) -> None:
        # Before the commit: a crash between the two would otherwise lose both the record and its letter.
        if self._letters is not None:
            self._letters.flush()

    def _note(self, commit: _Commit, error: ConnectError | None) -> None:
        self._metrics.done(self._clock.monotonic() - commit.began, good=error is None)
        if error is None:
            self._positions.committed(commit.offsets)
        else:
            log.warning("task %s: offsets were not committed; the next commit includes them: %s", self._name, error)
