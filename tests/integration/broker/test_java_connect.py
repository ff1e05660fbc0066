"""The JVM worker of Kafka Connect, with exactly-once sources, on the embedded broker; killed in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from syncline.broker import BrokerThread
from tests.apache_kafka import ConnectProgram
from tests.servers import wait_for

LINES = 20_000
"""That the source has before it at any time until the worker is killed."""
PATIENCE_S = 180
"""Long, for a machine on which two JVMs start while much else runs; nothing here takes a tenth of it otherwise."""
FILE = "org.apache.kafka.connect.file.FileStream"


def committed(consumer: Consumer) -> list[str]:
    """What a reader of committed records gets next, until there is nothing for a moment."""
    return [(message.value() or b"").decode() for message in consumer.consume(5_000, 0.2) if message.error() is None]


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.chaos
def test_lines_arrive_exactly_once_although_the_worker_is_killed(tmp_path: Path) -> None:
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    lines: list[str] = []

    def add(count: int) -> None:
        more = [f"line {number}" for number in range(len(lines), len(lines) + count)]
        with source.open("a") as out:
            out.write("".join(f"{line}\n" for line in more))
        lines.extend(more)

    add(LINES)
    strings = {
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    }
    with BrokerThread(tmp_path / "broker") as broker:
        bootstrap = broker.bootstrap_servers
        worker = ConnectProgram.at(
            tmp_path,
            bootstrap,
            exactly_once_source_support="enabled",
            consumer_isolation_level="read_committed",
            offset_flush_interval_ms="500",
            session_timeout_ms="6000",
            heartbeat_interval_ms="1000",
            scheduled_rebalance_max_delay_ms="0",
            # Of the sink's consumer, which is killed as well: its partition is free only when its session is over.
            consumer_session_timeout_ms="6000",
            consumer_heartbeat_interval_ms="1000",
        )
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "isolation.level": "read_committed"})
        consumer.assign([TopicPartition("lines", 0, 0)])
        found: list[str] = []

        def read(count: int) -> bool:
            found.extend(committed(consumer))
            return len(found) >= count

        def begun() -> bool:
            read(0)
            add(max(len(found) + LINES - len(lines), 0))
            return len(found) >= LINES // 10 and target.exists()

        def read_on() -> bool:
            # The source connector gives out the last lines it has read only when the file grows.
            with source.open("a") as out:
                out.write("one more\n")
            return read(len(lines))

        with worker:
            # Small transactions, so that there are many of them to be killed in.
            reading = {"file": str(source), "topic": "lines", "batch.size": "20", **strings}
            worker.create("source", {"connector.class": f"{FILE}SourceConnector", **reading})
            writing = {"file": str(target), "topics": "lines", **strings}
            worker.create("sink", {"connector.class": f"{FILE}SinkConnector", **writing})
            wait_for(begun, "the source and the sink have begun", PATIENCE_S)
            worker.kill()
        read(0)
        assert len(found) < len(lines), "the worker was to be killed in the middle"
        with worker:
            wait_for(read_on, "everything is there", PATIENCE_S)
            wait_for(lambda: set(target.read_text().splitlines()) >= set(lines), "everything is written", PATIENCE_S)
            worker.check("source")
            worker.check("sink")
        assert found[: len(lines)] == lines
        assert set(found[len(lines) :]) <= {"one more"}
        consumer.close()
