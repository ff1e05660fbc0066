"""The records of `__transaction_state`, as Kafka writes and reads them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.transaction_log import (
    Phase,
    Transaction,
    UnreadableTransaction,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
)

LONGS = st.integers(-1, 2**63 - 1)
NAMES = st.text("abc.-_0", min_size=1, max_size=200)
TRANSACTIONS = st.builds(
    Transaction,
    id=st.text(max_size=50),
    producer_id=LONGS,
    epoch=st.integers(-1, 32_767),
    timeout_ms=st.integers(1, 2**31 - 1),
    phase=st.sampled_from(Phase),
    partitions=st.frozensets(st.tuples(NAMES, st.integers(0, 2**31 - 1)), max_size=200),
    updated_ms=LONGS,
    started_ms=LONGS,
    previous_id=LONGS,
    next_id=LONGS,
    version=st.sampled_from([0, 2]),
)


@given(TRANSACTIONS)
def test_what_is_written_is_read(transaction: Transaction) -> None:
    assert decode_key(encode_key(transaction.id)) == transaction.id
    assert decode_value(transaction.id, encode_value(transaction)) == transaction


@given(TRANSACTIONS, st.data())
def test_what_ends_too_early_is_unreadable(transaction: Transaction, data: st.DataObject) -> None:
    value = encode_value(transaction)
    with pytest.raises(UnreadableTransaction):
        decode_value("t", value[: data.draw(st.integers(0, len(value) - 1))])


def test_an_idle_id_is_written_as_kafka_writes_it() -> None:
    # Kafka 4.1 wrote this for InitProducerId: no partitions are null, nothing was begun.
    value = bytes.fromhex("0001000000000000022500000000ea600000000001a1fd1df81cffffffffffffffff00")
    found = decode_value("t", value)
    assert found == Transaction("t", 549, 0, 60_000, Phase.EMPTY, updated_ms=1_795_247_962_140)
    assert encode_value(found) == value


def test_the_format_of_earlier_versions_is_read() -> None:
    places = struct.pack(">i", 1) + b"\x00\x06orders" + struct.pack(">iii", 2, 3, 5)
    value = struct.pack(">hqhib", 0, 7, 4, 60_000, Phase.ONGOING) + places + struct.pack(">qq", 11, 12)
    expected = frozenset({("orders", 3), ("orders", 5)})
    assert decode_value("t", value) == Transaction("t", 7, 4, 60_000, Phase.ONGOING, expected, 11, 12)


@pytest.mark.parametrize("key", [b"", b"\0\0\0", b"\0\1\0\1x", b"\0\0\0\5x"])
def test_other_keys_are_refused(key: bytes) -> None:
    with pytest.raises(UnreadableTransaction):
        decode_key(key)


def test_a_later_format_is_refused() -> None:
    with pytest.raises(UnreadableTransaction, match="format 9"):
        decode_value("t", struct.pack(">hqhib", 9, 7, 4, 60_000, 0))


def test_a_new_producer_id_for_the_end_is_written() -> None:
    overflown = Transaction("t", 7, 32_767, 60_000, Phase.PREPARE_COMMIT, next_id=8, version=2)
    assert decode_value("t", encode_value(overflown)).next_id == 8
