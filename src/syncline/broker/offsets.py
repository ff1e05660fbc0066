"""Committed offsets of all groups: what counts, and what waits for a transaction to end.

Memory only; `group_log.py` makes it durable. Of two commits for a partition the one later in the log counts,
also when the earlier is part of a transaction that ends after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from syncline.broker.group_records import Committed

Place = tuple[str, int]
"""Topic and partition."""


class Kept(NamedTuple):
    """A commit and where its record lies in the log."""

    committed: Committed
    position: int


class Offsets:
    """Offsets by group and partition. Used from one thread only."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[Place, Kept]] = {}
        self.pending: dict[int, dict[str, dict[Place, Kept]]] = {}
        """By producer id and group: what its open transaction committed."""

    def groups(self) -> set[str]:
        """Groups with offsets, pending ones included."""
        return {*self._groups, *(group for waiting in self.pending.values() for group in waiting)}

    def of(self, group: str) -> Mapping[Place, Committed]:
        """What counts for a group."""
        return MappingProxyType({place: kept.committed for place, kept in self._groups.get(group, {}).items()})

    def get(self, group: str, place: Place) -> Committed | None:
        """What counts for one partition."""
        kept = self._groups.get(group, {}).get(place)
        return None if kept is None else kept.committed

    def pending_in(self, group: str, place: Place) -> bool:
        """Whether an open transaction holds an offset for the partition (KIP-447)."""
        return any(place in waiting.get(group, {}) for waiting in self.pending.values())

    def put(self, group: str, place: Place, committed: Committed, position: int) -> None:
        """A commit that counts at once; `position` is its offset in the log."""
        self._groups.setdefault(group, {})[place] = Kept(committed, position)

    def put_pending(self, producer_id: int, group: str, place: Place, committed: Committed, position: int) -> None:
        """A commit that counts once the producer's transaction commits."""
        waiting = self.pending.setdefault(producer_id, {})
        waiting.setdefault(group, {})[place] = Kept(committed, position)

    def complete(self, producer_id: int, commit: bool, among: Callable[[str], bool] = lambda group: True) -> None:
        """The producer's transaction ended for these groups: what it held for them counts now, or never did."""
        waiting = self.pending.get(producer_id, {})
        ended = {group: waiting.pop(group) for group in list(waiting) if among(group)}
        if not waiting:
            self.pending.pop(producer_id, None)
        for group, places in ended.items():
            if not commit:
                continue
            known = self._groups.setdefault(group, {})
            for place, kept in places.items():
                if place not in known or known[place].position < kept.position:
                    known[place] = kept

    def remove(self, group: str, places: Iterable[Place]) -> None:
        """Forget offsets, pending ones too."""
        holders = [self._groups, *self.pending.values()]
        for place in places:
            for holder in holders:
                holder.get(group, {}).pop(place, None)
        for holder in holders:
            if group in holder and not holder[group]:
                del holder[group]
        for producer_id in [producer_id for producer_id, waiting in self.pending.items() if not waiting]:
            del self.pending[producer_id]

    def places(self, group: str) -> set[Place]:
        """Every partition the group has an offset for, pending ones included."""
        return {place for holder in (self._groups, *self.pending.values()) for place in holder.get(group, {})}
