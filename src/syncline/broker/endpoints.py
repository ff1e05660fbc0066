"""A listener at work: its socket, its TLS context, and how its clients authenticate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

from syncline.broker.configs import Settings
from syncline.broker.credentials import Credentials
from syncline.broker.errors import BrokerError
from syncline.broker.listeners import DEFAULT_MECHANISM, Listener, bracketed
from syncline.broker.sasl import MECHANISMS, PLAIN, Mechanism, Plain, Scram, Session, plain_passwords
from syncline.broker.tls import TlsLayer, server_context

BACKLOG = 512


class Endpoint:
    """One listener; BrokerError when its settings do not make sense."""

    def __init__(self, listener: Listener, settings: Settings, credentials: Credentials) -> None:
        self.listener = listener
        self.port = listener.port
        self.max_frame = settings.number("socket.request.max.bytes")
        self.max_token = int(settings.of_listener(listener.name, "sasl.server.max.receive.size"))
        self.failure_delay_s = settings.number("connection.failed.authentication.delay.ms") / 1000
        self._reauth_ms = int(settings.of_listener(listener.name, "connections.max.reauth.ms"))
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        if listener.protocol.encrypted:
            self._tls = server_context(partial(settings.of_listener, listener.name), f"listener {listener.name}")
        self._mechanisms: dict[str, Mechanism] | None = None
        if listener.protocol.authenticated:
            self._mechanisms = _mechanisms(listener, settings, credentials)

    def new_session(self) -> Session | None:
        """For a new connection; None where nobody has to say who it is."""
        return None if self._mechanisms is None else Session(self._mechanisms, self._reauth_ms)

    def address(self, local: str = "") -> tuple[str, int]:
        """Host and port for clients; `local` is the address at which one of them came in."""
        return self.listener.address(local, self.port)

    @property
    def bootstrap_servers(self) -> str:
        host, port = self.address()
        return f"{bracketed(host)}:{port}"

    def __str__(self) -> str:
        return f"{self.listener.name}://{bracketed(self.listener.host)}:{self.port}"

    async def open(self, connect: Callable[[Endpoint], asyncio.BufferedProtocol]) -> None:
        """Accept clients; `connect` makes the connection of each."""
        loop, tls = asyncio.get_running_loop(), self._tls
        factory: Callable[[], asyncio.BaseProtocol]
        if tls is None:
            factory = partial(connect, self)
        else:

            def factory() -> asyncio.BaseProtocol:
                return TlsLayer(tls, connect(self), str(self))

        host = self.listener.host
        try:
            self._server = await loop.create_server(factory, host or None, self.port, backlog=BACKLOG)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise BrokerError(f"cannot listen on {bracketed(host) or '*'}:{self.port}: {reason}") from exc
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Accept no more clients."""
        if self._server is not None:
            self._server.close()
            self._server = None


def _mechanisms(listener: Listener, settings: Settings, credentials: Credentials) -> dict[str, Mechanism]:
    text = settings.of_listener(listener.name, "sasl.enabled.mechanisms")
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if DEFAULT_MECHANISM in wanted or not wanted:
        raise BrokerError(
            f"listener {listener.name}: sasl.enabled.mechanisms={text}: "
            f"give one or more of {', '.join(MECHANISMS)}; GSSAPI is not served"
        )
    found: dict[str, Mechanism] = {}
    for mechanism in wanted:
        if mechanism == PLAIN:
            key = f"listener.name.{listener.name.lower()}.plain.sasl.jaas.config"
            if key not in settings.given:
                raise BrokerError(f"listener {listener.name}: PLAIN needs its users in {key}")
            found[mechanism] = partial(Plain, plain_passwords(settings.given[key], key))
        else:
            found[mechanism] = partial(Scram, mechanism, partial(credentials.get, mechanism))
    return found
