"""What a request, or the work it waits for, is busy with, for time-outs and `/health` (spec/connect.md 1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from syncline.clock import SYSTEM_CLOCK, Clock


class Progress:
    """The stages of one request or of one piece of background work. Written by one thread, read by any."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._text: str | None = None
        self._behind: Progress | None = None

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """`what` is going on, such as `starting the connector`."""
        began = _instant(self._clock)
        self._text = f"The worker is currently {what}, which began at {began}."
        try:
            yield
        finally:
            self._text = (
                f"The last operation the worker completed was {what}, which began at {began} "
                f"and completed at {_instant(self._clock)}."
            )

    @contextmanager
    def behind(self, other: Progress | None) -> Iterator[None]:
        """Nothing goes on here before `other`, if there is one, has ended."""
        self._behind = other if other is not self else None
        try:
            yield
        finally:
            self._behind = None

    def text(self) -> str | None:
        """A sentence for whoever waits; None before the first stage."""
        behind = self._behind
        return self._text if behind is None else behind.text() or self._text


_current: ContextVar[Progress | None] = ContextVar("progress", default=None)


def follow(progress: Progress) -> None:
    """Stages of this context, and of threads that run in a copy of it, are noted in `progress`."""
    _current.set(progress)


def current() -> Progress:
    """The progress that this context notes its stages in."""
    progress = _current.get()
    if progress is None:
        progress = Progress()
        _current.set(progress)
    return progress


def _instant(clock: Clock) -> str:
    now = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
