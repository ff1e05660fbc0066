"""What a sink task sees, and what is committed for it."""

from __future__ import annotations

import threading
from collections.abc import Collection

import pytest

from syncline.data import SinkRecord
from syncline.errors import ConnectError, DataError, RetriableError
from syncline.ids import TopicPartition
from syncline.testing.probes import ProbeSinkTask
from syncline.worker.states import State, TargetState
from tests.unit.worker.conftest import World

T0 = TopicPartition("t", 0)
T1 = TopicPartition("t", 1)
DEAD_LETTERS = {
    "errors.deadletterqueue.topic.name": "d",
    "errors.deadletterqueue.topic.replication.factor": "1",
}


def test_records_are_put_in_order_and_then_committed(world: World) -> None:
    world.kafka.produce("t", b"a", b"b", b"c")
    world.start_sink()
    assert world.sink.received(3) == ["a", "b", "c"]
    world.wait_committed(3)


def test_a_stop_commits_what_was_put_and_releases_everything_in_order(world: World) -> None:
    world.make_worker(offset_flush_interval_ms="60000")
    world.kafka.produce("t", b"a", b"b")
    task = world.start_sink()
    world.sink.received(2)
    world.stop(task)
    assert world.committed() == 2
    assert world.sink.names()[-3:] == ["flush", "close", "stop"]
    assert world.heard.tasks[task] == [State.RUNNING, State.UNASSIGNED]


def test_the_task_is_called_from_one_thread_only(world: World) -> None:
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.sink.received(1)
    world.kafka.rebalance("connect-c")
    world.sink.wait_call("close")
    world.sink.wait_call("open", 2)
    world.stop()
    assert len(world.sink.tasks[0].threads) == 1


def test_a_restart_goes_on_behind_the_committed_offset(world: World) -> None:
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.sink.received(1)
    world.stop()
    world.kafka.produce("t", b"b")
    world.start_sink()
    assert world.sink.received(2) == ["a", "b"]


