"""What the tutorials do, step by step, and what they leave out: each test is a scenario of the series (SC-..)."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from tests.e2e.commands import RANDOM_PORTS, Command
from tests.e2e.test_shop_services import Shop as Services
from tests.e2e.test_shop_services import place as take
from tests.e2e.test_shop_services import until_stock
from tests.e2e.test_tutorial import CREATED_AT, envelope, fields
from tests.processes import BrokerProgram, WorkerProgram
from tests.servers import Database, wait_for
from tests.unit.shop.stocks import read as read_topic

Produce = Callable[..., None]
Read = Callable[[str, int], list[Message]]

JDBC = "io.confluent.connect.jdbc.Jdbc"
ORDER = [("order_id", "string", False), ("quantity", "int32", False)]


@pytest.fixture(scope="module")
def worker(broker: BrokerProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProgram]:
    """One that remembers its connectors when it is started again."""
    with WorkerProgram.distributed(tmp_path_factory.mktemp("worker"), broker.bootstrap) as program:
        yield program


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with Command(["up", *RANDOM_PORTS, "--console-port", "0"], tmp_path_factory.mktemp("shop")) as command:
        command.wait_for("Ctrl-C stops everything.")
        yield command
        command.send(signal.SIGTERM)
        assert command.wait(30) == 0


def sink(database: Database, topic: str, **more: str) -> dict[str, str]:
    """The tutorials' sink."""
    return {
        "connector.class": f"{JDBC}SinkConnector",
        **database.connector_config,
        **{"auto.create": "true", "auto.evolve": "true", "delete.enabled": "false", "tasks.max": "1"},
        "topics": topic,
        **{key.replace("_", "."): value for key, value in more.items()},
    }


def source(database: Database, prefix: str, **more: str) -> dict[str, str]:
    """The tutorials' source of the table `users`, which looks more often."""
    return {
        "connector.class": f"{JDBC}SourceConnector",
        **database.connector_config,
        **{"mode": "incrementing", "incrementing.column.name": "id", "table.whitelist": "users", "tasks.max": "1"},
        **{"topic.prefix": prefix, "poll.interval.ms": "100"},
        **{key.replace("_", "."): value for key, value in more.items()},
    }


def make_users(database: Database, *names: str) -> None:
    """The table of the second tutorial (TAB-02)."""
    database.query(
        "CREATE TABLE users (id int auto_increment primary key, name varchar(20), pwd varchar(20), "
        "created_at datetime default NOW())"
    )
    for name in names:
        add_user(database, name)


def add_user(database: Database, name: str) -> None:
    database.query(f"INSERT INTO users(name, pwd) VALUES ('{name}', 'test1234')")


def rows(database: Database, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """In no order; empty while there is no table."""
    known = database.query(f"SHOW TABLES LIKE '{table}'")
    return database.query(f"SELECT {columns} FROM {table}") if known else []


def has_rows(database: Database, table: str, count: int) -> bool:
    return len(rows(database, table)) == count


def order(number: int) -> str:
    return envelope("orders", fields(*ORDER), {"order_id": f"o-{number}", "quantity": number})


def payload(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.value() or b"")["payload"]
    return found


def failure(worker: WorkerProgram, name: str) -> str:
    """Why the connector's task has failed, once it has."""
    wait_for(lambda: worker.task_states(name) == ["FAILED"], f"{name} fails", 30)
    return str(worker.status(name)["tasks"][0]["trace"])


def place(address: str, user: str, product: str, quantity: int, price: int) -> dict[str, Any]:
    answer = httpx.post(
        f"{address}/order-service/{user}/orders",
        json={"productId": product, "quantity": quantity, "unitPrice": price},
        headers={"prefer": "wait=10"},
        timeout=15,
    )
    assert (answer.status_code, answer.json()["synced"]) == (201, True), answer.text
    placed: dict[str, Any] = answer.json()
    return placed


def order_rows(shop: Command, columns: str, user: str = "%") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(shop.folder / ".syncline" / "orders.db")) as database:
        return database.execute(f"SELECT {columns} FROM orders WHERE user_id LIKE ? ORDER BY id", (user,)).fetchall()


