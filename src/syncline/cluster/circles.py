"""Finds connectors that feed themselves: table to topic to table and back (spec/shop.md SC-15). Pure."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from syncline.api import Connector, Inflow, Outflow, TellsInflow, TellsOutflow
from syncline.worker.sink_reader import TopicChoice

log = logging.getLogger(__name__)

SAMPLE: Final = "any_table"
"""Stands for a place nobody named, where a source reads whatever there is."""
MOST_ROUNDS: Final = 3
"""Two connectors that hand a record to each other this often, under a new name each time, never stop."""


class Way(NamedTuple):
    """From one place through a topic to the next."""

    source: str
    sink: str
    store: str
    place: str
    topic: str
    target: str


class _Source(NamedTuple):
    name: str
    flow: Inflow


class _Sink(NamedTuple):
    name: str
    flow: Outflow
    takes: Callable[[str], bool]


def circle_through(name: str, connectors: Mapping[str, tuple[Connector, Mapping[str, str]]]) -> list[Way] | None:
    """The ways of a circle that connector `name` is part of and that does not come to rest; None without one.

    `connectors` are instances that were never started, with resolved configurations. Those with transforms are left
    out, because a transform may rename topics.
    """
    sources, sinks = _flows(connectors)
    for source in sources:
        for place in source.flow.places or (SAMPLE,):
            found = _walk(source.flow.store, place, [], sources, sinks)
            if found is not None and any(name in (way.source, way.sink) for way in found):
                return found
    return None


def warn_of_circle(name: str, connectors: Mapping[str, tuple[Connector, Mapping[str, str]]]) -> None:
    """Say so when `name` would feed itself; Kafka Connect creates such a connector, so it is not refused."""
    ways = circle_through(name, connectors)
    if ways is None:
        return
    steps = [f"{way.place} -> ({way.source}) topic {way.topic} -> ({way.sink})" for way in ways]
    log.warning(
        "connector %s closes a circle, in which every record makes another one: %s. Write to a table that is not "
        "read, or set origin.name and origin.column (docs/two-way-sync.md)",
        name,
        " ".join([*steps, ways[-1].target]),
    )


def _flows(connectors: Mapping[str, tuple[Connector, Mapping[str, str]]]) -> tuple[list[_Source], list[_Sink]]:
    sources: list[_Source] = []
    sinks: list[_Sink] = []
    for name, (connector, config) in connectors.items():
        if config.get("transforms"):
            continue
        try:
            if isinstance(connector, TellsInflow):
                inflow = connector.inflow(config)
                if inflow is not None:
                    sources.append(_Source(name, inflow))
            elif isinstance(connector, TellsOutflow):
                outflow = connector.outflow(config)
                if outflow is not None:
                    sinks.append(_Sink(name, outflow, TopicChoice(config).takes))
        except Exception as exc:  # a stranger's connector may fail in any way, and this is but a hint
            log.debug("connector %s does not say what it reads or writes: %s", name, exc)
    return sources, sinks


def _walk(store: str, place: str, ways: list[Way], sources: list[_Source], sinks: list[_Sink]) -> list[Way] | None:
    """Follow a place's records on; the part of the way that closes, or that goes on under ever new names."""
    for index, way in enumerate(ways):
        if (way.store, way.place) == (store, place):
            return ways[index:]
    if max(Counter((way.source, way.sink) for way in ways).values(), default=0) == MOST_ROUNDS:
        return ways
    for source in sources:
        topic = source.flow.topic_of(place) if source.flow.store == store else None
        if topic is None:
            continue
        for sink in sinks:
            target = sink.flow.place_of(topic) if sink.takes(topic) else None
            if target is None or (sink.flow.settles and target == place):
                continue
            way = Way(source.name, sink.name, store, place, topic, target)
            found = _walk(sink.flow.store, target, [*ways, way], sources, sinks)
            if found is not None:
                return found
    return None
