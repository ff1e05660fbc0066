"""Writes records to tables: one transaction for a list, as few statements as possible (spec/jdbc.md 2.2).

The list is written in one go first. Only when the database refuses a value is all of that taken back and done again
carefully: every record in order, savepoints, and a chunk that is refused halved until the bad rows stand alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from syncline.connectors.jdbc.batches import Step, compacted, in_order, told_apart
from syncline.connectors.jdbc.binding import Binder
from syncline.connectors.jdbc.bisect import write_around
from syncline.connectors.jdbc.connection import Connection
from syncline.connectors.jdbc.demands import Demands
from syncline.connectors.jdbc.dialect import RowWriter
from syncline.connectors.jdbc.plans import Plan, Planner
from syncline.connectors.jdbc.refusal import Refusal, Refused
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.connectors.jdbc.structure import Structure
from syncline.connectors.jdbc.tables import TableId
from syncline.data import Schema, SinkRecord
from syncline.errors import ConnectError, DataError

log = logging.getLogger(__name__)

MOST_PLANS: Final = 1_000
"""Remembered per task; records whose schemas never repeat must not fill the memory."""

SetAside = Callable[[SinkRecord, Exception], None]
"""Takes a record that cannot be written; raises to fail the task."""

PlanKey = tuple[TableId, Schema | None, Schema | None]


@dataclass(slots=True)
class Run:
    """Neighbouring records of one table with the same schemas; tombstones fit in with any value schema."""

    table: TableId
    key_schema: Schema | None
    value_schema: Schema | None = None
    records: list[SinkRecord] = field(default_factory=list)

    @property
    def key(self) -> PlanKey:
        return self.table, self.key_schema, self.value_schema


class Writer:
    """Writes for one task; used by one thread."""

    def __init__(self, config: SinkConfig, connection: Connection, name: str) -> None:
        binder = Binder(config, connection.dialect)
        self._config = config
        self._connection = connection
        self._dialect = connection.dialect
        self._demands = Demands(config, name)
        self._structure = Structure(config, connection, binder)
        self._planner = Planner(config, connection, self._structure, binder)
        self._by_key = config.pk_mode.lower() == "record_key"
        self._mode = config.insert_mode.lower()
        self._plans: dict[PlanKey, Plan] = {}
        self._row_writer: RowWriter | None = None
        self.remembers = False
        """Whether a plan from an earlier list was used; the table may have changed since it was made."""
        connection.on_connect = self.forget

    def forget(self) -> None:
        """What is known of tables belongs to an earlier connection, or is out of date."""
        self._plans.clear()
        self._row_writer = None

    def write(self, records: Sequence[SinkRecord], set_aside: SetAside) -> bool:
        """Write all records in one transaction, and leave the commit to the caller; False when nothing was written.

        Raises Refused for errors that may pass or concern the table, and what `set_aside` raises.
        """
        runs = self._runs(records, set_aside)
        if not runs:
            return False
        connection = self._connection.try_get()
        with self._dialect.refusing():
            if self._row_writer is None:
                self._row_writer = self._dialect.rows(connection)
            rows = self._row_writer
            planned = self._planned(rows, runs, set_aside)
            rows.begin()
            if not all(plan.transactional for plan, _ in planned) or not self._in_one_go(planned):
                self._carefully(rows, planned, set_aside)
        return True

    # -- runs and plans -----------------------------------------------------------------------

    def _runs(self, records: Sequence[SinkRecord], set_aside: SetAside) -> list[Run]:
        """The records that can be written as such, by table in order of first appearance."""
        by_table: dict[TableId, list[Run]] = {}
        topic: str | None = None
        key_schema = value_schema = None
        keyless = False
        current: list[SinkRecord] = []
        for record in records:
            # Nearly every record is like the one before; identity of schemas makes that cheap to see.
            if (
                record.value_schema is value_schema
                and record.key_schema is key_schema
                and record.topic == topic
                and record.value is not None
                and (record.key is None) is keyless
            ):
                current.append(record)
                continue
            try:
                self._demands.check(record)
                table = self._structure.table_id(record.topic)
            except ConnectError as exc:
                set_aside(record, exc)
                continue
            run = self._run_for(by_table.setdefault(table, []), table, record)
            run.records.append(record)
            if record.value is not None:
                topic, keyless, current = record.topic, record.key is None, run.records
                key_schema, value_schema = record.key_schema, record.value_schema
            else:
                topic = None
        return [run for runs in by_table.values() for run in runs]

    def _run_for(self, runs: list[Run], table: TableId, record: SinkRecord) -> Run:
        """The last run if the record fits in, or a new one."""
        key_schema = record.key_schema if self._by_key else None
        value_schema = record.value_schema if record.value is not None else None
        last = runs[-1] if runs else None
        if (
            last is None
            or last.key_schema is not key_schema
            or (None not in (last.value_schema, value_schema) and last.value_schema is not value_schema)
        ):
            last = Run(table, key_schema)
            runs.append(last)
        last.value_schema = last.value_schema or value_schema
        return last

    def _planned(
        self, rows: RowWriter, runs: Sequence[Run], set_aside: SetAside
    ) -> list[tuple[Plan, list[SinkRecord]]]:
        """A plan for each run. All DDL happens here, before the first row: it commits, on MariaDB by itself."""
        self.remembers = False
        planned = []
        for run in runs:
            plan = self._plans.get(run.key)
            if plan is not None:
                self.remembers = True
            else:
                try:
                    plan = self._planner.plan(rows, *run.key)
                except Refused:
                    raise
                except ConnectError as exc:
                    for record in run.records:
                        set_aside(record, exc)
                    continue
                if len(self._plans) >= MOST_PLANS:
                    self._plans.clear()
                self._plans[run.key] = plan
            planned.append((plan, run.records))
        return planned

    # -- rows ---------------------------------------------------------------------------------

    def _in_one_go(self, planned: Sequence[tuple[Plan, list[SinkRecord]]]) -> bool:
        """Write everything; False when a value was refused, with nothing left behind."""
        try:
            for plan, records in planned:
                for step in self._steps(plan, records):
                    for chunk in self._chunks(step.records):
                        plan.run(chunk, deletes=step.deletes)
        except Exception as exc:
            refused = exc if isinstance(exc, DataError | Refused) else self._dialect.refusal(exc)
            if isinstance(refused, DataError) or (refused is not None and refused.kind is Refusal.DATA):
                log.debug("a value was refused, the records are written again with more care: %s", refused)
                self._connection.rollback()
                return False
            raise
        return True

    def _steps(self, plan: Plan, records: Sequence[SinkRecord]) -> list[Step]:
        """The fewest operations that have the same outcome."""
        ids = plan.ids(records)
        if ids is None:
            return in_order(records, None)
        exact = not plan.holds_text or self._dialect.capabilities.exact_text_keys or told_apart(ids)
        if not exact and self._config.deletes and any(record.value is None for record in records):
            return in_order(records, ids)
        return compacted(records, ids, sort=exact, updates=self._mode == "update", versions=plan.versions(records))

    def _chunks(self, records: Sequence[SinkRecord]) -> Iterator[Sequence[SinkRecord]]:
        size = self._config.batch_size or 1
        if len(records) <= size:
            yield records
            return
        for start in range(0, len(records), size):
            yield records[start : start + size]

    def _carefully(
        self, rows: RowWriter, planned: Sequence[tuple[Plan, list[SinkRecord]]], set_aside: SetAside
    ) -> None:
        """Write everything that can be written, in order, and set the rest aside."""
        rows.begin()
        for plan, records in planned:
            # What cannot be taken back must not be tried twice, so it is written row by row.
            size = None if plan.transactional else 1
            for step in in_order(records, plan.ids(records)):
                for chunk in self._chunks(step.records):
                    for part in _split(chunk, size):
                        self._around_bad_rows(rows, plan, part, step.deletes, set_aside)

    def _around_bad_rows(
        self, rows: RowWriter, plan: Plan, chunk: Sequence[SinkRecord], deletes: bool, set_aside: SetAside
    ) -> None:
        def write(some: Sequence[SinkRecord]) -> None:
            with self._dialect.refusing():
                rows.savepoint()
                plan.run(some, deletes=deletes)
                rows.release()

        write_around(chunk, write, rows.undo, set_aside)


def _split(records: Sequence[SinkRecord], size: int | None) -> Iterator[Sequence[Any]]:
    if size is None:
        yield records
    else:
        for start in range(0, len(records), size):
            yield records[start : start + size]
