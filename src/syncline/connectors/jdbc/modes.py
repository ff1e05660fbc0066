"""Which rows to ask for next, and where each row leaves us; no database in here (spec/jdbc.md 1.6, 1.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, Protocol

from syncline.connectors.jdbc.offsets import (
    Offset,
    Position,
    timestamp_incrementing_offset,
    timestamp_offset,
)


class Mode(StrEnum):
    """How changes are found (`mode`)."""

    BULK = "bulk"
    TIMESTAMP = "timestamp"
    INCREMENTING = "incrementing"
    TIMESTAMP_INCREMENTING = "timestamp+incrementing"

    @property
    def uses_timestamp(self) -> bool:
        return self in (Mode.TIMESTAMP, Mode.TIMESTAMP_INCREMENTING)

    @property
    def uses_incrementing(self) -> bool:
        return self in (Mode.INCREMENTING, Mode.TIMESTAMP_INCREMENTING)


@dataclass(frozen=True, slots=True)
class Instant:
    """A parameter that each dialect binds in its own way."""

    nanos: int
    """Nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT in pieces, so that a dialect can put its own parameter markers and columns in.

    The text is `parts` with one of `params` between each two of them; the first part follows the SELECT.
    """

    table: str | None
    """Quoted, or None where the user wrote the query."""
    text: str
    """The user's query; empty where a table is read."""
    parts: tuple[str, ...] = ("",)
    params: tuple[int | Instant, ...] = ()
    suffix: str = ""
    limit: int | None = None

    def limited(self, rows: int | None) -> Query:
        """The same with at most `rows` rows, or as many as there are."""
        return replace(self, limit=rows)

    def pieces(self, projection: str = "*") -> tuple[str, ...]:
        """The whole statement's text around its parameters; another `projection` picks columns.

        A user's query with a projection becomes a derived table.
        """
        if self.table is not None:
            head = f"SELECT {projection} FROM {self.table}"
        elif projection == "*":
            head = self.text
        else:
            head = f"SELECT {projection} FROM ({self.text}) query"
        tail = f" {self.suffix}" if self.suffix else ""
        if self.limit is not None:
            tail += f" LIMIT {self.limit}"
        first, *rest = self.parts
        pieces = [head + first, *rest]
        pieces[-1] += tail
        return tuple(pieces)


Mark = Any
"""What orders rows: None, an id, nanoseconds, or both as a tuple; equal marks are one group."""


class Strategy(Protocol):
    """One mode, bound to the SQL of its columns."""

    @property
    def keyed(self) -> bool:
        """Whether rows come in an order that reading can continue from."""
        ...

    def query(self, source: Query, position: Position, until: int | None) -> Query:
        """Rows after `position` and before the instant `until` (nanoseconds), in order."""
        ...

    def offsets(self, marks: Sequence[Mark], following: Mark, position: Position) -> Sequence[Offset | None]:
        """The offset each row's record carries.

        `following` is the mark of the row after these, None when there is none; `position` is where
        reading stood before them.
        """
        ...


class Bulk:
    """Everything, every time."""

    keyed: Final = False

    def query(self, source: Query, position: Position, until: int | None) -> Query:
        return source

    def offsets(self, marks: Sequence[Mark], following: Mark, position: Position) -> Sequence[None]:
        return [None] * len(marks)


@dataclass(frozen=True, slots=True)
class Incrementing:
    """New rows, by a column that only grows; ids of -1 and below are never seen."""

    column: str

    keyed = True

    def query(self, source: Query, position: Position, until: int | None) -> Query:
        last = -1 if position.incrementing is None else position.incrementing
        parts = (f" WHERE {self.column} > ", f" ORDER BY {self.column} ASC")
        return replace(source, parts=parts, params=(last,))

    def offsets(self, marks: Sequence[Mark], following: Mark, position: Position) -> list[Offset]:
        return [{"incrementing": mark} for mark in marks]


@dataclass(frozen=True, slots=True)
class Timestamped:
    """New and changed rows, by a column set at each write; rows at or before 1970 are never seen."""

    column: str

    keyed = True

    def query(self, source: Query, position: Position, until: int | None) -> Query:
        assert until is not None
        c = self.column
        parts = (f" WHERE {c} > ", f" AND {c} < ", f" ORDER BY {c} ASC")
        return replace(source, parts=parts, params=(Instant(position.timestamp or 0), Instant(until)))

    def offsets(self, marks: Sequence[Mark], following: Mark, position: Position) -> list[Offset]:
        # The next query asks for later timestamps only. If a row of several with one timestamp carried
        # it as its offset and the task ended right there, the others would be passed over; so all but
        # the last of a group carry the timestamp before the group.
        offsets: list[Offset] = []
        before = timestamp_offset(position.timestamp or 0)
        for mark, after in pairwise((*marks, following)):
            if mark != after:
                before = timestamp_offset(mark)
            offsets.append(before)
        return offsets


@dataclass(frozen=True, slots=True)
class TimestampedIncrementing:
    """New and changed rows; the id tells rows of one timestamp apart."""

    timestamp: str
    incrementing: str

    keyed = True

    def query(self, source: Query, position: Position, until: int | None) -> Query:
        assert until is not None
        ts, id_ = self.timestamp, self.incrementing
        # An id without a timestamp says nothing in this mode: reading starts from the beginning.
        begin = Instant(position.timestamp or 0)
        last = -1 if position.incrementing is None or position.timestamp is None else position.incrementing
        parts = (
            f" WHERE {ts} < ",
            f" AND (({ts} = ",
            f" AND {id_} > ",
            f") OR {ts} > ",
            f") ORDER BY {ts},{id_} ASC",
        )
        return replace(source, parts=parts, params=(Instant(until), begin, last, begin))

    def offsets(self, marks: Sequence[Mark], following: Mark, position: Position) -> list[Offset]:
        return [timestamp_incrementing_offset(timestamp, id_) for timestamp, id_ in marks]


def strategy_of(mode: Mode, *, timestamp: str = "", incrementing: str = "") -> Strategy:
    """The strategy of `mode` over SQL expressions for its columns."""
    match mode:
        case Mode.BULK:
            return Bulk()
        case Mode.INCREMENTING:
            return Incrementing(incrementing)
        case Mode.TIMESTAMP:
            return Timestamped(timestamp)
        case Mode.TIMESTAMP_INCREMENTING:
            return TimestampedIncrementing(timestamp, incrementing)


def coalesce(columns: Sequence[str]) -> str:
    """One expression over several timestamp columns: the first that is not null."""
    return columns[0] if len(columns) == 1 else f"COALESCE({','.join(columns)})"


def whole_groups(marks: Sequence[Mark]) -> int:
    """How many rows of a page that was cut by LIMIT can be given out: those before the last group.

    Rows with the last mark may go on behind the cut, and asking for later marks would pass them over.
    """
    last = marks[-1]
    count = len(marks) - 1
    while count and marks[count - 1] == last:
        count -= 1
    return count
