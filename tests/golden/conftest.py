"""Counts, per recording, how many cases hold; printed at the end of every run that touched one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

_counts: dict[str, Counter[str]] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    outcome = yield
    report = outcome.get_result()
    mark = item.get_closest_marker("golden")
    if mark is None or not (report.when == "call" or (report.when == "setup" and not report.passed)):
        return
    file, word = mark.args
    if word == "hold" and report.failed:
        word = "FAIL"
    elif word in ("differ", "fail") and report.failed:
        word = "HOLDS NOW"
    elif word == "hold" and report.skipped:
        word = "skipped"
    _counts.setdefault(file, Counter())[word] += 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _counts:
        return
    terminalreporter.section("recorded behaviour of the JVM software")
    for file, counts in sorted(_counts.items()):
        total = sum(counts.values())
        parts = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        terminalreporter.write_line(f"{file:32} {total:5} cases: {parts}")
