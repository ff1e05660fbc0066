"""Topic and broker settings: Kafka's names, types and defaults (Kafka 4.1 documentation, "Topic configs")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from syncline.broker.config_docs import DOCUMENTATION
from syncline.broker.errors import INVALID_CONFIG, KafkaError

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1


class ConfigType(IntEnum):
    """Types as DescribeConfigs numbers them."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    DOUBLE = 6
    LIST = 7
    PASSWORD = 9


Check = Callable[[str], str | None]
"""What is wrong with a value of the right type, in Kafka's words; None when nothing."""


def _anything(text: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    kind: ConfigType
    default: str | None
    """None: nothing, until it is given."""
    check: Check = _anything
    synonym: str | None = None
    """The broker's setting a topic inherits from."""
    dynamic: bool = False
    """A setting of the broker that may change while it runs."""

    @property
    def secret(self) -> bool:
        """Whether the value is never shown."""
        return self.kind in (ConfigType.PASSWORD, ConfigType.UNKNOWN)

    @property
    def documentation(self) -> str | None:
        return DOCUMENTATION.get(self.name)

    def validate(self, text: str) -> None:
        """KafkaError when `text` is no value of this setting."""
        value = text
        try:
            value = self.canonical(text)
            wrong = self.check(value)
        except ValueError as exc:
            wrong = str(exc)
        if self.kind is ConfigType.LIST and wrong is not None:
            # Kafka names the part that is wrong, or shows the list as Java writes it.
            bad = [part for part in _parts(value) if self.check(part) is not None]
            value = bad[0] if wrong.startswith("String must be") else f"[{', '.join(_parts(value))}]"
        if wrong is not None:
            shown = "[hidden]" if self.secret else value
            raise KafkaError(INVALID_CONFIG, f"Invalid value {shown} for configuration {self.name}: {wrong}")

    def canonical(self, text: str) -> str:
        """A value as Kafka shows it, without blanks around it; ValueError when it is of another type."""
        bare = text.strip()
        match self.kind:
            case ConfigType.BOOLEAN:
                if bare.lower() not in ("true", "false"):
                    raise ValueError("Expected value to be either true or false")
                return bare.lower()
            case ConfigType.INT | ConfigType.LONG:
                highest = INT_MAX if self.kind is ConfigType.INT else LONG_MAX
                if _WHOLE.fullmatch(bare) is None or not -highest - 1 <= int(bare) <= highest:
                    raise ValueError(f"Not a number of type {self.kind.name}")
                return str(int(bare))
            case ConfigType.DOUBLE:
                try:
                    return str(float(bare))
                except ValueError:
                    raise ValueError("Not a number of type DOUBLE") from None
            case ConfigType.LIST:
                return ",".join(part.strip() for part in bare.split(",")) if bare else ""
        return bare


_WHOLE: Final = re.compile(r"[+-]?[0-9]+")


def _at_least(low: float) -> Check:
    return lambda text: None if float(text) >= low else f"Value must be at least {low}"


def _between(low: float, high: float) -> Check:
    def check(text: str) -> str | None:
        return _at_least(low)(text) or (None if float(text) <= high else f"Value must be no more than {high}")

    return check


def _one_of(*allowed: str) -> Check:
    return lambda text: None if text in allowed else f"String must be one of: {', '.join(allowed)}"


def _each_of(*allowed: str) -> Check:
    def check(text: str) -> str | None:
        return next((wrong for part in _parts(text) if (wrong := _one_of(*allowed)(part))), None)

    return check


def _gzip_level(text: str) -> str | None:
    return None if int(text) == -1 or 1 <= int(text) <= 9 else "Value must be between 1 and 9 or equal to -1"


def _assignors(text: str) -> str | None:
    return _each_of("uniform", "range")(text) if text else "at least one is needed"


def _versions(text: str) -> str | None:
    known = ({"TLSv1.2"}, {"TLSv1.3"}, {"TLSv1.2", "TLSv1.3"})
    return None if set(_parts(text)) in known else "TLSv1.2 and TLSv1.3 are served"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


# GSSAPI, Kafka's default, is let pass here; a listener that would need it says that it is not served.
_mechanisms: Final = _each_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")
_policies: Final = _each_of("compact", "delete")
_compressions: Final = _one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
_clocks: Final = _one_of("CreateTime", "LogAppendTime")
_MEGABYTE: Final = 1 << 20


def _throttled(name: str) -> Check:
    def check(text: str) -> str | None:
        parts = _parts(text)
        if parts == ["*"] or all(re.fullmatch(r"[0-9]+:[0-9]+", part) for part in parts):
            return None
        return (
            f"{name} must be the literal '*' or a list of replicas in the following format: "
            "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
        )

    return check


def _setting(
    name: str,
    kind: ConfigType,
    default: object,
    check: Check = _anything,
    synonym: str | None = None,
    *,
    dynamic: bool = False,
) -> Setting:
    text = str(default).lower() if isinstance(default, bool) else None if default is None else str(default)
    return Setting(name, kind, text, check, synonym, dynamic)


_B, _S, _I, _L, _D, _LIST = (
    ConfigType.BOOLEAN,
    ConfigType.STRING,
    ConfigType.INT,
    ConfigType.LONG,
    ConfigType.DOUBLE,
    ConfigType.LIST,
)
_P: Final = ConfigType.PASSWORD

TOPIC: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for setting in (
        _setting("cleanup.policy", _LIST, "delete", _policies, "log.cleanup.policy"),
        _setting("compression.gzip.level", _I, -1, _gzip_level, "compression.gzip.level"),
        _setting("compression.lz4.level", _I, 9, _between(1, 17), "compression.lz4.level"),
        _setting("compression.type", _S, "producer", _compressions, "compression.type"),
        _setting("compression.zstd.level", _I, 3, _between(-131_072, 22), "compression.zstd.level"),
        _setting("delete.retention.ms", _L, 86_400_000, _at_least(0), "log.cleaner.delete.retention.ms"),
        _setting("file.delete.delay.ms", _L, 60_000, _at_least(0), "log.segment.delete.delay.ms"),
        _setting("flush.messages", _L, LONG_MAX, _at_least(1), "log.flush.interval.messages"),
        _setting("flush.ms", _L, LONG_MAX, _at_least(0), "log.flush.interval.ms"),
        _setting(
            "follower.replication.throttled.replicas", _LIST, "", _throttled("follower.replication.throttled.replicas")
        ),
        _setting("index.interval.bytes", _I, 4096, _at_least(0), "log.index.interval.bytes"),
        _setting(
            "leader.replication.throttled.replicas", _LIST, "", _throttled("leader.replication.throttled.replicas")
        ),
        _setting("local.retention.bytes", _L, -2, _at_least(-2), "log.local.retention.bytes"),
        _setting("local.retention.ms", _L, -2, _at_least(-2), "log.local.retention.ms"),
        _setting("max.compaction.lag.ms", _L, LONG_MAX, _at_least(1), "log.cleaner.max.compaction.lag.ms"),
        _setting("max.message.bytes", _I, 1_048_588, _at_least(0), "message.max.bytes"),
        _setting("message.timestamp.after.max.ms", _L, 3_600_000, _at_least(0), "log.message.timestamp.after.max.ms"),
        _setting("message.timestamp.before.max.ms", _L, LONG_MAX, _at_least(0), "log.message.timestamp.before.max.ms"),
        _setting("message.timestamp.type", _S, "CreateTime", _clocks, "log.message.timestamp.type"),
        _setting("min.cleanable.dirty.ratio", _D, 0.5, _between(0, 1), "log.cleaner.min.cleanable.ratio"),
        _setting("min.compaction.lag.ms", _L, 0, _at_least(0), "log.cleaner.min.compaction.lag.ms"),
        _setting("min.insync.replicas", _I, 1, _at_least(1), "min.insync.replicas"),
        _setting("preallocate", _B, False, synonym="log.preallocate"),
        _setting("remote.log.copy.disable", _B, False),
        _setting("remote.log.delete.on.disable", _B, False),
        _setting("remote.storage.enable", _B, False),
        _setting("retention.bytes", _L, -1, _at_least(-1), "log.retention.bytes"),
        _setting("retention.ms", _L, 604_800_000, _at_least(-1), "log.retention.ms"),
        _setting("segment.bytes", _I, 1_073_741_824, _at_least(_MEGABYTE), "log.segment.bytes"),
        _setting("segment.index.bytes", _I, 10_485_760, _at_least(4), "log.index.size.max.bytes"),
        _setting("segment.jitter.ms", _L, 0, _at_least(0), "log.roll.jitter.ms"),
        _setting("segment.ms", _L, 604_800_000, _at_least(1), "log.roll.ms"),
        _setting("unclean.leader.election.enable", _B, False, synonym="unclean.leader.election.enable"),
    )
}
SMALL_SEGMENTS: Final = _setting("internal.segment.bytes", _I, None, _at_least(1))
"""Kafka's own tests want segments below a megabyte too, and hide this topic setting from everybody else."""

