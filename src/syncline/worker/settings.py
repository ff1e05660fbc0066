"""The worker's own options (spec/connect.md 2.2 to 2.4)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from syncline.errors import ConfigError
from syncline.options import Importance, Kind, any_case, at_least, load, one_of, option, options_of

log = logging.getLogger(__name__)

_LOW: Final = Importance.LOW


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Options of every worker that are read by name."""

    bootstrap_servers: str = option(
        "bootstrap.servers",
        "Where the Kafka cluster is reached, host:port with commas between. Connectors' clients use it too.",
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
        importance=_LOW,
    )
    offset_flush_ms: int = option(
        "offset.flush.interval.ms",
        "Milliseconds between commits of offsets.",
        kind=Kind.LONG,
        default="60000",
        importance=_LOW,
        check=at_least(1),
    )
    offset_flush_timeout_ms: int = option(
        "offset.flush.timeout.ms",
        "Milliseconds a commit of offsets may take before it is given up and tried again at the next interval.",
        kind=Kind.LONG,
        default="5000",
        importance=_LOW,
        check=at_least(0),
    )
    shutdown_ms: int = option(
        "task.shutdown.graceful.timeout.ms",
        "Milliseconds that all tasks which stop together have for it.",
        kind=Kind.LONG,
        default="5000",
        importance=_LOW,
        check=at_least(0),
    )
    listeners: list[str] = option(
        "listeners",
        "Addresses of the REST interface, scheme://host:port with commas between.",
        kind=Kind.LIST,
        default="http://:8083",
        importance=_LOW,
    )
    admin_listeners: list[str] | None = option(
        "admin.listeners",
        "Addresses for /admin alone; empty turns it off, without the option it is on the other listeners.",
        kind=Kind.LIST,
        default=None,
        importance=_LOW,
    )
    advertised_host: str | None = option(
        "rest.advertised.host.name", "Host name other workers and users reach.", default=None, importance=_LOW
    )
    advertised_port: int | None = option(
        "rest.advertised.port", "Port other workers reach.", kind=Kind.INT, default=None, importance=_LOW
    )
    advertised_listener: str | None = option(
        "rest.advertised.listener",
        "http or https: which listener other workers use.",
        default=None,
        importance=_LOW,
    )
    extension_classes: list[str] = option(
        "rest.extension.classes",
        "REST extensions, by class; Kafka's basic authentication is known.",
        kind=Kind.LIST,
        default="",
        importance=_LOW,
    )
    allow_origin: str = option(
        "access.control.allow.origin", "Origins browsers may call from.", default="", importance=_LOW
    )
    allow_methods: str = option("access.control.allow.methods", "Methods they may use.", default="", importance=_LOW)
    response_headers: str = option(
        "response.http.headers.config",
        "Headers added to every answer: [action] [name]:[value] with commas between.",
        default="",
        importance=_LOW,
    )
    topic_tracking: bool = option(
        "topic.tracking.enable",
        "Whether the topics of each connector are remembered.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=_LOW,
    )
    topic_tracking_reset: bool = option(
        "topic.tracking.allow.reset",
        "Whether users may make the worker forget them.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=_LOW,
    )
    topic_creation: bool = option(
        "topic.creation.enable",
        "Whether source connectors may set up topics as their topic.creation options say.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=_LOW,
    )
    override_policy: str = option(
        "connector.client.config.override.policy",
        "All, None or Principal: which client settings connectors may override.",
        default="All",
        importance=_LOW,
    )
    config_providers: list[str] = option(
        "config.providers", "Names of config providers.", kind=Kind.LIST, default="", importance=_LOW
    )
    plugin_path: list[str] = option(
        "plugin.path",
        "Folders with further plug-ins, as `pip install --target` makes them.",
        kind=Kind.LIST,
        default="",
        importance=_LOW,
    )
    plugin_discovery: str = option(
        "plugin.discovery",
        "Accepted for compatibility: plug-ins are always found by their entry points.",
        default="hybrid_warn",
        importance=_LOW,
        check=any_case(["only_scan", "hybrid_warn", "hybrid_fail", "service_load"]),
    )
    metrics_window_ms: int = option(
        "metrics.sample.window.ms",
        "Accepted for compatibility: averages look back over the last 30 to 60 seconds.",
        kind=Kind.LONG,
        default="30000",
        importance=_LOW,
        check=at_least(0),
    )
    metrics_samples: int = option(
        "metrics.num.samples",
        "Accepted for compatibility.",
        kind=Kind.INT,
        default="2",
        importance=_LOW,
        check=at_least(1),
    )
    metrics_level: str = option(
        "metrics.recording.level",
        "Accepted for compatibility.",
        default="INFO",
        importance=_LOW,
        check=one_of(["INFO", "DEBUG", "TRACE"]),
    )
    offset_file: str = option(
        "offset.storage.file.filename",
        "Where a standalone worker keeps source offsets.",
        default="",
        importance=Importance.HIGH,
    )


