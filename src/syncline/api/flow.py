"""What a connector says about its way between Kafka and the world, so that circles are seen before they turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflow:
    """What a source connector reads. A place is a table, a file, a collection: whatever has a topic of its own."""

    store: str
    """The system the places are in; equal texts mean the same system."""
    topic_of: Callable[[str], str | None]
    """The topic of a place's records; None for a place that is not read."""
    places: tuple[str, ...]
    """Places that are read by name; empty where any may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outflow:
    """Where a sink connector writes."""

    store: str
    place_of: Callable[[str], str | None]
    """The place a topic's records go to; None when that cannot be said."""
    settles: bool
    """A record that is written again changes nothing, so a circle comes to rest by itself."""


@runtime_checkable
class TellsInflow(Protocol):
    """A source connector that can say what it reads."""

    def inflow(self, config: Mapping[str, str]) -> Inflow | None:
        """None when that cannot be said, or when the connector leaves out what came from Kafka by itself."""
        ...


@runtime_checkable
class TellsOutflow(Protocol):
    """A sink connector that can say where it writes."""

    def outflow(self, config: Mapping[str, str]) -> Outflow | None:
        """None when that cannot be said, or when the connector leaves out what has been there before."""
        ...