BROKER: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for setting in (
        _setting("auto.create.topics.enable", _B, True),
        _setting("num.partitions", _I, 1, _at_least(1)),
        _setting("default.replication.factor", _I, 1, _at_least(1)),
        _setting("message.max.bytes", _I, 1_048_588, _at_least(0), dynamic=True),
        # Kafka's 55 MiB go from its files straight to the socket; here they pass through memory.
        _setting("fetch.max.bytes", _I, 4_194_304, _at_least(1024)),
        _setting("socket.request.max.bytes", _I, 104_857_600, _at_least(1)),
        # Below a megabyte only here: Kafka refuses that, but small data folders need small segments.
        _setting("log.segment.bytes", _I, 1_073_741_824, _at_least(14), dynamic=True),
        _setting("log.roll.ms", _L, None, _at_least(1), dynamic=True),
        _setting("log.roll.hours", _I, 168, _at_least(1)),
        _setting("log.roll.jitter.ms", _L, None, _at_least(0), dynamic=True),
        _setting("log.roll.jitter.hours", _I, 0, _at_least(0)),
        _setting("log.retention.check.interval.ms", _L, 300_000, _at_least(1)),
        _setting("log.cleaner.enable", _B, True),
        _setting("log.cleaner.backoff.ms", _L, 15_000, _at_least(0), dynamic=True),
        _setting("log.cleaner.delete.retention.ms", _L, 86_400_000, _at_least(0), dynamic=True),
        _setting("log.cleaner.min.cleanable.ratio", _D, 0.5, _between(0, 1), dynamic=True),
        _setting("log.cleaner.min.compaction.lag.ms", _L, 0, _at_least(0), dynamic=True),
        _setting("log.cleaner.max.compaction.lag.ms", _L, LONG_MAX, _at_least(1), dynamic=True),
        _setting("log.cleanup.policy", _LIST, "delete", _policies, dynamic=True),
        _setting("log.retention.ms", _L, None, _at_least(-1), dynamic=True),
        _setting("log.retention.minutes", _I, None, _at_least(-1)),
        _setting("log.retention.hours", _I, 168, _at_least(-1)),
        _setting("log.retention.bytes", _L, -1, _at_least(-1), dynamic=True),
        _setting("log.message.timestamp.type", _S, "CreateTime", _clocks, dynamic=True),
        _setting("log.message.timestamp.before.max.ms", _L, LONG_MAX, _at_least(0), dynamic=True),
        _setting("log.message.timestamp.after.max.ms", _L, 3_600_000, _at_least(0), dynamic=True),
        _setting("log.flush.interval.messages", _L, LONG_MAX, _at_least(1), dynamic=True),
        _setting("log.flush.interval.ms", _L, None, _at_least(0), dynamic=True),
        _setting("log.index.interval.bytes", _I, 4096, _at_least(0), dynamic=True),
        _setting("log.index.size.max.bytes", _I, 10_485_760, _at_least(4), dynamic=True),
        _setting("log.preallocate", _B, False, dynamic=True),
        _setting("log.segment.delete.delay.ms", _L, 60_000, _at_least(0), dynamic=True),
        _setting("log.local.retention.bytes", _L, -2, _at_least(-2), dynamic=True),
        _setting("log.local.retention.ms", _L, -2, _at_least(-2), dynamic=True),
        _setting("unclean.leader.election.enable", _B, False, dynamic=True),
        # Kafka waits 3 s for more members; on one machine that only makes the first poll slow.
        _setting("group.initial.rebalance.delay.ms", _I, 0, _at_least(0)),
        _setting("group.min.session.timeout.ms", _I, 6_000, _at_least(1)),
        _setting("group.max.session.timeout.ms", _I, 1_800_000, _at_least(1)),
        _setting("group.max.size", _I, INT_MAX, _at_least(1)),
        _setting("group.consumer.assignors", _LIST, "uniform,range", _assignors),
        _setting("group.consumer.heartbeat.interval.ms", _I, 5_000, _at_least(1)),
        _setting("group.consumer.min.heartbeat.interval.ms", _I, 5_000, _at_least(1)),
        _setting("group.consumer.max.heartbeat.interval.ms", _I, 15_000, _at_least(1)),
        _setting("group.consumer.max.size", _I, INT_MAX, _at_least(1)),
        _setting("group.consumer.session.timeout.ms", _I, 45_000, _at_least(1)),
        _setting("group.consumer.min.session.timeout.ms", _I, 45_000, _at_least(1)),
        _setting("group.consumer.max.session.timeout.ms", _I, 60_000, _at_least(1)),
        _setting("offsets.retention.check.interval.ms", _L, 600_000, _at_least(1)),
        _setting("offsets.retention.minutes", _I, 10_080, _at_least(1)),
        # Kafka spreads groups over 50 partitions of many brokers; one broker gains nothing by it.
        _setting("offsets.topic.num.partitions", _I, 1, _at_least(1)),
        _setting("offset.metadata.max.bytes", _I, 4_096, _at_least(0)),
        _setting("transaction.max.timeout.ms", _I, 900_000, _at_least(1)),
        _setting("transactional.id.expiration.ms", _I, 604_800_000, _at_least(1)),
        _setting("producer.id.expiration.ms", _I, 86_400_000, _at_least(1), dynamic=True),
        _setting("flush", _S, "interval", _one_of("never", "interval", "always")),
        _setting("flush.interval.ms", _I, 1_000, _at_least(1)),
        _setting("min.insync.replicas", _I, 1, _at_least(1), dynamic=True),
        _setting("compression.type", _S, "producer", _compressions, dynamic=True),
        _setting("compression.gzip.level", _I, -1, _gzip_level, dynamic=True),
        _setting("compression.lz4.level", _I, 9, _between(1, 17), dynamic=True),
        _setting("compression.zstd.level", _I, 3, _between(-131_072, 22), dynamic=True),
        # -- the data folder, for who starts the broker by a file
        _setting("log.dir", _S, "/tmp/kafka-logs"),  # noqa: S108  # Kafka's default; it is shown, and never used
        _setting("log.dirs", _LIST, ""),
        # -- listening
        _setting("listeners", _LIST, ""),
        _setting("advertised.listeners", _LIST, ""),
        _setting("controller.listener.names", _LIST, ""),
        _setting(
            "listener.security.protocol.map",
            _S,
            "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
        ),
        # -- each of these also as listener.name.{name}.{key}, for one listener
        _setting("connections.max.reauth.ms", _L, 0, _at_least(0)),
        _setting("sasl.enabled.mechanisms", _LIST, "GSSAPI", _mechanisms),
        _setting("sasl.server.max.receive.size", _I, 524_288, _at_least(1)),
        _setting("ssl.client.auth", _S, "none", _one_of("none", "requested", "required")),
        _setting("ssl.enabled.protocols", _LIST, "TLSv1.2,TLSv1.3", _versions),
        _setting("ssl.key.password", _P, None),
        _setting("ssl.keystore.certificate.chain", _P, None),
        _setting("ssl.keystore.key", _P, None),
        _setting("ssl.keystore.location", _S, ""),
        _setting("ssl.keystore.type", _S, "PEM"),
        _setting("ssl.truststore.certificates", _P, None),
        _setting("ssl.truststore.location", _S, ""),
        _setting("ssl.truststore.type", _S, "PEM"),
        _setting("connection.failed.authentication.delay.ms", _I, 100, _at_least(0)),
        # -- Syncline's own
        _setting("prometheus.port", _I, -1, _between(-1, 65_535)),
        _setting("prometheus.host", _S, "127.0.0.1"),
        # -- limits
        _setting("connections.max.idle.ms", _L, 600_000),
        _setting("max.connections", _I, INT_MAX, _at_least(1)),
        _setting("max.connections.per.ip", _I, INT_MAX, _at_least(0)),
        _setting("max.connections.per.ip.overrides", _S, ""),
        _setting("queued.max.request.bytes", _L, -1),
    )
}

