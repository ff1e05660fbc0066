"""What producers send is checked before it is kept, and kept in the topic's compression."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.errors import MESSAGE_TOO_LARGE, KafkaError
from syncline.broker.intake import MOST_NAMED, MOST_UNPACKED, Rejected, Rules, as_kept, check_contents, received
from syncline.broker.records import (
    CODECS,
    MalformedRecords,
    OversizedRecords,
    batch_at,
    check_records,
    make_batch,
    records_of,
    rewritten,
)

NOW = 1_700_000_000_000
PLACE = ("t", 0)
RULES = Rules(
    largest=1 << 20,
    segment_bytes=1 << 30,
    codec=None,
    level=None,
    keyed=False,
    append_time=False,
    before_ms=2**63 - 1,
    after_ms=3_600_000,
)

PAIRS = st.lists(st.tuples(st.none() | st.binary(max_size=300), st.none() | st.binary(max_size=300)), min_size=1)


@given(PAIRS, st.sampled_from(list(CODECS.values())), st.sampled_from(list(CODECS.values())))
def test_a_rewritten_batch_holds_the_same_records(
    pairs: list[tuple[bytes | None, bytes | None]], first: int, second: int
) -> None:
    data = make_batch(pairs, NOW)
    sent = rewritten(data, batch_at(data, 0), first, None)
    check_contents(sent, received(sent, 12), RULES, PLACE, NOW)
    kept = as_kept(sent, received(sent, 12), replace(RULES, codec=second), NOW)
    batch = received(kept, 12)
    assert batch.codec == second
    assert [(record.key, record.value) for record in records_of(kept, batch)] == pairs


@given(st.binary(max_size=400))
def test_rubbish_is_refused_and_never_breaks_anything(body: bytes) -> None:
    good = make_batch([(b"k", b"v")], NOW)
    data = good[:61] + body
    sized = data[:8] + (len(data) - 12).to_bytes(4, "big") + data[12:]
    batch = batch_at(sized, 0)._replace(records=3, last_delta=2)
    with pytest.raises(KafkaError):
        check_contents(sized, batch, replace(RULES, keyed=True), PLACE, NOW)


def test_lz4_blocks_stand_alone_so_that_java_can_read_them() -> None:
    data = make_batch([(b"k", bytes(100_000))], NOW)
    packed = rewritten(data, batch_at(data, 0), CODECS["lz4"], None)
    independent_blocks = 0x20
    assert packed[61 + 4] & independent_blocks


RUNS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 70)), min_size=1, max_size=12)
"""Sizes of values, and how many of each follow one another."""


@given(RUNS, st.integers(-2, 2), st.data())
def test_records_of_one_size_are_counted_as_if_each_were_looked_at(
    runs: list[tuple[int, int]], more: int, source: st.DataObject
) -> None:
    made = bytearray(make_batch([(None, b"v" * size) for size, count in runs for _ in range(count)], NOW))
    if source.draw(st.booleans(), "damaged"):
        made[source.draw(st.integers(61, len(made) - 1), "at")] = source.draw(st.integers(0, 255), "byte")
    data = bytes(made)
    batch = batch_at(data, 0)
    batch = batch._replace(records=batch.records + more)
    if batch.records > 0 and fill(data[61:], batch.records):
        check_records(data, batch)
    else:
        with pytest.raises(MalformedRecords):
            check_records(data, batch)


def fill(body: bytes, count: int) -> bool:
    """Whether so many records fill the bytes, and the last is long enough to tell its offset."""
    start = position = 0
    for _ in range(count):
        start = position
        length = shift = 0
        more = True
        while more:
            if position >= len(body):
                return False
            length |= (body[position] & 0x7F) << shift
            more = body[position] > 0x7F
            shift += 7
            position += 1
        if length & 1:
            return False
        position += length >> 1
    return position == len(body) and position - start > 3


def test_a_length_without_end_is_refused_before_it_costs_much() -> None:
    good = make_batch([(None, b"v")], NOW)
    data = good[:61] + b"\xfe" + b"\xff" * 100_000
    with pytest.raises(MalformedRecords, match="ten bytes"):
        check_records(data, batch_at(data, 0)._replace(size=len(data)))


# -- more than was sent -----------------------------------------------------------------------

MEGABYTE = 1 << 20
COMPRESSED = ["gzip", "snappy", "lz4", "zstd"]


def large(codec: str, size: int) -> bytes:
    """A batch with one record of zeros, compressed."""
    data = make_batch([(b"k", bytes(size))], NOW)
    return rewritten(data, batch_at(data, 0), CODECS[codec], None)


CHECKING = """
import resource, sys
from pathlib import Path
from syncline.broker.errors import KafkaError
from syncline.broker.intake import Rules, as_kept, check_contents, received

