"""Topic and broker settings: Kafka's names, types and defaults (Kafka 4.1 documentation, "Topic configs")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from syncline.broker.errors import INVALID_CONFIG, KafkaError

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1


class ConfigType(IntEnum):
    """Types as DescribeConfigs numbers them."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    DOUBLE = 6
    LIST = 7
    PASSWORD = 9


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    kind: ConfigType
    default: str
    check: Callable[[str], bool] = lambda text: True
    synonym: str | None = None
    """The broker's setting a topic inherits from."""

    @property
    def secret(self) -> bool:
        """Whether the value is never shown."""
        return self.kind is ConfigType.PASSWORD

    def validate(self, text: str) -> None:
        """KafkaError when `text` is no value of this setting."""
        try:
            if self.kind is ConfigType.BOOLEAN and text not in ("true", "false"):
                raise ValueError("expected true or false")
            if self.kind in (ConfigType.INT, ConfigType.LONG):
                int(text)
            if self.kind is ConfigType.DOUBLE:
                float(text)
            if not self.check(text):
                raise ValueError("value out of range")
        except ValueError as exc:
            shown = "[hidden]" if self.secret else text
            raise KafkaError(INVALID_CONFIG, f"Invalid value {shown} for configuration {self.name}: {exc}") from exc


def _at_least(low: float) -> Callable[[str], bool]:
    return lambda text: float(text) >= low


def _one_of(*allowed: str) -> Callable[[str], bool]:
    return lambda text: text in allowed


def _policies(text: str) -> bool:
    return all(part.strip() in ("compact", "delete") for part in text.split(",") if part.strip())


def _assignors(text: str) -> bool:
    return bool(text) and all(part.strip() in ("uniform", "range") for part in text.split(","))


def _setting(
    name: str,
    kind: ConfigType,
    default: object,
    check: Callable[[str], bool] = lambda text: True,
    synonym: str | None = None,
) -> Setting:
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return Setting(name, kind, text, check, synonym)


def _port(text: str) -> bool:
    return -1 <= int(text) <= 65535


def _versions(text: str) -> bool:
    return set(_parts(text)) in ({"TLSv1.2"}, {"TLSv1.3"}, {"TLSv1.2", "TLSv1.3"})


def _mechanisms(text: str) -> bool:
    # GSSAPI, Kafka's default, is let pass here; a listener that would need it says that it is not served.
    return set(_parts(text)) <= {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"}


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


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
        _setting(
            "compression.type",
            _S,
            "producer",
            _one_of("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
            "compression.type",
        ),
        _setting("compression.gzip.level", _I, -1),
        _setting("compression.lz4.level", _I, 9),
        _setting("compression.zstd.level", _I, 3),
        _setting("delete.retention.ms", _L, 86_400_000, _at_least(0), "log.cleaner.delete.retention.ms"),
        _setting("file.delete.delay.ms", _L, 60_000, _at_least(0)),
        _setting("flush.messages", _L, LONG_MAX, _at_least(1), "log.flush.interval.messages"),
        _setting("flush.ms", _L, LONG_MAX, _at_least(0), "log.flush.interval.ms"),
        _setting("follower.replication.throttled.replicas", _LIST, ""),
        _setting("index.interval.bytes", _I, 4096, _at_least(0)),
        _setting("leader.replication.throttled.replicas", _LIST, ""),
        _setting("local.retention.bytes", _L, -2, _at_least(-2)),
        _setting("local.retention.ms", _L, -2, _at_least(-2)),
        _setting("max.compaction.lag.ms", _L, LONG_MAX, _at_least(1), "log.cleaner.max.compaction.lag.ms"),
        _setting("max.message.bytes", _I, 1_048_588, _at_least(0), "message.max.bytes"),
        _setting("message.timestamp.after.max.ms", _L, 3_600_000, _at_least(0)),
        _setting("message.timestamp.before.max.ms", _L, LONG_MAX, _at_least(0)),
        _setting(
            "message.timestamp.type",
            _S,
            "CreateTime",
            _one_of("CreateTime", "LogAppendTime"),
            "log.message.timestamp.type",
        ),
        _setting(
            "min.cleanable.dirty.ratio",
            _D,
            0.5,
            lambda text: 0 <= float(text) <= 1,
            "log.cleaner.min.cleanable.ratio",
        ),
        _setting("min.compaction.lag.ms", _L, 0, _at_least(0), "log.cleaner.min.compaction.lag.ms"),
        _setting("min.insync.replicas", _I, 1, _at_least(1), "min.insync.replicas"),
        _setting("preallocate", _B, False),
        _setting("remote.log.copy.disable", _B, False),
        _setting("remote.log.delete.on.disable", _B, False),
        _setting("remote.storage.enable", _B, False),
        _setting("retention.bytes", _L, -1, _at_least(-1), "log.retention.bytes"),
        _setting("retention.ms", _L, 604_800_000, _at_least(-1), "log.retention.ms"),
        _setting("segment.bytes", _I, 1_073_741_824, _at_least(14), "log.segment.bytes"),
        _setting("segment.index.bytes", _I, 10_485_760, _at_least(4)),
        _setting("segment.jitter.ms", _L, 0, _at_least(0)),
        _setting("segment.ms", _L, 604_800_000, _at_least(1), "log.roll.ms"),
        _setting("unclean.leader.election.enable", _B, False),
    )
}

