"""One thing at a time per connector, so that a connector that hangs delays nobody but itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from syncline.cluster.progress import Progress, current
from syncline.errors import ConnectError
from syncline.ids import ConnectorName

CLOSED: Final = "Worker is shutting down"


@dataclass(slots=True)
class _Lane:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    """Who is in it or waits for it; an unused lane is thrown away."""
    holder: Progress | None = None


class Lanes:
    """Locks by connector name; whoever is in a lane must not enter it again."""

    def __init__(self) -> None:
        self._lanes: dict[ConnectorName, _Lane] = {}
        self._changed = threading.Condition()
        self._closed = False

    @contextmanager
    def of(self, name: ConnectorName) -> Iterator[None]:
        """Alone with the connector; ConnectError when the worker is shutting down."""
        lane = self._enter(name)
        try:
            with current().behind(lane.holder):
                lane.lock.acquire()
            lane.holder = current()
            try:
                self._refuse_when_closed()
                yield
            finally:
                lane.holder = None
                lane.lock.release()
        finally:
            self._leave(name, lane)

    def _enter(self, name: ConnectorName) -> _Lane:
        with self._changed:
            self._refuse_when_closed()
            lane = self._lanes.setdefault(name, _Lane())
            lane.users += 1
            return lane

    def _leave(self, name: ConnectorName, lane: _Lane) -> None:
        with self._changed:
            lane.users -= 1
            if not lane.users:
                del self._lanes[name]
                self._changed.notify_all()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise ConnectError(CLOSED)

    def close(self, seconds: float) -> None:
        """Let nobody in any more, and wait at most `seconds` for those inside."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._lanes, seconds)
