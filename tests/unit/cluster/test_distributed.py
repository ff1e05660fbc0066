"""The distributed herder over a Kafka in memory: what it writes, and what it makes of what others wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from syncline.cluster.distributed import DistributedHerder
from syncline.errors import ConfigError, Conflict, ConnectError, NotFound
from syncline.testing.builders import WORKER
from syncline.testing.kafka import MemoryKafka
from syncline.testing.probes import ProbeSink, ProbeSource
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import Target
from tests.unit.cluster.herding import SINK, SOURCE
from tests.unit.stores.test_topics import until
from tests.unit.worker.conftest import installed

GROUP = {
    "group.id": "connect-cluster",
    "config.storage.topic": "configs",
    "offset.storage.topic": "offsets",
    "status.storage.topic": "statuses",
}


class Cluster:
    """Workers of one group."""

    def __init__(self) -> None:
        self.kafka = MemoryKafka()
        self.source = ProbeSource()
        self.sink = ProbeSink()
        self.herders: list[DistributedHerder] = []

    def worker(self, number: int = 1, properties: Mapping[str, str] | None = None) -> DistributedHerder:
        plugins = Plugins([*installed().all, self.source.plugin(), self.sink.plugin()])
        settings = WorkerSettings.of({**WORKER, **GROUP, **(properties or {})})
        herder = DistributedHerder(settings, plugins, f"w:{number}", f"http://w:{number}/", kafka=self.kafka)
        self.herders.append(herder)
        herder.start()
        return herder

    def records(self, topic: str = "configs") -> list[tuple[str, Any]]:
        """Keys and values, session keys left out."""
        return [
            (key, None if record.value is None else json.loads(record.value))
            for record in self.kafka.read(topic)
            if (key := (record.key or b"").decode()) != "session-key"
        ]

    def write(self, key: str, value: Any) -> None:
        """As another worker would."""
        raw = None if value is None else json.dumps(value).encode()
        self.kafka.produce("configs", raw, key=key.encode())


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    for herder in made.herders:
        herder.stop()


def states(herder: DistributedHerder, name: str = "c") -> tuple[str, list[str]]:
    with suppress(NotFound):
        status = herder.status(name)
        return status.connector.state, [task.state for task in status.tasks]
    return "", []


def runs(herder: DistributedHerder, name: str = "c") -> Callable[[], bool]:
    return lambda: states(herder, name) == ("RUNNING", ["RUNNING"])


def test_the_first_record_of_a_new_topic_is_a_session_key(cluster: Cluster) -> None:
    cluster.worker()
    assert [record.key for record in cluster.kafka.read("configs")] == [b"session-key"]


def test_a_connector_is_recorded_as_kafka_connect_does(cluster: Cluster) -> None:
    herder = cluster.worker()
    herder.create("c", SOURCE, Target.PAUSED)
    herder.set_target("c", Target.STARTED)
    until(runs(herder), "connector and task to run")
    herder.set_target("c", Target.STOPPED)
    herder.delete("c")
    keys = [key for key, _ in cluster.records()]
    assert keys == [
        *("target-state-c", "connector-c", "target-state-c", "task-c-0", "commit-c"),
        *("commit-c", "target-state-c", "connector-c", "target-state-c"),
    ]
    assert [value for key, value in cluster.records() if key == "commit-c"] == [{"tasks": 1}, {"tasks": 0}]
    assert cluster.records()[-2:] == [("connector-c", None), ("target-state-c", None)]
    assert {key: value for key, value in cluster.records("statuses")} == {
        "status-connector-c": None,
        "status-task-c-0": None,
    }


def test_a_worker_takes_up_what_another_left(cluster: Cluster) -> None:
    first = cluster.worker()
    first.create("c", SOURCE, None)
    first.create("p", SOURCE, None)
    until(runs(first), "connector and task to run")
    until(runs(first, "p"), "connector and task to run")
    first.set_target("p", Target.PAUSED)
    first.stop()
    written = len(cluster.records())
    second = cluster.worker(2)
    until(runs(second), "connector and task to run")
    until(lambda: states(second, "p") == ("PAUSED", ["PAUSED"]), "the other one to pause")
    assert second.status("c").tasks[0].worker_id == "w:2"
    assert len(cluster.records()) == written, "nothing had to be changed"


def test_a_second_worker_stands_by_until_the_first_is_gone(cluster: Cluster) -> None:
    first, second = cluster.worker(1), cluster.worker(2)
    first.create("c", SOURCE, None)
    until(runs(second), "the second to see what the first does")
    with pytest.raises(Conflict, match="http://w:1/"):
        second.delete("c")
    with pytest.raises(Conflict):
        second.restart_parts("c", include_tasks=True, only_failed=False)
    first.stop()
    until(lambda: runs(second)() and second.status("c").connector.worker_id == "w:2", "the second to take over")
    second.delete("c")
    assert second.connectors() == []


def test_a_worker_that_is_no_longer_active_stops_its_work(cluster: Cluster) -> None:
    first, second = cluster.worker(1), cluster.worker(2)
    first.create("c", SOURCE, None)
    until(runs(first), "connector and task to run")
    line = cluster.kafka.lines["connect-cluster"]
    line[0].stop()
    until(lambda: not first._worker.connectors() and not first._worker.tasks_of("c"), "the first to stop")  # type: ignore[arg-type]
    assert not first.responds(0)
    until(lambda: runs(second)() and second.status("c").connector.worker_id == "w:2", "the second to take over")


def test_what_is_written_by_hand_takes_effect(cluster: Cluster) -> None:
    herder = cluster.worker()
    herder.create("c", SOURCE, None)
    until(runs(herder), "connector and task to run")
    cluster.write("target-state-c", {"state": "PAUSED", "state.v2": "PAUSED"})
    until(lambda: states(herder) == ("PAUSED", ["PAUSED"]), "the connector to pause")
    cluster.write("connector-c", None)
    cluster.write("target-state-c", None)
    until(lambda: states(herder) == ("", []), "the connector to be gone")
    cluster.write("connector-d", {"properties": {**SOURCE, "name": "d"}})
    until(runs(herder, "d"), "the new connector to run")
    started = cluster.source.names().count("connector.start")
    cluster.write("restart-connector-d", {"include-tasks": True, "only-failed": False})
    cluster.source.wait_call("connector.start", started + 1)
    cluster.kafka.produce("configs", b"{", key=b"connector-broken")
    herder.create("e", SINK, None)
    assert herder.connectors() == ["d", "e"]


def test_a_status_of_an_earlier_group_does_not_outrank_a_failure(cluster: Cluster) -> None:
    cluster.kafka.admin({}).create_topic("statuses", configs={"cleanup.policy": "compact"})
    theirs = {"state": "RUNNING", "trace": None, "worker_id": "jvm:1", "generation": 99, "version": "4.1.0"}
    cluster.kafka.produce("statuses", json.dumps(theirs).encode(), key=b"status-connector-c")
    cluster.kafka.admin({}).create_topic("configs", configs={"cleanup.policy": "compact"})
    cluster.write("connector-c", {"properties": {**SOURCE, "name": "c"}})
    cluster.source.connector_error = ConnectError("no database")
    herder = cluster.worker()
    until(lambda: states(herder) == ("FAILED", []), "the failure to show")


def test_a_write_that_fails_changes_nothing(cluster: Cluster) -> None:
    herder = cluster.worker()
    cluster.kafka.refuse_records = lambda topic, value: ConnectError("no") if topic == "configs" else None
    with pytest.raises(ConnectError, match="topic configs cannot be written"):
        herder.create("c", SOURCE, None)
    assert herder.connectors() == []
    cluster.kafka.refuse_records = lambda topic, value: None
    herder.create("c", SOURCE, None)
    until(runs(herder), "connector and task to run")


def test_states_of_connectors_that_are_gone_are_forgotten(cluster: Cluster) -> None:
    cluster.kafka.admin({}).create_topic("statuses", configs={"cleanup.policy": "compact"})
    theirs = {"state": "RUNNING", "trace": None, "worker_id": "jvm:1", "generation": 1, "version": "4.1.0"}
    for key in (b"status-connector-gone", b"status-task-gone-0"):
        cluster.kafka.produce("statuses", json.dumps(theirs).encode(), key=key)
    cluster.worker()
    assert dict(cluster.records("statuses")) == {"status-connector-gone": None, "status-task-gone-0": None}


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"group.id": ""}, "group.id"),
        ({"status.storage.topic": "configs"}, "three different topics"),
        ({"exactly.once.source.support": "enabled"}, "at least once"),
        ({"config.storage.replication.factor": "0"}, "Value must be at least 1, or -1"),
    ],
)
def test_options_that_cannot_be_used_are_named(cluster: Cluster, properties: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cluster.worker(1, properties)
