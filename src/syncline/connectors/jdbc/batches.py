"""In which order and how many at a time the records of a table are written. Pure.

A *run* is a list of neighbouring records of one table with the same columns; tombstones among them have only the key.
A *step* is one operation for some of them. `compacted` makes at most two steps of a run, by writing only what
remains in the end; `in_order` makes as many as it takes to do everything that the records say, one after the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from syncline.data import SinkRecord


@dataclass(frozen=True, slots=True)
class Step:
    """One operation for some records."""

    deletes: bool
    records: Sequence[SinkRecord]


def in_order(records: Sequence[SinkRecord], ids: Sequence[Hashable] | None) -> list[Step]:
    """Every record, in order; with `ids`, its key each, no key occurs twice in one step."""
    steps: list[Step] = []
    seen: set[Hashable] = set()
    start = 0
    for index, record in enumerate(records):
        deletes = record.value is None
        if index > start and (deletes != (records[start].value is None) or (ids is not None and ids[index] in seen)):
            steps.append(Step(records[start].value is None, records[start:index]))
            seen.clear()
            start = index
        if ids is not None:
            seen.add(ids[index])
    if records:
        steps.append(Step(records[start].value is None, records[start:]))
    return steps


def compacted(
    records: Sequence[SinkRecord],
    ids: Sequence[Hashable],
    *,
    sort: bool,
    updates: bool = False,
    versions: Sequence[Any] | None = None,
) -> list[Step]:
    """The last record of each key, deletes first; `sort` by key, so that tasks never wait for each other in a circle.

    A key that is deleted and written again is in both steps: what the new record does not mention must not survive.
    With `updates`, which create no rows, nothing comes back after a delete. With `versions` (one per record), not the
    last but the highest counts among the records after a delete.
    """
    if versions is None and None not in [record.value for record in records]:
        last = dict(zip(ids, range(len(ids)), strict=True))
        return [Step(False, _picked(records, last, sort=sort))]
    gone: dict[Hashable, int] = {}
    last = {}
    for index, (key, record) in enumerate(zip(ids, records, strict=True)):
        if record.value is None:
            gone[key] = index
            last.pop(key, None)
        elif updates and key in gone:
            continue
        elif versions is None or key not in last or not _newer(versions[last[key]], versions[index]):
            last[key] = index
    steps = (Step(True, _picked(records, gone, sort=sort)), Step(False, _picked(records, last, sort=sort)))
    return [step for step in steps if step.records]


def _newer(one: Any, other: Any) -> bool:
    """Whether version `one` is higher than `other`; none at all is the lowest."""
    return one is not None and (other is None or bool(one > other))


def _picked(records: Sequence[SinkRecord], chosen: dict[Hashable, int], *, sort: bool) -> Sequence[SinkRecord]:
    """The chosen records, by key or else in their own order."""
    if sort:
        try:
            return [records[index] for _, index in sorted(chosen.items())]
        except TypeError:  # keys that cannot be compared, such as None with 1
            pass
    if len(chosen) == len(records):
        return records
    return [records[index] for index in sorted(chosen.values())]


def told_apart(ids: Sequence[Any]) -> bool:
    """Whether keys that differ here differ under every collation too, be it blind to case, accents or blanks."""
    distinct = set(ids)
    folded = set()
    for key in distinct:
        parts = key if isinstance(key, tuple) else (key,)
        if not all(part.isascii() and part.isprintable() for part in parts if isinstance(part, str)):
            return False
        folded.add(tuple(part.casefold().rstrip() if isinstance(part, str) else part for part in parts))
    return len(folded) == len(distinct)
