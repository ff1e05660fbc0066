"""What a source task's records become, and which offsets are stored."""

from __future__ import annotations

import pytest

from syncline.data import SourceRecord
from syncline.errors import ConnectError, RetriableError
from syncline.testing.builders import source_record
from syncline.testing.probes import ProbeSourceTask
from syncline.worker.states import State, TargetState
from tests.unit.worker.conftest import World


def numbered(number: int, **facts: object) -> SourceRecord:
    return source_record(f"v{number}", offset={"at": number}, **facts)  # type: ignore[arg-type]  # test facts


def stored(world: World, partition: dict[str, object] | None = None) -> dict[str, object] | None:
    return world.offsets.table.offset("c", partition or {"p": 1})


def wait_stored(world: World, offset: dict[str, object] | None) -> None:
    world.source.wait(lambda: stored(world) == offset, f"offset {offset} to be stored, not {stored(world)}")


def wait_sent(world: World, *values: bytes, topic: str = "t") -> None:
    with world.kafka.changed:
        assert world.kafka.changed.wait_for(lambda: world.kafka.values(topic) == list(values), 20), world.kafka.values(
            topic
        )


def test_records_arrive_in_order_and_their_offsets_are_stored(world: World) -> None:
    world.start_source()
    world.source.emit(numbered(1), numbered(2))
    world.source.emit(numbered(3))
    wait_sent(world, b"v1", b"v2", b"v3")
    wait_stored(world, {"at": 3})
    world.source.wait_call("commit")


def test_a_task_is_given_the_stored_offsets(world: World) -> None:
    world.offsets.commit("c", [({"p": 1}, {"at": 7})])
    world.source.ask_for = [{"p": 1}, {"p": 2}]
    world.start_source()
    assert world.source.wait(lambda: world.source.offsets_read) == [[{"at": 7}, None]]


def test_partition_key_timestamp_and_headers_are_kept(world: World) -> None:
    world.kafka.admin({}).create_topic("t", partitions=3)
    world.start_source()
    world.source.emit(SourceRecord({"p": 1}, None, "t", None, "v", key="k", partition=2, timestamp=5))
    wait_sent(world, b"v")
    (record,) = world.kafka.read("t")
    assert (record.partition, record.key, record.timestamp) == (2, b"k", 5)


def test_no_offset_is_stored_before_its_record_is_acknowledged(world: World) -> None:
    world.kafka.held = True
    world.start_source()
    world.source.emit(numbered(1))
    world.source.wait_call("poll", 4)
    assert stored(world) is None
    world.kafka.held = False
    wait_stored(world, {"at": 1})


def test_a_stop_stores_the_last_offsets(world: World) -> None:
    world.make_worker(offset_flush_interval_ms="60000")
    task = world.start_source()
    world.source.emit(numbered(1))
    wait_sent(world, b"v1")
    world.stop(task)
    assert stored(world) == {"at": 1}
    assert world.source.names()[-1] == "close"
    assert world.heard.tasks[task] == [State.RUNNING, State.UNASSIGNED]


def test_a_record_that_is_not_delivered_fails_the_task_and_its_offset_is_never_stored(world: World) -> None:
    world.kafka.refuse_records = lambda topic, value: ConnectError("too large") if value == b"v2" else None
    world.start_source()
    world.source.emit(numbered(1))
    wait_stored(world, {"at": 1})
    world.source.emit(numbered(2), numbered(3))
    trace = world.wait_failed()
    assert trace.startswith(
        "org.apache.kafka.connect.errors.ConnectException: Unrecoverable exception from producer send callback"
    )
    world.source.wait_call("close")
    assert stored(world) == {"at": 1}


def test_with_tolerance_a_record_that_is_not_delivered_is_skipped(world: World) -> None:
    world.kafka.refuse_records = lambda topic, value: ConnectError("too large") if value == b"v2" else None
    world.start_source({"errors.tolerance": "all"})
    world.source.emit(numbered(1), numbered(2), numbered(3))
    wait_sent(world, b"v1", b"v3")
    wait_stored(world, {"at": 3})


def test_a_record_that_cannot_be_converted_fails_the_task(world: World) -> None:
    world.start_source({"value.converter": "org.apache.kafka.connect.converters.LongConverter"})
    world.source.emit(numbered(1))
    trace = world.wait_failed()
    assert (
        "Tolerance exceeded in error handler (VALUE_CONVERTER, source partition {p=1}, source offset {at=1})" in trace
    )
    assert stored(world) is None


def test_with_tolerance_a_record_that_cannot_be_converted_is_skipped_and_committed(world: World) -> None:
    world.start_source(
        {"errors.tolerance": "all", "value.converter": "org.apache.kafka.connect.converters.LongConverter"}
    )
    world.source.emit(source_record(1, offset={"at": 1}), source_record("x", offset={"at": 2}))
    wait_sent(world, (1).to_bytes(8, "big"))
    wait_stored(world, {"at": 2})


def test_a_record_that_a_transform_drops_still_counts_for_the_offset(world: World) -> None:
    world.start_source({"transforms": "f", "transforms.f.type": "org.apache.kafka.connect.transforms.Filter"})
    world.source.emit(numbered(1))
    wait_stored(world, {"at": 1})
    assert world.kafka.read("t") == []


def test_the_offset_stored_is_that_of_the_task_not_of_a_transformed_record(world: World) -> None:
    router = "org.apache.kafka.connect.transforms.RegexRouter"
    world.start_source(
        {"transforms": "r", "transforms.r.type": router, "transforms.r.regex": "t", "transforms.r.replacement": "u"}
    )
    world.source.emit(numbered(1))
    wait_sent(world, b"v1", topic="u")
    wait_stored(world, {"at": 1})
    assert world.heard.topics == [("c", "u", 0)]


