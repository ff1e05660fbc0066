"""Dead letters of services and of sink connectors: where each record came from, why it is here, and back again.

Whoever replays or discards commits that as the group `<topic>.replay`, so that it is done once; a crash in the middle
may send the last few a second time, with the headers they had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from syncline.errors import ConnectError, RetriableError
from syncline.ids import TopicPartition

if TYPE_CHECKING:
    from syncline.app import KafkaConsumer, KafkaProducer, KafkaRecord

SERVICES: Final = "dlt-"
CONNECT: Final = "__connect.errors."
SUFFIX: Final = ".dlt"
"""Of the topics that services make; those of connectors have any name."""
_TOGETHER: Final = 100
_READ_SECONDS: Final = 0.2
_SEND_SECONDS: Final = 30

_SAID: Final[Mapping[str, tuple[str, str]]] = {
    "topic": (f"{SERVICES}original-topic", f"{CONNECT}topic"),
    "partition": (f"{SERVICES}original-partition", f"{CONNECT}partition"),
    "offset": (f"{SERVICES}original-offset", f"{CONNECT}offset"),
    "who": (f"{SERVICES}group", f"{CONNECT}connector.name"),
    "error": (f"{SERVICES}exception-class", f"{CONNECT}exception.class.name"),
    "reason": (f"{SERVICES}exception-message", f"{CONNECT}exception.message"),
    "trace": (f"{SERVICES}exception-trace", f"{CONNECT}exception.stacktrace"),
    "first_failure": (f"{SERVICES}first-failure", ""),
    "attempts": (f"{SERVICES}attempts", ""),
}
"""What headers tell, as services and as Kafka Connect name it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One record that could not be taken."""

    record: KafkaRecord
    about: Mapping[str, str]
    """By the names of `_SAID`; what no header tells is missing."""

    @classmethod
    def of(cls, record: KafkaRecord) -> Letter:
        told = {name: (raw or b"").decode(errors="replace") for name, raw in record.headers or ()}
        about = {what: told[name] for what, names in _SAID.items() for name in names if name in told}
        return cls(record, about)

    @property
    def place(self) -> str:
        """Where the letter stands."""
        return f"{self.record.topic}-{self.record.partition}@{self.record.offset}"

    @property
    def origin(self) -> str:
        """Where the record stood, as far as it is known."""
        return f"{self.about.get('topic', '?')}-{self.about.get('partition', '?')}@{self.about.get('offset', '?')}"

    @property
    def own_headers(self) -> list[tuple[str, bytes | None]]:
        """Without those that came with the failure."""
        return [(name, raw) for name, raw in self.record.headers or () if not name.startswith((SERVICES, CONNECT))]

    def plain(self) -> dict[str, Any]:
        """As JSON shows it; bytes that are no text with replacement characters."""
        return {
            "topic": self.record.topic,
            "partition": self.record.partition,
            "offset": self.record.offset,
            "timestamp": self.record.timestamp,
            "about": dict(self.about),
            "key": _text(self.record.key),
            "value": _text(self.record.value),
            "headers": [[name, _text(raw)] for name, raw in self.own_headers],
        }


class Letters:
    """The dead letters of one topic that were neither replayed nor discarded."""

    def __init__(self, consumer: KafkaConsumer, topic: str, partitions: int) -> None:
        self._consumer = consumer
        places = [TopicPartition(topic, number) for number in range(partitions)]
        done = consumer.committed(places)
        bounds = {place: consumer.watermarks(place) for place in places}
        self._next = {place: max(done.get(place, 0), low) for place, (low, _) in bounds.items()}
        self._ends = {place: high for place, (_, high) in bounds.items()}

    @property
    def waiting(self) -> int:
        """How many at most: the marks of transactions count."""
        return sum(max(self._ends[place] - offset, 0) for place, offset in self._next.items())

    def read(self) -> Iterator[list[Letter]]:
        """Those that are there now, some at a time."""
        places = {place: offset for place, offset in self._next.items() if offset < self._ends[place]}
        if not places:
            return
        self._consumer.assign(places)
        while places:
            found = self._consumer.read(_TOGETHER, _READ_SECONDS)
            letters = [
                Letter.of(record)
                for record in found
                if record.offset < self._ends[TopicPartition(record.topic, record.partition)]
            ]
            if letters:
                yield letters
            for place in list(places):
                reached = self._consumer.ended_at(place)
                last = max((record.offset + 1 for record in found if record.partition == place.partition), default=0)
                if last >= self._ends[place] or (reached is not None and reached >= self._ends[place]):
                    del places[place]

    def dealt_with(self, letters: list[Letter]) -> None:
        """Never show them again."""
        offsets: dict[TopicPartition, int] = {}
        for letter in letters:
            place = TopicPartition(letter.record.topic, letter.record.partition)
            offsets[place] = max(offsets.get(place, 0), letter.record.offset + 1)
        if offsets:
            self._consumer.commit(offsets)

    def discard(self) -> int:
        """Deal with all of them by doing nothing; how many."""
        count = self.waiting
        if count:
            self._consumer.commit(self._ends)
        return count


@contextmanager
def letters_of(properties: Mapping[str, str], topic: str) -> Iterator[Letters]:
    """ConnectError when there is no such topic."""
    from syncline.app import kafka_tool_admin, kafka_tool_consumer

    facts = kafka_tool_admin(properties).topic(topic)
    if facts is None:
        raise ConnectError(f"topic {topic} does not exist; `syncline dead-letters list` shows those that do")
    reading = {"group.id": f"{topic}.replay", "enable.partition.eof": "true", "isolation.level": "read_committed"}
    consumer = kafka_tool_consumer({**properties, **reading})
    try:
        yield Letters(consumer, topic, facts.partitions)
    finally:
        consumer.close()


def replay(
    properties: Mapping[str, str],
    letters: Letters,
    *,
    to: str | None,
    most: int | None,
    tell: Callable[[Letter, str], None],
) -> int:
    """Send records back to where they came from, or to the topic `to`; how many.

    ConnectError for one of which nobody knows where it came from, and when the broker does not confirm; those before
    it are dealt with.
    """
    from syncline.app import kafka_tool_producer

    producer = kafka_tool_producer({**properties, "acks": "all", "enable.idempotence": "true"})
    sent = 0
    try:
        for found in letters.read():
            some = found if most is None else found[: most - sent]
            targets = [(letter, to or letter.about.get("topic", "")) for letter in some]
            # A partition is dealt with up to an offset: nothing behind the first unknown one may be.
            lost = next((number for number, (_, target) in enumerate(targets) if not target), len(targets))
            _send(producer, targets[:lost])
            letters.dealt_with(some[:lost])
            for letter, target in targets[:lost]:
                tell(letter, target)
            sent += lost
            if lost < len(targets):
                raise ConnectError(
                    f"{some[lost].place} has no header that tells where it came from; give the topic with --to"
                )
            if most is not None and sent >= most:
                break
    finally:
        producer.close(0)
    return sent


def _send(producer: KafkaProducer, letters: Sequence[tuple[Letter, str]]) -> None:
    """ConnectError unless the broker has all of them."""
    refused: list[Exception] = []

    def report(error: Exception | None, _: object) -> None:
        if error is not None:
            refused.append(error)

    for letter, target in letters:
        record = letter.record
        producer.send(target, record.key, record.value, headers=letter.own_headers, on_delivery=report)
    if not producer.flush(_SEND_SECONDS):
        raise RetriableError(f"the broker did not confirm within {_SEND_SECONDS} s; the records may be sent again")
    if refused:
        raise ConnectError(f"the broker refused a record: {refused[0]}") from refused[0]


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")
