"""The catalogue: topics, their ids, partitions and settings, replayed from `__cluster_metadata`."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from syncline.broker.checkpoints import read_checkpoint, write_checkpoint
from syncline.broker.configs import SMALL_SEGMENTS, TOPIC, Settings, check_topic_configs
from syncline.broker.errors import (
    INVALID_PARTITIONS,
    INVALID_REQUEST,
    INVALID_TOPIC_EXCEPTION,
    POLICY_VIOLATION,
    TOPIC_ALREADY_EXISTS,
    UNKNOWN_TOPIC_OR_PARTITION,
    KafkaError,
    StorageError,
)
from syncline.broker.files import OpenFiles, sync_folder
from syncline.broker.intake import Rules
from syncline.broker.log import PartitionLog
from syncline.broker.records import CODECS

log = logging.getLogger(__name__)

METADATA_TOPIC: Final = "__cluster_metadata"
OFFSETS_TOPIC: Final = "__consumer_offsets"
TRANSACTIONS_TOPIC: Final = "__transaction_state"
MOST_NEW_PARTITIONS: Final = 10_000
"""In one step, as in Kafka: a number that was mistyped would keep the disk busy for hours."""
INTERNAL: Final = frozenset({OFFSETS_TOPIC, TRANSACTIONS_TOPIC})
CHECKPOINT: Final = "log-start-offset-checkpoint"
_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]+")
_LONGEST_NAME: Final = 249
_SHORTENED: Final = 180
"""Characters of a topic's name in the name of a folder that is to be removed."""
DOOMED: Final = "-delete"
"""What the names of such folders end with."""


