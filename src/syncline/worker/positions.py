"""How far a sink task has come in each partition: owned, delivered, committed. Pure."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from syncline.ids import TopicPartition

log = logging.getLogger(__name__)


class Positions:
    """Offsets are of the next record to read. One thread only."""

    def __init__(self) -> None:
        self.owned: set[TopicPartition] = set()
        self._delivered: dict[TopicPartition, int] = {}
        self._base: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}

    def gained(self, partitions: Collection[TopicPartition]) -> None:
        """These are now the task's; what was known of them before is void."""
        self._forget(partitions)
        self.owned |= set(partitions)

    def gave_up(self, partitions: Collection[TopicPartition]) -> None:
        """These are no longer the task's."""
        self._forget(partitions)
        self.owned -= set(partitions)

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        for partition in partitions:
            for known in (self._delivered, self._base, self._committed):
                known.pop(partition, None)

    def started(self, starts: Mapping[TopicPartition, int]) -> None:
        """Reading of these partitions began at these offsets."""
        self._base = {**{tp: offset for tp, offset in starts.items() if tp in self.owned}, **self._base}

    def delivered(self, positions: Mapping[TopicPartition, int]) -> None:
        """The task has taken everything before these offsets."""
        self._delivered |= {tp: offset for tp, offset in positions.items() if tp in self.owned}

    def reached(self, partitions: Collection[TopicPartition] | None = None) -> dict[TopicPartition, int]:
        """How far the task has come in `partitions`, or in all; those of which nothing was read are left out."""
        return {tp: offset for tp, offset in self._delivered.items() if partitions is None or tp in partitions}

    def to_commit(
        self, stated: Mapping[TopicPartition, int], reached: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """What to commit of what the task states as safe: nothing it does not own or has not been given.

        Empty when all of it is committed already.
        """
        wanted = {}
        for partition, offset in stated.items():
            if partition not in self.owned:
                log.warning("ignoring offset %d for %s, which is not assigned", offset, partition)
            elif partition in reached and not 0 <= offset <= reached[partition]:
                log.warning("ignoring offset %d for %s, read up to %d", offset, partition, reached[partition])
            elif partition in reached:
                wanted[partition] = offset
        return {} if all(self._committed.get(tp) == offset for tp, offset in wanted.items()) else wanted

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The group has taken these offsets."""
        mine = {tp: offset for tp, offset in offsets.items() if tp in self.owned}
        self._committed |= mine
        self._base |= mine

    def rewound(self, offsets: Mapping[TopicPartition, int]) -> None:
        """The task is given these partitions again from these offsets."""
        self._delivered |= {tp: offset for tp, offset in offsets.items() if tp in self.owned}

    def back_to_committed(self) -> dict[TopicPartition, int]:
        """Where to read on so that everything since the last commit comes again."""
        return {tp: self._base[tp] for tp in self._delivered if tp in self._base}