def test_a_full_queue_holds_the_task_back_and_loses_nothing(world: World) -> None:
    world.kafka.room = 2
    world.start_source()
    world.source.emit(*(numbered(number) for number in range(20)))
    wait_sent(world, *(f"v{number}".encode() for number in range(20)))
    wait_stored(world, {"at": 19})


def test_a_stop_while_the_queue_is_full_stores_only_what_was_sent(world: World) -> None:
    world.make_worker(offset_flush_timeout_ms="50")
    world.kafka.room, world.kafka.held = 1, True
    task = world.start_source()
    world.source.emit(numbered(1), numbered(2))
    world.source.wait(lambda: not world.source._batches)
    world.stop(task)
    assert world.heard.tasks[task] == [State.RUNNING, State.UNASSIGNED]
    assert stored(world) is None


def test_a_retriable_error_of_poll_is_tried_again(world: World) -> None:
    world.source.poll_errors = [RetriableError("busy"), RetriableError("busy")]
    task = world.start_source()
    world.source.emit(numbered(1))
    wait_sent(world, b"v1")
    assert world.heard.tasks[task] == [State.RUNNING]


def test_any_other_error_of_poll_fails_the_task(world: World) -> None:
    world.source.poll_errors = [None, ValueError("table is gone")]
    world.start_source()
    world.source.emit(numbered(1))
    assert world.wait_failed().startswith("java.lang.IllegalArgumentException: table is gone")
    # What was in Kafka before the failure need not be read again.
    wait_stored(world, {"at": 1})


def test_an_error_of_the_commit_hook_is_only_logged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def complain(self: ProbeSourceTask) -> None:
        raise OSError("cannot acknowledge")

    monkeypatch.setattr(ProbeSourceTask, "commit", complain)
    task = world.start_source()
    world.source.emit(numbered(1))
    wait_stored(world, {"at": 1})
    world.source.emit(numbered(2))
    wait_stored(world, {"at": 2})
    assert world.heard.tasks[task] == [State.RUNNING]


def test_offsets_that_cannot_be_stored_now_are_stored_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = [RetriableError("the topic is moving")]
    save = world.offsets.save

    def save_later(entries: dict[bytes, bytes | None], seconds: float) -> None:
        if refused:
            raise refused.pop()
        save(entries, seconds)

    monkeypatch.setattr(world.offsets, "save", save_later)
    world.start_source()
    world.source.emit(numbered(1))
    wait_stored(world, {"at": 1})


def test_offsets_of_a_wrong_shape_fail_the_task_with_the_reason(world: World) -> None:
    world.start_source()
    world.source.emit(source_record("v", offset={"at": [1]}))
    assert "Offsets may only contain primitive types as values, but field at contains list" in world.wait_failed()


def test_a_null_offset_is_stored_as_a_deletion(world: World) -> None:
    world.offsets.commit("c", [({"p": 1}, {"at": 7})])
    world.start_source()
    world.source.emit(source_record("v", offset=None))
    wait_stored(world, None)


def test_a_paused_task_is_not_polled_and_its_offsets_are_still_stored(world: World) -> None:
    world.kafka.held = True
    task = world.start_source()
    world.source.emit(numbered(1))
    world.source.wait_call("poll", 2)
    world.worker.set_target(world.name, TargetState.PAUSED)
    world.heard.wait_task(task, State.PAUSED)
    polls = world.source.names().count("poll")
    world.kafka.held = False
    wait_stored(world, {"at": 1})
    assert world.source.names().count("poll") <= polls + 1
    world.source.emit(numbered(2))
    world.worker.set_target(world.name, TargetState.STARTED)
    wait_sent(world, b"v1", b"v2")


def test_a_task_that_begins_paused_is_not_started(world: World) -> None:
    task = world.start_source(target=TargetState.PAUSED)
    world.heard.wait_task(task, State.PAUSED)
    assert world.source.names() == []
    world.stop(task)
    assert world.source.names() == []
    assert world.heard.tasks[task] == [State.PAUSED, State.UNASSIGNED]


def test_topics_are_set_up_as_the_connector_says(world: World) -> None:
    world.start_source(
        {
            "topic.creation.default.partitions": "3",
            "topic.creation.default.replication.factor": "1",
            "topic.creation.default.cleanup.policy": "compact",
        }
    )
    world.source.emit(numbered(1))
    wait_sent(world, b"v1")
    facts = world.kafka.admin({}).topic("t")
    assert facts is not None
    assert facts.partitions == 3
    assert world.kafka.admin({}).topic_configs("t") == {"cleanup.policy": "compact"}


def test_a_worker_may_forbid_that_connectors_set_up_topics(world: World) -> None:
    world.make_worker(topic_creation_enable="false")
    world.start_source({"topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1"})
    world.source.emit(numbered(1))
    wait_sent(world, b"v1")
    facts = world.kafka.admin({}).topic("t")
    assert facts is not None
    assert facts.partitions == 1


def test_a_topic_that_cannot_be_made_fails_the_task_with_advice(world: World) -> None:
    world.kafka.refuse_topics = ConnectError("INVALID_REPLICATION_FACTOR: 3 replicas on one broker")
    world.start_source({"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "3"})
    world.source.emit(numbered(1))
    assert "Task failed to create new topic t" in world.wait_failed()
