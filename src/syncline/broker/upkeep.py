"""What the broker does unasked, again and again: flushing, retention, compaction, time-outs, idle connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from syncline.broker.cleaner import Cleaner
from syncline.broker.files import OpenFiles
from syncline.broker.flusher import Flusher

log = logging.getLogger(__name__)

IDLE_FILES: Final = 60.0
"""Seconds after which files that nobody uses are closed."""
LONGEST_LOOK: Final = 15.0
"""Seconds between two looks at connections, at most; they are looked at four times in their idle time."""
SHORTEST_PAUSE: Final = 0.01
"""Seconds between two rounds, also where a setting says 0: requests want to be answered meanwhile."""


class Upkeep:
    """The broker's rounds, each at its own pace, from `start` to `stop`; one that fails holds up no other."""

    def __init__(self, broker: Any, flusher: Flusher, files: OpenFiles) -> None:
        self._broker = broker
        self._settings = broker.settings
        self._flusher = flusher
        self._files = files
        self._cleaner = Cleaner(broker.topics, broker.folder)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin all rounds, on the running loop."""
        rounds = [
            self._again(self._flusher.flush, lambda: self._seconds("flush.interval.ms")),
            self._again(self._end_transactions, lambda: self._seconds("flush.interval.ms")),
            self._again(self._expire, lambda: self._seconds("log.retention.check.interval.ms")),
            self._again(self._close_idle_files, lambda: IDLE_FILES),
        ]
        if self._settings.flag("log.cleaner.enable"):
            rounds.append(self._again(self._compact, lambda: self._seconds("log.cleaner.backoff.ms")))
        if self._longest_idle >= 0:
            rounds.append(self._again(self._drop_idle, lambda: min(self._longest_idle / 4, LONGEST_LOOK)))
        self._tasks = [asyncio.get_running_loop().create_task(each) for each in rounds]

    async def stop(self) -> None:
        """End them; what is under way on a thread is waited for."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    @staticmethod
    async def _again(work: Callable[[], Awaitable[None]], pause: Callable[[], float]) -> None:
        while True:
            await asyncio.sleep(max(pause(), SHORTEST_PAUSE))
            try:
                await work()
            except Exception:
                # Whatever it was: a broker that flushes, or expires, nothing any more is worse than one that says so.
                log.exception("upkeep (%s) failed; it is tried again", work.__name__.lstrip("_"))

    def _seconds(self, name: str) -> float:
        return float(self._settings.number(name)) / 1000

    @property
    def _longest_idle(self) -> float:
        return self._seconds("connections.max.idle.ms")

    async def _drop_idle(self) -> None:
        """Close connections that have been silent for `connections.max.idle.ms`; half-open ones end here too."""
        before = asyncio.get_running_loop().time() - self._longest_idle
        for connection in [each for each in self._broker.connections if each.idle_since() < before]:
            log.info("client %s was idle for %d ms; closing its connection", connection.host, self._longest_idle * 1000)
            connection.close()

    async def _close_idle_files(self) -> None:
        self._files.age()

    async def _end_transactions(self) -> None:
        """Abort those that are open for too long, and finish what the disk did not let finish."""
        self._broker.transactions.expire()

    async def _expire(self) -> None:
        """Retention, of records and of what is known of their producers."""
        now_ms = self._broker.now_ms()
        self._cleaner.expire(now_ms)
        before = now_ms - self._settings.number("producer.id.expiration.ms")
        for partition in self._broker.topics.logs():
            partition.producers.expire(before)

    async def _compact(self) -> None:
        await self._cleaner.compact(self._broker.now_ms())
