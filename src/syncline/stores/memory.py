"""Source offsets in memory, for tests."""

from __future__ import annotations

from collections.abc import Mapping

from syncline.stores.offsets import OffsetStore, OffsetTable


class MemoryOffsets(OffsetStore):
    """Gone with the process."""

    def __init__(self) -> None:
        self.table = OffsetTable()

    def save(self, entries: Mapping[bytes, bytes | None], seconds: float) -> None:
        self.table.absorb(entries)
