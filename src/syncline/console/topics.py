"""Topics and their records, read without a group, so that nobody's offsets are touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import NotFound
from syncline.ids import TopicPartition

RECORDS_A_PAGE: Final = 50
LONGEST_WAIT_SECONDS: Final = 3.0
"""For records that ought to be there; the last ones of a partition may be markers, which never come."""


class Facts(Protocol):
    """What is looked at of a topic."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    @property
    def internal(self) -> bool: ...


class RawRecord(Protocol):
    """What is looked at of a record."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


class Reader(Protocol):
    """Reads one cluster for one request."""

    def topics(self) -> Sequence[Facts]: ...
    def watermarks(self, partition: TopicPartition) -> tuple[int, int]: ...
    def assign(self, partition: TopicPartition, offset: int) -> None: ...
    def read(self, count: int, seconds: float) -> Sequence[RawRecord]: ...


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its first offset and the next to be written."""

    number: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record as text."""

    offset: int
    time: str
    key: str | None
    value: str | None
    """Of a value with its schema in it, the value alone."""
    schema: str | None
    headers: Sequence[tuple[str, str | None]]


class Topics:
    """The topics of one cluster."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Reader]], clock: Clock = SYSTEM_CLOCK) -> None:
        """`opened` makes a reader and closes it afterwards."""
        self._opened = opened
        self._clock = clock

    def all(self) -> list[Facts]:
        """Every topic by name, internal ones last. ConnectError when the cluster does not answer."""
        with self._opened() as reader:
            return sorted(reader.topics(), key=lambda topic: (topic.internal, topic.name))

    def partitions(self, topic: str) -> list[Partition]:
        """NotFound, ConnectError."""
        with self._opened() as reader:
            found = next((facts for facts in reader.topics() if facts.name == topic), None)
            if found is None:
                raise NotFound(f"There is no topic called {topic!r} here")
            return [
                Partition(number, *reader.watermarks(TopicPartition(topic, number)))
                for number in range(found.partitions)
            ]

    def records(self, topic: str, partition: Partition, first: int) -> list[Record]:
        """At most a page of records from offset `first` on; those of transactions that were aborted do not show."""
        start = max(first, partition.first)
        found: list[RawRecord] = []
        if start >= partition.end:
            return []
        with self._opened() as reader:
            reader.assign(TopicPartition(topic, partition.number), start)
            deadline = self._clock.monotonic() + LONGEST_WAIT_SECONDS
            while len(found) < RECORDS_A_PAGE and self._clock.monotonic() < deadline:
                found += reader.read(RECORDS_A_PAGE - len(found), 0.2)
                if found and found[-1].offset >= partition.end - 1:
                    break
        return [_shown(record) for record in found]


def _shown(record: RawRecord) -> Record:
    when = record.timestamp
    time = "" if when is None else datetime.fromtimestamp(when / 1_000, UTC).isoformat(" ", "milliseconds")
    headers = [(name, _text(value)) for name, value in record.headers or ()]
    key, _ = _unwrapped(record.key)
    value, schema = _unwrapped(record.value)
    return Record(record.offset, time.removesuffix("+00:00"), key, value, schema, headers)


def _unwrapped(raw: bytes | None) -> tuple[str | None, str | None]:
    """The payload and the schema of Kafka Connect's JSON envelope; anything else as `_text` has it."""
    try:
        envelope = json.loads(raw or b"")
    except (ValueError, RecursionError):
        return _text(raw), None
    if not isinstance(envelope, dict) or envelope.keys() != {"schema", "payload"}:
        return _text(raw), None
    return _laid_out(envelope["payload"]), _laid_out(envelope["schema"])


def _text(raw: bytes | None) -> str | None:
    """JSON laid out, other text as it is, and what is no text as hexadecimal digits."""
    if raw is None:
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw.hex(" ")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _laid_out(value) if isinstance(value, dict | list) else text


def _laid_out(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
