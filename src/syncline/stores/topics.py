"""A compacted topic as a log of keys and values: made or checked, read to its end, then followed (spec/connect.md 3.1).

What the broker does to a topic behind our back is put right as far as memory allows: a topic that was deleted is
made again, and what this process knows is written to it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConfigError, ConnectError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.errors import AccessDenied, UnknownTopic
from syncline.kafka.ports import BEGINNING, Admin, Consumer, Delivered, Kafka, KafkaRecord, Producer

log = logging.getLogger(__name__)

READ_COUNT: Final = 1000
READ_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 5.0
"""How often the topic itself is looked at."""
RETRY_SECONDS: Final = 1.0
WRITE_SECONDS: Final = 30.0
"""After so long a write has failed for good, so that nothing refused to a user happens much later."""

_PRODUCER: Final[Mapping[str, str]] = {
    "acks": "all",
    # One after the other instead of idempotent: a record twice means nothing here, and a topic that is made again
    # knows nothing of a producer's earlier records.
    "enable.idempotence": "false",
    "max.in.flight.requests.per.connection": "1",
    "linger.ms": "0",
}
_FOR_EVER: Final = str(2**31 - 1)

Raw = tuple[bytes, bytes | None]
"""Key and value; a value of None deletes the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """What a topic must be like."""

    name: str
    key: str
    """The property that names the topic."""
    purpose: str
    """What is kept in it, for messages."""
    partitions: int = 1
    replication_factor: int = -1
    configs: Mapping[str, str] = field(default_factory=dict)
    """Besides the cleanup policy."""
    single: bool = False
    """More than one partition would lose the order of records."""


class Entry(NamedTuple):
    """One record, as it is read."""

    key: bytes
    value: bytes | None
    own: bool
    """Written by this process."""
    overtaken: bool
    """A later record of this process for the same key is on its way."""
    offset: int


