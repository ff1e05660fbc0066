"""The meeting point of a sink task's two threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from syncline.ids import TopicPartition
from syncline.testing.builders import sink_record
from syncline.worker.handoff import Batch, Handoff

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)


def batch(*offsets: int, partition: int = 0, size: int = 1, epoch: int = 0) -> Batch:
    """Records of one partition at these offsets."""
    place = TopicPartition("t", partition)
    records = [sink_record(offset, partition=partition, offset=offset) for offset in offsets]
    return Batch(records, {place: offsets[-1] + 1}, {place: offsets[0]}, [], size, epoch)


def handoff(max_records: int = 100, max_bytes: int = 1000) -> Handoff:
    return Handoff(max_records=max_records, max_bytes=max_bytes)


def taken(meeting: Handoff, most: int = 100) -> list[int]:
    found = meeting.take(most, 0)
    return [] if found is None else [record.offset for record in found.records]


def test_waiting_reads_are_taken_together_up_to_the_most() -> None:
    meeting = handoff()
    for first in (0, 2, 4):
        meeting.put(batch(first, first + 1))
    assert taken(meeting, most=4) == [0, 1, 2, 3]
    assert taken(meeting, most=4) == [4, 5]
    assert taken(meeting) == []


@pytest.mark.parametrize(("max_records", "max_bytes"), [(2, 1000), (100, 10)])
def test_there_is_room_until_records_or_bytes_are_too_many(max_records: int, max_bytes: int) -> None:
    meeting = handoff(max_records, max_bytes)
    assert meeting.wait_for_room(0)
    meeting.put(batch(0, 1, size=10))
    assert not meeting.wait_for_room(0)
    meeting.take(100, 0)
    assert meeting.wait_for_room(0)


def test_an_error_of_the_reader_comes_after_what_was_read_before() -> None:
    meeting = handoff()
    meeting.put(batch(0))
    meeting.fail(ValueError("broken"))
    assert taken(meeting) == [0]
    with pytest.raises(ValueError, match="broken"):
        meeting.take(1, 0)


def test_a_rewind_drops_what_waits_and_what_is_on_its_way() -> None:
    meeting = handoff()
    epoch, _ = meeting.begin_read()
    meeting.put(batch(0, 1))
    meeting.put(batch(0, partition=1))
    meeting.rewind({T0: 0})
    meeting.put(batch(2, 3, epoch=epoch))
    assert [record.partition for record in meeting.take(100, 0).records] == [1]  # type: ignore[union-attr]  # there
    epoch, rewinds = meeting.begin_read()
    assert rewinds == {T0: 0}
    meeting.put(batch(0, 1, epoch=epoch))
    assert taken(meeting) == [0, 1]


def test_partitions_that_go_are_forgotten_with_their_rewinds() -> None:
    meeting = handoff()
    meeting.put(batch(0))
    meeting.rewind({T0: 0})
    meeting.discard([T0])
    assert taken(meeting) == []
    assert meeting.begin_read()[1] == {}


def asking(meeting: Handoff, function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """A thread that calls, as the reader does, and its answer."""
    answers: list[object] = []
    reader = threading.Thread(target=lambda: answers.append(meeting.call(function)))
    reader.start()
    meeting.wait(20)
    return reader, answers


def test_a_call_is_answered_on_the_thread_that_serves() -> None:
    meeting = handoff()
    reader, answers = asking(meeting, threading.get_ident)
    meeting.serve()
    reader.join()
    assert answers == [threading.get_ident()]


def test_an_error_of_a_call_is_raised_where_it_is_served() -> None:
    def fail() -> None:
        raise ValueError("on the task's thread")

    meeting = handoff()
    reader, answers = asking(meeting, fail)
    with pytest.raises(ValueError, match="on the task's thread"):
        meeting.serve()
    reader.join()
    assert answers == [None]


def test_a_call_ends_a_wait_for_records() -> None:
    meeting = handoff()
    reader, _ = asking(meeting, lambda: 1)
    assert meeting.take(1, 20) is None
    meeting.serve()
    reader.join()


def test_a_closed_meeting_answers_every_call_with_nothing() -> None:
    meeting = handoff()
    reader, answers = asking(meeting, lambda: 1)
    meeting.close()
    reader.join()
    assert answers == [None]
    assert meeting.call(lambda: 1) is None


class Reading(RuleBasedStateMachine):
    """However reads, rewinds and takes interleave, the task sees each partition without a gap.

    The model is one partition of endless records: after each rewind the next record must be the one asked for, and
    each record must follow the one before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.meeting = Handoff(max_records=8, max_bytes=1000)
        self.reader_at = 0
        self.held: list[Batch] = []
        self.expected = 0
        self.in_order = True

    @rule(count=st.integers(1, 4))
    def read(self, count: int) -> None:
        """The reader seeks where it is told to, and reads; the batch is still on its way."""
        epoch, rewinds = self.meeting.begin_read()
        self.reader_at = rewinds.get(T0, self.reader_at)
        self.held.append(batch(*range(self.reader_at, self.reader_at + count), epoch=epoch))
        self.reader_at += count

    @rule()
    def deliver(self) -> None:
        for waiting in self.held:
            self.meeting.put(waiting)
        self.held = []

    @rule(most=st.integers(4, 8))
    def take(self, most: int) -> None:
        found = self.meeting.take(most, 0)
        for record in found.records if found is not None else ():
            self.in_order = self.in_order and record.offset == self.expected
            self.expected = record.offset + 1

    @rule(back=st.integers(0, 5))
    def rewind(self, back: int) -> None:
        self.expected = max(self.expected - back, 0)
        self.meeting.rewind({T0: self.expected})

    @invariant()
    def without_a_gap(self) -> None:
        assert self.in_order


test_reading = Reading.TestCase
