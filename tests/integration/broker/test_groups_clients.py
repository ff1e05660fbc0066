"""Groups of real clients: they share partitions, lose nothing, double nothing, and outlive the broker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import ConsumerGroupType
from confluent_kafka.admin import AdminClient

from syncline.broker import BrokerThread
from tests.integration.broker.consumers import DEADLINE_S, Member, everything_once, fill, new_topic, until

FAST = {
    # The interval is the broker's to say in the consumer protocol; Kafka's 5 s would make these tests long.
    "group.consumer.heartbeat.interval.ms": "100",
}
CLASSIC = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 100}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "range": {"partition.assignment.strategy": "range", **CLASSIC},
    "cooperative-sticky": {"partition.assignment.strategy": "cooperative-sticky", **CLASSIC},
    "consumer, uniform": {"group.protocol": "consumer", "group.remote.assignor": "uniform"},
    "consumer, range": {"group.protocol": "consumer", "group.remote.assignor": "range"},
}
ALL = [0, 1, 2, 3]
Join = Callable[..., Member]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker"), settings=FAST) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def topic(bootstrap: str) -> str:
    return new_topic(bootstrap)


@pytest.fixture
def join() -> Iterator[Join]:
    """Makes members, and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def made(*args: Any) -> Member:
            return stack.enter_context(contextlib.closing(Member(*args)))

        yield made


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_group_of_two_shares_its_work_and_loses_nothing(
    join: Join, bootstrap: str, topic: str, protocol: str
) -> None:
    values = [str(number) for number in range(600)]
    fill(bootstrap, topic, values[:200])
    first = join(bootstrap, f"g-{topic}", topic, PROTOCOLS[protocol])
    until(lambda: len(first.got) > 50, first)
    second = join(bootstrap, f"g-{topic}", topic, PROTOCOLS[protocol])
    until(lambda: len(first.partitions) == len(second.partitions) == 2, first, second)
    assert sorted(first.partitions + second.partitions) == ALL
    fill(bootstrap, topic, values[200:400])
    until(lambda: everything_once(values[:400], first, second), first, second)
    second.close()
    until(lambda: first.partitions == ALL, first)
    fill(bootstrap, topic, values[400:])
    until(lambda: everything_once(values, first, second), first)
    assert first.offsets(*ALL) == [150] * 4
    first.close()
    assert all(what != "lost" for what, _ in first.history + second.history)


@pytest.mark.parametrize("protocol", ["cooperative-sticky", "consumer, uniform"])
def test_a_newcomer_takes_no_more_than_its_part(join: Join, bootstrap: str, topic: str, protocol: str) -> None:
    first = join(bootstrap, f"g-{topic}", topic, PROTOCOLS[protocol])
    until(lambda: first.partitions == ALL, first)
    second = join(bootstrap, f"g-{topic}", topic, PROTOCOLS[protocol])
    until(lambda: len(first.partitions) == len(second.partitions) == 2, first, second)
    revoked = [number for what, numbers in first.history if what == "revoked" for number in numbers]
    assert sorted(revoked) == second.partitions
    first.close()
    second.close()


@pytest.mark.parametrize("protocol", ["range", "consumer, uniform"])
def test_a_static_member_that_restarts_moves_nothing(join: Join, bootstrap: str, topic: str, protocol: str) -> None:
    config = PROTOCOLS[protocol]
    if protocol == "range":
        config = {**config, "session.timeout.ms": 30_000}
    group = f"g-{topic}"
    first = join(bootstrap, group, topic, {**config, "group.instance.id": "one"})
    second = join(bootstrap, group, topic, {**config, "group.instance.id": "two"})
    until(lambda: len(first.partitions) == len(second.partitions) == 2, first, second)
    before, calls = second.partitions, len(first.history)
    second.close()
    second = join(bootstrap, group, topic, {**config, "group.instance.id": "two"})
    until(lambda: second.partitions == before, first, second)
    assert first.history[calls:] == []
    values = [str(number) for number in range(40)]
    fill(bootstrap, topic, values)
    until(lambda: everything_once(values, first, second), first, second)
    first.close()
    second.close()


@pytest.mark.parametrize("protocol", ["range", "consumer, uniform"])
def test_a_regular_expression_finds_topics_made_later(join: Join, bootstrap: str, topic: str, protocol: str) -> None:
    config = {**PROTOCOLS[protocol], "topic.metadata.refresh.interval.ms": 200}
    member = join(bootstrap, f"g-{topic}", f"^{topic}.*", config)
    fill(bootstrap, topic, ["a"])
    until(lambda: member.got == ["a"], member)
    fill(bootstrap, f"{topic}-more", ["b"], partitions=1)
    until(lambda: member.got == ["a", "b"], member)
    member.close()