BROKER: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for setting in (
        _setting("auto.create.topics.enable", _B, True),
        _setting("num.partitions", _I, 1, _at_least(1)),
        _setting("default.replication.factor", _I, 1, _at_least(1)),
        _setting("message.max.bytes", _I, 1_048_588, _at_least(0)),
        # Kafka's 55 MiB go from its files straight to the socket; here they pass through memory.
        _setting("fetch.max.bytes", _I, 4_194_304, _at_least(1024)),
        _setting("socket.request.max.bytes", _I, 104_857_600, _at_least(1)),
        _setting("log.segment.bytes", _I, 1_073_741_824, _at_least(14)),
        _setting("log.roll.ms", _L, 604_800_000, _at_least(1)),
        _setting("log.retention.check.interval.ms", _L, 300_000, _at_least(1)),
        _setting("log.cleaner.enable", _B, True),
        _setting("log.cleaner.backoff.ms", _L, 15_000, _at_least(0)),
        _setting("log.cleaner.delete.retention.ms", _L, 86_400_000, _at_least(0)),
        _setting("log.cleaner.min.cleanable.ratio", _D, 0.5, lambda text: 0 <= float(text) <= 1),
        _setting("log.cleaner.min.compaction.lag.ms", _L, 0, _at_least(0)),
        _setting("log.cleaner.max.compaction.lag.ms", _L, LONG_MAX, _at_least(1)),
        _setting("log.cleanup.policy", _LIST, "delete", _policies),
        _setting("log.retention.ms", _L, 604_800_000, _at_least(-1)),
        _setting("log.retention.bytes", _L, -1, _at_least(-1)),
        _setting("log.message.timestamp.type", _S, "CreateTime", _one_of("CreateTime", "LogAppendTime")),
        # Kafka waits 3 s for more members; on one machine that only makes the first poll slow.
        _setting("group.initial.rebalance.delay.ms", _I, 0, _at_least(0)),
        _setting("group.min.session.timeout.ms", _I, 6_000, _at_least(1)),
        _setting("group.max.session.timeout.ms", _I, 1_800_000, _at_least(1)),
        _setting("group.max.size", _I, INT_MAX, _at_least(1)),
        _setting("group.consumer.assignors", _LIST, "uniform,range", _assignors),
        _setting("group.consumer.heartbeat.interval.ms", _I, 5_000, _at_least(1)),
        _setting("group.consumer.max.size", _I, INT_MAX, _at_least(1)),
        _setting("group.consumer.session.timeout.ms", _I, 45_000, _at_least(1)),
        _setting("offsets.retention.check.interval.ms", _L, 600_000, _at_least(1)),
        _setting("offsets.retention.minutes", _I, 10_080, _at_least(1)),
        # Kafka spreads groups over 50 partitions of many brokers; one broker gains nothing by it.
        _setting("offsets.topic.num.partitions", _I, 1, _at_least(1)),
        _setting("offset.metadata.max.bytes", _I, 4_096, _at_least(0)),
        _setting("transaction.max.timeout.ms", _I, 900_000, _at_least(1)),
        _setting("transactional.id.expiration.ms", _I, 604_800_000, _at_least(1)),
        _setting("producer.id.expiration.ms", _I, 86_400_000, _at_least(1)),
        _setting("flush", _S, "interval", _one_of("never", "interval", "always")),
        _setting("flush.interval.ms", _I, 1_000, _at_least(1)),
        _setting("min.insync.replicas", _I, 1, _at_least(1)),
        _setting("compression.type", _S, "producer"),
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
        _setting("ssl.key.password", _P, ""),
        _setting("ssl.keystore.certificate.chain", _P, ""),
        _setting("ssl.keystore.key", _P, ""),
        _setting("ssl.keystore.location", _S, ""),
        _setting("ssl.keystore.type", _S, "PEM"),
        _setting("ssl.truststore.certificates", _P, ""),
        _setting("ssl.truststore.location", _S, ""),
        _setting("ssl.truststore.type", _S, "PEM"),
        _setting("connection.failed.authentication.delay.ms", _I, 100, _at_least(0)),
        # -- Syncline's own
        _setting("prometheus.port", _I, -1, _port),
        _setting("prometheus.host", _S, "127.0.0.1"),
        # -- limits
        _setting("connections.max.idle.ms", _L, 600_000),
        _setting("max.connections", _I, INT_MAX, _at_least(1)),
        _setting("max.connections.per.ip", _I, INT_MAX, _at_least(0)),
        _setting("max.connections.per.ip.overrides", _S, ""),
        _setting("queued.max.request.bytes", _L, -1),
    )
}

