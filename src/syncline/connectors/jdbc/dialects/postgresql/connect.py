"""Connections to PostgreSQL: options of the JDBC driver in libpq's words, and what a session is set to."""

from __future__ import annotations

from typing import Any, Final

from syncline.connectors.jdbc.settings import Settings
from syncline.errors import ConfigError

PORT: Final = 5432
LOCK_MS: Final = 60_000
"""How long a statement waits for a lock; the server's own limit is none."""

_TLS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "channel_binding", "target_session_attrs")


def connect(settings: Settings) -> Any:
    """A settled connection to the first host that answers; raises the driver's errors."""
    try:
        import psycopg
    except ImportError as exc:
        raise ConfigError(
            {"connection.url": ["no driver for PostgreSQL is installed: pip install 'syncline[postgresql]'"]}
        ) from exc
    connection = psycopg.connect(**_options(settings))
    # A statement prepared on the server breaks when somebody alters the table.
    connection.prepare_threshold = None
    # Points in time are written in UTC (Column.instant), and dates in the order year, month, day.
    for name, value in (("TimeZone", "UTC"), ("DateStyle", "ISO, YMD"), ("lock_timeout", str(LOCK_MS))):
        _set(connection, name, value)
    schema = settings.option("currentSchema")
    if schema:
        _set(connection, "search_path", schema)
    statement_seconds = settings.seconds("socketTimeout")
    if statement_seconds:
        _set(connection, "statement_timeout", f"{statement_seconds}s")
    if settings.isolation:
        connection.execute(f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {settings.isolation}")
    connection.commit()
    return connection


def _set(connection: Any, name: str, value: str) -> None:
    connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def _options(settings: Settings) -> dict[str, Any]:
    url = settings.url
    user = settings.user or settings.option("user")
    options: dict[str, Any] = {
        "host": ",".join(host.name for host in url.hosts),
        "port": ",".join(str(host.port or PORT) for host in url.hosts),
        "dbname": url.database or user,
        "user": user,
        "password": settings.password or settings.option("password"),
        "connect_timeout": settings.seconds("connectTimeout", "loginTimeout") or settings.timeout,
        "application_name": settings.option("ApplicationName") or "syncline",
        "client_encoding": "UTF8",
        "options": settings.option("options"),
        # Notice within a minute or two that the other machine is gone; the kernel's own values are hours.
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 6,
        "tcp_user_timeout": 120_000,
        **{name: settings.option(name) for name in _TLS},
    }
    if options["sslmode"] is None and settings.flag("ssl"):
        options["sslmode"] = "verify-full"
    return {name: value for name, value in options.items() if value is not None}
