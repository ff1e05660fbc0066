"""`kafka-topics`: create, list, describe, alter and delete topics."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from syncline.cli.kafka.flags import BOOTSTRAP, COMMAND_CONFIG, Flag, Given, Tool, UsageError, reason
from syncline.errors import ConnectError

if TYPE_CHECKING:
    from syncline.app import KafkaAdmin, PartitionDetails, TopicDetails

TOOL: Final = Tool(
    "kafka-topics",
    "Create, list, describe, alter and delete topics.",
    (
        BOOTSTRAP,
        COMMAND_CONFIG,
        Flag("alter", "Add partitions to a topic."),
        Flag("at-min-isr-partitions", "Describe only partitions with exactly min.insync.replicas in sync."),
        Flag("config", "A setting of the topic to be created, name=value; may be repeated.", "name=value"),
        Flag("create", "Create a topic."),
        Flag("delete", "Delete a topic."),
        Flag("describe", "Describe topics with their partitions."),
        Flag("exclude-internal", "Leave internal topics out of list and describe."),
        Flag("if-exists", "Do nothing when the topic does not exist."),
        Flag("if-not-exists", "Do nothing when the topic exists."),
        Flag("list", "List all topics."),
        Flag("partitions", "How many partitions; without it the broker's default.", "number"),
        Flag("replication-factor", "How many replicas of each; without it the broker's default.", "number"),
        Flag("topic", "The topic; a regular expression for all actions but --create.", "topic"),
        Flag("topic-id", "Describe the topic with this id.", "id"),
        Flag("topics-with-overrides", "Describe only topics with settings of their own."),
        Flag("unavailable-partitions", "Describe only partitions without a leader."),
        Flag("under-min-isr-partitions", "Describe only partitions with fewer than min.insync.replicas in sync."),
        Flag("under-replicated-partitions", "Describe only partitions with replicas out of sync."),
    ),
)
ACTIONS: Final = ("list", "describe", "create", "alter", "delete")
PARTITION_FILTERS: Final = (
    "under-replicated-partitions",
    "unavailable-partitions",
    "under-min-isr-partitions",
    "at-min-isr-partitions",
)


class TopicError(Exception):
    """The action cannot be done; shown as Kafka shows it."""


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    given = TOOL.read(arguments)
    action = given.action(
        *ACTIONS, text="Command must include exactly one action: --list, --describe, --create, --alter or --delete"
    )
    if action in ("create", "alter", "delete"):
        given.required("topic")
    if action == "alter":
        given.required("partitions")
    properties = given.client("command-config")
    from syncline.app import kafka_tool_admin

    doing: dict[str, Callable[[KafkaAdmin, Given], None]] = {
        "list": list_topics,
        "describe": describe,
        "create": create,
        "alter": alter,
        "delete": delete,
    }
    try:
        doing[action](kafka_tool_admin(properties), given)
    except (TopicError, ConnectError) as exc:
        print(f"Error while executing topic command : {reason(exc)}")
        return 1
    return 0


def chosen(admin: KafkaAdmin, given: Given) -> list[str]:
    """Names of the topics that are meant, sorted."""
    pattern = given.one("topic")
    return [
        topic.name
        for topic in admin.topics()
        if (pattern is None or matches(pattern, topic.name)) and not (topic.internal and given.has("exclude-internal"))
    ]


def matches(pattern: str, name: str) -> bool:
    """Whether the name is meant by a list of regular expressions, as Kafka's tools write them."""
    text = pattern.strip().replace(",", "|").replace(" ", "").strip("\"'")
    try:
        return re.fullmatch(text, name) is not None
    except re.error as exc:
        raise UsageError(f"{pattern} is an invalid regex: {exc}") from exc


def existing(admin: KafkaAdmin, given: Given) -> list[str]:
    """As `chosen`, and an error when the topic must exist and does not."""
    found = chosen(admin, given)
    if not found and given.has("topic") and not given.has("if-exists"):
        raise TopicError(f"Topic '{given.one('topic')}' does not exist as expected")
    return found


def list_topics(admin: KafkaAdmin, given: Given) -> None:
    for name in chosen(admin, given):
        print(name)


def create(admin: KafkaAdmin, given: Given) -> None:
    from syncline.app import TopicExists

    name = given.one("topic") or ""
    partitions, factor = given.number("partitions"), given.number("replication-factor")
    if partitions is not None and partitions < 1:
        raise TopicError("The partitions must be greater than 0")
    if factor is not None and not 1 <= factor <= 32767:
        raise TopicError("The replication factor must be between 1 and 32767 inclusive")
    if "." in name or "_" in name:
        print(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could "
            "collide. To avoid issues it is best to use either, but not both."
        )
    try:
        admin.create_topic(
            name, partitions=partitions or -1, replication_factor=factor or -1, configs=given.pairs("config")
        )
    except TopicExists:
        if given.has("if-not-exists"):
            return
        raise
    print(f"Created topic {name}.")


def alter(admin: KafkaAdmin, given: Given) -> None:
    count = given.number("partitions") or 0
    for name in existing(admin, given):
        admin.add_partitions(name, count)


def delete(admin: KafkaAdmin, given: Given) -> None:
    for name in existing(admin, given):
        admin.delete_topic(name)


def describe(admin: KafkaAdmin, given: Given) -> None:
    names = set(existing(admin, given))
    wanted = given.one("topic-id")
    for topic in admin.describe_topics():
        if topic.name not in names or (wanted is not None and topic.topic_id != wanted):
            continue
        settings = admin.topic_configs(topic.name, with_defaults=True)
        if given.has(*PARTITION_FILTERS):
            least = int(settings.get("min.insync.replicas", "1"))
            for part in topic.partitions:
                if troubled(part, given, least):
                    print(partition_line(topic.name, part))
            continue
        own = admin.topic_configs(topic.name)
        if given.has("topics-with-overrides") and not own:
            continue
        print(topic_line(topic, own))
        if not given.has("topics-with-overrides"):
            for part in topic.partitions:
                print(partition_line(topic.name, part))


def troubled(part: PartitionDetails, given: Given, least: int) -> bool:
    """Whether one of the filters given means the partition."""
    return (
        (given.has("under-replicated-partitions") and len(part.in_sync) < len(part.replicas))
        or (given.has("unavailable-partitions") and part.leader is None)
        or (given.has("under-min-isr-partitions") and len(part.in_sync) < least)
        or (given.has("at-min-isr-partitions") and len(part.in_sync) == least)
    )


def topic_line(topic: TopicDetails, configs: dict[str, str]) -> str:
    factor = len(topic.partitions[0].replicas) if topic.partitions else 0
    shown = ",".join(f"{key}={value}" for key, value in sorted(configs.items()))
    return (
        f"Topic: {topic.name}\tTopicId: {topic.topic_id}\tPartitionCount: {len(topic.partitions)}"
        f"\tReplicationFactor: {factor}\tConfigs: {shown}"
    )


def partition_line(topic: str, part: PartitionDetails) -> str:
    # The eligible leader replicas of KIP-966 are not to be had through the client library.
    leader = "none" if part.leader is None else part.leader
    replicas, in_sync = (",".join(map(str, brokers)) for brokers in (part.replicas, part.in_sync))
    return (
        f"\tTopic: {topic}\tPartition: {part.number}\tLeader: {leader}\tReplicas: {replicas}\tIsr: {in_sync}"
        "\tElr: N/A\tLastKnownElr: N/A"
    )