def test_groups_of_both_protocols_are_listed_described_and_deleted(join: Join, bootstrap: str, topic: str) -> None:
    members = {
        kind: join(bootstrap, f"{kind.name}-{topic}", topic, PROTOCOLS[protocol])
        for kind, protocol in (
            (ConsumerGroupType.CLASSIC, "range"),
            (ConsumerGroupType.CONSUMER, "consumer, range"),
        )
    }
    until(lambda: all(member.partitions == ALL for member in members.values()), *members.values())
    admin = AdminClient({"bootstrap.servers": bootstrap})
    listed = {group.group_id: group.type for group in admin.list_consumer_groups().result(DEADLINE_S).valid}
    for kind, member in members.items():
        assert listed[member.group] == kind
        described = admin.describe_consumer_groups([member.group])[member.group].result(DEADLINE_S)
        (found,) = described.members
        assert sorted(place.partition for place in found.assignment.topic_partitions) == ALL
        assert described.partition_assignor == "range"
        member.close()
        admin.delete_consumer_groups([member.group])[member.group].result(DEADLINE_S)
    left = {group.group_id for group in admin.list_consumer_groups().result(DEADLINE_S).valid}
    assert left.isdisjoint(member.group for member in members.values())


@pytest.mark.filterwarnings("ignore:.*_text is deprecated:DeprecationWarning")  # in kafka-python's own import
def test_kafka_python_consumers_share_a_topic(bootstrap: str, topic: str) -> None:
    from kafka import KafkaConsumer

    def consumer() -> Any:
        return KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=f"g-{topic}",
            auto_offset_reset="earliest",
            session_timeout_ms=6000,
            heartbeat_interval_ms=100,
        )

    def poll(*consumers: Any) -> None:
        for one in consumers:
            for records in one.poll(timeout_ms=50).values():
                got.extend(record.value for record in records)

    got: list[bytes] = []
    first, second = consumer(), consumer()
    while not len(first.assignment()) == len(second.assignment()) == 2:
        poll(first, second)
    values = [str(number).encode() for number in range(100)]
    fill(bootstrap, topic, [value.decode() for value in values])
    while len(got) < 100:
        poll(first, second)
    assert sorted(got) == sorted(values)
    second.close()
    while len(first.assignment()) < 4:
        poll(first)
    first.close()


async def test_aiokafka_consumers_share_a_topic(bootstrap: str, topic: str) -> None:
    def consumer() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=f"g-{topic}",
            auto_offset_reset="earliest",
            heartbeat_interval_ms=100,
            enable_auto_commit=False,
        )

    values = [str(number).encode() for number in range(100)]
    async with asyncio.timeout(DEADLINE_S), consumer() as first, consumer() as second:
        while not len(first.assignment()) == len(second.assignment()) == 2:
            await asyncio.gather(first.getmany(timeout_ms=50), second.getmany(timeout_ms=50))
        await asyncio.to_thread(fill, bootstrap, topic, [value.decode() for value in values])
        got: list[bytes | None] = []
        while len(got) < 100:
            for one in (first, second):
                for records in (await one.getmany(timeout_ms=50)).values():
                    got.extend(record.value for record in records)
        await first.commit()
        await second.commit()
        assert sorted(filter(None, got)) == sorted(values)
        assert [await first.committed(TopicPartition(topic, number)) for number in ALL] == [25] * 4


# -- the broker restarts ---------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.mark.parametrize("protocol", ["cooperative-sticky", "consumer, uniform"])
def test_a_group_goes_on_where_it_was_when_the_broker_comes_back(join: Join, tmp_path: Path, protocol: str) -> None:
    port = free_port()
    values = [str(number) for number in range(200)]
    config = {**PROTOCOLS[protocol], "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100}
    if "group.protocol" not in config:
        config["session.timeout.ms"] = 30_000
    with BrokerThread(tmp_path, port, FAST) as broker:
        bootstrap = broker.bootstrap_servers
        topic = new_topic(bootstrap)
        fill(bootstrap, topic, values[:100])
        first = join(bootstrap, "g", topic, config)
        second = join(bootstrap, "g", topic, config)
        until(lambda: len(first.partitions) == len(second.partitions) == 2, first, second)
        until(lambda: everything_once(values[:100], first, second), first, second)
        calls = len(first.history), len(second.history)
    with BrokerThread(tmp_path, port, FAST):
        fill(bootstrap, topic, values[100:])
        until(lambda: everything_once(values, first, second), first, second)
        assert (len(first.history), len(second.history)) == calls
        assert first.offsets(*ALL) == [50] * 4
        first.close()
        second.close()
