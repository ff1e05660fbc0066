"""PostgreSQL, through psycopg 3."""

from __future__ import annotations

from typing import Any, Final

from syncline.connectors.jdbc.bound import BindAs, bind_kind
from syncline.connectors.jdbc.dialect import KEY_LENGTH, Capabilities, Dialect, RowWriter
from syncline.connectors.jdbc.dialects.postgresql import connect, errors, write
from syncline.connectors.jdbc.refusal import Refused
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.tables import TableId
from syncline.data import Schema

NAME_BYTES: Final = 63


class PostgreSql(Dialect):
    """Names have a database, a schema and a table; the database can only be the connection's own."""

    name = "PostgreSqlDatabaseDialect"
    subprotocols = ("postgresql",)
    quote_mark = '"'
    capabilities = Capabilities(name_parts=3, arrays=True, exact_text_keys=True, folds_unquoted=True)

    def connect(self, settings: Settings) -> Any:
        with self.refusing():
            return connect.connect(settings)

    def rows(self, connection: Any) -> RowWriter:
        return write.PostgreSqlRows(self, connection)

    def refusal(self, error: Exception) -> Refused | None:
        return errors.refusal(error)

    def parse_table(self, text: str, *, quoting: bool = True) -> TableId:
        table = super().parse_table(text, quoting=quoting)
        # The server cuts longer names itself, with a notice nobody reads, and would not find them again.
        return TableId(table.name.encode()[:NAME_BYTES].decode(errors="ignore"), table.schema, table.catalog)

    def column_type(self, schema: Schema, *, key: bool, longest: int = KEY_LENGTH) -> str:
        return write.column_type(schema)

    def literal(self, schema: Schema, value: Any) -> str:
        kind = bind_kind(schema)
        if kind is BindAs.BOOLEAN:
            return "TRUE" if value else "FALSE"
        if kind is BindAs.BYTES:
            return f"'\\x{value.hex()}'"
        if kind is BindAs.ARRAY and schema.value_schema is not None:
            inner = schema.value_schema
            entries = ",".join("NULL" if entry is None else self.literal(inner, entry) for entry in value)
            return f"ARRAY[{entries}]::{self.column_type(schema, key=False)}"
        return super().literal(schema, value)


POSTGRESQL: Final = PostgreSql()
DIALECT: Final = POSTGRESQL
