"""A log against a simple model: whatever is done to it, and wherever it crashes, it holds what it acknowledged."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncline.broker.errors import KafkaError
from syncline.broker.log import PartitionLog
from syncline.broker.records import ABORT, COMMIT, Producer, batches, checked_batches, make_batch, records_of
from tests.unit.broker.test_cleaner import DAY, NOW, clean, readable

IDEMPOTENT, TRANSACTIONAL = (1, 2), (11, 12)
MEMORY = Path("/dev/shm")  # thousands of syncs are not what is tested here
EXAMPLES = 12
"""A thousand are worth a run after a change of the log."""
BESIDE = (".index", ".timeindex", ".txnindex", ".recovery", ".snapshot")

Pair = tuple[bytes, bytes | None]
PAIRS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.one_of(st.none(), st.binary(max_size=60))), min_size=1, max_size=3
)
TIMES = st.integers(-5, 5)


@dataclass(frozen=True)
class Event:
    """A batch that was acknowledged."""

    offset: int
    pairs: tuple[Pair, ...]
    time: int
    producer: int = -1
    sequence: int = -1
    marker: int | None = None

    @property
    def end(self) -> int:
        return self.offset + max(len(self.pairs), 1)


class LogMachine(RuleBasedStateMachine):
    """`events` is the model; `gone` are offsets that compaction took out."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="log-machine-", dir=MEMORY if MEMORY.is_dir() else None))
        self.generation = 0
        self.events: list[Event] = []
        self.gone: set[int] = set()
        self.start = self.end = self.cleaned_to = 0
        self.flushed_end = 0
        self.flushed_sizes: dict[str, int] = {}
        self.now = NOW
        self.exact = True
        """The producers' state is known; not so when snapshots are lost and the records they came from are, too."""
        self.log: PartitionLog

    @initialize(segment_bytes=st.sampled_from([300, 1_000, 100_000]), sync=st.booleans())
    def open(self, segment_bytes: int, sync: bool) -> None:
        self.segment_bytes, self.sync = segment_bytes, sync
        self.log = self.opened()

    def opened(self) -> PartitionLog:
        log = PartitionLog(self.folder, segment_bytes=self.segment_bytes, sync=self.sync)
        log.restore_start(self.start)  # as the checkpoint of the broker has it
        return log

    @property
    def folder(self) -> Path:
        return self.root / f"t-{self.generation}"

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.abandon()
        shutil.rmtree(self.root)

    # -- appending ----------------------------------------------------------------------------

    def appended(self, event: Event) -> None:
        self.events.append(event)
        self.end = event.end
        if self.sync:
            self.note_flushed()

    def append(self, pairs: list[Pair], time: int, producer: int = -1, sequence: int = -1) -> None:
        self.now += 1000
        stamp = self.now + time * 1000
        writer = Producer(producer, 0, sequence) if producer >= 0 else Producer()
        data = make_batch(pairs, stamp, producer=writer, transactional=producer in TRANSACTIONAL)
        assert self.log.append(data, checked_batches(data)) == self.end
        self.appended(Event(self.end, tuple(pairs), stamp, producer, sequence))

    @rule(pairs=PAIRS, time=TIMES)
    def append_plain(self, pairs: list[Pair], time: int) -> None:
        self.append(pairs, time)

    @precondition(lambda self: self.exact)
    @rule(pairs=PAIRS, time=TIMES, producer=st.sampled_from(IDEMPOTENT + TRANSACTIONAL))
    def append_as_producer(self, pairs: list[Pair], time: int, producer: int) -> None:
        last = self.last_of(producer)
        expected = 0 if last is None else last.sequence + len(last.pairs)
        if last is not None:
            again = self.checked(list(last.pairs), producer, last.sequence)
            assert again == last.offset
            with pytest.raises(KafkaError):
                self.checked(pairs, producer, expected + 1)
        assert self.checked(pairs, producer, expected) is None
        self.append(pairs, time, producer, expected)

    def checked(self, pairs: list[Pair], producer: int, sequence: int) -> int | None:
        writer = Producer(producer, 0, sequence)
        data = make_batch(pairs, self.now, producer=writer, transactional=producer in TRANSACTIONAL)
        known = self.log.producers.check(checked_batches(data)[0])
        return None if known is None else known.base_offset

    def last_of(self, producer: int) -> Event | None:
        return next((e for e in reversed(self.events) if e.producer == producer and e.marker is None), None)

    @precondition(lambda self: self.exact)
    @rule(producer=st.sampled_from(TRANSACTIONAL), kind=st.sampled_from([COMMIT, ABORT]))
    def end_transaction(self, producer: int, kind: int) -> None:
        if producer in self.open_transactions():
            self.now += 1000
            self.log.append_marker(producer, 0, kind, self.now)
            self.appended(Event(self.end, (), self.now, producer, marker=kind))

    # -- keeping house ------------------------------------------------------------------------

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule(point_after=st.sampled_from([1, 1 << 30]))
    def flush(self, point_after: int) -> None:
        self.log.flush(point_after=point_after)
        self.note_flushed()

    def note_flushed(self) -> None:
        self.flushed_end = self.end
        self.flushed_sizes = {path.name: path.stat().st_size for path in self.folder.glob("*.log")}

    @rule(share=st.floats(0, 1))
    def delete_records(self, share: float) -> None:
        self.start = self.start + int((self.end - self.start) * share)
        self.log.delete_before(self.start)

    @rule(segments=st.integers(0, 3))
    def expire_by_size(self, segments: int) -> None:
        before = self.log.size
        keep = sum(segment.size for segment in self.log.sealed[-segments:]) if segments else 0
        self.log.expire(retention_ms=-1, retention_bytes=keep, now_ms=self.now)
        assert self.log.size >= min(keep, before)
        self.expired()

    @rule(age=st.integers(0, 30))
    def expire_by_time(self, age: int) -> None:
        limit = self.now - age * 1000
        self.log.expire(retention_ms=age * 1000, retention_bytes=-1, now_ms=self.now)
        young = [event.offset for event in self.present() if event.time >= limit]
        assert not young or self.log.start_offset <= max(self.start, young[0])
        self.expired()

    def expired(self) -> None:
        assert self.start <= self.log.start_offset <= self.end
        self.start = self.log.start_offset

    @rule(days=st.integers(0, 2))
    def compact(self, days: int) -> None:
        self.now += days * DAY
        before, dirty = self.latest(), self.log.active_base
        self.cleaned_to = clean(self.log, self.cleaned_to, self.now)
        kept = {batch.base_offset for batch, _ in self.log.batches() if batch.control}
        kept |= {record.offset for record in self.log.records()}
        there = {offset for event in self.events for offset in offsets(event) if self.is_there(offset)}
        gone = there - kept
        assert all(offset < dirty for offset in gone)
        self.gone |= gone
        assert self.latest() == before

    # -- stopping and crashing ----------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.note_flushed()
        self.log = self.opened()
        assert self.log.end_offset == self.end

    @rule(
        tail=st.sampled_from(["whole", "cut", "flipped", "zeroed", "zeros behind", "garbage behind"]),
        where=st.floats(0, 1, exclude_max=True),
        bit=st.integers(0, 7),
        lost=st.sets(st.sampled_from(BESIDE)),
        garbage=st.booleans(),
    )
    def crash(self, tail: str, where: float, bit: int, lost: set[str], garbage: bool) -> None:
        active = f"{self.log.active_base:020}.log"
        old = self.folder
        self.generation += 1
        shutil.copytree(old, self.folder)
        self.log.abandon()
        shutil.rmtree(old)
        if (self.folder / active).exists():
            damage(self.folder / active, tail, self.flushed_sizes.get(active, 0), where, bit)
        for path in self.folder.iterdir():
            if path.suffix in lost:
                if garbage:
                    path.write_bytes(noise(path.stat().st_size))
                else:
                    path.unlink()
        self.exact = self.exact and not (".snapshot" in lost and (self.gone or self.start))
        self.log = self.opened()
        assert max(self.flushed_end, self.start) <= self.log.end_offset <= self.end
        if tail in ("whole", "zeros behind", "garbage behind"):
            assert self.log.end_offset == self.end
        self.events = [event for event in self.events if event.end <= self.log.end_offset]
        self.end = self.log.end_offset
        self.start = max(self.start, self.log.start_offset)
        assert self.start <= self.end

    # -- what must hold -----------------------------------------------------------------------

    def present(self) -> Iterator[Event]:
        return (event for event in self.events if any(self.is_there(offset) for offset in offsets(event)))

    def is_there(self, offset: int) -> bool:
        return offset >= self.start and offset not in self.gone

    def open_transactions(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for event in self.events:
            if event.marker is not None:
                found.pop(event.producer)
            elif event.producer in TRANSACTIONAL:
                found.setdefault(event.producer, event.offset)
        return found

    def committed(self) -> list[tuple[int, bytes, bytes | None]]:
        """What a reader of committed records must see."""
        stable = min(self.open_transactions().values(), default=self.end)
        outcome: dict[int, int] = {}
        found = []
        for event in reversed(self.events):
            if event.marker is not None:
                outcome[event.producer] = event.marker
            elif event.producer not in TRANSACTIONAL or outcome.get(event.producer) == COMMIT:
                found += [
                    (offset, *pair)
                    for offset, pair in zip(offsets(event), event.pairs, strict=True)
                    if offset < stable and self.is_there(offset)
                ]
        return sorted(found)

    def latest(self) -> dict[bytes, bytes]:
        last = {key: value for _, key, value in self.committed()}
        return {key: value for key, value in last.items() if value is not None}

    @invariant()
    def holds_what_was_acknowledged(self) -> None:
        if not hasattr(self, "log"):
            return
        expected = [
            (offset, event.time, *pair)
            for event in self.events
            for offset, pair in zip(offsets(event), event.pairs, strict=False)
            if self.is_there(offset)
        ]
        assert [(r.offset, r.timestamp, r.key, r.value) for r in self.log.records()] == expected
        assert (self.log.start_offset, self.log.end_offset) == (self.start, self.end)

    @invariant()
    def readers_of_committed_records_see_those_alone(self) -> None:
        if hasattr(self, "log") and self.exact:
            open_ones = self.open_transactions().values()
            assert self.log.last_stable_offset == min(open_ones, default=self.end)
            assert [(r.offset, r.key, r.value) for r in readable(self.log)] == self.committed()

    @rule(share=st.floats(0, 1), most=st.sampled_from([0, 70, 200, 100_000]))
    def read(self, share: float, most: int) -> None:
        offset = self.start + int((self.end - self.start) * share)
        data = self.log.read(offset, most, self.end)
        there = [o for event in self.events for o in offsets(event) if o >= offset and self.is_there(o)]
        whole = list(batches(data))
        found = [r.offset for batch in whole for r in records_of(data, batch) if r.offset >= offset]
        assert found == there[: len(found)]
        assert len(data) <= most or len(whole) == 1
        assert bool(whole) or not there or len(data) == most

    @rule(back=st.integers(-5, 40))
    def find_time(self, back: int) -> None:
        wanted = self.now - back * 1000
        times = [(offset, e.time) for e in self.present() for offset in offsets(e) if self.is_there(offset)]
        assert self.log.find_time(wanted) == next((each for each in times if each[1] >= wanted), None)

    @rule()
    def newest_time(self) -> None:
        times = [(offset, e.time) for e in self.present() for offset in offsets(e) if self.is_there(offset)]
        assert self.log.newest_time() == max(times, key=lambda each: (each[1], -each[0]), default=None)


def offsets(event: Event) -> range:
    return range(event.offset, event.end)


def noise(size: int) -> bytes:
    """Bytes that mean nothing, the same in every run."""
    return random.Random(size).randbytes(size)


def damage(path: Path, tail: str, durable: int, where: float, bit: int) -> None:
    """What a crash may do to the part of a file that was not synced."""
    content = path.read_bytes()
    at = durable + int((len(content) - durable) * where)
    match tail:
        case "cut":
            content = content[:at]
        case "flipped" if at < len(content):
            content = content[:at] + bytes((content[at] ^ (1 << bit),)) + content[at + 1 :]
        case "zeroed":
            content = content[:at] + bytes(len(content) - at)
        case "zeros behind":
            content += bytes(1 + int(where * 200))
        case "garbage behind":
            content += noise(1 + int(where * 200))
    path.write_bytes(content)


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
