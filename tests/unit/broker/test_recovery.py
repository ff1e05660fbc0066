"""Opening a log: only what may be torn is read, and what lies beside the segments is believed only when it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from syncline.broker.errors import KafkaError
from syncline.broker.log import POINT_AT_CLOSE, PartitionLog
from syncline.broker.records import ABORT, HEADER_SIZE, Producer, checked_batches, make_batch

NOW = 1_700_000_000_000


def put(log: PartitionLog, value: bytes, *, sequence: int = -1, transactional: bool = False) -> int:
    producer = Producer(7, 0, sequence) if sequence >= 0 else Producer()
    data = make_batch([(b"k", value)], NOW + log.end_offset, producer=producer, transactional=transactional)
    return log.append(data, checked_batches(data))


def values(log: PartitionLog) -> list[tuple[int, bytes | None]]:
    return [(record.offset, record.value) for record in log.records()]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many bytes of segments were read so far."""
    total = 0
    real = os.pread

    def counted(file: int, length: int, position: int) -> bytes:
        nonlocal total
        total += length
        return real(file, length, position)

    monkeypatch.setattr(os, "pread", counted)
    return lambda: total


def test_sealed_segments_are_not_read_at_start(tmp_path: Path, reads: Callable[[], int]) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=100_000)
    for number in range(1000):
        put(log, b"%08d" % number * 100)
    tail = log.size - sum(segment.size for segment in log.sealed)
    log.close()
    before = reads()
    again = PartitionLog(tmp_path / "t-0", segment_bytes=100_000)
    assert reads() - before <= 2 * tail  # once for its checksums, once for its producers
    assert again.end_offset == 1000
    assert len(values(again)) == 1000
    again.close()


def test_damage_in_the_middle_of_a_sealed_segment_goes_unnoticed_at_start(tmp_path: Path) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=2_000)
    for number in range(100):
        put(log, b"%08d" % number)
    damaged = log.sealed[0].path
    log.close()
    size = damaged.stat().st_size
    with damaged.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff")
    again = PartitionLog(tmp_path / "t-0", segment_bytes=2_000)
    assert damaged.stat().st_size == size
    assert again.end_offset == 100
    again.close()


def test_of_a_long_tail_only_the_end_is_read_after_a_clean_stop(tmp_path: Path, reads: Callable[[], int]) -> None:
    log = PartitionLog(tmp_path / "t-0")
    for sequence in range(200):
        put(log, bytes(POINT_AT_CLOSE // 100), sequence=sequence)
    log.close()
    before = reads()
    again = PartitionLog(tmp_path / "t-0")
    assert reads() - before < log.size / 4
    assert again.end_offset == 200
    assert put(again, b"next", sequence=200) == 200
    with pytest.raises(KafkaError):
        again.producers.check(checked_batches(make_batch([(b"k", b"")], NOW, producer=Producer(7, 0, 300)))[0])
    assert len(values(again)) == 201
    again.close()


def test_what_came_after_the_recovery_point_is_checked(tmp_path: Path) -> None:
    log = PartitionLog(tmp_path / "t-0")
    put(log, b"durable" * 1000)
    log.flush(point_after=1)
    for number in range(10):
        put(log, b"%d" % number * 1000)
    path = tmp_path / "t-0" / f"{0:020}.log"
    with path.open("r+b") as file:
        file.seek(-500, os.SEEK_END)
        file.write(b"\xff")
    log.abandon()
    again = PartitionLog(tmp_path / "t-0")
    assert again.end_offset == 10
    assert values(again)[0][1] == b"durable" * 1000
    again.close()


@pytest.mark.parametrize("field", range(12))
def test_an_altered_offset_is_found_though_no_checksum_covers_it(tmp_path: Path, field: int) -> None:
    log = PartitionLog(tmp_path / "t-0")
    for number in range(3):
        put(log, b"%d" % number)
    size = log.size // 3
    log.abandon()
    with (tmp_path / "t-0" / f"{0:020}.log").open("r+b") as file:
        file.seek(2 * size + field)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte[0] ^ 0x10,)))
    again = PartitionLog(tmp_path / "t-0")
    assert values(again) == [(0, b"0"), (1, b"1")]
    assert put(again, b"2 again") == 2
    again.close()


@pytest.mark.parametrize("suffix", [".index", ".timeindex", ".txnindex", ".recovery", ".snapshot"])
@pytest.mark.parametrize("damage", ["deleted", "garbage", "altered", "emptied", "cut"])
def test_what_lies_beside_a_segment_may_be_lost_or_damaged(tmp_path: Path, suffix: str, damage: str) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=20_000)
    for number in range(40):
        put(log, bytes(1000), sequence=number, transactional=True)
        if number % 4 == 3:
            log.append_marker(7, 0, ABORT, NOW)
    aborted, content = log.producers.aborted, values(log)
    log.close()
    touched = [path for path in (tmp_path / "t-0").iterdir() if path.suffix == suffix]
    assert touched
    for path in touched:
        before = path.read_bytes()
        match damage:
            case "deleted":
                path.unlink()
            case "garbage":
                path.write_bytes(os.urandom(len(before)))
            case "altered":
                middle = len(before) // 2
                path.write_bytes(before[:middle] + bytes((before[middle] ^ 1,)) + before[middle + 1 :])
            case "emptied":
                path.write_bytes(b"")
            case "cut":
                path.write_bytes(before[: len(before) // 2])
    again = PartitionLog(tmp_path / "t-0", segment_bytes=20_000)
    assert again.producers.aborted == aborted
    assert values(again) == content
    assert again.find_time(NOW + 25) == log_time(content, 25)
    assert again.producers.entries[7].last_sequence == 39
    for offset, _ in content:
        assert again.read(offset, HEADER_SIZE, again.end_offset)[:8] == offset.to_bytes(8, "big")
    again.close()


@pytest.mark.parametrize("lost", [[".snapshot"], [".snapshot", ".index", ".timeindex", ".txnindex", ".recovery"]])
def test_an_aborted_transaction_stays_one_over_two_restarts_after_all_snapshots_are_lost(
    tmp_path: Path, lost: list[str]
) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=250)
    for number in range(3):
        put(log, bytes(20), sequence=number, transactional=True)
    log.append_marker(7, 0, ABORT, NOW)
    aborted = log.producers.aborted
    assert log.active_base > aborted[0].first_offset, "it ends in another segment than it began in"
    log.close()
    for path in (tmp_path / "t-0").iterdir():
        if path.suffix in lost:
            path.unlink()
    for _ in range(2):
        again = PartitionLog(tmp_path / "t-0", segment_bytes=250)
        assert again.producers.aborted == aborted
        again.close()


def log_time(content: list[tuple[int, bytes | None]], since: int) -> tuple[int, int]:
    """Records were given their offset as time."""
    offset = next(offset for offset, _ in content if offset >= since)
    return offset, NOW + offset


def test_the_end_is_kept_when_all_records_have_gone(tmp_path: Path) -> None:
    log = PartitionLog(tmp_path / "t-0")
    put(log, b"old")
    log.expire(retention_ms=1, retention_bytes=-1, now_ms=NOW * 2)
    assert (log.start_offset, log.end_offset) == (1, 1)
    log.abandon()
    again = PartitionLog(tmp_path / "t-0")
    assert (again.start_offset, again.end_offset) == (1, 1)
    again.close()