def test_a_retriable_error_brings_the_same_list_again_and_nothing_else(world: World) -> None:
    def hurry(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        task.context.timeout(1)

    world.sink.on_put = hurry
    world.sink.put_errors = [RetriableError("busy"), RetriableError("busy"), None]
    world.kafka.produce("t", b"a", b"b")
    world.start_sink({"consumer.override.max.poll.records": "1"})
    assert world.sink.received(2) == ["a", "b"]
    assert [call for call in world.sink.calls if call[0] == "put" and call[1]][:3] == [("put", 1)] * 3


def test_what_is_put_again_is_not_committed_meanwhile(world: World) -> None:
    tried = threading.Event()

    def fail_until_released(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        if records and not tried.is_set():
            world.sink.note("tried")
            task.context.request_commit()
            task.context.timeout(1)
            raise RetriableError("busy")

    world.sink.on_put = fail_until_released
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.sink.wait_call("tried", 5)
    assert world.committed() is None
    tried.set()
    world.wait_committed(1)


def test_any_other_error_of_put_fails_the_task_and_is_never_tolerated(world: World) -> None:
    world.sink.put_errors = [DataError("bad row")]
    world.kafka.produce("t", b"a")
    world.start_sink({"errors.tolerance": "all", **DEAD_LETTERS})
    trace = world.wait_failed()
    assert trace.startswith(
        "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception."
    )
    assert "Caused by: org.apache.kafka.connect.errors.DataException: bad row" in trace
    assert world.kafka.values("d") == []
    assert world.committed() is None
    assert world.sink.names()[-1] == "stop"


def test_records_before_the_failed_list_stay_committed(world: World) -> None:
    world.sink.put_errors = [None, ValueError("bad row")]
    world.kafka.produce("t", b"a", b"b")
    world.start_sink({"consumer.override.max.poll.records": "1"})
    world.wait_failed()
    world.wait_committed(1)


def test_a_rebalance_commits_before_it_gives_the_partitions_up(world: World) -> None:
    world.make_worker(offset_flush_interval_ms="60000")
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.sink.received(1)
    world.kafka.rebalance("connect-c")
    world.sink.wait_call("open", 2)
    names = world.sink.names()
    assert names.index("flush") < names.index("close")
    assert world.committed() == 1


def test_lost_partitions_are_closed_without_a_commit(world: World) -> None:
    world.make_worker(offset_flush_interval_ms="60000")
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.sink.received(1)
    world.kafka.expel("connect-c")
    world.sink.wait_call("close")
    assert "flush" not in world.sink.names()
    # Nothing was committed, so the record comes again.
    assert world.sink.received(2) == ["a", "a"]


def test_a_rebalance_while_the_task_retries_drops_its_list(world: World) -> None:
    """The next owner gets it; putting it here too would write it twice, and later."""
    refusing = threading.Event()

    def refuse(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        if records and not refusing.is_set():
            world.sink.note("refused")
            task.context.timeout(60_000)
            raise RetriableError("busy")

    world.sink.on_put = refuse
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.sink.wait_call("refused")
    world.kafka.rebalance("connect-c")
    world.sink.wait_call("open", 2)
    assert world.committed() is None
    world.stop()


def test_two_tasks_share_the_partitions(world: World) -> None:
    world.kafka.admin({}).create_topic("t", partitions=2)
    world.start_sink(index=0)
    world.start_sink(index=1)
    world.sink.wait(lambda: ("open", [T0]) in world.sink.calls and ("open", [T1]) in world.sink.calls)
    world.kafka.produce("t", b"a", partition=0)
    world.kafka.produce("t", b"b", partition=1)
    assert sorted(world.sink.received(2)) == ["a", "b"]
    world.wait_committed(1, partition=0)
    world.wait_committed(1, partition=1)


def test_a_failed_flush_brings_everything_since_the_last_commit_again(world: World) -> None:
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.wait_committed(1)
    world.sink.flush_errors = [OSError("disk full")]
    world.kafka.produce("t", b"b")
    assert world.sink.received(3) == ["a", "b", "b"]
    world.wait_committed(2)


def test_a_failed_flush_before_the_first_commit_starts_over(world: World) -> None:
    world.sink.flush_errors = [OSError("disk full")]
    world.kafka.produce("t", b"a", b"b")
    world.start_sink()
    assert world.sink.received(4) == ["a", "b", "a", "b"]
    world.wait_committed(2)


def test_a_refused_commit_is_tried_again_with_the_next_one(world: World) -> None:
    world.kafka.refuse_commits = RetriableError("the coordinator is moving")
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.sink.wait_call("flush", 2)
    assert world.committed() is None
    world.kafka.refuse_commits = None
    world.wait_committed(1)
    assert world.sink.received(1) == ["a"]


@pytest.mark.parametrize(
    ("stated", "committed"),
    [
        pytest.param({T0: 1}, 1, id="less than was put is believed"),
        pytest.param({}, None, id="nothing stated, nothing committed"),
        pytest.param({T0: 99}, None, id="more than was put is ignored"),
        pytest.param({TopicPartition("other", 0): 1}, None, id="a foreign partition is ignored"),
    ],
)
def test_pre_commit_decides_what_is_committed(
    world: World, monkeypatch: pytest.MonkeyPatch, stated: dict[TopicPartition, int], committed: int | None
) -> None:
    monkeypatch.setattr(ProbeSinkTask, "pre_commit", lambda self, offsets: stated)
    world.kafka.produce("t", b"a", b"b")
    world.start_sink()
    world.sink.received(2)
    world.stop()
    assert world.committed() == committed


def test_a_task_may_start_from_offsets_of_its_own(world: World) -> None:
    """Exactly-once sinks keep offsets beside their rows and ask for them in `open`."""

    def start_at_two(task: ProbeSinkTask, partitions: Collection[TopicPartition]) -> None:
        task.context.offset({T0: 2})

    world.sink.on_open = start_at_two
    world.kafka.produce("t", b"a", b"b", b"c")
    world.start_sink()
    assert world.sink.received(1) == ["c"]


def test_a_task_may_rewind_while_it_takes_records(world: World) -> None:
    rewound = threading.Event()

    def rewind_once(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        if records and records[-1].value == "c" and not rewound.is_set():
            rewound.set()
            task.context.offset({T0: 1})

    world.sink.on_put = rewind_once
    world.kafka.produce("t", b"a", b"b", b"c")
    world.start_sink({"consumer.override.max.poll.records": "1"})
    assert world.sink.received(5) == ["a", "b", "c", "b", "c"]
    world.wait_committed(3)


def test_a_partition_the_task_paused_waits_until_it_is_resumed(world: World) -> None:
    world.kafka.admin({}).create_topic("t", partitions=2)

    def pause_first(task: ProbeSinkTask, partitions: Collection[TopicPartition]) -> None:
        task.context.pause(T0)

    def resume_when_told(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        if any(record.value == "go" for record in records):
            task.context.resume(T0)

    world.sink.on_open, world.sink.on_put = pause_first, resume_when_told
    world.kafka.produce("t", b"a", b"b", partition=0)
    world.kafka.produce("t", b"go", partition=1)
    world.start_sink()
    assert world.sink.received(3) == ["go", "a", "b"]
    world.wait_committed(2, partition=0)


def test_records_read_ahead_of_a_pause_are_kept_in_order(world: World) -> None:
    paused = threading.Event()

    def pause_at_first(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        if records and not paused.is_set():
            paused.set()
            task.context.pause(T0)
        elif not records and paused.is_set():
            task.context.resume(T0)

    world.sink.on_put = pause_at_first
    world.kafka.produce("t", *(str(number).encode() for number in range(10)))
    world.start_sink({"consumer.override.max.poll.records": "2"})
    assert world.sink.received(10) == [str(number) for number in range(10)]
    world.wait_committed(10)


def test_pausing_a_partition_of_somebody_else_is_an_error(world: World) -> None:
    def pause_foreign(task: ProbeSinkTask, partitions: Collection[TopicPartition]) -> None:
        task.context.pause(TopicPartition("other", 3))

    world.sink.on_open = pause_foreign
    world.start_sink()
    assert "only partitions it has, and not other-3" in world.wait_failed()


def test_an_empty_list_comes_when_nothing_is_read(world: World) -> None:
    world.start_sink()
    world.sink.wait(lambda: ("put", 0) in world.sink.calls)


def test_a_paused_connector_keeps_its_partitions_and_puts_nothing(world: World) -> None:
    world.kafka.produce("t", b"a")
    task = world.start_sink()
    world.sink.received(1)
    world.worker.set_target(world.name, TargetState.PAUSED)
    world.heard.wait_task(task, State.PAUSED)
    world.kafka.produce("t", b"b")
    puts = world.sink.names().count("put")
    world.wait_committed(1)
    assert "close" not in world.sink.names()
    assert world.sink.names().count("put") == puts
    world.worker.set_target(world.name, TargetState.STARTED)
    assert world.sink.received(2) == ["a", "b"]
    assert world.heard.tasks[task] == [State.RUNNING, State.PAUSED, State.RUNNING]


def test_a_paused_task_still_takes_part_in_a_rebalance(world: World) -> None:
    task = world.start_sink()
    world.sink.wait_call("open")
    world.worker.set_target(world.name, TargetState.PAUSED)
    world.heard.wait_task(task, State.PAUSED)
    world.kafka.rebalance("connect-c")
    world.sink.wait_call("open", 2)


def test_a_task_that_begins_paused_is_not_started_before_it_is_resumed(world: World) -> None:
    task = world.start_sink(target=TargetState.PAUSED)
    world.heard.wait_task(task, State.PAUSED)
    assert world.sink.names() == []
    world.worker.set_target(world.name, TargetState.STARTED)
    world.heard.wait_task(task, State.RUNNING)
    world.sink.wait_call("start")


def test_an_error_of_start_fails_the_task_with_that_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, config: object, context: object) -> None:
        raise ConnectError("no such database")

    monkeypatch.setattr(ProbeSinkTask, "start", refuse)
    world.start_sink()
    assert world.wait_failed().startswith("org.apache.kafka.connect.errors.ConnectException: no such database")
    assert world.sink.names() == ["stop"]


def test_an_error_of_open_fails_the_task(world: World) -> None:
    def refuse(task: ProbeSinkTask, partitions: Collection[TopicPartition]) -> None:
        raise OSError("no disk")

    world.sink.on_open = refuse
    world.start_sink()
    assert "java.io.IOException: no disk" in world.wait_failed()


def test_topics_are_told_once_by_their_name_in_kafka(world: World) -> None:
    router = "org.apache.kafka.connect.transforms.RegexRouter"
    world.kafka.produce("t", b"a", b"b")
    world.start_sink(
        {
            "transforms": "r",
            "transforms.r.type": router,
            "transforms.r.regex": ".*",
            "transforms.r.replacement": "u",
            "consumer.override.max.poll.records": "1",
        }
    )
    world.sink.received(2)
    assert [record.topic for record in world.sink.records] == ["u", "u"]
    assert world.heard.topics == [("c", "t", 0)]
    world.wait_committed(2)


def test_topics_that_match_the_pattern_are_read_also_when_they_come_later(world: World) -> None:
    world.kafka.produce("orders-1", b"a")
    world.kafka.produce("other", b"x")
    world.kafka.produce("__orders-internal", b"x")
    world.start_sink({"topics": "", "topics.regex": "(__)?orders-.*"})
    assert world.sink.received(1) == ["a"]


def test_a_record_that_cannot_be_converted_fails_the_task_and_names_the_record(world: World) -> None:
    world.kafka.produce("t", b"1", b"x", b"3")
    world.start_sink({"value.converter": "org.apache.kafka.connect.json.JsonConverter"})
    trace = world.wait_failed()
    assert trace.startswith(
        "org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler "
        "(VALUE_CONVERTER, topic t, partition 0, offset 0)"
    )
    assert "Caused by: org.apache.kafka.connect.errors.DataException" in trace
    assert world.sink.records == []
    assert world.committed() is None


def test_bad_records_go_to_the_dead_letters_and_their_offsets_are_committed(world: World) -> None:
    world.kafka.produce("t", b'"a"', b"{", b'"b"', b"}")
    world.start_sink(
        {
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "false",
            "errors.tolerance": "all",
            **DEAD_LETTERS,
        }
    )
    assert world.sink.received(2) == ["a", "b"]
    world.wait_committed(4)
    assert world.kafka.values("d") == [b"{", b"}"]


def test_offsets_wait_until_the_dead_letters_are_durable(world: World) -> None:
    world.kafka.held = True
    world.kafka.produce("t", b"{")
    world.start_sink(
        {"value.converter": "org.apache.kafka.connect.json.JsonConverter", "errors.tolerance": "all", **DEAD_LETTERS}
    )
    world.sink.wait_call("flush", 2)
    assert world.committed() is None
    world.kafka.held = False
    world.wait_committed(1)
    assert world.kafka.values("d") == [b"{"]


def test_a_dead_letter_that_is_refused_fails_the_task_before_the_offset_moves(world: World) -> None:
    world.kafka.refuse_records = lambda topic, value: ConnectError("too large") if topic == "d" else None
    world.kafka.produce("t", b"{")
    world.start_sink(
        {"value.converter": "org.apache.kafka.connect.json.JsonConverter", "errors.tolerance": "all", **DEAD_LETTERS}
    )
    assert "dead-letter topic d" in world.wait_failed()
    assert world.committed() is None


def test_a_task_may_report_single_records(world: World) -> None:
    def report_bad(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        for record in [record for record in records if record.value == "bad"]:
            assert task.context.errant_record_reporter is not None
            task.context.errant_record_reporter.report(record, DataError("no"))
            records.remove(record)

    world.sink.on_put = report_bad
    world.kafka.produce("t", b"a", b"bad", b"b", key=b"k")
    world.start_sink(
        {"errors.tolerance": "all", **DEAD_LETTERS, "errors.deadletterqueue.context.headers.enable": "true"}
    )
    assert world.sink.received(2) == ["a", "b"]
    world.wait_committed(3)
    (letter,) = world.kafka.read("d")
    assert (letter.key, letter.value) == (b"k", b"bad")
    headers = dict(letter.headers or ())
    assert headers["__connect.errors.stage"] == b"TASK_PUT"
    assert headers["__connect.errors.class.name"] == b"org.apache.kafka.connect.sink.SinkTask"


def test_a_record_reported_after_it_was_put_is_read_again_for_its_bytes(world: World) -> None:
    held: list[SinkRecord] = []

    def hold(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        if records:
            held.extend(records)
        elif held:
            assert task.context.errant_record_reporter is not None
            task.context.errant_record_reporter.report(held.pop(), DataError("late"))

    world.sink.on_put = hold
    world.kafka.produce("t", b"late")
    world.start_sink({"errors.tolerance": "all", **DEAD_LETTERS})
    with world.kafka.changed:
        assert world.kafka.changed.wait_for(lambda: world.kafka.values("d") == [b"late"], 20)


def test_reporting_without_tolerance_writes_the_letter_and_fails_the_task(world: World) -> None:
    def report(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        for record in records:
            assert task.context.errant_record_reporter is not None
            task.context.errant_record_reporter.report(record, DataError("no"))

    world.sink.on_put = report
    world.kafka.produce("t", b"bad")
    world.start_sink({**DEAD_LETTERS})
    assert "Tolerance exceeded in error handler" in world.wait_failed()
    assert world.kafka.values("d") == [b"bad"]
    assert world.committed() is None


def test_there_is_no_reporter_unless_failures_go_somewhere(world: World) -> None:
    world.start_sink({"errors.tolerance": "all"})
    world.sink.wait_call("open")
    assert world.sink.tasks[0].context.errant_record_reporter is None


def test_a_task_that_hangs_is_abandoned_and_its_partitions_go_to_the_next(world: World) -> None:
    world.make_worker(task_shutdown_graceful_timeout_ms="700", offset_flush_interval_ms="60000")
    release = threading.Event()

    def hang(task: ProbeSinkTask, records: list[SinkRecord]) -> None:
        if records and task is world.sink.tasks[0]:
            world.sink.note("hanging")
            assert release.wait(20)

    world.sink.on_put = hang
    world.kafka.produce("t", b"a")
    task = world.start_sink()
    world.sink.wait_call("hanging")
    world.stop(task)
    world.start_sink()
    assert world.sink.received(1) == ["a"]
    world.stop()
    release.set()
    world.sink.wait_call("stop", 2)
    assert world.committed() == 1
    assert world.heard.tasks[task] == [State.RUNNING, State.RUNNING, State.UNASSIGNED]
