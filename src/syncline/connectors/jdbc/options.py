"""Options that source and sink share, and how they become connection settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from syncline.connectors.jdbc.dialect import Dialect
from syncline.connectors.jdbc.dialects import dialect_of
from syncline.connectors.jdbc.moments import zone_of
from syncline.connectors.jdbc.refusal import Refused
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.url import parse_url
from syncline.errors import ConfigError
from syncline.options.checks import refuse
from syncline.options.load import CheckedValue
from syncline.options.option import Check, Recommend

PREFIX: Final = "connection."
_OURS: Final = frozenset({"url", "user", "password", "attempts", "backoff.ms"})

DIALECT_NAMES: Final = (
    "",
    *("Db2DatabaseDialect", "MySqlDatabaseDialect", "SybaseDatabaseDialect", "GenericDatabaseDialect"),
    *("OracleDatabaseDialect", "SqlServerDatabaseDialect", "PostgreSqlDatabaseDialect", "SqliteDatabaseDialect"),
    *("DerbyDatabaseDialect", "SapHanaDatabaseDialect", "VerticaDatabaseDialect"),
)
"""What Confluent's connector knows and recommends. Those without one here are served by the generic dialect."""


def settings_of(config: Mapping[str, str | None], *, isolation: str | None = None) -> Settings:
    """How to connect, from a connector's configuration; ValueError for a malformed URL."""
    return Settings(
        url=parse_url((config.get("connection.url") or "").strip()),
        user=config.get("connection.user"),
        password=config.get("connection.password"),
        properties={
            key.removeprefix(PREFIX): value
            for key, value in config.items()
            if key.startswith(PREFIX) and key.removeprefix(PREFIX) not in _OURS and value is not None
        },
        timezone=zone_of((config.get("db.timezone") or "UTC").strip()),
        isolation=isolation,
    )


def dialect_for(config: Mapping[str, str | None], settings: Settings) -> Dialect:
    """The dialect a configuration means; ConfigError when it is not available."""
    return dialect_of(settings.url, (config.get("dialect.name") or "").strip())


def check_connection(config: Mapping[str, str | None], answers: Mapping[str, CheckedValue]) -> None:
    """Connect once, as validation does; what is wrong is an error on `connection.url`."""
    answer = answers["connection.url"]
    quoting = str(config.get("quote.sql.identifiers") or "always").strip().lower()
    if quoting not in ("always", "never"):
        answer.errors.append(f"No matching QuoteMethod found for '{config.get('quote.sql.identifiers')}'")
        return
    if answer.errors or any(answers[name].errors for name in ("db.timezone",) if name in answers):
        return
    try:
        settings = settings_of(config)
        dialect = dialect_for(config, settings)
        dialect.connect(settings).close()
    except ValueError as exc:
        answer.errors.append(str(exc))
    except ConfigError as exc:
        for name, texts in exc.errors.items():
            answers.get(name, answer).errors.extend(texts)
    except Refused as exc:
        answer.errors.append(f"Could not connect to database. {exc}")


def one_case(*allowed: str) -> Check:
    """A check for words that may be all lower or all upper case; None passes, each entry of a list is checked."""
    accepted = {*(word.lower() for word in allowed), *(word.upper() for word in allowed)}

    def check(name: str, value: Any) -> None:
        for entry in value if isinstance(value, list) else [value]:
            if entry is not None and entry not in accepted:
                raise not_among(allowed, name, entry)

    return check


def known_dialect(name: str, value: Any) -> None:
    """A check for names of dialects; the empty one is that of the URL."""
    if value is not None and value not in DIALECT_NAMES:
        raise not_among(DIALECT_NAMES[1:], name, value)


def not_among(allowed: Iterable[str], name: str, value: Any) -> ValueError:
    """The error of a word that is none of `allowed`."""
    return refuse(name, value, f"Invalid enumerator. Valid values are: {', '.join(allowed)}")


def offer(*values: str) -> Recommend:
    """Recommend the same values whatever else is given."""
    return lambda parsed: values


def time_zone(name: str, value: Any) -> None:
    """A check for zone ids."""
    try:
        zone_of(str(value))
    except ValueError as exc:
        raise refuse(name, value, str(exc)) from exc
