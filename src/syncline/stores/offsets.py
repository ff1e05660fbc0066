"""Source offsets: the store every back-end offers, and what a connector sees of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from syncline.stores.codec import Flat, canonical, decode_key, decode_value, encode_key, encode_value


class OffsetStore(ABC):
    """Offsets of all source connectors, as raw keys and values. Any thread may call."""

    @abstractmethod
    def load(self) -> Mapping[bytes, bytes | None]:
        """Everything stored, as of now."""

    @abstractmethod
    def save(self, entries: Mapping[bytes, bytes | None]) -> None:
        """Store entries; durable when this returns. A None value deletes."""

    def start(self) -> None:
        """Open; ConnectError when what is stored cannot be read."""

    def stop(self) -> None:
        """Close."""

    def of(self, connector: str) -> dict[bytes, tuple[dict[str, Any], dict[str, Any] | None]]:
        """Raw key to partition and offset, for one connector."""
        found = {}
        for key, value in self.load().items():
            name, partition = decode_key(key)
            if name == connector:
                found[key] = (partition, decode_value(value))
        return found

    def commit(self, connector: str, offsets: Sequence[tuple[Flat, Flat | None]]) -> None:
        """Store the offsets of a connector's partitions.

        A partition that is stored already keeps its raw key, whatever order its members have there.
        """
        known = {canonical(connector, partition): key for key, (partition, _) in self.of(connector).items()}
        self.save(
            {
                known.get(canonical(connector, partition)) or encode_key(connector, partition): encode_value(offset)
                for partition, offset in offsets
            }
        )


class ConnectorOffsets:
    """One connector's view of the store (api.OffsetReader)."""

    def __init__(self, store: OffsetStore, connector: str) -> None:
        self._store = store
        self._connector = connector

    def offsets(self, partitions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        stored = {
            canonical(self._connector, partition): offset
            for partition, offset in self._store.of(self._connector).values()
        }
        return [stored.get(canonical(self._connector, partition)) for partition in partitions]
