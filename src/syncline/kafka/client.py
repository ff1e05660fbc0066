"""Producer, consumer and admin as the worker, the toolkit and the command line use them.

Thin covers over confluent-kafka (librdkafka): settings under Java's names, errors as RetriableError or
ConnectError, everything blocking.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    ConsumerGroupTopicPartitions,
    KafkaException,
)
from confluent_kafka import Consumer as RdConsumer
from confluent_kafka import KafkaError as RdError
from confluent_kafka import Producer as RdProducer
from confluent_kafka import TopicPartition as RdPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without __all__
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from syncline.errors import ConnectError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.config import librdkafka

log = logging.getLogger(__name__)

CREATE_TIME: Final = TIMESTAMP_CREATE_TIME
LOG_APPEND_TIME: Final = TIMESTAMP_LOG_APPEND_TIME

_HARMLESS: Final = frozenset(
    {
        RdError._PARTITION_EOF,
        RdError.UNKNOWN_TOPIC_OR_PART,
        RdError._UNKNOWN_TOPIC,
        RdError._ALL_BROKERS_DOWN,
        RdError._TRANSPORT,
        RdError._RESOLVE,
        RdError.LEADER_NOT_AVAILABLE,
        RdError.NOT_COORDINATOR,
        RdError.COORDINATOR_NOT_AVAILABLE,
        RdError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Reported by a consumer that goes on by itself."""


class Message(Protocol):
    """A record as librdkafka hands it out; each part is a method call."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...


class Producer:
    """Sends records; any thread may call."""

    def __init__(self, properties: Mapping[str, str], *, report_each: bool = False) -> None:
        """With `report_each` every `on_delivery` is called, otherwise only those of failed records."""
        settings = librdkafka(
            {
                "acks": "all",
                "enable.idempotence": "true",
                "partitioner": "murmur2_random",
                "message.timeout.ms": "0",
                "queue.buffering.max.messages": "200000",
                "queue.buffering.max.kbytes": "65536",
                "linger.ms": "5",
                **properties,
            }
        )
        if str(settings.get("acks")) not in ("all", "-1"):
            settings["enable.idempotence"] = "false"
        if not report_each:
            settings["delivery.report.only.error"] = True
        self._producer = _made(lambda: RdProducer({**settings, "logger": log}))
        self._failure: ConnectError | None = None

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        timestamp: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        on_delivery: Callable[[Exception | None, Any], None] | None = None,
    ) -> None:
        """Queue one record; waits while the queue is full. A failed delivery is raised by a later call."""
        extra: dict[str, Any] = {}
        if partition is not None:
            extra["partition"] = partition
        if timestamp is not None:
            extra["timestamp"] = timestamp
        if headers:
            extra["headers"] = list(headers)
        while True:
            try:
                self._producer.produce(topic, value, key=key, on_delivery=self._report(on_delivery), **extra)
                return
            except BufferError:
                self._producer.poll(0.1)
                self.check()
            except KafkaException as exc:
                raise _translated(exc) from exc

    def _report(self, on_delivery: Callable[[Exception | None, Any], None] | None) -> Callable[[Any, Any], None]:
        if on_delivery is None:
            return self._delivered
        wanted = on_delivery
        return lambda error, message: wanted(None if error is None else _translated(KafkaException(error)), message)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None and self._failure is None:
            self._failure = ConnectError(f"record for topic {message.topic()} was not delivered: {error.str()}")

    def poll(self, seconds: float = 0) -> None:
        """Serve delivery reports; wait for the first one at most `seconds`."""
        self._producer.poll(seconds)

    def check(self) -> None:
        """Raise ConnectError if a record could not be delivered."""
        if self._failure is not None:
            raise self._failure

    def flush(self, seconds: float) -> bool:
        """Wait until everything is acknowledged; False when the time was not enough."""
        left: int = self._producer.flush(seconds)
        self.check()
        return left == 0

    def begin(self, seconds: float = 30) -> None:
        """Become the only producer of the transactional id; before the first transaction."""
        _made(lambda: self._producer.init_transactions(seconds))

    def begin_transaction(self) -> None:
        _made(self._producer.begin_transaction)

    def commit_transaction(self, seconds: float = 30) -> None:
        _made(lambda: self._producer.commit_transaction(seconds))

    def abort_transaction(self, seconds: float = 30) -> None:
        _made(lambda: self._producer.abort_transaction(seconds))

    def close(self, seconds: float = 5) -> None:
        """Send what is queued, within the time, and let go."""
        self._producer.flush(seconds)
        self._producer.purge()
        self._producer.poll(0)


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What a consumer does when partitions come and go; called on the thread that polls."""

    assigned: Callable[[list[TopicPartition]], None]
    revoked: Callable[[list[TopicPartition]], None]
    lost: Callable[[list[TopicPartition]], None]


