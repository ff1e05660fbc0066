"""One connection of a task: opened with patience, checked after idling, opened again when it is lost."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any, Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.connectors.jdbc.dialect import Dialect
from syncline.connectors.jdbc.refusal import Refusal, Refused, Unreachable
from syncline.connectors.jdbc.settings import Settings
from syncline.errors import ConnectError

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 5.0
"""A connection that was not used for so long is asked whether it is alive before it is used."""
LONGEST_PAUSE: Final = 10
"""Pauses double up to so many times the first one."""


def pause_ms(first_ms: int, failures: int) -> int:
    """How long to wait after so many failures (from 1): doubling, with a fifth more or less by chance.

    Tasks that lost the same database at the same moment do not all come back at the same moment.
    """
    factor = min(1 << min(failures - 1, 16), LONGEST_PAUSE)
    return round(first_ms * factor * random.uniform(0.8, 1.2))  # noqa: S311  # jitter


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
        self._backoff_ms = backoff_ms
        self._stopping = stopping or threading.Event()
        self._clock = clock
        self._connection: Any = None
        self._used = 0.0
        self.on_connect: Callable[[], None] = lambda: None
        """Called after each new connection, so that what was prepared on the old one is forgotten."""

    def get(self) -> Any:
        """A live DB-API connection; ConnectError when there is none after all attempts."""
        for attempt in range(1, self._attempts + 1):
            try:
                return self.try_get()
            except Refused as exc:
                last = exc
                log.warning("%s (attempt %d of %d)", exc, attempt, self._attempts)
            pause = pause_ms(self._backoff_ms, attempt) / 1000
            if attempt < self._attempts and self._clock.wait(self._stopping, pause):
                break
        raise ConnectError(str(last)) from last

    def try_get(self) -> Any:
        """A live DB-API connection, opened with one attempt.

        Raises Unreachable when that fails, of kind AWAY unless another attempt would fail as well.
        """
        if self._connection is not None and self._clock.monotonic() - self._used > IDLE_SECONDS:
            with self.dialect.refusing():
                alive = self.dialect.alive(self._connection)
            if not alive:
                self.drop()
        if self._connection is None:
            try:
                self._connection = self.dialect.connect(self.settings)
            except Refused as exc:
                raise Unreachable(
                    f"Could not connect to database {self.settings.url.masked}: {exc}",
                    # An account or a database that is not known will not be known the next time either.
                    Refusal.SCHEMA if exc.kind is Refusal.SCHEMA else Refusal.AWAY,
                    state=exc.state,
                    code=exc.code,
                ) from exc
            self.on_connect()
        self._used = self._clock.monotonic()
        return self._connection

    def commit(self) -> None:
        """Commit the open transaction; Refused when that fails."""
        with self.dialect.refusing():
            self._connection.commit()
        self._used = self._clock.monotonic()

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
