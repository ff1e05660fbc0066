"""Options of a worker that is a member of a group: the group, and the topics it shares (spec/connect.md 2.3)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Self

from syncline.errors import ConfigError
from syncline.options import Importance, Kind, any_case, at_least, load, non_empty, option, options_of
from syncline.options.checks import refuse
from syncline.stores.topics import TopicPlan
from syncline.worker.settings import WorkerSettings

log = logging.getLogger(__name__)

_LOW: Final = Importance.LOW
_HIGH: Final = Importance.HIGH


def _count(name: str, value: int | None) -> None:
    if value is None or (value < 1 and value != -1):
        raise refuse(name, value, "Value must be at least 1, or -1 for the broker's default")


@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """What a distributed worker has besides `WorkerOptions`."""

    group: str = option(
        "group.id", "The group of workers this one belongs to; no consumer group.", importance=_HIGH, check=non_empty
    )
    config_topic: str = option(
        "config.storage.topic", "Topic that holds the connectors' configurations.", importance=_HIGH, check=non_empty
    )
    offset_topic: str = option(
        "offset.storage.topic", "Topic that holds source offsets.", importance=_HIGH, check=non_empty
    )
    status_topic: str = option(
        "status.storage.topic", "Topic that holds states of connectors and tasks.", importance=_HIGH, check=non_empty
    )
    config_replicas: int = option(
        "config.storage.replication.factor",
        "Replicas of that topic, if the worker makes it; -1 is the broker's default.",
        kind=Kind.SHORT,
        default="3",
        importance=_LOW,
        check=_count,
    )
    offset_replicas: int = option(
        "offset.storage.replication.factor",
        "Replicas of that topic, if the worker makes it; -1 is the broker's default.",
        kind=Kind.SHORT,
        default="3",
        importance=_LOW,
        check=_count,
    )
    offset_partitions: int = option(
        "offset.storage.partitions",
        "Partitions of that topic, if the worker makes it; -1 is the broker's default.",
        kind=Kind.INT,
        default="25",
        importance=_LOW,
        check=_count,
    )
    status_replicas: int = option(
        "status.storage.replication.factor",
        "Replicas of that topic, if the worker makes it; -1 is the broker's default.",
        kind=Kind.SHORT,
        default="3",
        importance=_LOW,
        check=_count,
    )
    status_partitions: int = option(
        "status.storage.partitions",
        "Partitions of that topic, if the worker makes it; -1 is the broker's default.",
        kind=Kind.INT,
        default="5",
        importance=_LOW,
        check=_count,
    )
    session_ms: int = option(
        "session.timeout.ms",
        "Milliseconds without a sign of life after which another worker takes over.",
        kind=Kind.INT,
        default="10000",
        importance=_HIGH,
        check=at_least(1),
    )
    heartbeat_ms: int = option(
        "heartbeat.interval.ms",
        "Milliseconds between signs of life.",
        kind=Kind.INT,
        default="3000",
        importance=_HIGH,
        check=at_least(1),
    )
    rebalance_ms: int = option(
        "rebalance.timeout.ms",
        "Milliseconds a worker may take to join again when the group changes.",
        kind=Kind.INT,
        default="60000",
        importance=_HIGH,
        check=at_least(1),
    )
    exactly_once: str = option(
        "exactly.once.source.support",
        "Only `disabled` can be had so far; `preparing` is taken for it.",
        default="disabled",
        importance=_HIGH,
        check=any_case(["disabled", "preparing", "enabled"]),
    )
    key_ttl_ms: int = option(
        "inter.worker.key.ttl.ms",
        "Milliseconds after which the key in the config topic is renewed.",
        kind=Kind.INT,
        default="3600000",
        importance=_LOW,
        check=at_least(0),
    )

    @classmethod
    def of(cls, settings: WorkerSettings) -> Self:
        """ConfigError with the messages of every option that cannot be used."""
        options = load(cls, settings.properties)
        if options.exactly_once.lower() == "enabled":
            name = "exactly.once.source.support"
            raise ConfigError(
                {
                    name: [
                        f"Invalid value enabled for configuration {name}: this worker delivers source records at least "
                        "once; set it to disabled to accept that, or keep these connectors on a JVM worker"
                    ]
                }
            )
        topics = {options.config_topic, options.offset_topic, options.status_topic}
        if len(topics) < 3:
            raise ConfigError(
                "config.storage.topic, offset.storage.topic and status.storage.topic must name three different topics, "
                f"and they name {', '.join(sorted(topics))}"
            )
        return options


ACCEPTED: Final = frozenset(
    """
    connect.protocol inter.worker.key.generation.algorithm inter.worker.key.size inter.worker.signature.algorithm
    inter.worker.verification.algorithms scheduled.rebalance.max.delay.ms worker.sync.timeout.ms
    worker.unsync.backoff.ms
    """.split()
)
"""Options about work that several workers share; without effect while one of them does it all."""


def known_names() -> set[str]:
    """Names of all options that a distributed worker knows besides every worker's."""
    return {option.name for option in options_of(GroupOptions)} | ACCEPTED


@dataclass(frozen=True, slots=True)
class TopicPlans:
    """The three topics of a group."""

    configs: TopicPlan
    offsets: TopicPlan
    statuses: TopicPlan

    @classmethod
    def of(cls, options: GroupOptions, settings: WorkerSettings) -> Self:
        """As the options say; settings such as `offset.storage.segment.bytes` are the topic's."""
        return cls(
            TopicPlan(
                name=options.config_topic,
                key="config.storage.topic",
                purpose="connector configurations",
                replication_factor=options.config_replicas,
                configs=_own_settings(settings, "config", "partitions"),
                single=True,
            ),
            TopicPlan(
                name=options.offset_topic,
                key="offset.storage.topic",
                purpose="source connector offsets",
                partitions=options.offset_partitions,
                replication_factor=options.offset_replicas,
                configs=_own_settings(settings, "offset"),
            ),
            TopicPlan(
                name=options.status_topic,
                key="status.storage.topic",
                purpose="connector and task statuses",
                partitions=options.status_partitions,
                replication_factor=options.status_replicas,
                configs=_own_settings(settings, "status"),
            ),
        )


def _own_settings(settings: WorkerSettings, topic: str, *ignored: str) -> dict[str, str]:
    prefix = f"{topic}.storage."
    found = {
        name.removeprefix(prefix): value.strip()
        for name, value in settings.properties.items()
        if name.startswith(prefix)
    }
    # A standalone worker's file, which stands in many a file of properties, is no setting of a topic.
    for name in ("topic", "replication.factor", "partitions", "file.filename"):
        if name not in ignored:
            found.pop(name, None)
    for name in ("cleanup.policy", *ignored):
        if found.pop(name, None) is not None:
            log.warning("%s%s has no effect: the worker decides it", prefix, name)
    return found
