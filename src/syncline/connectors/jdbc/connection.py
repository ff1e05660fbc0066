"""One connection of a task: opened with patience, checked after idling, opened again when it is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.connectors.jdbc.dialect import Dialect, Refusal, Refused, Settings
from syncline.errors import ConnectError

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 5.0
"""A connection that was not used for so long is asked whether it is alive before it is used."""


class Connection:
    """Used by one thread; `stopping` ends waits early."""

    def __init__(
        self,
        dialect: Dialect,
        settings: Settings,
        *,
        attempts: int,
        backoff_ms: int,
        stopping: threading.Event | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.dialect = dialect
        self.settings = settings
        self._attempts = max(attempts, 1)
        self._backoff_seconds = backoff_ms / 1000
        self._stopping = stopping or threading.Event()
        self._clock = clock
        self._connection: Any = None
        self._used = 0.0
        self.on_connect: Callable[[], None] = lambda: None
        """Called after each new connection, so that what was prepared on the old one is forgotten."""

    def get(self) -> Any:
        """A live DB-API connection; ConnectError when there is none after all attempts."""
        now = self._clock.monotonic()
        if (
            self._connection is not None
            and now - self._used > IDLE_SECONDS
            and not self.dialect.alive(self._connection)
        ):
            self.drop()
        if self._connection is None:
            self._connection = self._open()
            self.on_connect()
        self._used = now
        return self._connection

    def _open(self) -> Any:
        for attempt in range(1, self._attempts + 1):
            try:
                return self.dialect.connect(self.settings)
            except Refused as exc:
                last = exc
                log.warning(
                    "database %s cannot be reached (attempt %d of %d): %s",
                    *(self.settings.url.masked, attempt, self._attempts, exc),
                )
            if attempt < self._attempts and self._clock.wait(self._stopping, self._backoff_seconds):
                break
        raise ConnectError(f"Could not connect to database {self.settings.url.masked}: {last}") from last

    def commit(self) -> None:
        with self.dialect.refusing():
            self._connection.commit()

    def rollback(self) -> None:
        """Undo the open transaction; a connection that cannot is dropped."""
        if self._connection is None:
            return
        try:
            with self.dialect.refusing():
                self._connection.rollback()
        except Refused:
            self.drop()

    def drop(self) -> None:
        """Close without regard; the next `get` opens a new one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            with self.dialect.refusing():
                connection.close()
        except Refused as exc:
            log.debug("closing a lost connection: %s", exc)

    def lost(self, error: Refused) -> bool:
        """Whether an error means that the connection is of no more use."""
        return error.kind is Refusal.AWAY
