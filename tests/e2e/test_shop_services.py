"""Order and catalog services as processes on one broker: every order takes its stock once, whatever dies meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from syncline.ids import TopicPartition
from syncline.kafka.client import Admin
from tests.processes import BrokerProgram
from tests.servers import wait_for
from tests.shop_processes import ServiceProgram
from tests.unit.shop.stocks import DEAD, GROUP, TOPIC, order, read, send

CATALOGS = "/catalog-service/catalogs"
ORDERS = "/order-service/roy/orders"


class Shop:
    """A broker, order services and catalog services, each kind on one database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = BrokerProgram.at(folder)
        self._stack = ExitStack()

    def __enter__(self) -> Shop:
        self._stack.enter_context(self.broker)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def orders(self, number: int = 1, **settings: str) -> ServiceProgram:
        return self._service("order", number, settings)

    def catalog(self, number: int = 1, **settings: str) -> ServiceProgram:
        return self._service("catalog", number, settings)

    def _service(self, name: str, number: int, settings: dict[str, str]) -> ServiceProgram:
        prefix = name.upper()
        environment = {
            f"{prefix}_DATABASE_URL": f"sqlite:///{self.folder / name}.db",
            f"{prefix}_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            **{f"{prefix}_{key.upper()}": value for key, value in settings.items()},
        }
        return self._stack.enter_context(ServiceProgram(name, self.folder, environment, number))

    def lag(self) -> int:
        """Records of the stock topic that the group has not counted as read, the marks of transactions included."""
        admin = Admin({"bootstrap.servers": self.broker.bootstrap})
        topic = admin.topic(TOPIC)
        assert topic is not None
        # A record sent before the catalog made the topic has left it with the broker's number of partitions.
        partitions = [TopicPartition(TOPIC, number) for number in range(topic.partitions)]
        done = admin.group_offsets(GROUP)
        return sum(end - done.get(partition, 0) for partition, end in admin.end_offsets(partitions).items())

    def committed(self) -> int:
        """How far the group has come, summed up."""
        return sum(Admin({"bootstrap.servers": self.broker.bootstrap}).group_offsets(GROUP).values())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Shop(tmp_path) as running:
        yield running


def place(service: ServiceProgram, quantity: int = 10, **body: Any) -> dict[str, Any]:
    answer = service.post(ORDERS, json={"productId": "CATALOG-0001", "quantity": quantity, "unitPrice": 1500, **body})
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


def stocks(service: ServiceProgram) -> list[int]:
    return [product["stock"] for product in service.get(CATALOGS).json()]


def until_stock(service: ServiceProgram, wanted: int) -> None:
    def there() -> bool:
        stock = stocks(service)[0]
        assert stock >= 0
        return stock == wanted

    wait_for(there, f"stock {wanted}, is {stocks(service)[0]}", 30)


def outcome(service: ServiceProgram, order_id: str) -> str:
    path = f"/catalog-service/reservations/{order_id}"
    wait_for(lambda: service.get(path).status_code == 200, f"a decision about {order_id}", 30)
    body = service.get(path).json()
    return f"{body['outcome']} {body['reason'] or ''}".strip()


def test_an_order_takes_stock_of_its_product_alone(shop: Shop) -> None:
    """SC-02."""
    catalog, orders = shop.catalog(), shop.orders()
    placed = place(orders)
    assert placed["totalPrice"] == 15000
    until_stock(catalog, 90)
    assert stocks(catalog) == [90, 100, 100]
    assert outcome(catalog, placed["orderId"]) == "RESERVED"
    wait_for(lambda: shop.lag() == 0, "no lag, though the order came in a transaction", 30)


def test_orders_placed_while_the_catalog_is_away_count_when_it_is_back(shop: Shop) -> None:
    """SC-12, AC-12, AC-16, AC-38."""
    orders, catalog = shop.orders(), shop.catalog()
    place(orders)
    until_stock(catalog, 90)
    assert catalog.stop() == 0
    assert shop.committed() >= 1  # at the latest while it stopped
    for _ in range(3):
        place(orders)
    catalog.start()
    until_stock(catalog, 60)
    for _ in range(2):
        assert catalog.stop() == 0
        catalog.start()
        assert stocks(catalog) == [60, 100, 100]


