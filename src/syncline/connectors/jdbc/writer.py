"""Writes records to tables: in runs of one table and schema, in chunks, in one transaction (spec/jdbc.md 2.2).

A chunk that the database refuses for its values is split in two until the bad rows stand alone, so one bad row among
n costs log2(n) statements, and only it is set aside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from syncline.connectors.jdbc.binding import Binder
from syncline.connectors.jdbc.connection import Connection
from syncline.connectors.jdbc.ddl import TableAlterOrCreateError, alter, check_alterable, create
from syncline.connectors.jdbc.dialect import Bound, Dialect, Refusal, Refused
from syncline.connectors.jdbc.dialects.postgresql import cast_of
from syncline.connectors.jdbc.fields import FieldColumn, Fields, fields_of
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.connectors.jdbc.tables import Table, TableId
from syncline.data import Schema, SinkRecord, Type
from syncline.errors import ConnectError, DataError

log = logging.getLogger(__name__)

SetAside = Callable[[SinkRecord, Exception], None]
"""Takes a record that cannot be written; raises to fail the task."""


@dataclass(slots=True)
class Plan:
    """How records of one table, key schema and value schema are written."""

    table: TableId
    sql_name: str
    fields: Fields
    names: dict[str, str]
    """From field to the column's own spelling."""
    casts: dict[str, str]


