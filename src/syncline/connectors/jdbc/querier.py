"""Reading one table or query, batch by batch, from where its offset says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from syncline.connectors.jdbc.modes import (
    Mark,
    Mode,
    Query,
    Strategy,
    coalesce,
    strategy_of,
    whole_groups,
)
from syncline.connectors.jdbc.offsets import Position, position_of
from syncline.connectors.jdbc.origin import Origin
from syncline.connectors.jdbc.reading import (
    Kind,
    Layout,
    Reader,
    ResultColumn,
    Row,
    Rows,
    TableColumn,
    TableName,
    quoted,
)
from syncline.data import SourceRecord
from syncline.errors import ConfigError, ConnectError, DataError

log = logging.getLogger(__name__)

_LONG_MAX: Final = (1 << 63) - 1

Marker = Callable[[Sequence[Row]], Sequence[Mark]]
"""Reads the marks of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a querier is to read, as configured."""

    table: TableName | None
    """None where the user wrote a query."""
    query: str
    topic: str
    partition: Mapping[str, str]
    mode: Mode
    incrementing: str
    """The configured incrementing column; empty to find the table's own."""
    timestamps: tuple[str, ...]
    suffix: str
    batch_rows: int
    delay_ms: int
    initial_ms: int | None
    """Where to begin without a stored offset; -1 for the database's now."""
    check_nulls: bool
    origin: Origin | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return "the query" if self.table is None else f"table {self.table.full}"


