"""Source offsets: the table they make up, the store every back-end offers, and a connector's view of it."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from syncline.errors import DataError
from syncline.kafka.ports import Kafka
from syncline.stores.codec import Flat, canonical, decode_key, decode_value, encode_key, encode_value
from syncline.stores.topics import Entry, TopicLog, TopicPlan

log = logging.getLogger(__name__)

Partition = Mapping[str, Any]
Offset = Mapping[str, Any]


class _Entry(NamedTuple):
    key: bytes
    partition: dict[str, Any]
    value: bytes | None


class OffsetTable:
    """Raw keys and values as stored, indexed by connector and partition. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raw: dict[bytes, bytes | None] = {}
        self._entries: dict[str, dict[bytes, _Entry]] = {}

    def absorb(self, entries: Mapping[bytes, bytes | None]) -> None:
        """Take entries in; a key that means nothing to us is kept, and said in the log."""
        with self._lock:
            for key, value in entries.items():
                known = key in self._raw
                self._raw[key] = value
                try:
                    connector, partition = decode_key(key)
                except DataError as exc:
                    if not known:
                        log.error("%s; it is kept as it is and used by no connector", exc)
                    continue
                self._entries.setdefault(connector, {})[canonical(partition)] = _Entry(key, partition, value)

    def raw(self) -> dict[bytes, bytes | None]:
        """Everything, as stored."""
        with self._lock:
            return dict(self._raw)

    def of(self, connector: str) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Partitions of a connector with their offsets; None for a deleted one."""
        with self._lock:
            entries = list(self._entries.get(connector, {}).values())
        return [(entry.partition, decode_value(entry.value)) for entry in entries]

    def offset(self, connector: str, partition: Partition) -> dict[str, Any] | None:
        """The offset of one partition, None when there is none."""
        with self._lock:
            entry = self._entries.get(connector, {}).get(canonical(partition))
        return None if entry is None else decode_value(entry.value)

    def encode(self, connector: str, offsets: Sequence[tuple[Flat, Flat | None]]) -> dict[bytes, bytes | None]:
        """Entries that store `offsets`: a partition that is stored already keeps its raw key.

        DataError when a partition or offset is not flat.
        """
        with self._lock:
            known = self._entries.get(connector, {})
            encoded: dict[bytes, bytes | None] = {}
            for partition, offset in offsets:
                entry = known.get(canonical(partition))
                encoded[entry.key if entry is not None else encode_key(connector, partition)] = encode_value(offset)
            return encoded


class OffsetStore(ABC):
    """Offsets of all source connectors. Any thread may call."""

    table: OffsetTable
    """As far as this process knows."""

    def start(self) -> None:
        """Open and read; ConnectError when what is stored cannot be read."""

    def stop(self) -> None:
        """Close."""

    def refresh(self) -> OffsetTable:
        """The table with everything that anybody had stored before this call."""
        return self.table

    @abstractmethod
    def save(self, entries: Mapping[bytes, bytes | None], seconds: float) -> None:
        """Store raw entries and take them into the table; durable when this returns. A None value deletes.

        RetriableError when that took longer than `seconds`, ConnectError when it cannot be done.
        """

    def commit(self, connector: str, offsets: Sequence[tuple[Flat, Flat | None]], seconds: float = 30) -> None:
        """Store the offsets of a connector's partitions, None to delete; errors as of `save`, or DataError."""
        if offsets:
            self.save(self.table.encode(connector, offsets), seconds)


class ConnectorOffsets:
    """One connector's view of the store (api.OffsetReader)."""

    def __init__(self, store: OffsetStore, connector: str) -> None:
        self._store = store
        self._connector = connector

    def offsets(self, partitions: Sequence[Partition]) -> list[Offset | None]:
        table = self._store.refresh()
        return [table.offset(self._connector, partition) for partition in partitions]


class TopicOffsets(OffsetStore):
    """Offsets in a compacted topic, shared by all workers of a group (spec/connect.md 3.3)."""

    def __init__(self, kafka: Kafka, properties: Mapping[str, str], plan: TopicPlan) -> None:
        self.table = OffsetTable()
        self._log = TopicLog(kafka, properties, plan, self._absorb, lambda: self.table.raw().items())

    def start(self) -> None:
        self._log.start()

    def stop(self) -> None:
        self._log.stop()

    def refresh(self) -> OffsetTable:
        self._log.read_to_end()
        return self.table

    def save(self, entries: Mapping[bytes, bytes | None], seconds: float) -> None:
        self._log.write(entries.items(), seconds)
        self.table.absorb(entries)

    def _absorb(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if not entry.overtaken:
                self.table.absorb({entry.key: entry.value})
