"""Which source offsets are safe to commit."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from syncline.worker.ledger import Ledger


def test_nothing_is_committable_before_its_record_is_settled() -> None:
    ledger = Ledger()
    ledger.sent({"p": 1}, {"at": 1})
    assert ledger.committable() == []
    assert ledger.waiting
    ledger.settle()
    assert ledger.committable() == [({"p": 1}, {"at": 1})]
    assert not ledger.waiting


def test_the_latest_settled_offset_of_a_partition_counts() -> None:
    ledger = Ledger()
    for at in (1, 2, 3):
        ledger.sent({"p": 1}, {"at": at})
    ledger.settle()
    ledger.sent({"p": 1}, {"at": 4})
    assert ledger.committable() == [({"p": 1}, {"at": 3})]


def test_what_settles_while_a_commit_is_written_is_kept_for_the_next() -> None:
    ledger = Ledger()
    ledger.sent({"p": 1}, {"at": 1})
    ledger.settle()
    offsets = ledger.committable()
    ledger.sent({"p": 1}, {"at": 2})
    ledger.settle()
    ledger.committed(offsets)
    assert ledger.committable() == [({"p": 1}, {"at": 2})]


def test_the_order_of_members_makes_no_other_partition() -> None:
    ledger = Ledger()
    ledger.sent({"a": 1, "b": 2}, {"at": 1})
    ledger.sent({"b": 2, "a": 1}, {"at": 2})
    ledger.settle()
    assert [offset for _, offset in ledger.committable()] == [{"at": 2}]


def test_a_record_without_a_partition_has_no_offset() -> None:
    ledger = Ledger()
    ledger.sent(None, {"at": 1})
    ledger.settle()
    assert ledger.committable() == []


class Committing(RuleBasedStateMachine):
    """However sends, acknowledgements and commits interleave, no stored offset is ahead of what is in Kafka."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.last_sent: dict[int, int] = {}
        self.in_kafka: dict[int, int] = {}
        self.stored: dict[int, int] = {}
        self.number = 0

    @rule(partition=st.integers(0, 2))
    def send(self, partition: int) -> None:
        self.number += 1
        self.ledger.sent({"p": partition}, {"at": self.number})
        self.last_sent[partition] = self.number

    @rule()
    def settle(self) -> None:
        self.ledger.settle()
        self.in_kafka = dict(self.last_sent)

    @rule(stored=st.booleans())
    def commit(self, stored: bool) -> None:
        offsets = self.ledger.committable()
        if stored:
            self.stored |= {partition["p"]: offset["at"] for partition, offset in offsets if offset is not None}
            self.ledger.committed(offsets)

    @invariant()
    def nothing_stored_is_ahead_of_kafka(self) -> None:
        for partition, at in self.stored.items():
            assert at <= self.in_kafka.get(partition, 0)

    @invariant()
    def nothing_in_kafka_is_forgotten(self) -> None:
        committable = {partition["p"]: offset["at"] for partition, offset in self.ledger.committable() if offset}
        for partition, at in self.in_kafka.items():
            assert max(self.stored.get(partition, 0), committable.get(partition, 0)) == at


test_committing = Committing.TestCase
