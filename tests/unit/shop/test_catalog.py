"""The catalog service: what it shows, and stock that falls once per order and never below zero."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncline.broker import BrokerThread
from syncline.ids import TopicPartition
from syncline.kafka.client import Admin
from tests.servers import wait_for
from tests.unit.shop.stocks import DEAD, GROUP, TOPIC, catalog, order, read, send

PATH = "/catalog-service/catalogs"
ONE = f"{PATH}/CATALOG-0001"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
async def http(url: str, broker: BrokerThread) -> AsyncIterator[httpx.AsyncClient]:
    async with catalog(url, broker.bootstrap_servers) as client:
        yield client


async def stock(http: httpx.AsyncClient, product: str = "CATALOG-0001") -> int:
    found: int = (await http.get(f"{PATH}/{product}")).json()["stock"]
    return found


async def until_stock(http: httpx.AsyncClient, wanted: int, product: str = "CATALOG-0001") -> None:
    async with asyncio.timeout(30):
        while (found := await stock(http, product)) != wanted:
            assert found >= 0
            await asyncio.sleep(0.02)


async def outcome(http: httpx.AsyncClient, order_id: str) -> tuple[str, str | None]:
    """What was decided about an order, as soon as it is."""
    async with asyncio.timeout(30):
        while True:
            answer = await http.get(f"/catalog-service/reservations/{order_id}")
            if answer.status_code == 200:
                return answer.json()["outcome"], answer.json()["reason"]
            await asyncio.sleep(0.02)


async def until_no_lag(bootstrap: str) -> None:
    await asyncio.to_thread(wait_for, lambda: not lag(bootstrap), "everything is committed", 30)


def lag(bootstrap: str) -> int:
    """How many records of the stock topic the group has not counted as read."""
    admin = Admin({"bootstrap.servers": bootstrap})
    topic = admin.topic(TOPIC)
    assert topic is not None
    ends = admin.end_offsets([TopicPartition(TOPIC, number) for number in range(topic.partitions)])
    read_so_far = admin.group_offsets(GROUP)
    return sum(end - read_so_far.get(partition, 0) for partition, end in ends.items())


async def test_a_new_catalog_has_the_tutorials_products(http: httpx.AsyncClient) -> None:
    answer = await http.get(PATH)
    shown = answer.json()
    assert [{name: value for name, value in product.items() if name != "createdAt"} for product in shown] == [
        {"productId": "CATALOG-0001", "productName": "Berlin", "stock": 100, "unitPrice": 1500},
        {"productId": "CATALOG-0002", "productName": "Tokyo", "stock": 100, "unitPrice": 900},
        {"productId": "CATALOG-0003", "productName": "Stockholm", "stock": 100, "unitPrice": 1200},
    ]
    assert all(product["createdAt"].endswith("Z") for product in shown)
    assert (await http.get(ONE)).json() == shown[0]


async def test_pages_follow_each_other(http: httpx.AsyncClient) -> None:
    first = await http.get(f"{PATH}?limit=2")
    rest = await http.get(first.links["next"]["url"])
    assert [len(first.json()), len(rest.json())] == [2, 1]
    assert "next" not in rest.links
    assert (await http.get(f"{PATH}?limit=0")).status_code == 422


async def test_an_etag_lasts_as_long_as_the_product_is_the_same(http: httpx.AsyncClient) -> None:
    for path in (ONE, PATH):
        tag = (await http.get(path)).headers["etag"]
        same = await http.get(path, headers={"if-none-match": f'"other", W/{tag}'})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    changed = await http.put(f"{ONE}/stock", json={"stock": 7}, headers={"if-match": '"old"'})
    assert (changed.status_code, changed.json()["code"]) == (412, "PRODUCT_CHANGED")
    tag = (await http.get(ONE)).headers["etag"]
    changed = await http.put(f"{ONE}/stock", json={"stock": 7}, headers={"if-match": tag})
    assert (changed.status_code, changed.json()["stock"]) == (200, 7)
    assert (await http.get(ONE, headers={"if-none-match": tag})).json()["stock"] == 7
    assert changed.headers["etag"] == (await http.get(ONE)).headers["etag"]


async def test_stock_can_be_set_and_is_checked(http: httpx.AsyncClient) -> None:
    assert (await http.put(f"{ONE}/stock", json={"stock": 2**63 - 1})).json()["stock"] == 2**63 - 1
    for wrong in ({"stock": -1}, {"stock": 2**63}, {"stock": "5"}, {"stock": 1.5}, {"stock": None}, {}):
        refused = await http.put(f"{ONE}/stock", json=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "stock")
    assert await stock(http) == 2**63 - 1


async def test_unknown_things_are_404(http: httpx.AsyncClient) -> None:
    for path in (f"{PATH}/CATALOG-9999", f"{PATH}/catalog-0001", "/catalog-service/reservations/none"):
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (await http.put(f"{PATH}/none/stock", json={"stock": 1})).json()["code"] == "PRODUCT_NOT_FOUND"


async def test_bodies_that_cannot_be_read_are_refused(http: httpx.AsyncClient) -> None:
    json_type = {"content-type": "application/json"}
    path = f"{ONE}/stock"
    assert (await http.put(path, content=b"{", headers=json_type)).status_code == 400
    assert (await http.put(path, content=b'{"stock":' + b" " * (1 << 20) + b"1}", headers=json_type)).status_code == 413
    assert (await http.put(path, content=b'{"stock":1}', headers={"content-type": "text/plain"})).status_code == 415


async def test_the_health_check_tells_the_port(http: httpx.AsyncClient) -> None:
    assert (await http.get("/catalog-service/health-check")).text == "It's working in catalog service on Port: 7"
    assert (await http.get("/health/ready")).json()["checks"] == {"database": "UP", "listener": "UP", "outbox": "UP"}


async def test_an_order_takes_its_stock_once_however_often_it_comes(
    http: httpx.AsyncClient, broker: BrokerThread
) -> None:
    await asyncio.to_thread(send, broker.bootstrap_servers, *[order(1)] * 5)
    await asyncio.to_thread(send, broker.bootstrap_servers, order(1), event_id="another")
    await asyncio.to_thread(send, broker.bootstrap_servers, order(2, product="CATALOG-0002"))
    await until_stock(http, 90, "CATALOG-0002")
    await until_no_lag(broker.bootstrap_servers)
    assert await stock(http) == 90
    assert await stock(http, "CATALOG-0003") == 100


@pytest.mark.parametrize(
    "body",
    [
        {"productId": "CATALOG-0001", "qty": 10, "unitPrice": 1000, "totalPrice": 9, "orderId": "o", "userId": "u"},
        {
            "id": 1,
            "productId": "CATALOG-0001",
            "qty": 10,
            "unitPrice": 1,
            "totalPrice": 10,
            "userId": 5,
            "createdAt": 7,
        },
        {"productId": "CATALOG-0001", "quantity": 10, "qty": 10, "later": {"more": []}},
    ],
    ids=["MSG-01", "MSG-03", "unknown members"],
)
async def test_what_the_tutorials_producers_send_is_understood(
    http: httpx.AsyncClient, broker: BrokerThread, body: dict[str, Any]
) -> None:
    await asyncio.to_thread(send, broker.bootstrap_servers, body)
    await until_stock(http, 90)


async def test_an_order_that_cannot_be_met_is_rejected_with_the_reason(
    http: httpx.AsyncClient, broker: BrokerThread
) -> None:
    orders = [order("big", 101), order("all", 100), order("late", 1), order("none", 1, "CATALOG-9999")]
    for placed in orders:
        await asyncio.to_thread(send, broker.bootstrap_servers, placed)
        await outcome(http, placed["orderId"])
    assert [await outcome(http, placed["orderId"]) for placed in orders] == [
        ("REJECTED", "OUT_OF_STOCK"),
        ("RESERVED", None),
        ("REJECTED", "OUT_OF_STOCK"),
        ("REJECTED", "UNKNOWN_PRODUCT"),
    ]
    assert await stock(http) == 0


async def test_with_the_check_on_an_order_at_another_price_is_rejected(url: str, broker: BrokerThread) -> None:
    """DEF-34."""
    async with catalog(url, broker.bootstrap_servers, check_prices=True) as http:
        other = {**order("other"), "unitPrice": 1}
        unsaid = {name: value for name, value in order("unsaid").items() if name != "unitPrice"}
        await asyncio.to_thread(send, broker.bootstrap_servers, other, order("right"), unsaid, order("many", 1_000))
        assert await outcome(http, "order-other") == ("REJECTED", "PRICE_CHANGED")
        assert await outcome(http, "order-right") == ("RESERVED", None)
        assert await outcome(http, "order-unsaid") == ("RESERVED", None)
        assert await outcome(http, "order-many") == ("REJECTED", "OUT_OF_STOCK")
        assert await stock(http) == 80


async def test_poison_is_set_aside_and_the_good_order_behind_it_is_applied(
    http: httpx.AsyncClient, broker: BrokerThread
) -> None:
    """SC-18."""
    poison = ["not json", '""', "{}", '{"productId":"CATALOG-0001"}', '{"productId":7,"qty":"x"}']
    poison += ["", '{"productId":"CATALOG-0001","qty":1,"quantity":2}', '{"productId":"a","quantity":0}']
    await asyncio.to_thread(send, broker.bootstrap_servers, *poison, order(1))
    await until_stock(http, 90)
    await until_no_lag(broker.bootstrap_servers)
    letters = await asyncio.to_thread(read, broker.bootstrap_servers, DEAD, len(poison))
    assert sorted((letter.value or b"").decode() for letter in letters) == sorted(poison)
    for letter in letters:
        about = dict(letter.headers or ())
        assert about["dlt-original-topic"] == TOPIC.encode()
        assert about["dlt-group"] == GROUP.encode()
        assert about["dlt-exception-message"]


async def test_two_instances_on_one_database_share_the_work_and_agree(url: str, broker: BrokerThread) -> None:
    """SC-20 and SC-21 without the order service."""
    async with (
        catalog(url, broker.bootstrap_servers) as one,
        catalog(url, broker.bootstrap_servers) as two,
    ):
        orders = [order(number, 5) for number in range(30)]
        await asyncio.to_thread(send, broker.bootstrap_servers, *orders)
        decided = [await outcome(one, placed["orderId"]) for placed in orders]
        assert sorted(decided, key=str) == [("REJECTED", "OUT_OF_STOCK")] * 10 + [("RESERVED", None)] * 20
        assert await stock(one) == 0
        assert (await one.get(PATH)).content == (await two.get(PATH)).content


async def test_orders_placed_before_the_first_start_count(url: str, broker: BrokerThread) -> None:
    """SC-12, for the first time: the topic is read from its beginning."""
    await asyncio.to_thread(send, broker.bootstrap_servers, *(order(number) for number in range(3)))
    for _ in range(2):
        async with catalog(url, broker.bootstrap_servers) as http:
            await until_stock(http, 70)
            await until_no_lag(broker.bootstrap_servers)
            assert await stock(http) == 70


async def test_a_new_database_counts_all_orders_again(tmp_path: Path, broker: BrokerThread) -> None:
    """SMP-02: stock and offsets are lost together, or not at all."""
    for name in ("old", "new"):
        async with catalog(f"sqlite:///{tmp_path / name}.db", broker.bootstrap_servers) as http:
            if name == "old":
                await asyncio.to_thread(send, broker.bootstrap_servers, order(1), order(2))
            await until_stock(http, 80)
            await until_no_lag(broker.bootstrap_servers)


async def test_products_are_seeded_once(url: str, broker: BrokerThread) -> None:
    async with catalog(url, broker.bootstrap_servers) as http:
        await http.put(f"{ONE}/stock", json={"stock": 3})
    async with catalog(url, broker.bootstrap_servers) as http:
        assert [product["stock"] for product in (await http.get(PATH)).json()] == [3, 100, 100]
