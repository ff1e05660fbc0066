"""Client settings under Java's names, translated for librdkafka (spec/connect.md 5.2).

A setting without a counterpart is named in one warning and left out, never refused: the configuration worked
before. A value that cannot be used is refused with the key as the user wrote it. Values are never logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Final

from syncline.errors import ConfigError

log = logging.getLogger(__name__)

Settings = dict[str, str | int | float | bool]
"""As librdkafka takes them."""

_INT_MAX: Final = 2**31 - 1
_LONG_MAX: Final = 2**63 - 1

DEFAULT_POLL_RECORDS: Final = 500
"""Java's `max.poll.records`."""


def librdkafka(properties: Mapping[str, str]) -> Settings:
    """`properties`, named as Java or librdkafka names them, as settings for librdkafka.

    ConfigError when a value cannot be understood.
    """
    found: Settings = {}
    for name, value in properties.items():
        text = value.strip()
        if name in _SAME:
            found[name] = text
        elif name in _RENAMED:
            found[_RENAMED[name]] = text
        elif name in _CHANGED:
            try:
                found.update(_CHANGED[name](text))
            except ValueError as exc:
                raise ConfigError({name: [f"Invalid value {text} for configuration {name}: {exc}"]}) from None
        elif name not in _MEANINGLESS:
            _warn_once(name, "this client setting has no counterpart here and has no effect")
    _files(properties, found)
    return found


def poll_records(properties: Mapping[str, str], default: int = DEFAULT_POLL_RECORDS) -> int:
    """How many records one read may return: Java's `max.poll.records`, which librdkafka does not have."""
    name = "max.poll.records"
    text = properties.get(name, "").strip() or str(default)
    if not re.fullmatch(r"0*[0-9]{1,10}", text) or not 0 < int(text) <= _INT_MAX:
        raise ConfigError({name: [f"Invalid value {text} for configuration {name}: Not a number of type INT"]})
    return int(text)


def _number(text: str, low: int = -_LONG_MAX) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError("Not a number")
    if int(text) < low:
        raise ValueError(f"Value must be at least {low}")
    return int(text)


def _lower(name: str) -> Callable[[str], Settings]:
    return lambda text: {name: text.lower()}


def _delivery_timeout(text: str) -> Settings:
    # Java's largest int means "for ever", which librdkafka writes as 0.
    number = _number(text, 0)
    return {"message.timeout.ms": 0 if number >= _INT_MAX else number}


