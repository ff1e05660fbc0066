"""Makes tables fit the records: finds, creates and extends them (spec/jdbc.md 2.4 and 2.5)."""

from __future__ import annotations

import logging

from syncline.connectors.jdbc.binding import Binder
from syncline.connectors.jdbc.connection import Connection
from syncline.connectors.jdbc.ddl import TableAlterOrCreateError, alter, check_alterable, create
from syncline.connectors.jdbc.dialect import Dialect, RowWriter
from syncline.connectors.jdbc.fields import FieldColumn, Fields
from syncline.connectors.jdbc.refusal import Refusal, Refused
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.connectors.jdbc.tables import Table, TableId
from syncline.errors import ConfigError, ConnectError

log = logging.getLogger(__name__)


class Structure:
    """Of the tables of one task. Commits what it changes, so it is used between transactions only."""

    def __init__(self, config: SinkConfig, connection: Connection, binder: Binder) -> None:
        self._config = config
        self._connection = connection
        self._dialect: Dialect = connection.dialect
        self._binder = binder
        self._quoting = config.quoting.lower() != "never"
        self._kinds = {kind.upper() for kind in config.table_types}
        self._ids: dict[str, TableId] = {}

    def table_id(self, topic: str) -> TableId:
        """The table for a topic's records; ConnectError when the name cannot be one."""
        known = self._ids.get(topic)
        if known is None:
            known = self._ids[topic] = self._parsed(topic)
        return known

    def _parsed(self, topic: str) -> TableId:
        name = self._config.table_format.replace("${topic}", topic).strip()
        if not name:
            raise ConnectError(
                f"Destination table name for topic '{topic}' is empty using the format string "
                f"'{self._config.table_format}'"
            )
        try:
            return self._dialect.parse_table(name, quoting=self._quoting)
        except ConfigError as exc:
            raise ConnectError(f"topic '{topic}' has no table, set table.name.format: {exc}") from exc

    def ensure(self, rows: RowWriter, table: TableId, fields: Fields) -> Table:
        """The table's definition once it has a column for each field.

        Raises TableAlterOrCreateError when it may not be changed, ConnectError when a field has no type, Refused.
        """
        found = rows.table(table) or self._create(rows, table, fields)
        if found.kind.value not in self._kinds:
            raise TableAlterOrCreateError(
                f"{table} is a {found.kind.value}, which table.types={','.join(sorted(self._kinds))} does not allow, "
                "and a table of that name cannot be created beside it"
            )
        missing = _missing(found, fields)
        while missing:
            check_alterable(found, missing, evolve=self._config.auto_evolve)
            refused = self._alter(rows, found.id, missing)
            found = rows.table(table) or found
            before, missing = missing, _missing(found, fields)
            # Another task may have added some of the columns at the same time; the rest is tried again.
            if refused is not None and len(missing) == len(before):
                names = ", ".join(column.name for column in missing)
                raise TableAlterOrCreateError(
                    f"Failed to amend {found.kind.value} '{table}' to add missing fields: {names}: {refused}"
                ) from refused
        return found

    def _create(self, rows: RowWriter, table: TableId, fields: Fields) -> Table:
        if not self._config.auto_create:
            raise TableAlterOrCreateError(f"Table {table} is missing and auto-creation is disabled")
        sql = create(self._dialect, self._binder, table, fields, quoting=self._quoting, options=rows.table_options())
        log.info("creating table %s", table)
        refused = self._run(rows, [sql])
        found = rows.table(table)
        if found is not None:
            # Also when it was refused: another task was faster.
            return found
        raise refused or TableAlterOrCreateError(f"Table {table} was created but cannot be found")

    def _alter(self, rows: RowWriter, table: TableId, missing: list[FieldColumn]) -> Refused | None:
        log.info("adding %s to table %s", ", ".join(column.name for column in missing), table)
        return self._run(rows, alter(self._dialect, self._binder, table, missing, quoting=self._quoting))

    def _run(self, rows: RowWriter, statements: list[str]) -> Refused | None:
        """Run and commit DDL; what it was refused for, unless that may pass."""
        try:
            with self._dialect.refusing():
                for sql in statements:
                    rows.execute(sql)
            self._connection.commit()
        except Refused as exc:
            self._connection.rollback()
            if exc.kind in (Refusal.AWAY, Refusal.BUSY):
                raise
            return exc
        return None


def _missing(table: Table, fields: Fields) -> list[FieldColumn]:
    return [column for column in fields.ddl_order if table.column(column.name) is None]
