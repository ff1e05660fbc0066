"""What a reader of the tutorials does: curl a connector, put records on its topic, look at the table."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.processes import WorkerProgram
from tests.servers import Database, wait_for

SINK_BODY = """{
  "name": "my-order-sink-connect",
  "config": {
    "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
    "connection.url": "jdbc:mysql://localhost:3306/mydb",
    "connection.user": "root",
    "connection.password": "root",
    "auto.create": "true",
    "auto.evolve": "true",
    "delete.enabled": "false",
    "tasks.max": "1",
    "topics": "orders"
  }
}"""

SOURCE_BODY = """{
  "name": "my-source-connect",
  "config": {
    "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
    "connection.url": "jdbc:mysql://localhost:3306/mydb",
    "connection.user": "root",
    "connection.password": "root",
    "mode": "incrementing",
    "incrementing.column.name": "id",
    "table.whitelist": "users",
    "topic.prefix": "my_topic_",
    "tasks.max": "1"
  }
}"""


def fields(*listed: tuple[str, str, bool]) -> list[dict[str, Any]]:
    return [{"type": kind, "optional": optional, "field": name} for name, kind, optional in listed]


def envelope(name: str, listed: list[dict[str, Any]], payload: dict[str, Any]) -> str:
    schema = {"type": "struct", "fields": listed, "optional": False, "name": name}
    return json.dumps({"schema": schema, "payload": payload}, separators=(",", ":"))


CREATED_AT = {
    "type": "int64",
    "optional": True,
    "name": "org.apache.kafka.connect.data.Timestamp",
    "version": 1,
    "field": "created_at",
}
TEXTS = [("order_id", "string", True), ("user_id", "string", True), ("product_id", "string", True)]
ORDER = {"order_id": "o-1", "user_id": "u-1", "product_id": "CATALOG-0001"}


def int32s(optional: bool, *names: str) -> list[tuple[str, str, bool]]:
    return [(name, "int32", optional) for name in names]


ENVELOPES = [
    pytest.param(
        envelope(
            "orders",
            fields(*TEXTS, *int32s(True, "qty", "unit_price", "total_price")),
            {**ORDER, "qty": 5, "unit_price": 1200, "total_price": 6000},
        ),
        {**ORDER, "qty": 5, "unit_price": 1200, "total_price": 6000},
        id="MSG-04: orders with qty",
    ),
    pytest.param(
        envelope(
            "orders",
            fields(*TEXTS, *int32s(False, "quantity", "total_price", "unit_price")),
            {**ORDER, "quantity": 10, "total_price": 10000, "unit_price": 1000},
        ),
        {**ORDER, "quantity": 10, "unit_price": 1000, "total_price": 10000},
        id="MSG-05: orders with quantity, required numbers",
    ),
    pytest.param(
        envelope(
            "orders",
            fields(*TEXTS, *int32s(True, "quantity", "unit_price", "total_price")),
            {**ORDER, "quantity": 10, "totalPrice": 7, "total_price": 10000, "unit_price": 1000},
        ),
        {**ORDER, "quantity": 10, "unit_price": 1000, "total_price": 10000},
        id="MSG-06: a payload key the schema lacks is ignored",
    ),
    pytest.param(
        envelope(
            "orders",
            fields(*TEXTS, *int32s(True, "quantity", "total_price", "unit_price")),
            {"unit_price": 1000, "order_id": "o-1", "quantity": 10, "user_id": "u-1", "total_price": 10000},
        ),
        {"order_id": "o-1", "user_id": "u-1", "product_id": None, "quantity": 10, "total_price": 10000},
        id="MSG-07: any order of members, a missing optional one is NULL",
    ),
    pytest.param(
        envelope(
            "users",
            [*fields(("id", "int32", False), ("name", "string", True), ("pwd", "string", True)), CREATED_AT],
            {"id": 1, "name": "test", "pwd": "test1234", "created_at": 1627815857000},
        ),
        {"id": 1, "name": "test", "pwd": "test1234", "created_at": datetime(2021, 8, 1, 11, 4, 17)},
        id="MSG-08: users with a Timestamp",
    ),
    pytest.param(
        envelope(
            "users",
            fields(("id", "int32", False), ("name", "string", True), ("pwd", "string", True)),
            {"id": 2, "name": "test2", "pwd": "test2234"},
        ),
        {"id": 2, "name": "test2", "pwd": "test2234"},
        id="MSG-09: users without created_at",
    ),
    pytest.param(
        envelope(
            "users1",
            [
                *fields(("id", "int32", False), ("user_id", "string", True)),
                *fields(("pwd", "string", True), ("name", "string", True)),
                CREATED_AT,
            ],
            {
                "id": 7,
                "user_id": "user4",
                "pwd": "user4444",
                "name": "User4 name",
                "created_at": 1680643371000,
            },
        ),
        {"id": 7, "user_id": "user4", "name": "User4 name", "created_at": datetime(2023, 4, 4, 21, 22, 51)},
        id="MSG-10: users with five columns",
    ),
]

PLAIN = [
    pytest.param(
        '{"productId":"CATALOG-0001","qty":10,"unitPrice":1000,"totalPrice":10000,"orderId":"o","userId":"u"}',
        {"productId": "CATALOG-0001", "qty": 10},
        id="MSG-01: plain order with qty",
    ),
    pytest.param(
        '{"productId":"CATALOG-0001","quantity":10,"unitPrice":1000,"totalPrice":10000,"orderId":"o","userId":"u"}',
        {"productId": "CATALOG-0001", "quantity": 10},
        id="MSG-02: plain order with quantity",
    ),
    pytest.param(
        '{"id":1,"productId":"CATALOG-0001","qty":10,"unitPrice":1000,"totalPrice":10000,"userId":1,'
        '"createdAt":"2021-08-01T11:04:17"}',
        {"id": 1, "qty": 10},
        id="MSG-03: an entity as JSON",
    ),
]


def row(database: Database, table: str, columns: list[str]) -> tuple[Any, ...]:
    """The only row of a table, once it is there."""

    def look() -> list[tuple[Any, ...]]:
        known = database.query(f"SHOW TABLES LIKE '{table}'")
        return database.query(f"SELECT {','.join(columns)} FROM {table}") if known else []

    found = wait_for(look, f"a row in {table}", 30)
    assert len(found) == 1
    return found[0]


def at(body: str, database: Database, **changes: str) -> str:
    """The tutorial's body for this database's address and account; nothing else differs."""
    server = database.server
    body = (
        body.replace("localhost:3306/mydb", f"127.0.0.1:{server.port}/{database.name}")
        .replace('"connection.user": "root"', f'"connection.user": "{server.user}"')
        .replace('"connection.password": "root"', f'"connection.password": "{server.password}"')
    )
    for old, new in changes.items():
        body = body.replace(old.replace("__", "-"), new)
    return body


def curl(worker: WorkerProgram, body: str) -> dict[str, Any]:
    """CMD-06 of the tutorials, as it is typed there."""
    done = subprocess.run(
        [
            "curl",
            "-s",
            "-X",
            "POST",
            "-d",
            "@-",
            f"{worker.url}/connectors",
            "--header",
            "content-Type:application/json",
        ],
        input=body.encode(),
        capture_output=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(("record", "expected"), ENVELOPES)
def test_every_envelope_of_the_tutorials_reaches_the_table(
    worker: WorkerProgram,
    mariadb: Database,
    topic: str,
    produce: Callable[..., None],
    record: str,
    expected: dict[str, Any],
) -> None:
    body = at(SINK_BODY, mariadb).replace('"orders"', f'"{topic}"').replace("my-order-sink-connect", topic)
    answer = curl(worker, body)
    assert answer["config"]["name"] == topic
    assert answer["type"] == "sink"
    produce(topic, record)
    assert row(mariadb, topic, list(expected)) == tuple(expected.values())
    worker.delete(topic)


@pytest.mark.parametrize(("record", "expected"), PLAIN)
def test_plain_json_without_a_schema_fails_the_sink_with_words_that_help(
    worker: WorkerProgram,
    mariadb: Database,
    topic: str,
    produce: Callable[..., None],
    record: str,
    expected: dict[str, Any],
) -> None:
    worker.create(topic, json.loads(at(SINK_BODY, mariadb).replace('"orders"', f'"{topic}"'))["config"])
    produce(topic, record)
    wait_for(lambda: worker.task_states(topic) == ["FAILED"], "the task fails")
    trace = worker.status(topic)["tasks"][0]["trace"]
    assert "schemas.enable" in trace
    assert f"{topic}" in trace
    assert json.loads(record).items() >= expected.items()
    worker.delete(topic)


def test_the_tutorials_source_brings_rows_to_its_topic(
    worker: WorkerProgram, mariadb: Database, topic: str, read: Callable[[str, int], Any]
) -> None:
    mariadb.query(
        "CREATE TABLE users (id int auto_increment primary key, user_id varchar(20), pwd varchar(20), "
        "name varchar(20), created_at datetime default NOW())"
    )
    mariadb.query("INSERT INTO users(user_id,pwd,name,created_at) VALUES ('u1','p1','n1','2020-01-01 12:00:00')")
    body = at(SOURCE_BODY, mariadb).replace("my_topic_", topic).replace("my-source-connect", topic)
    answer = curl(worker, body)
    assert answer["type"] == "source"
    (message,) = read(f"{topic}users", 1)
    assert message.key() is None
    assert message.value().decode() == (
        '{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},'
        '{"type":"string","optional":true,"field":"user_id"},{"type":"string","optional":true,"field":"pwd"},'
        '{"type":"string","optional":true,"field":"name"},{"type":"int64","optional":true,'
        '"name":"org.apache.kafka.connect.data.Timestamp","version":1,"field":"created_at"}],'
        '"optional":false,"name":"users"},'
        '"payload":{"id":1,"user_id":"u1","pwd":"p1","name":"n1","created_at":1577880000000}}'
    )
    worker.delete(topic)


def test_a_repeated_name_is_a_conflict_and_a_deleted_connector_is_gone(
    worker: WorkerProgram, mariadb: Database, topic: str
) -> None:
    body = at(SINK_BODY, mariadb).replace('"orders"', f'"{topic}"').replace("my-order-sink-connect", topic)
    curl(worker, body)
    assert curl(worker, body) == {"error_code": 409, "message": f"Connector {topic} already exists"}
    worker.delete(topic)
    assert httpx.get(f"{worker.url}/connectors/{topic}").status_code == 404
