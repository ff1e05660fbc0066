"""The status topic's records and the table they add up to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncline.ids import ConnectorName, TaskId
from syncline.stores.configs import UnreadableRecord
from syncline.stores.status import (
    ActiveTopic,
    Status,
    StatusTable,
    connector_record,
    task_record,
    topic_record,
)

X = ConnectorName("x")
TASK = TaskId(X, 0)
GOLDEN = Path(__file__).parents[2] / "golden" / "data" / "internal_topics.json"


def status(state: str, generation: int = 1, worker: str = "w:8083") -> Status:
    return Status(state, None, worker, generation, "4.1.0")


def test_what_kafka_connect_wrote_is_written_again_byte_for_byte() -> None:
    records = json.loads(GOLDEN.read_text())["plain"]["topics"]["status"]["records"]
    checked = 0
    for record in records:
        raw = record.get("value_raw")
        if raw is None or record["key"].startswith("status-topic-"):
            continue
        table = StatusTable()
        table.absorb(record["key"].encode(), raw.encode())
        again = [connector_record(name, found) for name, found in table.connectors.items()]
        again += [task_record(task, found) for task, found in table.tasks.items()]
        assert again == [(record["key"].encode(), raw.encode())]
        checked += 1
    assert checked > 20


def test_a_topics_use_survives_the_topic_and_is_forgotten_by_a_tombstone() -> None:
    table = StatusTable()
    active = ActiveTopic("t", ConnectorName("a:connector-b"), 2, 1_700_000_000_000)
    table.absorb(*topic_record("t", active.connector, active))
    assert table.topics == {active.connector: {"t": active}}
    table.absorb(*topic_record("t", active.connector, None))
    assert table.topics == {}


def test_a_late_unassigned_of_the_old_owner_does_not_hide_the_new_owners_running() -> None:
    table = StatusTable()
    table.absorb(*task_record(TASK, status("RUNNING", 5)))
    table.absorb(*task_record(TASK, status("UNASSIGNED", 4, "old:8083")))
    assert table.tasks[TASK].state == "RUNNING"
    table.absorb(*task_record(TASK, status("UNASSIGNED", 6)))
    assert table.tasks[TASK].state == "UNASSIGNED"


@pytest.mark.parametrize(
    ("known", "new", "allowed"),
    [
        pytest.param(None, status("FAILED"), True, id="nothing there yet"),
        pytest.param(status("RUNNING", 9), status("FAILED", 3), True, id="one's own record"),
        pytest.param(status("RUNNING", 9, "other:1"), status("FAILED", 3), False, id="a later owner's record"),
        pytest.param(status("RUNNING", 9, "other:1"), status("RUNNING", 3), True, id="not a safe state"),
    ],
)
def test_failures_do_not_overwrite_the_record_of_a_later_owner(
    known: Status | None, new: Status, allowed: bool
) -> None:
    assert StatusTable().may_put(known, new) is allowed


def test_a_deleted_connector_and_its_tasks_are_gone() -> None:
    table = StatusTable()
    table.absorb(*connector_record(X, status("RUNNING")))
    table.absorb(*task_record(TASK, status("RUNNING")))
    table.absorb(*connector_record(X, None))
    table.absorb(*task_record(TASK, None))
    assert table == StatusTable()


@pytest.mark.parametrize("key", [b"what-x", b"status-topic-t", b"status-task-x", b"\xff"])
def test_a_record_that_means_nothing_is_refused(key: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        StatusTable().absorb(key, b'{"state":"RUNNING","worker_id":"w","generation":1}')
