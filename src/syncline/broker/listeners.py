"""Which addresses the broker listens on, and how each is protected (Kafka's `listeners` and its relatives)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from syncline.broker.configs import Settings
from syncline.broker.errors import BrokerError

DEFAULT_MECHANISM: Final = "GSSAPI"
"""Kafka's default for `sasl.enabled.mechanisms`; it is not served, so a SASL listener must name what it wants."""
LOOPBACK: Final = "127.0.0.1"
ANYWHERE: Final = frozenset({"", "0.0.0.0", "::"})

_ADDRESS: Final = re.compile(r"([A-Za-z0-9_]+)://(?:\[([0-9a-fA-F:.%]+)\]|([^\[\]:/]*)):(\d+)")


class Protocol(StrEnum):
    """What stands between a socket and Kafka's frames."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def encrypted(self) -> bool:
        return self in (Protocol.SSL, Protocol.SASL_SSL)

    @property
    def authenticated(self) -> bool:
        """Whether clients must prove by SASL who they are."""
        return self in (Protocol.SASL_PLAINTEXT, Protocol.SASL_SSL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One address to listen on."""

    name: str
    """In capitals, as in `listeners`."""
    protocol: Protocol
    host: str
    """Empty: every interface."""
    port: int
    """0: a free one."""
    advertised: tuple[str, int] | None = None
    """What clients are told to connect to; None: the address they came to."""

    def address(self, local: str, port: int) -> tuple[str, int]:
        """Host and port for a client that reached this listener at `local`; `port` is the one in use."""
        if self.advertised is not None:
            return self.advertised[0], self.advertised[1] or port
        if self.host not in ANYWHERE:
            return self.host, port
        return local.removeprefix("::ffff:") or LOOPBACK, port


def bracketed(host: str) -> str:
    """A host as it stands in front of a port."""
    return f"[{host}]" if ":" in host else host


def listeners_of(settings: Settings, host: str, port: int) -> list[Listener]:
    """The listeners of the settings, or one PLAINTEXT listener at host and port; BrokerError names the bad key."""
    protocols = _protocol_map(settings)
    controllers = _names(settings.text("controller.listener.names"))
    text = settings.text("listeners")
    addresses = _addresses("listeners", text) if text else {"PLAINTEXT": (host, port)}
    advertised = _addresses("advertised.listeners", settings.text("advertised.listeners"))
    found = [
        Listener(
            name=name,
            protocol=_protocol(name, protocols),
            host=at[0],
            port=at[1],
            advertised=advertised.get(name),
        )
        for name, at in addresses.items()
        # A server.properties of Kafka's own names its controllers' listener, which one node has no use for.
        if name not in controllers
    ]
    if not found:
        raise BrokerError(f"listeners={text}: names no listener for clients")
    ports = [listener.port for listener in found if listener.port]
    if len(ports) != len(set(ports)):
        raise BrokerError(f"listeners={text}: each listener must have a different port")
    _check_advertised(advertised, set(addresses) - controllers)
    return found


def _check_advertised(advertised: Mapping[str, tuple[str, int]], known: set[str]) -> None:
    for name, (host, _) in advertised.items():
        if name not in known:
            raise BrokerError(
                f"advertised.listeners: {name} is not among listeners ({', '.join(sorted(known))}); "
                "advertise only what is listened on"
            )
        if host in ANYWHERE:
            raise BrokerError(
                f"advertised.listeners: clients cannot connect to {host or 'an empty host'!r}; "
                "give a name or address that leads to this machine"
            )


def _names(text: str) -> set[str]:
    return {part.strip().upper() for part in text.split(",") if part.strip()}


def _protocol_map(settings: Settings) -> dict[str, str]:
    text = settings.text("listener.security.protocol.map")
    found = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        name, colon, protocol = entry.partition(":")
        if not colon or protocol not in Protocol.__members__:
            raise BrokerError(
                f"listener.security.protocol.map: {entry!r} is not of the form NAME:PROTOCOL, "
                f"with one of {', '.join(Protocol)}"
            )
        found[name.strip().upper()] = protocol
    return found


def _protocol(name: str, protocols: Mapping[str, str]) -> Protocol:
    protocol = protocols.get(name, name)
    if protocol not in Protocol.__members__:
        raise BrokerError(
            f"listeners: {name} is no security protocol; say in listener.security.protocol.map which it has, "
            f"for example {name}:PLAINTEXT"
        )
    return Protocol(protocol)


def _addresses(key: str, text: str) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for entry in (part.strip() for part in text.split(",") if part.strip()):
        match = _ADDRESS.fullmatch(entry)
        if match is None or int(match[4]) > 65535:
            raise BrokerError(f"{key}: {entry!r} is not of the form NAME://host:port")
        name = match[1].upper()
        if name in found:
            raise BrokerError(f"{key}={text}: {name} is named twice; each listener needs a name of its own")
        found[name] = (match[2] or match[3], int(match[4]))
    return found
