"""Conversations about settings: describing, replacing and changing them, of topics, brokers and groups."""

from __future__ import annotations

from typing import Any

from tests.integration.broker.differential.talk import (
    ALTER_CONFIGS,
    DESCRIBE_CONFIGS,
    INCREMENTAL,
    LIST_CONFIGS,
    Talk,
    conversation,
)

UNKNOWN, TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 0, 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)


def describe(talk: Talk, kind: int, name: str, keys: Any = None, *, version: int = 4, more: bool = True) -> Any:
    """All there is to know of some settings, or without synonyms and documentation."""
    resources = [{"resource_type": kind, "resource_name": name, "configuration_keys": keys}]
    asked = {"include_synonyms": more, "include_documentation": more}
    return talk.ask(DESCRIBE_CONFIGS, version, resources=resources, **asked)


def change(talk: Talk, kind: int, name: str, *changes: tuple[str, int, str | None], **asked: Any) -> Any:
    """IncrementalAlterConfigs for one resource."""
    configs = [{"name": key, "config_operation": operation, "value": value} for key, operation, value in changes]
    resources = [{"resource_type": kind, "resource_name": name, "configs": configs}]
    version = asked.pop("version", 1)
    return talk.ask(INCREMENTAL, version, resources=resources, validate_only=asked.pop("validate_only", False))


def replace(talk: Talk, kind: int, name: str, *, version: int = 2, validate_only: bool = False, **configs: Any) -> Any:
    """AlterConfigs; `configs` have underscores in place of dots."""
    wanted = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    resources = [{"resource_type": kind, "resource_name": name, "configs": wanted}]
    return talk.ask(ALTER_CONFIGS, version, resources=resources, validate_only=validate_only)


# -- describing ------------------------------------------------------------------------------

