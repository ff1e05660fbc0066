"""In which order records are written: fewer operations, the same table in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.connectors.jdbc.batches import Step, compacted, in_order, told_apart
from syncline.connectors.jdbc.bisect import write_around
from syncline.connectors.jdbc.refusal import Refusal, Refused
from syncline.data import SinkRecord
from syncline.errors import DataError
from tests.unit.jdbc.sinks import INT, PERSON, person, record


def operations(text: str) -> list[SinkRecord]:
    """`1a 1- 2b`: key 1 is written with a, deleted, key 2 is written with b."""
    return [
        record(
            None if word[1] == "-" else person(int(word[0]), word[1]),
            PERSON,
            key=int(word[0]),
            key_schema=INT,
            offset=n,
        )
        for n, word in enumerate(text.split())
    ]


def keys(records: Sequence[SinkRecord]) -> list[int]:
    return [found.key for found in records]


def shown(steps: Sequence[Step]) -> str:
    """`-1 2 | 1a`: steps with their keys and values."""
    return " | ".join(
        " ".join(f"-{found.key}" if step.deletes else f"{found.key}{found.value.name}" for found in step.records)
        for step in steps
    )


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("", ""),
        ("1a 2b", "1a 2b"),
        ("2b 1a", "1a 2b"),
        ("1a 2b 1c", "1c 2b"),
        ("1a 1-", "-1"),
        ("1- 1a", "-1 | 1a"),
        ("1a 2b 1- 3c 2-", "-1 -2 | 3c"),
        ("1a 1- 1b 1- 1c", "-1 | 1c"),
    ],
)
def test_only_what_remains_is_written_deletes_first_and_by_key(given_: str, expected: str) -> None:
    records = operations(given_)
    steps = [step for step in compacted(records, keys(records), sort=True) if step.records]
    assert shown(steps) == expected


def test_without_sorting_the_order_is_that_of_the_last_mention() -> None:
    records = operations("1a 2b 1c")
    assert shown(compacted(records, keys(records), sort=False)) == "2b 1c"


def test_keys_that_cannot_be_compared_keep_their_order() -> None:
    records = operations("2a 1b")
    assert shown(compacted(records, [None, 1], sort=True)) == "2a 1b"


@pytest.mark.parametrize(
    ("given_", "expected"),
    [("1a 2b 1c", "1a 2b | 1c"), ("1a 1- 2b", "1a | -1 | 2b"), ("1- 2- 3-", "-1 -2 -3"), ("", "")],
)
def test_in_order_everything_happens_and_no_key_twice_in_a_step(given_: str, expected: str) -> None:
    records = operations(given_)
    assert shown(in_order(records, keys(records))) == expected


def test_without_keys_only_deletes_make_a_new_step() -> None:
    records = operations("1a 1b 1- 1c")
    assert shown(in_order(records, None)) == "1a 1b | -1 | 1c"


def test_of_versions_the_highest_counts_not_the_last() -> None:
    records = operations("1a 1b 1c 2a 2b 3a 3b")
    steps = compacted(records, keys(records), sort=True, versions=[1, 3, 2, None, 1, 5, 5])
    assert shown(steps) == "1b 2b 3b"


def test_a_delete_ends_what_versions_were_before() -> None:
    records = operations("1a 1- 1b")
    assert shown(compacted(records, keys(records), sort=True, versions=[9, None, 1])) == "-1 | 1b"


# --- the same outcome, whatever comes ----------------------------------------------------------------

Rows = dict[int, dict[str, Any]]
mentions = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc-")), max_size=30)
starts = st.dictionaries(st.integers(0, 4), st.just({"name": "old", "age": 9}))


def upserted(rows: Rows, found: SinkRecord) -> None:
    rows.setdefault(found.key, {"age": None})["name"] = found.value.name


def updated(rows: Rows, found: SinkRecord) -> None:
    if found.key in rows:
        rows[found.key]["name"] = found.value.name


def applied(steps: Sequence[Step], start: Rows, write: Callable[[Rows, SinkRecord], None]) -> Rows:
    rows = {key: dict(row) for key, row in start.items()}
    for step in steps:
        assert len(set(keys(step.records))) == len(step.records)
        for found in step.records:
            if step.deletes:
                rows.pop(found.key, None)
            else:
                write(rows, found)
    return rows


@given(mentions, starts, st.booleans())
def test_upserts_and_deletes_leave_the_same_rows(ops: list[tuple[int, str]], start: Rows, sort: bool) -> None:
    records = operations(" ".join(f"{key}{value}" for key, value in ops))
    expected = applied(in_order(records, keys(records)), start, upserted)
    assert applied(compacted(records, keys(records), sort=sort), start, upserted) == expected


@given(mentions, starts, st.booleans())
def test_updates_and_deletes_leave_the_same_rows(ops: list[tuple[int, str]], start: Rows, sort: bool) -> None:
    records = operations(" ".join(f"{key}{value}" for key, value in ops))
    expected = applied(in_order(records, keys(records)), start, updated)
    assert applied(compacted(records, keys(records), sort=sort, updates=True), start, updated) == expected


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 2, 1], True),
        (["a", "b", "a"], True),
        (["a", "A"], False),
        (["a", "a "], False),
        (["e", "é"], False),
        (["a\x01", "b"], False),
        ([("a", 1), ("A", 2)], True),
        ([("a", 1), ("A", 1)], False),
        ([None, "a"], True),
    ],
)
def test_whether_a_collation_could_take_two_keys_for_one(ids: list[Any], expected: bool) -> None:
    assert told_apart(ids) is expected


# --- finding the bad ones ----------------------------------------------------------------------------


class Rowwise:
    """Writes numbers and refuses some; what a refused call wrote before stays until it is undone."""

    def __init__(self, bad: set[int], error: Exception) -> None:
        self.bad = bad
        self.error = error
        self.written: list[int] = []
        self.kept = 0
        self.calls = 0

    def write(self, rows: Sequence[int]) -> None:
        self.calls += 1
        self.kept = len(self.written)
        for row in rows:
            if row in self.bad:
                raise self.error
            self.written.append(row)

    def undo(self) -> None:
        del self.written[self.kept :]


@given(st.integers(1, 60), st.sets(st.integers(0, 59)), st.booleans())
def test_every_good_row_is_written_once_and_in_order_and_each_bad_one_is_named(
    count: int, bad: set[int], ours: bool
) -> None:
    error = DataError("no") if ours else Refused("no", Refusal.DATA)
    rowwise, named = Rowwise(bad, error), []
    write_around(range(count), rowwise.write, rowwise.undo, lambda row, exc: named.append(row))
    assert rowwise.written == [row for row in range(count) if row not in bad]
    assert named == [row for row in range(count) if row in bad]


def test_one_bad_row_among_many_costs_a_logarithm() -> None:
    rowwise, named = Rowwise({1234}, DataError("no")), []
    write_around(range(4096), rowwise.write, rowwise.undo, lambda row, exc: named.append(row))
    assert named == [1234]
    assert rowwise.calls == 1 + 2 * 12


def test_an_error_that_speaks_of_no_value_stops_the_search() -> None:
    rowwise = Rowwise({1}, Refused("gone", Refusal.AWAY))
    with pytest.raises(Refused, match="gone"):
        write_around(range(4), rowwise.write, rowwise.undo, lambda row, exc: None)
    assert rowwise.calls == 1


def test_a_bad_row_may_stop_the_search() -> None:
    rowwise = Rowwise({1}, DataError("no"))

    def fail(row: int, error: Exception) -> None:
        raise LookupError(row)

    with pytest.raises(LookupError):
        write_around(range(4), rowwise.write, rowwise.undo, fail)
