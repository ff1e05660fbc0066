"""Opening a partition's folder: what a crash left torn is cut off, and of what is known to be whole nothing is read."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syncline.broker.files import OpenFiles
from syncline.broker.producers import Aborted, Producers
from syncline.broker.records import Batch, marker_of
from syncline.broker.segment import Segment
from syncline.broker.swap import finish_swap

log = logging.getLogger(__name__)

_ABORTED: Final = struct.Struct(">hqqqq")
"""An entry of Kafka's `.txnindex`."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A partition as it was found."""

    segments: list[Segment]
    """At least one; the last is where appends go."""
    end_offset: int
    producers: Producers
    snapshot: int | None
    """The offset of the snapshot that the producers were taken from."""


def recover(folder: Path, files: OpenFiles) -> Recovered:
    """Read what must be read: the newest segment from its recovery point on, and sealed ones that have none.

    A folder that does not exist is an empty log's.
    """
    sizes = _sizes(folder)
    bases = sorted(int(name[:-4]) for name in sizes if name.endswith(".log") and name[:-4].isdigit())
    if not bases:
        folder.mkdir(parents=True, exist_ok=True)
        return Recovered([Segment(folder, 0, files)], 0, Producers(), None)
    segments = [Segment.existing(folder, base, files, sizes[f"{base:020}.log"]) for base in bases]
    end = 0
    for segment, following in zip(segments, [*bases[1:], None], strict=True):
        if following is None or not segment.sealed:
            end = _checked(segment, following)
    snapshots = sorted(int(name[:-9]) for name in sizes if name.endswith(".snapshot") and name[:-9].isdigit())
    producers, snapshot = _producers(folder, segments, snapshots, end)
    return Recovered(segments, end, producers, snapshot)


def _sizes(folder: Path) -> dict[str, int]:
    """The folder's files, after swaps were finished."""
    while True:
        try:
            with os.scandir(folder) as entries:
                sizes = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except FileNotFoundError:
            return {}
        if not finish_swap(folder, list(sizes)):
            return sizes


def _checked(segment: Segment, following: int | None) -> int:
    """Cut off what is torn; the offset after the last record."""
    size, end = segment.size, segment.base_offset
    for batch in segment.recover(following):
        end = batch.next_offset
    if segment.size < size:
        log.warning(
            "%s: %d bytes from offset %d on are torn or altered; they are cut off",
            segment.path,
            size - segment.size,
            end,
        )
    return end


def _producers(
    folder: Path, segments: Sequence[Segment], snapshots: Sequence[int], end: int
) -> tuple[Producers, int | None]:
    """The producers' state: the newest whole snapshot and what came after it."""
    producers, chosen = Producers(), None
    bases = {segment.base_offset for segment in segments}
    for offset in reversed(snapshots):
        path = folder / f"{offset:020}.snapshot"
        # One that speaks of records that are gone came to the disk before they did.
        if chosen is None and offset <= end and producers.restore(path.read_bytes()):
            chosen = offset
        elif offset > end or offset not in bases:
            path.unlink()
    start = segments[0].base_offset if chosen is None else chosen
    _replay(producers, segments, start, end)
    producers.aborted[:0] = _aborted_before(segments, snapshots, start)
    return producers, chosen


def _replay(producers: Producers, segments: Sequence[Segment], start: int, end: int) -> None:
    """Tell the producers of the batches from offset `start` to `end`."""
    for segment, batch in _batches(segments, start, end):
        if not batch.control:
            producers.absorb(batch, batch.base_offset)
        elif (marker := marker_of(segment.read(batch.position, batch.size), batch._replace(position=0))) is not None:
            producers.end(marker, batch.base_offset)


def _batches(segments: Sequence[Segment], start: int, end: int) -> Iterator[tuple[Segment, Batch]]:
    following = [segment.base_offset for segment in segments][1:]
    for segment, after in zip(segments, [*following, end], strict=True):
        if start < after:
            for batch in segment.walk(segment.position_of(start)):
                if start <= batch.base_offset < end:
                    yield segment, batch


def _aborted_before(segments: Sequence[Segment], snapshots: Sequence[int], end: int) -> list[Aborted]:
    """The aborted transactions that ended before offset `end`."""
    found: list[Aborted] = []
    for number, segment in enumerate(segments):
        if segment.base_offset >= end:
            break
        content = segment.load_aborted()
        if content is None:
            found += _aborted_again(segments, number, snapshots, end)
            break
        found += [Aborted(*facts) for _, *facts in _ABORTED.iter_unpack(content)]
    return [each for each in found if each.last_offset < end]


def _aborted_again(segments: Sequence[Segment], number: int, snapshots: Sequence[int], end: int) -> list[Aborted]:
    """The same from the batches themselves, for those that ended in the segment of that number or later.

    Which transactions were open at its start a snapshot tells; without one, the segments before it.
    """
    scratch = Producers()
    first = number
    while not _restored(scratch, segments[first], snapshots) and first:
        first -= 1
    _replay(scratch, segments, segments[first].base_offset, end)
    return [each for each in scratch.aborted if each.last_offset >= segments[number].base_offset]


def _restored(producers: Producers, segment: Segment, snapshots: Sequence[int]) -> bool:
    """Whether there is a whole snapshot of the producers at a segment's start; they have its state then."""
    path = segment.path.with_suffix(".snapshot")
    return segment.base_offset in snapshots and path.exists() and producers.restore(path.read_bytes())


def aborted_bytes(aborted: Iterable[Aborted]) -> bytes:
    """What `.txnindex` files hold."""
    return b"".join(_ABORTED.pack(0, *each) for each in aborted)
