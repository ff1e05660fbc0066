"""JDBC URLs as users write them: `jdbc:mariadb://host:port/database?option=value`, `jdbc:sqlite:file`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

_SERVER: Final = re.compile(r"//(?P<host>\[[^\]]+\]|[^:/?]*)(?::(?P<port>[^/?]*))?(?P<rest>.*)", re.DOTALL)
_SECRET: Final = re.compile(
    r"(?i)([?&;](?:password|pwd|sslkeypassword|sslpassword|[a-z]*password)=)[^&;]*|(//[^/@:]*:)[^/@]*(?=@)"
)


@dataclass(frozen=True, slots=True)
class JdbcUrl:
    """The parts of a URL."""

    text: str = field(repr=False)
    subprotocol: str
    """`mysql`, `mariadb`, `postgresql`, `sqlite`, ..."""
    host: str = ""
    port: int | None = None
    database: str = ""
    """For SQLite the file; `:memory:` for none."""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def masked(self) -> str:
        """The URL without passwords, for messages."""
        return masked(self.text)


def masked(url: str) -> str:
    """`url` with passwords replaced by stars."""
    return _SECRET.sub(lambda match: (match[1] or match[2]) + "********", url)


def parse_url(text: str) -> JdbcUrl:
    """The parts of a JDBC URL; ValueError names the part that is wrong."""
    if not text.startswith("jdbc:"):
        raise ValueError(f"Not a valid JDBC URL: {masked(text)!r} does not begin with 'jdbc:'")
    subprotocol, colon, rest = text.removeprefix("jdbc:").partition(":")
    if not colon or not subprotocol:
        raise ValueError(f"Not a valid JDBC URL: {masked(text)!r} names no database kind after 'jdbc:'")
    if subprotocol == "sqlite":
        path, _, query = rest.partition("?")
        return JdbcUrl(text, subprotocol, database=path or ":memory:", options=dict(parse_qsl(query)))
    match = _SERVER.fullmatch(rest)
    if match is None:
        raise ValueError(f"Not a valid JDBC URL: {masked(text)!r} lacks '//host:port/database'")
    port = match["port"]
    if port is not None and not (port.isdigit() and 0 < int(port) < 65536):
        hint = " (a colon where '/database' belongs?)" if ":" in port else ""
        raise ValueError(f"Not a valid JDBC URL: {masked(text)!r} has port {port!r}, which is no number{hint}")
    path, _, query = match["rest"].partition("?")
    return JdbcUrl(
        text,
        subprotocol,
        match["host"].strip("[]") or "localhost",
        int(port) if port is not None else None,
        unquote(path.lstrip("/")),
        dict(parse_qsl(query, keep_blank_values=True)),
    )
