"""Topics and groups of a cluster, over confluent-kafka's admin client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any, Final, TypeVar

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException, TopicCollection
from confluent_kafka import KafkaError as RdError
from confluent_kafka import TopicPartition as RdPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from syncline.errors import ConnectError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.config import librdkafka
from syncline.kafka.errors import GroupNotEmpty, TopicExists, UnknownTopic, calling, making, translated
from syncline.kafka.ports import (
    GroupDetails,
    MemberDetails,
    PartitionDetails,
    Resource,
    Setting,
    TopicDetails,
    TopicFacts,
)
from syncline.kafka.repeats import REPEATS

log = logging.getLogger(__name__)
log.addFilter(REPEATS)

T = TypeVar("T")

SECONDS: Final = 30
"""How long a request may take, unless `default.api.timeout.ms` says otherwise."""


class Admin:
    """An admin client; any thread may call."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        self._admin = making(lambda: AdminClient(dict(librdkafka(properties)), logger=log))
        self._seconds = _seconds(properties)

    def cluster_id(self) -> str:
        found = _result(lambda: self._admin.describe_cluster(request_timeout=self._seconds))
        return str(found.cluster_id)

    def topics(self) -> list[TopicFacts]:
        metadata = calling(lambda: self._admin.list_topics(timeout=self._seconds))
        return [
            TopicFacts(
                name,
                len(topic.partitions),
                len(next(iter(topic.partitions.values())).replicas) if topic.partitions else 0,
                name.startswith("__"),
            )
            for name, topic in sorted(metadata.topics.items())
        ]

    def topic(self, name: str) -> TopicFacts | None:
        try:
            found = _result(
                lambda: self._admin.describe_topics(TopicCollection([name]), request_timeout=self._seconds)[name]
            )
        except UnknownTopic:
            return None
        replicas = len(found.partitions[0].replicas) if found.partitions else 0
        return TopicFacts(name, len(found.partitions), replicas, found.is_internal)

    def create_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int = 1,
        configs: Mapping[str, str] | None = None,
        exists_ok: bool = False,
    ) -> bool:
        wanted = NewTopic(name, partitions, replication_factor, config=dict(configs or {}))
        try:
            _result(lambda: self._admin.create_topics([wanted], request_timeout=self._seconds)[name])
        except TopicExists:
            if exists_ok:
                return False
            raise
        return True

    def delete_topic(self, name: str) -> None:
        _result(lambda: self._admin.delete_topics([name], request_timeout=self._seconds)[name])

    def add_partitions(self, name: str, count: int) -> None:
        _result(
            lambda: self._admin.create_partitions([NewPartitions(name, count)], request_timeout=self._seconds)[name]
        )

    def topic_configs(self, name: str, *, with_defaults: bool = False) -> dict[str, str]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        entries = _result(lambda: self._admin.describe_configs([resource], request_timeout=self._seconds)[resource])
        return {
            key: entry.value
            for key, entry in entries.items()
            if entry.value is not None and (with_defaults or not entry.is_default)
        }

    def alter_topic_configs(self, name: str, changes: Mapping[str, str | None]) -> None:
        entries = [
            ConfigEntry(key, "", incremental_operation=AlterConfigOpType.DELETE)
            if value is None
            else ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in changes.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        _result(lambda: self._admin.incremental_alter_configs([resource], request_timeout=self._seconds)[resource])

    def groups(self) -> list[str]:
        found = _result(lambda: self._admin.list_consumer_groups(request_timeout=self._seconds))
        return sorted(group.group_id for group in found.valid)

    def group_offsets(self, group: str) -> dict[TopicPartition, int]:
        asked = [ConsumerGroupTopicPartitions(group)]
        found = _result(lambda: self._admin.list_consumer_group_offsets(asked, request_timeout=self._seconds)[group])
        return {TopicPartition(tp.topic, tp.partition): tp.offset for tp in found.topic_partitions if tp.offset >= 0}

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        wanted = [RdPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, wanted)]
        found = _result(lambda: self._admin.alter_consumer_group_offsets(request, request_timeout=self._seconds)[group])
        for tp in found.topic_partitions:
            if tp.error is not None:
                # A commit from outside into a living group is that of an unknown member.
                kind = GroupNotEmpty if tp.error.code() == RdError.UNKNOWN_MEMBER_ID else None
                raise kind(tp.error.str()) if kind is not None else translated(tp.error)

    def forget_group_offsets(self, group: str, partitions: Collection[TopicPartition]) -> None:
        # The library has no call for single partitions: the group goes as a whole and the others come back.
        before = self.group_offsets(group)
        kept = {tp: offset for tp, offset in before.items() if tp not in partitions}
        if kept == before:
            return
        self.delete_group(group)
        if not kept:
            return
        try:
            self.alter_group_offsets(group, kept)
        except ConnectError as exc:
            lost = ", ".join(f"{tp} at {offset}" for tp, offset in sorted(kept.items()))
            raise ConnectError(f"group {group} was deleted but not restored; set by hand: {lost} ({exc})") from exc

    def delete_group(self, group: str) -> None:
        try:
            self._admin.delete_consumer_groups([group], request_timeout=self._seconds)[group].result(self._seconds + 5)
        except KafkaException as exc:
            if exc.args[0].code() != RdError.GROUP_ID_NOT_FOUND:
                raise translated(exc.args[0]) from exc

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def start_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def offsets_at(self, partitions: Iterable[TopicPartition], timestamp: int) -> dict[TopicPartition, int]:
        return self._offsets(partitions, OffsetSpec.for_timestamp(timestamp))

    def _offsets(self, partitions: Iterable[TopicPartition], which: OffsetSpec) -> dict[TopicPartition, int]:
        asked = {RdPartition(tp.topic, tp.partition): which for tp in partitions}
        if not asked:
            return {}
        futures = calling(lambda: self._admin.list_offsets(asked, request_timeout=self._seconds))
        return {TopicPartition(tp.topic, tp.partition): _awaited(future).offset for tp, future in futures.items()}

    # -- for descriptions ---------------------------------------------------------------------

    def describe_topics(self) -> list[TopicDetails]:
        names = sorted(calling(lambda: self._admin.list_topics(timeout=self._seconds)).topics)
        if not names:
            return []
        futures = calling(lambda: self._admin.describe_topics(TopicCollection(names), request_timeout=self._seconds))
        found = []
        for name in names:
            try:
                topic = _awaited(futures[name])
            except UnknownTopic:
                continue  # deleted since it was listed
            partitions = (
                PartitionDetails(
                    part.id,
                    None if part.leader is None else part.leader.id,
                    tuple(node.id for node in part.replicas),
                    tuple(node.id for node in part.isr),
                )
                for part in topic.partitions
            )
            found.append(TopicDetails(name, _as_java(str(topic.topic_id)), topic.is_internal, tuple(partitions)))
        return found

    def brokers(self) -> list[int]:
        return sorted(calling(lambda: self._admin.list_topics(timeout=self._seconds)).brokers)

    def settings(self, resource: Resource, name: str) -> list[Setting]:
        asked = ConfigResource(_RESOURCES[resource], name)
        entries = _result(lambda: self._admin.describe_configs([asked], request_timeout=self._seconds)[asked])
        return [_setting(key, entry) for key, entry in sorted(entries.items())]

    def alter_settings(self, resource: Resource, name: str, changes: Mapping[str, str | None]) -> None:
        if not name:
            raise ConnectError(f"the client library cannot change the defaults of every {resource}; name one")
        entries = [
            ConfigEntry(key, "", incremental_operation=AlterConfigOpType.DELETE)
            if value is None
            else ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in changes.items()
        ]
        asked = ConfigResource(_RESOURCES[resource], name, incremental_configs=entries)
        _result(lambda: self._admin.incremental_alter_configs([asked], request_timeout=self._seconds)[asked])

    def group_states(self) -> dict[str, str]:
        found = _result(lambda: self._admin.list_consumer_groups(request_timeout=self._seconds))
        return {group.group_id: _STATES[group.state] for group in found.valid}

    def describe_group(self, group: str) -> GroupDetails:
        try:
            found = _result(lambda: self._admin.describe_consumer_groups([group], request_timeout=self._seconds)[group])
        except ConnectError as exc:
            if "GROUP_ID_NOT_FOUND" in str(exc):
                return GroupDetails(group, "Dead", "", "", ())
            raise
        node = found.coordinator
        return GroupDetails(
            group,
            _STATES[found.state],
            found.partition_assignor or "",
            "" if node is None else f"{node.host}:{node.port}  ({node.id})",
            tuple(
                MemberDetails(
                    member.member_id,
                    member.client_id,
                    member.host,
                    tuple(
                        TopicPartition(tp.topic, tp.partition)
                        for tp in (member.assignment.topic_partitions if member.assignment else ())
                    ),
                )
                for member in found.members
            ),
        )