def _buffer_memory(text: str) -> Settings:
    return {"queue.buffering.max.kbytes": max(_number(text, 0) // 1024, 1)}


def _socket_buffer(name: str) -> Callable[[str], Settings]:
    # -1 is "as the system likes" for Java, 0 for librdkafka.
    return lambda text: {name: max(_number(text, -1), 0)}


def _fetch_max(text: str) -> Settings:
    # The answer carries a little more than the records; librdkafka insists that the socket takes both.
    number = _number(text, 0)
    return {"fetch.max.bytes": number, "receive.message.max.bytes": min(number + 512 * 1024, _INT_MAX)}


def _offset_reset(text: str) -> Settings:
    known = {"none": "error", "earliest": "earliest", "latest": "latest", "error": "error"}
    if text.lower() not in known:
        raise ValueError("String must be one of: earliest, latest, none")
    return {"auto.offset.reset": known[text.lower()]}


def _endpoint_identification(text: str) -> Settings:
    return {"ssl.endpoint.identification.algorithm": text.lower() or "none"}


_ASSIGNORS: Final = {
    "range": "range",
    "rangeassignor": "range",
    "roundrobin": "roundrobin",
    "roundrobinassignor": "roundrobin",
    "cooperative-sticky": "cooperative-sticky",
    "cooperativestickyassignor": "cooperative-sticky",
}


def _assignors(text: str) -> Settings:
    """Java's class names. An eager one wins over the cooperative one, with which librdkafka cannot mix it."""
    wanted = [part.strip().rpartition(".")[2] for part in text.split(",") if part.strip()]
    known = [_ASSIGNORS[name.lower()] for name in wanted if name.lower() in _ASSIGNORS]
    unknown = [name for name in wanted if name.lower() not in _ASSIGNORS]
    if unknown:
        _warn_once("partition.assignment.strategy", f"{', '.join(unknown)} does not exist here; range takes its place")
        known += ["range"]
    eager = [name for name in known if name != "cooperative-sticky"]
    return {"partition.assignment.strategy": ",".join(dict.fromkeys(eager or known)) or "range"}


_JAAS: Final = re.compile(r'([A-Za-z][\w.]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))')
_JAAS_OPTIONS: Final = {
    "username": "sasl.username",
    "password": "sasl.password",
    "keyTab": "sasl.kerberos.keytab",
    "principal": "sasl.kerberos.principal",
    "clientId": "sasl.oauthbearer.client.id",
    "clientSecret": "sasl.oauthbearer.client.secret",
    "scope": "sasl.oauthbearer.scope",
}


def _jaas(text: str) -> Settings:
    """The login line of Java's clients: `...LoginModule required username="u" password="p";`."""
    found: Settings = {}
    for key, quoted, bare in _JAAS.findall(text):
        if key in _JAAS_OPTIONS:
            found[_JAAS_OPTIONS[key]] = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
    if "OAuthBearerLoginModule" in text:
        found["sasl.oauthbearer.method"] = "oidc"
    return found


def login(properties: Mapping[str, str]) -> tuple[str | None, str | None]:
    """User and password for SASL, however they are written; None where there is none."""
    found = _jaas(properties.get("sasl.jaas.config", ""))
    user = properties.get("sasl.username") or found.get("sasl.username")
    password = properties.get("sasl.password") or found.get("sasl.password")
    return None if user is None else str(user), None if password is None else str(password)


def _files(properties: Mapping[str, str], found: Settings) -> None:
    """Key and trust stores: PEM files and, for keys, PKCS#12 are read; Java's own format is not."""
    trust = properties.get("ssl.truststore.location", "").strip()
    if trust:
        if _kind(properties, "ssl.truststore", trust) == "PEM":
            found["ssl.ca.location"] = trust
        else:
            _warn_once(
                "ssl.truststore.location",
                "trust stores of type JKS or PKCS12 cannot be read here; "
                "set ssl.truststore.type=PEM and name a PEM file, or give ssl.ca.location",
            )
    key = properties.get("ssl.keystore.location", "").strip()
    if not key:
        return
    match _kind(properties, "ssl.keystore", key):
        case "PEM":
            found["ssl.certificate.location"] = found["ssl.key.location"] = key
        case "PKCS12":
            found["ssl.keystore.location"] = key
            if "ssl.keystore.password" in properties:
                found["ssl.keystore.password"] = properties["ssl.keystore.password"].strip()
        case _:
            _warn_once(
                "ssl.keystore.location",
                "key stores of type JKS cannot be read here; convert it to PKCS12 (keytool -importkeystore) or PEM",
            )


def _kind(properties: Mapping[str, str], store: str, path: str) -> str:
    """PEM, PKCS12 or JKS: as the type says, or by the file's suffix, because Java's default type is JKS."""
    stated = properties.get(f"{store}.type", "").strip().upper()
    if stated:
        return stated
    suffix = path.rpartition(".")[2].lower()
    return {"pem": "PEM", "crt": "PEM", "cer": "PEM", "p12": "PKCS12", "pfx": "PKCS12"}.get(suffix, "JKS")


_RENAMED: Final[Mapping[str, str]] = {
    "max.request.size": "message.max.bytes",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
}

_CHANGED: Final[Mapping[str, Callable[[str], Settings]]] = {
    "delivery.timeout.ms": _delivery_timeout,
    "buffer.memory": _buffer_memory,
    "receive.buffer.bytes": _socket_buffer("socket.receive.buffer.bytes"),
    "send.buffer.bytes": _socket_buffer("socket.send.buffer.bytes"),
    "fetch.max.bytes": _fetch_max,
    "auto.offset.reset": _offset_reset,
    "partition.assignment.strategy": _assignors,
    "ssl.endpoint.identification.algorithm": _endpoint_identification,
    "sasl.jaas.config": _jaas,
    "security.protocol": _lower("security.protocol"),
    "isolation.level": _lower("isolation.level"),
    "group.protocol": _lower("group.protocol"),
}

_SAME: Final = frozenset(
    """
    acks allow.auto.create.topics batch.size bootstrap.servers check.crcs client.dns.lookup client.id client.rack
    compression.level compression.type connections.max.idle.ms debug enable.idempotence enable.partition.eof
    fetch.error.backoff.ms fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms group.id group.instance.id
    group.remote.assignor heartbeat.interval.ms linger.ms log_level max.in.flight.requests.per.connection
    max.partition.fetch.bytes max.poll.interval.ms message.max.bytes message.timeout.ms metadata.max.age.ms
    metadata.recovery.strategy metadata.recovery.rebootstrap.trigger.ms partitioner queue.buffering.max.kbytes
    queue.buffering.max.messages queued.max.messages.kbytes queued.min.messages receive.message.max.bytes
    reconnect.backoff.max.ms reconnect.backoff.ms request.timeout.ms retries retry.backoff.max.ms retry.backoff.ms
    sasl.kerberos.keytab sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin sasl.kerberos.principal
    sasl.kerberos.service.name sasl.mechanism sasl.mechanisms sasl.oauthbearer.client.id
    sasl.oauthbearer.client.secret sasl.oauthbearer.config sasl.oauthbearer.extensions sasl.oauthbearer.method
    sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url sasl.password sasl.username session.timeout.ms
    socket.connection.setup.timeout.ms socket.keepalive.enable socket.nagle.disable socket.timeout.ms
    ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem ssl.key.location ssl.key.password
    ssl.key.pem statistics.interval.ms sticky.partitioning.linger.ms topic.metadata.refresh.interval.ms
    transaction.timeout.ms transactional.id
    """.split()
)

_MEANINGLESS: Final = frozenset(
    """
    auto.commit.interval.ms auto.include.jmx.reporter default.api.timeout.ms enable.auto.commit
    enable.metrics.push exclude.internal.topics key.deserializer key.serializer max.block.ms max.poll.records
    metric.reporters metrics.num.samples metrics.recording.level metrics.sample.window.ms
    sasl.login.class security.providers socket.connection.setup.timeout.max.ms ssl.enabled.protocols
    ssl.keymanager.algorithm ssl.keystore.location ssl.keystore.password ssl.keystore.type ssl.protocol ssl.provider
    ssl.secure.random.implementation ssl.trustmanager.algorithm ssl.truststore.location ssl.truststore.password
    ssl.truststore.type throw.on.fetch.stable.offset.unsupported value.deserializer value.serializer
    """.split()
)
"""Silently left out: read elsewhere, or about Java alone."""

_warned: set[str] = set()


def _warn_once(name: str, why: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("%s: %s", name, why)