PER_LISTENER: Final = re.compile(r"listener\.name\.([a-z0-9_]+)\.(.+)")
_OF_LISTENERS: Final = frozenset(
    name for name in BROKER if name.startswith(("ssl.", "sasl.", "connections.max.reauth"))
)
JAAS: Final = Setting("sasl.jaas.config", ConfigType.PASSWORD, None)
"""Always behind listener.name.{name}.{mechanism}."""
_JAAS_OF: Final = re.compile(r"(plain|scram-sha-256|scram-sha-512)\.sasl\.jaas\.config")


def server_setting(name: str) -> Setting | None:
    """What a key of server.properties means here; None when nothing."""
    found = PER_LISTENER.fullmatch(name)
    if found is None:
        return BROKER.get(name)
    if _JAAS_OF.fullmatch(found[2]):
        return replace(JAAS, name=name)
    return replace(BROKER[found[2]], name=name) if found[2] in _OF_LISTENERS else None


GROUP: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for setting in (
        _setting("consumer.heartbeat.interval.ms", _I, 5_000, _at_least(1), "group.consumer.heartbeat.interval.ms"),
        _setting("consumer.session.timeout.ms", _I, 45_000, _at_least(1), "group.consumer.session.timeout.ms"),
    )
}


def check_topic_configs(configs: Mapping[str, str], settings: Settings) -> None:
    """KafkaError for a name Kafka does not know, for a bad value, and for values that do not go together."""
    for name, value in configs.items():
        setting = SMALL_SEGMENTS if name == SMALL_SEGMENTS.name else TOPIC.get(name)
        if setting is None:
            raise KafkaError(INVALID_CONFIG, f"Unknown topic config name: {name}")
        setting.validate(value)
    if configs.get("remote.storage.enable", "").strip().lower() == "true":
        raise KafkaError(
            INVALID_CONFIG,
            "Tiered Storage functionality is disabled in the broker. "
            "Topic cannot be configured with remote log storage.",
        )
    low, high = (
        int(configs.get(name) or settings.topic_default(TOPIC[name]))
        for name in ("min.compaction.lag.ms", "max.compaction.lag.ms")
    )
    if low > high:
        raise KafkaError(
            INVALID_CONFIG,
            f"conflict topic config setting min.compaction.lag.ms ({low}) > max.compaction.lag.ms ({high})",
        )


