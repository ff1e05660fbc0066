"""Which member reads which partition: the assignors the broker itself runs (KIP-848). Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from syncline.broker.group_records import Partitions


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A member as an assignor sees it."""

    topics: frozenset[UUID]
    """Subscribed topics that exist."""
    current: Partitions = frozenset()
    """What it is to have now."""
    instance_id: str | None = None


Assignor = Callable[[Mapping[str, Subscriber], Mapping[UUID, int]], dict[str, Partitions]]
"""From subscribers by member id and partition counts by topic to the partitions of every member."""


def assign_range(subscribers: Mapping[str, Subscriber], counts: Mapping[UUID, int]) -> dict[str, Partitions]:
    """Neighbouring partitions of each topic to each member; the first members have one more.

    Members stand in the same order for every topic (static ones first, by instance id), so equal numbers of
    topics with as many partitions meet in one member, as joins of streams want it.
    """
    order = sorted(
        subscribers, key=lambda one: (subscribers[one].instance_id is None, subscribers[one].instance_id or one)
    )
    assigned: dict[str, set[tuple[UUID, int]]] = {member: set() for member in subscribers}
    for topic, count in counts.items():
        takers = [member for member in order if topic in subscribers[member].topics]
        first = 0
        for rank, member in enumerate(takers):
            size = count // len(takers) + (rank < count % len(takers))
            assigned[member] |= {(topic, number) for number in range(first, first + size)}
            first += size
    return {member: frozenset(found) for member, found in assigned.items()}


def assign_uniform(subscribers: Mapping[str, Subscriber], counts: Mapping[UUID, int]) -> dict[str, Partitions]:
    """As equal numbers of partitions as subscriptions allow; of the ways to get there, one with few moves."""
    return _Uniform(subscribers, counts).solve()


class _Uniform:
    """Keep what members have, give the rest to those with least, then even out."""

    def __init__(self, subscribers: Mapping[str, Subscriber], counts: Mapping[UUID, int]) -> None:
        self._subscribers = subscribers
        self._takers = {
            topic: sorted(member for member, one in subscribers.items() if topic in one.topics) for topic in counts
        }
        self._free = [
            (topic, number)
            for topic in sorted(counts, key=lambda topic: (len(self._takers[topic]), topic.int))
            for number in range(counts[topic])
            if self._takers[topic]
        ]
        self._assigned: dict[str, set[tuple[UUID, int]]] = {member: set() for member in subscribers}

    def solve(self) -> dict[str, Partitions]:
        free = set(self._free)
        for member in sorted(self._subscribers):
            one = self._subscribers[member]
            kept = {place for place in one.current & free if place[0] in one.topics}
            free -= kept
            self._assigned[member] = kept
        for place in self._free:
            if place in free:
                self._assigned[min(self._takers[place[0]], key=self._load)].add(place)
        while self._even_out():
            pass
        return {member: frozenset(found) for member, found in self._assigned.items()}

    def _load(self, member: str) -> tuple[int, str]:
        return len(self._assigned[member]), member

    def _even_out(self) -> bool:
        """Move one partition from a member with more to one with at least two fewer; False when there is none.

        The way may lead over others: a gives to b, and b, which may read what c may read, gives to c.
        """
        for giver in sorted(self._assigned, key=self._load, reverse=True):
            way = self._way_down(giver)
            if way:
                for source, place, target in way:
                    self._assigned[source].remove(place)
                    self._assigned[target].add(place)
                return True
        return False

    def _way_down(self, giver: str) -> list[tuple[str, tuple[UUID, int], str]]:
        """The shortest chain of moves from `giver` to a member with at least two fewer partitions."""
        most = len(self._assigned[giver])
        came: dict[str, tuple[str, tuple[UUID, int], str] | None] = {giver: None}
        queue = deque([giver])
        while queue:
            source = queue.popleft()
            highest: dict[UUID, int] = {}
            for topic, number in self._assigned[source]:
                highest[topic] = max(number, highest.get(topic, 0))
            for topic, number in sorted(highest.items()):
                for target in sorted(self._takers[topic], key=self._load):
                    if target in came:
                        continue
                    came[target] = (source, (topic, number), target)
                    if len(self._assigned[target]) <= most - 2:
                        return _chain(came, target)
                    queue.append(target)
        return []


def _chain(
    came: Mapping[str, tuple[str, tuple[UUID, int], str] | None], member: str
) -> list[tuple[str, tuple[UUID, int], str]]:
    moves = []
    step = came[member]
    while step is not None:
        moves.append(step)
        step = came[step[0]]
    return moves


ASSIGNORS: Final[Mapping[str, Assignor]] = {"uniform": assign_uniform, "range": assign_range}
"""By the names clients ask for (`group.remote.assignor`); the first is the default."""
