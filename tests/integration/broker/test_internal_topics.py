"""Deleting topics that the broker keeps its own state in, or that groups have offsets for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from syncline.broker import BrokerThread
from syncline.broker.topics import OFFSETS_TOPIC, TRANSACTIONS_TOPIC

NOTHING = -1001


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path) as started:
        started.create_topic("orders")
        yield started


def delete(broker: BrokerThread, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    (done,) = admin.delete_topics([topic]).values()
    done.result(20)


def commit(broker: BrokerThread, group: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition("orders", 0, offset)], asynchronous=False)
    consumer.close()


def committed(broker: BrokerThread, group: str) -> int:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": group})
    (found,) = consumer.committed([TopicPartition("orders", 0)], timeout=20)
    consumer.close()
    return int(found.offset)


def transact(broker: BrokerThread, name: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": name})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("orders", b"v")
    producer.commit_transaction(20)


def test_groups_begin_anew_when_their_topic_is_deleted(broker: BrokerThread, tmp_path: Path) -> None:
    commit(broker, "old", 3)
    delete(broker, OFFSETS_TOPIC)
    assert committed(broker, "old") == NOTHING
    commit(broker, "new", 4)
    broker.stop()
    with BrokerThread(tmp_path) as again:
        assert committed(again, "old") == NOTHING
        assert committed(again, "new") == 4


def test_transactions_begin_anew_when_their_topic_is_deleted(broker: BrokerThread, tmp_path: Path) -> None:
    transact(broker, "gone")
    transact(broker, "comes back")
    delete(broker, TRANSACTIONS_TOPIC)
    assert list(broker.broker.transactions) == []
    transact(broker, "comes back")
    broker.stop()
    with BrokerThread(tmp_path) as again:
        assert [known.id for known in again.broker.transactions] == ["comes back"]
        transact(again, "gone")


def test_a_deleted_topic_takes_its_offsets_along_whoever_deletes_it(broker: BrokerThread) -> None:
    for remove in (lambda: delete(broker, "orders"), lambda: broker.delete_topic("orders")):
        commit(broker, "group", 3)
        remove()
        broker.create_topic("orders")
        assert committed(broker, "group") == NOTHING
