"""Membership of a process in a group of its own kind: one member is active, the others stand by.

librdkafka knows consumer groups only, so this is built on kafka-python's coordinator. The protocol type is Kafka
Connect's, `connect`; the protocol's name is our own. Two members of different kinds have no protocol in common, and
the broker refuses whichever comes second: a JVM worker and ours can never work in one group at the same time.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from kafka import errors as kafka_errors
from kafka.coordinator.base import BaseCoordinator
from kafka.net.compat import KafkaNetClient

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import ConfigError
from syncline.kafka.config import login
from syncline.kafka.ports import Membership, Role

log = logging.getLogger(__name__)

PROTOCOL_TYPE: Final = "connect"
PROTOCOL: Final = "active-standby"
JOIN_MS: Final = 1000
"""How long one attempt to join waits before the thread looks whether to stop."""
LOOK_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 2.0
LEAVE_MS: Final = 3000


class Facts(msgspec.Struct, frozen=True):
    """What a member tells the others of itself."""

    url: str
    active: bool


class GroupMember:
    """One member (`kafka.ports.Member`), on a thread of its own."""

    def __init__(
        self,
        properties: Mapping[str, str],
        membership: Membership,
        changed: Callable[[Role | None], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """ConfigError when the properties cannot be used for a connection."""
        self._settings = _settings(properties)
        self._group = membership.group
        self._url = membership.url
        self._times = {
            "session_timeout_ms": membership.session_ms,
            "heartbeat_interval_ms": membership.heartbeat_ms,
            "max_poll_interval_ms": membership.rebalance_ms,
        }
        self._session_seconds = membership.session_ms / 1000
        self._changed = changed
        self._clock = clock
        self._closing = threading.Event()
        self._role: Role | None = None
        self._said = ""
        self._thread = threading.Thread(target=self._run, name=f"group-{self._group}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Leave the group, so that another member takes over at once."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(LEAVE_MS / 1000 + 2)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._belong()
            except kafka_errors.InconsistentGroupProtocolError:
                self._say(
                    f"the group {self._group} (group.id) has members of another kind, such as JVM Connect workers or "
                    "consumers; this worker waits until they have left. Stop them, or choose another group.id"
                )
            except (kafka_errors.KafkaError, OSError) as exc:
                self._say(f"the group {self._group} cannot be joined, trying again: {exc or type(exc).__name__}")
            self._turn(None)
            self._clock.wait(self._closing, RETRY_SECONDS)

    def _say(self, text: str) -> None:
        """Once per reason, however often it is met."""
        if text != self._said:
            log.warning("%s", text)
        self._said = text

    def _turn(self, role: Role | None) -> None:
        if role == self._role:
            return
        if role is not None:
            self._said = ""
        self._role = role
        self._changed(role)

    def _belong(self) -> None:
        """Be in the group until `stop`; raises when that is not possible now."""
        client = KafkaNetClient(**self._settings)
        manager = client._manager
        try:
            manager._net.start()
            manager.bootstrap(self._settings["bootstrap_timeout_ms"])
            coordinator = _Coordinator(
                client,
                group_id=self._group,
                url=self._url,
                api_version=manager.broker_version,
                **self._times,
            )
            try:
                self._stay(coordinator)
            finally:
                coordinator.close(timeout_ms=LEAVE_MS)
        finally:
            client.close()

    def _stay(self, coordinator: _Coordinator) -> None:
        heard = self._clock.monotonic()
        while not self._closing.is_set():
            if coordinator.need_rejoin() and not coordinator.ensure_active_group(timeout_ms=JOIN_MS):
                if self._clock.monotonic() - heard > self._session_seconds:
                    self._say(f"the group {self._group} is out of reach for longer than session.timeout.ms")
                    self._turn(None)
                continue
            coordinator.poll_heartbeat()
            if coordinator.generation_lost():
                self._turn(None)
                continue
            if coordinator.in_touch():
                heard = self._clock.monotonic()
                self._turn(coordinator.role)
            elif self._clock.monotonic() - heard > self._session_seconds:
                # The broker has given up on this member by now, and another one may have taken over.
                self._say(f"the group {self._group} is out of reach for longer than session.timeout.ms")
                self._turn(None)
            self._clock.wait(self._closing, LOOK_SECONDS)


class _Coordinator(BaseCoordinator):  # type: ignore[misc]  # the library has no type information
    """What makes a group one of active and standing-by members."""

    def __init__(self, client: Any, *, url: str, **settings: Any) -> None:
        super().__init__(client, **settings)
        self._url = url
        self.role: Role | None = None

    def in_touch(self) -> bool:
        """Whether the broker answers."""
        return not self.coordinator_unknown() and not self.heartbeat.session_timeout_expired()

    def generation_lost(self) -> bool:
        """Whether the broker has put this member out of the group."""
        return bool(self._generation.is_lost())

    def protocol_type(self) -> str:
        return PROTOCOL_TYPE

    def group_protocols(self) -> list[tuple[str, bytes]]:
        active = self.role is not None and self.role.active and not self.generation_lost()
        return [(PROTOCOL, msgspec.json.encode(Facts(self._url, active)))]

    def _perform_assignment(self, leader_id: str, protocol: str, members: Any) -> dict[str, bytes]:
        facts = {member.member_id: msgspec.json.decode(member.metadata, type=Facts) for member in members}
        chosen = next((member for member, fact in sorted(facts.items()) if fact.active), leader_id)
        return {member: msgspec.json.encode(Facts(facts[chosen].url, member == chosen)) for member in facts}

    async def _on_join_complete_async(self, generation: int, member_id: str, protocol: str, raw: bytes) -> None:
        told = msgspec.json.decode(raw, type=Facts)
        self.role = Role(generation, told.active, told.url)


def _settings(properties: Mapping[str, str]) -> dict[str, Any]:
    """Java's client settings as kafka-python takes them."""
    servers = [server.strip() for server in properties["bootstrap.servers"].split(",") if server.strip()]
    found: dict[str, Any] = {
        "bootstrap_servers": servers,
        "bootstrap_timeout_ms": 10_000,
        "metrics_enabled": False,
        "client_id": properties.get("client.id") or "connect-group",
    }
    for name, ours in _NUMBERS.items():
        text = properties.get(name, "").strip()
        if re.fullmatch(r"\d+", text):
            found[ours] = int(text)
    for name, ours in _TEXTS.items():
        if text := properties.get(name, "").strip():
            found[ours] = text
    if "security_protocol" in found:
        found["security_protocol"] = found["security_protocol"].upper()
    if found.get("sasl_mechanism", "").upper() in ("GSSAPI", "OAUTHBEARER"):
        raise ConfigError(
            {"sasl.mechanism": [f"a group cannot be joined with {found['sasl_mechanism']} yet; use PLAIN or SCRAM"]}
        )
    user, password = login(properties)
    if user is not None:
        found |= {"sasl_plain_username": user, "sasl_plain_password": password or ""}
    found["ssl_check_hostname"] = properties.get("ssl.endpoint.identification.algorithm", "https").strip() != ""
    return found


_NUMBERS: Final = {
    "request.timeout.ms": "request_timeout_ms",
    "retry.backoff.ms": "retry_backoff_ms",
    "reconnect.backoff.ms": "reconnect_backoff_ms",
    "reconnect.backoff.max.ms": "reconnect_backoff_max_ms",
    "metadata.max.age.ms": "metadata_max_age_ms",
    "connections.max.idle.ms": "connections_max_idle_ms",
}
_TEXTS: Final = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "ssl.ca.location": "ssl_cafile",
    "ssl.truststore.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.keystore.location": "ssl_certfile",
    "ssl.key.password": "ssl_password",
}
