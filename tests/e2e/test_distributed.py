"""`syncline connect-distributed`: what stands in topics survives the worker, the broker and the topics themselves."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from syncline.ids import TopicPartition as SyncPartition
from syncline.kafka.client import Admin
from tests.processes import BrokerProgram, WorkerProgram
from tests.servers import wait_for

SOURCE = {
    "connector.class": "FileStreamSource",
    "topic": "lines",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProgram]:
    with BrokerProgram.at(tmp_path) as program:
        yield program


@pytest.fixture
def worker(broker: BrokerProgram, tmp_path: Path) -> Iterator[WorkerProgram]:
    with WorkerProgram.distributed(tmp_path, broker.bootstrap) as program:
        yield program


def states(worker: WorkerProgram, name: str) -> tuple[str, list[str]]:
    """Of the connector and its tasks; empty while the worker does not say."""
    with contextlib.suppress(httpx.TransportError, KeyError):
        status = worker.status(name)
        return status["connector"]["state"], [task["state"] for task in status["tasks"]]
    return "", []


def runs(worker: WorkerProgram, name: str) -> Callable[[], bool]:
    return lambda: states(worker, name) == ("RUNNING", ["RUNNING"])


def lines(broker: BrokerProgram, topic: str = "lines") -> list[str]:
    """All values of the topic's only partition."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "lines", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[str] = []
    try:
        while (message := consumer.poll(10)) is not None and message.error() is None:
            found.append((message.value() or b"").decode())
    finally:
        consumer.close()
    return found


def append(file: Path, *added: str) -> None:
    with file.open("a") as out:
        out.writelines(f"{line}\n" for line in added)


def offset(worker: WorkerProgram, name: str) -> int:
    """The committed position of a file source; 0 when there is none."""
    found = httpx.get(f"{worker.url}/connectors/{name}/offsets", timeout=30).json()["offsets"]
    return int(found[0]["offset"]["position"]) if found else 0


@pytest.mark.chaos
def test_a_worker_that_is_killed_goes_on_where_it_was(
    broker: BrokerProgram, worker: WorkerProgram, tmp_path: Path
) -> None:
    file = tmp_path / "in.txt"
    append(file, "1", "2")
    worker.create("src", {**SOURCE, "file": str(file)})
    worker.create("idle", {**SOURCE, "file": str(file), "topic": "idle"})
    wait_for(runs(worker, "src"), "src runs", 30)
    httpx.put(f"{worker.url}/connectors/idle/pause").raise_for_status()
    wait_for(lambda: offset(worker, "src") == 4, "two lines are committed", 30)
    config = httpx.get(f"{worker.url}/connectors/src").json()
    worker.kill()
    append(file, "3")
    worker.start()
    assert httpx.get(f"{worker.url}/connectors/src").json() == config
    wait_for(lambda: lines(broker) == ["1", "2", "3"], "the third line, and no other twice", 30)
    wait_for(lambda: states(worker, "idle") == ("PAUSED", ["PAUSED"]), "the other one is still paused", 30)
    topics = httpx.get(f"{worker.url}/connectors/src/topics").json()
    assert topics == {"src": {"topics": ["lines"]}}


@pytest.mark.chaos
def test_a_broker_that_dies_is_waited_for(broker: BrokerProgram, worker: WorkerProgram, tmp_path: Path) -> None:
    file = tmp_path / "in.txt"
    append(file, "1")
    worker.create("src", {**SOURCE, "file": str(file)})
    wait_for(lambda: offset(worker, "src") == 2, "the first line is committed", 30)
    broker.kill()
    wait_for(lambda: httpx.get(f"{worker.url}/health", timeout=30).status_code == 500, "the worker says so", 30)
    append(file, "2")
    broker.start()
    wait_for(lambda: httpx.get(f"{worker.url}/health", timeout=30).status_code == 200, "the worker is back", 60)
    wait_for(runs(worker, "src"), "src runs again", 60)
    wait_for(lambda: lines(broker)[-1:] == ["2"] and offset(worker, "src") == 4, "the second line", 60)
    assert set(lines(broker)) == {"1", "2"}
    worker.create("second", {**SOURCE, "file": str(file), "topic": "more"})
    wait_for(runs(worker, "second"), "a new connector runs", 30)


