"""What retention and compaction take out of a log, and that a crash in the middle loses nothing else."""

from __future__ import annotations

import contextlib
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.broker import BrokerThread
from syncline.broker.cleaner import Cleaning, Rules, Uncleanable, job_for
from syncline.broker.errors import INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError
from syncline.broker.log import PartitionLog
from syncline.broker.records import (
    ABORT,
    COMMIT,
    CRC_FROM,
    HEADER_SIZE,
    Record,
    batch_at,
    checked_batches,
    make_batch,
    records_of,
)
from syncline.broker.records import Producer as Writer
from tests.integration.broker.raw import RawClient
from tests.servers import wait_for

DAY = 86_400_000
NOW = 10 * DAY
RULES = Rules(delete_retention=DAY, min_lag=0, max_lag=2**63 - 1, dirty_ratio=0.0, segment_bytes=1 << 20)


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[PartitionLog]:
    made = PartitionLog(tmp_path / "t-0", segment_bytes=200)
    yield made
    if not made.closed:
        made.close()


def put(log: PartitionLog, key: str | None, value: str | None, now: int = NOW - DAY) -> int:
    encoded = None if key is None else key.encode()
    return log.append_records([(encoded, None if value is None else value.encode())], now)


def clean(log: PartitionLog, cleaned_to: int = 0, now: int = NOW, rules: Rules = RULES) -> int:
    """What the broker does, without a thread."""
    job = job_for(log, cleaned_to, rules, now)
    if job is None:
        return cleaned_to
    cleaning = Cleaning(job)
    try:
        for group, made, aborted in cleaning.run():
            assert log.replace(group, made, aborted)
    finally:
        cleaning.close()
    return cleaning.end


def found(log: PartitionLog) -> list[tuple[int, str | None, str | None]]:
    return [
        (r.offset, None if r.key is None else r.key.decode(), None if r.value is None else r.value.decode())
        for r in log.records()
    ]


def readable(log: PartitionLog) -> list[Record]:
    """What a consumer that reads committed records only gets, through the log's answers to fetches."""
    position, kept = log.start_offset, []
    open_aborts: set[int] = set()
    aborted = sorted(log.producers.aborted, key=lambda each: each.first_offset)
    while data := log.read(position, 1 << 20, log.last_stable_offset):
        at = 0
        while at < len(data):
            batch = batch_at(data, at)
            at += batch.size
            position = batch.next_offset
            while aborted and aborted[0].first_offset <= batch.last_offset:
                open_aborts.add(aborted.pop(0).producer_id)
            if batch.control:
                open_aborts.discard(batch.producer_id)
            elif not (batch.transactional and batch.producer_id in open_aborts):
                kept += [record for record in records_of(data, batch) if record.offset >= log.start_offset]
    return kept


# -- compaction ------------------------------------------------------------------------------


def test_the_last_record_of_each_key_stays_where_it_was(partition: PartitionLog) -> None:
    for number in range(30):
        put(partition, f"k{number % 4}", f"v{number}")
    partition.roll()
    before = partition.size
    assert clean(partition) == 30
    assert found(partition) == [(n, f"k{n % 4}", f"v{n}") for n in range(26, 30)]
    assert partition.size < before
    assert (partition.start_offset, partition.end_offset) == (0, 30)
    put(partition, "k0", "newer")
    assert [offset for offset, *_ in found(partition)] == [26, 27, 28, 29, 30]


def test_what_is_not_sealed_or_too_young_or_undecided_is_left_alone(partition: PartitionLog) -> None:
    put(partition, "a", "1")
    put(partition, "a", "2")
    assert clean(partition) == 0
    partition.roll()
    young = Rules(DAY, 3 * DAY, 2**63 - 1, 0.0, 1 << 20)
    assert clean(partition, rules=young) == 0
    transactional(partition, 7, 0, "a", "3")
    partition.roll()
    assert clean(partition) == 2
    assert [value for _, _, value in found(partition)] == ["2", "3"]