def check_group_configs(configs: Mapping[str, str], settings: Settings) -> None:
    """KafkaError for a name Kafka does not know, and for a value outside of the broker's bounds."""
    for name, value in configs.items():
        if name not in GROUP:
            raise KafkaError(INVALID_CONFIG, f"Unknown group config name: {name}")
        GROUP[name].validate(value)
    values = {name: int(configs.get(name, settings.text(setting.synonym or ""))) for name, setting in GROUP.items()}
    for name in ("consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"):
        what = name.removeprefix("consumer.")
        if name not in configs:
            continue
        if values[name] < settings.number(f"group.consumer.min.{what}"):
            raise KafkaError(INVALID_CONFIG, f"{name} must be greater than or equal to group.consumer.min.{what}")
        if values[name] > settings.number(f"group.consumer.max.{what}"):
            raise KafkaError(INVALID_CONFIG, f"{name} must be less than or equal to group.consumer.max.{what}")
    if values["consumer.session.timeout.ms"] <= values["consumer.heartbeat.interval.ms"]:
        raise KafkaError(
            INVALID_CONFIG, "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
        )


class Source(IntEnum):
    """Where a value comes from, as DescribeConfigs numbers it."""

    TOPIC = 1
    BROKER = 2
    CLUSTER = 3
    STATIC = 4
    DEFAULT = 5
    GROUP = 8


