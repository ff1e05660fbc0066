"""MariaDB and MySQL, through MariaDB Connector/Python or, where that has no wheel, PyMySQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syncline.connectors.jdbc.dialect import KEY_LENGTH, Capabilities, Dialect, RowWriter
from syncline.connectors.jdbc.dialects.mysql import connect, errors, write
from syncline.connectors.jdbc.refusal import Refused
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.tables import TableId
from syncline.data import Schema


class MySql(Dialect):
    """A catalog is a database, and there are no schemas in between."""

    name = "MySqlDatabaseDialect"
    subprotocols = ("mysql", "mariadb")
    quote_mark = "`"
    capabilities = Capabilities(epoch_type="DATETIME(6)")

    def connect(self, settings: Settings) -> Any:
        with self.refusing():
            return connect.connect(settings)

    def rows(self, connection: Any) -> RowWriter:
        return write.MySqlRows(self, connection)

    def refusal(self, error: Exception) -> Refused | None:
        return errors.refusal(error)

    def table_id(self, parts: Sequence[str]) -> TableId:
        return TableId(parts[-1], catalog=parts[0] if len(parts) > 1 else None)

    def column_type(self, schema: Schema, *, key: bool, longest: int = KEY_LENGTH) -> str:
        return write.column_type(schema, key=key, longest=longest)

    def literal(self, schema: Schema, value: Any) -> str:
        if isinstance(value, str):
            return write.text_literal(value)
        return super().literal(schema, value)


MYSQL: Final = MySql()
DIALECT: Final = MYSQL