class Querier:
    """Gives records in batches; a sweep is one execution, in as many batches as it takes.

    A sweep reads page by page where an index gives the order: each page is a query of its own with a
    LIMIT, so memory is bounded and no transaction stays open. Otherwise it streams one result.
    """

    def __init__(self, plan: Plan, stored: Mapping[str, Any] | None) -> None:
        self.plan = plan
        self.position = position_of(stored)
        self.sweeping = False
        """Inside a sweep: more rows are there already."""
        self._strategy: Strategy | None = None
        self._source = Query(None, plan.query, suffix=plan.suffix)
        self._incrementing = plan.incrementing
        self._paged = False
        self._unique = False
        self._until: int | None = None
        self._rows: Rows | None = None
        self._held: list[Row] = []
        self._layout: Layout | None = None
        self._marks: Marker = _no_marks
        self._note_at = -1
        """Where in a row the note about its origin is."""

    @property
    def streaming(self) -> bool:
        """A result is open, which other queries on the connection must wait for."""
        return self._rows is not None

    # --- before the first batch --------------------------------------------------------------------

    def prepare(self, reader: Reader) -> None:
        """Check the table and decide how to read it; ConfigError or ConnectError when it cannot be."""
        plan = self.plan
        columns: list[TableColumn] = []
        if plan.table is not None:
            columns = reader.table_columns(plan.table)
            if plan.mode is not Mode.BULK:
                self._check(plan.table, columns)
            sql = plan.table.quoted(reader.quote)
            self._source = Query(sql, "", suffix=plan.suffix)
            prefix = f"{sql}."
        else:
            prefix = ""
        names = [prefix + quoted(name, reader.quote) for name in plan.timestamps]
        stamps = [reader.timestamp_sql(name) for name in names]
        self._strategy = strategy_of(
            plan.mode,
            timestamp=coalesce(stamps) if stamps else "",
            incrementing=prefix + quoted(self._incrementing, reader.quote) if self._incrementing else "",
        )
        self._choose_pages(columns, plain=stamps == names)
        if plan.mode.uses_timestamp and self.position.timestamp is None and plan.initial_ms is not None:
            now = plan.initial_ms == -1
            start = reader.now() if now else plan.initial_ms * 1_000_000
            self.position = Position(start, self.position.incrementing)

    def _check(self, table: TableName, columns: Sequence[TableColumn]) -> None:
        if not columns:
            raise ConfigError(f"Table {table.full} does not exist")
        by_name = {column.name: column for column in columns}
        if self.plan.origin is not None and self.plan.origin.column not in by_name:
            raise ConfigError(
                f"Table {table.full} has no column '{self.plan.origin.column}' (origin.column) to note origins in; add "
                "one that holds 120 characters and may be NULL"
            )
        if self.plan.mode.uses_incrementing:
            if not self._incrementing:
                self._incrementing = _auto_increment(table, columns)
            self._check_incrementing(table, by_name)
        if self.plan.mode.uses_timestamp:
            self._check_timestamps(table, by_name)

    def _check_incrementing(self, table: TableName, columns: Mapping[str, TableColumn]) -> None:
        name = self._incrementing
        column = columns.get(name)
        if column is None:
            near = [other for other in columns if other.lower() == name.lower()]
            if near:
                raise ConnectError(f"Cannot read table {table.full}") from DataError(
                    f"Incrementing column {name} not found in {','.join(columns)}: "
                    f"it is called {near[0]}, and case counts"
                )
            raise ConfigError(f"Incrementing column: {name} does not exist in table '{table.full}'")
        if column.kind is not Kind.INTEGER:
            raise ConnectError(
                f"Invalid type for incrementing column: {name} of table {table.full} is {column.type}; "
                f"it must be an integer, or a decimal of scale 0"
            )
        if column.nullable and self.plan.check_nulls:
            raise ConnectError(
                f"Cannot make incremental queries using incrementing column {name} on {table.full} "
                f"because this column is nullable."
            )

    def _check_timestamps(self, table: TableName, columns: Mapping[str, TableColumn]) -> None:
        folded = {name.lower(): column for name, column in columns.items()}
        names = self.plan.timestamps
        missing = [name for name in names if name.lower() not in folded]
        if missing:
            raise ConfigError(f"Timestamp columns: {', '.join(missing)} do not exist in table '{table.full}'")
        chosen = [columns.get(name) or folded[name.lower()] for name in names]
        for column in chosen:
            if column.kind is not Kind.TIMESTAMP:
                raise ConnectError(f"Column {column.name} of table {table.full} is {column.type} and no timestamp")
        if self.plan.check_nulls and all(column.nullable for column in chosen):
            raise ConnectError(
                f"Cannot make incremental queries using timestamp columns {','.join(names)} on "
                f"{table.full} because all of these columns are nullable."
            )

    def _choose_pages(self, columns: Sequence[TableColumn], *, plain: bool) -> None:
        by_name = {column.name: column for column in columns}
        id_ = by_name.get(self._incrementing)
        self._unique = self.plan.mode.uses_incrementing and id_ is not None and id_.unique
        first = id_
        if self.plan.mode.uses_timestamp:
            first = by_name.get(self.plan.timestamps[0]) if len(self.plan.timestamps) == 1 else None
        self._paged = (
            first is not None and first.leads_index and plain and not self._source.suffix
        ) and self.plan.mode is not Mode.BULK

    # --- batches -----------------------------------------------------------------------------------

    def batch(self, reader: Reader) -> list[SourceRecord]:
        """The next rows as records; empty at the end of a sweep without any.

        Raises the driver's errors, Reread, and DataError. Whatever was raised, the next call begins
        after the last record given out, once `abandon` was called.
        """
        if not self.sweeping:
            reader.refresh()
            if self.plan.mode.uses_timestamp:
                self._until = reader.now() - self.plan.delay_ms * 1_000_000
        if self._paged and self._rows is None:
            return self._page(reader)
        return self._stream(reader)

    def abandon(self) -> None:
        """Give the sweep up, after an error or at the end. Raises the driver's errors of a lost connection."""
        rows, self._rows = self._rows, None
        self._held = []
        self.sweeping = False
        if rows is not None:
            rows.close()

    def _page(self, reader: Reader) -> list[SourceRecord]:
        limit = self.plan.batch_rows
        running = reader.open(self._query().limited(limit), stream=False)
        try:
            rows = running.fetch(limit)
            layout = self._layout_of(running, rows)
        finally:
            running.close()
        marks = self._marks(rows)
        full = len(rows) == limit
        if full and not self._unique:
            whole = whole_groups(marks)
            if not whole:
                # One group fills the page, and no LIMIT can part it: this sweep goes on in one result.
                return self._stream(reader)
            rows, marks = rows[:whole], marks[:whole]
        records, reached = self._records(layout, rows, marks, None)
        reader.end()
        self.sweeping = full
        return self._given_out(records, reached)

    def _stream(self, reader: Reader) -> list[SourceRecord]:
        limit = self.plan.batch_rows
        if self._rows is None:
            self._rows = reader.open(self._query(), stream=True)
            self.sweeping = True
        # One row more than is given out, because offsets depend on the row after.
        rows = [*self._held, *self._rows.fetch(limit + 1 - len(self._held))]
        layout = self._layout_of(self._rows, rows)
        marks = self._marks(rows)
        following = marks[limit] if len(rows) > limit else None
        self._held = rows[limit:]
        records, reached = self._records(layout, rows[:limit], marks[:limit], following)
        if not self._held:
            self._rows.close()
            self._rows = None
            reader.end()
            self.sweeping = False
        return self._given_out(records, reached)

    def _given_out(self, records: list[SourceRecord], reached: Mapping[str, Any] | None) -> list[SourceRecord]:
        """Go on after the offset `reached`; the last step, because what fails before it must be read again."""
        if reached is not None and self._strategy is not None and self._strategy.keyed:
            self.position = position_of(reached)
        return records

    def _query(self) -> Query:
        assert self._strategy is not None
        return self._strategy.query(self._source, self.position, self._until)

    def _records(
        self, layout: Layout, rows: Sequence[Row], marks: Sequence[Mark], following: Mark
    ) -> tuple[list[SourceRecord], Mapping[str, Any] | None]:
        """The records of `rows`, and the offset of the last row, whether it became a record or not."""
        if not rows:
            return [], None
        assert self._strategy is not None
        values = layout.values(rows)
        offsets = self._strategy.offsets(marks, following, self.position)
        partition, topic, schema = self.plan.partition, self.plan.topic, layout.schema
        origin = self.plan.origin
        if origin is None:
            records = [
                SourceRecord(partition, offset, topic, schema, value)
                for offset, value in zip(offsets, values, strict=True)
            ]
        else:
            notes = [row[self._note_at] for row in rows]
            records = [
                SourceRecord(partition, offset, topic, schema, value, headers=origin.header(stamp))
                for offset, value, note, stamp in zip(offsets, values, notes, self._changed(marks), strict=True)
                if not origin.is_foreign(note, stamp)
            ]
        return records, offsets[-1]

    def _changed(self, marks: Sequence[Any]) -> Sequence[int | None]:
        """When rows with these marks were changed; None where the mode does not look at that."""
        match self.plan.mode:
            case Mode.TIMESTAMP:
                return marks
            case Mode.TIMESTAMP_INCREMENTING:
                return [stamp for stamp, _ in marks]
            case Mode.INCREMENTING | Mode.BULK:
                return [None] * len(marks)

    # --- columns -----------------------------------------------------------------------------------

    def _layout_of(self, running: Rows, rows: Sequence[Row]) -> Layout:
        columns = running.columns(rows)
        if self._layout is None or self._layout.columns is not columns:
            table = self.plan.table
            origin = self.plan.origin
            without = None if origin is None else origin.column
            self._layout = Layout(columns, None if table is None else table.name, without=without)
            if without is not None:
                self._note_at = self._layout.index(without, any_case=False)
            for column in self._layout.skipped:
                log.warning(
                    "column %s of %s is left out: Connect has no type for %s",
                    column.label,
                    self.plan.name,
                    column.type or "it",
                )
            self._marks = self._marker(self._layout)
        return self._layout

    def _marker(self, layout: Layout) -> Marker:
        """How to read the marks of rows of this layout."""
        mode = self.plan.mode
        ids: Marker = _no_marks
        stamps: Marker = _no_marks
        if mode.uses_incrementing:
            at = layout.index(self._incrementing, any_case=False)
            ids = _ids(at, self._incrementing, layout.columns[at])
        if mode.uses_timestamp:
            indexes = [layout.index(name, any_case=True) for name in self.plan.timestamps]
            stamps = _stamps(indexes, layout.columns)
        match mode:
            case Mode.INCREMENTING:
                return ids
            case Mode.TIMESTAMP:
                return stamps
            case Mode.TIMESTAMP_INCREMENTING:
                return lambda rows: list(zip(stamps(rows), ids(rows), strict=True))
            case Mode.BULK:
                return _no_marks


