"""Which source offsets are safe to commit; pure.

The producer keeps the order per partition and reports only failures, so a flush that returns in time says that
everything before it is acknowledged. The ledger therefore counts in generations: what was sent before a flush began
may be committed after it ended, what was sent meanwhile waits for the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syncline.stores.codec import canonical

Flat = Mapping[str, Any]


class Ledger:
    """Offsets of sent records, the latest per source partition."""

    def __init__(self) -> None:
        self._sent: dict[bytes, tuple[Flat, Flat | None]] = {}
        self._keys: dict[int, tuple[Flat, bytes]] = {}

    def sent(self, partition: Flat | None, offset: Flat | None) -> None:
        """A record of this source partition was handed to the producer, or dropped by a transform."""
        if partition is None:
            return
        # Tasks hand out the same partition object again and again; its key is computed once.
        known = self._keys.get(id(partition))
        if known is None or known[0] is not partition:
            if len(self._keys) > 10_000:
                self._keys.clear()
            known = self._keys[id(partition)] = (partition, canonical("", partition))
        self._sent[known[1]] = (partition, offset)

    def take(self) -> list[tuple[Flat, Flat | None]]:
        """What was sent so far; call before the flush whose success makes it committable."""
        taken, self._sent = list(self._sent.values()), {}
        return taken

    def give_back(self, taken: list[tuple[Flat, Flat | None]]) -> None:
        """The flush did not end in time: what was taken waits for the next, unless overtaken since."""
        newer = self._sent
        self._sent = {canonical("", partition): (partition, offset) for partition, offset in taken}
        self._sent.update(newer)

    def __len__(self) -> int:
        return len(self._sent)
