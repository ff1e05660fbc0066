"""What producers send is checked before it is kept, and kept in the topic's compression."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.errors import KafkaError
from syncline.broker.intake import Rules, as_kept, check_contents, received
from syncline.broker.records import CODECS, MalformedRecords, batch_at, check_records, make_batch, records_of, rewritten

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