def _auto_increment(table: TableName, columns: Sequence[TableColumn]) -> str:
    for column in columns:
        if column.auto_increment:
            return column.name
    raise ConfigError(
        {
            "incrementing.column.name": [
                f"Table {table.full} has no auto-increment column; name the column that counts its rows"
            ]
        }
    )


def _no_marks(rows: Sequence[Row]) -> Sequence[Mark]:
    return [None] * len(rows)


def _ids(index: int, name: str, column: ResultColumn) -> Marker:
    def read(rows: Sequence[Row]) -> Sequence[Mark]:
        ids = [row[index] for row in rows]
        if set(map(type, ids)) - {int} or (ids and max(ids) > _LONG_MAX):
            return [_id(value, name, column) for value in ids]
        return ids

    return read


def _id(value: Any, name: str, column: ResultColumn) -> int:
    if value is None:
        raise ConnectError(f"Null value for incrementing column of type: {column.type} ({name})")
    if isinstance(value, Decimal):
        if value != value.to_integral_value():
            raise ConnectError(f"Scale of Decimal value for incrementing column must be 0: {name} is {value}")
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConnectError(f"Invalid type for incrementing column: {name} is {column.type}")
    if value > _LONG_MAX:
        raise ConnectError(f"Decimal value for incrementing column exceeded Long.MAX_VALUE: {name} is {value}")
    return value


def _stamps(indexes: Sequence[int], columns: Sequence[ResultColumn]) -> Marker:
    """Nanoseconds of the first timestamp column that is not null."""
    readers = []
    for index in indexes:
        instant = columns[index].instant
        if instant is None:
            raise ConnectError(f"Column {columns[index].label} is {columns[index].type} and no timestamp")
        readers.append((index, instant))

    def read(rows: Sequence[Row]) -> Sequence[Mark]:
        marks = []
        for row in rows:
            for index, instant in readers:
                value = row[index]
                if value is not None:
                    marks.append(instant(value) * 1_000)
                    break
            else:
                labels = ",".join(columns[index].label for index, _ in readers)
                raise ConnectError(f"Null value for timestamp columns {labels}")
        return marks

    return read
