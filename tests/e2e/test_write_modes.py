"""The order service in its other write modes, as processes: with an outbox, and with databases kept in step."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.processes import BrokerProgram
from tests.servers import Database, wait_for
from tests.shop_processes import ServiceProgram
from tests.unit.shop.stocks import TOPIC, read

PATH = "/order-service/roy/orders"


class Instances:
    """A broker, and instances that share a database or have one each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self.broker = BrokerProgram.at(folder)

    def __enter__(self) -> Instances:
        self._stack.enter_context(self.broker)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def order(self, number: int, mode: str, *, database: str = "orders") -> ServiceProgram:
        return self._service("order", number, database, ORDER_WRITE_MODE=mode)

    def catalog(self, *, database: str = "catalog") -> ServiceProgram:
        return self._service("catalog", 1, database)

    def _service(self, name: str, number: int, database: str, **settings: str) -> ServiceProgram:
        environment = {
            f"{name.upper()}_DATABASE_URL": database
            if "://" in database
            else f"sqlite:///{self._folder / database}.db",
            f"{name.upper()}_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            **settings,
        }
        return self._stack.enter_context(ServiceProgram(name, self._folder, environment, number))


@pytest.fixture
def instances(tmp_path: Path) -> Iterator[Instances]:
    with Instances(tmp_path) as running:
        yield running


def place(service: ServiceProgram, product: str = "CATALOG-0001", quantity: int = 1) -> dict[str, Any]:
    answer = service.post(PATH, json={"productId": product, "quantity": quantity, "unitPrice": 1000})
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


def listed(service: ServiceProgram) -> list[str]:
    return [order["orderId"] for order in service.get(PATH).json()]


def test_instances_on_one_database_show_each_others_orders_at_once(instances: Instances) -> None:
    """SC-03."""
    one, two = (instances.order(number, "outbox") for number in (1, 2))
    placed = [place(one), place(two)]
    assert [order["synced"] for order in placed] == [True, True]
    newest_first = [order["orderId"] for order in reversed(placed)]
    assert listed(one) == newest_first
    assert listed(two) == newest_first


def test_with_an_outbox_orders_are_taken_without_a_broker_and_reach_the_catalog_in_order(instances: Instances) -> None:
    """SC-14 in mode outbox, AC-08; whoever publishes may die meanwhile."""
    catalog = instances.catalog()
    services = [instances.order(number, "outbox") for number in (1, 2)]
    place(services[0], quantity=10)
    stock = "/catalog-service/catalogs/CATALOG-0001"
    wait_for(lambda: catalog.get(stock).json()["stock"] == 90, "the first order's stock is taken", 30)
    assert instances.broker.stop() == 0
    placed = [place(services[number % 2], quantity=1) for number in range(20)]
    assert all(service.get("/health/ready").status_code == 200 for service in services)
    publishing = next(service for service in services if "publishing the outbox" in service.log)
    publishing.kill()
    instances.broker.start()
    wait_for(lambda: catalog.get(stock).json()["stock"] == 70, "every order's stock is taken once", 60)
    records = read(instances.broker.bootstrap, TOPIC, 21, partitions=3)
    ids = [(dict(record.headers or ())["event_id"] or b"").decode().removesuffix(":placed") for record in records]
    assert set(ids) >= {order["orderId"] for order in placed}
    living = next(service for service in services if service is not publishing)

    def statuses() -> set[str]:
        return {order["status"] for order in living.get(PATH).json()}

    wait_for(lambda: statuses() == {"CONFIRMED"}, "all orders are confirmed", 30)


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_services_on_one_database_publish_what_is_theirs_and_nothing_else(
    instances: Instances, new_database: Callable[[str], Database], kind: str
) -> None:
    """Two that publish one table would publish everything twice, and mix up the order of a key's records."""
    database = new_database(kind)
    order = instances.order(1, "outbox", database=database.url)
    catalog = instances.catalog(database=database.url)
    for _ in range(10):
        place(order)
    wait_for(lambda: {o["status"] for o in order.get(PATH).json()} == {"CONFIRMED"}, "all orders are confirmed", 30)
    wait_for(lambda: catalog.get("/catalog-service/catalogs/CATALOG-0001").json()["stock"] == 90, "ten are sold")
    assert database.query("SELECT topic, COUNT(*) FROM outbox GROUP BY topic") == [(TOPIC, 10)]
    assert database.query("SELECT topic, COUNT(*) FROM catalog_outbox GROUP BY topic") == [("stock-decisions", 10)]


def test_databases_of_their_own_are_kept_in_step_through_the_topic(instances: Instances) -> None:
    """SC-16, AC-44: one that starts later, and one that was away, catch up."""
    one, two = (instances.order(number, "replicate", database=f"orders-{number}") for number in (1, 2))
    placed = [place((one, two)[number % 2], f"roy-product-{number}") for number in range(1, 6)]
    newest_first = [order["orderId"] for order in reversed(placed)]

    def agree(*services: ServiceProgram) -> None:
        wait_for(lambda: all(listed(service) == newest_first for service in services), "the same orders", 30)

    agree(one, two)
    third = instances.order(3, "replicate", database="orders-3")
    agree(third)
    two.kill()
    newest_first.insert(0, place(one, "roy-product-6")["orderId"])
    two.start()
    agree(one, two, third)
    waited = one.post(PATH, json={"productId": "p", "quantity": 1, "unitPrice": 1}, headers={"prefer": "wait=10"})
    assert waited.json()["synced"] is True


def test_the_service_of_the_documentation_publishes_what_it_stores(instances: Instances, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "order-write-modes.md").read_text("utf-8")
    (tmp_path / "notes.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    environment = {
        "NOTES_DATABASE_URL": f"sqlite:///{tmp_path / 'notes.db'}",
        "NOTES_BOOTSTRAP_SERVERS": instances.broker.bootstrap,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
    }
    with ServiceProgram("notes", tmp_path, environment, module="notes") as notes:
        answer = notes.post("/notes", params={"text": "hello"})
        assert answer.status_code == 201
        (record,) = read(instances.broker.bootstrap, "notes", 1)
    assert json.loads(record.value or b"") == {"id": answer.json()["id"], "text": "hello"}
