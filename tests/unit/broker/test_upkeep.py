"""What the broker does unasked, on its own clock: each test makes the rounds short and waits for what they do."""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from crc32c import crc32c

from syncline.broker import BrokerThread
from syncline.broker.errors import INVALID_RECORD, KAFKA_STORAGE_ERROR
from syncline.broker.records import CRC_FROM, HEADER_SIZE, make_batch
from tests.integration.broker.raw import RawClient
from tests.servers import wait_for

NOW = 1_700_000_000_000
QUICK = {
    "flush.interval.ms": "20",
    "log.retention.check.interval.ms": "20",
    "log.retention.ms": "-1",
    "log.cleaner.backoff.ms": "0",
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., BrokerThread]]:
    with contextlib.ExitStack() as stack:

        def started(**settings: str) -> BrokerThread:
            given = {key.replace("_", "."): value for key, value in settings.items()}
            broker = stack.enter_context(BrokerThread(tmp_path, settings={**QUICK, **given}))
            broker.create_topic("t")
            return broker

        yield started


def test_a_producer_that_is_silent_for_long_is_forgotten_unless_its_transaction_is_open(
    start: Callable[..., BrokerThread],
) -> None:
    broker = start(producer_id_expiration_ms="1")
    opened = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": "open"})
    opened.init_transactions(20)
    opened.begin_transaction()
    opened.produce("t", b"v", timestamp=NOW)
    assert opened.flush(20) == 0
    closed = Producer({"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True})
    closed.produce("t", b"v", timestamp=NOW)
    assert closed.flush(20) == 0
    producers = broker.broker.topics.partition("t", 0).producers
    wait_for(lambda: producers.entries.keys() == producers.open.keys(), "the idempotent one to be forgotten")
    assert len(producers.open) == 1
    opened.abort_transaction(20)
    wait_for(lambda: not producers.entries, "the other to be forgotten")


def test_a_round_that_fails_is_not_the_last(
    start: Callable[..., BrokerThread], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = start(producer_id_expiration_ms="1")
    rounds = 0

    def fails_once() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise RuntimeError("never thought of")

    monkeypatch.setattr(broker.broker.transactions, "expire", fails_once)
    wait_for(lambda: rounds > 2, "more rounds")
    (said,) = [record for record in caplog.records if record.name == "syncline.broker.upkeep"]
    assert said.getMessage() == "upkeep (end_transactions) failed; it is tried again"
    assert said.exc_info is not None


def list_offsets(client: RawClient, timestamp: int) -> int:
    partitions = [{"partition_index": 0, "timestamp": timestamp, "current_leader_epoch": -1}]
    topics = [{"name": "t", "partitions": partitions}]
    return int(client.ask(2, 9, replica_id=-1, isolation_level=0, topics=topics).topics[0].partitions[0].error_code)


def test_what_cannot_be_read_is_answered_when_offsets_are_asked_by_time(
    start: Callable[..., BrokerThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = start()
    log = broker.broker.topics.partition("t", 0)
    data = bytearray(make_batch([(None, b"value")] * 3, NOW))
    data[HEADER_SIZE + 5] = 0x7E  # the first value's length
    struct.pack_into(">q", data, 35, NOW + 1)  # the newest time, which no record has
    struct.pack_into(">I", data, 17, crc32c(bytes(data[CRC_FROM:])))
    with RawClient(broker.bootstrap_servers) as client:
        asked = [{"name": "t", "partition_data": [{"index": 0, "records": bytes(data)}]}]
        answer = client.ask(0, 9, transactional_id=None, acks=-1, timeout=1000, topic_data=asked)
        assert answer.responses[0].partition_responses[0].error_code == 0
        assert list_offsets(client, NOW + 1) == INVALID_RECORD

        def refuse(*_: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(log.__class__, "find_time", refuse)
        assert list_offsets(client, NOW) == KAFKA_STORAGE_ERROR
