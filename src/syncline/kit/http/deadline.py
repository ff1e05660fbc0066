"""Until when an answer is of use: set by the first caller, passed on by everybody in between.

The header `X-Request-Deadline` holds a moment, in milliseconds since the epoch (UTC), so that time
spent in queues and on the way counts. Hosts must agree on the time to within what a deadline may be
off; callers' own time limits hold besides.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from syncline.clock import SYSTEM_CLOCK, Clock

HEADER: Final = "X-Request-Deadline"
_DIGITS: Final = 15
"""More than any moment in the next 30,000 years has."""

_until: ContextVar[float | None] = ContextVar("deadline", default=None)


def parse(text: str, clock: Clock = SYSTEM_CLOCK) -> float | None:
    """Seconds left until the moment in a header, negative if it is over; None for what is no moment."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        return None
    return (int(text) - clock.wall_ms()) / 1000


def header(seconds: float, clock: Clock = SYSTEM_CLOCK) -> str:
    """The header's value for a moment that many seconds from now."""
    return str(clock.wall_ms() + round(seconds * 1000))


def begin(seconds: float | None, clock: Clock = SYSTEM_CLOCK) -> None:
    """The request that this task works on must be answered within `seconds`; None for no limit."""
    _until.set(None if seconds is None else clock.monotonic() + seconds)


def remaining(clock: Clock = SYSTEM_CLOCK) -> float | None:
    """Seconds left to the request that this task works on; None without a limit."""
    until = _until.get()
    return None if until is None else until - clock.monotonic()
