"""Java client settings as librdkafka knows them.

Users write Kafka's Java names; most are librdkafka's too. A setting without a counterpart is left out with one
warning and never refused, because it worked before (spec/connect.md 5.2).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final

log = logging.getLogger(__name__)

_RENAMED: Final[Mapping[str, str]] = {
    "delivery.timeout.ms": "message.timeout.ms",
    "max.request.size": "message.max.bytes",
    "batch.size": "batch.size",
    "compression.type": "compression.type",
    "max.in.flight.requests.per.connection": "max.in.flight.requests.per.connection",
    "buffer.memory": "queue.buffering.max.kbytes",
    "metadata.max.age.ms": "metadata.max.age.ms",
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "request.timeout.ms": "request.timeout.ms",
    "ssl.truststore.location": "ssl.ca.location",
    "ssl.keystore.location": "ssl.keystore.location",
    "ssl.keystore.password": "ssl.keystore.password",
    "ssl.key.password": "ssl.key.password",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "send.buffer.bytes": "socket.send.buffer.bytes",
}
_SAME: Final = frozenset(
    """
    bootstrap.servers client.id client.rack acks linger.ms retries retry.backoff.ms retry.backoff.max.ms
    enable.idempotence transactional.id transaction.timeout.ms security.protocol sasl.mechanism
    sasl.username sasl.password sasl.kerberos.service.name sasl.oauthbearer.config ssl.ca.location ssl.ca.pem
    ssl.certificate.location ssl.certificate.pem ssl.key.location ssl.key.pem
    ssl.endpoint.identification.algorithm group.id group.instance.id group.protocol group.remote.assignor
    session.timeout.ms heartbeat.interval.ms max.poll.interval.ms auto.offset.reset enable.auto.commit
    isolation.level fetch.min.bytes fetch.max.bytes max.partition.fetch.bytes check.crcs
    allow.auto.create.topics connections.max.idle.ms reconnect.backoff.ms reconnect.backoff.max.ms
    client.dns.lookup compression.level metadata.recovery.strategy
    """.split()
)
_OURS: Final = frozenset(
    """
    statistics.interval.ms queue.buffering.max.messages queue.buffering.max.kbytes message.timeout.ms
    fetch.queue.backoff.ms queued.max.messages.kbytes queued.min.messages enable.auto.offset.store partitioner
    delivery.report.only.error message.max.bytes fetch.wait.max.ms topic.metadata.refresh.interval.ms
    socket.keepalive.enable debug log_level enable.partition.eof fetch.error.backoff.ms
    """.split()
)
_IGNORED: Final = frozenset(
    """
    key.serializer value.serializer key.deserializer value.deserializer max.poll.records max.block.ms
    interceptor.classes partitioner.class partition.assignment.strategy exclude.internal.topics
    auto.include.jmx.reporter metric.reporters metrics.num.samples metrics.recording.level
    metrics.sample.window.ms default.api.timeout.ms ssl.truststore.password ssl.truststore.type
    ssl.keystore.type
    """.split()
)
_JAAS: Final = re.compile(r'(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))')
_warned: set[str] = set()


def librdkafka(properties: Mapping[str, str]) -> dict[str, str | int | float | bool]:
    """`properties`, named as Java or librdkafka names them, as a configuration for librdkafka."""
    found: dict[str, str | int | float | bool] = {}
    for name, value in properties.items():
        text = value.strip()
        if name == "sasl.jaas.config":
            found.update(_jaas(text))
        elif name == "buffer.memory":
            found["queue.buffering.max.kbytes"] = max(int(text) // 1024, 1)
        elif name == "delivery.timeout.ms":
            # Java's largest int means "for ever", which librdkafka writes as 0.
            found["message.timeout.ms"] = 0 if int(text) >= 2**31 - 1 else int(text)
        elif name == "ssl.truststore.location" and text.endswith((".jks", ".p12")):
            _warn_once(name, "Java key stores cannot be read here; give ssl.ca.location a PEM file")
        elif name in _RENAMED:
            found[_RENAMED[name]] = text
        elif name in _SAME or name in _OURS:
            found[name] = text
        elif name not in _IGNORED:
            _warn_once(name, "this client setting has no counterpart here and has no effect")
    return found


def _jaas(text: str) -> dict[str, str | int | float | bool]:
    """User and password from the login line Java's clients take."""
    found: dict[str, str | int | float | bool] = {}
    for key, quoted, bare in _JAAS.findall(text):
        found[f"sasl.{key}"] = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
    return found


def _warn_once(name: str, why: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("%s: %s", name, why)
