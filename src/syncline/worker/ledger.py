"""Which source offsets are safe to commit; pure.

A record's offset may be committed once the record and all earlier ones of its source partition are in Kafka.
The producer reports failures only, and failures end the task or are tolerated; so the moment when nothing is
outstanding says that everything sent before is settled, without a report per record. Between two such moments
offsets wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from syncline.stores.codec import Flat, canonical

Offsets = Sequence[tuple[Flat, Flat | None]]

_REMEMBERED: Final = 10_000
"""Partition objects whose canonical form is kept."""


class Ledger:
    """The latest offset per source partition: sent, settled, committed. One thread only."""

    def __init__(self) -> None:
        self._sent: dict[bytes, tuple[Flat, Flat | None]] = {}
        self._settled: dict[bytes, tuple[Flat, Flat | None]] = {}
        self._keys: dict[int, tuple[Mapping[str, Any], bytes]] = {}

    def sent(self, partition: Flat | None, offset: Flat | None) -> None:
        """The next record of this source partition went to the producer, or was dropped on the way."""
        if partition is None:
            return
        self._sent[self._key(partition)] = (partition, offset)

    def settle(self) -> None:
        """Nothing is outstanding: whatever was sent is in Kafka, or its loss is tolerated."""
        self._settled |= self._sent
        self._sent = {}

    def committable(self) -> Offsets:
        """Settled offsets that were not committed, the latest per partition."""
        return list(self._settled.values())

    def committed(self, offsets: Offsets) -> None:
        """These offsets are stored; what settled since stays."""
        for partition, offset in offsets:
            key = canonical(partition)
            if self._settled.get(key) == (partition, offset):
                del self._settled[key]

    @property
    def waiting(self) -> bool:
        """Whether offsets wait for their records to be acknowledged."""
        return bool(self._sent)

    def _key(self, partition: Flat) -> bytes:
        # Tasks hand out the same partition object again and again. The object is kept beside its key, for an
        # id alone may be given to another object once the first is gone.
        known = self._keys.get(id(partition))
        if known is None or known[0] is not partition:
            if len(self._keys) >= _REMEMBERED:
                self._keys.clear()
            known = self._keys[id(partition)] = (partition, canonical(partition))
        return known[1]