def check_topic_name(name: str) -> None:
    """KafkaError when no topic may have this name."""
    if not name:
        wrong = "the empty string is not allowed"
    elif name in (".", ".."):
        wrong = f"'{name}' is not allowed"
    elif len(name) > _LONGEST_NAME:
        wrong = f"the length of '{name}' is longer than the max allowed length {_LONGEST_NAME}"
    elif _LEGAL.fullmatch(name) is None:
        wrong = f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    else:
        return
    raise KafkaError(INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {wrong}")


@dataclass(slots=True)
class Topic:
    """One topic; `configs` holds only what was set for it."""

    name: str
    id: UUID
    partitions: list[PartitionLog]
    configs: dict[str, str] = field(default_factory=dict)
    replication_factor: int = 1
    """As asked for at creation; one replica is served."""
    rules: Rules | None = None
    """What `Topics.rules` found; None when a setting may have changed since."""

    @property
    def internal(self) -> bool:
        return self.name in INTERNAL


class Topics:
    """All topics, by name and by id. Owned by the broker's event loop."""

    def __init__(
        self, folder: Path, settings: Settings, metadata: PartitionLog, files: OpenFiles, due: set[PartitionLog]
    ) -> None:
        """`files` and `due` are what the partitions' logs share."""
        self.folder = folder
        self.metadata = metadata
        self._settings = settings
        self._files = files
        self._due = due
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[UUID, Topic] = {}
        self._alike: dict[str, str] = {}
        """Names by how metrics print them."""
        self.edition = 0
        """Counts the topics that came and went."""
        self._checkpointed: dict[str, int] = {}
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="broker-removals")

    def replay(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Open the topics of the metadata log (name to facts) and clear away what deletions left."""
        for leftover in self.folder.glob(f"*{DOOMED}"):
            self._remover.submit(shutil.rmtree, leftover, ignore_errors=True)
        for name, facts in records.items():
            topic = Topic(name, UUID(facts["id"]), [], dict(facts["configs"]), int(facts.get("replication_factor", 1)))
            topic.partitions += (self._open_log(topic, number) for number in range(int(facts["partitions"])))
            self._add(topic)
        self._checkpointed = read_checkpoint(self.folder / CHECKPOINT)
        for topic in self._by_name.values():
            for number, partition in enumerate(topic.partitions):
                partition.restore_start(self._checkpointed.get(f"{topic.name} {number}", 0))
        # What it says of a topic that is gone must not be believed of the next one of that name.
        self.checkpoint()

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

    def has(self, name: str, number: int) -> bool:
        """Whether there is such a partition."""
        topic = self._by_name.get(name)
        return topic is not None and 0 <= number < len(topic.partitions)

    def logs(self) -> Iterator[PartitionLog]:
        for topic in self._by_name.values():
            yield from topic.partitions

    def config(self, topic: Topic, name: str) -> str:
        """The value of a setting for a topic: its own, the broker's, or Kafka's default."""
        own = topic.configs.get(name)
        setting = TOPIC[name]
        return self._settings.topic_default(setting) if own is None else setting.canonical(own)

    def segment_bytes(self, topic: Topic) -> int:
        """How large one file of a topic's logs may grow."""
        return int(topic.configs.get(SMALL_SEGMENTS.name) or self.config(topic, "segment.bytes"))

    def segment_ms(self, topic: Topic) -> int:
        """How much time one file of a topic's logs may span; compaction must not wait longer than it may (KIP-354)."""
        most = int(self.config(topic, "segment.ms"))
        compacted = "compact" in self.config(topic, "cleanup.policy")
        return min(most, int(self.config(topic, "max.compaction.lag.ms"))) if compacted else most

    def rules(self, topic: Topic) -> Rules:
        """What a topic takes from producers."""
        if topic.rules is None:
            codec = self.config(topic, "compression.type")
            leveled = codec in ("gzip", "lz4", "zstd")
            topic.rules = Rules(
                largest=int(self.config(topic, "max.message.bytes")),
                segment_bytes=self.segment_bytes(topic),
                codec=CODECS.get(codec),
                level=int(self.config(topic, f"compression.{codec}.level")) if leveled else None,
                keyed="compact" in self.config(topic, "cleanup.policy"),
                append_time=self.config(topic, "message.timestamp.type") == "LogAppendTime",
                before_ms=int(self.config(topic, "message.timestamp.before.max.ms")),
                after_ms=int(self.config(topic, "message.timestamp.after.max.ms")),
            )
        return topic.rules

    def check_new(self, name: str, configs: Mapping[str, str]) -> None:
        """KafkaError when a topic like this cannot be created."""
        check_topic_name(name)
        if name == METADATA_TOPIC:
            raise KafkaError(INVALID_REQUEST, f"Creation of internal topic {name} is prohibited.")
        if name in self._by_name:
            raise KafkaError(TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        # Metrics print both as `_`, so Kafka refuses names that differ in that alone.
        twin = self._alike.get(name.replace(".", "_"))
        if twin is not None:
            raise KafkaError(INVALID_TOPIC_EXCEPTION, f"Topic '{name}' collides with existing topic: {twin}")
        check_topic_configs(configs, self._settings)

    def create(self, name: str, partitions: int, configs: Mapping[str, str], replication_factor: int = 1) -> Topic:
        """Create a topic; it is durable when this returns. KafkaError when it cannot be."""
        self.check_new(name, configs)
        if partitions < 1:
            raise KafkaError(INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
        check_growth(partitions)
        if replication_factor > 1:
            log.info("topic %s asks for %d replicas; this single node keeps one", name, replication_factor)
        topic = Topic(name, uuid4(), [], dict(configs), replication_factor)
        self._grow(topic, partitions)
        self._add(topic)
        log.info("topic %s created with %d partition(s)", name, partitions)
        return topic

    def _add(self, topic: Topic) -> None:
        self._by_name[topic.name] = self._by_id[topic.id] = topic
        self._alike[topic.name.replace(".", "_")] = topic.name
        self.edition += 1

    def _open_log(self, topic: Topic, number: int) -> PartitionLog:
        return PartitionLog(
            self.folder / f"{topic.name}-{number}",
            segment_bytes=self.segment_bytes(topic),
            segment_ms=self.segment_ms(topic),
            sync=topic.internal or self._settings.text("flush") == "always",
            flush_messages=int(self.config(topic, "flush.messages")),
            files=self._files,
            due=self._due,
        )

    def add_partitions(self, topic: Topic, count: int) -> None:
        """Grow a topic to `count` partitions; durable when this returns."""
        self._grow(topic, count)

    def _grow(self, topic: Topic, count: int) -> None:
        """Make folders and logs up to `count` partitions and write it down; StorageError, and nothing stays, if not."""
        made: list[PartitionLog] = []
        if topic.name not in self._by_name:
            # Nothing may be left of an earlier topic of this name.
            self.checkpoint()
        try:
            for number in range(len(topic.partitions), count):
                self._clear(topic, number)
                made.append(self._open_log(topic, number))
            sync_folder(self.folder)
            self._store(topic, count, topic.configs)
        except OSError as exc:
            for partition in made:
                partition.abandon()
                shutil.rmtree(partition.folder, ignore_errors=True)
            if isinstance(exc, StorageError):
                raise
            log.error("topic %s cannot be given %d partitions: %s", topic.name, count, exc)
            raise StorageError(exc) from exc
        topic.partitions += made

    def _clear(self, topic: Topic, number: int) -> None:
        """Make way for a new partition: a crash in a deletion may have left the files of another topic of this name."""
        folder = self.folder / f"{topic.name}-{number}"
        if folder.exists():
            self._remove(folder, topic.id)

    def _remove(self, folder: Path, topic_id: UUID) -> None:
        """Take a partition's folder out of the way; its files, which may be many and large, go on a thread."""
        topic, _, number = folder.name.rpartition("-")
        # The longest names of topics leave no room for the rest in the name of a folder.
        doomed = folder.with_name(f"{topic[:_SHORTENED]}-{number}.{topic_id.hex}{DOOMED}")
        folder.rename(doomed)
        # What stays, because the disk fails or the broker stops, is cleared away at the next start.
        self._remover.submit(shutil.rmtree, doomed, ignore_errors=True)

    def close(self) -> None:
        """Wait for the folder that is being removed; what waits behind it is left to the next start."""
        self._remover.shutdown(cancel_futures=True)

    def delete(self, topic: Topic) -> None:
        """Forget a topic and remove its files; the deletion is durable before any file goes."""
        self.metadata.append_records([(f"topic:{topic.name}".encode(), None)], 0)
        del self._by_name[topic.name], self._by_id[topic.id], self._alike[topic.name.replace(".", "_")]
        self.edition += 1
        for partition in topic.partitions:
            partition.abandon()
            try:
                self._remove(partition.folder, topic.id)
            except OSError as exc:
                log.error("%s cannot be removed: %s", partition.folder, exc)
        with contextlib.suppress(StorageError):  # logged; tried again at the next start
            self.checkpoint()
        log.info("topic %s deleted", topic.name)

    def configure(self, topic: Topic, configs: Mapping[str, str]) -> None:
        """Replace the topic's own settings."""
        check_topic_configs(configs, self._settings)
        self._store(topic, len(topic.partitions), configs)
        topic.configs = dict(configs)
        self._apply(topic)

    def apply_settings(self) -> None:
        """Settings of the broker have changed: pass on what is kept elsewhere."""
        for topic in self._by_name.values():
            self._apply(topic)

    def _apply(self, topic: Topic) -> None:
        topic.rules = None
        for partition in topic.partitions:
            partition.segment_bytes = self.segment_bytes(topic)
            partition.segment_ms = self.segment_ms(topic)
            partition.flush_messages = int(self.config(topic, "flush.messages"))

    def _store(self, topic: Topic, partitions: int, configs: Mapping[str, str]) -> None:
        facts = {
            "id": str(topic.id),
            "partitions": partitions,
            "configs": dict(configs),
            "replication_factor": topic.replication_factor,
        }
        self.metadata.append_records([(f"topic:{topic.name}".encode(), json.dumps(facts).encode())], 0)

    def checkpoint(self) -> None:
        """Remember how far records were deleted where no file's name tells it. StorageError when the disk refuses."""
        offsets = {
            f"{topic.name} {number}": partition.start_offset
            for topic in self._by_name.values()
            for number, partition in enumerate(topic.partitions)
            if partition.start_offset > partition.first_base
        }
        if offsets == self._checkpointed:
            return
        try:
            write_checkpoint(self.folder / CHECKPOINT, offsets)
        except OSError as exc:
            log.error("%s cannot be written: %s", self.folder / CHECKPOINT, exc)
            raise StorageError(exc) from exc
        self._checkpointed = offsets


def check_growth(partitions: int) -> None:
    """KafkaError when more partitions are asked for than may be made in one step."""
    if partitions > MOST_NEW_PARTITIONS:
        raise KafkaError(POLICY_VIOLATION, "Excessively large number of partitions per request.")
