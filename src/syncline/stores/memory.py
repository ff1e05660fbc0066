"""Source offsets in memory, for tests."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from syncline.stores.offsets import OffsetStore


class MemoryOffsets(OffsetStore):
    """Gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[bytes, bytes | None] = {}

    def load(self) -> Mapping[bytes, bytes | None]:
        with self._lock:
            return dict(self._entries)

    def save(self, entries: Mapping[bytes, bytes | None]) -> None:
        with self._lock:
            self._entries.update(entries)