_SECURITY: Final = ("ssl.", "sasl.", "security.")

_OWN_CLIENTS: Final = frozenset(
    """
    bootstrap.servers client.id client.dns.lookup connections.max.idle.ms max.request.size metadata.max.age.ms
    metadata.recovery.strategy receive.buffer.bytes reconnect.backoff.max.ms reconnect.backoff.ms
    request.timeout.ms retry.backoff.max.ms retry.backoff.ms send.buffer.bytes
    socket.connection.setup.timeout.max.ms socket.connection.setup.timeout.ms
    """.split()
)
"""Settings without prefix for the worker's own clients, besides those for security."""

_READ_ELSEWHERE: Final = (
    *_SECURITY,
    "producer.",
    "consumer.",
    "admin.",
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "config.providers.",
    "listeners.https.",
    "rest.",
    "metric.reporters",
    "metrics.context.",
    "auto.include.jmx.reporter",
    "offset.storage.",
    "config.storage.",
    "status.storage.",
)
_GONE: Final = ("internal.key.converter", "internal.value.converter")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The properties of a worker: typed where they are known, raw for its clients and converters."""

    options: WorkerOptions
    properties: Mapping[str, str] = field(repr=False)
    """Everything as given; may hold secrets."""

    @classmethod
    def of(cls, properties: Mapping[str, str]) -> WorkerSettings:
        """ConfigError with the messages of every option that cannot be used."""
        return cls(load(WorkerOptions, properties), dict(properties))

    def standalone(self) -> WorkerSettings:
        """Itself, if everything a standalone worker needs is there; ConfigError otherwise."""
        if not self.options.offset_file:
            name = "offset.storage.file.filename"
            raise ConfigError({name: [f'Missing required configuration "{name}" which has no default value.']})
        return self

    def client(self, kind: str) -> dict[str, str]:
        """Settings for connectors' clients of a kind: `producer`, `consumer` or `admin`.

        The worker's own security settings count for them too unless repeated under the prefix: the JVM worker
        wants them three times, which everybody forgets once.
        """
        inherited = {name: value for name, value in self.properties.items() if name.startswith(_SECURITY)}
        return {**inherited, "bootstrap.servers": self.options.bootstrap_servers, **self._under(f"{kind}.")}

    def own_client(self) -> dict[str, str]:
        """Settings for the worker's own clients, such as those for internal topics."""
        given = {
            name: value for name, value in self.properties.items() if name in _OWN_CLIENTS or name.startswith(_SECURITY)
        }
        return {**given, "bootstrap.servers": self.options.bootstrap_servers}

    def admin(self) -> dict[str, str]:
        """Settings for the worker's own admin client."""
        return self.own_client()

    def converter_class(self, which: str) -> str:
        """Class of the worker's `key.converter`, `value.converter` or `header.converter`."""
        found: str = getattr(self.options, which.replace(".", "_"))
        return found

    def converter(self, which: str) -> dict[str, str]:
        """Options of the worker's `key.converter`, `value.converter` or `header.converter`, without prefix."""
        return self._under(f"{which}.")

    def _under(self, prefix: str) -> dict[str, str]:
        return {name.removeprefix(prefix): value for name, value in self.properties.items() if name.startswith(prefix)}

    def warn_of_unused(self, also_known: Iterable[str] = ()) -> None:
        """Say in the log which properties nobody reads; `also_known` are names read outside this class."""
        known = {option.name for option in options_of(WorkerOptions)} | _OWN_CLIENTS | set(also_known)
        for name in sorted(self.properties):
            if name in _GONE:
                log.warning("%s has no effect: internal data is always JSON without schemas", name)
            elif name not in known and not name.startswith(_READ_ELSEWHERE):
                near = get_close_matches(name, known, 1, 0.8)
                log.warning(
                    "the property %s is known neither to the worker nor to its clients and has no effect%s",
                    name,
                    f"; did you mean {near[0]}?" if near else "",
                )
