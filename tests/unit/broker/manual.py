"""Time that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any


class ManualTimer:
    """A scheduled action; done or cancelled once `action` is None."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None


class ManualTime:
    """A clock and a scheduler in one: time passes in `advance`, and actions run there, in order."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self._loop = asyncio.new_event_loop()
        self._due: list[tuple[float, int, ManualTimer]] = []
        self._numbers = itertools.count()

    def close(self) -> None:
        self._loop.close()

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.advance(seconds)
        return event.is_set()

    def call_later(self, delay: float, callback: Callable[[], object], /) -> ManualTimer:
        timer = ManualTimer(callback)
        heapq.heappush(self._due, (self.now_ms + delay * 1000, next(self._numbers), timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return self._loop.create_future()

    @property
    def scheduled(self) -> int:
        """Actions that still have to run."""
        return sum(timer.action is not None for _, _, timer in self._due)

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what becomes due, each at its own moment."""
        end = self.now_ms + round(seconds * 1000)
        while self._due and self._due[0][0] <= end:
            due, _, timer = heapq.heappop(self._due)
            self.now_ms = max(self.now_ms, round(due))
            if timer.action is not None:
                action, timer.action = timer.action, None
                action()
        self.now_ms = end
