"""What is asked for, and what each row's offset says; with SQLite as the judge of the SQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.connectors.jdbc.modes import (
    Bulk,
    Incrementing,
    Instant,
    Mark,
    Mode,
    Query,
    Strategy,
    Timestamped,
    TimestampedIncrementing,
    coalesce,
    strategy_of,
    whole_groups,
)
from syncline.connectors.jdbc.offsets import Offset, Position, position_of, timestamp_offset

TABLE = Query('"t"', "")
USERS_QUERY = Query(None, "SELECT id, v FROM t")
UNTIL = 1 << 62


def text(query: Query) -> str:
    return "?".join(query.pieces())


def test_bulk_reads_everything() -> None:
    query = Bulk().query(TABLE, Position(), None)
    assert (text(query), query.params) == ('SELECT * FROM "t"', ())


def test_incrementing_asks_for_later_ids() -> None:
    strategy = Incrementing('"t"."id"')
    query = strategy.query(TABLE, Position(), None)
    assert text(query) == 'SELECT * FROM "t" WHERE "t"."id" > ? ORDER BY "t"."id" ASC'
    assert query.params == (-1,)
    assert strategy.query(TABLE, Position(None, 7), None).params == (7,)


def test_timestamp_asks_for_an_open_interval() -> None:
    query = Timestamped("ts").query(TABLE, Position(5), 9)
    assert text(query) == 'SELECT * FROM "t" WHERE ts > ? AND ts < ? ORDER BY ts ASC'
    assert query.params == (Instant(5), Instant(9))


def test_timestamp_and_incrementing_ask_for_both() -> None:
    query = TimestampedIncrementing("ts", "id").query(TABLE, Position(5, 3), 9)
    assert text(query) == ('SELECT * FROM "t" WHERE ts < ? AND ((ts = ? AND id > ?) OR ts > ?) ORDER BY ts,id ASC')
    assert query.params == (Instant(9), Instant(5), 3, Instant(5))


def test_an_id_without_a_timestamp_starts_from_the_beginning() -> None:
    query = TimestampedIncrementing("ts", "id").query(TABLE, Position(None, 3), 9)
    assert query.params == (Instant(9), Instant(0), -1, Instant(0))


def test_a_user_s_query_gets_its_where_appended_and_the_suffix_comes_last() -> None:
    source = Query(None, "SELECT a FROM b", suffix="LIMIT 5")
    assert text(Incrementing('"id"').query(source, Position(), None)) == (
        'SELECT a FROM b WHERE "id" > ? ORDER BY "id" ASC LIMIT 5'
    )


def test_a_limit_and_chosen_columns_fit_tables_and_queries() -> None:
    query = Incrementing("id").query(TABLE, Position(), None).limited(10)
    assert "?".join(query.pieces("a, b")) == 'SELECT a, b FROM "t" WHERE id > ? ORDER BY id ASC LIMIT 10'
    query = Incrementing("id").query(USERS_QUERY, Position(), None)
    assert "?".join(query.pieces("id")) == ("SELECT id FROM (SELECT id, v FROM t) query WHERE id > ? ORDER BY id ASC")


def test_several_timestamp_columns_are_one_expression() -> None:
    assert coalesce(["a"]) == "a"
    assert coalesce(["a", "b"]) == "COALESCE(a,b)"


@pytest.mark.parametrize("mode", Mode)
def test_every_mode_has_a_strategy(mode: Mode) -> None:
    assert strategy_of(mode, timestamp="ts", incrementing="id").keyed is (mode is not Mode.BULK)


def timestamps(marks: list[int], following: Mark = None, before: int | None = None) -> list[int]:
    offsets = Timestamped("ts").offsets(marks, following, Position(before))
    return [position_of(offset).timestamp or 0 for offset in offsets]


def test_all_but_the_last_row_of_a_timestamp_carry_the_timestamp_before() -> None:
    assert timestamps([1, 1, 2, 2, 3], before=0) == [0, 1, 1, 2, 3]
    assert timestamps([1, 1, 2, 2], following=2, before=0) == [0, 1, 1, 1]
    assert timestamps([2, 3], following=3, before=1) == [2, 2]
    assert timestamps([7, 7]) == [0, 7]


def test_bulk_rows_carry_no_offset() -> None:
    assert Bulk().offsets([None, None], None, Position()) == [None, None]


@given(st.lists(st.integers(1, 6), min_size=1).map(sorted), st.none() | st.just(7))
def test_no_row_is_behind_the_offset_of_a_row_before_it(marks: list[int], following: Mark) -> None:
    for (mark, offset), (later, _) in pairwise(zip(marks, timestamps(marks, following), strict=True)):
        assert offset < later, (mark, offset)


@pytest.mark.parametrize(("marks", "whole"), [([1, 2, 3], 2), ([1, 2, 2], 1), ([5, 5, 5], 0), ([(1, 1), (1, 2)], 1)])
def test_a_page_is_cut_before_its_last_group(marks: list[Mark], whole: int) -> None:
    assert whole_groups(marks) == whole


# --- the law of incremental reading: any interleaving of writes, polls and crashes loses nothing -----


class Table:
    """A table in SQLite, and a reader that pages through it as the task does."""

    def __init__(self, strategy: Strategy, page: int) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, ts INTEGER)")
        self.strategy = strategy
        self.page = page
        self.position = Position()
        self.emitted: list[int] = []
        self.last: Offset | None = None
        self.committed: Offset | None = None
        self.safe = 0

    def insert(self, ts: int) -> None:
        self.db.execute("INSERT INTO t(ts) VALUES (?)", (ts,))

    def poll(self) -> None:
        """One page, as the task reads it: cut before its last group when it is full."""
        query = self.strategy.query(TABLE, self.position, UNTIL).limited(self.page)
        params = [p.nanos if isinstance(p, Instant) else p for p in query.params]
        rows = self.db.execute(text(query), params).fetchall()
        marks = [self.mark(row) for row in rows]
        if len(rows) == self.page:
            whole = whole_groups(marks)
            if not whole:  # one group fills the page: read on without a limit
                self.page *= 2
                return
            rows, marks = rows[:whole], marks[:whole]
        offsets = self.strategy.offsets(marks, None, self.position)
        self.emitted += [row[0] for row in rows]
        if offsets:
            self.last = offsets[-1]
            self.position = position_of(offsets[-1])

    def mark(self, row: Any) -> Mark:
        match self.strategy:
            case Incrementing():
                return row[0]
            case Timestamped():
                return row[1]
            case _:
                return (row[1], row[0])

    def commit(self) -> None:
        self.committed = self.last
        self.safe = len(self.emitted)

    def crash(self) -> int:
        """Forget everything but the committed offset; how many emitted records were not committed."""
        self.position = position_of(self.committed)
        return len(self.emitted) - self.safe


@contextlib.contextmanager
def table(strategy: Strategy, page: int) -> Iterator[Table]:
    made = Table(strategy, page)
    try:
        yield made
    finally:
        made.db.close()


steps = st.lists(st.sampled_from(["insert", "poll", "commit", "crash"]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(steps.map(lambda steps: [s for s in steps if s != "crash"]), st.integers(1, 5))
def test_incrementing_mode_emits_each_row_once_and_in_order(steps: list[str], page: int) -> None:
    with table(Incrementing("id"), page) as t:
        count = 0
        for step in steps:
            if step == "insert":
                count += 1
                t.insert(count)
            elif step == "poll":
                t.poll()
        for _ in range(2 * count + 8):
            t.poll()
        assert t.emitted == list(range(1, count + 1))


@settings(max_examples=200, deadline=None)
@given(steps, st.integers(1, 5))
def test_a_crash_repeats_at_most_what_was_not_committed(steps: list[str], page: int) -> None:
    with table(Incrementing("id"), page) as t:
        count = repeated = 0
        for step in steps:
            if step == "insert":
                count += 1
                t.insert(count)
            elif step == "poll":
                t.poll()
            elif step == "commit":
                t.commit()
            else:
                repeated += t.crash()
                t.commit()
        for _ in range(2 * count + 8):
            t.poll()
        assert sorted(set(t.emitted)) == list(range(1, count + 1))
        assert len(t.emitted) <= count + repeated


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 4), max_size=30), st.integers(1, 5), st.booleans())
def test_pages_over_equal_timestamps_lose_and_repeat_nothing(stamps: list[int], page: int, with_id: bool) -> None:
    strategy: Strategy = TimestampedIncrementing("ts", "id") if with_id else Timestamped("ts")
    with table(strategy, page) as t:
        for stamp in stamps:
            t.insert(stamp)
        for _ in range(2 * len(stamps) + 8):
            t.poll()
        assert sorted(t.emitted) == list(range(1, len(stamps) + 1))


def test_offsets_of_a_stream_end_at_the_last_row() -> None:
    assert list(Timestamped("ts").offsets([4], None, Position(1))) == [timestamp_offset(4)]
