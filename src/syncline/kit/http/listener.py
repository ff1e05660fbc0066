"""A socket that listens before anything else is started."""

from __future__ import annotations

import errno
import socket

from syncline.errors import ConfigError


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, for port 0 on a free port; ConfigError says why there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol must be named: asyncio turns off Nagle's algorithm only where it reads TCP there, and
    # otherwise every answer waits 40 ms for the acknowledgement of its headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} on {host} is taken by another program") from exc
        raise ConfigError(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    return listener


def advertised(host: str) -> str:
    """How others reach a socket bound to `host`: by that, unless it stands for every address of this machine."""
    return socket.gethostname() if host in ("0.0.0.0", "::", "") else host