def test_poison_goes_to_the_dead_letters_and_holds_up_nobody(shop: Shop) -> None:
    """SC-18, AC-17."""
    catalog = shop.catalog()
    poison = ["not json", '""', "{}", '{"productId":"CATALOG-0001"}', '{"productId":7,"qty":"x"}']
    send(shop.broker.bootstrap, *poison, order(1))
    until_stock(catalog, 90)
    wait_for(lambda: shop.lag() == 0, "no lag", 30)
    letters = read(shop.broker.bootstrap, DEAD, 5)
    assert sorted((letter.value or b"").decode() for letter in letters) == sorted(poison)
    assert all(dict(letter.headers or ())["dlt-exception-message"] for letter in letters)


def test_a_crash_between_the_two_commits_does_not_take_stock_twice(shop: Shop) -> None:
    """SC-19: killed after the database's commit and before the group's."""
    catalog = shop.catalog(commit_seconds="3600")
    send(shop.broker.bootstrap, *[order(1)] * 5, order(2), event_id="")
    until_stock(catalog, 80)
    catalog.kill()
    assert shop.committed() == 0
    catalog.environment["CATALOG_COMMIT_SECONDS"] = "0"
    catalog.start()
    wait_for(lambda: shop.lag() == 0, "all of it read again", 60)
    assert stocks(catalog) == [80, 100, 100]
    assert catalog.log.count("heard before") >= 6


def test_nothing_is_oversold_and_all_instances_agree(shop: Shop) -> None:
    """SC-20, SC-21; the orders say in the end what was decided about them."""
    catalogs = [shop.catalog(1), shop.catalog(2)]
    services = [shop.orders(1), shop.orders(2)]
    with ThreadPoolExecutor(10) as pool:
        placed = list(pool.map(lambda number: place(services[number % 2], 5)["orderId"], range(30)))
        watched = [stocks(catalogs[number % 2])[0] for number in range(20)]
    assert min(watched) >= 0
    decided = Counter(outcome(catalogs[0], order_id) for order_id in placed)
    assert decided == {"RESERVED": 20, "REJECTED OUT_OF_STOCK": 10}
    assert stocks(catalogs[0])[0] == 0

    assert catalogs[0].get(CATALOGS).content == catalogs[1].get(CATALOGS).content

    def told() -> Counter[str]:
        # Without a sink only the instance that took an order knows it.
        orders = [services[number % 2].get(f"{ORDERS}/{order_id}").json() for number, order_id in enumerate(placed)]
        return Counter(f"{order['status']} {order.get('reason', '')}".strip() for order in orders)

    wait_for(lambda: told() == {"CONFIRMED": 20, "REJECTED OUT_OF_STOCK": 10}, "the orders say what was decided", 30)


def test_the_work_of_a_killed_catalog_instance_is_taken_over(shop: Shop) -> None:
    one, two = shop.catalog(1), shop.catalog(2)
    orders = shop.orders()
    for _ in range(4):
        place(orders, 5)
    one.kill()
    for _ in range(4):
        place(orders, 5)
    wait_for(lambda: stocks(two)[0] == 60, "all orders counted", 90)
    one.start()
    assert stocks(one)[0] == 60


def test_without_a_broker_an_order_is_refused_and_leaves_nothing(shop: Shop) -> None:
    """SC-14 in mode connect; GAP-01: what was refused is on neither topic."""
    catalog, orders = shop.catalog(), shop.orders()
    first = place(orders)
    until_stock(catalog, 90)
    assert shop.broker.stop() == 0
    for _ in range(2):
        refused = orders.post(ORDERS, json={"productId": "CATALOG-0001", "quantity": 1, "unitPrice": 1})
        assert (refused.status_code, refused.json()["code"]) == (503, "BROKER_UNAVAILABLE")
    assert catalog.get("/health/ready").status_code == 200  # reading goes on
    shop.broker.start()

    def accepted() -> str:
        answer = orders.post(ORDERS, json={"productId": "CATALOG-0001", "quantity": 10, "unitPrice": 1})
        return str(answer.json().get("orderId", ""))

    last = wait_for(accepted, "orders are taken again", 60)
    until_stock(catalog, 80)
    found = read(shop.broker.bootstrap, "orders", 2)
    keys = [(record.key or b"").decode() for record in found]
    assert [first["orderId"] in keys[0], last in keys[1], len(keys)] == [True, True, 2]
