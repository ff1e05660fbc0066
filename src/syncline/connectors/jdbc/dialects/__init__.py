"""One folder per database; `DIALECTS` finds them by `dialect.name` or by the URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncline.connectors.jdbc.dialect import Dialect
from syncline.connectors.jdbc.dialects.mysql import MYSQL
from syncline.connectors.jdbc.dialects.postgresql import POSTGRESQL
from syncline.connectors.jdbc.dialects.sqlite import SQLITE
from syncline.connectors.jdbc.url import JdbcUrl
from syncline.errors import ConfigError

DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (MYSQL, POSTGRESQL, SQLITE)}


def dialect_of(url: JdbcUrl, name: str = "") -> Dialect:
    """The dialect called `name`, or the one the URL means; ConfigError when there is none."""
    if name:
        found = DIALECTS.get(name)
        if found is None:
            raise ConfigError({"dialect.name": [f"dialect {name} is not available; there are {', '.join(DIALECTS)}"]})
        return found
    for dialect in DIALECTS.values():
        if url.subprotocol in dialect.subprotocols:
            return dialect
    known = ", ".join(f"jdbc:{p}" for dialect in DIALECTS.values() for p in dialect.subprotocols)
    raise ConfigError({"connection.url": [f"no driver for jdbc:{url.subprotocol}; there are {known}"]})
