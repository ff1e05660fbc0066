"""Serves the REST interface on sockets that are bound before anything else starts."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from syncline.errors import ConfigError, ConnectError
from syncline.rest.app import RestApp

_LISTENER: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^:/\[\]]*):(?P<port>-?\d{1,5})/?", re.IGNORECASE
)
_BACKLOG: Final = 128
_GRACE_SECONDS: Final = 60
"""How long a stop waits for requests that are being answered."""
_KEEP_ALIVE_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Listener:
    """One bound address."""

    scheme: str
    host: str
    """As configured; empty for every interface."""
    port: int
    socket: socket.socket


def bind(address: str, key: str = "listeners") -> Listener:
    """Bind an address such as `http://:8083`; ConfigError in one sentence about `key` when it cannot be."""
    match = _LISTENER.fullmatch(address.strip())
    if match is None or int(match["port"]) > 65535:
        raise ConfigError({key: [f"{key}: {address!r} is not of the form http://host:port or https://host:port"]})
    host, port = match["host"].strip("[]"), max(int(match["port"]), 0)
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
    except OSError as exc:
        made.close()
        where = f"port {port} of {host or 'all interfaces'}"
        raise ConfigError({key: [f"{key}: cannot listen on {where}: {exc.strerror or exc}"]}) from exc
    return Listener(match["scheme"].lower(), host, made.getsockname()[1], made)


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate and key of https listeners; PEM files are what Python can read."""

    certificate: str
    key: str
    password: str | None
    authorities: str | None
    """Clients must show a certificate of one of these when `required`."""
    required: bool

    @classmethod
    def of(cls, properties: Mapping[str, str], prefix: str) -> Tls:
        """From `<prefix>ssl.*`, or `ssl.*` where those are missing; ConfigError says what is needed."""

        def given(name: str) -> str | None:
            return properties.get(f"{prefix}ssl.{name}", properties.get(f"ssl.{name}"))

        location = given("keystore.location")
        if location is None or (given("keystore.type") or "").strip().upper() != "PEM":
            raise ConfigError(
                {
                    f"{prefix}ssl.keystore.location": [
                        f"an https listener needs {prefix}ssl.keystore.type=PEM and {prefix}ssl.keystore.location, "
                        "a file with the private key and the certificates; JKS and PKCS12 cannot be read here"
                    ]
                }
            )
        trust = given("truststore.location")
        return cls(
            location.strip(),
            location.strip(),
            given("key.password"),
            None if trust is None else trust.strip(),
            (given("client.auth") or "none").strip().lower() == "required",
        )

    def settings(self) -> dict[str, Any]:
        """As uvicorn takes them."""
        return {
            "ssl_certfile": self.certificate,
            "ssl_keyfile": self.key,
            "ssl_keyfile_password": self.password,
            "ssl_ca_certs": self.authorities,
            "ssl_cert_reqs": ssl.CERT_REQUIRED if self.required else ssl.CERT_NONE,
        }


class RestServer:
    """Runs the application for one listener, on a thread of its own."""

    def __init__(self, app: RestApp, listener: Listener, tls: Tls | None = None) -> None:
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=_GRACE_SECONDS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                server_header=False,
                http="h11",
                ws="none",
                **(tls.settings() if tls is not None else {}),
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener.socket],), name=f"rest-{listener.port}", daemon=True
        )

    def start(self) -> None:
        """Returns when requests are answered."""
        try:
            self._server.config.load()
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"the certificate of the https listener cannot be used: {exc}") from exc
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise ConnectError(f"the REST interface cannot serve port {self._listener.port}; the log says why")
            self._thread.join(0.005)

    def stop(self) -> None:
        """Returns when requests that were being answered have been."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_GRACE_SECONDS + 5)
        self._listener.socket.close()