data = Path(sys.argv[1]).read_bytes()
kept_in = int(sys.argv[2])
rules = Rules(largest=4 << 20, segment_bytes=1 << 30, codec=None if kept_in < 0 else kept_in, level=None, keyed=True,
              append_time=False, before_ms=2**63 - 1, after_ms=2**62)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    check_contents(data, received(data, 12), rules, ("t", 0), 0)
    as_kept(data, received(data, 12), rules, 0)
    print("taken")
except KafkaError as exc:
    print(exc.code)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def checked(data: bytes, folder: Path, codec: int = -1) -> tuple[str, int]:
    """What a process of its own says to a batch that it is to keep in a codec, and how many megabytes that took."""
    path = folder / "batch"
    path.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", CHECKING, path, str(codec)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    said, grown = done.stdout.split()
    return said, int(grown)


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_batch_that_comes_to_far_more_than_was_sent_is_refused_and_costs_no_memory(
    codec: str, tmp_path: Path
) -> None:
    said, grown = checked(large(codec, (60 if codec == "snappy" else 100) * MEGABYTE), tmp_path)
    assert int(said) == MESSAGE_TOO_LARGE
    assert grown < 50


@pytest.mark.parametrize("codec", COMPRESSED)
def test_a_batch_of_the_largest_size_is_taken_and_costs_twice_that(codec: str, tmp_path: Path) -> None:
    said, grown = checked(large(codec, MOST_UNPACKED - 100), tmp_path, codec=CODECS["gzip"])
    assert said == "taken"
    assert grown < 80


def test_what_a_topic_keeps_uncompressed_may_not_be_larger_than_it_takes(tmp_path: Path) -> None:
    said, grown = checked(large("zstd", 30 * MEGABYTE), tmp_path, codec=CODECS["uncompressed"])
    assert int(said) == MESSAGE_TOO_LARGE
    assert grown < 20


@pytest.mark.parametrize("header", [b"", b"\x82SNAPPY\x00" + struct.pack(">iii", 1, 1, 9)])
def test_the_size_that_snappy_claims_is_not_believed(header: bytes) -> None:
    body = header + b"\xff\xff\xff\xff\x0f" + b"rest"
    good = make_batch([(b"k", b"v")], NOW)
    tail = struct.pack(">h", CODECS["snappy"]) + good[23:61] + body
    data = struct.pack(">qiibI", 0, len(tail) + 9, 0, 2, crc32c(tail)) + tail
    with pytest.raises(KafkaError) as refused:
        check_contents(data, received(data, 12), RULES, PLACE, NOW)
    assert refused.value.code == MESSAGE_TOO_LARGE


@given(st.binary(max_size=3000), st.integers(0, 40), st.sampled_from(["gzip", "snappy", "lz4", "zstd"]))
def test_a_limit_does_not_change_what_is_read(piece: bytes, times: int, codec: str) -> None:
    pairs: list[tuple[bytes | None, bytes | None]] = [(b"k", piece * times)]
    data = make_batch(pairs, NOW)
    sent = rewritten(data, batch_at(data, 0), CODECS[codec], None)
    batch = batch_at(sent, 0)
    size = len(data) - 61
    assert list(records_of(sent, batch, size)) == list(records_of(sent, batch))
    with pytest.raises(OversizedRecords):
        list(records_of(sent, batch, size - 1))


def test_of_a_batch_without_keys_not_every_record_is_named() -> None:
    data = make_batch([(None, b"")] * (MOST_NAMED + 5), NOW)
    with pytest.raises(Rejected) as refused:
        check_contents(data, received(data, 12), replace(RULES, keyed=True), PLACE, NOW)
    assert list(refused.value.records) == list(range(MOST_NAMED))