def test_a_log_is_cleaned_when_enough_of_it_is_dirty_or_some_is_overdue(partition: PartitionLog) -> None:
    for number in range(40):
        put(partition, f"k{number}", "v")
    partition.roll()
    cleaned_to = clean(partition)
    put(partition, "k1", "w")
    partition.roll()
    half = Rules(DAY, 0, 2**63 - 1, 0.5, 1 << 20)
    assert job_for(partition, cleaned_to, half, NOW) is None
    assert job_for(partition, cleaned_to, Rules(DAY, 0, DAY // 2, 0.5, 1 << 20), NOW) is not None


def test_a_tombstone_stays_for_its_time_from_the_first_cleaning_on(partition: PartitionLog) -> None:
    put(partition, "a", "1")
    put(partition, "b", "1")
    put(partition, "a", None)
    partition.roll()
    cleaned_to = clean(partition)
    assert found(partition) == [(1, "b", "1"), (2, "a", None)]
    times = [record.timestamp for record in partition.records()]
    assert times == [NOW - DAY] * 2
    put(partition, "c", "1")
    partition.roll()
    cleaned_to = clean(partition, cleaned_to, NOW + DAY - 1)
    assert (2, "a", None) in found(partition)
    put(partition, "d", "1")
    partition.roll()
    clean(partition, cleaned_to, NOW + DAY + 1)
    assert found(partition) == [(1, "b", "1"), (3, "c", "1"), (4, "d", "1")]


def test_records_without_a_key_go(partition: PartitionLog) -> None:
    put(partition, None, "lost")
    put(partition, "a", "1")
    partition.roll()
    clean(partition)
    assert found(partition) == [(1, "a", "1")]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_are_taken_apart_and_stay_readable(tmp_path: Path, codec: str) -> None:
    settings = {"log.cleaner.backoff.ms": "20", "log.cleaner.min.cleanable.ratio": "0.01"}
    with BrokerThread(tmp_path, settings=settings) as broker:
        address = broker.bootstrap_servers
        topic = NewTopic("compacted", 1, config={"cleanup.policy": "compact", "internal.segment.bytes": "2000"})
        admin = AdminClient({"bootstrap.servers": address})
        admin.create_topics([topic])["compacted"].result(10)
        producer = Producer({"bootstrap.servers": address, "compression.type": codec, "linger.ms": 50})
        for number in range(500):
            producer.produce("compacted", f"v{number}" * 3, f"k{number % 10}")
            if number % 50 == 49:
                producer.flush()
        consumer = Consumer({"bootstrap.servers": address, "group.id": "g", "enable.partition.eof": True})

        def values() -> list[tuple[bytes | None, bytes | None]]:
            consumer.assign([TopicPartition("compacted", 0, 0)])
            seen = []
            while (message := consumer.poll(10)) is not None and message.error() is None:
                seen.append((message.key(), message.value()))
            return seen

        def compacted() -> bool:
            producer.produce("compacted", "x", "filler")
            producer.flush()
            return len(values()) < 150

        try:
            wait_for(compacted, "the topic is compacted", 30)
            latest = dict(values())
        finally:
            consumer.close()
        assert {key: value for key, value in latest.items() if key != b"filler"} == {
            f"k{number % 10}".encode(): (f"v{number}" * 3).encode() for number in range(490, 500)
        }


# -- transactions ----------------------------------------------------------------------------


def transactional(log: PartitionLog, producer: int, sequence: int, key: str, value: str) -> None:
    data = make_batch(
        [(key.encode(), value.encode())], NOW - DAY, producer=Writer(producer, 0, sequence), transactional=True
    )
    log.append(data, checked_batches(data))


def test_an_aborted_transaction_leaves_nothing_and_hides_nothing(partition: PartitionLog) -> None:
    put(partition, "a", "kept")
    transactional(partition, 7, 0, "a", "aborted")
    partition.append_marker(7, 0, ABORT, NOW - DAY)
    transactional(partition, 7, 1, "b", "committed")
    partition.append_marker(7, 0, COMMIT, NOW - DAY)
    partition.roll()
    cleaned_to = clean(partition)
    expected = [(b"a", b"kept"), (b"b", b"committed")]
    assert [(r.key, r.value) for r in readable(partition)] == expected
    # Once its marker has gone as well, the transaction must not be listed as aborted any more.
    put(partition, "c", "1")
    partition.roll()
    clean(partition, cleaned_to, NOW + 2 * DAY)
    assert partition.producers.aborted == []
    assert [(r.key, r.value) for r in readable(partition)] == [*expected, (b"c", b"1")]
    partition.close()
    again = PartitionLog(partition.folder, segment_bytes=200)
    assert again.producers.aborted == []
    assert [(r.key, r.value) for r in readable(again)] == [*expected, (b"c", b"1")]
    again.close()


# -- producers ------------------------------------------------------------------------------


def idempotent(log: PartitionLog, producer: int, sequence: int, key: str, value: str) -> None:
    data = make_batch([(key.encode(), value.encode())], NOW - DAY, producer=Writer(producer, 0, sequence))
    log.append(data, checked_batches(data))


def reopened_without_what_lies_beside(log: PartitionLog) -> PartitionLog:
    """The log after a restart that found nothing but the batches."""
    log.close()
    for path in log.folder.iterdir():
        if path.suffix != ".log":
            path.unlink()
    return PartitionLog(log.folder, segment_bytes=log.segment_bytes)


def known(log: PartitionLog) -> dict[int, tuple[int, int]]:
    """What is known of each producer: epoch and last sequence."""
    return {producer: (entry.epoch, entry.last_sequence) for producer, entry in log.producers.entries.items()}


def test_the_last_batch_of_a_producer_stays_and_tells_its_sequence(partition: PartitionLog) -> None:
    for sequence in range(4):
        idempotent(partition, 7, sequence, "a", f"v{sequence}")
    put(partition, "a", "last")
    partition.roll()
    cleaned_to = clean(partition)
    assert found(partition) == [(4, "a", "last")]
    kept = [batch for batch, _ in partition.batches()]
    assert [(batch.base_offset, batch.records) for batch in kept] == [(3, 0), (4, 1)]
    again = reopened_without_what_lies_beside(partition)
    with pytest.raises(KafkaError) as refused:
        idempotent_check(again, 6)
    assert refused.value.code == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert idempotent_check(again, 3), "a repetition"
    assert not idempotent_check(again, 4)
    assert again.newest_time() == (4, NOW - DAY)
    again.producers.expire(NOW)
    put(again, "b", "1")
    again.roll()
    clean(again, cleaned_to)
    assert [batch.base_offset for batch, _ in again.batches()] == [4, 5]
    again.close()


def idempotent_check(log: PartitionLog, sequence: int) -> bool:
    """Whether the batch is one that is there already; KafkaError when its sequence cannot be."""
    data = make_batch([(b"a", b"v")], NOW, producer=Writer(7, 0, sequence))
    return log.producers.check(checked_batches(data)[0]) is not None


def test_the_marker_of_a_producer_that_has_nothing_else_stays_and_tells_its_epoch(partition: PartitionLog) -> None:
    transactional(partition, 7, 0, "a", "1")
    partition.append_marker(7, 1, COMMIT, NOW - DAY)
    put(partition, "a", "last")
    partition.roll()
    cleaned_to = clean(partition)
    put(partition, "b", "1")
    partition.roll()
    clean(partition, cleaned_to, NOW + 2 * DAY)
    assert [batch.base_offset for batch, _ in partition.batches()] == [1, 2, 3]
    again = reopened_without_what_lies_beside(partition)
    with pytest.raises(KafkaError) as refused:
        again.append_marker(7, 0, COMMIT, NOW)
    assert refused.value.code == INVALID_PRODUCER_EPOCH
    assert again.last_stable_offset == again.end_offset
    again.close()


def test_clients_read_over_batches_that_were_emptied(tmp_path: Path) -> None:
    settings = {"log.cleaner.backoff.ms": "20", "log.cleaner.min.cleanable.ratio": "0.01"}
    with BrokerThread(tmp_path, settings=settings) as broker:
        address = broker.bootstrap_servers
        broker.create_topic("compacted", 1, {"cleanup.policy": "compact", "internal.segment.bytes": "1000"})
        plain = Producer({"bootstrap.servers": address})
        for number in range(10):
            producer = Producer({"bootstrap.servers": address, "enable.idempotence": True})
            producer.produce("compacted", f"v{number}", "k")
            assert producer.flush(30) == 0
        plain.produce("compacted", "last", "k")
        assert plain.flush(30) == 0
        partition = broker.broker.topics.partition("compacted", 0)
        consumer = Consumer({"bootstrap.servers": address, "group.id": "g", "enable.partition.eof": True})

        def values() -> list[bytes | None]:
            consumer.assign([TopicPartition("compacted", 0, 0)])
            seen = []
            while (message := consumer.poll(10)) is not None and message.error() is None:
                if message.key() == b"k":
                    seen.append(message.value())
            return seen

        def cleaned() -> bool:
            plain.produce("compacted", "x" * 400, "filler")
            assert plain.flush(30) == 0
            return partition.cleaned_to > 10

        try:
            wait_for(cleaned, "the topic is compacted", 30)
            assert values() == [b"last"]
        finally:
            consumer.close()
    with BrokerThread(tmp_path) as again:
        emptied = [batch for batch, _ in again.broker.topics.partition("compacted", 0).batches() if not batch.records]
        assert len(emptied) == 10


# -- crashes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(8))
def test_a_crash_in_the_middle_of_a_swap_leaves_the_old_or_the_new(
    partition: PartitionLog, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        put(partition, f"k{number % 4}", f"v{number}")
    partition.roll()
    old, new = found(partition), [(n, f"k{n % 4}", f"v{n}") for n in range(26, 30)]
    calls = 0

    def crashing(name: str) -> None:
        real = getattr(Path, name)

        def call(self: Path, *args: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls > step * 4:
                raise KeyboardInterrupt
            return real(self, *args, **more)

        monkeypatch.setattr(Path, name, call)

    crashing("replace")
    crashing("unlink")
    with contextlib.suppress(KeyboardInterrupt):
        clean(partition)
    monkeypatch.undo()
    shutil.copytree(partition.folder, tmp_path / "copy-0")
    again = PartitionLog(tmp_path / "copy-0", segment_bytes=200)
    assert found(again) in (old, new)
    assert (again.start_offset, again.end_offset) == (0, 30)
    assert not [path for path in again.folder.iterdir() if path.suffix in (".cleaned", ".swap", ".tmp")]
    again.close()


# -- what cannot be read ---------------------------------------------------------------------


def unreadable(data: bytes) -> bytes:
    """A batch of three records, in the second of which the value is longer than the record; its checksum holds."""
    size = (len(data) - HEADER_SIZE) // 3
    made = bytearray(data)
    made[HEADER_SIZE + 2 * size - 7] = 0x7E
    struct.pack_into(">I", made, 17, crc32c(bytes(made[CRC_FROM:])))
    return bytes(made)


def test_a_log_that_cannot_be_read_is_left_alone_and_no_other_suffers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick = {"log.cleaner.backoff.ms": "50", "log.retention.check.interval.ms": "50"}
    small = {"internal.segment.bytes": "200", "min.cleanable.dirty.ratio": "0"}
    batch = unreadable(make_batch([(b"k", b"value")] * 3, NOW))
    topics = {
        "bad": {**small, "retention.ms": "-1"},
        "good": {**small, "cleanup.policy": "compact"},
        "old": {**small, "retention.ms": "1"},
    }
    with BrokerThread(tmp_path, settings=quick) as thread, RawClient(thread.bootstrap_servers) as client:
        for topic, configs in topics.items():
            thread.create_topic(topic, 1, configs)
        # Not compacted yet, so that nobody looks at each of its records; then it is.
        for _ in range(3):
            part = {"index": 0, "records": batch}
            asked = [{"name": "bad", "partition_data": [part]}]
            answer = client.ask(0, 9, transactional_id=None, acks=-1, timeout=1000, topic_data=asked)
            assert answer.responses[0].partition_responses[0].error_code == 0
        compact = {"name": "cleanup.policy", "config_operation": 0, "value": "compact"}
        client.ask(
            44, 1, resources=[{"resource_type": 2, "resource_name": "bad", "configs": [compact]}], validate_only=False
        )
        bad, good, old = (thread.broker.topics.partition(topic, 0) for topic in topics)
        wait_for(lambda: bad.uncleanable, "the log to be given up")
        producer = Producer({"bootstrap.servers": thread.bootstrap_servers, "linger.ms": 0})
        for topic in ("good", "old"):
            for number in range(4):
                producer.produce(topic, b"%d" % number * 100, b"k")
                assert producer.flush(10) == 0
        wait_for(lambda: good.cleaned_to > 0, "another log to be compacted")
        wait_for(lambda: old.start_offset > 0, "another log to lose what is old")
        assert bad.end_offset == 9
        assert not good.uncleanable
    assert [record.getMessage() for record in caplog.records if record.name == "syncline.broker.cleaner"] == [
        "bad-0 is not compacted any more until the next start: the batch of offset 0 cannot be read: index out of range"
    ]


def test_a_flipped_bit_is_not_given_a_new_checksum(partition: PartitionLog) -> None:
    for number in range(3):
        put(partition, "k", f"{number}" * 150)
    path = partition.sealed[0].path
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(Uncleanable, match="the batch of offset 0 does not match its checksum"):
        clean(partition)
    assert path.read_bytes() == data


# -- retention -------------------------------------------------------------------------------


def test_segments_beyond_the_time_go_and_the_newest_too_when_all_of_it_is_old(partition: PartitionLog) -> None:
    put(partition, "a", "x" * 150, NOW - 3 * DAY)
    put(partition, "b", "x" * 150, NOW - 2 * DAY)
    put(partition, "c", "x" * 150, NOW)
    limits = {"retention_ms": DAY, "retention_bytes": -1}
    assert partition.expire(**limits, now_ms=NOW)
    assert [key for _, key, _ in found(partition)] == ["c"]
    assert partition.start_offset == 2
    assert not partition.expire(**limits, now_ms=NOW)
    assert partition.expire(**limits, now_ms=NOW + 2 * DAY)
    assert found(partition) == []
    assert (partition.start_offset, partition.end_offset) == (3, 3)


def test_segments_beyond_the_size_go_but_never_more_than_that(partition: PartitionLog) -> None:
    for number in range(10):
        put(partition, "k", f"{number}" * 150)
    one = partition.sealed[0].size
    assert partition.expire(retention_ms=-1, retention_bytes=3 * one + 1, now_ms=NOW)
    assert len(found(partition)) == 4
    assert not partition.expire(retention_ms=-1, retention_bytes=3 * one + 1, now_ms=NOW)


def test_a_segment_spans_no_more_time_than_it_may_by_the_records_times(tmp_path: Path) -> None:
    partition = PartitionLog(tmp_path / "t-0", segment_ms=DAY)
    for now in (NOW, NOW - 3 * DAY, NOW + DAY, NOW + DAY + 1, NOW, -1, NOW + 2 * DAY + 1, NOW + 2 * DAY + 2):
        put(partition, "k", "v", now)
    assert [segment.base_offset for segment in partition.sealed] == [0, 3]
    assert partition.active_base == 7
    partition.close()
    again = PartitionLog(tmp_path / "t-0", segment_ms=DAY)
    put(again, "k", "v", NOW + 4 * DAY)
    assert again.active_base == 8
    again.close()


@pytest.mark.parametrize(
    ("configs", "span"),
    [
        ({"segment.ms": "500"}, 500),
        ({"segment.ms": "500", "max.compaction.lag.ms": "300"}, 500),
        ({"segment.ms": "500", "max.compaction.lag.ms": "300", "cleanup.policy": "compact"}, 300),
    ],
)
def test_a_topic_says_how_much_time_a_segment_spans(tmp_path: Path, configs: dict[str, str], span: int) -> None:
    with BrokerThread(tmp_path) as thread:
        thread.create_topic("t", 1, configs)
        log = thread.broker.topics.partition("t", 0)
        assert log.segment_ms == span
        admin = AdminClient({"bootstrap.servers": thread.bootstrap_servers})
        change = ConfigEntry("segment.ms", "200", incremental_operation=AlterConfigOpType.SET)
        (done,) = admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[change])]
        ).values()
        done.result(20)
        assert log.segment_ms == 200


# -- anything --------------------------------------------------------------------------------

KEYS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.one_of(st.none(), st.integers(0, 99))),
        st.tuples(st.just("transaction"), st.lists(KEYS, min_size=1, max_size=3), st.booleans()),
        st.tuples(st.just("roll")),
        st.tuples(st.just("clean")),
        st.tuples(st.just("idempotent"), KEYS),
        st.tuples(st.just("fenced"), KEYS, st.booleans()),
        st.tuples(st.just("reopen")),
        st.tuples(st.just("lost")),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(STEPS)
