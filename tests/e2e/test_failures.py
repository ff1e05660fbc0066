"""What an operator sees when a record is bad or the database is away, and that nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import WorkerProgram
from tests.servers import Database, Server, make_mariadb, wait_for

SCHEMA = {
    "type": "struct",
    "fields": [
        {"type": "int32", "optional": False, "field": "id"},
        {"type": "string", "optional": True, "field": "name"},
    ],
    "optional": False,
}


def record(number: int, name: str | None = "ok") -> str:
    return json.dumps({"schema": SCHEMA, "payload": {"id": number, "name": name}})


BAD = [
    pytest.param("not json", "VALUE_CONVERTER", "org.apache.kafka.connect.json.JsonConverter", id="not JSON"),
    pytest.param(
        '{"id":2,"name":"x"}',
        "VALUE_CONVERTER",
        "org.apache.kafka.connect.json.JsonConverter",
        id="no schema",
    ),
    pytest.param(
        record(2, "far too long"),
        "TASK_PUT",
        "org.apache.kafka.connect.sink.SinkTask",
        id="violates a column",
    ),
]


@pytest.fixture
def table(mariadb: Database) -> Database:
    mariadb.query("CREATE TABLE people (id int primary key, name varchar(5))")
    return mariadb


def config(database: Database, topic: str, **more: str) -> dict[str, str]:
    return {
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "topics": topic,
        "table.name.format": "people",
        "max.retries": "2",
        "retry.backoff.ms": "100",
        "connection.attempts": "2",
        "connection.backoff.ms": "100",
        **database.connector_config,
        **{key.replace("_", "."): value for key, value in more.items()},
    }


def ids(database: Database) -> list[int]:
    return [found[0] for found in database.query("SELECT id FROM people ORDER BY id")]


@pytest.mark.parametrize(("bad", "stage", "class_name"), BAD)
def test_a_bad_record_fails_the_task_with_its_coordinates(
    worker: WorkerProgram,
    table: Database,
    topic: str,
    produce: Callable[..., None],
    bad: str,
    stage: str,
    class_name: str,
) -> None:
    worker.create(topic, config(table, topic))
    produce(topic, record(1), bad, record(3))
    wait_for(lambda: worker.task_states(topic) == ["FAILED"], "the task fails")
    trace = worker.status(topic)["tasks"][0]["trace"]
    assert trace.startswith("org.apache.kafka.connect.errors.ConnectException")
    for part in (topic, "partition", "offset"):
        assert part in trace
    assert "1" in trace
    assert table.server.password not in trace
    worker.delete(topic)


@pytest.mark.parametrize(("bad", "stage", "class_name"), BAD)
def test_with_tolerance_a_bad_record_alone_is_a_dead_letter_and_all_others_are_rows(
    worker: WorkerProgram,
    table: Database,
    topic: str,
    produce: Callable[..., None],
    read: Callable[[str, int], Any],
    bad: str,
    stage: str,
    class_name: str,
) -> None:
    worker.create(
        topic,
        {
            **config(table, topic),
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": f"{topic}_dlq",
            "errors.deadletterqueue.topic.replication.factor": "1",
            "errors.deadletterqueue.context.headers.enable": "true",
        },
    )
    produce(topic, record(1), bad, record(3), record(4))
    wait_for(lambda: ids(table) == [1, 3, 4], "all other records are rows")
    (letter,) = read(f"{topic}_dlq", 1)
    assert letter.value().decode() == bad
    headers = [(key, value.decode()) for key, value in letter.headers()]
    assert [key.removeprefix("__connect.errors.") for key, _ in headers] == [
        "topic",
        "partition",
        "offset",
        "connector.name",
        "task.id",
        "stage",
        "class.name",
        "exception.class.name",
        "exception.message",
        "exception.stacktrace",
    ]
    assert [value for _, value in headers][:7] == [topic, "0", "1", topic, "0", stage, class_name]
    assert worker.task_states(topic) == ["RUNNING"]
    worker.delete(topic)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    server = make_mariadb(tmp_path)
    server.start()
    yield server
    server.kill()


def test_a_database_that_is_down_refuses_the_connector_with_the_reason(
    worker: WorkerProgram, own_server: Server, topic: str
) -> None:
    database = own_server.database("d")
    own_server.kill()
    answer = httpx.post(f"{worker.url}/connectors", json={"name": topic, "config": config(database, topic)}, timeout=60)
    assert answer.status_code == 400
    assert "Could not connect to database" in answer.json()["message"]
    assert own_server.password not in answer.text
    assert httpx.get(f"{worker.url}/connectors/{topic}").status_code == 404


def test_a_database_that_goes_away_is_retried_then_fails_the_task_and_restart_loses_nothing(
    worker: WorkerProgram, own_server: Server, topic: str, produce: Callable[..., None]
) -> None:
    database = own_server.database("d")
    database.query("CREATE TABLE people (id int primary key, name varchar(5))")
    worker.create(
        topic,
        {**config(database, topic), "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id"},
    )
    produce(topic, *(record(number) for number in range(1, 101)))
    wait_for(lambda: len(ids(database)) == 100, "the first rows")
    own_server.kill()
    produce(topic, *(record(number) for number in range(101, 201)))
    wait_for(lambda: worker.task_states(topic) == ["FAILED"], "the task gives up after its retries")
    own_server.start()
    assert httpx.post(f"{worker.url}/connectors/{topic}/tasks/0/restart", timeout=60).status_code == 204
    wait_for(lambda: len(ids(database)) == 200, "all rows after the restart")
    assert ids(database) == list(range(1, 201))
    assert worker.task_states(topic) == ["RUNNING"]
    worker.delete(topic)
