"""The ports of `syncline.kafka.ports` over confluent-kafka (librdkafka).

Settings come under Java's names (`syncline.kafka.config`). Memory is bounded: a producer queues at most 64 MB,
a consumer fetches at most 16 MB ahead, unless the properties say otherwise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, Message
from confluent_kafka import Consumer as RdConsumer
from confluent_kafka import Producer as RdProducer
from confluent_kafka import TopicPartition as RdPartition

from syncline.errors import ConnectError
from syncline.ids import TopicPartition
from syncline.kafka.admin import Admin
from syncline.kafka.config import Settings, librdkafka
from syncline.kafka.errors import calling, making, translated
from syncline.kafka.ports import Kafka as KafkaPort
from syncline.kafka.ports import KafkaRecord, Member, Membership, OnDelivery, QueueFull, RawHeaders, Rebalance, Role
from syncline.kafka.repeats import REPEATS

__all__ = ["KAFKA", "Admin", "Consumer", "Kafka", "Producer"]

T = TypeVar("T")

log = logging.getLogger(__name__)
log.addFilter(REPEATS)

ROOM_SECONDS: Final = 0.1
"""How long `send` waits for room in the queue before it looks again."""
ASK_SECONDS: Final = 30
SLICE_SECONDS: Final = 0.05
"""How long a read may keep the calls of other threads waiting."""

_PRODUCER: Final[Settings] = {
    "acks": "all",
    "enable.idempotence": "true",
    # Java's partitioner; librdkafka's own would send the same key to another partition.
    "partitioner": "murmur2_random",
    "message.timeout.ms": 0,
    "queue.buffering.max.messages": 100_000,
    "queue.buffering.max.kbytes": 65_536,
    "linger.ms": 5,
}

_CONSUMER: Final[Settings] = {
    "auto.offset.reset": "earliest",
    "isolation.level": "read_uncommitted",
    "allow.auto.create.topics": "true",
    "partition.assignment.strategy": "range",
    # A partition whose local queue was full is otherwise left alone for a whole second.
    "fetch.queue.backoff.ms": 5,
    "queued.max.messages.kbytes": 16_384,
    "queued.min.messages": 50_000,
}

_PASSING: Final = frozenset(
    {
        KafkaError._PARTITION_EOF,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Reported by a consumer that goes on by itself."""


class Producer:
    """Sends records through librdkafka; idempotent unless the properties speak against it."""

    def __init__(self, properties: Mapping[str, str], *, report_each: bool = False) -> None:
        """With `report_each` every `on_delivery` is called, otherwise only those of failed records."""
        settings = _PRODUCER | librdkafka(properties)
        if "enable.idempotence" not in properties and not _may_be_idempotent(settings):
            settings["enable.idempotence"] = "false"
        # Known to the Python layer, which then makes no call per delivered record.
        settings["delivery.report.only.error"] = not report_each
        self._producer = making(lambda: RdProducer({**settings, "logger": log}))
        self._failure: ConnectError | None = None

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: RawHeaders = (),
        on_delivery: OnDelivery | None = None,
        wait: float | None = None,
    ) -> None:
        extra: dict[str, Any] = {}
        if partition is not None:
            extra["partition"] = partition
        if timestamp is not None:
            extra["timestamp"] = timestamp
        if headers:
            extra["headers"] = list(headers)
        report = self._remember_failure if on_delivery is None else _reporting(on_delivery)
        waited = 0.0
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=report, **extra)
                return
            except BufferError:
                if wait is not None and waited >= wait:
                    raise QueueFull("the producer's queue is full; the broker is slower than the sender") from None
                self._producer.poll(ROOM_SECONDS)
                waited += ROOM_SECONDS
                self.check()
            except KafkaException as exc:
                raise translated(exc.args[0]) from exc

    def _remember_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = ConnectError(f"a record for topic {message.topic()} was not delivered: {error.str()}")

    def poll(self, seconds: float = 0) -> None:
        calling(lambda: self._producer.poll(seconds))

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def outstanding(self) -> int:
        return len(self._producer)

    def flush(self, seconds: float) -> bool:
        left: int = calling(lambda: self._producer.flush(seconds))
        self.check()
        return left == 0

    def begin(self, seconds: float = ASK_SECONDS) -> None:
        """Become the only producer of the transactional id; once, before the first transaction."""
        calling(lambda: self._producer.init_transactions(seconds))

    def begin_transaction(self) -> None:
        calling(self._producer.begin_transaction)

    def commit_transaction(self, seconds: float = ASK_SECONDS) -> None:
        calling(lambda: self._producer.commit_transaction(seconds))

    def abort_transaction(self, seconds: float = ASK_SECONDS) -> None:
        calling(lambda: self._producer.abort_transaction(seconds))

    def close(self, seconds: float = 5) -> None:
        self._producer.flush(seconds)
        self._producer.purge()
        self._producer.poll(0)


