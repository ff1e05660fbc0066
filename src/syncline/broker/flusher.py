"""Makes durable in the background what was appended, by the policy `flush`.

- `always`: every append is synced before it is acknowledged, so there is little left to do here;
- `interval`: what was appended is synced every `flush.interval.ms`, which bounds what a power cut can take;
- `never`: the operating system decides, as with Kafka; only segments that no longer grow are synced.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Final

from syncline.broker.log import PartitionLog, Sync

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Logs whose descriptors are held at a time."""


class Flusher:
    """Used from the broker's event loop; waits for the disk on threads."""

    def __init__(self, policy: str) -> None:
        self.due: set[PartitionLog] = set()
        """Logs with something to sync; they put themselves here."""
        self._active = policy != "never"

    async def flush(self) -> None:
        """Sync what is due. What the disk refuses is logged and stays due."""
        waiting = list(self.due)
        for start in range(0, len(waiting), AT_ONCE):
            await self._flush(waiting[start : start + AT_ONCE])

    async def _flush(self, logs: Sequence[PartitionLog]) -> None:
        begun: list[tuple[PartitionLog, list[Sync]]] = []
        for partition in logs:
            if not partition.closed:
                try:
                    begun.append((partition, partition.begin_sync(active=self._active)))
                except OSError as exc:
                    self._refused(partition, exc)
        loop = asyncio.get_running_loop()
        syncing = loop.run_in_executor(None, _sync, [syncs for _, syncs in begun])
        try:
            errors = await asyncio.shield(syncing)
        except asyncio.CancelledError:
            errors = await syncing  # the thread holds the descriptors until then
            self._end(begun, errors)
            raise
        self._end(begun, errors)

    def _end(self, begun: Sequence[tuple[PartitionLog, list[Sync]]], errors: Sequence[OSError | None]) -> None:
        for (partition, syncs), error in zip(begun, errors, strict=True):
            if error is None:
                partition.end_sync(syncs)
            else:
                partition.abandon_sync(syncs)
                self._refused(partition, error)

    @staticmethod
    def _refused(partition: PartitionLog, exc: OSError) -> None:
        log.error("%s cannot be synced: %s; it is tried again", partition.folder.name, exc)


def _sync(work: Sequence[Sequence[Sync]]) -> list[OSError | None]:
    return [_synced(syncs) for syncs in work]


def _synced(syncs: Sequence[Sync]) -> OSError | None:
    try:
        for each in syncs:
            if each.segment is None:
                os.fsync(each.descriptor)
            else:
                os.fdatasync(each.descriptor)
    except OSError as exc:
        return exc
    return None