for _version in range(1, 5):

    @conversation(f"settings of a topic v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(retention_ms=1000, cleanup_policy="compact")
        describe(talk, TOPIC, name, version=version)

    @conversation(f"some settings v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(retention_ms=1000)
        describe(talk, TOPIC, name, ["retention.ms", "no.such.setting", "segment.bytes"], version=version)
        describe(talk, TOPIC, name, [], version=version, more=False)
        describe(talk, TOPIC, name, ["retention.ms"], version=version, more=False)


@conversation("settings of what is not there")
def _(talk: Talk) -> None:
    for kind in (UNKNOWN, 1, TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP, 64, -1):
        for name in ("nowhere", ""):
            describe(talk, kind, name, ["retention.ms"])


@conversation("settings of badly named topics")
def _(talk: Talk) -> None:
    for name in ("a b", ".", "x" * 250):
        describe(talk, TOPIC, name, ["retention.ms"])


@conversation("settings of the same topic twice")
def _(talk: Talk) -> None:
    name = talk.topic()
    resource = {"resource_type": TOPIC, "resource_name": name, "configuration_keys": ["retention.ms"]}
    talk.ask(DESCRIBE_CONFIGS, 4, resources=[resource, resource])


BROKER_SETTINGS = [
    "auto.create.topics.enable",
    "num.partitions",
    "default.replication.factor",
    "message.max.bytes",
    "socket.request.max.bytes",
    "log.segment.bytes",
    "log.roll.ms",
    "log.roll.hours",
    "log.retention.check.interval.ms",
    "log.retention.ms",
    "log.retention.minutes",
    "log.retention.hours",
    "log.retention.bytes",
    "log.cleaner.enable",
    "log.cleaner.backoff.ms",
    "log.cleaner.delete.retention.ms",
    "log.cleaner.min.cleanable.ratio",
    "log.cleaner.min.compaction.lag.ms",
    "log.cleaner.max.compaction.lag.ms",
    "log.cleanup.policy",
    "log.message.timestamp.type",
    "log.message.timestamp.before.max.ms",
    "log.message.timestamp.after.max.ms",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.index.interval.bytes",
    "log.index.size.max.bytes",
    "log.preallocate",
    "log.segment.delete.delay.ms",
    "min.insync.replicas",
    "compression.type",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "unclean.leader.election.enable",
    "group.max.session.timeout.ms",
    "group.min.session.timeout.ms",
    "group.max.size",
    "group.consumer.assignors",
    "group.consumer.heartbeat.interval.ms",
    "group.consumer.min.heartbeat.interval.ms",
    "group.consumer.max.heartbeat.interval.ms",
    "group.consumer.session.timeout.ms",
    "group.consumer.min.session.timeout.ms",
    "group.consumer.max.session.timeout.ms",
    "group.consumer.max.size",
    "offsets.retention.minutes",
    "offsets.retention.check.interval.ms",
    "offset.metadata.max.bytes",
    "transaction.max.timeout.ms",
    "transactional.id.expiration.ms",
    "producer.id.expiration.ms",
    "ssl.key.password",
]

for _setting in BROKER_SETTINGS:

    @conversation(f"the broker's {_setting}")
    def _(talk: Talk, setting: str = _setting) -> None:
        describe(talk, BROKER, "1", [setting])


@conversation("settings of the broker, older versions")
def _(talk: Talk) -> None:
    for version in (1, 2, 3):
        describe(talk, BROKER, "1", ["message.max.bytes"], version=version)


@conversation("settings of other brokers")
def _(talk: Talk) -> None:
    for name in ("", "2", "one", "-1"):
        describe(talk, BROKER, name, ["message.max.bytes"])


@conversation("settings of a group")
def _(talk: Talk) -> None:
    describe(talk, GROUP, talk.prefix)
    change(talk, GROUP, talk.prefix, ("consumer.session.timeout.ms", SET, "50000"))
    describe(talk, GROUP, talk.prefix, ["consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"])
    change(talk, GROUP, talk.prefix, ("consumer.session.timeout.ms", DELETE, None))
    describe(talk, GROUP, talk.prefix, ["consumer.session.timeout.ms"])


# -- changing topics -------------------------------------------------------------------------

for _name, _changes in {
    "set": [("retention.ms", SET, "5")],
    "set with blanks": [("retention.ms", SET, " 5 ")],
    "set two": [("retention.ms", SET, "5"), ("segment.bytes", SET, "2000000")],
    "set one and a bad one": [("retention.ms", SET, "5"), ("segment.bytes", SET, "x")],
    "set null": [("retention.ms", SET, None)],
    "set nothing": [("retention.ms", SET, "")],
    "set an empty list": [("cleanup.policy", SET, "")],
    "set twice": [("retention.ms", SET, "5"), ("retention.ms", SET, "6")],
    "set and delete": [("retention.ms", SET, "5"), ("retention.ms", DELETE, None)],
    "set the unknown": [("no.such.setting", SET, "5")],
    "delete": [("max.message.bytes", DELETE, None)],
    "delete what is not set": [("retention.bytes", DELETE, None)],
    "delete the unknown": [("no.such.setting", DELETE, None)],
    "delete with a value": [("max.message.bytes", DELETE, "1")],
    "append": [("cleanup.policy", APPEND, "compact")],
    "append what is there": [("cleanup.policy", APPEND, "delete")],
    "append two": [("cleanup.policy", APPEND, "compact,delete")],
    "append nonsense": [("cleanup.policy", APPEND, "nonsense")],
    "append to a number": [("retention.ms", APPEND, "5")],
    "append null": [("cleanup.policy", APPEND, None)],
    "append to the unknown": [("no.such.setting", APPEND, "5")],
    "subtract": [("cleanup.policy", SUBTRACT, "delete")],
    "subtract what is not there": [("cleanup.policy", SUBTRACT, "compact")],
    "subtract from a number": [("retention.ms", SUBTRACT, "5")],
    "an operation that does not exist": [("retention.ms", 9, "5")],
    "a boolean": [("preallocate", SET, "maybe")],
    "a double": [("min.cleanable.dirty.ratio", SET, "half")],
    "a long": [("retention.ms", SET, "9223372036854775808")],
    "a long with a point": [("retention.ms", SET, "1.5")],
    "below the lowest": [("retention.ms", SET, "-2")],
    "an int": [("max.message.bytes", SET, "2147483648")],
    "a negative int": [("max.message.bytes", SET, "-1")],
    "timestamp limits": [
        ("message.timestamp.before.max.ms", SET, "-1"),
        ("message.timestamp.after.max.ms", SET, "5"),
    ],
    "remote copy": [("remote.log.copy.disable", SET, "true")],
    "lags that contradict": [("min.compaction.lag.ms", SET, "9"), ("max.compaction.lag.ms", SET, "8")],
    "nothing at all": [],
}.items():

    @conversation(f"change a topic: {_name}")
    def _(talk: Talk, changes: Any = _changes) -> None:
        name = talk.topic(max_message_bytes=4000)
        change(talk, TOPIC, name, *changes, validate_only=True)
        change(talk, TOPIC, name, *changes)
        keys = sorted({"max.message.bytes", *(key for key, _, _ in changes)})
        describe(talk, TOPIC, name, keys)


@conversation("change a topic v0")
def _(talk: Talk) -> None:
    name = talk.topic()
    change(talk, TOPIC, name, ("retention.ms", SET, "5"), version=0)
    describe(talk, TOPIC, name, ["retention.ms"], more=False)


@conversation("change what is not there")
def _(talk: Talk) -> None:
    for kind in (UNKNOWN, 1, TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP, 64):
        for name in (f"{talk.prefix}-unknown", ""):
            change(talk, kind, name, ("retention.ms", SET, "5"), validate_only=True)


@conversation("change the same topic twice")
def _(talk: Talk) -> None:
    name = talk.topic()
    configs = [{"name": "retention.ms", "config_operation": SET, "value": "5"}]
    resource = {"resource_type": TOPIC, "resource_name": name, "configs": configs}
    talk.ask(INCREMENTAL, 1, resources=[resource, resource])
    talk.ask(INCREMENTAL, 1, resources=[])


for _version in range(3):

    @conversation(f"replace settings v{_version}")
    def _(talk: Talk, version: int = _version) -> None:
        name = talk.topic(max_message_bytes=4000)
        keys = ["max.message.bytes", "retention.ms", "retention.bytes"]
        replace(talk, TOPIC, name, version=version, retention_ms="5")
        describe(talk, TOPIC, name, keys, more=False)
        replace(talk, TOPIC, name, version=version, retention_bytes="x")
        replace(talk, TOPIC, name, version=version, retention_bytes=None)
        replace(talk, TOPIC, name, version=version, no_such_setting="1")
        replace(talk, TOPIC, name, version=version, retention_bytes="100", validate_only=True)
        describe(talk, TOPIC, name, keys, more=False)
        replace(talk, TOPIC, name, version=version)
        describe(talk, TOPIC, name, keys, more=False)


@conversation("replace settings of what is not there")
def _(talk: Talk) -> None:
    for kind in (UNKNOWN, TOPIC, LOGGER, CLIENT_METRICS, 64):
        replace(talk, kind, f"{talk.prefix}-unknown", retention_ms="5", validate_only=True)


# -- changing brokers and groups -------------------------------------------------------------

for _name, _changes in {
    "a dynamic setting": [("log.retention.ms", SET, "700000")],
    "another dynamic setting": [("message.max.bytes", SET, "2000000")],
    "a list": [("log.cleanup.policy", SET, "compact")],
    "a bad value": [("log.retention.ms", SET, "x")],
    "a value out of range": [("message.max.bytes", SET, "-1")],
    "null": [("log.retention.ms", SET, None)],
    "a read-only setting": [("num.partitions", SET, "3")],
    "another read-only setting": [("default.replication.factor", SET, "1")],
    "the node's id": [("node.id", SET, "2")],
    "a listener's": [("listener.name.plaintext.ssl.keystore.location", SET, "/nowhere")],
    "the unknown": [("no.such.setting", SET, "1")],
    "a topic's": [("retention.ms", SET, "5")],
    "segments": [("log.segment.bytes", SET, "1048576")],
    "small segments": [("log.segment.bytes", SET, "10")],
    "timestamps": [("log.message.timestamp.after.max.ms", SET, "5000")],
    "compression": [("compression.type", SET, "zstd")],
    "a group's default": [("group.consumer.session.timeout.ms", SET, "46000")],
    "replicas": [("min.insync.replicas", SET, "1")],
}.items():

    @conversation(f"change the brokers: {_name}")
    def _(talk: Talk, changes: Any = _changes) -> None:
        keys = sorted({key for key, _, _ in changes})
        back = [(key, DELETE, None) for key in keys]
        for broker in ("", "1"):
            change(talk, BROKER, broker, *changes, validate_only=True)
            answer = change(talk, BROKER, broker, *changes)
            describe(talk, BROKER, broker, keys)
            describe(talk, BROKER, "1", keys)
            if answer.responses[0].error_code == 0:
                change(talk, BROKER, broker, *back)
        describe(talk, BROKER, "1", keys)


@conversation("a broker's setting reaches topics")
def _(talk: Talk) -> None:
    name = talk.topic()
    change(talk, BROKER, "", ("log.retention.bytes", SET, "7000000"))
    describe(talk, TOPIC, name, ["retention.bytes"])
    change(talk, BROKER, "1", ("log.retention.bytes", SET, "8000000"))
    describe(talk, TOPIC, name, ["retention.bytes"])
    change(talk, TOPIC, name, ("retention.bytes", SET, "9000000"))
    describe(talk, TOPIC, name, ["retention.bytes"])
    change(talk, BROKER, "1", ("log.retention.bytes", DELETE, None))
    change(talk, BROKER, "", ("log.retention.bytes", DELETE, None))
    describe(talk, TOPIC, name, ["retention.bytes"])


@conversation("settings of all brokers")
def _(talk: Talk) -> None:
    describe(talk, BROKER, "")
    change(talk, BROKER, "", ("log.retention.bytes", SET, "7000000"))
    describe(talk, BROKER, "")
    change(talk, BROKER, "", ("log.retention.bytes", DELETE, None))


@conversation("another broker's settings")
def _(talk: Talk) -> None:
    for name in ("2", "one", "-1"):
        change(talk, BROKER, name, ("log.retention.bytes", SET, "7000000"), validate_only=True)


for _name, _changes in {
    "session": [("consumer.session.timeout.ms", SET, "47000")],
    "session too short": [("consumer.session.timeout.ms", SET, "1")],
    "session too long": [("consumer.session.timeout.ms", SET, "999999999")],
    "session of nothing": [("consumer.session.timeout.ms", SET, "")],
    "session that is no number": [("consumer.session.timeout.ms", SET, "x")],
    "heartbeat": [("consumer.heartbeat.interval.ms", SET, "6000")],
    "heartbeat too often": [("consumer.heartbeat.interval.ms", SET, "1")],
    "heartbeat too seldom": [("consumer.heartbeat.interval.ms", SET, "99999999")],
    "heartbeat longer than the session": [
        ("consumer.session.timeout.ms", SET, "45000"),
        ("consumer.heartbeat.interval.ms", SET, "45000"),
    ],
    "the unknown": [("no.such.setting", SET, "1")],
    "null": [("consumer.session.timeout.ms", SET, None)],
    "delete": [("consumer.session.timeout.ms", DELETE, None)],
}.items():

    @conversation(f"change a group: {_name}")
    def _(talk: Talk, changes: Any = _changes) -> None:
        change(talk, GROUP, talk.prefix, *changes, validate_only=True)
        change(talk, GROUP, talk.prefix, *changes)
        describe(talk, GROUP, talk.prefix, [key for key, _, _ in changes])


# -- ListConfigResources ---------------------------------------------------------------------


@conversation("resources with settings v0")
def _(talk: Talk) -> None:
    talk.ask(LIST_CONFIGS, 0)


@conversation("resources with settings v1")
def _(talk: Talk) -> None:
    talk.whole = True
    talk.topic()
    change(talk, GROUP, talk.prefix, ("consumer.session.timeout.ms", SET, "47000"))
    for kinds in ([TOPIC], [GROUP], [CLIENT_METRICS], [TOPIC, GROUP], [64], [UNKNOWN], [1]):
        talk.ask(LIST_CONFIGS, 1, resource_types=kinds)
    talk.whole = False
    talk.ask(LIST_CONFIGS, 1, resource_types=[BROKER])
    talk.ask(LIST_CONFIGS, 1, resource_types=[LOGGER])