class Writer:
    """Writes for one task; used by one thread."""

    def __init__(self, config: SinkConfig, connection: Connection, name: str) -> None:
        self._config = config
        self._connection = connection
        self._name = name
        self._dialect: Dialect = connection.dialect
        self._binder = Binder(config, integers=self._dialect.moments_as_integers)
        self._quoting = config.quoting.lower() != "never"
        self._mode = config.insert_mode.lower()
        self._pk_mode = config.pk_mode.lower()
        self._chunk = config.batch_size or 1
        self._plans: dict[tuple[str, Schema | None, Schema | None], Plan] = {}
        self._tables: dict[str, TableId] = {}
        connection.on_connect = self._plans.clear

    # -- writing ------------------------------------------------------------------------------

    def write(self, records: Sequence[SinkRecord], set_aside: SetAside) -> None:
        """Write all records in one transaction and commit it.

        Raises Refused for errors that may pass or concern the table, and what `set_aside` raises.
        """
        good = self._valid(records, set_aside)
        connection = self._connection.get()
        cursor = connection.cursor()
        try:
            runs = [(plan, list(run)) for plan, run in groupby(good, key=lambda pair: pair[0])]
            planned = self._planned(cursor, [(key, [r for _, r in run]) for key, run in runs], set_aside)
            for plan, run in planned:
                for chunk in _chunks(run, self._chunk):
                    self._write_chunk(cursor, plan, chunk, set_aside)
            self._connection.commit()
        finally:
            with self._dialect.refusing():
                cursor.close()

    def forget(self) -> None:
        """What is known of tables may be out of date."""
        self._plans.clear()

    def _valid(
        self, records: Sequence[SinkRecord], set_aside: SetAside
    ) -> list[tuple[tuple[str, Schema | None, Schema | None], SinkRecord]]:
        """Records that can be written as such, each with the key of its plan."""
        found = []
        last: tuple[Any, Any, Any, bool] | None = None
        key: tuple[str, Schema | None, Schema | None] = ("", None, None)
        for record in records:
            shape = (record.topic, record.key_schema, record.value_schema, record.value is None or record.key is None)
            # Identity of schemas makes "the same as the last one" cheap; only what may differ is looked at again.
            if last is None or shape[3] or last != shape:
                try:
                    self._check(record)
                except ConnectError as exc:
                    set_aside(record, exc)
                    continue
                key = (record.topic, record.key_schema, record.value_schema if record.value is not None else None)
                last = shape
            found.append((key, record))
        return found

    def _planned(
        self,
        cursor: Any,
        runs: Sequence[tuple[tuple[str, Schema | None, Schema | None], list[SinkRecord]]],
        set_aside: SetAside,
    ) -> list[tuple[Plan, list[SinkRecord]]]:
        """A plan for each run. All DDL happens here, before the first row: MariaDB commits with each of it."""
        planned: list[tuple[Plan, list[SinkRecord]]] = []
        for key, run in runs:
            plan = self._plans.get(key)
            if plan is None:
                try:
                    plan = self._plans[key] = self._plan(cursor, run[0], *key)
                except (ConnectError, DataError) as exc:
                    if isinstance(exc, Refused):
                        raise
                    for record in run:
                        set_aside(record, exc)
                    continue
            planned.append((plan, run))
        return planned

    def _write_chunk(self, cursor: Any, plan: Plan, chunk: list[SinkRecord], set_aside: SetAside) -> None:
        """Write one chunk; halve it when its values are refused."""
        try:
            with self._dialect.refusing():
                self._dialect.savepoint(cursor)
                self._execute(cursor, plan, chunk)
            return
        except Refused as exc:
            if exc.kind is not Refusal.DATA:
                raise
            error: Exception = exc
            with self._dialect.refusing():
                self._dialect.undo(cursor)
        except DataError as exc:
            error = exc
            with self._dialect.refusing():
                self._dialect.undo(cursor)
        if len(chunk) == 1:
            set_aside(chunk[0], error)
            return
        middle = len(chunk) // 2
        self._write_chunk(cursor, plan, chunk[:middle], set_aside)
        self._write_chunk(cursor, plan, chunk[middle:], set_aside)

    def _execute(self, cursor: Any, plan: Plan, chunk: list[SinkRecord]) -> None:
        fields = plan.fields
        tombstones = chunk[0].value is None
        if self._mode == "upsert" or tombstones:
            chunk = self._compact(plan, chunk)
        keys = [self._bound(plan, column, chunk) for column in fields.keys]
        if tombstones and self._config.deletes:
            self._dialect.delete(cursor, plan.sql_name, keys, quoting=self._quoting)
            return
        others = [self._bound(plan, column, chunk) for column in fields.others]
        if self._mode == "insert":
            self._dialect.insert(cursor, plan.sql_name, [*keys, *others])
        elif self._mode == "upsert":
            self._dialect.upsert(cursor, plan.sql_name, keys, others, quoting=self._quoting)
        elif others:
            self._dialect.update(cursor, plan.sql_name, keys, others, quoting=self._quoting)

    def _bound(self, plan: Plan, column: FieldColumn, chunk: list[SinkRecord]) -> Bound:
        name = plan.names[column.name]
        return self._binder.bind(column, name, column.values(chunk), plan.casts.get(column.name, ""))

    def _compact(self, plan: Plan, chunk: list[SinkRecord]) -> list[SinkRecord]:
        """The last record of each key, which is all that remains of the earlier ones."""
        keys = plan.fields.keys
        if not keys:
            raise ConnectError(
                f"Write to table '{plan.table}' in UPSERT mode requires key field names to be known, check the primary "
                "key configuration"
            )
        columns = [column.values(chunk) for column in keys]
        ids = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        try:
            last = dict(zip(ids, chunk, strict=True))
        except TypeError:  # a key that is a list cannot be compared; every row is written in order
            return chunk
        return chunk if len(last) == len(chunk) else list(last.values())

    # -- records ------------------------------------------------------------------------------

    def _check(self, record: SinkRecord) -> None:
        """ConnectError, in Confluent's words, when a record lacks what the configuration needs."""
        config = self._config
        prefix = (
            f"Sink connector '{self._name}' is configured with 'delete.enabled={str(config.deletes).lower()}' and "
            f"'pk.mode={self._pk_mode}' and therefore requires records with a non-null"
        )
        place = (
            f"(topic='{record.kafka_topic}',partition={record.kafka_partition},offset={record.offset},"
            f"timestamp={record.timestamp})"
        )
        if self._pk_mode == "record_key" or config.deletes:
            schema = record.key_schema
            if record.key is None or schema is None or schema.type in (Type.ARRAY, Type.MAP):
                raise ConnectError(
                    f"{prefix} key and non-null Struct or primitive key schema, but found record at {place} with a "
                    f"{_kind(record.key)} key and {_schema_kind(schema)} key schema."
                )
        if self._pk_mode in ("none", "record_value") or not config.deletes:
            schema = record.value_schema
            if record.value is None or schema is None or schema.type not in (Type.STRUCT, Type.STRING):
                raise ConnectError(
                    f"{prefix} Struct or String value and non-null Struct or String schema, but found record at "
                    f"{place} with a {_kind(record.value)} value and {_schema_kind(schema)} value schema."
                )
            if schema.type is Type.STRING and (config.whitelist or config.timestamp_fields):
                raise ConnectError(
                    f"Sink connector '{self._name}' is configured with field-level options that are not applicable to "
                    f"String values: fields.whitelist, timestamp.fields.list; found record at {place}"
                )

    # -- tables -------------------------------------------------------------------------------

    def _table_id(self, topic: str) -> TableId:
        known = self._tables.get(topic)
        if known is None:
            name = self._config.table_format.replace("${topic}", topic).strip()
            if not name:
                raise ConnectError(
                    f"Destination table name for topic '{topic}' is empty using the format string "
                    f"'{self._config.table_format}'"
                )
            known = self._tables[topic] = self._dialect.parse_table(name)
        return known

    def _plan(
        self, cursor: Any, record: SinkRecord, topic: str, key_schema: Schema | None, value_schema: Schema | None
    ) -> Plan:
        table = self._table_id(topic)
        fields = fields_of(self._config, str(table), key_schema, value_schema)
        if self._mode == "upsert" and not fields.keys:
            raise ConnectError(
                f"Write to table '{table}' in UPSERT mode requires key field names to be known, check the primary key "
                "configuration"
            )
        with self._dialect.refusing():
            definition = self._prepare(cursor, table, fields)
        names, casts = {}, {}
        for column in fields.all:
            known = definition.column(column.name)
            names[column.name] = known.name if known is not None and self._quoting else column.name
            if known is not None and cast_of(known.type):
                casts[column.name] = cast_of(known.type)
        self._refuse_twins(fields, names, table)
        return Plan(table, self._dialect.qualified(table, quoting=self._quoting), fields, names, casts)

    @staticmethod
    def _refuse_twins(fields: Fields, names: dict[str, str], table: TableId) -> None:
        seen: dict[str, str] = {}
        for column in fields.all:
            twin = seen.setdefault(names[column.name], column.name)
            if twin != column.name:
                raise ConnectError(
                    f"fields {twin!r} and {column.name!r} both mean column {names[column.name]!r} of table {table}"
                )

    def _prepare(self, cursor: Any, table: TableId, fields: Fields) -> Table:
        """The table as it is once it has every column the fields need."""
        definition = self._dialect.table(cursor, table)
        if definition is None:
            definition = self._create(cursor, table, fields)
        kinds = {kind.upper() for kind in self._config.table_types}
        if definition.kind.value not in kinds:
            raise TableAlterOrCreateError(
                f"Table {table} is a {definition.kind.value}, which table.types={','.join(sorted(kinds))} does not "
                "include"
            )
        for attempt in range(self._config.max_retries + 1):
            missing = [c for c in self._in_order(fields) if definition.column(c.name) is None]
            if not missing:
                break
            check_alterable(definition, missing, evolve=self._config.auto_evolve)
            self._alter(cursor, table, missing, last=attempt == self._config.max_retries)
            definition = self._dialect.table(cursor, table) or definition
        return definition

    @staticmethod
    def _in_order(fields: Fields) -> list[FieldColumn]:
        return [fields.column(name) for name in fields.ddl_order]

    def _create(self, cursor: Any, table: TableId, fields: Fields) -> Table:
        if not self._config.auto_create:
            raise TableAlterOrCreateError(f"Table {table} is missing and auto-creation is disabled")
        sql = create(self._dialect, self._binder, table, fields, quoting=self._quoting)
        log.info("creating table %s", table)
        try:
            with self._dialect.refusing():
                cursor.execute(sql)
            self._connection.commit()
        except Refused:
            # Another task may have been faster; then the table is there now.
            self._connection.rollback()
            if self._dialect.table(cursor, table) is None:
                raise
        found = self._dialect.table(cursor, table)
        if found is None:
            raise TableAlterOrCreateError(f"Table {table} was created but is not there")
        return found

    def _alter(self, cursor: Any, table: TableId, missing: list[FieldColumn], *, last: bool) -> None:
        names = ", ".join(column.name for column in missing)
        log.info("adding column(s) %s to table %s", names, table)
        try:
            with self._dialect.refusing():
                for sql in alter(self._dialect, self._binder, table, missing, quoting=self._quoting):
                    cursor.execute(sql)
            self._connection.commit()
        except Refused as exc:
            self._connection.rollback()
            if last or exc.kind is not Refusal.SCHEMA:
                raise TableAlterOrCreateError(
                    f"Failed to amend TABLE '{table}' to add missing fields: {names}"
                ) from exc


def _chunks(records: list[SinkRecord], size: int) -> list[list[SinkRecord]]:
    return [records] if len(records) <= size else [records[i : i + size] for i in range(0, len(records), size)]


def _kind(value: Any) -> str:
    return "null" if value is None else "Struct" if hasattr(value, "__struct_fields__") else type(value).__name__


def _schema_kind(schema: Schema | None) -> str:
    return "null" if schema is None else schema.type.value
