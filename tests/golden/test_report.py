"""The report counts every recorded case once, and lets none pass unseen."""

from __future__ import annotations

from collections import Counter

from tests.golden.report import Outcome, counted, printed
from tests.golden.support import FILES, load


def test_a_case_no_suite_ran_is_broken_unless_it_waits_for_a_part() -> None:
    table = counted({})
    for file in FILES:
        waiting = sum(case.not_built is not None for case in load(file))
        expected = Counter({Outcome.NOT_BUILT: waiting, Outcome.BROKEN: len(load(file)) - waiting})
        assert table[file] == +expected


def test_the_table_adds_up() -> None:
    outcomes = {(file, case.id): Outcome.HOLD for file in FILES for case in load(file)}
    table = counted(outcomes)
    total = sum(len(load(file)) for file in FILES)
    assert sum(counts[Outcome.HOLD] for counts in table.values()) == total
    assert printed(table).splitlines()[-1].split() == ["all", str(total), "0", "0", "0", "0", "0", str(total)]