COARSER: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "log.retention.ms": (("log.retention.minutes", 60_000), ("log.retention.hours", 3_600_000)),
    "log.roll.ms": (("log.roll.hours", 3_600_000),),
    "log.roll.jitter.ms": (("log.roll.jitter.hours", 3_600_000),),
}
"""Settings that count where the finer one is not given, and how many milliseconds their unit has."""


class Settings:
    """Settings of the broker in layers: what was set for it while it runs, for all brokers, at its start, by Kafka."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self.given = dict(given or {})
        self.of_broker: dict[str, str] = {}
        self.of_cluster: dict[str, str] = {}
        self.of_group: dict[str, dict[str, str]] = {}
        for name, value in self.given.items():
            setting = server_setting(name)
            if setting is not None:
                setting.validate(value)
        # Kafka 4.1 sets this for all brokers at the first start, since a leader's election hangs on it (KIP-966).
        self.of_cluster[ELECTED_BY] = self.text(ELECTED_BY)

    def layers(self, name: str) -> list[tuple[str, str, Source]]:
        """Name, value and source of every layer that has a value, the one that counts first."""
        found = [
            (name, layer[name], source)
            for layer, source in (
                (self.of_broker, Source.BROKER),
                (self.of_cluster, Source.CLUSTER),
                (self.given, Source.STATIC),
            )
            if name in layer
        ]
        found += [
            (coarse, self.given[coarse], Source.STATIC) for coarse, _ in COARSER.get(name, ()) if coarse in self.given
        ]
        default = BROKER[name].default if name in BROKER else None
        return found if default is None else [*found, (name, default, Source.DEFAULT)]

    def text(self, name: str) -> str:
        for layer in (self.of_broker, self.of_cluster, self.given):
            if name in layer:
                return layer[name]
        return BROKER[name].default or ""

    def number(self, name: str) -> int:
        return int(self.text(name))

    def flag(self, name: str) -> bool:
        return self.text(name).strip().lower() == "true"

    def of_listener(self, listener: str, name: str) -> str:
        """A value for one listener: its own, or that of all."""
        own = self.given.get(f"listener.name.{listener.lower()}.{name}")
        if own is not None:
            return own
        return self.text(name) if name in BROKER else ""

    def topic_default(self, setting: Setting) -> str:
        """What a topic without a value of its own gets."""
        own = self.text(setting.synonym) if setting.synonym is not None else ""
        if own:
            return BROKER[setting.synonym or ""].canonical(own)
        for coarse, unit in COARSER.get(setting.synonym or "", ()):
            if coarse in self.given:
                number = int(self.given[coarse])
                return str(number * unit if number >= 0 else number)
        return setting.default or ""

    def for_group(self, group: str, name: str) -> int:
        """The value of one of a group's settings."""
        own = self.of_group.get(group, {}).get(name)
        return int(own) if own is not None else self.number(GROUP[name].synonym or "")


ELECTED_BY: Final = "min.insync.replicas"