def access_log(shop: Command, number: int) -> str:
    """Of an order service: a line for each request."""
    return (shop.folder / ".syncline" / "logs" / f"order-service-{number}.log").read_text()


def order_records(shop: Command, user: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Key and value of the user's records on the topic `orders`, as they stand there; all orders are rows by now."""
    found = read_topic(shop.address("broker"), "orders", len(order_rows(shop, "1")))
    pairs = [(json.loads(record.key or b""), json.loads(record.value or b"")) for record in found]
    return [(key, value) for key, value in pairs if value["payload"]["user_id"] == user]


def test_orders_through_the_gateway_alternate_and_are_records_and_rows(shop: Command) -> None:
    """SC-05."""
    products = ["catalog-001", "catalog-002", "catalog-003"]
    placed = [place(shop.address("gateway"), "three", product, 1, 1000)["orderId"] for product in products]

    def answered() -> list[int]:
        """How many each instance has noted in its log, which it does after it has answered."""
        counts = [access_log(shop, number).count("/order-service/three/orders") for number in (1, 2)]
        return sorted(counts) if sum(counts) == len(products) else []

    assert wait_for(answered, "every request is noted", 10) == [1, 2]
    assert sorted(value["payload"]["order_id"] for _, value in order_records(shop, "three")) == sorted(placed)
    assert sorted(order_rows(shop, "order_id, product_id", "three")) == sorted(zip(placed, products, strict=True))


def test_orders_to_either_instance_are_records_and_rows(shop: Command) -> None:
    """SC-06, and SC-07: the envelope of MSG-05 with money as int64, and the order's own time."""
    one = place(shop.address("order-service 1"), "roy", "CATALOG-0001", 10, 1000)
    two = place(shop.address("order-service 2"), "roy", "CATALOG-0002", 20, 2000)
    assert (one["totalPrice"], two["totalPrice"]) == (10000, 40000)
    written = order_rows(shop, "order_id, product_id, quantity, total_price, created_at IS NOT NULL", "roy")
    assert written == [
        (one["orderId"], "CATALOG-0001", 10, 10000, 1),
        (two["orderId"], "CATALOG-0002", 20, 40000, 1),
    ]
    (key, value), (_, other) = order_records(shop, "roy")
    assert value == {
        "schema": {
            "type": "struct",
            "fields": [
                *fields(("order_id", "string", False), ("user_id", "string", False), ("product_id", "string", False)),
                *fields(("quantity", "int32", False), ("unit_price", "int64", False), ("total_price", "int64", False)),
                {**CREATED_AT, "optional": False},
            ],
            "optional": False,
            "name": "orders",
        },
        "payload": {
            **{"order_id": one["orderId"], "user_id": "roy", "product_id": "CATALOG-0001"},
            **{"quantity": 10, "unit_price": 1000, "total_price": 10000},
            "created_at": round(datetime.fromisoformat(one["createdAt"]).timestamp() * 1000),
        },
    }
    assert other["payload"]["order_id"] == two["orderId"]
    assert key == {"schema": {"type": "string", "optional": False}, "payload": one["orderId"]}


def test_rows_go_from_table_to_topic_to_table(worker: WorkerProgram, mariadb: Database, topic: str, read: Read) -> None:
    """SC-08: also rows from before the sink; changed and deleted rows stay as they were."""
    make_users(mariadb, "test", "gone")
    worker.create(f"{topic}-source", source(mariadb, f"{topic}_"))
    assert [payload(found)["name"] for found in read(f"{topic}_users", 2)] == ["test", "gone"]
    mariadb.query("UPDATE users SET name = 'changed' WHERE id = 1")
    mariadb.query("DELETE FROM users WHERE id = 2")
    add_user(mariadb, "perry")
    assert payload(read(f"{topic}_users", 3)[2])["name"] == "perry"
    worker.create(f"{topic}-sink", sink(mariadb, f"{topic}_users"))
    wait_for(lambda: len(rows(mariadb, f"{topic}_users")) >= 3, "three rows", 30)
    assert rows(mariadb, f"{topic}_users", "id, name") == [(1, "test"), (2, "gone"), (3, "perry")]
    same_moment = "users.id = copied.id AND users.created_at = copied.created_at"
    assert mariadb.query(f"SELECT count(*) FROM users JOIN {topic}_users AS copied ON {same_moment}") == [(2,)]
    for name in ("source", "sink"):
        worker.delete(f"{topic}-{name}")


USER = [("id", "int32", False), ("name", "string", True), ("pwd", "string", True)]


def type_by_hand(broker: BrokerProgram, topic: str, *lines: str) -> None:
    """Into the console producer, as the tutorials start it."""
    command = ["kafka-console-producer", "--broker-list", broker.bootstrap, "--topic", topic]
    text = "".join(f"{line}\n" for line in lines)
    subprocess.run([sys.executable, "-m", "syncline", *command], input=text.encode(), check=True, capture_output=True)


def test_records_typed_by_hand_become_rows_and_a_further_column_only_if_allowed(
    worker: WorkerProgram, broker: BrokerProgram, mariadb: Database, topic: str
) -> None:
    """SC-09."""
    wider = [*fields(*USER, ("user_id", "string", True)), CREATED_AT]
    type_by_hand(
        broker,
        topic,
        envelope(
            "users", [*fields(*USER), CREATED_AT], {"id": 1, "name": "test", "pwd": "x", "created_at": 1627815857000}
        ),
        envelope("users", fields(*USER), {"id": 2, "name": "test2", "pwd": "test2234"}),
    )
    worker.create(topic, sink(mariadb, topic))
    worker.create(f"{topic}-strict", sink(mariadb, topic, table_name_format=f"{topic}_strict", auto_evolve="false"))
    for table in (topic, f"{topic}_strict"):
        wait_for(partial(has_rows, mariadb, table, 2), f"two rows in {table}", 30)
        assert rows(mariadb, table, "id, created_at") == [(1, datetime(2021, 8, 1, 11, 4, 17)), (2, None)]
    type_by_hand(broker, topic, envelope("users1", wider, {"id": 7, "user_id": "user4", "name": "User4 name"}))
    wait_for(lambda: len(rows(mariadb, topic)) == 3, "the third row", 30)
    assert rows(mariadb, topic, "id, user_id") == [(1, None), (2, None), (7, "user4")]
    said = failure(worker, f"{topic}-strict")
    assert "is missing fields" in said
    assert "user_id" in said
    worker.delete(topic)
    worker.delete(f"{topic}-strict")


def test_a_column_of_another_name_is_refused_until_it_is_renamed(
    worker: WorkerProgram, mariadb: Database, topic: str, produce: Produce
) -> None:
    """DEF-29: the table says qty, the record quantity."""
    mariadb.query(f"CREATE TABLE {topic} (id int auto_increment primary key, order_id varchar(50), qty int default 0)")
    config = sink(mariadb, topic, auto_evolve="false")
    worker.create(topic, config)
    produce(topic, order(10))
    assert "quantity" in failure(worker, topic)
    rename = {"type": "org.apache.kafka.connect.transforms.ReplaceField$Value", "renames": "quantity:qty"}
    renaming = {**config, "transforms": "qty", **{f"transforms.qty.{key}": value for key, value in rename.items()}}
    httpx.put(f"{worker.url}/connectors/{topic}/config", json=renaming, timeout=60).raise_for_status()
    wait_for(lambda: rows(mariadb, topic), "a row", 30)
    assert rows(mariadb, topic, "order_id, qty") == [("o-10", 10)]
    worker.delete(topic)


def test_a_connector_of_the_same_name_goes_on_and_one_of_another_name_starts_over(
    worker: WorkerProgram, mariadb: Database, topic: str, produce: Produce
) -> None:
    """SC-10, for a sink."""
    plugins = {found["class"] for found in httpx.get(f"{worker.url}/connector-plugins").json()}
    assert {f"{JDBC}SinkConnector", f"{JDBC}SourceConnector"} <= plugins
    inserts = sink(mariadb, topic)
    worker.create(topic, inserts)
    produce(topic, order(1))
    wait_for(lambda: len(rows(mariadb, topic)) == 1, "the first row", 30)
    again = httpx.post(f"{worker.url}/connectors", json={"name": topic, "config": inserts}, timeout=60)
    assert again.status_code == 409
    assert httpx.delete(f"{worker.url}/connectors/{topic}", timeout=60).status_code == 204
    assert httpx.get(f"{worker.url}/connectors/{topic}").status_code == 404
    produce(topic, order(2))
    worker.create(topic, inserts)
    produce(topic, order(3))
    wait_for(lambda: len(rows(mariadb, topic)) == 3, "three rows", 30)
    assert sorted(rows(mariadb, topic, "quantity")) == [(1,), (2,), (3,)]
    worker.create(f"{topic}-other", inserts)
    wait_for(lambda: len(rows(mariadb, topic)) == 6, "every row twice", 30)
    for name in (topic, f"{topic}-other"):
        worker.delete(name)
    upserts = {**inserts, "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "order_id"}
    for name in (f"{topic}-one", f"{topic}-two"):
        worker.create(name, {**upserts, "table.name.format": f"{topic}_once"})
        wait_for(partial(has_read, worker, name, 3), f"{name} has read everything", 30)
        worker.delete(name)
    assert sorted(rows(mariadb, f"{topic}_once", "quantity")) == [(1,), (2,), (3,)]


def has_read(worker: WorkerProgram, name: str, records: int) -> bool:
    """Whether a sink of one partition has committed so many."""
    found = httpx.get(f"{worker.url}/connectors/{name}/offsets", timeout=30).json()["offsets"]
    return bool(found) and found[0]["offset"]["kafka_offset"] == records


def test_a_source_of_the_same_name_goes_on_where_it_was(
    worker: WorkerProgram, mariadb: Database, topic: str, read: Read
) -> None:
    """SC-10, for a source."""
    make_users(mariadb, "one")
    worker.create(topic, source(mariadb, f"{topic}_"))
    read(f"{topic}_users", 1)
    worker.delete(topic)
    add_user(mariadb, "two")
    worker.create(topic, source(mariadb, f"{topic}_"))
    assert [payload(found)["id"] for found in read(f"{topic}_users", 2)] == [1, 2]
    worker.delete(topic)


def test_what_arrives_while_the_worker_is_away_is_written_once_when_it_is_back(
    worker: WorkerProgram, mariadb: Database, topic: str, produce: Produce
) -> None:
    """SC-13."""
    worker.create(topic, sink(mariadb, topic))
    produce(topic, order(1))
    wait_for(lambda: len(rows(mariadb, topic)) == 1, "the first row", 30)
    assert worker.stop() == 0
    produce(topic, *(order(number) for number in range(2, 5)))
    worker.start()
    wait_for(lambda: len(rows(mariadb, topic)) >= 4, "the other rows", 60)
    produce(topic, order(5))
    wait_for(lambda: (5,) in rows(mariadb, topic, "quantity"), "a later row", 30)
    assert sorted(rows(mariadb, topic, "quantity")) == [(number,) for number in range(1, 6)]
    worker.delete(topic)


def test_orders_from_before_the_first_catalog_count(tmp_path: Path) -> None:
    """SC-12, for a group that has never read."""
    with Services(tmp_path) as services:
        orders = services.orders()
        for _ in range(3):
            take(orders)
        until_stock(services.catalog(), 70)


CIRCLES = [
    pytest.param({"table.name.format": "users"}, True, id="(b), (c): inserts into the table that is read"),
    pytest.param(
        {"table.name.format": "users", "insert.mode": "upsert", "pk.mode": "record_value", "pk.fields": "id"},
        False,
        id="(d): upserts of the same rows come to rest",
    ),
    pytest.param({}, False, id="(a): another table"),
]


@pytest.mark.parametrize(("target", "warned"), CIRCLES)
def test_a_circle_is_warned_of_when_it_is_closed(
    worker: WorkerProgram, mariadb: Database, topic: str, target: dict[str, str], warned: bool
) -> None:
    """SC-15; the connectors stand still, for what they would do has no end."""
    make_users(mariadb)
    create_stopped(worker, f"{topic}-there", source(mariadb, f"{topic}_"))
    create_stopped(worker, f"{topic}-back", {**sink(mariadb, f"{topic}_users"), **target})
    assert (f"connector {topic}-back closes a circle" in worker.log.read_text()) is warned
    for name in ("there", "back"):
        worker.delete(f"{topic}-{name}")


def test_a_chain_of_ever_new_tables_is_warned_of(worker: WorkerProgram, mariadb: Database, topic: str) -> None:
    """SC-15 (e): all tables to topics, all of those topics to tables."""
    everything = source(mariadb, f"{topic}_")
    del everything["table.whitelist"]
    create_stopped(worker, f"{topic}-there", everything)
    back = sink(mariadb, "")
    del back["topics"]
    create_stopped(worker, f"{topic}-back", {**back, "topics.regex": f"{topic}_.*"})
    assert f"connector {topic}-back closes a circle" in worker.log.read_text()
    for name in ("there", "back"):
        worker.delete(f"{topic}-{name}")


def create_stopped(worker: WorkerProgram, name: str, config: dict[str, str]) -> None:
    body = {"name": name, "initial_state": "STOPPED", "config": config}
    answer = httpx.post(f"{worker.url}/connectors", json=body, timeout=60)
    assert answer.status_code == 201, answer.text


@dataclass
class Reader:
    """A console consumer in a process; what it prints goes to a file."""

    out: Path
    command: list[str]
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Reader:
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "syncline", "kafka-console-consumer", *self.command],
                stdout=out,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def heard(self) -> list[str]:
        return self.out.read_text().split()


def test_every_group_hears_everything_and_members_of_one_share_it(
    broker: BrokerProgram, produce: Produce, topic: str, tmp_path: Path
) -> None:
    """SC-17."""
    bootstrap = broker.bootstrap
    admin = AdminClient({"bootstrap.servers": bootstrap})
    create = ["kafka-topics", "--create", "--topic", topic, "--partitions", "2", "--bootstrap-server", bootstrap]
    subprocess.run([sys.executable, "-m", "syncline", *create], check=True, capture_output=True)
    command = ["--bootstrap-server", bootstrap, "--topic", topic, "--from-beginning", "--group"]
    groups = [f"{topic}-one", f"{topic}-two", f"{topic}-shared", f"{topic}-shared"]
    sent = [f"{number}" for number in range(40)]
    with ExitStack() as stack:
        readers = [
            stack.enter_context(Reader(tmp_path / f"{number}.out", [*command, group]))
            for number, group in enumerate(groups)
        ]

        def shared() -> bool:
            found = admin.describe_consumer_groups([f"{topic}-shared"])[f"{topic}-shared"].result()
            return sorted(len(member.assignment.topic_partitions) for member in found.members) == [1, 1]

        wait_for(shared, "each member has a partition", 30)
        for number in sent:
            produce(topic, number, key=number)
        one, two, left, right = readers
        wait_for(lambda: len(left.heard) + len(right.heard) >= 40, "the members have heard everything", 30)
        wait_for(lambda: len(one.heard) >= 40 and len(two.heard) >= 40, "every group has heard everything", 30)
        assert sorted(one.heard) == sorted(two.heard) == sorted(left.heard + right.heard) == sorted(sent)
        assert left.heard
        assert right.heard
