"""Ports and databases as the user names them, looked at before anything is started."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

from syncline.errors import ConfigError

CONNECT_SECONDS = 3

_DEFAULT_PORTS: Final[Mapping[str, int]] = {
    "mariadb": 3306,
    "mysql": 3306,
    "postgresql": 5432,
    "postgres": 5432,
}
_JDBC: Final[Mapping[str, str]] = {"postgres": "postgresql"}


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def refuse_taken_ports(ports: Mapping[str, int]) -> None:
    """ConfigError for those of these ports (option to number) that other programs listen on."""
    taken: dict[str, int] = {}
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as exc:
                if exc.errno != errno.EADDRINUSE:
                    raise ConfigError(
                        f"port {port} cannot be used: {exc.strerror}; choose another with {option}"
                    ) from exc
                taken[option] = port
    if not taken:
        return
    numbers, options = ", ".join(map(str, taken.values())), ", ".join(taken)
    if len(taken) == 1:
        raise ConfigError(
            f"port {numbers} is taken by another program; choose another with {options}, or 0 for a free one"
        )
    whose = ", perhaps this command running elsewhere" if len(taken) == len(ports) else ""
    raise ConfigError(f"ports {numbers} are taken by other programs{whose}; choose others with {options}, or 0")


def reachable(bootstrap: str) -> str:
    """`bootstrap` itself, if something listens at one of its addresses; ConfigError otherwise.

    The client library would go on trying for half a minute, which is right for a service and wrong
    for somebody at a prompt.
    """
    reasons = []
    for address in bootstrap.split(","):
        host, colon, port = address.strip().rpartition(":")
        if not colon or not port.isdecimal():
            raise ConfigError(f"{address.strip()!r} is no address of a broker: write host:port")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as exc:
            reasons.append(getattr(exc, "strerror", None) or str(exc))
        else:
            return bootstrap
    raise ConfigError(f"no Kafka broker answers at {bootstrap}: {'; '.join(dict.fromkeys(reasons))}")


@dataclass(frozen=True, kw_only=True)
class DatabasePlace:
    """The one database, in the words of services and of connectors."""

    url: str = field(repr=False)
    """With its password, for the environment of children."""
    shown: str
    """Without it, for people."""
    jdbc_url: str
    user: str
    password: str = field(repr=False)
    host: str = ""
    port: int = 0

    @classmethod
    def sqlite(cls, file: Path) -> Self:
        """A file, which the first who opens it makes."""
        path = file.absolute()
        near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return cls(
            url=f"sqlite:///{path}", shown=f"sqlite:///{near}", jdbc_url=f"jdbc:sqlite:{path}", user="", password=""
        )

    @classmethod
    def of(cls, text: str) -> Self:
        """From a URL; ConfigError says what is wrong with it."""
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError as exc:
            # The reason may quote a password in the wrong place.
            raise ConfigError("--database is no URL like mariadb://user:password@host:port/database") from exc
        if url.scheme == "sqlite":
            return cls.sqlite(Path(url.path.removeprefix("/")))
        if url.scheme == "jdbc":
            raise ConfigError(
                "--database is no JDBC URL: leave jdbc: out, and write user and password before the host, as in "
                "mariadb://user:password@host:port/database"
            )
        if url.scheme not in _DEFAULT_PORTS:
            known = ", ".join([*_DEFAULT_PORTS, "sqlite"])
            raise ConfigError(f"--database begins with {url.scheme or 'nothing'}://, and known are {known}")
        name = url.path.removeprefix("/")
        if "@" in f"{name}{url.query}{url.fragment}":
            # Most likely the rest of a password, so nothing of it is repeated.
            raise ConfigError(
                "--database has an @ behind the host: within user and password write %40 for @, %2F for /, "
                "%3F for ? and %23 for #"
            )
        if not url.hostname or not name:
            raise ConfigError(
                f"--database names no host or no database: write {url.scheme}://user:password@host/database"
            )
        return cls._server(url, url.hostname, port or _DEFAULT_PORTS[url.scheme], name)

    @classmethod
    def _server(cls, url: SplitResult, host: str, port: int, name: str) -> Self:
        user, password = unquote(url.username or ""), unquote(url.password or "")
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        query = f"?{url.query}" if url.query else ""
        return cls(
            url=url.geturl(),
            shown=f"{url.scheme}://{user + '@' if user else ''}{at}/{name}",
            jdbc_url=f"jdbc:{_JDBC.get(url.scheme, url.scheme)}://{at}/{name}{query}",
            user=user,
            password=password,
            host=host,
            port=port,
        )

    def of_service(self, name: str) -> Self:
        """Where a service keeps what is its own: a file beside, on a server the same database."""
        return self if self.host else self.sqlite(Path(self.url.removeprefix("sqlite:///")).with_name(f"{name}.db"))

    def refuse_unreachable(self) -> None:
        """ConfigError when nothing listens there; whether it lets us in is for the services to find out."""
        if not self.host:
            return
        try:
            socket.create_connection((self.host, self.port), CONNECT_SECONDS).close()
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise ConfigError(f"the database {self.shown} cannot be reached: {reason}") from exc
