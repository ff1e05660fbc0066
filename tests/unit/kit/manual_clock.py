"""A clock that tests move by hand."""

from __future__ import annotations

import threading


class ManualClock:
    """Time stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def wall_ms(self) -> int:
        return round(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.now += seconds
        return event.is_set()
