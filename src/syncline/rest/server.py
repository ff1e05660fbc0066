"""Serves the REST interface on sockets that are bound before anything else starts."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass
from typing import Final

import uvicorn

from syncline.errors import ConfigError
from syncline.rest.app import RestApp

_LISTENER: Final = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^:/]*):(?P<port>-?\d+)/?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listener:
    """One bound address."""

    socket: socket.socket
    host: str
    port: int


def bind(address: str) -> Listener:
    """Bind an address such as `http://:8083`; ConfigError in one sentence when it cannot be."""
    match = _LISTENER.fullmatch(address.strip())
    if match is None:
        raise ConfigError({"listeners": [f"listener {address!r} is not of the form http://host:port"]})
    if match["scheme"].lower() == "https":
        raise ConfigError({"listeners": [f"listener {address!r}: https is not available yet; put a proxy in front"]})
    host, port = match["host"].strip("[]"), max(int(match["port"]), 0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(128)
    except OSError as exc:
        made.close()
        raise ConfigError({"listeners": [f"cannot listen on {host or '*'}:{port}: {exc.strerror or exc}"]}) from exc
    return Listener(made, host, made.getsockname()[1])


class RestServer:
    """Runs the application on a thread of its own."""

    def __init__(self, app: RestApp, listener: Listener) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=60,
            server_header=False,
            date_header=True,
            http="h11",
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener.socket])

    def start(self) -> None:
        """Returns when requests are served."""
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # ours are installed
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.005)

    def stop(self) -> None:
        """Returns when running requests have ended."""
        self._server.should_exit = True
        self._thread.join(65)
        self._listener.socket.close()
