"""JDBC URLs of databases without a dialect of their own, as SQLAlchemy writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.url import JdbcUrl
from syncline.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import URL

DRIVERS: Final[Mapping[str, str]] = {
    "oracle": "oracle+oracledb",
    "sqlserver": "mssql+pyodbc",
    "db2": "db2+ibm_db",
    "sap": "hana+hdbcli",
    "vertica": "vertica+vertica_python",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "postgresql": "postgresql+psycopg",
}
"""By JDBC subprotocol; any other is SQLAlchemy's own name."""

_SERVER: Final = re.compile(
    r"//(?P<host>[^:/?;]*)(?::(?P<port>\d+))?(?:[/:](?P<database>[^?;]*))?(?P<rest>.*)", re.DOTALL
)
_ORACLE: Final = re.compile(r"thin:(?:[^@]*)@(?://)?(?P<host>[^:/]+)(?::(?P<port>\d+))?(?P<sep>[:/])(?P<name>[^?]+)")


def sqlalchemy_url(settings: Settings) -> URL:
    """The URL with account and options; ConfigError when the JDBC URL is not understood."""
    from sqlalchemy import URL

    url = settings.url
    _, _, rest = url.text.removeprefix("jdbc:").partition(":")
    host, port, database, query = _parts(url, rest)
    query |= {name: value for name, value in settings.properties.items() if name not in ("user", "password")}
    account = {name: query.pop(name, None) for name in ("user", "password")}
    return URL.create(
        DRIVERS.get(url.subprotocol, url.subprotocol),
        username=settings.user or account["user"],
        password=settings.password or account["password"],
        host=host or None,
        port=port,
        database=database or query.pop("databaseName", None),
        query=query,
    )


def _parts(url: JdbcUrl, rest: str) -> tuple[str, int | None, str, dict[str, str]]:
    """Host, port, database and options."""
    if url.hosts or url.subprotocol == "sqlite":
        first = url.hosts[0] if url.hosts else None
        host, port = (first.name, first.port) if first else ("", None)
        return host, port, url.database, dict(url.options)
    if url.subprotocol == "oracle":
        found = _ORACLE.fullmatch(rest.partition("?")[0])
        if found is None:
            raise _not_understood(url, "jdbc:oracle:thin:@//host:port/service")
        port = int(found["port"] or 1521)
        if found["sep"] == ":":
            return found["host"], port, found["name"], {}
        return found["host"], port, "", {"service_name": found["name"]}
    found = _SERVER.fullmatch(rest)
    if found is None:
        # A file, as DuckDB's.
        path, _, query = rest.partition("?")
        return "", None, path, _pairs(query, "&")
    options = _pairs(found["rest"].lstrip("?;"), ";" if found["rest"].startswith(";") else "&")
    return found["host"], int(found["port"]) if found["port"] else None, found["database"] or "", options


def _pairs(text: str, between: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(between) if part)
    return {name: value for name, _, value in pairs}


def _not_understood(url: JdbcUrl, example: str) -> ConfigError:
    return ConfigError({"connection.url": [f"Not a valid JDBC URL: {url.masked!r}: write it as {example}"]})
