"""JDBC URLs as users write them: `jdbc:mariadb://host:port/database?option=value`, `jdbc:sqlite:file`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "********"

_WORD: Final = r"[a-z0-9_.\-]*"
_SECRET: Final = re.compile(
    rf"(?i)([?&;,(]{_WORD}(?:password|passwd|pwd|secret|passphrase|token){_WORD}=)[^&;,)]*"
    r"|(//[^/@:?]*:)[^/@]*(?=@)|(:thin:[^/@:?]*/)[^@]*(?=@)"
)
_PREFIXES: Final = frozenset({"replication", "loadbalance", "sequential", "failover", "aurora", "load-balance-read"})
"""What may stand between subprotocol and `//`; each is taken as "the first host that answers"."""
_SERVERS: Final = frozenset({"mysql", "mariadb", "postgresql"})


@dataclass(frozen=True, slots=True)
class Host:
    """Where a server listens."""

    name: str
    port: int | None = None
    """None for the database's usual port."""


@dataclass(frozen=True, slots=True)
class JdbcUrl:
    """The parts of a URL."""

    text: str = field(repr=False)
    subprotocol: str
    """`mysql`, `mariadb`, `postgresql`, `sqlite`, ..."""
    hosts: tuple[Host, ...] = ()
    """To be tried in order; empty for databases without servers and for kinds this module does not know."""
    database: str = ""
    """For SQLite the file; `:memory:` for none."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def masked(self) -> str:
        """The URL without passwords, for messages."""
        return masked(self.text)


def same_database(url: JdbcUrl) -> str:
    """A text that is equal for URLs of the same database; the machine's own names count as one."""
    kind = "mysql" if url.subprotocol == "mariadb" else url.subprotocol
    usual = {"mysql": 3306, "postgresql": 5432}.get(kind)
    host = url.hosts[0] if url.hosts else None
    if host is None:
        return f"{kind}:{url.database or url.masked}"
    name = "localhost" if host.name in ("", "127.0.0.1", "::1") else host.name.lower()
    return f"{kind}://{name}:{host.port or usual}/{url.database}"


def masked(text: str) -> str:
    """`text` with the passwords of the URLs in it replaced by stars."""
    return _SECRET.sub(lambda match: (match[1] or match[2] or match[3]) + HIDDEN, text)


def parse_url(text: str) -> JdbcUrl:
    """The parts of a JDBC URL; ValueError names the part that is wrong.

    Of a kind of database this module does not know only the subprotocol is looked at.
    """
    if not text:
        raise ValueError("Not a valid JDBC URL: it is empty; give one such as jdbc:mariadb://localhost:3306/mydb")
    scheme, _, after = text.partition(":")
    if scheme != "jdbc":
        raise _malformed(text, "it does not begin with 'jdbc:'")
    subprotocol, colon, rest = after.partition(":")
    if not colon or not subprotocol:
        raise _malformed(text, "it names no kind of database after 'jdbc:'")
    if subprotocol == "sqlite":
        path, _, query = rest.partition("?")
        if path.startswith("file:"):
            return JdbcUrl(text, subprotocol, database=rest)
        return JdbcUrl(text, subprotocol, database=path or ":memory:", options=_options(query))
    if subprotocol not in _SERVERS:
        return JdbcUrl(text, subprotocol)
    return _server_url(text, subprotocol, rest)


def _server_url(text: str, subprotocol: str, rest: str) -> JdbcUrl:
    before, slashes, after = rest.partition("//")
    place, _, query = (after if slashes else rest).partition("?")
    if not slashes:
        # PostgreSQL's short form: a database on this machine.
        if subprotocol == "postgresql" and place and "/" not in place and ":" not in place:
            return JdbcUrl(text, subprotocol, (Host("localhost"),), unquote(place), _options(query))
        raise _malformed(text, f"'//host:port/database' is expected where {masked(rest)!r} stands")
    if before.removesuffix(":") not in ("", *_PREFIXES) or (before and not before.endswith(":")):
        raise _malformed(text, f"{before!r} before '//' is not understood")
    places, _, database = place.partition("/")
    if "@" in places:
        raise _malformed(text, "user and password belong into connection.user and connection.password, not before '@'")
    if places.lower().startswith("address=") or "(" in places:
        raise _malformed(text, "hosts are given as host:port, not as 'address=(...)'")
    hosts = tuple(_host(text, entry) for entry in places.split(","))
    return JdbcUrl(text, subprotocol, hosts, unquote(database), _options(query))


def _host(text: str, entry: str) -> Host:
    """`host`, `host:port`, `[ipv6]:port`; an empty host is this machine."""
    name, port = entry, ""
    if entry.startswith("["):
        name, bracket, port = entry[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise _malformed(text, f"the address {entry!r} is no '[ipv6]:port'")
        port = port[1:] if port else ""
    elif ":" in entry:
        name, _, port = entry.partition(":")
        if not port:
            raise _malformed(text, f"the port after {name!r} is missing")
    if not port:
        return Host(name or "localhost")
    if ":" in port:
        number, _, more = port.partition(":")
        raise _malformed(
            text, f"the port {port!r} is no number; if {more!r} is the database, write /{more} after {number}"
        )
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise _malformed(text, f"the port {port!r} is no number from 1 to 65535")
    return Host(name or "localhost", int(port))


def _options(query: str) -> dict[str, str]:
    """`a=1&b=2`; percent signs are decoded, a plus stays a plus (passwords hold them)."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def _malformed(text: str, why: str) -> ValueError:
    return ValueError(f"Not a valid JDBC URL: {masked(text)!r}: {why}")