def _may_be_idempotent(settings: Settings) -> bool:
    """Whether the other settings leave room for it; Java turns it off in silence, librdkafka refuses to start."""
    in_flight = str(settings.get("max.in.flight.requests.per.connection", "5"))
    return (
        str(settings["acks"]) in ("all", "-1")
        and (not in_flight.isdecimal() or int(in_flight) <= 5)
        and str(settings.get("retries", "1")) != "0"
    )


def _reporting(on_delivery: OnDelivery) -> Callable[[KafkaError | None, Message], None]:
    return lambda error, message: on_delivery(None if error is None else translated(error), message)


class Consumer:
    """Reads records through librdkafka; offsets are committed by the caller alone."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        settings = _CONSUMER | librdkafka(properties)
        settings |= {"enable.auto.commit": "false", "enable.auto.offset.store": "false"}
        if settings.get("group.protocol") == "consumer":
            # These belong to the classic protocol; the broker decides them under KIP-848.
            for name in ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"):
                settings.pop(name, None)
        self._incremental = settings.get("partition.assignment.strategy", "") in ("cooperative-sticky", "")
        self._commits: list[tuple[dict[TopicPartition, int], Callable[[ConnectError | None], None]]] = []
        self._consumer = making(lambda: RdConsumer({**settings, "on_commit": self._committed, "logger": log}))
        self._others = 0
        self._turn = threading.Condition()
        self._ends: dict[TopicPartition, int] = {}
        """Where reading came to the end of a partition, which only `enable.partition.eof` makes the library tell."""

    def _aside(self, call: Callable[[], T]) -> T:
        """A call that may come from another thread than the reader's.

        The library lets one thread in at a time, and a reader that polls in a loop leaves no gap: without the
        count, which makes the reader wait, a commit would wait for ever.
        """
        with self._turn:
            self._others += 1
        try:
            return calling(call)
        finally:
            with self._turn:
                self._others -= 1
                self._turn.notify_all()

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        def assigned(_: RdConsumer, partitions: list[RdPartition]) -> None:
            start = rebalance.assigned(_plain(partitions))
            if start:
                for partition in partitions:
                    where = start.get(TopicPartition(partition.topic, partition.partition))
                    partition.offset = OFFSET_INVALID if where is None else where
                # Without this call the library itself assigns, from the committed offsets.
                (self._consumer.incremental_assign if self._incremental else self._consumer.assign)(partitions)

        calling(
            lambda: self._consumer.subscribe(
                list(topics),
                on_assign=assigned,
                on_revoke=lambda _, partitions: rebalance.revoked(_plain(partitions)),
                on_lost=lambda _, partitions: rebalance.lost(_plain(partitions)),
            )
        )

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        wanted = [RdPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        calling(lambda: self._consumer.assign(wanted))

    def assignment(self) -> list[TopicPartition]:
        return _plain(calling(self._consumer.assignment))

    def read(self, count: int, seconds: float) -> list[KafkaRecord]:
        # Asked for many at once, the library would wait for all of them or for the whole time.
        with self._turn:
            self._turn.wait_for(lambda: not self._others, seconds)
        found: list[Message] = []
        for _ in range(max(round(seconds / SLICE_SECONDS), 1)):
            found = calling(lambda: self._consumer.consume(1, min(seconds, SLICE_SECONDS)))
            if found or self._others:
                break
        if not found:
            return []
        if count > 1:
            found += calling(lambda: self._consumer.consume(count - 1, 0))
        if any(map(Message.error, found)):
            self._note_ends(found)
            found = [message for message in found if _is_record(message)]
        columns = (map(part, found) for part in _PARTS)
        return list(map(KafkaRecord, *columns))

    def _note_ends(self, found: Iterable[Message]) -> None:
        for message in found:
            error, topic, partition, offset = message.error(), message.topic(), message.partition(), message.offset()
            if error is not None and error.code() == KafkaError._PARTITION_EOF and topic and partition is not None:
                self._ends[TopicPartition(topic, partition)] = offset or 0

    def ended_at(self, partition: TopicPartition) -> int | None:
        return self._ends.get(partition)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        wanted = [RdPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        results = self._aside(lambda: self._consumer.commit(offsets=wanted, asynchronous=False))
        for result in results or ():
            if result.error is not None:
                raise translated(result.error)

    def commit_soon(self, offsets: Mapping[TopicPartition, int], done: Callable[[ConnectError | None], None]) -> None:
        entry = (dict(offsets), done)
        self._commits.append(entry)
        wanted = [RdPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        try:
            self._aside(lambda: self._consumer.commit(offsets=wanted, asynchronous=True))
        except ConnectError:
            self._commits.remove(entry)
            raise

    def _committed(self, error: KafkaError | None, partitions: list[RdPartition]) -> None:
        """The library's report of an asynchronous commit, which names no commit: its offsets tell which."""
        offsets = {TopicPartition(tp.topic, tp.partition): tp.offset for tp in partitions}
        entry = next((known for known in self._commits if known[0] == offsets), None)
        if entry is None:
            return
        self._commits.remove(entry)
        refused = error or next((tp.error for tp in partitions if tp.error is not None), None)
        entry[1](None if refused is None else translated(refused))

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = [RdPartition(tp.topic, tp.partition) for tp in partitions]
        found = calling(lambda: self._consumer.committed(wanted, ASK_SECONDS))
        return {TopicPartition(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        calling(lambda: self._consumer.seek(RdPartition(partition.topic, partition.partition, offset)))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        calling(lambda: self._consumer.pause([RdPartition(tp.topic, tp.partition) for tp in partitions]))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        calling(lambda: self._consumer.resume([RdPartition(tp.topic, tp.partition) for tp in partitions]))

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        asked = RdPartition(partition.topic, partition.partition)
        low, high = calling(lambda: self._consumer.get_watermark_offsets(asked, ASK_SECONDS))
        return low, high

    def end_known(self, partition: TopicPartition) -> int | None:
        asked = RdPartition(partition.topic, partition.partition)
        found = calling(lambda: self._consumer.get_watermark_offsets(asked, cached=True))
        return None if found is None or found[1] < 0 else found[1]

    def topics(self) -> list[str]:
        return list(calling(lambda: self._consumer.list_topics(timeout=ASK_SECONDS)).topics)

    def close(self) -> None:
        calling(self._consumer.close)


_PARTS: Final = (
    Message.topic,
    Message.partition,
    Message.offset,
    Message.timestamp,
    Message.key,
    Message.value,
    Message.headers,
)


def _is_record(message: Message) -> bool:
    """Whether it is a record rather than news; raises when the news is bad."""
    error = message.error()
    if error is None:
        return True
    if error.code() not in _PASSING:
        raise translated(error)
    log.log(
        logging.DEBUG if error.code() == KafkaError._PARTITION_EOF else logging.WARNING,
        "a consumer reports %s and goes on: %s",
        *(error.name(), error.str()),
    )
    return False


def _plain(partitions: Iterable[RdPartition]) -> list[TopicPartition]:
    return [TopicPartition(tp.topic, tp.partition) for tp in partitions]


class Kafka:
    """Makes clients over librdkafka."""

    def producer(self, properties: Mapping[str, str]) -> Producer:
        return Producer(properties)

    def consumer(self, properties: Mapping[str, str]) -> Consumer:
        return Consumer(properties)

    def admin(self, properties: Mapping[str, str]) -> Admin:
        return Admin(properties)

    def member(
        self, properties: Mapping[str, str], membership: Membership, changed: Callable[[Role | None], None]
    ) -> Member:
        # A second client library, which only members of a group need.
        from syncline.kafka.membership import GroupMember

        return GroupMember(properties, membership, changed)


KAFKA: Final[KafkaPort] = Kafka()
