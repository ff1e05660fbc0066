"""One folder per database; `dialect_of` finds the one that `dialect.name` or the URL means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncline.connectors.jdbc.dialect import Dialect
from syncline.connectors.jdbc.dialects import generic, mysql, postgresql, sqlite
from syncline.connectors.jdbc.url import JdbcUrl
from syncline.errors import ConfigError

DIALECTS: Final[Mapping[str, Dialect]] = {
    package.DIALECT.name: package.DIALECT for package in (mysql, postgresql, sqlite)
}
_GENERIC: Final = frozenset(
    {
        generic.NAME,
        *("Db2DatabaseDialect", "SybaseDatabaseDialect", "OracleDatabaseDialect", "SqlServerDatabaseDialect"),
        *("DerbyDatabaseDialect", "SapHanaDatabaseDialect", "VerticaDatabaseDialect"),
    }
)
"""The generic dialect, and those of the Java connector for which it stands in."""


def dialect_of(url: JdbcUrl, name: str = "") -> Dialect:
    """The dialect called `name`, or the one the URL means; ConfigError when there is none, or no driver."""
    if name in _GENERIC:
        return generic.dialect_of(url)
    if name:
        found = DIALECTS.get(name)
        if found is None:
            known = ", ".join((*DIALECTS, generic.NAME))
            raise ConfigError({"dialect.name": [f"dialect {name} is not available; there are {known}"]})
        return found
    for dialect in DIALECTS.values():
        if url.subprotocol in dialect.subprotocols:
            return dialect
    return generic.dialect_of(url)
