"""The three lists speak of cases that exist, and of each at most once."""

from __future__ import annotations

import pytest

from tests.golden.differences_page import PAGE, page
from tests.golden.support import FILES, LISTS, load, rows


@pytest.mark.parametrize("name", LISTS)
def test_every_row_speaks_of_a_recorded_case(name: str) -> None:
    idle = [row for row in rows(name) if not any(row.covers(case.id, case.group) for case in load(row.file))]
    assert not idle


@pytest.mark.parametrize("file", FILES)
def test_no_case_stands_in_two_lists(file: str) -> None:
    twice = [
        case.id
        for case in load(file)
        if sum(row is not None for row in (case.difference, case.failing, case.not_built)) > 1
    ]
    assert not twice


@pytest.mark.parametrize("file", FILES)
def test_every_case_has_an_id_of_its_own(file: str) -> None:
    ids = [case.id for case in load(file)]
    assert len(ids) == len(set(ids)) > 0


def test_every_intended_difference_says_what_happens_instead_and_why() -> None:
    assert not [row for row in rows("differences") if not row.instead or not row.why]


def test_what_is_expected_instead_is_not_what_was_recorded() -> None:
    same = [
        case.id
        for file in FILES
        for case in load(file)
        if case.difference is not None and case.difference.expect is not None and case.expected == case.data
    ]
    assert not same


def test_the_docs_list_the_same_differences() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.golden.differences_page"
