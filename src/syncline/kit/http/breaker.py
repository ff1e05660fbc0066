"""Stop asking a service that does not answer, and find out cheaply when it does again.

Pure: it never waits and asks nobody; callers report what happened.

    CLOSED     requests pass; of the last `window` results, at least `fewest`, a part of `rate` failed -> OPEN
    OPEN       requests are refused; after `open_for` seconds the next one passes                      -> HALF_OPEN
    HALF_OPEN  one request at a time passes as a probe: it succeeds -> CLOSED, it fails                -> OPEN
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.kit.errors import Unavailable


class BreakerState(StrEnum):
    """See the table above."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class CircuitOpen(Unavailable):
    """Too many requests to a service failed; none is sent for the next `retry_after` seconds."""

    code = "CIRCUIT_OPEN"
    public = "a service this one needs failed too often and is left alone for a moment; try again later"

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(f"{name} failed too often; the next try is in {retry_after:.1f} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """When to open, and for how long."""

    window: int = 20
    rate: float = 0.5
    fewest: int = 10
    """Results without which nothing is judged: one failure of two says little (SMP-13)."""
    open_for: float = 5.0

    def __post_init__(self) -> None:
        if not (1 <= self.fewest <= self.window and 0 < self.rate <= 1 and self.open_for > 0):
            raise ValueError(f"1 <= fewest <= window, 0 < rate <= 1 and open_for > 0 must hold: {self}")


class Permit:
    """One request that may pass; exactly one of its three ends is reported, further ones do nothing."""

    __slots__ = ("_breaker", "_era")

    def __init__(self, breaker: Breaker, era: int) -> None:
        self._breaker: Breaker | None = breaker
        self._era = era

    def succeeded(self) -> None:
        """The service answered."""
        self._end(True)

    def failed(self) -> None:
        """The service did not answer."""
        self._end(False)

    def abandoned(self) -> None:
        """Nobody waited for the answer; that says nothing about the service."""
        self._end(None)

    def _end(self, success: bool | None) -> None:
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._report(self._era, success)


class Breaker:
    """One per called service. Not for several threads."""

    def __init__(self, name: str, rule: BreakerRule = BreakerRule(), *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.name = name
        self._rule = rule
        self._clock = clock
        self._results: deque[bool] = deque(maxlen=rule.window)
        self._state = BreakerState.CLOSED
        self._open_until = 0.0
        self._probing = False
        # Counts changes of state: an answer to a request from before a change is no news about now.
        self._era = 0

    @property
    def state(self) -> BreakerState:
        """OPEN turns into HALF_OPEN by the first request after the pause, not by time alone."""
        return self._state

    def enter(self) -> Permit:
        """Let a request pass; CircuitOpen if it must not."""
        if self._state is BreakerState.OPEN and self._clock.monotonic() >= self._open_until:
            self._become(BreakerState.HALF_OPEN)
        if self._state is BreakerState.OPEN:
            raise CircuitOpen(self.name, self._open_until - self._clock.monotonic())
        if self._state is BreakerState.HALF_OPEN:
            if self._probing:
                raise CircuitOpen(self.name, _PROBE_SECONDS)
            self._probing = True
        return Permit(self, self._era)

    def hurry(self) -> None:
        """Do not wait for the end of the pause: there is reason to hope, so the next request is the probe."""
        if self._state is BreakerState.OPEN:
            self._open_until = self._clock.monotonic()

    def _report(self, era: int, success: bool | None) -> None:
        if era != self._era:
            return
        self._probing = False
        if success is None:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._become(BreakerState.CLOSED if success else BreakerState.OPEN)
            return
        self._results.append(success)
        failed = self._results.count(False)
        if len(self._results) >= self._rule.fewest and failed >= self._rule.rate * len(self._results):
            self._become(BreakerState.OPEN)

    def _become(self, state: BreakerState) -> None:
        self._state = state
        self._era += 1
        self._probing = False
        self._results.clear()
        if state is BreakerState.OPEN:
            self._open_until = self._clock.monotonic() + self._rule.open_for


_PROBE_SECONDS: Final = 1.0
"""What callers are told while a probe is under way, whose end nobody knows."""
