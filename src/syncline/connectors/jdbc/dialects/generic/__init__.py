"""Any other database that SQLAlchemy knows: rows one by one, but the same behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syncline.connectors.jdbc.dialect import KEY_LENGTH, Capabilities, Dialect, RowWriter
from syncline.connectors.jdbc.dialects.generic import errors, urls, write
from syncline.connectors.jdbc.refusal import Refused
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.url import JdbcUrl
from syncline.data import Schema
from syncline.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect as SqlDialect

NAME = "GenericDatabaseDialect"


class Generic(Dialect):
    """Made for one kind of database; quoting and types are SQLAlchemy's for it."""

    name = NAME
    subprotocols = ()

    def __init__(self, sql: SqlDialect) -> None:
        self._sql = sql
        self.quote_mark = sql.identifier_preparer.initial_quote
        self.capabilities = Capabilities(adds_many=False, epoch_type=write.epoch_type(sql))

    def connect(self, settings: Settings) -> Any:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        level = {"isolation_level": settings.isolation} if settings.isolation else {}
        with self.refusing():
            return create_engine(urls.sqlalchemy_url(settings), poolclass=NullPool, **level).connect()

    def alive(self, connection: Any) -> bool:
        from sqlalchemy import literal, select
        from sqlalchemy.exc import SQLAlchemyError

        try:
            connection.execute(select(literal(1)))
            connection.rollback()
        except SQLAlchemyError:
            return False
        return True

    def rows(self, connection: Any) -> RowWriter:
        return write.GenericRows(connection)

    def refusal(self, error: Exception) -> Refused | None:
        return errors.refusal(error)

    def quote(self, identifier: str, *, quoting: bool = True) -> str:
        plain = super().quote(identifier, quoting=False) == identifier
        return identifier if plain and not quoting else self._sql.identifier_preparer.quote_identifier(identifier)

    def column_type(self, schema: Schema, *, key: bool, longest: int = KEY_LENGTH) -> str:
        return write.column_type(self._sql, schema, longest=longest if key else None)


def dialect_of(url: JdbcUrl) -> Generic:
    """The dialect for a URL; ConfigError when SQLAlchemy does not know the database, or its driver is missing."""
    from sqlalchemy import URL
    from sqlalchemy.exc import NoSuchModuleError

    name = urls.DRIVERS.get(url.subprotocol, url.subprotocol)
    try:
        kind = URL.create(name).get_dialect()
        kind.import_dbapi()
    except NoSuchModuleError:
        raise ConfigError(
            {
                "connection.url": [
                    f"no driver for jdbc:{url.subprotocol}: SQLAlchemy has no dialect {name!r} installed; there are "
                    "jdbc:mariadb, jdbc:mysql, jdbc:postgresql and jdbc:sqlite, and what SQLAlchemy knows"
                ]
            }
        ) from None
    except ImportError as exc:
        raise ConfigError(
            {
                "connection.url": [
                    f"no driver for jdbc:{url.subprotocol}: the Python module {exc.name!r} is missing; install it "
                    "where Syncline runs"
                ]
            }
        ) from exc
    return Generic(kind())
