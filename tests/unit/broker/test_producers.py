"""Sequences, epochs and markers of one partition (KIP-98, KIP-360, KIP-890)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.broker.errors import (
    INVALID_PRODUCER_EPOCH,
    INVALID_RECORD,
    INVALID_TXN_STATE,
    OUT_OF_ORDER_SEQUENCE_NUMBER,
    TRANSACTION_COORDINATOR_FENCED,
    KafkaError,
)
from syncline.broker.producers import Producers
from syncline.broker.records import ABORT, COMMIT, Batch, Marker, Producer, checked_batches, make_batch

NOW = 1_700_000_000_000
LARGEST = 2**31 - 1


def batch(sequence: int, count: int = 1, *, epoch: int = 0, transactional: bool = False) -> Batch:
    records: list[tuple[bytes | None, bytes | None]] = [(None, b"v")] * count
    (found,) = checked_batches(
        make_batch(records, NOW, producer=Producer(7, epoch, sequence), transactional=transactional)
    )
    return found


class Partition:
    """Producers and the end of their log."""

    def __init__(self) -> None:
        self.producers = Producers()
        self.end = 0

    def write(self, written: Batch, *, from_zero: bool = False) -> int:
        """The offset; KafkaError when it is refused."""
        known = self.producers.check(written, from_zero=from_zero)
        if known is not None:
            return known.base_offset
        self.producers.absorb(written, self.end)
        self.end += written.last_delta + 1
        return self.end - written.last_delta - 1

    def refusal(self, written: Batch, *, from_zero: bool = False) -> int:
        with pytest.raises(KafkaError) as refused:
            self.write(written, from_zero=from_zero)
        return refused.value.code

    def mark(self, epoch: int, kind: int = COMMIT) -> None:
        self.producers.check_marker(7, epoch, 0)
        self.producers.end(Marker(7, epoch, kind, NOW), self.end)
        self.end += 1


@pytest.fixture
def partition() -> Partition:
    return Partition()


def test_a_repeated_batch_is_answered_as_at_first(partition: Partition) -> None:
    assert [partition.write(batch(0, 3)), partition.write(batch(3)), partition.write(batch(0, 3))] == [0, 3, 0]
    assert partition.end == 4


@pytest.mark.parametrize("sequence", [0, 4, 9])
def test_a_gap_is_refused(partition: Partition, sequence: int) -> None:
    partition.write(batch(0, 2))
    assert partition.refusal(batch(sequence)) == OUT_OF_ORDER_SEQUENCE_NUMBER


def test_sequences_go_on_at_zero_after_the_largest(partition: Partition) -> None:
    partition.write(batch(LARGEST - 1, 4))
    assert partition.refusal(batch(1)) == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.write(batch(2)) == 4


def test_a_new_epoch_begins_at_zero(partition: Partition) -> None:
    partition.write(batch(0, 2))
    assert partition.refusal(batch(2, epoch=1)) == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.write(batch(0, epoch=1)) == 2
    assert partition.refusal(batch(2, epoch=0)) == INVALID_PRODUCER_EPOCH


def test_an_unknown_producer_begins_anywhere_unless_it_must_not(partition: Partition) -> None:
    assert partition.refusal(batch(5), from_zero=True) == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.write(batch(5)) == 0


def test_an_epoch_that_only_a_marker_has_begun_begins_at_zero(partition: Partition) -> None:
    partition.write(batch(0, 2, transactional=True))
    partition.mark(epoch=1)
    assert partition.refusal(batch(2, epoch=0, transactional=True)) == INVALID_PRODUCER_EPOCH
    assert partition.refusal(batch(2, epoch=1, transactional=True)) == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.write(batch(0, epoch=1, transactional=True)) == 3


def test_a_marker_of_the_same_epoch_leaves_the_sequence(partition: Partition) -> None:
    partition.write(batch(0, 2, transactional=True))
    partition.mark(epoch=0)
    assert partition.write(batch(2, transactional=True)) == 3


def test_a_batch_without_sequence_is_refused(partition: Partition) -> None:
    assert partition.refusal(batch(-1)) == INVALID_RECORD


def test_a_plain_batch_within_a_transaction_is_refused(partition: Partition) -> None:
    partition.write(batch(0, transactional=True))
    assert partition.refusal(batch(1)) == INVALID_TXN_STATE


def test_a_late_marker_is_refused(partition: Partition) -> None:
    partition.write(batch(0, transactional=True, epoch=3))
    with pytest.raises(KafkaError) as refused:
        partition.mark(epoch=2, kind=ABORT)
    assert refused.value.code == INVALID_PRODUCER_EPOCH
    partition.producers.end(Marker(7, 3, COMMIT, NOW, coordinator_epoch=4), 1)
    with pytest.raises(KafkaError) as refused:
        partition.producers.check_marker(7, 3, 3)
    assert refused.value.code == TRANSACTION_COORDINATOR_FENCED


def test_the_coordinator_is_asked_about_what_is_not_open(partition: Partition) -> None:
    assert not partition.producers.knows(7, 0)
    partition.write(batch(0, transactional=True, epoch=1))
    assert partition.producers.knows(7, 1)
    assert partition.producers.knows(7, 0)  # and refused without asking
    assert not partition.producers.knows(7, 2)
    partition.mark(epoch=1)
    assert not partition.producers.knows(7, 1)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["write", COMMIT, ABORT]), st.integers(1, 3))),
    st.integers(0, 120),
    st.integers(0, 120),
)
def test_what_readers_must_wait_for_and_skip_is_what_the_whole_log_says(
    steps: list[tuple[int, str | int, int]], first: int, end: int
) -> None:
    producers, offset = Producers(), 0
    running: dict[int, int] = {}
    aborted: list[tuple[int, int, int]] = []
    for producer, step, count in steps:
        if step == "write":
            running.setdefault(producer, offset)
            written = batch(0, count, transactional=True)._replace(producer_id=producer)
            producers.absorb(written, offset)
            offset += count
        else:
            producers.end(Marker(producer, 0, int(step), NOW), offset)
            began = running.pop(producer, None)
            if began is not None and step == ABORT:
                aborted.append((producer, began, offset))
            offset += 1
        restored = Producers()
        assert restored.restore(producers.snapshot())
        assert producers.first_open() == restored.first_open() == min(running.values(), default=None)
    to_skip = {
        (each.producer_id, each.first_offset, each.last_offset) for each in producers.aborted_between(first, end)
    }
    assert to_skip == {each for each in aborted if each[2] >= first and each[1] < end}
