"""Database URLs as people write them, mapped to the drivers that are installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from syncline.errors import ConfigError

CONNECT_SECONDS: Final = 3
STATEMENT_SECONDS: Final = 10
"""A statement that takes longer is given up: a database that hangs must not hold every thread."""


class _Driver(NamedTuple):
    module: str
    dialect: str
    """SQLAlchemy's name. Its `mysql` serves MariaDB as well, but its `mariadb` refuses MySQL."""
    connect_args: dict[str, Any]


_MYSQL_TIMEOUTS: Final = {
    "connect_timeout": CONNECT_SECONDS,
    "read_timeout": STATEMENT_SECONDS,
    "write_timeout": STATEMENT_SECONDS,
}
_MYSQL: Final = (
    _Driver("mariadb", "mysql+mariadbconnector", _MYSQL_TIMEOUTS),
    _Driver("pymysql", "mysql+pymysql", {**_MYSQL_TIMEOUTS, "charset": "utf8mb4"}),
)
_POSTGRESQL: Final = (
    _Driver(
        "psycopg",
        "postgresql+psycopg",
        {"connect_timeout": CONNECT_SECONDS, "options": f"-c statement_timeout={STATEMENT_SECONDS}s"},
    ),
)
_SQLITE: Final = (_Driver("sqlite3", "sqlite", {"timeout": STATEMENT_SECONDS / 2}),)

_DRIVERS: Final = {
    "mariadb": ("mariadb", _MYSQL),
    "mysql": ("mariadb", _MYSQL),
    "postgresql": ("postgresql", _POSTGRESQL),
    "postgres": ("postgresql", _POSTGRESQL),
    "sqlite": ("", _SQLITE),
}
"""Scheme to the extra that brings the drivers, and the drivers, the best first."""


def parse(text: str) -> URL:
    """The URL as it was given; ConfigError says what is wrong with it."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as exc:
        raise ConfigError(
            "this is no database URL; give one like mariadb://user:password@host:3306/database or sqlite:///file.db"
        ) from exc
    scheme = url.drivername.partition("+")[0]
    if scheme not in _DRIVERS:
        raise ConfigError(f"{scheme}:// is not supported; use one of {', '.join(sorted(_DRIVERS))}")
    _refuse_incomplete(url, scheme)
    return url


def resolve(url: URL) -> tuple[URL, dict[str, Any]]:
    """The URL with the best driver installed, and that driver's own arguments; ConfigError if there is none."""
    scheme = url.drivername.partition("+")[0]
    extra, drivers = _DRIVERS[scheme]
    if drivers is _MYSQL and url.host == "localhost":
        # MariaDB's C library takes exactly this spelling for a socket's file, and does not look at the port then.
        url = url.set(host="Localhost")
    for driver in drivers:
        if find_spec(driver.module) is not None:
            return url.set(drivername=driver.dialect), dict(driver.connect_args)
    raise ConfigError(f"no driver for {scheme} is installed: pip install 'syncline[{extra}]'")


def _refuse_incomplete(url: URL, scheme: str) -> None:
    if scheme != "sqlite":
        if not url.host or not url.database:
            raise ConfigError(f"{shown(url)} names no host or no database; write {scheme}://host:port/database")
    elif not url.database or url.database == ":memory:":
        raise ConfigError("an SQLite URL needs a file, for instances share it: sqlite:///file.db")
    elif not Path(url.database).parent.is_dir():
        raise ConfigError(f"the folder of {shown(url)} does not exist")


def shown(url: URL) -> str:
    """The URL as messages may show it: without password, options and driver."""
    plain = url.set(drivername=url.drivername.partition("+")[0], query={})
    return URL.create(
        plain.drivername, plain.username, host=plain.host, port=plain.port, database=plain.database
    ).render_as_string()