class Consumer:
    """Reads records as a member of a group; one thread polls, `commit` may come from another."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        settings = librdkafka(
            {
                "auto.offset.reset": "earliest",
                "isolation.level": "read_uncommitted",
                "allow.auto.create.topics": "true",
                # Otherwise a partition whose local queue was full is left alone for a whole second.
                "fetch.queue.backoff.ms": "5",
                "queued.max.messages.kbytes": "32768",
                "enable.auto.commit": "false",
                **properties,
                "enable.auto.offset.store": "false",
            }
        )
        self._consumer = _made(lambda: RdConsumer({**settings, "logger": log}))

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Join the group; a topic that starts with `^` is a regular expression."""
        self._consumer.subscribe(
            list(topics),
            on_assign=lambda _, partitions: rebalance.assigned(_plain(partitions)),
            on_revoke=lambda _, partitions: rebalance.revoked(_plain(partitions)),
            on_lost=lambda _, partitions: rebalance.lost(_plain(partitions)),
        )

    def read(self, count: int, seconds: float) -> list[Message]:
        """At most `count` records; what is there at once, or after at most `seconds` if nothing is."""
        found = self._consumer.consume(1, seconds)
        if found and count > 1:
            found += self._consumer.consume(count - 1, 0)
        good: list[Message] = []
        for message in found:
            error = message.error()
            if error is None:
                good.append(message)
            elif error.code() not in _HARMLESS:
                raise _translated(KafkaException(error))
        return good

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to read; RetriableError when the group does not take them now."""
        wanted = [RdPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        results = _made(lambda: self._consumer.commit(offsets=wanted, asynchronous=False))
        for result in results or []:
            if result.error is not None:
                raise _translated(KafkaException(result.error))

    def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed offsets; partitions without one are left out."""
        wanted = [RdPartition(tp.topic, tp.partition) for tp in partitions]
        found = _made(lambda: self._consumer.committed(wanted, 30))
        return {TopicPartition(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        _made(lambda: self._consumer.seek(RdPartition(partition.topic, partition.partition, offset)))

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._consumer.pause([RdPartition(tp.topic, tp.partition) for tp in partitions])

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._consumer.resume([RdPartition(tp.topic, tp.partition) for tp in partitions])

    def assignment(self) -> list[TopicPartition]:
        return _plain(self._consumer.assignment())

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, without a group; -2 is the beginning, -1 the end."""
        self._consumer.assign([RdPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()])

    def watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        """First offset and end offset."""
        low, high = _made(
            lambda: self._consumer.get_watermark_offsets(RdPartition(partition.topic, partition.partition), 30)
        )
        return low, high

    def close(self) -> None:
        """Leave the group; revokes partitions first."""
        self._consumer.close()


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as the cluster describes it."""

    name: str
    partitions: int
    replication_factor: int
    internal: bool


class Admin:
    """Topics and groups of a cluster."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._admin = _made(lambda: AdminClient(dict(librdkafka(properties)), logger=log))

    def cluster_id(self, seconds: float = 10) -> str:
        found = _made(lambda: self._admin.describe_cluster(request_timeout=seconds).result(seconds + 5))
        return str(found.cluster_id)

    def topics(self, seconds: float = 10) -> list[TopicFacts]:
        """All topics, internal ones too, by name."""
        metadata = _made(lambda: self._admin.list_topics(timeout=seconds))
        return [
            TopicFacts(
                name,
                len(topic.partitions),
                len(next(iter(topic.partitions.values())).replicas) if topic.partitions else 0,
                name.startswith("__"),
            )
            for name, topic in sorted(metadata.topics.items())
        ]

    def topic(self, name: str, seconds: float = 10) -> TopicFacts | None:
        return next((topic for topic in self.topics(seconds) if topic.name == name), None)

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int = 1,
        configs: Mapping[str, str] | None = None,
        exists_ok: bool = False,
        seconds: float = 30,
    ) -> bool:
        """Create a topic; False when it was there and `exists_ok`."""
        wanted = NewTopic(name, partitions, replication_factor, config=dict(configs or {}))
        future = self._admin.create_topics([wanted], request_timeout=seconds)[name]
        try:
            future.result(seconds + 5)
        except KafkaException as exc:
            if exists_ok and exc.args[0].code() == RdError.TOPIC_ALREADY_EXISTS:
                return False
            raise _translated(exc) from exc
        return True

    def delete_topic(self, name: str, seconds: float = 30) -> None:
        _made(lambda: self._admin.delete_topics([name], request_timeout=seconds)[name].result(seconds + 5))

    def add_partitions(self, name: str, count: int, seconds: float = 30) -> None:
        futures = self._admin.create_partitions([NewPartitions(name, count)], request_timeout=seconds)
        _made(lambda: futures[name].result(seconds + 5))

    def topic_configs(self, name: str, seconds: float = 10) -> dict[str, str]:
        """Settings that differ from their defaults."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        futures = self._admin.describe_configs([resource], request_timeout=seconds)
        entries = _made(lambda: futures[resource].result(seconds + 5))
        return {n: e.value for n, e in entries.items() if not e.is_default and e.value is not None}

    def group_offsets(self, group: str, seconds: float = 30) -> dict[TopicPartition, int]:
        """What a group has committed."""
        futures = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=seconds
        )
        found = _made(lambda: futures[group].result(seconds + 5))
        return {TopicPartition(tp.topic, tp.partition): tp.offset for tp in found.topic_partitions if tp.offset >= 0}

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int], seconds: float = 30) -> None:
        """Set a group's offsets; ConnectError while it has members."""
        wanted = [RdPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        futures = self._admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, wanted)], request_timeout=seconds
        )
        found = _made(lambda: futures[group].result(seconds + 5))
        for tp in found.topic_partitions:
            if tp.error is not None:
                raise _translated(KafkaException(tp.error))

    def delete_group(self, group: str, seconds: float = 30) -> None:
        """Delete a group with its offsets; nothing happens when there is none."""
        futures = self._admin.delete_consumer_groups([group], request_timeout=seconds)
        try:
            futures[group].result(seconds + 5)
        except KafkaException as exc:
            if exc.args[0].code() != RdError.GROUP_ID_NOT_FOUND:
                raise _translated(exc) from exc


def _plain(partitions: Iterable[Any]) -> list[TopicPartition]:
    return [TopicPartition(tp.topic, tp.partition) for tp in partitions]


def _made(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except KafkaException as exc:
        raise _translated(exc) from exc
    except ValueError as exc:
        raise ConnectError(f"Kafka client: {exc}") from exc


def _translated(exc: KafkaException) -> ConnectError:
    error = exc.args[0]
    if not isinstance(error, RdError):
        return ConnectError(str(exc))
    kind = RetriableError if error.retriable() or error.code() in _HARMLESS else ConnectError
    return kind(f"{error.name()}: {error.str()}")
