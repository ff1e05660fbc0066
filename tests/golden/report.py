"""How many recorded behaviours hold: `python -m tests.golden.report [pytest options]`.

Runs the suites of this folder and prints one line per recording. Exit status 1 when a case fails that
no list speaks of, when a listed case no longer does what its row says, or when no suite runs a case.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import StrEnum

import pytest

from tests.golden.support import FILES, HERE, Case, load


class Outcome(StrEnum):
    """What became of a case, from best to worst; a case in several tests counts by the worst."""

    HOLD = "hold"
    DIFFER = "differ by intention"
    NOT_BUILT = "not built"
    NOT_RUN = "not run here"
    FAIL = "fail"
    BROKEN = "FAIL UNLISTED"


SEVERITY = list(Outcome)


class Tally:
    """A pytest plug-in that remembers the outcome of every case."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self._cases: dict[str, Case] = {}

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            callspec = getattr(item, "callspec", None)
            case = callspec.params.get("case") if callspec is not None else None
            if isinstance(case, Case):
                self._cases[item.nodeid] = case

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = self._cases.get(report.nodeid)
        if case is None or (report.passed and report.when != "call"):
            return
        key = (case.file, case.id)
        outcome = _outcome(case, report)
        self.outcomes[key] = max(self.outcomes.get(key, outcome), outcome, key=SEVERITY.index)


def _outcome(case: Case, report: pytest.TestReport) -> Outcome:
    if report.failed:
        return Outcome.BROKEN
    if report.passed:
        return Outcome.DIFFER if case.difference is not None else Outcome.HOLD
    if hasattr(report, "wasxfail"):
        return Outcome.FAIL
    return Outcome.NOT_BUILT if case.not_built is not None else Outcome.NOT_RUN


def counted(outcomes: dict[tuple[str, str], Outcome]) -> dict[str, Counter[Outcome]]:
    """Per file; a case that no suite ran counts as not built when a row says so, else as broken."""
    table: dict[str, Counter[Outcome]] = defaultdict(Counter)
    for file in FILES:
        for case in load(file):
            unseen = Outcome.NOT_BUILT if case.not_built is not None else Outcome.BROKEN
            table[file][outcomes.get((file, case.id), unseen)] += 1
    return table


def printed(table: dict[str, Counter[Outcome]]) -> str:
    """The table as text."""
    heads = ["", *(str(outcome) for outcome in Outcome), "total"]
    lines = [
        [file, *(str(counts[outcome]) for outcome in Outcome), str(counts.total())] for file, counts in table.items()
    ]
    sums: Counter[Outcome] = Counter()
    for counts in table.values():
        sums.update(counts)
    lines.append(["all", *(str(sums[outcome]) for outcome in Outcome), str(sums.total())])
    widths = [max(len(row[column]) for row in [heads, *lines]) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [heads, *lines]
    )


def main(arguments: Sequence[str]) -> int:
    """Run the suites with pytest's `arguments`; the exit status."""
    tally = Tally()
    # This program has imported syncline before pytest could rewrite its asserts; it has none.
    early = ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    quiet = ["-q", "--no-header", "-r", "fE", "-p", "no:cacheprovider"]
    status = pytest.main([*early, *quiet, str(HERE), *arguments], plugins=[tally])
    table = counted(tally.outcomes)
    print(f"\nRecorded behaviour of the JVM software\n\n{printed(table)}")
    broken = sum(counts[Outcome.BROKEN] for counts in table.values())
    return 1 if broken or status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