def test_a_worker_started_before_its_broker_waits_for_it(tmp_path: Path) -> None:
    broker = BrokerProgram.at(tmp_path)
    worker = WorkerProgram.distributed(tmp_path, broker.bootstrap)
    with worker.log.open("ab") as out:
        worker.process = subprocess.Popen(
            [sys.executable, "-m", "syncline", *map(str, worker.arguments)], stdout=out, stderr=out
        )

    def health() -> int:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{worker.url}/health", timeout=30).status_code
        return 0

    try:
        wait_for(lambda: health() == 503, "the worker is starting", 60)
        with broker:
            wait_for(lambda: health() == 200, "the worker is ready", 90)
            assert httpx.get(f"{worker.url}/connectors").json() == []
            assert worker.stop() == 0
    finally:
        worker.stop()


def test_topics_deleted_behind_its_back_are_made_again(
    broker: BrokerProgram, worker: WorkerProgram, tmp_path: Path
) -> None:
    file = tmp_path / "in.txt"
    append(file, "1")
    worker.create("src", {**SOURCE, "file": str(file)})
    wait_for(lambda: offset(worker, "src") == 2, "the first line is committed", 30)
    admin = Admin({"bootstrap.servers": broker.bootstrap})
    names = ("connect-configs", "connect-offsets", "connect-status")
    for name in names:
        admin.delete_topic(name)
    wait_for(
        lambda: all(
            (facts := admin.topic(name)) is not None
            and sum(admin.end_offsets([SyncPartition(name, number) for number in range(facts.partitions)]).values()) > 0
            for name in names
        ),
        "the topics are back, with what was in them",
        60,
    )
    assert "was deleted; it is made again" in worker.tail()
    worker.kill()
    append(file, "2")
    worker.start()
    wait_for(lambda: lines(broker) == ["1", "2"], "the second line, and not the first again", 30)
    wait_for(runs(worker, "src"), "src runs", 30)


@pytest.mark.chaos
def test_a_second_worker_stands_by_and_takes_over(broker: BrokerProgram, worker: WorkerProgram, tmp_path: Path) -> None:
    file = tmp_path / "in.txt"
    append(file, "1")
    worker.create("src", {**SOURCE, "file": str(file)})
    wait_for(lambda: offset(worker, "src") == 2, "the first line is committed", 30)
    with WorkerProgram.distributed(tmp_path, broker.bootstrap, "second") as second:
        wait_for(runs(second, "src"), "the second worker knows the state", 30)
        refused = httpx.put(f"{second.url}/connectors/src/pause")
        assert refused.status_code == 409
        assert worker.url in refused.text
        worker.kill()
        append(file, "2")
        wait_for(lambda: offset(second, "src") == 4, "the second worker goes on with the second line", 60)
        assert lines(broker) == ["1", "2"]
        assert second.status("src")["tasks"][0]["worker_id"] in second.url


def test_a_topic_that_forgets_is_refused(broker: BrokerProgram, tmp_path: Path) -> None:
    admin = Admin({"bootstrap.servers": broker.bootstrap})
    admin.create_topic("connect-configs", configs={"cleanup.policy": "delete"})
    worker = WorkerProgram.distributed(tmp_path, broker.bootstrap)
    with pytest.raises(AssertionError, match="ended with status 2"):
        worker.start()
    assert "'config.storage.topic' property is required to have 'cleanup.policy=compact'" in worker.tail()
    admin.delete_topic("connect-configs")
    admin.create_topic("connect-configs", partitions=2, configs={"cleanup.policy": "compact"})
    with pytest.raises(AssertionError, match="ended with status 2"):
        worker.start()
    assert "required to have a single partition" in worker.tail()
