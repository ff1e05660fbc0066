"""A worker of ours takes over the topics that the JVM worker left, byte for byte as they were recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from syncline.broker import BrokerThread
from syncline.cluster.distributed import DistributedHerder
from syncline.ids import TopicPartition
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import BEGINNING
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from tests.golden.support import document
from tests.golden.test_internal_topics import raw_of
from tests.servers import wait_for

RECORDED: Final[Any] = document("internal_topics.json")["plain"]
LAST_STEP: Final = 41
"""SIGTERM to the worker: a source s1 and a sink k1 are left, six others were deleted before."""
KINDS: Final = {"configs": "config", "offsets": "offset", "status": "status"}
READ_TO: Final = 12
"""Bytes of its file that s1 has committed."""


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    with BrokerThread(tmp_path / "broker") as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def left(bootstrap: str) -> str:
    """The topics as the JVM worker left them."""
    properties = {"bootstrap.servers": bootstrap}
    admin, producer = KAFKA.admin(properties), KAFKA.producer(properties)
    for name, content in RECORDED["topics"].items():
        admin.create_topic(name, partitions=content["partitions"], configs=content["topic_configs_set"])
        for record in content["records"]:
            if record["step_no"] <= LAST_STEP:
                producer.send(name, *raw_of(record), partition=record["partition"])
    assert producer.flush(30)
    producer.close()
    return bootstrap


def test_a_worker_goes_on_where_the_jvm_worker_stopped(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("golden-it.txt").write_text("x" * (READ_TO - 1) + "\nnew\n")
    settings = WorkerSettings.of(
        {
            "bootstrap.servers": left,
            "group.id": RECORDED["group_id"],
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.flush.interval.ms": "200",
            **{f"{kind}.storage.topic": topic for topic, kind in KINDS.items()},
        }
    )
    herder = DistributedHerder(settings, Plugins.installed(), "here:1", "http://here:1/")
    herder.start()
    try:
        assert sorted(herder.connectors()) == ["k1", "s1"]
        wait_for(lambda: states(herder, "k1") == states(herder, "s1") == {"RUNNING"}, "all run", 30)
        assert herder.topics("s1") == ["gdata-plain"]
        wait_for(lambda: out() == "new\n", "the new line alone goes through both", 30)
    finally:
        herder.stop()
    assert values(left, "gdata-plain") == [b"new"]
    assert added(left, "configs") == [b"session-key"], "nothing of what was configured had to be written again"


def out() -> str:
    """What the sink wrote."""
    file = Path("golden-it.out")
    return file.read_text() if file.exists() else ""


def states(herder: DistributedHerder, name: str) -> set[str]:
    """Of the connector and its tasks, as this worker reports them."""
    status = herder.status(name)
    parts = [(part.state, part.worker_id) for part in status.tasks]
    parts.append((status.connector.state, status.connector.worker_id))
    return {state for state, worker in parts if worker == "here:1"}


def values(bootstrap: str, topic: str) -> list[bytes | None]:
    return [value for _, value in records(bootstrap, topic)]


def added(bootstrap: str, topic: str) -> list[bytes | None]:
    """Keys of the records that the JVM worker did not write."""
    recorded = [record for record in RECORDED["topics"][topic]["records"] if record["step_no"] <= LAST_STEP]
    return [key for key, _ in records(bootstrap, topic)][len(recorded) :]


def records(bootstrap: str, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """All records of a topic with one partition."""
    place = TopicPartition(topic, 0)
    consumer = KAFKA.consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    try:
        consumer.assign({place: BEGINNING})
        end = consumer.watermarks(place)[1]
        found: list[tuple[bytes | None, bytes | None]] = []
        while len(found) < end:
            found += [(record.key, record.value) for record in consumer.read(1000, 10)]
        return found
    finally:
        consumer.close()
