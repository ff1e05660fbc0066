"""Checkpoint files: an offset for each of some partitions, in Kafka's format."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from syncline.broker.files import sync_folder, write_durably

log = logging.getLogger(__name__)


def write_checkpoint(path: Path, offsets: Mapping[str, int]) -> None:
    """Replace the file by these; keys are `topic partition`. It is durable when this returns."""
    lines = ["0", str(len(offsets)), *(f"{place} {offset}" for place, offset in offsets.items())]
    write_durably(path, ("\n".join(lines) + "\n").encode())
    sync_folder(path.parent)


def read_checkpoint(path: Path) -> dict[str, int]:
    """What was written; lines that are not as they should be are left out, with a warning."""
    try:
        lines = path.read_text(errors="replace").splitlines()[2:]
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        place, _, offset = line.rpartition(" ")
        if place and offset.isdecimal():
            found[place] = int(offset)
        else:
            log.warning("%s: the line %r is no topic, partition and offset; it is passed over", path, line)
    return found
