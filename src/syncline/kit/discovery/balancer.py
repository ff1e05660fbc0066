"""Which instance gets the next request, and which is left alone for a while because it failed.

Pure: callers give the instances, the time and what happened; nothing here waits or connects.

A policy orders all instances. The first gets the request; the others, in this order, may get it when
the first cannot be reached. An instance that fails is ejected (put behind all others) for a time that
doubles with each failure in a row. When all are ejected nobody is: guessing beats refusing.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.kit.discovery.instances import Instance


class Policy(StrEnum):
    """How instances share the requests."""

    ROUND_ROBIN = "round-robin"
    """Strictly one after another."""
    RANDOM = "random"
    LEAST_OUTSTANDING = "least-outstanding"
    """The one with the fewest requests under way here; among equals they take turns."""
    TWO_CHOICES = "two-choices"
    """Of two taken at random the one with fewer requests under way: nearly as even, without a herd."""
    WEIGHTED = "weighted"
    """In proportion to the metadatum `weight`, evenly spread."""
    STICKY = "sticky"
    """The same key finds the same instance as long as it is there; others keep theirs when it goes."""


class Outcome(StrEnum):
    """What became of a request, as far as it says something about the instance."""

    ANSWERED = auto()
    """Any status: an instance that refuses a request is well."""
    FAILED = auto()
    """It broke off or stayed silent."""
    UNREACHABLE = auto()
    """No connection."""
    ABANDONED = auto()
    """The caller went away; that says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ejection:
    """When a failing instance is passed over, and for how long."""

    failures: int = 3
    """FAILED so many times in a row; UNREACHABLE once is enough."""
    first_seconds: float = 1
    longest_seconds: float = 30

    def seconds(self, ejections: int) -> float:
        """How long the `ejections`-th ejection in a row lasts."""
        doublings = min(ejections - 1, 30)
        return min(self.first_seconds * 2.0**doublings, self.longest_seconds)


NO_EJECTION: Final = Ejection(failures=1, first_seconds=0, longest_seconds=0)


@dataclass(slots=True)
class _Seen:
    """What this process knows of an instance from its own requests."""

    outstanding: int = 0
    failures: int = 0
    ejections: int = 0
    ejected_until: float = -math.inf
    owed: float = 0.0
    """Of turns, under the policy weighted."""


class Balancer:
    """One per service and caller. Not for several threads."""

    def __init__(
        self,
        policy: Policy = Policy.ROUND_ROBIN,
        ejection: Ejection | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: random.Random | None = None,
    ) -> None:
        self.policy = policy
        self._ejection = ejection or Ejection()
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311  # spreads load, keeps no secret
        self._turn = 0
        self._seen: dict[str, _Seen] = {}

    def order(self, instances: Sequence[Instance], key: str = "") -> list[Instance]:
        """All `instances`, each once, the one that should get this request first.

        `key` decides under the policy sticky and nowhere else. Takes a turn, so call it once per request.
        """
        self._forget(instances)
        well = [instance for instance in instances if not self.is_ejected(instance)]
        if not well:
            return self._ordered(instances, key)
        ejected = [instance for instance in instances if self.is_ejected(instance)]
        # The one whose ejection ends first is the best of a bad lot.
        ejected.sort(key=lambda instance: self._known(instance).ejected_until)
        return [*self._ordered(well, key), *ejected]

    def began(self, instance: Instance) -> None:
        """A request is on its way to `instance`; `ended` must follow."""
        self._known(instance).outstanding += 1

    def ended(self, instance: Instance, outcome: Outcome) -> None:
        """The request is over."""
        seen = self._seen.get(instance.id)
        if seen is None:  # it left the registry meanwhile
            return
        seen.outstanding = max(0, seen.outstanding - 1)
        match outcome:
            case Outcome.ANSWERED:
                seen.failures = seen.ejections = 0
                seen.ejected_until = -math.inf
            case Outcome.FAILED | Outcome.UNREACHABLE:
                seen.failures += 1
                # After its first ejection an instance is on probation: one more failure is enough.
                enough = 1 if seen.ejections or outcome is Outcome.UNREACHABLE else self._ejection.failures
                if seen.failures >= enough and not self.is_ejected(instance):
                    seen.ejections += 1
                    seen.ejected_until = self._clock.monotonic() + self._ejection.seconds(seen.ejections)
            case Outcome.ABANDONED:
                pass

    def outstanding(self, instance: Instance) -> int:
        """Requests under way to `instance` from here."""
        seen = self._seen.get(instance.id)
        return seen.outstanding if seen else 0

    def is_ejected(self, instance: Instance) -> bool:
        """Whether `instance` is passed over now."""
        seen = self._seen.get(instance.id)
        return seen is not None and seen.ejected_until > self._clock.monotonic()

    def _known(self, instance: Instance) -> _Seen:
        return self._seen.setdefault(instance.id, _Seen())

    def _forget(self, instances: Sequence[Instance]) -> None:
        """Drop what is known of those who are gone, unless requests are still under way there."""
        present = {instance.id for instance in instances}
        if self._seen.keys() - present:
            self._seen = {id_: seen for id_, seen in self._seen.items() if id_ in present or seen.outstanding}

    def _ordered(self, instances: Sequence[Instance], key: str) -> list[Instance]:
        match self.policy:
            case Policy.ROUND_ROBIN:
                return self._rotated(instances)
            case Policy.RANDOM:
                return self._chance.sample(list(instances), len(instances))
            case Policy.LEAST_OUTSTANDING:
                return sorted(self._rotated(instances), key=self.outstanding)
            case Policy.TWO_CHOICES:
                drawn = self._chance.sample(list(instances), len(instances))
                return [*sorted(drawn[:2], key=self.outstanding), *drawn[2:]]
            case Policy.WEIGHTED:
                return self._by_weight(instances)
            case Policy.STICKY:
                return sorted(instances, key=lambda instance: _affinity(instance, key), reverse=True)

    def _rotated(self, instances: Sequence[Instance]) -> list[Instance]:
        if not instances:
            return []
        start = self._turn % len(instances)
        self._turn += 1
        return [*instances[start:], *instances[:start]]

    def _by_weight(self, instances: Sequence[Instance]) -> list[Instance]:
        """Each is owed its weight per turn; the one who is owed most pays for the whole turn."""
        for instance in instances:
            self._known(instance).owed += instance.weight
        ordered = sorted(instances, key=lambda instance: self._known(instance).owed, reverse=True)
        if ordered:
            self._known(ordered[0]).owed -= sum(instance.weight for instance in instances)
        return ordered


def _affinity(instance: Instance, key: str) -> float:
    """Rendezvous hashing: the highest wins, so one that goes moves only its own keys (Thaler, Ravishankar)."""
    digest = hashlib.blake2b(f"{key}\0{instance.id}".encode(), digest_size=8).digest()
    # In (0, 1): neither end, for the logarithm's sake.
    drawn = (int.from_bytes(digest) + 0.5) / 2.0**64
    return -instance.weight / math.log(drawn)
