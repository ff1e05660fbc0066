"""Takes out of logs what their topics no longer keep: retention by time and size, and compaction.

Compaction keeps, of every key, the last record. It reads and writes sealed segments on a thread and swaps the result
in on the event loop. The rules are Kafka's:

- the newest segment and what an undecided transaction may still take back are left alone, and so is what is younger
  than `min.compaction.lag.ms`;
- a log is worth cleaning when `min.cleanable.dirty.ratio` of it came after the last cleaning, or some of that is older
  than `max.compaction.lag.ms`;
- a record without value (a tombstone) that is the last of its key, and the marker of a transaction without records,
  stay for `delete.retention.ms` from the cleaning that found them so, for readers to see (KIP-534);
- records of aborted transactions go;
- a log whose records cannot be read is left alone until the next start (KIP-346);
- of each producer the last batch stays, if need be without records, or else the last marker: a log tells what its
  producers may write next even when all that lies beside it is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from syncline.broker.checkpoints import read_checkpoint, write_checkpoint
from syncline.broker.configs import LONG_MAX
from syncline.broker.files import OpenFiles
from syncline.broker.log import PartitionLog
from syncline.broker.producers import Aborted, Last
from syncline.broker.records import (
    Batch,
    MalformedRecords,
    Record,
    batch_at,
    checksum_holds,
    emptied,
    filtered,
    records_of,
)
from syncline.broker.segment import Segment
from syncline.broker.swap import CLEANED
from syncline.broker.topics import METADATA_TOPIC, Topic, Topics

log = logging.getLogger(__name__)

CHECKPOINT: Final = "cleaner-offset-checkpoint"
MOST_KEYS: Final = 1_000_000
"""Held at a time while a log is cleaned; more are left for the next time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a topic's settings say about compaction; times in milliseconds."""

    delete_retention: int
    min_lag: int
    max_lag: int
    dirty_ratio: float
    segment_bytes: int

    @classmethod
    def of(cls, topics: Topics, topic: Topic) -> Rules:
        return cls(
            int(topics.config(topic, "delete.retention.ms")),
            int(topics.config(topic, "min.compaction.lag.ms")),
            int(topics.config(topic, "max.compaction.lag.ms")),
            float(topics.config(topic, "min.cleanable.dirty.ratio")),
            topics.segment_bytes(topic),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One cleaning of one log, decided on the event loop and carried out on a thread."""

    segments: tuple[Segment, ...]
    """All that may be written anew, oldest first."""
    dirty_from: int
    """Records before this offset were cleaned before."""
    end: int
    """Of the last segment."""
    aborted: tuple[Aborted, ...]
    last_written: Mapping[int, Last]
    now: int
    delete_retention: int
    segment_bytes: int


def job_for(partition: PartitionLog, cleaned_to: int, rules: Rules, now_ms: int) -> Job | None:
    """What to do for a log; None when it is not worth it yet."""
    chosen: list[Segment] = []
    ends: list[int] = []
    sealed = partition.sealed
    following = [*(segment.base_offset for segment in sealed), partition.active_base][1:]
    for segment, end in zip(sealed, following, strict=True):
        if end > partition.last_stable_offset or segment.newest_ms() > now_ms - rules.min_lag:
            break
        chosen.append(segment)
        ends.append(end)
    dirty = [segment for segment, end in zip(chosen, ends, strict=True) if end > cleaned_to]
    if not dirty:
        return None
    waiting = sum(segment.size for segment in dirty)
    overdue = rules.max_lag < now_ms and any((s.first_timestamp or now_ms) < now_ms - rules.max_lag for s in dirty)
    if not overdue and waiting < rules.dirty_ratio * max(sum(segment.size for segment in chosen), 1):
        return None
    return Job(
        tuple(chosen),
        cleaned_to,
        ends[-1],
        tuple(partition.producers.aborted),
        partition.producers.last_written(),
        now_ms,
        rules.delete_retention,
        rules.segment_bytes,
    )


class CleaningStopped(Exception):
    """The broker stops; nothing was changed."""


class Uncleanable(Exception):
    """A batch of the log does not hold what its header says; nothing was changed."""


class Cleaning:
    """Carries out a job; made and closed on the event loop, run on a thread.

    Reads the log's files by descriptors of its own, so that nobody need wait for it, and writes new ones beside them.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._files = OpenFiles(2)
        self._borrowed = {segment: segment.borrowed(self._files) for segment in job.segments}
        self._latest: dict[bytes, int] = {}
        self._with_records: set[int] = set()
        """Producers of whose transaction under way something was kept."""
        self._aborted: dict[int, list[Aborted]] = {}
        for each in job.aborted:
            self._aborted.setdefault(each.producer_id, []).append(each)
        self._gone: set[int] = set()
        """Offsets of markers that were left out."""
        self._stopped = False
        self.end = job.end
        """How far the log is clean afterwards."""

    def stop(self) -> None:
        """Have `run` end soon, with CleaningStopped."""
        self._stopped = True

    def close(self) -> None:
        self._files.close()

    def run(self) -> Iterator[tuple[list[Segment], Segment, list[Aborted]]]:
        """Groups of segments, what to put in the place of each, and the aborted transactions that end there."""
        self._read_keys()
        for group, end in self._groups():
            made = self._rewritten(group)
            aborted = [each for each in self._job.aborted if group[0].base_offset <= each.last_offset < end]
            yield group, made, [each for each in aborted if each.last_offset not in self._gone]

    def _read_keys(self) -> None:
        for segment in self._job.segments:
            if segment.base_offset < self._job.dirty_from:
                continue
            if len(self._latest) >= MOST_KEYS:
                self.end = segment.base_offset
                return
            for batch, data in self._batches(segment):
                if batch.control:
                    continue
                with _reading(batch):
                    for record in records_of(data, batch):
                        if record.key is not None and not self._is_aborted(batch, record.offset):
                            self._latest[record.key] = record.offset

    def _groups(self) -> Iterator[tuple[list[Segment], int]]:
        """Neighbours that make one segment together, so that what shrinks to little does not stay in many files.

        With each group the offset that it ends before.
        """
        group: list[Segment] = []
        size = 0
        for segment in self._job.segments:
            if segment.base_offset >= self.end:
                break
            # Offsets within a segment are 32 bits wide in its index.
            if group and (
                size + segment.size > self._job.segment_bytes or segment.base_offset - group[0].base_offset > 0x7FFFFFFF
            ):
                yield group, segment.base_offset
                group, size = [], 0
            group.append(segment)
            size += segment.size
        if group:
            yield group, self.end

    def _rewritten(self, group: Sequence[Segment]) -> Segment:
        first = group[0]
        first.path.with_name(f"{first.base_offset:020}{CLEANED}").unlink(missing_ok=True)
        made = Segment(first.path.parent, first.base_offset, self._files, suffix=CLEANED)
        try:
            made.create()
            for segment in group:
                for batch, data in self._batches(segment):
                    with _reading(batch):
                        kept = self._kept(batch, data)
                    if kept:
                        position = made.size
                        made.write([kept])
                        header = batch_at(kept, 0)
                        made.note(header, position, header.base_offset)
            os.fsync(made.file)
            made.synced = made.size
        except BaseException:
            made.close()
            made.path.unlink(missing_ok=True)
            raise
        return made

    def _batches(self, segment: Segment) -> Iterator[tuple[Batch, bytes]]:
        """The batches of a segment, each with its own bytes."""
        borrowed = self._borrowed[segment]
        for batch in borrowed.walk():
            if self._stopped:
                raise CleaningStopped
            data = borrowed.read(batch.position, batch.size)
            if not checksum_holds(data, found := batch._replace(position=0)):
                # Written anew it would have a checksum that holds, and nobody would ever know.
                raise Uncleanable(f"the batch of offset {batch.base_offset} does not match its checksum")
            yield found, data

    def _kept(self, batch: Batch, data: bytes) -> bytes | None:
        """What is left of a batch."""
        horizon = batch.delete_horizon
        fading = horizon is None or horizon > self._job.now
        """Whether tombstones stay, for now."""
        if batch.control:
            needed = batch.producer_id in self._with_records
            self._with_records.discard(batch.producer_id)
            if needed or (not fading and self._tells_of_its_producer(batch)):
                return data
            if not fading:
                self._gone.add(batch.base_offset)
                return None
            return filtered(data, batch, lambda _: True, horizon=self._horizon if horizon is None else None)
        tombstones = 0

        def keep(record: Record) -> bool:
            nonlocal tombstones
            if record.key is None or self._is_aborted(batch, record.offset):
                return False
            if self._latest.get(record.key, -1) > record.offset:
                return False
            if record.value is None:
                tombstones += 1
                return fading
            return True

        kept = filtered(data, batch, keep)
        if kept and tombstones and horizon is None:
            kept = filtered(data, batch, keep, horizon=self._horizon)
        if kept is None and self._tells_of_its_producer(batch):
            kept = emptied(batch)
        # An emptied batch counts too: without its marker the transaction would seem to be open.
        if kept and batch.transactional:
            self._with_records.add(batch.producer_id)
        return kept

    def _tells_of_its_producer(self, batch: Batch) -> bool:
        """Whether the log would not tell its producer's sequence, or epoch, without this batch."""
        last = self._job.last_written.get(batch.producer_id)
        if last is None:
            return False
        if last.offset is None:
            return batch.control and batch.producer_epoch == last.epoch
        return batch.last_offset == last.offset

    @property
    def _horizon(self) -> int:
        return self._job.now + self._job.delete_retention

    def _is_aborted(self, batch: Batch, offset: int) -> bool:
        if not batch.transactional:
            return False
        return any(a.first_offset <= offset <= a.last_offset for a in self._aborted.get(batch.producer_id, ()))


@contextlib.contextmanager
def _reading(batch: Batch) -> Iterator[None]:
    """Producers' records are looked at one by one only where a topic was compacted when they came."""
    try:
        yield
    except (MalformedRecords, IndexError) as exc:
        raise Uncleanable(f"the batch of offset {batch.base_offset} cannot be read: {exc}") from exc


class Cleaner:
    """Works through all logs again and again, on the broker's event loop."""

    def __init__(self, topics: Topics, folder: Path) -> None:
        self._topics = topics
        self._path = folder / CHECKPOINT
        self._load()

    def expire(self, now_ms: int) -> None:
        """Retention."""
        for topic in self._topics:
            if "delete" not in self._topics.config(topic, "cleanup.policy"):
                continue
            retention_ms, retention_bytes = (
                int(self._topics.config(topic, name)) for name in ("retention.ms", "retention.bytes")
            )
            for partition in topic.partitions:
                try:
                    partition.expire(retention_ms=retention_ms, retention_bytes=retention_bytes, now_ms=now_ms)
                except OSError as exc:
                    log.error("%s: retention failed, it is tried again: %s", partition.folder.name, exc)

    async def compact(self, now_ms: int) -> None:
        """Clean every log that is worth it, one after the other."""
        for partition, rules in self._compacted():
            job = None if partition.uncleanable else job_for(partition, partition.cleaned_to, rules, now_ms)
            if job is not None:
                try:
                    partition.cleaned_to = await self._clean(partition, job)
                    self._save()
                except OSError as exc:
                    if not partition.closed:
                        log.error("%s: compaction failed, it is tried again: %s", partition.folder.name, exc)
                except Uncleanable as exc:
                    partition.uncleanable = True
                    log.error("%s is not compacted any more until the next start: %s", partition.folder.name, exc)

    def _compacted(self) -> Iterator[tuple[PartitionLog, Rules]]:
        metadata = self._topics.metadata
        yield metadata, Rules(0, 0, LONG_MAX, 0.5, metadata.segment_bytes)
        for topic in self._topics:
            if "compact" in self._topics.config(topic, "cleanup.policy"):
                rules = Rules.of(self._topics, topic)
                for partition in topic.partitions:
                    yield partition, rules

    async def _clean(self, partition: PartitionLog, job: Job) -> int:
        """Carry out a job; up to which offset the log is clean then."""
        before = partition.size
        cleaning = Cleaning(job)
        try:
            work = cleaning.run()
            while (found := await self._next(cleaning, work)) is not None:
                group, made, aborted = found
                if partition.closed or not partition.replace(group, made, aborted):
                    # Deleted meanwhile, by retention or with its topic.
                    made.close()
                    made.path.unlink(missing_ok=True)
                    return job.dirty_from
        finally:
            cleaning.close()
        log.info("%s compacted from %d to %d bytes", partition.folder.name, before, partition.size)
        return cleaning.end

    @staticmethod
    async def _next(
        cleaning: Cleaning, work: Iterator[tuple[list[Segment], Segment, list[Aborted]]]
    ) -> tuple[list[Segment], Segment, list[Aborted]] | None:
        """The next step's result; a broker that stops waits for the thread, which ends soon then."""
        step = asyncio.ensure_future(asyncio.to_thread(next, work, None))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            cleaning.stop()
            with contextlib.suppress(CleaningStopped):
                found = await step
                if found is not None:
                    found[1].close()
            raise

    def _logs(self) -> Iterator[tuple[str, PartitionLog]]:
        """Every log that may be compacted, as the checkpoint names it."""
        yield f"{METADATA_TOPIC} 0", self._topics.metadata
        for topic in self._topics:
            for number, partition in enumerate(topic.partitions):
                yield f"{topic.name} {number}", partition

    def _load(self) -> None:
        known = read_checkpoint(self._path)
        for place, partition in self._logs():
            # More than there is: left by a topic that had the name before.
            if known.get(place, 0) <= partition.end_offset:
                partition.cleaned_to = known.get(place, 0)

    def _save(self) -> None:
        write_checkpoint(
            self._path, {place: partition.cleaned_to for place, partition in self._logs() if partition.cleaned_to}
        )