class TopicLog:
    """Writes to the topic and hears, on one thread of its own, of everything anybody writes."""

    def __init__(
        self,
        kafka: Kafka,
        properties: Mapping[str, str],
        plan: TopicPlan,
        absorb: Callable[[Sequence[Entry]], None],
        everything: Callable[[], Iterable[Raw]],
        *,
        patient: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`absorb` hears of records in order; `everything` gives what must stand in a topic that was lost.

        With `patient` a record that cannot be delivered stays queued until it can.
        """
        self.plan = plan
        self._kafka = kafka
        self._properties = properties
        self._absorb = absorb
        self._everything = everything
        self._timeout = _FOR_EVER if patient else str(int(WRITE_SECONDS * 1000))
        self._clock = clock
        self._closing = threading.Event()
        self._moved = threading.Condition()
        self._positions: dict[TopicPartition, int] = {}
        """The next offset to be read of each partition; guarded by `_moved`."""
        self._sent: dict[bytes, deque[bytes | None]] = {}
        """Values of our own that were not yet read back; guarded by `_moved`."""
        self._admin: Admin
        self._producer: Producer
        self._consumer: Consumer
        self._thread = threading.Thread(target=self._follow, name=f"log-{plan.name}", daemon=True)
        self._troubled = False
        self._missing = False

    # -- start and stop -----------------------------------------------------------------------

    def start(self) -> None:
        """Make or check the topic and read it to its end.

        ConfigError when it is not fit for its purpose; RetriableError when the cluster does not answer.
        """
        name = self.plan.name
        self._admin = self._kafka.admin(self._properties)
        partitions = self._prepared()
        self._producer = self._kafka.producer({**self._properties, **_PRODUCER, "delivery.timeout.ms": self._timeout})
        self._consumer = self._kafka.consumer(
            {
                **self._properties,
                "group.id": f"syncline-{name}",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": "false",
                "enable.partition.eof": "true",
            }
        )
        self._from_beginning(partitions)
        self._thread.start()
        self.read_to_end(None)

    def stop(self) -> None:
        """Send what is queued, within a few seconds, and end."""
        self._closing.set()
        if not self._thread.is_alive():
            return
        self._thread.join(2 * RETRY_SECONDS)
        self._producer.close()
        if not self._thread.is_alive():
            self._consumer.close()

    def _prepared(self) -> int:
        """The number of partitions of the topic, which exists now and is fit."""
        plan = self.plan
        facts = self._admin.topic(plan.name)
        if facts is None:
            self._make()
            facts = self._admin.topic(plan.name)
        if facts is None:
            raise RetriableError(f"topic {plan.name} was made and is not to be seen yet")
        if plan.single and facts.partitions != 1:
            raise ConfigError(
                f"Topic '{plan.name}' supplied via the '{plan.key}' property is required to have a single partition in "
                f"order to guarantee consistency of {plan.purpose}, but found {facts.partitions} partitions."
            )
        try:
            policy = self._admin.topic_configs(plan.name, with_defaults=True).get("cleanup.policy", "")
        except AccessDenied as exc:
            log.warning("the settings of topic %s may not be seen, so nobody checks them: %s", plan.name, exc)
            return facts.partitions
        if policy != "compact":
            raise ConfigError(
                f"Topic '{plan.name}' supplied via the '{plan.key}' property is required to have "
                f"'cleanup.policy=compact' to guarantee consistency and durability of {plan.purpose}, but found the "
                f"topic currently has 'cleanup.policy={policy}'. Continuing would likely result in eventually losing "
                f"{plan.purpose}: change the topic's policy, or name another topic."
            )
        return facts.partitions

    def _make(self) -> None:
        plan = self.plan
        try:
            made = self._admin.create_topic(
                plan.name,
                partitions=plan.partitions,
                replication_factor=plan.replication_factor,
                configs={**plan.configs, "cleanup.policy": "compact"},
                exists_ok=True,
            )
        except RetriableError:
            raise
        except ConnectError as exc:
            factor = plan.key.replace(".topic", ".replication.factor")
            raise ConfigError(
                f"topic '{plan.name}' ({plan.key}) cannot be made with {factor}={plan.replication_factor} and "
                f"{plan.partitions} partitions: {exc}"
            ) from exc
        if made:
            log.info("topic %s was made for %s", plan.name, plan.purpose)

    def _from_beginning(self, partitions: int) -> None:
        places = [TopicPartition(self.plan.name, number) for number in range(partitions)]
        with self._moved:
            self._positions = dict.fromkeys(places, 0)
        self._consumer.assign(dict.fromkeys(places, BEGINNING))

    # -- writing ------------------------------------------------------------------------------

    def write(self, entries: Iterable[Raw], seconds: float = WRITE_SECONDS) -> None:
        """Write records, in order, and wait until they are safe.

        RetriableError when that took longer, and then they may be written all the same; ConnectError when they
        cannot be.
        """
        failures: list[Exception] = []
        for key, value in entries:
            self._send(key, value, failures.append)
        done = self._producer.flush(seconds)
        if failures:
            raise RetriableError(f"topic {self.plan.name} cannot be written: {failures[0]}") from failures[0]
        if not done:
            raise RetriableError(f"topic {self.plan.name} cannot be written within {seconds:g} s")

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write one record without waiting; a failure is said in the log."""
        name = self.plan.name
        self._send(key, value, lambda error: log.error("a record of topic %s is lost: %s", name, error))
        self._producer.poll(0)

    def _send(self, key: bytes, value: bytes | None, failed: Callable[[Exception], None]) -> None:
        def delivered(error: Exception | None, _: Delivered) -> None:
            if error is not None:
                self._forget(key, value)
                failed(error)

        with self._moved:
            self._sent.setdefault(key, deque()).append(value)
        try:
            self._producer.send(self.plan.name, key, value, on_delivery=delivered, wait=WRITE_SECONDS)
        except ConnectError:
            self._forget(key, value)
            raise

    def _forget(self, key: bytes, value: bytes | None) -> None:
        with self._moved:
            waiting = self._sent.get(key)
            if waiting is not None and value in waiting:
                waiting.remove(value)
                if not waiting:
                    del self._sent[key]

    # -- reading ------------------------------------------------------------------------------

    def read_to_end(self, seconds: float | None = WRITE_SECONDS) -> None:
        """Wait until everything is absorbed that stands in the topic now; RetriableError when that takes longer."""
        with self._moved:
            places = list(self._positions)
        ends = self._admin.end_offsets(places)

        def there() -> bool:
            return self._closing.is_set() or all(self._positions.get(tp, end) >= end for tp, end in ends.items())

        with self._moved:
            if not self._moved.wait_for(there, seconds):
                raise RetriableError(f"topic {self.plan.name} cannot be read to its end within {seconds:g} s")

    def _follow(self) -> None:
        looked = self._clock.monotonic()
        while not self._closing.is_set():
            try:
                self._read()
                if self._clock.monotonic() - looked > LOOK_SECONDS:
                    looked = self._clock.monotonic()
                    self._look_after()
                if self._troubled:
                    log.info("topic %s is in reach again", self.plan.name)
                self._troubled = False
            except ConnectError as exc:
                if not self._troubled:
                    log.warning("topic %s is out of reach, trying again: %s", self.plan.name, exc)
                self._troubled = True
                self._clock.wait(self._closing, RETRY_SECONDS)

    def _read(self) -> None:
        self._producer.poll(0)
        records = self._consumer.read(READ_COUNT, READ_SECONDS)
        if records:
            self._absorb([self._entry(record) for record in records])
        with self._moved:
            for record in records:
                self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
            for place, position in self._positions.items():
                self._positions[place] = max(position, self._consumer.ended_at(place) or 0)
            self._moved.notify_all()

    def _entry(self, record: KafkaRecord) -> Entry:
        key = record.key or b""
        with self._moved:
            waiting = self._sent.get(key)
            own = waiting is not None and waiting[0] == record.value
            if waiting is not None and own:
                waiting.popleft()
                if not waiting:
                    del self._sent[key]
            return Entry(key, record.value, own, key in self._sent, record.offset)

    # -- what happens behind our back ---------------------------------------------------------

    def _look_after(self) -> None:
        """Find out whether the topic is still the one that was read; if not, restore it."""
        try:
            facts = self._admin.topic(self.plan.name)
            ends = {} if facts is None else self._admin.end_offsets(self._positions)
        except UnknownTopic:
            facts, ends = None, {}
        with self._moved:
            cut = any(end < self._positions.get(place, 0) for place, end in ends.items())
        lost = facts is None or cut or facts.partitions < len(self._positions)
        if lost and self._missing:
            self._restore()
        # Metadata may be wrong for a moment; what is gone is gone the next time too.
        self._missing = lost and not self._missing

    def _restore(self) -> None:
        name = self.plan.name
        log.error("topic %s was deleted; it is made again, and what this worker knows is written to it", name)
        self._make()
        try:
            partitions = self._prepared()
        except ConfigError as exc:
            # Made by the broker meanwhile, with its defaults, for whoever wrote to it.
            log.warning("%s The policy is changed now.", exc)
            self._admin.alter_topic_configs(name, {"cleanup.policy": "compact"})
            partitions = self._prepared()
        self._from_beginning(partitions)
        for key, value in self._everything():
            self.put(key, value)
