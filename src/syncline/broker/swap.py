"""Putting a cleaned segment in the place of others, so that a crash leaves the old state or the new one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from syncline.broker.files import sync_folder, write_durably
from syncline.broker.segment import BESIDE

CLEANED: Final = ".log.cleaned"
"""A segment that is to take the place of others, complete only once it is announced."""
SWAP: Final = ".swap"
"""A file `<base>.swap` says that `<base>.log.cleaned` is complete, and which segments it is put in place of."""


def announce_swap(cleaned: Path, bases: Sequence[int]) -> None:
    """From here on a crash leads to the new state; until here, to the old one."""
    write_durably(cleaned.with_name(f"{bases[0]:020}{SWAP}"), " ".join(map(str, bases)).encode())
    sync_folder(cleaned.parent)


def finish_swap(folder: Path, names: Sequence[str]) -> bool:
    """Do, or do again, what announced swaps still lack, and remove cleaned files that were not announced.

    `names` are the folder's files; whether any of them was touched.
    """
    plans = [folder / name for name in names if name.endswith(SWAP)]
    for plan in plans:
        bases = [int(base) for base in plan.read_text().split()]
        for base in bases:
            # What lies beside the old file would seem to fit the new one.
            for suffix in BESIDE:
                folder.joinpath(f"{base:020}{suffix}").unlink(missing_ok=True)
        cleaned = plan.with_suffix(CLEANED)
        if cleaned.exists():
            cleaned.replace(plan.with_suffix(".log"))
        for base in bases[1:]:
            for suffix in (".log", ".snapshot"):
                folder.joinpath(f"{base:020}{suffix}").unlink(missing_ok=True)
        sync_folder(folder)
        plan.unlink()
    leftovers = [folder / name for name in names if name.endswith((".cleaned", ".tmp"))]
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return bool(plans or leftovers)
