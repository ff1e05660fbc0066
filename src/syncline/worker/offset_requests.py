"""Reading and changing a connector's offsets on behalf of a user (KIP-875, spec/connect.md 1.7)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from syncline.api import AltersOffsets, PluginKind
from syncline.errors import BadRequest, ConnectError
from syncline.ids import ConnectorName, TopicPartition
from syncline.kafka.errors import GroupNotEmpty
from syncline.kafka.ports import Admin
from syncline.stores.offsets import OffsetStore
from syncline.worker.clients import Config, sink_group
from syncline.worker.plugins import Plugins

Given = Sequence[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]
"""Partition and offset as a user sent them; None as offset deletes it."""

_NOT_STOPPED: Final = (
    "Failed to {what} consumer group offsets for connector {name} either because its tasks haven't stopped completely "
    "yet or the connector was resumed before the request to {what} its offsets could be successfully completed. If "
    "the connector is in a stopped state, this operation can be safely retried. If it doesn't eventually succeed, the "
    "Connect cluster may need to be restarted to get rid of the zombie sink tasks."
)


class OffsetRequests:
    """Offsets of connectors, wherever they are: those of sources in the store, those of sinks in Kafka."""

    def __init__(self, plugins: Plugins, store: OffsetStore, admin: Callable[[Config], Admin]) -> None:
        self._plugins = plugins
        self._store = store
        self._admin = admin

    def read(self, name: ConnectorName, config: Config) -> list[dict[str, Any]]:
        """All of a connector's offsets, as the entries of the REST body."""
        if self._is_sink(config):
            found = self._admin(config).group_offsets(sink_group(name, config))
            return [{"partition": _partition(tp), "offset": _offset(at)} for tp, at in sorted(found.items())]
        return [
            {"partition": partition, "offset": offset}
            for partition, offset in self._store.refresh().of(name)
            if offset is not None
        ]

    def alter(self, name: ConnectorName, config: Config, offsets: Given) -> bool:
        """Set offsets, or delete single ones; the connector must be stopped, without tasks.

        True when the connector changed the outside system too. BadRequest for malformed offsets, ConnectError
        when the connector or the cluster refuses.
        """
        if not offsets:
            raise BadRequest("Partitions / offsets need to be provided for an alter offsets request")
        if self._is_sink(config):
            return self._alter_sink(name, config, parse_sink_offsets(offsets))
        self._store.refresh()
        # Kafka Connect hands them to its hook after a trip through JSON; ours come from JSON already.
        given = [(partition or {}, offset) for partition, offset in offsets]
        took_part = self._ask(name, config, given)
        self._store.commit(name, given)
        return took_part

    def reset(self, name: ConnectorName, config: Config) -> bool:
        """Forget all offsets; the connector must be stopped, without tasks. True as for `alter`."""
        if self._is_sink(config):
            return self._reset_sink(name, config)
        stored = [(partition, None) for partition, offset in self._store.refresh().of(name) if offset is not None]
        took_part = self._ask(name, config, stored)
        self._store.commit(name, stored)
        return took_part

    def _alter_sink(self, name: ConnectorName, config: Config, wanted: Mapping[TopicPartition, int | None]) -> bool:
        admin, group = self._admin(config), sink_group(name, config)
        wrong = _impossible(admin, wanted)
        if wrong is not None:
            raise ConnectError(f"Failed to alter consumer group offsets for connector {name}: {wrong}")
        took_part = self._ask(
            name, config, [(_partition(tp), None if at is None else _offset(at)) for tp, at in wanted.items()]
        )
        try:
            admin.forget_group_offsets(group, [tp for tp, at in wanted.items() if at is None])
            moved = {tp: at for tp, at in wanted.items() if at is not None}
            if moved:
                admin.alter_group_offsets(group, moved)
        except GroupNotEmpty as exc:
            raise ConnectError(_NOT_STOPPED.format(what="alter", name=name)) from exc
        return took_part

    def _reset_sink(self, name: ConnectorName, config: Config) -> bool:
        admin, group = self._admin(config), sink_group(name, config)
        took_part = self._ask(name, config, [(_partition(tp), None) for tp in sorted(admin.group_offsets(group))])
        try:
            admin.delete_group(group)
        except GroupNotEmpty as exc:
            raise ConnectError(_NOT_STOPPED.format(what="reset", name=name)) from exc
        return took_part

    def _ask(
        self,
        name: ConnectorName,
        config: Config,
        offsets: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]],
    ) -> bool:
        """Let the connector check, and perhaps do its part; on an instance that is never started."""
        connector = self._plugins.connector(config.get("connector.class", "")).factory()
        if not isinstance(connector, AltersOffsets):
            return False
        try:
            return connector.alter_offsets(config, offsets)
        except NotImplementedError as exc:
            raise ConnectError(
                f"Failed to modify offsets for connector {name} because it doesn't support external modification of "
                "offsets"
            ) from exc

    def _is_sink(self, config: Config) -> bool:
        return self._plugins.connector(config.get("connector.class", "")).kind is PluginKind.SINK


def _partition(place: TopicPartition) -> dict[str, Any]:
    return {"kafka_topic": place.topic, "kafka_partition": place.partition}


def _offset(at: int) -> dict[str, Any]:
    return {"kafka_offset": at}


def _impossible(admin: Admin, wanted: Mapping[TopicPartition, int | None]) -> str | None:
    """What no group can have, if it is asked for; a broker takes offsets of partitions that will never be."""
    known = {topic: admin.topic(topic) for topic in {place.topic for place in wanted}}
    for place, at in wanted.items():
        topic = known[place.topic]
        if topic is None or not 0 <= place.partition < topic.partitions:
            return f"there is no partition {place}"
        if at is not None and at < 0:
            return f"the offset {at} for partition {place} is negative"
    return None


def parse_sink_offsets(offsets: Given) -> dict[TopicPartition, int | None]:
    """Offsets of a sink as users write them; BadRequest in Kafka Connect's words."""
    found: dict[TopicPartition, int | None] = {}
    for partition, offset in offsets:
        if partition is None:
            raise BadRequest("The partition for a sink connector offset cannot be null or missing")
        if "kafka_topic" not in partition or "kafka_partition" not in partition:
            raise BadRequest(
                "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'"
            )
        topic = partition["kafka_topic"]
        if topic is None:
            raise BadRequest("Kafka topic names must be valid strings and may not be null")
        if partition["kafka_partition"] is None:
            raise BadRequest("Kafka partitions must be valid numbers and may not be null")
        # A topic may be called 5, and a client may send that without quotation marks.
        place = TopicPartition(_shown(topic), _integer(partition["kafka_partition"], "partition"))
        if offset is None:
            found[place] = None
            continue
        if "kafka_offset" not in offset:
            raise BadRequest("The offset for a sink connector should either be null or contain the key 'kafka_offset'")
        found[place] = _integer(offset["kafka_offset"], "offset")
    return found


def _integer(value: Any, what: str) -> int:
    """A number, or a text with nothing but one."""
    if isinstance(value, int | str) and not isinstance(value, bool) and re.fullmatch(r"[+-]?[0-9]+", str(value)):
        return int(value)
    raise BadRequest(
        f"Failed to parse the following Kafka {what} value in the provided offsets: '{_shown(value)}'. "
        f"{what.capitalize()} values for sink connectors need to be integers."
    )


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
