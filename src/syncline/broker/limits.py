"""How much one broker takes on at once: connections, by address and in all, and bytes of requests being received."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final, Protocol

from syncline.broker.configs import Settings
from syncline.broker.errors import BrokerError

log = logging.getLogger(__name__)

MOST_HELD: Final = 512
"""Connections that wait for another to end; beyond these, new ones are closed."""


class Held(Protocol):
    """What can be made to wait."""

    host: str

    def hold(self) -> None:
        """Stop reading."""
        ...

    def go_on(self) -> None:
        """Read again."""
        ...

    def close(self) -> None: ...


class Admission:
    """`max.connections` and `max.connections.per.ip`: one address too often is closed, one too many waits its turn."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.number("max.connections")
        self._most_per_host = settings.number("max.connections.per.ip")
        self._overrides = _overrides(settings.text("max.connections.per.ip.overrides"))
        self._by_host: Counter[str] = Counter()
        self._admitted: set[Held] = set()
        self._held: deque[Held] = deque()

    @property
    def held(self) -> int:
        """Connections that wait to be admitted."""
        return len(self._held)

    def arrived(self, connection: Held) -> None:
        """Count a new connection, let it wait, or close it."""
        self._by_host[connection.host] += 1
        most = self._overrides.get(connection.host, self._most_per_host)
        if self._by_host[connection.host] > most:
            log.warning("client %s has %d connections, as many as max.connections.per.ip allows", connection.host, most)
            connection.close()
        elif len(self._admitted) < self._most:
            self._admitted.add(connection)
        elif len(self._held) < MOST_HELD:
            log.warning("max.connections=%d is reached; client %s waits", self._most, connection.host)
            connection.hold()
            self._held.append(connection)
        else:
            log.warning("client %s: too many wait already; closing its connection", connection.host)
            connection.close()

    def left(self, connection: Held) -> None:
        """Forget a connection; the one that has waited longest takes its place."""
        self._by_host[connection.host] -= 1
        if not self._by_host[connection.host]:
            del self._by_host[connection.host]
        if connection in self._held:
            self._held.remove(connection)
        self._admitted.discard(connection)
        while self._held and len(self._admitted) < self._most:
            following = self._held.popleft()
            self._admitted.add(following)
            following.go_on()


def _overrides(text: str) -> Mapping[str, int]:
    found = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        host, _, count = entry.rpartition(":")
        if not host or not count.isdecimal():
            raise BrokerError(f"max.connections.per.ip.overrides: {entry!r} is not of the form address:count")
        found[host] = int(count)
    return found


class RequestMemory:
    """`queued.max.request.bytes`: while requests hold that much, no further large one is begun to be received.

    As Kafka's, it gives to whoever asks while anything is left, so that a large request cannot starve; what was
    begun goes on, so that two halves never wait for each other.
    """

    def __init__(self, size: int) -> None:
        self._bounded = size > 0
        self._left = size
        self._waiting: deque[Held] = deque()

    @property
    def waiting(self) -> int:
        """Connections that may not begin to send a large request."""
        return len(self._waiting)

    def take(self, count: int, connection: Held) -> bool:
        """Whether a request of `count` bytes may be received; if not, `connection` is told to go on later."""
        if self._bounded and self._left <= 0:
            self._waiting.append(connection)
            return False
        self._left -= count
        return True

    def give(self, count: int) -> None:
        """A request of `count` bytes is done with."""
        self._left += count
        while self._waiting and self._left > 0:
            self._waiting.popleft().go_on()

    def forget(self, connection: Held) -> None:
        """A connection that ended waits no longer."""
        if connection in self._waiting:
            self._waiting.remove(connection)