COARSER: Final[Mapping[str, tuple[Setting, int, str]]] = {
    # The last one wins, so minutes stand behind hours.
    "log.retention.hours": (_setting("log.retention.hours", _I, 168, _at_least(-1)), 3_600_000, "log.retention.ms"),
    "log.retention.minutes": (_setting("log.retention.minutes", _I, -1, _at_least(-1)), 60_000, "log.retention.ms"),
    "log.roll.hours": (_setting("log.roll.hours", _I, 168, _at_least(1)), 3_600_000, "log.roll.ms"),
}
"""Kafka's settings in other units: milliseconds in one, and the setting that is in milliseconds."""

PER_LISTENER: Final = re.compile(r"listener\.name\.([a-z0-9_]+)\.(.+)")
_OF_LISTENERS: Final = frozenset(
    name for name in BROKER if name.startswith(("ssl.", "sasl.", "connections.max.reauth"))
)
JAAS: Final = Setting("sasl.jaas.config", ConfigType.PASSWORD, "")
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


def check_topic_configs(configs: Mapping[str, str]) -> None:
    """KafkaError for a name Kafka does not know and for a bad value."""
    for name, value in configs.items():
        setting = TOPIC.get(name)
        if setting is None:
            raise KafkaError(INVALID_CONFIG, f"Unknown topic config name: {name}")
        setting.validate(value)


def _in_milliseconds(given: Mapping[str, str]) -> dict[str, str]:
    """The settings with hours and minutes in the one key of milliseconds; the finest unit given wins."""
    found = {name: value for name, value in given.items() if name not in COARSER}
    for name, (setting, factor, finer) in COARSER.items():
        if name in given:
            setting.validate(given[name])
            number = int(given[name])
            if finer not in given:
                found[finer] = str(number if number < 0 else number * factor)
    return found


class Settings:
    """Settings of the broker: what was given, over the defaults."""

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self.given = _in_milliseconds(given or {})
        self.unknown = sorted(name for name in self.given if server_setting(name) is None)
        for name, value in self.given.items():
            setting = server_setting(name)
            if setting is not None:
                setting.validate(value)

    def text(self, name: str) -> str:
        return self.given.get(name, BROKER[name].default)

    def number(self, name: str) -> int:
        return int(self.text(name))

    def flag(self, name: str) -> bool:
        return self.text(name) == "true"

    def of_listener(self, listener: str, name: str) -> str:
        """A value for one listener: its own, or that of all."""
        own = self.given.get(f"listener.name.{listener.lower()}.{name}")
        if own is not None:
            return own
        return self.text(name) if name in BROKER else ""

    def topic_default(self, setting: Setting) -> str:
        """What a topic without a value of its own gets."""
        if setting.synonym is not None and setting.synonym in self.given:
            return self.given[setting.synonym]
        return setting.default
