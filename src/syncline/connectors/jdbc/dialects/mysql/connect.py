"""Connections to MariaDB and MySQL: drivers, TLS, timeouts, and what a session is set to."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from syncline.connectors.jdbc.dialects.mysql.errors import driver_errors
from syncline.connectors.jdbc.settings import Settings
from syncline.errors import ConfigError

log = logging.getLogger(__name__)

PORT: Final = 3306
LOCK_SECONDS: Final = 60
"""How long a statement waits for a table that somebody alters; the server's own limit is a day or a year."""

_SESSION: Final = (
    # Own values, not the server's. Strict, so that bad values are errors; backslashes escape, as the writer relies on;
    # and 0 in a key is the record's 0, not a request to make up a number.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'",
    "SET NAMES utf8mb4",
    # Points in time are written in UTC (Column.instant).
    f"SET SESSION time_zone = '+00:00', lock_wait_timeout = {LOCK_SECONDS}",
)

Connect = Callable[[Mapping[str, Any]], Any]


def connect(settings: Settings) -> Any:
    """A settled connection to the first host that answers; raises the driver's errors."""
    url = settings.url
    common: dict[str, Any] = {
        "user": settings.user or settings.option("user"),
        "password": settings.password or settings.option("password") or "",
        "database": url.database or None,
        "connect_timeout": settings.seconds("connectTimeout") or settings.timeout,
        "read_timeout": settings.seconds("socketTimeout"),
        "write_timeout": settings.seconds("socketTimeout"),
        "autocommit": False,
        # A malicious server could ask for any file of this machine otherwise.
        "local_infile": False,
    }
    open_one, tls = _driver()
    common |= tls(settings)
    given = {name: value for name, value in common.items() if value is not None}
    *others, last = url.hosts
    for host in others:
        try:
            return _settled(open_one({"host": _by_tcp(host.name), "port": host.port or PORT, **given}), settings)
        except driver_errors() as exc:
            log.warning("host %s does not take the connection, trying the next: %s", host.name, exc)
    return _settled(open_one({"host": _by_tcp(last.name), "port": last.port or PORT, **given}), settings)


def _by_tcp(host: str) -> str:
    """The same host, spelt so that MariaDB's C library does not take it for a socket's file.

    It does that with exactly `localhost`, and never looks at the port then: no server in a container is found, or
    another one answers. JDBC's drivers mean TCP by any name, and names of hosts are the same in any case.
    """
    return "Localhost" if host == "localhost" else host


def _settled(connection: Any, settings: Settings) -> Any:
    _keep_alive(connection)
    cursor = connection.cursor()
    for statement in _SESSION:
        cursor.execute(statement)
    variables = settings.option("sessionVariables")
    if variables:
        cursor.execute(f"SET SESSION {variables}")
        cursor.execute("SET SESSION sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')")
    if settings.isolation:
        cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {settings.isolation}")
    cursor.close()
    connection.commit()
    return connection


def _keep_alive(connection: Any) -> None:
    """Notice within a minute or two that the other machine is gone; the kernel's own values are hours."""
    number = connection.get_socket() if hasattr(connection, "get_socket") else connection._sock.fileno()
    with socket.socket(fileno=os.dup(number)) as duplicate:
        if duplicate.family not in (socket.AF_INET, socket.AF_INET6):
            return
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
            if hasattr(socket, name):
                duplicate.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


# --- drivers -------------------------------------------------------------------------------------


def _driver() -> tuple[Connect, Callable[[Settings], dict[str, Any]]]:
    """MariaDB Connector/Python, or PyMySQL where that has no wheel; each with its words for TLS."""
    try:
        import mariadb
    except ImportError:
        try:
            import pymysql
        except ImportError as exc:
            raise ConfigError(
                {"connection.url": ["no driver for MariaDB and MySQL is installed: pip install 'syncline[mariadb]'"]}
            ) from exc
        return lambda options: pymysql.connect(charset="utf8mb4", **options), _tls_pymysql
    return lambda options: mariadb.connect(**options), _tls_mariadb


_VERIFY_NOTHING: Final = ("require", "required", "trust")
_VERIFY_CA: Final = ("verify-ca", "verify_ca")
_VERIFY_ALL: Final = ("verify-full", "verify_identity")


def _tls_mode(settings: Settings) -> str:
    """`""` (no TLS asked for), `trust`, `ca` or `full`; from the options of either JDBC driver."""
    mode = (settings.option("sslMode") or "").lower()
    if mode in ("disable", "disabled", "prefer", "preferred"):
        return ""
    if mode:
        if mode in _VERIFY_NOTHING:
            return "trust"
        if mode in _VERIFY_CA:
            return "ca"
        if mode in _VERIFY_ALL:
            return "full"
        known = ", ".join(("disable", *_VERIFY_NOTHING, *_VERIFY_CA, *_VERIFY_ALL))
        raise ConfigError({"connection.url": [f"sslMode={mode} is not known; there are {known}"]})
    if not (settings.flag("useSSL") or settings.flag("requireSSL")):
        return ""
    trusting = settings.flag("trustServerCertificate") or settings.flag("verifyServerCertificate") is False
    return "trust" if trusting else "full"


def _authority(settings: Settings) -> str | None:
    store = settings.option("trustCertificateKeyStoreUrl", "trustStore")
    if store:
        raise ConfigError(
            {
                "connection.url": [
                    "Java key stores cannot be read: export the certificates as PEM and name the file in "
                    "connection.serverSslCert"
                ]
            }
        )
    path = settings.option("serverSslCert")
    return path.removeprefix("file:") if path else None


def _tls_mariadb(settings: Settings) -> dict[str, Any]:
    mode = _tls_mode(settings)
    if not mode:
        return {}
    return {
        "ssl": True,
        "ssl_ca": _authority(settings),
        "ssl_cert": settings.option("sslCert"),
        "ssl_key": settings.option("sslKey"),
        "ssl_verify_cert": mode != "trust",
    }


def _tls_pymysql(settings: Settings) -> dict[str, Any]:
    mode = _tls_mode(settings)
    if not mode:
        return {}
    if mode == "trust" and settings.option("serverSslCert") is None:
        import ssl

        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return {"ssl": context}
    return {
        "ssl_ca": _authority(settings),
        "ssl_cert": settings.option("sslCert"),
        "ssl_key": settings.option("sslKey"),
        "ssl_verify_cert": mode != "trust",
        "ssl_verify_identity": mode == "full",
    }