_RESOURCES: Final = {
    Resource.TOPIC: ConfigResource.Type.TOPIC,
    Resource.BROKER: ConfigResource.Type.BROKER,
    Resource.GROUP: ConfigResource.Type.GROUP,
}
_STATES: Final = {
    ConsumerGroupState.UNKNOWN: "Unknown",
    ConsumerGroupState.PREPARING_REBALANCING: "PreparingRebalance",
    ConsumerGroupState.COMPLETING_REBALANCING: "CompletingRebalance",
    ConsumerGroupState.STABLE: "Stable",
    ConsumerGroupState.DEAD: "Dead",
    ConsumerGroupState.EMPTY: "Empty",
}


def _setting(name: str, entry: ConfigEntry) -> Setting:
    source = ConfigSource(entry.source).name
    synonyms = [
        (ConfigSource(each.source).name, each.name, None if entry.is_sensitive else each.value)
        for each in (entry.synonyms or {}).values()
    ]
    # The library keeps one synonym of each name; the deciding one may be what it lost.
    if synonyms and all(each[0] != source for each in synonyms):
        synonyms.insert(0, (source, name, entry.value))
    return Setting(name, entry.value, source, entry.is_sensitive, tuple(synonyms))


def _seconds(properties: Mapping[str, str]) -> float:
    text = properties.get("default.api.timeout.ms", "").strip()
    return int(text) / 1000 if text.isdecimal() else SECONDS


def _as_java(topic_id: str) -> str:
    """The library pads its Base64, Java's tools do not."""
    return topic_id.rstrip("=").replace("+", "-").replace("/", "_")


def _result(request: Callable[[], Future[T]]) -> Any:
    """What the cluster answered to a request."""
    return _awaited(calling(request))


def _awaited(future: Future[T]) -> T:
    try:
        return future.result(SECONDS + 5)
    except KafkaException as exc:
        raise translated(exc.args[0]) from exc
    except NotInTime as exc:
        raise RetriableError(f"the cluster did not answer within {SECONDS} s") from exc
