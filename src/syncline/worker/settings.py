"""The worker's own options (spec/connect.md 2.2 to 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from syncline.errors import ConfigError
from syncline.options import Importance, Kind, at_least, load, option

_CLIENT_PREFIXES: Final = ("producer.", "consumer.", "admin.")
_SECURITY: Final = ("ssl.", "sasl.", "security.")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Options that are read by name."""

    bootstrap_servers: str = option(
        "bootstrap.servers",
        "Where the Kafka cluster is reached, host:port with commas between.",
        default="localhost:9092",
        importance=Importance.HIGH,
    )
    key_converter: str = option("key.converter", "Class of the default key converter.", importance=Importance.HIGH)
    value_converter: str = option(
        "value.converter", "Class of the default value converter.", importance=Importance.HIGH
    )
    header_converter: str = option(
        "header.converter",
        "Class of the default header converter.",
        default="org.apache.kafka.connect.storage.SimpleHeaderConverter",
        importance=Importance.LOW,
    )
    offset_flush_ms: int = option(
        "offset.flush.interval.ms",
        "Milliseconds between commits of offsets.",
        kind=Kind.LONG,
        default="60000",
        importance=Importance.LOW,
        check=at_least(1),
    )
    offset_flush_timeout_ms: int = option(
        "offset.flush.timeout.ms",
        "Milliseconds a source may wait for acknowledgements before its offsets are committed next time instead.",
        kind=Kind.LONG,
        default="5000",
        importance=Importance.LOW,
    )
    shutdown_ms: int = option(
        "task.shutdown.graceful.timeout.ms",
        "Milliseconds all tasks together have to stop.",
        kind=Kind.LONG,
        default="5000",
        importance=Importance.LOW,
    )
    listeners: list[str] = option(
        "listeners",
        "Addresses of the REST interface, scheme://host:port with commas between.",
        kind=Kind.LIST,
        default="http://:8083",
        importance=Importance.LOW,
    )
    advertised_host: str | None = option(
        "rest.advertised.host.name", "Host name other workers and users reach.", default=None, importance=Importance.LOW
    )
    advertised_port: int | None = option(
        "rest.advertised.port", "Port other workers reach.", kind=Kind.INT, default=None, importance=Importance.LOW
    )
    topic_tracking: bool = option(
        "topic.tracking.enable",
        "Whether the topics of each connector are remembered.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.LOW,
    )
    topic_tracking_reset: bool = option(
        "topic.tracking.allow.reset",
        "Whether users may reset them.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.LOW,
    )
    topic_creation: bool = option(
        "topic.creation.enable",
        "Whether source connectors may set up topics.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.LOW,
    )
    override_policy: str = option(
        "connector.client.config.override.policy",
        "All, None or Principal: which client settings connectors may override.",
        default="All",
        importance=Importance.LOW,
    )
    config_providers: list[str] = option(
        "config.providers", "Names of config providers.", kind=Kind.LIST, default="", importance=Importance.LOW
    )
    plugin_path: list[str] = option(
        "plugin.path",
        "Accepted for compatibility; plug-ins are Python distributions found by their entry points.",
        kind=Kind.LIST,
        default="",
        importance=Importance.LOW,
    )
    offset_file: str = option(
        "offset.storage.file.filename",
        "Where a standalone worker keeps source offsets.",
        default="",
        importance=Importance.HIGH,
    )
    allow_origin: str = option(
        "access.control.allow.origin", "Origins browsers may call from.", default="", importance=Importance.LOW
    )
    allow_methods: str = option(
        "access.control.allow.methods", "Methods they may use.", default="", importance=Importance.LOW
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The properties of a worker: typed where they are known, raw for its clients and converters."""

    options: WorkerOptions
    properties: Mapping[str, str] = field(repr=False)
    """Everything as given; may hold secrets."""

    @classmethod
    def of(cls, properties: Mapping[str, str]) -> WorkerSettings:
        """ConfigError names every bad option."""
        return cls(load(WorkerOptions, properties), dict(properties))

    def standalone(self) -> WorkerSettings:
        """Itself, if everything a standalone worker needs is there."""
        if not self.options.offset_file:
            name = "offset.storage.file.filename"
            raise ConfigError({name: [f'Missing required configuration "{name}" which has no default value.']})
        return self

    def client(self, kind: str) -> dict[str, str]:
        """Settings for connectors' clients of a kind: `producer`, `consumer` or `admin`.

        Unlike the JVM worker, security settings of the worker itself count for them too unless repeated.
        """
        inherited = {name: value for name, value in self.properties.items() if name.startswith(_SECURITY)}
        prefix = f"{kind}."
        own = {name.removeprefix(prefix): value for name, value in self.properties.items() if name.startswith(prefix)}
        return {**inherited, "bootstrap.servers": self.options.bootstrap_servers, **own}

    def admin(self) -> dict[str, str]:
        """Settings for the worker's own admin client."""
        return self.client("admin")

    def converter(self, which: str) -> dict[str, Any]:
        """Options of the worker's `key.converter`, `value.converter` or `header.converter`, without prefix."""
        prefix = f"{which}."
        return {name.removeprefix(prefix): value for name, value in self.properties.items() if name.startswith(prefix)}
