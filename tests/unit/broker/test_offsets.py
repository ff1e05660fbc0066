"""Which offset counts: the last committed, and never one of a transaction that did not commit."""

from __future__ import annotations

import pytest

from syncline.broker.group_records import Committed
from syncline.broker.offsets import Offsets

PLACE = ("orders", 0)
OTHER = ("orders", 1)


@pytest.fixture
def offsets() -> Offsets:
    return Offsets()


def test_the_last_commit_counts(offsets: Offsets) -> None:
    offsets.put("g", PLACE, Committed(1), 0)
    offsets.put("g", PLACE, Committed(2), 1)
    assert offsets.get("g", PLACE) == Committed(2)
    assert offsets.of("g") == {PLACE: Committed(2)}
    assert offsets.get("g", OTHER) is None
    assert offsets.of("h") == {}


def test_a_transaction_s_offset_counts_once_it_commits(offsets: Offsets) -> None:
    offsets.put("g", PLACE, Committed(1), 0)
    offsets.put_pending(7, "g", PLACE, Committed(5), 1)
    assert offsets.get("g", PLACE) == Committed(1)
    assert offsets.pending_in("g", PLACE)
    assert not offsets.pending_in("g", OTHER)
    assert not offsets.pending_in("h", PLACE)
    offsets.complete(7, commit=True)
    assert offsets.get("g", PLACE) == Committed(5)
    assert not offsets.pending_in("g", PLACE)


def test_an_aborted_transaction_leaves_no_trace(offsets: Offsets) -> None:
    offsets.put_pending(7, "g", PLACE, Committed(5), 1)
    assert offsets.groups() == {"g"}
    offsets.complete(7, commit=False)
    assert offsets.groups() == set()


def test_a_later_commit_outlives_a_transaction_that_ends_after_it(offsets: Offsets) -> None:
    offsets.put_pending(7, "g", PLACE, Committed(5), 1)
    offsets.put("g", PLACE, Committed(9), 2)
    offsets.complete(7, commit=True)
    assert offsets.get("g", PLACE) == Committed(9)


def test_transactions_of_different_producers_do_not_mix(offsets: Offsets) -> None:
    offsets.put_pending(7, "g", PLACE, Committed(5), 1)
    offsets.put_pending(8, "g", PLACE, Committed(6), 2)
    offsets.complete(8, commit=False)
    assert offsets.pending_in("g", PLACE)
    offsets.complete(7, commit=True)
    assert offsets.get("g", PLACE) == Committed(5)


def test_removing_forgets_pending_offsets_too(offsets: Offsets) -> None:
    offsets.put("g", PLACE, Committed(1), 0)
    offsets.put_pending(7, "g", OTHER, Committed(5), 1)
    assert offsets.places("g") == {PLACE, OTHER}
    offsets.remove("g", [PLACE, OTHER, ("users", 0)])
    offsets.complete(7, commit=True)
    assert offsets.groups() == set()
    assert offsets.pending == {}
