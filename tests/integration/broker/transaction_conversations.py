"""Conversations about transactions, noted so that those with Apache Kafka and with the broker can be compared.

Run as a program against a broker, it prints what is in `transactions_as_kafka.json`; names choose among them:

    python -m tests.integration.broker.transaction_conversations 127.0.0.1:9092 [NAME...]

Each is held twice: by a producer of the old protocol, which names the partitions it is going to write to, and by one of
the second version (KIP-890), in which writing names them and each end of a transaction raises the epoch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.integration.broker.raw import RawClient, encode_subscription
from tests.integration.broker.transaction_talk import (
    CONSUMER_HEARTBEAT,
    DEADLINE_S,
    DELETE_RECORDS,
    DELETE_TOPICS,
    FIND_COORDINATOR,
    INIT,
    JOIN,
    LAST_SEQUENCE,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    SYNC,
    TRY_AGAIN,
    Talk,
)


def commit(talk: Talk) -> None:
    talk.init()
    talk.described()
    talk.write("a")
    talk.seen()
    talk.end(True)
    talk.seen()


def abort(talk: Talk) -> None:
    talk.init()
    talk.write("a")
    talk.write("b")
    talk.seen()
    talk.end(False)
    talk.seen()


def two_partitions(talk: Talk) -> None:
    talk.init()
    talk.write("a", 0)
    talk.write("b", 1)
    talk.described()
    talk.end(True)
    talk.fetched(number=0)
    talk.fetched(number=1)
    talk.producers(1)


def several_in_a_row(talk: Talk) -> None:
    talk.init()
    for number in range(4):
        talk.write(f"v{number}")
        talk.end(number % 2 == 0)
        talk.described()
    talk.seen()
    talk.fetched(offset=3)


def fetch_from_each_offset(talk: Talk) -> None:
    talk.init()
    for number in range(3):
        talk.write(f"v{number}")
        talk.write(f"w{number}")
        talk.end(number == 1)
    for offset in range(10):
        talk.fetched(offset=offset)


def open_behind_committed(talk: Talk) -> None:
    """The first open transaction holds back what others commit after it."""
    talk.init()
    talk.write("open")
    talk.produce("plain", version=11, transactional=False, producer=(-1, -1), sequence=-1)
    other = Talk(talk.bootstrap, talk.second)
    try:
        other.topic = talk.topic
        other.init()
        other.write("b")
        other.end(False)
    finally:
        other.close()
    talk.fetched()
    talk.ends()
    talk.end(True)
    talk.fetched()
    talk.ends()


def init_twice(talk: Talk) -> None:
    first = talk.init()
    talk.init()
    talk.described()
    talk.add(0, producer=first)
    talk.produce("late", version=12 if talk.second else 11, producer=first)
    talk.end(True, producer=first)
    talk.end(False, producer=first)


def init_with_a_transaction_open(talk: Talk) -> None:
    first = talk.init()
    talk.write("a")
    talk.init()
    talk.seen()
    talk.produce("late", version=12 if talk.second else 11, producer=first, sequence=1)
    talk.end(True, producer=first)
    talk.write("b")
    talk.end(True)
    talk.seen()


def init_with_own_epoch(talk: Talk) -> None:
    """KIP-360."""
    first = talk.init()
    talk.init(first)
    talk.init(first)
    talk.described()
    talk.init(talk.producer)
    talk.init(first)
    talk.init()
    talk.init((talk.producer[0], talk.producer[1] - 1))


def init_with_own_epoch_and_a_transaction_open(talk: Talk) -> None:
    first = talk.init()
    talk.write("a")
    talk.init(first)
    talk.described()
    talk.fetched()


def init_with_what_is_not_its_own(talk: Talk) -> None:
    talk.init((123_456, 3))
    first = talk.init()
    talk.init((first[0] + 1_000_000, first[1]))
    talk.init((first[0], first[1] + 1))
    talk.init((first[0], 77))
    talk.init((first[0], -1))
    talk.init((-1, 3))
    talk.described()


def init_after_the_end(talk: Talk) -> None:
    talk.init()
    talk.write("a")
    before = talk.producer
    talk.end(True)
    talk.init(before)
    talk.init(talk.producer)
    talk.write("b")
    talk.end(False)
    talk.init()
    talk.described()


def init_in_every_version(talk: Talk) -> None:
    for version in range(6):
        talk.init(version=version)
    talk.described()


def init_refused(talk: Talk) -> None:
    for timeout in (0, -1, 1, 900_000, 900_001):
        talk.init(timeout=timeout)
    talk.init(transactional_id="")
    talk.init((5, 3), version=3, transactional_id="")


def init_idempotent(talk: Talk) -> None:
    """Without a transactional id."""
    talk.init(transactional_id=None)
    talk.init(transactional_id=None, timeout=-5)
    talk.init((3, 5), transactional_id=None)
    talk.init((3, -1), transactional_id=None)
    talk.init((-1, 5), transactional_id=None)


def timeouts_change(talk: Talk) -> None:
    talk.init(timeout=1_000)
    talk.described()
    talk.init(timeout=2_000)
    talk.described()


def nothing_known(talk: Talk) -> None:
    """Requests of an id that was never initialized."""
    unknown = (123_456_789, 0)
    talk.add(0, producer=unknown)
    talk.add(0, producer=unknown, version=5)
    talk.add_offsets(producer=unknown)
    talk.end(True, producer=unknown)
    talk.end(False, producer=unknown)
    talk.offsets(producer=unknown)
    for version in (9, 10, 11, 12):
        talk.produce("a", version=version, producer=unknown, sequence=0)
    talk.described()
    talk.producers()


def empty_ids(talk: Talk) -> None:
    talk.init()
    talk.add(0, transactional_id="")
    talk.add_offsets(transactional_id="")
    talk.end(True, transactional_id="")
    talk.offsets(transactional_id="")
    for version in (10, 11, 12):
        talk.produce("a", version=version, transactional_id="")
        talk.produce("a", version=version, transactional_id=None)


def wrong_producer_id(talk: Talk) -> None:
    first = talk.init()
    wrong = (first[0] + 1_000_000, first[1])
    talk.add(0, producer=wrong)
    talk.add_offsets(producer=wrong)
    talk.end(True, producer=wrong)
    talk.write("a")
    talk.end(True, producer=wrong)
    for version in (9, 10, 11, 12):
        talk.produce("b", version=version, producer=wrong, sequence=0)
    talk.offsets(producer=wrong)
    talk.described()


def wrong_epoch(talk: Talk) -> None:
    talk.init()
    first = talk.init()
    for change in (-1, 1):
        wrong = (first[0], first[1] + change)
        for version in (0, 1, 2, 3, 4, 5):
            talk.add(0, producer=wrong, version=version)
        for version in (0, 1, 2, 3, 4):
            talk.add_offsets(producer=wrong, version=version)
        for version in (0, 1, 2, 3, 4, 5):
            talk.end(True, producer=wrong, version=version)
        for version in (3, 4, 5):
            talk.offsets(producer=wrong, version=version)
        for version in (9, 10, 11, 12):
            talk.produce("a", version=version, producer=wrong, sequence=0)
    talk.described()


def wrong_epoch_with_a_transaction_open(talk: Talk) -> None:
    talk.init()
    first = talk.init()
    talk.write("a")
    for change in (-1, 1):
        wrong = (first[0], first[1] + change)
        talk.add(1, producer=wrong)
        talk.end(True, producer=wrong)
        for version in (10, 11, 12):
            talk.produce("a", version=version, producer=wrong, sequence=1)
        for version in (10, 11, 12):
            talk.produce("a", version=version, producer=wrong, sequence=0)
    talk.seen()


def end_without_begin(talk: Talk) -> None:
    for commits in (True, False):
        talk.init()
        talk.end(commits)
        talk.described()


def end_twice(talk: Talk) -> None:
    for commits in (True, False):
        first = talk.init()
        talk.write("a")
        talk.end(commits, producer=first)
        talk.end(commits, producer=first)
        talk.described()
        talk.end(not commits, producer=first)
        talk.fetched()


def end_again_with_the_next_epoch(talk: Talk) -> None:
    for first, second in ((True, True), (True, False), (False, True), (False, False)):
        talk.init()
        talk.write("a")
        talk.end(first)
        talk.end(second)
        talk.described()
    talk.fetched()


def commit_then_abort(talk: Talk) -> None:
    first = talk.init()
    talk.write("a")
    talk.end(True, producer=first)
    talk.end(False, producer=first)
    talk.described()
    talk.fetched()


def ends_in_every_version(talk: Talk) -> None:
    for version in range(6):
        talk.init()
        talk.write("a")
        talk.end(True, version=version)
        talk.described()


def write_after_the_end(talk: Talk) -> None:
    first = talk.init()
    talk.write("a")
    talk.end(True, producer=first)
    for version in (9, 10, 11, 12):
        talk.produce("late", version=version, producer=first, sequence=1)
    talk.add(0, producer=first)
    talk.described()


def write_to_another_partition_after_the_end(talk: Talk) -> None:
    first = talk.init()
    talk.write("a")
    talk.end(True, producer=first)
    talk.produce("late", 1, version=12 if talk.second else 11, producer=first, sequence=0)
    talk.described()


def write_without_add(talk: Talk) -> None:
    for version in (3, 8, 9, 10, 11, 12):
        talk.init()
        talk.produce("a", version=version)
        talk.described()
        talk.fetched()


def write_elsewhere_without_add(talk: Talk) -> None:
    talk.init()
    talk.write("a")
    for version in (9, 10, 11, 12):
        talk.produce("b", 1, version=version, sequence=0)
        talk.described()


def add_unknown(talk: Talk) -> None:
    talk.init()
    for version in range(6):
        talk.add(0, topic="nothing-here", version=version)
        talk.add(0, 9, version=version)
    talk.described()
    talk.produce("a", 9, version=12)
    talk.produce("a", version=12, topic="nothing-here")
    talk.described()


def add_again(talk: Talk) -> None:
    talk.init()
    talk.add(0)
    talk.add(0)
    talk.add(1, 0)
    talk.described()
    talk.end(True)
    talk.seen()


def add_in_every_version(talk: Talk) -> None:
    for version in range(6):
        talk.init()
        talk.add(0, version=version)
        talk.described()
        talk.end(False)


def verify(talk: Talk) -> None:
    """AddPartitionsToTxn that only asks, as partition leaders do."""
    talk.init()
    for version in (4, 5):
        talk.add(0, version=version, verify_only=True)
    talk.add(0)
    for version in (4, 5):
        talk.add(0, 1, version=version, verify_only=True)
    talk.add(0, version=5, verify_only=True, producer=(talk.producer[0], talk.producer[1] + 1))
    talk.add(0, version=5, verify_only=True, producer=(talk.producer[0] + 1_000_000, talk.producer[1]))
    talk.add(0, version=5, verify_only=True, transactional_id="nobody")
    talk.described()


def nothing_written(talk: Talk) -> None:
    talk.init()
    talk.add(0, 1)
    talk.end(True)
    talk.fetched()
    talk.init()
    talk.add(0)
    talk.end(False)
    talk.seen()


def plain_record_of_a_transactional_producer(talk: Talk) -> None:
    talk.init()
    talk.produce("plain", version=11, transactional=False)
    talk.seen()
    talk.write("a")
    talk.produce("plain", version=11, transactional=False)
    talk.end(True)
    talk.seen()


def duplicates(talk: Talk) -> None:
    talk.init()
    for number in range(7):
        talk.write(f"v{number}", sequence=number)
    for number in range(7):
        talk.produce("again", version=12 if talk.second else 11, sequence=number)
    talk.end(True)
    talk.fetched()


def duplicate_after_the_end(talk: Talk) -> None:
    first = talk.init()
    talk.write("a")
    talk.end(True, producer=first)
    talk.produce("a", version=12 if talk.second else 11, producer=first, sequence=0)
    talk.fetched()


def gaps(talk: Talk) -> None:
    talk.init()
    talk.write("a", sequence=3)
    talk.write("a", sequence=0)
    talk.write("gap", sequence=2)
    talk.write("b", sequence=1)
    talk.write("back", sequence=5)
    talk.end(True)
    talk.write("c", sequence=9)
    talk.write("c", sequence=talk.sequences.get(0, 0))
    talk.end(True)
    talk.fetched()


def sequence_of_a_new_epoch(talk: Talk) -> None:
    talk.init()
    talk.write("a")
    talk.write("b")
    talk.init(talk.producer)
    talk.write("c", sequence=2)
    talk.write("c", sequence=1)
    talk.write("c", sequence=0)
    talk.end(True)
    talk.seen()


def idempotent(talk: Talk) -> None:
    """Sequences of a producer without transactions."""
    talk.init(transactional_id=None)
    facts: dict[str, Any] = {"version": 11, "transactional": False}
    talk.produce("a", "b", **facts)
    talk.produce("c", **facts)
    talk.produce("a", "b", sequence=0, **facts)
    talk.produce("a", sequence=0, **facts)
    talk.produce("b", "c", sequence=1, **facts)
    talk.produce("d", sequence=4, **facts)
    talk.produce("d", sequence=3, **facts)
    talk.produce("e", sequence=5, producer=(talk.producer[0], 1), **facts)
    talk.produce("e", sequence=0, producer=(talk.producer[0], 1), **facts)
    talk.produce("f", sequence=4, **facts)
    talk.produce("g", sequence=-1, **facts)
    talk.producers()
    talk.fetched()


def idempotent_in_the_middle(talk: Talk) -> None:
    """A partition that knows nothing of a producer takes any sequence of it."""
    talk.init(transactional_id=None)
    facts: dict[str, Any] = {"version": 11, "transactional": False}
    talk.produce("a", sequence=17, **facts)
    talk.produce("b", sequence=18, **facts)
    talk.produce("c", sequence=17, **facts)
    talk.produce("d", sequence=16, **facts)
    talk.produce("e", sequence=0, **facts)
    talk.producers()


def sequences_wrap(talk: Talk) -> None:
    talk.init(transactional_id=None)
    facts: dict[str, Any] = {"version": 11, "transactional": False}
    talk.produce("a", "b", sequence=LAST_SEQUENCE - 3, **facts)
    talk.produce("c", "d", "e", "f", sequence=LAST_SEQUENCE - 1, **facts)
    talk.produce("c", "d", "e", "f", sequence=LAST_SEQUENCE - 1, **facts)
    talk.produce("g", sequence=1, **facts)
    talk.produce("g", sequence=2, **facts)
    talk.producers()
    talk.fetched()


def sequences_wrap_exactly(talk: Talk) -> None:
    talk.init(transactional_id=None)
    facts: dict[str, Any] = {"version": 11, "transactional": False}
    talk.produce("a", sequence=LAST_SEQUENCE, **facts)
    talk.produce("b", sequence=1, **facts)
    talk.produce("b", sequence=0, **facts)
    talk.producers()


def records_deleted(talk: Talk) -> None:
    """A producer goes on after its records were deleted."""
    talk.init(transactional_id=None)
    facts: dict[str, Any] = {"version": 11, "transactional": False}
    talk.produce("a", "b", **facts)
    parts = [{"partition_index": 0, "offset": -1}]
    talk.client.ask(DELETE_RECORDS, 2, topics=[{"name": talk.topic, "partitions": parts}], timeout=10_000)
    talk.produce("c", sequence=5, **facts)
    talk.produce("c", sequence=2, **facts)
    talk.producers()
    talk.fetched()


def topic_deleted(talk: Talk) -> None:
    """A transaction ends although a partition of it is gone."""
    talk.init()
    talk.write("a")
    name = talk.topic
    answer = talk.client.ask(DELETE_TOPICS, 5, topic_names=[name], timeout=10_000)
    talk.note("deleted", int(answer.responses[0].error_code))
    talk.end(True)
    talk.described()


def offsets_commit(talk: Talk) -> None:
    talk.init()
    if not talk.second:
        talk.offsets()
        talk.add_offsets()
    talk.offsets(5)
    talk.described()
    talk.committed()
    talk.committed(stable=False)
    talk.committed(version=7)
    talk.offsets(6)
    talk.end(True)
    talk.committed()
    talk.described()


def offsets_abort(talk: Talk) -> None:
    talk.init()
    for commits in (True, False, False, True):
        if not talk.second:
            talk.add_offsets()
        talk.offsets(len(talk.notes))
        talk.committed()
        talk.end(commits)
        talk.committed()


def offsets_without_add(talk: Talk) -> None:
    for version in range(6):
        talk.init()
        talk.offsets(version=version)
        talk.described()
        talk.committed()
        talk.end(False)


def offsets_with_records(talk: Talk) -> None:
    talk.init()
    talk.write("a")
    if not talk.second:
        talk.add_offsets()
    talk.offsets(9)
    talk.described()
    talk.end(True)
    talk.committed()
    talk.fetched()


def offsets_and_init(talk: Talk) -> None:
    """Offsets of a producer that was replaced never count."""
    first = talk.init()
    if not talk.second:
        talk.add_offsets()
    talk.offsets(9)
    talk.init()
    talk.committed()
    talk.offsets(10, producer=first)
    talk.committed()


def offsets_and_plain_commits(talk: Talk) -> None:
    talk.init()
    for plain_last in (False, True):
        if plain_last:
            talk.write("z")
        if not talk.second:
            talk.add_offsets()
        if plain_last:
            talk.offsets(20)
        part = {"partition_index": 0, "committed_offset": 30 + plain_last, "committed_leader_epoch": -1}
        topics = [{"name": talk.topic, "partitions": [{**part, "committed_metadata": "p"}]}]
        asked = {"group_id": talk.group, "generation_id_or_member_epoch": -1, "member_id": "", "topics": topics}
        answer = talk.client.ask(OFFSET_COMMIT, 8, **asked)
        talk.note("plain commit", int(answer.topics[0].partitions[0].error_code))
        talk.committed()
        if not plain_last:
            talk.offsets(21)
        talk.committed(stable=False)
        talk.end(True)
        talk.committed()


def offsets_of_members(talk: Talk) -> None:
    talk.init()
    joining = {
        "group_id": talk.group,
        "session_timeout": 30_000,
        "rebalance_timeout": 30_000,
        "member_id": "",
        "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": encode_subscription([talk.topic])}],
    }
    member = talk.client.ask(JOIN, 3, **joining).member_id
    asked = {"group_id": talk.group, "generation_id": 1, "member_id": member}
    talk.client.ask(SYNC, 3, **asked, assignments=[{"member_id": member, "assignment": b"all"}])
    if not talk.second:
        talk.add_offsets()
    for generation, by in ((1, member), (2, member), (0, member), (1, "stranger"), (-1, ""), (1, "")):
        talk.offsets(generation_id=generation, member_id=by)
    talk.offsets(generation_id=1, member_id=member, group_instance_id="i")
    talk.end(True)
    talk.committed()


def offsets_of_nobody(talk: Talk) -> None:
    """A generation, but no such group."""
    talk.init()
    if not talk.second:
        talk.add_offsets()
    talk.offsets(generation_id=3, member_id="m")
    talk.offsets(group_id="")
    talk.offsets(topic="nothing-here")
    talk.described()
    talk.end(False)
    talk.committed()


def offsets_of_a_consumer_group(talk: Talk) -> None:
    talk.init()
    beat = {"subscribed_topic_names": [talk.topic], "rebalance_timeout": 30_000, "topic_partitions": []}
    talk.client.ask(CONSUMER_HEARTBEAT, 1, group_id=talk.group, member_id="m", member_epoch=0, **beat)
    if not talk.second:
        talk.add_offsets()
    for epoch, by in ((1, "m"), (0, "m"), (2, "m"), (1, "stranger"), (-1, "")):
        talk.offsets(generation_id=epoch, member_id=by)
    talk.end(True)
    talk.committed()


def timed_out(talk: Talk) -> None:
    """A transaction is aborted when it takes too long."""
    first = talk.init(timeout=1_500)
    talk.write("a")
    wait_for_state(talk, "CompleteAbort")
    talk.seen()
    talk.end(True, producer=first)
    talk.end(False, producer=first)
    talk.produce("late", version=12 if talk.second else 11, producer=first, sequence=1)
    talk.add(0, producer=first)
    talk.init(first)
    talk.init()
    talk.write("b")
    talk.end(True)
    talk.fetched()


def wait_for_state(talk: Talk, wanted: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while (state := talk.state().phase) != wanted:
        assert time.monotonic() < end, f"the transaction is {state}"
        time.sleep(0.02)


def the_other_protocol(talk: Talk) -> None:
    """A producer changes its protocol from transaction to transaction."""
    talk.init()
    for number in range(4):
        talk.write(f"v{number}", sequence=talk.sequences.get(0, 0))
        talk.end(number != 2)
        talk.described()
        talk.second = not talk.second
    talk.seen()


def add_in_one_end_in_the_other(talk: Talk) -> None:
    talk.init()
    talk.write("a")
    talk.end(True, version=4 if talk.second else 5)
    talk.described()
    talk.write("b")
    talk.end(False, version=4 if talk.second else 5)
    talk.seen()


def side_by_side(talk: Talk) -> None:
    """Producers of both protocols, in one partition."""
    other = Talk(talk.bootstrap, not talk.second)
    try:
        other.topic = talk.topic
        talk.named(talk.init()[0])
        talk.named(other.init()[0])
        for number in range(3):
            talk.write(f"v{number}")
            other.write(f"w{number}")
            talk.end(number != 1)
            talk.fetched()
            other.end(number != 0)
            talk.fetched()
        talk.notes.append(["the other", other.notes])
    finally:
        other.close()


def two_ids(talk: Talk) -> None:
    """Transactions of two ids do not touch each other."""
    other = Talk(talk.bootstrap, talk.second)
    try:
        talk.named(talk.init()[0])
        other.init()
        other.write("w")
        talk.write("v")
        talk.produce("stolen", version=12 if talk.second else 11, transactional_id=other.id, sequence=1)
        talk.produce("stolen", 1, version=12 if talk.second else 11, transactional_id=other.id, sequence=0)
        other.produce("stolen", version=12 if talk.second else 11, transactional_id=talk.id, sequence=1)
        talk.end(True)
        other.described()
        other.end(False)
        talk.notes.append(["the other", other.notes])
    finally:
        other.close()


def init_with_an_old_epoch_and_a_transaction_open(talk: Talk) -> None:
    first = talk.init()
    talk.init()
    talk.write("a")
    talk.init(first, patient=False)
    talk.settle()
    talk.described()
    talk.init(first, patient=False)
    talk.write("b", sequence=1)
    talk.end(True)
    talk.described()
    talk.fetched()


def last_epoch_init(talk: Talk) -> None:
    """After the last epoch comes another producer id."""
    old = talk.aged()
    talk.init()
    talk.described()
    talk.init(old)
    talk.write("a")
    talk.end(True)
    talk.seen()


def last_epoch_init_with_own_epoch(talk: Talk) -> None:
    old = talk.aged()
    talk.init(old)
    talk.init(old)
    talk.init((old[0], old[1] - 1))
    talk.described()


def last_epoch_end(talk: Talk) -> None:
    old = talk.aged()
    talk.write("a")
    talk.end(True)
    talk.described()
    talk.producers()
    talk.end(True, producer=old)
    talk.end(False, producer=old)
    talk.produce("late", version=12 if talk.second else 11, producer=old, sequence=1)
    talk.write("b")
    talk.end(False)
    talk.end(True, producer=old)
    talk.seen()


def last_epoch_nothing_to_abort(talk: Talk) -> None:
    old = talk.aged()
    talk.end(False)
    talk.described()
    talk.end(False, producer=old)
    talk.write("b")
    talk.end(True)
    talk.seen()


def last_epoch_init_with_a_transaction_open(talk: Talk) -> None:
    talk.aged()
    talk.write("a")
    talk.init(patient=False)
    talk.settle()
    talk.described()
    talk.init()
    talk.described()
    talk.fetched()
    talk.producers()


def markers(talk: Talk) -> None:
    """An administrator ends a transaction in one partition, of which the coordinator hears nothing."""
    talk.init()
    talk.write("a")
    talk.mark()
    talk.seen()
    talk.mark()
    talk.write("b")
    talk.mark(commit=True)
    talk.seen()
    talk.end(True)
    talk.seen()


def markers_of_other_epochs(talk: Talk) -> None:
    producer_id, epoch = talk.init()
    talk.write("a")
    talk.mark(producer=(producer_id, epoch + 1))
    talk.seen()
    talk.mark()
    talk.mark(producer=(producer_id, epoch + 2), coordinator_epoch=3)
    talk.mark(producer=(producer_id, epoch + 2), coordinator_epoch=2)
    talk.producers()


def markers_of_nobody(talk: Talk) -> None:
    """Neither the producer nor the partition need be known."""
    talk.init()
    talk.mark()
    talk.mark(number=7)
    talk.mark(topic="nothing-here")
    talk.seen()


CONVERSATIONS: Mapping[str, Callable[[Talk], None]] = {
    talk.__name__: talk
    for talk in (
        commit,
        abort,
        two_partitions,
        several_in_a_row,
        fetch_from_each_offset,
        open_behind_committed,
        init_twice,
        init_with_a_transaction_open,
        init_with_own_epoch,
        init_with_own_epoch_and_a_transaction_open,
        init_with_what_is_not_its_own,
        init_after_the_end,
        init_in_every_version,
        init_refused,
        init_idempotent,
        timeouts_change,
        nothing_known,
        empty_ids,
        wrong_producer_id,
        wrong_epoch,
        wrong_epoch_with_a_transaction_open,
        end_without_begin,
        end_twice,
        end_again_with_the_next_epoch,
        commit_then_abort,
        ends_in_every_version,
        write_after_the_end,
        write_to_another_partition_after_the_end,
        write_without_add,
        write_elsewhere_without_add,
        add_unknown,
        add_again,
        add_in_every_version,
        verify,
        nothing_written,
        plain_record_of_a_transactional_producer,
        duplicates,
        duplicate_after_the_end,
        gaps,
        sequence_of_a_new_epoch,
        idempotent,
        idempotent_in_the_middle,
        sequences_wrap,
        sequences_wrap_exactly,
        records_deleted,
        topic_deleted,
        offsets_commit,
        offsets_abort,
        offsets_without_add,
        offsets_with_records,
        offsets_and_init,
        offsets_and_plain_commits,
        offsets_of_members,
        offsets_of_nobody,
        offsets_of_a_consumer_group,
        timed_out,
        the_other_protocol,
        add_in_one_end_in_the_other,
        side_by_side,
        two_ids,
        init_with_an_old_epoch_and_a_transaction_open,
        last_epoch_init,
        last_epoch_init_with_own_epoch,
        last_epoch_end,
        last_epoch_nothing_to_abort,
        last_epoch_init_with_a_transaction_open,
        markers,
        markers_of_other_epochs,
        markers_of_nobody,
    )
}
NAMES = [f"{name}, protocol {version}" for name in CONVERSATIONS for version in (1, 2)]
"""Every conversation is held in both protocols."""


def ready(bootstrap: str) -> None:
    """Wait until the broker coordinates transactions and groups; the first of each make it create its logs."""
    asked = {"transactional_id": "first", "transaction_timeout": 60_000, "producer_id": -1, "producer_epoch": -1}
    groups = [{"group_id": "first", "topics": None}]
    with RawClient(bootstrap) as client:
        for kind in (0, 1):
            client.ask(FIND_COORDINATOR, 4, key_type=kind, coordinator_keys=["first"])
        _until_known(lambda: client.ask(INIT, 4, **asked).error_code)
        _until_known(lambda: client.ask(OFFSET_FETCH, 8, groups=groups).groups[0].error_code)


def _until_known(ask: Callable[[], int]) -> None:
    end = time.monotonic() + DEADLINE_S
    while (code := int(ask())) in TRY_AGAIN:
        assert time.monotonic() < end, f"no coordinator: {code}"
        time.sleep(0.05)


def held(bootstrap: str, name: str, age: Callable[[str], None] | None = None) -> list[Any]:
    """What was noted in a conversation with a broker."""
    which, version = name.split(", protocol ")
    talk = Talk(bootstrap, version == "2", age)
    try:
        CONVERSATIONS[which](talk)
    finally:
        talk.close()
    noted: list[Any] = json.loads(json.dumps(talk.notes))
    return noted


def main(bootstrap: str, names: Iterable[str]) -> None:
    ready(bootstrap)
    recorded = {name: held(bootstrap, name) for name in NAMES if not names or name.split(",")[0] in names}
    pieces = []
    for name, notes in recorded.items():
        lines = ",\n ".join(json.dumps(note) for note in notes)
        pieces.append(f"{json.dumps(name)}: [\n {lines}\n]")
    print("{\n" + ",\n".join(pieces) + "\n}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
