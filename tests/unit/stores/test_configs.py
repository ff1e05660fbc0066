"""The config topic's records and what they add up to."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.ids import ConnectorName, TaskId
from syncline.stores.configs import (
    ConfigEvent,
    ConfigSnapshot,
    ConnectorConfigured,
    LoggerSet,
    RestartRequested,
    SessionKey,
    StoredTarget,
    TargetSet,
    TaskConfigured,
    TasksCommitted,
    TasksFenced,
    UnreadableRecord,
    encode,
    parse,
)

X = ConnectorName("x")
GOLDEN = Path(__file__).parents[2] / "golden" / "data" / "internal_topics.json"


def task(index: int, **properties: str | None) -> TaskConfigured:
    return TaskConfigured(TaskId(X, index), properties)


def snapshot(*events: ConfigEvent) -> ConfigSnapshot:
    return ConfigSnapshot().fold(events, len(events))


CREATED = ConnectorConfigured(X, {"name": "x"})
names = st.text(min_size=1).map(ConnectorName)
properties = st.dictionaries(st.text(), st.none() | st.text(), max_size=4)
counts = st.integers(0, 2**31 - 1)

events = st.one_of(
    st.builds(ConnectorConfigured, names, st.none() | properties),
    st.builds(TaskConfigured, st.builds(TaskId, names, counts), properties),
    st.builds(TasksCommitted, names, counts),
    st.builds(TargetSet, names, st.none() | st.sampled_from(StoredTarget)),
    st.builds(TasksFenced, names, counts),
    st.builds(SessionKey, st.text(), st.text(), counts),
    st.builds(RestartRequested, names, st.booleans(), st.booleans()),
    st.builds(LoggerSet, st.text(), st.text()),
)


@given(events)
def test_every_event_survives_the_topic(event: ConfigEvent) -> None:
    assert parse(*encode(event)) == event


@given(st.binary(), st.none() | st.binary())
def test_any_bytes_are_an_event_or_refused(key: bytes, value: bytes | None) -> None:
    with contextlib.suppress(UnreadableRecord):
        assert encode(parse(key, value))


def recorded(part: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(GOLDEN.read_text())[part]["topics"]["configs"]["records"]
    return [record for record in records if "value_raw" in record]


@pytest.mark.parametrize("part", ["plain", "exactly_once"])
def test_what_kafka_connect_wrote_is_written_again_byte_for_byte(part: str) -> None:
    for record in recorded(part):
        key, raw = record["key"].encode(), record["value_raw"].encode()
        assert encode(parse(key, raw)) == (key, raw)


def test_the_recorded_topic_adds_up_to_the_state_its_steps_left() -> None:
    steps: dict[int, list[ConfigEvent]] = {}
    for record in recorded("plain"):
        event = parse(record["key"].encode(), record["value_raw"].encode())
        steps.setdefault(record["step_no"], []).append(event)
    state = ConfigSnapshot()
    seen = {}
    for number in sorted(steps):
        state = state.fold(steps[number], 0)
        seen[number] = state
    s1, k1 = ConnectorName("s1"), ConnectorName("k1")
    assert [str(found) for found in seen[2].tasks_of(k1)] == ["k1-0", "k1-1"]
    assert seen[3].target(s1) is StoredTarget.PAUSED
    assert seen[7].target(s1) is StoredTarget.STOPPED
    assert seen[7].tasks_of(s1) == []
    assert seen[9].target(s1) is StoredTarget.STARTED
    assert [str(found) for found in seen[9].tasks_of(s1)] == ["s1-0"]


def test_tasks_are_invisible_until_their_commit() -> None:
    before = snapshot(CREATED, task(0), task(1))
    assert before.tasks_of(X) == []
    assert before.fold([TasksCommitted(X, 2)], 4).tasks_of(X) == [TaskId(X, 0), TaskId(X, 1)]


def test_a_commit_without_all_its_tasks_makes_the_set_inconsistent_until_the_next_good_one() -> None:
    state = snapshot(CREATED, task(0), TasksCommitted(X, 1), task(1), TasksCommitted(X, 2))
    assert state.inconsistent == {X}
    assert state.tasks_of(X) == []
    healed = state.fold([task(0, a="1"), task(1, a="2"), TasksCommitted(X, 2)], 9)
    assert healed.inconsistent == frozenset()
    assert healed.tasks[TaskId(X, 1)] == {"a": "2"}


def test_tasks_left_pending_by_a_crash_do_not_join_the_next_set() -> None:
    state = snapshot(CREATED, task(5), task(0), TasksCommitted(X, 1))
    assert state.tasks == {TaskId(X, 0): {}}
    assert state.tasks_of(X) == [TaskId(X, 0)]
    later = state.fold([task(1), task(2), TasksCommitted(X, 6)], 7)
    assert later.inconsistent == {X}


def test_a_set_that_shrank_is_whole_after_compaction() -> None:
    # From two tasks to one, and to none when stopped: the last record of the second task stays for ever.
    shrunk = snapshot(CREATED, task(1, old="yes"), task(0), TasksCommitted(X, 1))
    assert shrunk.tasks == {TaskId(X, 0): {}}
    assert shrunk.inconsistent == frozenset()
    stopped = snapshot(CREATED, task(1, old="yes"), task(0), TasksCommitted(X, 0))
    assert (stopped.tasks, stopped.inconsistent) == ({}, frozenset())


def test_a_connector_created_again_does_not_find_its_predecessors_tasks() -> None:
    state = snapshot(CREATED, task(0), TasksCommitted(X, 1), ConnectorConfigured(X, None), TargetSet(X, None), CREATED)
    assert state.tasks_of(X) == []
    assert state.inconsistent == frozenset()
    # Compaction keeps the task and commit records behind the new connector's first ones.
    compacted = snapshot(CREATED, task(0, old="yes"), TasksCommitted(X, 1))
    assert compacted.tasks_of(X) == [TaskId(X, 0)]


def test_a_commit_for_a_deleted_connector_changes_nothing() -> None:
    assert snapshot(task(0), TasksCommitted(X, 1)) == ConfigSnapshot(offset=2)


def test_the_applied_configuration_is_the_one_at_the_commit() -> None:
    changed = ConnectorConfigured(X, {"name": "x", "b": "2"})
    state = snapshot(CREATED, task(0), TasksCommitted(X, 1), changed)
    assert state.applied[X] == {"name": "x"}
    assert state.connectors[X] == {"name": "x", "b": "2"}


def test_a_target_of_a_later_version_counts_as_started() -> None:
    assert parse(b"target-state-x", b'{"state":"PAUSED","state.v2":"RESTING"}') == TargetSet(X, StoredTarget.STARTED)
    assert parse(b"target-state-x", b'{"state":"PAUSED"}') == TargetSet(X, StoredTarget.PAUSED)


def test_names_may_hold_dashes() -> None:
    assert parse(b"task-a-b-12", b'{"properties":{}}') == TaskConfigured(TaskId(ConnectorName("a-b"), 12), {})
