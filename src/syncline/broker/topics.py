"""The catalogue: topics, their ids, partitions and settings, replayed from `__cluster_metadata`."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from syncline.broker.configs import TOPIC, Settings, check_topic_configs
from syncline.broker.errors import (
    INVALID_PARTITIONS,
    INVALID_TOPIC_EXCEPTION,
    TOPIC_ALREADY_EXISTS,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
)
from syncline.broker.log import PartitionLog

log = logging.getLogger(__name__)

METADATA_TOPIC: Final = "__cluster_metadata"
OFFSETS_TOPIC: Final = "__consumer_offsets"
TRANSACTIONS_TOPIC: Final = "__transaction_state"
INTERNAL: Final = frozenset({OFFSETS_TOPIC, TRANSACTIONS_TOPIC})
CHECKPOINT: Final = "log-start-offset-checkpoint"
_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(slots=True)
class Topic:
    """One topic; `configs` holds only what was set for it."""

    name: str
    id: UUID
    partitions: list[PartitionLog]
    configs: dict[str, str] = field(default_factory=dict)
    replication_factor: int = 1
    """As asked for at creation; one replica is served."""

    @property
    def internal(self) -> bool:
        return self.name in INTERNAL


class Topics:
    """All topics, by name and by id. Owned by the broker's event loop."""

    def __init__(self, folder: Path, settings: Settings, metadata: PartitionLog) -> None:
        self.folder = folder
        self._settings = settings
        self._metadata = metadata
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[UUID, Topic] = {}

    def replay(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Open the topics of the metadata log (name to facts) and clear away what deletions left."""
        for leftover in self.folder.glob("*-delete"):
            shutil.rmtree(leftover, ignore_errors=True)
        for name, facts in records.items():
            self._open(
                name,
                UUID(facts["id"]),
                int(facts["partitions"]),
                dict(facts["configs"]),
                int(facts.get("replication_factor", 1)),
            )
        self._load_checkpoint()

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._by_name.values()))

    def get(self, name: str) -> Topic | None:
        return self._by_name.get(name)

    def by_id(self, topic_id: UUID) -> Topic | None:
        return self._by_id.get(topic_id)

    def partition(self, name: str, number: int) -> PartitionLog:
        """The log of a partition; KafkaError when there is none."""
        topic = self._by_name.get(name)
        if topic is None or not 0 <= number < len(topic.partitions):
            raise KafkaError(UNKNOWN_TOPIC_OR_PARTITION)
        return topic.partitions[number]

    def logs(self) -> Iterator[PartitionLog]:
        for topic in self._by_name.values():
            yield from topic.partitions

    def config(self, topic: Topic, name: str) -> str:
        """The value of a setting for a topic: its own, the broker's, or Kafka's default."""
        own = topic.configs.get(name)
        return own if own is not None else self._settings.topic_default(TOPIC[name])

    def check_new(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        """KafkaError when a topic like this cannot be created."""
        if _LEGAL.fullmatch(name) is None or name in (".", ".."):
            raise KafkaError(
                INVALID_TOPIC_EXCEPTION,
                f"Topic name {name!r} is illegal: 1 to 249 of letters, digits, '.', '_' and '-'",
            )
        if name in self._by_name:
            raise KafkaError(TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        # Metrics print both as `_`, so Kafka refuses names that differ in that alone.
        twin = name.replace(".", "_")
        for known in self._by_name:
            if known.replace(".", "_") == twin:
                raise KafkaError(INVALID_TOPIC_EXCEPTION, f"Topic '{name}' collides with existing topics: {known}")
        if partitions < 1:
            raise KafkaError(INVALID_PARTITIONS, "Number of partitions must be larger than 0.")
        check_topic_configs(configs)

    def create(self, name: str, partitions: int, configs: Mapping[str, str], replication_factor: int = 1) -> Topic:
        """Create a topic; it is durable when this returns. KafkaError when it cannot be."""
        self.check_new(name, partitions, configs)
        if replication_factor > 1:
            log.info("topic %s asks for %d replicas; this single node keeps one", name, replication_factor)
        topic = self._open(name, uuid4(), partitions, dict(configs), replication_factor)
        self._store(topic)
        log.info("topic %s created with %d partition(s)", name, partitions)
        return topic

    def _open(
        self, name: str, topic_id: UUID, partitions: int, configs: dict[str, str], replication_factor: int
    ) -> Topic:
        topic = Topic(name, topic_id, [], configs, replication_factor)
        for number in range(partitions):
            topic.partitions.append(self._open_log(topic, number))
        self._by_name[name] = self._by_id[topic_id] = topic
        return topic

    def _open_log(self, topic: Topic, number: int) -> PartitionLog:
        return PartitionLog(
            self.folder / f"{topic.name}-{number}",
            segment_bytes=int(self.config(topic, "segment.bytes")),
            sync=topic.internal or self._settings.text("flush") == "always",
        )

    def add_partitions(self, topic: Topic, count: int) -> None:
        """Grow a topic to `count` partitions."""
        for number in range(len(topic.partitions), count):
            topic.partitions.append(self._open_log(topic, number))
        self._store(topic)

    def delete(self, topic: Topic) -> None:
        """Forget a topic and remove its files; the deletion is durable before any file goes."""
        del self._by_name[topic.name], self._by_id[topic.id]
        self._metadata.append_records([(f"topic:{topic.name}".encode(), None)], 0)
        for partition in topic.partitions:
            partition.close()
            doomed = partition.folder.with_name(f"{partition.folder.name}.{topic.id.hex}-delete")
            partition.folder.rename(doomed)
            shutil.rmtree(doomed)
        log.info("topic %s deleted", topic.name)

    def configure(self, topic: Topic, configs: Mapping[str, str]) -> None:
        """Replace the topic's own settings."""
        check_topic_configs(configs)
        topic.configs = dict(configs)
        for partition in topic.partitions:
            partition.segment_bytes = int(self.config(topic, "segment.bytes"))
        self._store(topic)

    def _store(self, topic: Topic) -> None:
        facts = {
            "id": str(topic.id),
            "partitions": len(topic.partitions),
            "configs": topic.configs,
            "replication_factor": topic.replication_factor,
        }
        self._metadata.append_records([(f"topic:{topic.name}".encode(), json.dumps(facts).encode())], 0)

    def checkpoint(self) -> None:
        """Remember how far records were deleted, in Kafka's checkpoint format."""
        lines = [
            f"{topic.name} {number} {partition.start_offset}"
            for topic in self
            for number, partition in enumerate(topic.partitions)
            if partition.start_offset
        ]
        path = self.folder / CHECKPOINT
        temporary = path.with_suffix(".tmp")
        temporary.write_text("\n".join(["0", str(len(lines)), *lines]) + "\n")
        temporary.replace(path)

    def _load_checkpoint(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        for line in path.read_text().splitlines()[2:]:
            name, number, offset = line.split()
            topic = self._by_name.get(name)
            if topic is not None and int(number) < len(topic.partitions):
                topic.partitions[int(number)].delete_before(int(offset))
