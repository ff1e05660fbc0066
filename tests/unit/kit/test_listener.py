"""Every event takes effect once, in order, and what cannot be taken stands in nobody's way."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncline.errors import ConfigError, ConnectError, DataError, RetriableError
from syncline.ids import TopicPartition
from syncline.kafka.ports import KafkaRecord
from syncline.kit.db import Database
from syncline.kit.errors import DatabaseUnavailable
from syncline.kit.messages import Backoff, Received
from syncline.kit.messages.inbox import stored_id
from syncline.testing.kafka import MemoryKafka
from tests.servers import wait_for
from tests.unit.kit.listening import GROUP, LETTERS, SAID, TABLES, Ears, Said


@pytest.fixture
async def ears(tmp_path: Path) -> AsyncIterator[Ears]:
    async with Database(f"sqlite:///{tmp_path / 'ears.db'}", TABLES) as database:
        yield Ears(MemoryKafka(auto_create=2), database)


def said(*names: str) -> list[bytes]:
    return [b'{"name":"%s"}' % name.encode() for name in names]


def headers(record: KafkaRecord) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in record.headers or ()}


async def test_events_are_heard_in_order_and_counted_as_read(ears: Ears) -> None:
    ears.kafka.produce("said", *said("a", "b", "c"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(3)
    assert ears.heard() == ["a", "b", "c"]


async def test_what_was_read_is_committed_at_the_end_at_the_latest(ears: Ears) -> None:
    ears.kafka.produce("said", *said("a", "b"))
    async with ears.listener(commit_seconds=3600):
        wait_for(lambda: ears.heard() == ["a", "b"], "both")
        assert ears.committed() is None
    assert ears.committed() == 2
    async with ears.listener(commit_seconds=0):
        ears.kafka.produce("said", *said("c"))
        ears.until_committed(3)
    assert ears.tried == ["a", "b", "c"]


async def test_a_partition_nobody_read_gets_a_committed_offset(ears: Ears) -> None:
    ears.kafka.topic("said")
    async with ears.listener(commit_seconds=0):
        ears.until_committed(0, partition=1)


async def test_an_event_that_comes_again_has_no_effect(ears: Ears) -> None:
    event = b'{"name":"a","id":"e-1"}'
    ears.kafka.produce("said", *[event] * 5)
    ears.kafka.produce("said", event, partition=1)
    async with ears.listener(commit_seconds=0):
        ears.until_committed(5)
        ears.until_committed(1, partition=1)
    assert ears.heard() == ["a"]


async def test_the_header_names_the_event_before_its_own_members_do(ears: Ears) -> None:
    for number, name in enumerate(["a", "b", "c"]):
        given = [("event_id", f"e-{number // 2}".encode())]
        ears.kafka.append("said", None, b'{"name":"%s","id":"same"}' % name.encode(), partition=0, headers=given)
    async with ears.listener(commit_seconds=0):
        ears.until_committed(3)
    assert ears.heard() == ["a", "c"]


async def test_events_without_any_id_are_told_apart_by_their_place(ears: Ears) -> None:
    ears.kafka.produce("said", *said("a", "a"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    assert ears.heard() == ["a", "a"]


@pytest.mark.parametrize(
    "poison",
    [b"not json", b'""', b"", None, b"{}", b"\xff\xfe", b'{"name":7}', b"[" * 100_000],
    ids=lambda v: repr(v)[:20],
)
async def test_a_record_that_is_no_event_is_a_dead_letter_at_once(ears: Ears, poison: bytes | None) -> None:
    ears.kafka.append("said", b"k", poison, partition=0, timestamp=17, headers=[("x", b"\xff")])
    ears.kafka.produce("said", *said("good"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    assert ears.heard() == ["good"]
    (letter,) = ears.kafka.read(LETTERS)
    assert (letter.key, letter.value, letter.timestamp) == (b"k", poison, 17)
    assert letter.headers is not None
    assert letter.headers[0] == ("x", b"\xff")
    about = headers(letter_without_first(letter))
    assert about["dlt-original-topic"] == "said"
    assert about["dlt-original-partition"] == about["dlt-original-offset"] == "0"
    assert about["dlt-original-timestamp"] == "17"
    assert about["dlt-group"] == GROUP
    assert about["dlt-attempts"] == "1"
    assert about["dlt-exception-class"] == "syncline.errors.DataError"
    assert "Said" in about["dlt-exception-message"]
    assert "DataError" in about["dlt-exception-trace"]
    assert about["dlt-first-failure"].endswith("Z")


def letter_without_first(letter: KafkaRecord) -> KafkaRecord:
    assert letter.headers is not None
    return KafkaRecord(letter.topic, letter.partition, letter.offset, letter.stamp, None, None, letter.headers[1:])


async def test_a_handler_that_refuses_an_event_leaves_nothing_but_a_dead_letter(ears: Ears) -> None:
    def refuse(event: Received[Said]) -> None:
        if event.value.name == "bad":
            raise DataError("no such thing")

    ears.fails = refuse
    ears.kafka.produce("said", *said("bad", "good"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    assert ears.heard() == ["good"]
    assert ears.tried == ["bad", "good"]
    assert headers(ears.kafka.read(LETTERS)[0])["dlt-exception-message"] == "no such thing"


async def test_a_handler_with_an_error_of_its_own_gets_its_attempts_and_then_a_dead_letter(ears: Ears) -> None:
    def stumble(event: Received[Said]) -> None:
        if event.value.name == "bad":
            raise ZeroDivisionError("oops")

    ears.fails = stumble
    ears.kafka.produce("said", *said("bad", "next"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    assert ears.tried == ["bad", "bad", "bad", "next"]
    assert ears.heard() == ["next"]
    about = headers(ears.kafka.read(LETTERS)[0])
    assert (about["dlt-attempts"], about["dlt-exception-class"]) == ("3", "builtins.ZeroDivisionError")


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), RetriableError("later")])
async def test_what_may_succeed_later_is_tried_until_it_does(ears: Ears, error: Exception) -> None:
    def fail_often(event: Received[Said]) -> None:
        if event.value.name == "a" and ears.tried.count("a") < 10:
            raise error

    ears.fails = fail_often
    ears.kafka.produce("said", *said("a", "b"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    assert ears.heard() == ["a", "b"]
    assert ears.tried == ["a"] * 10 + ["b"]
    assert ears.kafka.read(LETTERS) == []


async def test_while_a_record_waits_other_partitions_go_on_and_its_own_keeps_its_order(ears: Ears) -> None:
    free = threading.Event()

    def hold(event: Received[Said]) -> None:
        if event.value.name == "stuck" and not free.is_set():
            raise RetriableError("later")

    ears.fails = hold
    ears.kafka.produce("said", *said("stuck", "behind"))
    async with ears.listener(commit_seconds=0):
        wait_for(lambda: ears.tried.count("stuck") > 2, "attempts")
        ears.kafka.produce("said", *said("other"), partition=1)
        ears.kafka.produce("said", *said("last"))
        ears.until_committed(1, partition=1)
        assert ears.heard() == ["other"]
        assert ears.committed() == 0
        free.set()
        ears.until_committed(3)
    assert ears.heard() == ["other", "stuck", "behind", "last"]


async def test_a_dead_letter_that_cannot_be_sent_keeps_its_record(ears: Ears) -> None:
    refused: list[bytes | None] = []

    def refuse(topic: str, value: bytes | None) -> Exception | None:
        if topic == LETTERS and len(refused) < 3:
            refused.append(value)
            return ConnectError("no")
        return None

    ears.kafka.refuse_records = refuse
    ears.kafka.produce("said", b"poison", *said("good"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    assert len(refused) == 3
    assert len(ears.kafka.read(LETTERS)) == 1
    assert ears.heard() == ["good"]


async def test_a_stop_finishes_the_record_at_hand_and_no_other(ears: Ears) -> None:
    going_on = threading.Event()

    def take_time(_: Received[Said]) -> None:
        going_on.wait(10)

    ears.fails = take_time
    ears.kafka.produce("said", *said("a", "b"))
    listener = ears.listener(commit_seconds=3600)
    listener.start()
    assert ears.inside.wait(10)
    stopping = threading.Thread(target=listener.stop)
    stopping.start()
    going_on.set()
    stopping.join()
    assert ears.tried[0] == "a"
    assert ears.heard() == ears.tried
    assert ears.committed() == len(ears.tried)


async def test_offsets_are_committed_before_partitions_go_elsewhere(ears: Ears) -> None:
    ears.kafka.produce("said", *said("a"))
    async with ears.listener(commit_seconds=3600):
        wait_for(lambda: ears.heard() == ["a"], "a")
        ears.kafka.rebalance(GROUP)
        ears.until_committed(1)
        ears.kafka.produce("said", *said("b"))
        wait_for(lambda: ears.heard() == ["a", "b"], "b")
    assert ears.tried == ["a", "b"]


async def test_after_partitions_were_lost_a_repeat_has_no_effect(ears: Ears) -> None:
    ears.kafka.produce("said", *said("a", "b"))
    async with ears.listener(commit_seconds=3600):
        wait_for(lambda: ears.heard() == ["a", "b"], "both")
        ears.kafka.expel(GROUP)
        ears.kafka.produce("said", *said("c"))
        wait_for(lambda: len(ears.heard()) == 3, "c")
    # It may have stopped while it was hearing them again.
    async with ears.listener(commit_seconds=0):
        ears.until_committed(3)
    assert ears.heard() == ["a", "b", "c"]


async def test_a_commit_that_fails_is_made_good(ears: Ears) -> None:
    ears.kafka.refuse_commits = RetriableError("not now")
    ears.kafka.produce("said", *said("a"))
    async with ears.listener(commit_seconds=0):
        wait_for(lambda: ears.heard() == ["a"], "a")
        ears.kafka.refuse_commits = None
        ears.until_committed(1)


async def test_a_cluster_that_refuses_is_asked_again(ears: Ears) -> None:
    ears.kafka = MemoryKafka(auto_create=0)
    ears.kafka.refuse_topics = ConnectError("no")
    async with ears.listener(commit_seconds=0) as listener:
        wait_for(lambda: len(ears.kafka.made) > 2, "another try")
        await listener.check()
        ears.kafka.refuse_topics = None
        wait_for(lambda: ears.kafka.topic("said"), "the topic")
        ears.kafka.produce("said", *said("a"))
        wait_for(lambda: ears.heard() == ["a"], "a")


def test_a_group_named_like_a_broker_is_refused(tmp_path: Path) -> None:
    ears = Ears(MemoryKafka(), Database(f"sqlite:///{tmp_path / 'x.db'}", TABLES))
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9092 looks like a broker's address"):
        ears.listener(group="127.0.0.1:9092")


def test_pauses_double_up_to_a_ceiling_and_spread() -> None:
    plain = Backoff(first=0.2, cap=30, jitter=False)
    assert [plain.pause(n) for n in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, 1.6]
    assert plain.pause(9) == plain.pause(10_000) == 30
    spread = {Backoff(first=1).pause(1) for _ in range(50)}
    assert all(0.5 <= pause <= 1 for pause in spread)
    assert len(spread) > 1


def test_an_events_headers_say_what_it_is() -> None:
    made = SAID.headers(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), trace_id="ab" * 16)
    assert made["event_type"] == "Said"
    assert made["schema_version"] == "1"
    assert made["occurred_at"] == "2026-01-01T00:00:00.000Z"
    assert made["traceparent"].startswith("00-" + "ab" * 16)
    assert len(made["event_id"]) == 36


async def test_a_database_that_is_new_gets_all_events_again(ears: Ears, tmp_path: Path) -> None:
    ears.kafka.produce("said", *said("a", "b"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    async with Database(f"sqlite:///{tmp_path / 'new.db'}", TABLES) as database:
        ears.database = database
        async with ears.listener(commit_seconds=0):
            wait_for(lambda: ears.heard() == ["a", "b"], "both again")


async def test_a_group_that_was_set_back_reads_again_without_effect(ears: Ears) -> None:
    ears.kafka.produce("said", *said("a", "b"))
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    ears.kafka.admin({}).alter_group_offsets(GROUP, {TopicPartition("said", 0): 0})
    async with ears.listener(commit_seconds=0):
        ears.until_committed(2)
    assert ears.heard() == ["a", "b"]
    assert ears.tried == ["a", "b"]


@pytest.mark.parametrize("given", ["a", "x" * 200, "a b", "!"])
def test_a_plain_event_id_is_stored_as_it_is(given: str) -> None:
    assert stored_id(given) == given


@pytest.mark.parametrize("given", ["x" * 201, "a ", " a", "é", "a\0", "\ud800", ""])
def test_any_other_event_id_is_stored_as_its_digest(given: str) -> None:
    assert stored_id(given).startswith("sha256:")
    assert len(stored_id(given)) == 71
