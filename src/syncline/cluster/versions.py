"""Plug-in versions that a configuration asks for (KIP-891): one version, `latest`, or ranges as Maven writes them."""

from __future__ import annotations

import re
from typing import Final

_RANGE: Final = re.compile(r"([\[(])\s*([^,\[\]()]*?)\s*(?:(,)\s*([^,\[\]()]*?)\s*)?([\])])")

Parts = tuple[tuple[int, int, str], ...]


def satisfies(version: str, wanted: str) -> bool:
    """Whether `version` is what is wanted: `4.1.0`, `latest`, `[4.0,5.0)`, `[4.1.0]` or several ranges with commas.

    ValueError when `wanted` is none of these.
    """
    wanted = wanted.strip()
    if wanted[:1] not in ("[", "("):
        return wanted in ("latest", version)
    if not re.fullmatch(rf"{_RANGE.pattern}(\s*,\s*{_RANGE.pattern})*", wanted):
        raise ValueError(f"{wanted} is neither a version nor a range such as [4.0,5.0)")
    return any(_inside(_parts(version), *found.groups()) for found in _RANGE.finditer(wanted))


def _inside(version: Parts, opens: str, low: str, comma: str | None, high: str | None, closes: str) -> bool:
    if comma is None:
        return version == _parts(low)
    above = not low or (version >= _parts(low) if opens == "[" else version > _parts(low))
    return above and (not high or (version <= _parts(high) if closes == "]" else version < _parts(high)))


def _parts(version: str) -> Parts:
    """Comparable: numbers by value, a release after its previews (`4.1.0-rc1` before `4.1.0`)."""
    numbers = [int(part) for part in re.findall(r"\d+", version.partition("-")[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    preview = version.partition("-")[2]
    return (*((0, number, "") for number in numbers), (-1, 0, preview) if preview else (0, -1, ""))
