"""The recorded cases, the lists of what does not hold, and the verdict on one case.

A suite is a test function over `cases(file)`:

    @pytest.mark.parametrize("case", cases("json_converter.json"))
    def test_recorded(case: Case) -> None:
        with settling(case) as verdict:
            verdict.same("value", ours, case.expected["value"])

The parameter must be called `case`: the report counts by it. A case that stands in no list must hold.
One in `differences.toml` must differ (or be what its row's `expect` says), one in `failing.toml` must
fail, one in `not_built.toml` is skipped; so no row outlives its reason.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.golden.matching import differences_between, trace_classes
from tests.golden.neutral import (
    ForeignObject,
    Unrepresentable,
    neutral_of,
    neutral_schema,
    schema_of,
    unordered,
    value_of,
)

__all__ = [
    "DATA",
    "FILES",
    "Case",
    "ForeignObject",
    "Row",
    "Unrepresentable",
    "Verdict",
    "cases",
    "differences_between",
    "document",
    "load",
    "neutral_of",
    "neutral_schema",
    "rows",
    "schema_of",
    "settling",
    "trace_classes",
    "unordered",
    "value_of",
]

HERE: Final = Path(__file__).resolve().parent
DATA: Final = HERE / "data"

FILES: Final = (
    "json_converter.json",
    "simple_header_converter.json",
    "transforms.json",
    "source.json",
    "sink.json",
    "rest.json",
    "validate.json",
    "internal_topics.json",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of one of the three lists: which cases it speaks of, and why."""

    file: str
    ids: tuple[str, ...]
    """Ids, with `*` and `?` as wildcards; empty when `group` is given."""
    group: str | None
    why: str
    """The reason; in `not_built.toml` the part that is not there yet."""
    instead: str = ""
    """What Syncline does instead (differences only)."""
    holds_with: str = ""
    """The configuration under which the recorded behaviour holds exactly, if there is one."""
    expect: Mapping[str, Any] | None = None
    """What must come out, key by key, in place of what was recorded."""
    without: tuple[str, ...] = ()
    """Recorded keys that `expect` does away with, e.g. `error` where Syncline succeeds."""

    def covers(self, case_id: str, group: str) -> bool:
        """Whether the row speaks of the case."""
        if self.group is not None:
            return fnmatchcase(group, self.group)
        return any(fnmatchcase(case_id, pattern) for pattern in self.ids)


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded case and what the lists say about it."""

    file: str
    id: str
    group: str
    data: Mapping[str, Any] = field(repr=False)
    """As recorded."""
    difference: Row | None = None
    failing: Row | None = None
    not_built: Row | None = None

    @property
    def expected(self) -> Mapping[str, Any]:
        """What must come out: as recorded, or as the row of an intended difference says."""
        row = self.difference
        if row is None or row.expect is None:
            return self.data
        kept = {key: value for key, value in self.data.items() if key not in row.without}
        return {**kept, **row.expect}


@cache
def document(file: str) -> Any:
    """The whole JSON document `file`."""
    return json.loads((DATA / file).read_text(encoding="utf-8"))


@cache
def rows(name: str) -> tuple[Row, ...]:
    """The rows of the list `name`: differences, not_built or failing."""
    listed = tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8")).get("row", [])
    return tuple(_row(entry) for entry in listed)


def _row(entry: dict[str, Any]) -> Row:
    ids = entry.get("id", ())
    if bool(ids) == ("group" in entry):
        raise ValueError(f"a row needs either `id` or `group`: {entry}")
    return Row(
        file=entry["file"],
        ids=(ids,) if isinstance(ids, str) else tuple(ids),
        group=entry.get("group"),
        why=entry.get("why") or entry["part"],
        instead=entry.get("instead", ""),
        holds_with=entry.get("holds_with", ""),
        expect=entry.get("expect"),
        without=tuple(entry.get("without", ())),
    )


@cache
def load(file: str) -> tuple[Case, ...]:
    """Every case of `file`, in the recorded order."""
    lists = {name: [row for row in rows(name) if row.file == file] for name in LISTS}

    def find(name: str, case_id: str, group: str) -> Row | None:
        return next((row for row in lists[name] if row.covers(case_id, group)), None)

    return tuple(
        Case(file, case_id, group, data, **{_FIELD[name]: find(name, case_id, group) for name in LISTS})
        for case_id, group, data in _entries(file)
    )


LISTS: Final = ("differences", "failing", "not_built")
_FIELD: Final = {"differences": "difference", "failing": "failing", "not_built": "not_built"}


def _entries(file: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(id, group, data) of each case; files without ids of their own get some from names and positions."""
    recorded = document(file)
    if file == "rest.json":
        for scenario in recorded:
            yield scenario["name"], scenario["area"], scenario
    elif file == "validate.json":
        for plugin, definition in recorded["definitions"].items():
            yield f"definition/{plugin}", "definition", {"plugin": plugin, **definition}
        for number, case in enumerate(recorded["cases"], 1):
            yield f"{case['plugin']}/{number}", case["plugin"], case
    elif file == "internal_topics.json":
        for mode in ("plain", "exactly_once"):
            for topic, content in recorded[mode]["topics"].items():
                yield f"{mode}/{topic}", mode, content
        for number, step in enumerate(recorded["standalone_offset_file"]["steps"], 1):
            yield f"standalone_offset_file/{number}", "standalone_offset_file", step
    else:
        for case in recorded["cases"]:
            yield case["id"], case["group"], case


def cases(file: str, *groups: str) -> list[Any]:
    """The cases of `file`, or of some `groups` in it, as pytest parameters; the lists give them marks."""
    return [
        pytest.param(case, id=case.id, marks=_marks(case))
        for case in load(file)
        if not groups or any(fnmatchcase(case.group, pattern) for pattern in groups)
    ]


def _marks(case: Case) -> list[Any]:
    if case.not_built is not None:
        return [pytest.mark.skip(reason=f"not built: {case.not_built.why}")]
    if case.failing is not None:
        return [pytest.mark.xfail(strict=True, reason=case.failing.why)]
    return []


class Verdict:
    """What a replay found to differ from what was expected."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.mismatches: list[str] = []

    def same(self, what: str, actual: Any, expected: Any, **placeholders: str) -> None:
        """Note where `actual` differs; `expected` may hold categories, traces, placeholders."""
        self.mismatches += [f"{what}{difference}" for difference in differences_between(expected, actual, placeholders)]

    def note(self, mismatch: str) -> None:
        """Note a difference in words."""
        self.mismatches.append(mismatch)

    def settle(self) -> None:
        """Fail unless the case holds, or differs and is meant to."""
        row = self.case.difference
        if row is not None and row.expect is None:
            assert self.mismatches, f"{self.case.id} holds: take its row out of differences.toml ({row.why})"
            return
        assert not self.mismatches, f"{self.case.id}:\n" + "\n".join(self.mismatches)


@contextmanager
def settling(case: Case) -> Iterator[Verdict]:
    """A verdict that is settled at the end; a plain `assert` that fails inside counts as a mismatch."""
    verdict = Verdict(case)
    try:
        yield verdict
    except AssertionError as failed:
        verdict.note(str(failed))
    verdict.settle()
