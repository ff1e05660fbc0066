"""Makes durable in the background what was appended, by the policy `flush`.

- `always`: every append is synced before it is acknowledged, so there is little left to do here;
- `interval`: what was appended is synced every `flush.interval.ms`, which bounds what a power cut can take;
- `never`: the operating system decides, as with Kafka; only segments that no longer grow are synced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from syncline.broker.files import OpenFiles
from syncline.broker.log import PartitionLog, Sync

log = logging.getLogger(__name__)


class Flusher:
    """Used from the broker's event loop; waits for the disk on threads."""

    def __init__(self, policy: str, files: OpenFiles) -> None:
        self.due: set[PartitionLog] = set()
        """Logs with something to sync; they put themselves here."""
        self._active = policy != "never"
        self._at_once = max(files.most // 2, 1)
        """Descriptors to hold at a time, or one log's."""

    async def flush(self) -> None:
        """Sync what is due. What the disk refuses is logged and stays due."""
        waiting = list(self.due)
        while waiting:
            await self._flush(waiting)

    async def _flush(self, waiting: list[PartitionLog]) -> None:
        """Take some logs from those that wait, and sync them."""
        begun: list[tuple[PartitionLog, list[Sync]]] = []
        held = 0
        while waiting and held < self._at_once:
            partition = waiting.pop()
            if not partition.closed:
                try:
                    syncs = partition.begin_sync(active=self._active)
                except OSError as exc:
                    self._refused(partition, exc)
                else:
                    held += len(syncs)
                    begun.append((partition, syncs))
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
            each.run()
    except OSError as exc:
        return exc
    return None
