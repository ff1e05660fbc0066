"""How long to wait before a record is tried again; pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses that double up to a ceiling."""

    attempts: int = 8
    """After so many a record that the handler itself fails on becomes a dead letter.

    What the service merely needs and does not reach (database, broker) is no fault of the record:
    such a record is tried until it succeeds.
    """
    first: float = 0.2
    """Seconds before the second attempt."""
    cap: float = 30
    """Seconds no pause exceeds."""
    jitter: bool = True
    """Shortens each pause at random by up to a half, so that instances do not come back all at once."""

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failed attempts, at least one."""
        whole = min(self.cap, self.first * 2.0 ** min(failures - 1, 60))
        return whole * random.uniform(0.5, 1) if self.jitter else whole  # noqa: S311  # spreads load, hides nothing