def test_readers_always_find_the_latest_value_of_every_key(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    log = PartitionLog(tmp_path_factory.mktemp("any") / "t-0", segment_bytes=300)
    model: dict[str, str | None] = {}
    cleaned_to = sequence = repeated = epoch = 0
    now = NOW
    for step in steps:
        now += DAY // 3
        match step:
            case ("put", key, value):
                text = None if value is None else f"{value}-{now}"
                put(log, key, text, now)
                model[key] = text
            case ("transaction", keys, commits):
                for key in keys:
                    text = f"t-{now}-{sequence}"
                    transactional(log, 7, sequence, key, text)
                    sequence += 1
                    if commits:
                        model[key] = text
                log.append_marker(7, 0, COMMIT if commits else ABORT, now)
            case ("idempotent", key):
                model[key] = f"i-{now}"
                idempotent(log, 8, repeated, key, f"i-{now}")
                repeated += 1
            case ("fenced", key, commits):
                data = make_batch(
                    [(key.encode(), f"f-{now}".encode())], now, producer=Writer(9, epoch, 0), transactional=True
                )
                log.append(data, checked_batches(data))
                epoch += 1
                log.append_marker(9, epoch, COMMIT if commits else ABORT, now)
                if commits:
                    model[key] = f"f-{now}"
            case ("roll",):
                log.roll()
            case ("clean",):
                cleaned_to = clean(log, cleaned_to, now)
            case ("reopen",):
                log.close()
                log = PartitionLog(log.folder, segment_bytes=300)
            case ("lost",):
                before = known(log)
                log = reopened_without_what_lies_beside(log)
                assert known(log) == before
        assert log.last_stable_offset == log.end_offset
        seen: dict[str, str | None] = {}
        last = -1
        for record in readable(log):
            assert record.offset > last
            last = record.offset
            assert record.key is not None
            seen[record.key.decode()] = None if record.value is None else record.value.decode()
        live = {key: value for key, value in seen.items() if value is not None}
        assert live == {key: value for key, value in model.items() if value is not None}
    log.close()
