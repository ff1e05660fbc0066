"""How records of one table and one pair of schemas are written: decided once, used for every batch."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import astuple

from syncline.connectors.jdbc.binding import Bind, Binder
from syncline.connectors.jdbc.connection import Connection
from syncline.connectors.jdbc.dialect import Operation, RowWriter, Target, Write
from syncline.connectors.jdbc.fields import PRIMITIVE, Cells, FieldColumn, Fields, fields_of
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.connectors.jdbc.structure import Structure
from syncline.connectors.jdbc.tables import Column, Table, TableId
from syncline.data import Schema, SinkRecord, Type
from syncline.errors import ConnectError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Binds and writes records; made for one connection."""

    keys: tuple[tuple[FieldColumn, Bind], ...]
    others: tuple[tuple[FieldColumn, Bind], ...]
    write: Write | None
    """None where there is nothing to write: an update without any column besides the key."""
    delete: Write | None
    transactional: bool
    comparable: bool
    """Whether records with the same key mean the same row, and can be found here."""
    holds_text: bool
    """Whether a text is part of the key."""
    version: FieldColumn | None

    def run(self, records: Sequence[SinkRecord], *, deletes: bool) -> None:
        """Write the records, or delete their rows. Raises what `Write` does."""
        cells = Cells(records)
        keys = [bind(cells.of(column)) for column, bind in self.keys]
        if deletes:
            assert self.delete is not None
            self.delete(keys)
        elif self.write is not None:
            self.write([*keys, *(bind(cells.of(column)) for column, bind in self.others)])

    def ids(self, records: Sequence[SinkRecord]) -> Sequence[Hashable] | None:
        """Each record's key; None where records with the same key have nothing to do with each other."""
        if not self.comparable:
            return None
        cells = Cells(records)
        if len(self.keys) == 1:
            return cells.of(self.keys[0][0])
        return list(zip(*(cells.of(column) for column, _ in self.keys), strict=True))

    def versions(self, records: Sequence[SinkRecord]) -> list[Any] | None:
        """Each record's version, None for tombstones; None when versions do not count."""
        if self.version is None:
            return None
        index = self.version.index
        return [None if record.value is None else astuple(record.value)[index] for record in records]


class Planner:
    """Makes plans, and the tables they need."""

    def __init__(self, config: SinkConfig, connection: Connection, structure: Structure, binder: Binder) -> None:
        self._config = config
        self._connection = connection
        self._structure = structure
        self._binder = binder
        self._operation = Operation(config.insert_mode.lower())

    def plan(self, rows: RowWriter, table: TableId, key_schema: Schema | None, value_schema: Schema | None) -> Plan:
        """The plan for these schemas; creates or extends the table, so it is called between transactions.

        Raises ConnectError when such records cannot be written to the table, Refused.
        """
        fields = fields_of(self._config, str(table), key_schema, value_schema)
        if self._operation is Operation.UPSERT and not fields.keys:
            raise ConnectError(
                f"Write to table '{table}' in UPSERT mode requires key field names to be known, check the primary key "
                "configuration"
            )
        version = self._version(fields, table, value_schema)
        with self._connection.dialect.refusing():
            found = self._structure.ensure(rows, table, fields)
            columns = _columns(fields, found)
            target = Target(
                table=found,
                keys=tuple(columns[column.name].name for column in fields.keys),
                others=tuple(columns[column.name].name for column in fields.others),
                version=None if version is None else columns[version.name].name,
            )
            writes = bool(fields.others) or self._operation is not Operation.UPDATE
            return Plan(
                keys=tuple((column, self._binder.bind(column, columns[column.name])) for column in fields.keys),
                others=tuple((column, self._binder.bind(column, columns[column.name])) for column in fields.others),
                write=rows.prepare(self._operation, target) if writes else None,
                delete=rows.prepare(Operation.DELETE, target) if self._config.deletes else None,
                transactional=found.transactional,
                comparable=self._comparable(fields, target),
                holds_text=any(column.schema.type is Type.STRING for column in fields.keys),
                version=version,
            )

    def _comparable(self, fields: Fields, target: Target) -> bool:
        if self._operation is Operation.INSERT or not fields.keys:
            return False
        if any(column.schema.type not in PRIMITIVE for column in fields.keys):
            return False
        unique = target.table.unique
        if self._operation is Operation.UPDATE or unique is None or any(u <= set(target.keys) for u in unique):
            return True
        log.warning(
            "table %s has no unique index on %s, so every record makes a new row instead of replacing one",
            *(target.table.id, ", ".join(target.keys)),
        )
        return False

    def _version(self, fields: Fields, table: TableId, value_schema: Schema | None) -> FieldColumn | None:
        name = self._config.version_field
        if not name or self._operation is Operation.INSERT or value_schema is None:
            return None
        found = next((column for column in fields.others if column.name == name), None)
        if found is None:
            raise ConnectError(f"records for table '{table}' lack the field '{name}' of upsert.version.field")
        return found


def _columns(fields: Fields, table: Table) -> dict[str, Column]:
    """Each field's column; ConnectError when two fields mean the same one, which letter case can bring about."""
    found: dict[str, Column] = {}
    taken: dict[str, str] = {}
    for field in fields.all:
        column = table.column(field.name)
        assert column is not None
        other = taken.setdefault(column.name, field.name)
        if other != field.name:
            raise ConnectError(f"fields '{other}' and '{field.name}' both mean column '{column.name}' of {table.id}")
        found[field.name] = column
    return found
