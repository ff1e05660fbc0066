"""Identifiers as types, so that signatures document themselves and arguments cannot be swapped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, NewType

ConnectorName = NewType("ConnectorName", str)
"""The name a user gave a connector; any non-blank text without control characters."""


@dataclass(frozen=True, slots=True, order=True)
class TaskId:
    """One task of a connector, numbered from 0; printed as Kafka Connect does, `name-0`."""

    connector: ConnectorName
    index: int

    def __str__(self) -> str:
        return f"{self.connector}-{self.index}"


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"
