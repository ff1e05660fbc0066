"""What producers send is checked before it is kept, and kept in the topic's compression."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.errors import KafkaError
from syncline.broker.intake import Rules, as_kept, check_contents, received
from syncline.broker.records import CODECS, batch_at, make_batch, records_of, rewritten

NOW = 1_700_000_000_000
RULES = Rules(
    place="t-0",
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
    check_contents(sent, received(sent, 12), RULES, NOW)
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
        check_contents(sized, batch, replace(RULES, keyed=True), NOW)


def test_lz4_blocks_stand_alone_so_that_java_can_read_them() -> None:
    data = make_batch([(b"k", bytes(100_000))], NOW)
    packed = rewritten(data, batch_at(data, 0), CODECS["lz4"], None)
    independent_blocks = 0x20
    assert packed[61 + 4] & independent_blocks
