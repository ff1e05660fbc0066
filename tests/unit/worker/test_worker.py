"""Connectors and tasks as a herder sees them."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from syncline.errors import ConfigError, ConnectError, NotFound
from syncline.ids import TaskId
from syncline.testing.probes import PROBE_SINK, PROBE_SOURCE, ProbeSourceConnector
from syncline.worker import connector
from syncline.worker.states import State, TargetState
from tests.unit.worker.conftest import World

SOURCE = {"name": "c", "connector.class": PROBE_SOURCE}


def test_a_connector_is_started_and_reported(world: World) -> None:
    world.worker.start_connector(world.name, SOURCE, TargetState.STARTED)
    assert world.heard.connectors["c"] == [State.RUNNING]
    assert world.worker.connector_runs(world.name)
    world.worker.stop_connector(world.name)
    assert world.heard.connectors["c"] == [State.RUNNING, State.UNASSIGNED]
    assert world.source.names() == ["connector.start", "connector.stop"]


def test_an_unknown_class_is_reported_and_raised(world: World) -> None:
    with pytest.raises(NotFound, match="Failed to find any class that implements Connector and which name matches X"):
        world.worker.start_connector(world.name, {"connector.class": "X"}, TargetState.STARTED)
    assert world.heard.connectors["c"] == [State.FAILED]


def test_a_connector_that_cannot_start_is_failed_and_can_only_be_stopped(world: World) -> None:
    world.source.connector_error = ConnectError("no database")
    with pytest.raises(ConnectError, match="no database"):
        world.worker.start_connector(world.name, SOURCE, TargetState.STARTED)
    assert world.heard.connectors["c"] == [State.FAILED]
    assert "no database" in world.heard.traces[-1]
    world.worker.set_target(world.name, TargetState.PAUSED)
    world.worker.set_target(world.name, TargetState.STARTED)
    assert world.heard.connectors["c"] == [State.FAILED]
    world.worker.set_target(world.name, TargetState.STOPPED)
    assert world.heard.connectors["c"] == [State.FAILED, State.STOPPED]


@pytest.mark.parametrize(
    ("target", "state"),
    [
        pytest.param(TargetState.PAUSED, State.PAUSED, id="paused"),
        pytest.param(TargetState.STOPPED, State.STOPPED, id="stopped"),
    ],
)
def test_a_connector_that_is_not_to_run_is_not_started(world: World, target: TargetState, state: State) -> None:
    world.worker.start_connector(world.name, SOURCE, target)
    assert world.heard.connectors["c"] == [state]
    assert world.source.names() == []


def test_pausing_stops_the_instance_and_resuming_starts_it_again(world: World) -> None:
    world.worker.start_connector(world.name, SOURCE, TargetState.STARTED)
    world.worker.set_target(world.name, TargetState.PAUSED)
    world.worker.set_target(world.name, TargetState.STARTED)
    assert world.source.names() == ["connector.start", "connector.stop", "connector.start"]
    assert world.heard.connectors["c"] == [State.RUNNING, State.PAUSED, State.RUNNING]


def test_a_connector_whose_stop_fails_counts_as_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def complain(self: ProbeSourceConnector) -> None:
        raise OSError("cannot stop")

    monkeypatch.setattr(ProbeSourceConnector, "stop", complain)
    world.worker.start_connector(world.name, SOURCE, TargetState.STARTED)
    world.worker.set_target(world.name, TargetState.STOPPED)
    assert world.heard.connectors["c"] == [State.RUNNING, State.STOPPED]


def test_a_connector_that_hangs_does_not_hold_up_its_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(self: ProbeSourceConnector, config: Mapping[str, str], context: object) -> None:
        assert release.wait(20)

    monkeypatch.setattr(ProbeSourceConnector, "start", hang)
    monkeypatch.setattr(connector, "CALL_SECONDS", 0.01)
    world.make_worker(task_shutdown_graceful_timeout_ms="10")
    with pytest.raises(ConnectError, match="took longer than"):
        world.worker.start_connector(world.name, SOURCE, TargetState.STARTED)
    world.worker.stop_connector(world.name)
    release.set()
    assert "c" not in world.heard.connectors


def test_a_connector_may_fail_later_and_ask_for_new_task_configurations(world: World) -> None:
    world.worker.start_connector(world.name, SOURCE, TargetState.STARTED)
    assert world.source.context is not None
    world.source.context.request_task_reconfiguration()
    assert world.heard.reconfigurations == ["c"]
    world.source.context.raise_error(ConnectError("lost the database"))
    assert world.heard.connectors["c"] == [State.RUNNING, State.FAILED]
    assert not world.worker.connector_runs(world.name)


def test_a_connector_reads_its_stored_offsets_and_a_sink_has_none(world: World) -> None:
    world.offsets.commit("c", [({"p": 1}, {"at": 3})])
    world.worker.start_connector(world.name, SOURCE, TargetState.STARTED)
    assert world.source.context is not None
    assert world.source.context.offsets.offsets([{"p": 1}, {"p": 2}]) == [{"at": 3}, None]
    world.worker.stop_connector(world.name)
    world.worker.start_connector(
        world.name, {"name": "c", "connector.class": PROBE_SINK, "topics": "t"}, TargetState.STARTED
    )
    assert world.sink.context is not None
    with pytest.raises(ConnectError, match="no source offsets"):
        world.sink.context.offsets  # noqa: B018  # the property raises


def test_task_configs_get_the_task_class_and_a_sinks_topics(world: World) -> None:
    config = {"name": "c", "connector.class": PROBE_SINK, "topics": "t,u", "tasks.max": "2"}
    world.sink.make_configs = lambda config, most: [{"part": str(number)} for number in range(most)]
    world.worker.start_connector(world.name, config, TargetState.STARTED)
    expected = {"task.class": "io.syncline.testing.ProbeSinkTask", "topics": "t,u"}
    assert world.worker.task_configs(world.name, config, 2) == [
        {"part": "0", **expected},
        {"part": "1", **expected},
    ]


def test_too_many_task_configs_fail_the_connector(world: World) -> None:
    world.source.make_configs = lambda config, most: [{}] * (most + 2)
    config = {**SOURCE, "tasks.max": "1"}
    world.worker.start_connector(world.name, config, TargetState.STARTED)
    with pytest.raises(ConnectError) as caught:
        world.worker.task_configs(world.name, config, 1)
    assert str(caught.value) == (
        "The connector c has generated 3 tasks, which is greater than 1, the maximum number of tasks it is configured "
        "to create. This behaviour should be considered a bug and is disallowed. If necessary, it can be permitted by "
        "reconfiguring the connector with 'tasks.max.enforce' set to false; however, this option will be removed in a "
        "future release of Kafka Connect."
    )
    assert world.heard.connectors["c"] == [State.RUNNING, State.FAILED]


def test_too_many_task_configs_pass_when_that_is_not_enforced(world: World) -> None:
    world.source.make_configs = lambda config, most: [{}] * (most + 2)
    config = {**SOURCE, "tasks.max.enforce": "false"}
    world.worker.start_connector(world.name, config, TargetState.STARTED)
    assert len(world.worker.task_configs(world.name, config, 1)) == 3


def test_a_task_of_a_set_that_is_too_large_does_not_start(world: World) -> None:
    with pytest.raises(ConnectError, match="has generated 2 tasks, which is greater than 1"):
        world.worker.start_task(world.task(), {**SOURCE, "tasks.max": "1"}, {}, TargetState.STARTED, task_count=2)
    assert world.heard.tasks[world.task()] == [State.FAILED]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("errors.tolerance", "ALL", "Invalid value ALL for configuration errors.tolerance"),
        ("consumer.override.max.poll.records", "x", "configuration consumer.override.max.poll.records"),
    ],
)
def test_a_task_with_a_bad_option_fails_with_its_name(world: World, option: str, value: str, message: str) -> None:
    config = {"name": "c", "connector.class": PROBE_SINK, "topics": "t", option: value}
    with pytest.raises(ConfigError) as caught:
        world.worker.start_task(world.task(), config, {}, TargetState.STARTED)
    assert option in caught.value.errors
    assert message.split()[-1] in str(caught.value.errors)
    assert world.heard.tasks[world.task()] == [State.FAILED]


def test_a_failed_task_stays_failed_when_it_is_stopped(world: World) -> None:
    world.sink.put_errors = [ValueError("bad")]
    world.kafka.produce("t", b"a")
    task = world.start_sink()
    world.wait_failed(task)
    world.stop(task)
    assert world.heard.tasks[task][-1] is State.FAILED


def test_a_task_cannot_be_started_twice(world: World) -> None:
    world.start_source()
    with pytest.raises(ConnectError, match="Task already exists in this worker: c-0"):
        world.worker.start_task(world.task(), SOURCE, {}, TargetState.STARTED)


def test_tasks_of_one_connector_are_known_until_they_are_stopped(world: World) -> None:
    world.start_source(index=1)
    world.start_source(index=0)
    assert world.worker.tasks_of(world.name) == [TaskId(world.name, 0), TaskId(world.name, 1)]
    world.worker.stop_tasks(world.worker.tasks_of(world.name))
    assert world.worker.tasks_of(world.name) == []


def test_clients_get_our_defaults_then_the_workers_settings_then_the_connectors(world: World) -> None:
    world.make_worker(
        **{
            "security.protocol": "SASL_SSL",
            "consumer.fetch.min.bytes": "7",
            "consumer.max.poll.interval.ms": "1",
            "producer.linger.ms": "9",
        }
    )
    world.start_sink({"consumer.override.max.poll.interval.ms": "2"})
    made = world.kafka.made[-1]
    assert made["group.id"] == "connect-c"
    assert made["client.id"] == "connector-consumer-c-0"
    assert made["fetch.min.bytes"] == "7"
    assert made["max.poll.interval.ms"] == "2"
    assert made["security.protocol"] == "SASL_SSL"
    assert "linger.ms" not in made


def test_a_sink_may_use_a_group_of_its_own(world: World) -> None:
    world.kafka.produce("t", b"a")
    world.start_sink({"consumer.override.group.id": "mine"})
    world.sink.received(1)
    world.stop()
    assert world.kafka.committed("mine")
    entry = {"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": {"kafka_offset": 1}}
    config = {"connector.class": PROBE_SINK, "consumer.override.group.id": "mine"}
    assert world.worker.connector_offsets(world.name, config) == [entry]


def test_the_page_of_metrics_names_what_runs_here(world: World) -> None:
    world.kafka.produce("t", b"a", b"b")
    world.start_sink({"consumer.override.max.poll.records": "1"})
    world.sink.received(2)
    world.wait_committed(2)
    world.worker.start_connector(
        world.name, {"name": "c", "connector.class": PROBE_SINK, "topics": "t"}, TargetState.STARTED
    )
    page = world.worker.prometheus().splitlines()
    for line in (
        "kafka_connect_worker_connector_count 1",
        "kafka_connect_worker_task_count 1",
        'kafka_connect_connector_status{connector="c",status="running"} 1',
        'kafka_connect_connector_task_status{connector="c",task="0",status="running"} 1',
        'kafka_connect_sink_task_sink_record_read_total{connector="c",task="0"} 2',
        'kafka_connect_sink_task_sink_record_send_total{connector="c",task="0"} 2',
        'kafka_connect_sink_task_partition_count{connector="c",task="0"} 1',
        'kafka_connect_task_error_total_record_failures{connector="c",task="0"} 0',
        "# TYPE kafka_connect_sink_task_sink_record_read_total counter",
    ):
        assert line in page
