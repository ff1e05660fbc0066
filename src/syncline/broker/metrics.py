"""What the broker did, counted for `metrics_text`: a few additions per request and per batch, nothing per record."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BOUNDS_MS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 5000)


@dataclass(slots=True)
class Requests:
    """Of one API in one version."""

    milliseconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))


@dataclass(slots=True)
class TopicTraffic:
    """Of one topic."""

    messages_in: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refused: int = 0


class Metrics:
    """Counters since the start; owned by the broker's event loop."""

    def __init__(self) -> None:
        self.requests: dict[tuple[int, int], Requests] = {}
        """By API and version."""
        self.topics: dict[str, TopicTraffic] = {}
        self.bytes_received = 0
        self.bytes_sent = 0
        self.connections: Counter[str] = Counter()
        """Ever made, by listener."""
        self.authentications: Counter[tuple[str, str]] = Counter()
        """By listener and outcome, `successful` or `failed`."""

    def request(self, api_key: int, version: int, seconds: float) -> None:
        """A request was answered, `seconds` after it was begun."""
        found = self.requests.get((api_key, version))
        if found is None:
            found = self.requests[api_key, version] = Requests()
        milliseconds = seconds * 1000
        found.milliseconds += milliseconds
        found.buckets[bisect_left(BOUNDS_MS, milliseconds)] += 1

    def produced(self, topic: str, messages: int, size: int) -> None:
        """Batches were appended."""
        found = self._of(topic)
        found.messages_in += messages
        found.bytes_in += size

    def refused(self, topic: str) -> None:
        """Records for a partition were not taken."""
        self._of(topic).refused += 1

    def fetched(self, topic: str, size: int) -> None:
        """Batches were sent to a consumer."""
        self._of(topic).bytes_out += size

    def _of(self, topic: str) -> TopicTraffic:
        found = self.topics.get(topic)
        if found is None:
            found = self.topics[topic] = TopicTraffic()
        return found
