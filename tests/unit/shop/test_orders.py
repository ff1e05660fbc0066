"""The order service over HTTP, in both write modes."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from syncline.broker import BrokerThread
from syncline.kafka.client import Admin
from syncline.kafka.ports import KafkaRecord
from syncline.kit.db import Database
from syncline.kit.settings import load
from syncline_shop.catalog.settings import CatalogSettings
from syncline_shop.contracts import STOCK_ORDERS, OrderRow
from syncline_shop.order.app import build
from syncline_shop.order.domain import Order
from syncline_shop.order.idempotency import Claim, IdempotencyKeys, State, Verdict
from syncline_shop.order.settings import OrderSettings
from syncline_shop.order.store import TABLES, OrderStore
from tests.servers import free_port, wait_for
from tests.unit.shop.stocks import TOPIC, read

BODY: dict[str, Any] = {"productId": "CATALOG-0001", "quantity": 10, "unitPrice": 1000}
PATH = "/order-service/roy/orders"


@asynccontextmanager
async def service(folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """An order service on a database in `folder`, open, with a client."""
    made = OrderSettings(database_url=SecretStr(f"sqlite:///{folder / 'orders.db'}"), **settings)
    svc = build(made)
    async with (
        svc.open(),
        httpx.AsyncClient(transport=httpx.ASGITransport(svc.app), base_url="http://order") as client,
    ):
        yield client


@pytest.fixture
async def private(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with service(tmp_path, write_mode="private") as client:
        yield client


async def test_an_order_is_answered_with_the_tutorials_members_and_more(private: httpx.AsyncClient) -> None:
    answer = await private.post(PATH, json=BODY)
    assert answer.status_code == 201
    order = answer.json()
    assert {name: order[name] for name in (*BODY, "totalPrice", "userId", "status", "synced")} == {
        **BODY,
        "totalPrice": 10000,
        "userId": "roy",
        "status": "PENDING",
        "synced": True,
    }
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", order["orderId"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", order["createdAt"])
    assert answer.headers["location"] == f"{PATH}/{order['orderId']}"
    assert (await private.get(answer.headers["location"])).json() == order
    assert (await private.get(PATH)).json() == [order]


async def test_qty_is_taken_for_quantity_but_not_beside_another_quantity(private: httpx.AsyncClient) -> None:
    with_qty = {"productId": "a", "qty": 10, "unitPrice": 1000}
    assert (await private.post(PATH, json=with_qty)).json()["quantity"] == 10
    assert (await private.post(PATH, json={**with_qty, "quantity": 10})).status_code == 201
    refused = await private.post(PATH, json={**with_qty, "quantity": 9})
    assert refused.status_code == 422
    assert "both quantity and qty" in refused.json()["detail"]


async def test_the_total_is_computed_here_and_never_wraps(private: httpx.AsyncClient) -> None:
    large = {"productId": "a", "quantity": 1500, "unitPrice": 1_500_000, "totalPrice": 1}
    assert (await private.post(PATH, json=large)).json()["totalPrice"] == 2_250_000_000
    largest = {"productId": "a", "quantity": 1, "unitPrice": 2**63 - 1}
    assert (await private.post(PATH, json=largest)).json()["totalPrice"] == 2**63 - 1
    refused = await private.post(PATH, json={**largest, "quantity": 2})
    assert (refused.status_code, refused.json()["code"]) == (422, "TOTAL_TOO_LARGE")


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"quantity": 2**31},
        {"quantity": "10"},
        {"quantity": True},
        {"quantity": 1.5},
        {"quantity": None},
        {"unitPrice": -1},
        {"unitPrice": 2**63},
        {"productId": ""},
        {"productId": "x" * 121},
        {"productId": "a\0b"},
        {"productId": "a\nb"},
        {"productId": None},
    ],
    ids=repr,
)
async def test_an_order_that_makes_no_sense_is_422_with_the_field(
    private: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    answer = await private.post(PATH, json={**BODY, **change})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(change)
    assert (await private.get(PATH)).json() == []


async def test_half_a_surrogate_pair_is_422(private: httpx.AsyncClient) -> None:
    raw = '{"productId":"\\ud800","quantity":1,"unitPrice":1}'
    answer = await private.post(PATH, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 422


async def test_a_missing_member_is_named(private: httpx.AsyncClient) -> None:
    answer = await private.post(PATH, json={"productId": "a"})
    assert answer.json()["detail"] == "quantity is missing; unitPrice is missing"


@pytest.mark.parametrize("user", ["x" * 51, "%00", "a%0Ab"])
async def test_a_user_id_that_no_column_holds_is_422(private: httpx.AsyncClient, user: str) -> None:
    assert (await private.post(f"/order-service/{user}/orders", json=BODY)).status_code == 422
    assert (await private.get(f"/order-service/{user}/orders")).status_code == 422


async def test_nobody_sees_the_orders_of_others(private: httpx.AsyncClient) -> None:
    order = (await private.post(PATH, json=BODY)).json()
    assert (await private.get("/order-service/other/orders")).json() == []
    answer = await private.get(f"/order-service/other/orders/{order['orderId']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "ORDER_NOT_FOUND")


async def test_pages_are_newest_first_without_gap_or_repeat(tmp_path: Path) -> None:
    """Many orders share a moment, as they do under load."""
    async with service(tmp_path, write_mode="private") as http, database(tmp_path) as store:
        for number in range(45):
            store.add(order(number, at=number // 10))
        answer = await http.get(f"{PATH}?limit=20")
        sizes, seen = [], []
        for _ in range(5):
            sizes.append(len(answer.json()))
            seen += [(shown["createdAt"], shown["orderId"]) for shown in answer.json()]
            if "next" not in answer.links:
                break
            answer = await http.get(answer.links["next"]["url"])
    assert sizes == [20, 20, 5]
    assert len(set(seen)) == 45
    assert seen == sorted(seen, reverse=True)


async def test_a_page_after_an_unknown_order_is_404(private: httpx.AsyncClient) -> None:
    assert (await private.get(f"{PATH}?before=nothing")).status_code == 404
    assert (await private.get(f"{PATH}?limit=0")).status_code == 422


async def test_two_instances_with_private_databases_disagree(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with (
        service(tmp_path / "one", write_mode="private") as one,
        service(tmp_path / "two", write_mode="private") as two,
    ):
        turns = itertools.cycle([one, two])
        for number in range(1, 6):
            await next(turns).post(PATH, json={**BODY, "productId": f"roy-product-{number}"})
        assert [order["productId"] for order in (await one.get(PATH)).json()] == [
            "roy-product-5",
            "roy-product-3",
            "roy-product-1",
        ]
        assert [order["productId"] for order in (await two.get(PATH)).json()] == ["roy-product-4", "roy-product-2"]


async def test_the_health_check_tells_the_port(private: httpx.AsyncClient) -> None:
    answer = await private.get("http://order:60727/order-service/health-check")
    assert answer.text == "It's working in order service on port: 60727"


KEY = {"idempotency-key": "k"}


async def test_the_same_request_under_one_key_is_one_order(tmp_path: Path, broker: BrokerThread) -> None:
    """AC-02."""
    async with service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http:
        first = await http.post(PATH, json=BODY, headers=KEY)
        again = await http.post(PATH, json={**BODY, "more": 1}, headers=KEY)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.json() == first.json()
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["idempotent-replay"] == "true"
        assert "idempotent-replay" not in first.headers
        other = await http.post(PATH, json={**BODY, "quantity": 1}, headers=KEY)
        assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
        assert (await http.post("/order-service/other/orders", json=BODY, headers=KEY)).json() != first.json()
        await http.post(PATH, json=BODY)
    found = await asyncio.to_thread(read, broker.bootstrap_servers, "orders", 3)
    assert len(found) == 3


async def test_many_requests_at_once_under_one_key_are_one_order(tmp_path: Path, broker: BrokerThread) -> None:
    """AC-03."""
    async with (
        service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as one,
        service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as two,
    ):
        answers = await asyncio.gather(*(http.post(PATH, json=BODY, headers=KEY) for http in (one, two) * 10))
        assert {answer.status_code for answer in answers} <= {201, 409}
        placed = {answer.json()["orderId"] for answer in answers if answer.status_code == 201}
        assert len(placed) == 1
        assert all(answer.json()["code"] == "IN_PROGRESS" for answer in answers if answer.status_code == 409)
        last = (await one.post(PATH, json=BODY)).json()
    found = await asyncio.to_thread(read, broker.bootstrap_servers, "orders", 2)
    assert {OrderRow.from_envelope(record.value or b"").order_id for record in found} == {*placed, last["orderId"]}
    assert len(found) == 2


async def test_a_key_whose_request_failed_is_tried_with_the_same_order(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    async with service(tmp_path, bootstrap_servers=away, delivery_ms=200) as http:
        for _ in range(2):
            assert (await http.post(PATH, json=BODY, headers=KEY)).status_code == 503
    async with service(tmp_path, write_mode="private") as http:
        first = await http.post(PATH, json=BODY, headers=KEY)
        assert (first.status_code, "idempotent-replay" in first.headers) == (201, False)
        assert (await http.post(PATH, json=BODY, headers=KEY)).json() == first.json()
        assert len((await http.get(PATH)).json()) == 1


async def test_a_key_that_a_dead_instance_left_behind_is_free_after_a_while(tmp_path: Path) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    async with Database(f"sqlite:///{tmp_path / 'orders.db'}", TABLES) as opened:
        keys = IdempotencyKeys(opened, timedelta(seconds=3))

        def claim(after: float, order_id: str) -> Claim:
            return keys.claim("roy", "k", "same", order_id, began + timedelta(seconds=after))

        assert claim(0, "first") == Claim(Verdict.GO_ON, "first", began)
        assert claim(4, "second").verdict is Verdict.BUSY
        assert claim(6, "third") == Claim(Verdict.GO_ON, "first", began)
        assert claim(7, "fourth").verdict is Verdict.BUSY
        keys.settle("roy", "k", State.DONE)
        assert claim(1000, "fifth") == Claim(Verdict.REPLAY, "first", began)


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[OrderStore]:
    """The one database, as the sink connector sees it."""
    async with Database(f"sqlite:///{folder / 'orders.db'}", TABLES) as opened:
        yield OrderStore(opened)


def order(number: int, *, at: int = 0, user_id: str = "roy") -> Order:
    return Order.place(
        order_id=f"{number:036d}",
        user_id=user_id,
        product_id="a",
        quantity=1,
        unit_price=1,
        now=datetime(2026, 1, 1, 0, 0, at, tzinfo=UTC),
    )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path / "broker") as running:
        yield running


async def test_in_mode_connect_an_order_is_a_record_with_its_schema(tmp_path: Path, broker: BrokerThread) -> None:
    async with service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http:
        shown = (await http.post(PATH, json=BODY)).json()
    assert (shown["status"], shown["synced"]) == ("PENDING", False)
    record = (await asyncio.to_thread(records, broker.bootstrap_servers))[0]
    assert record.key == b'{"schema":{"type":"string","optional":false},"payload":"%s"}' % shown["orderId"].encode()
    assert record.value is not None
    assert record.value.startswith(
        b'{"schema":{"type":"struct","fields":['
        b'{"type":"string","optional":false,"field":"order_id"},'
        b'{"type":"string","optional":false,"field":"user_id"},'
        b'{"type":"string","optional":false,"field":"product_id"},'
        b'{"type":"int32","optional":false,"field":"quantity"},'
        b'{"type":"int64","optional":false,"field":"unit_price"},'
        b'{"type":"int64","optional":false,"field":"total_price"},'
        b'{"type":"int64","optional":false,"name":"org.apache.kafka.connect.data.Timestamp","version":1,'
        b'"field":"created_at"}],"optional":false,"name":"orders"},"payload":{"order_id":"'
    )
    assert OrderRow.from_envelope(record.value) == OrderRow(
        order_id=shown["orderId"],
        user_id="roy",
        product_id="CATALOG-0001",
        quantity=10,
        unit_price=1000,
        total_price=10000,
        created_at=datetime.fromisoformat(shown["createdAt"]),
    )


async def test_an_order_whose_row_is_not_there_yet_is_shown_as_not_synced(tmp_path: Path, broker: BrokerThread) -> None:
    async with (
        service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http,
        database(tmp_path) as store,
    ):
        location = (await http.post(PATH, json=BODY)).headers["location"]
        shown = (await http.get(location)).json()
        assert shown["synced"] is False
        assert (await http.get(location.replace("/roy/", "/other/"))).status_code == 404
        assert (await http.get(PATH)).json() == []
        write_row(store, await asyncio.to_thread(records, broker.bootstrap_servers))
        assert (await http.get(location)).json() == {**shown, "synced": True}
        assert (await http.get(PATH)).json() == [{**shown, "synced": True}]


async def test_a_caller_who_prefers_to_wait_gets_a_synced_order(tmp_path: Path, broker: BrokerThread) -> None:
    async with (
        service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http,
        database(tmp_path) as store,
    ):
        waiting = asyncio.create_task(http.post(PATH, json=BODY, headers={"prefer": "respond-async, wait=10"}))
        write_row(store, await asyncio.to_thread(records, broker.bootstrap_servers))
        answer = await waiting
        assert answer.headers["preference-applied"] == "wait=10"
        assert answer.json()["synced"] is True
        assert (await http.get(answer.headers["location"])).json() == answer.json()


async def test_waiting_ends_when_the_time_is_over(tmp_path: Path, broker: BrokerThread) -> None:
    async with service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http:
        answer = await http.post(PATH, json=BODY, headers={"prefer": "wait=0"})
        assert (answer.status_code, answer.json()["synced"]) == (201, False)


async def test_without_a_broker_an_order_is_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    async with service(tmp_path, bootstrap_servers=away, delivery_ms=200) as http:
        answer = await http.post(PATH, json=BODY)
        assert (answer.status_code, answer.json()["code"]) == (503, "BROKER_UNAVAILABLE")
        assert (await http.get(PATH)).json() == []
        assert (await http.get("/health/ready")).status_code == 200  # reading goes on


def records(bootstrap: str) -> list[KafkaRecord]:
    """What is on the topic `orders`, at least one record."""
    return read(bootstrap, "orders", 1)


async def test_in_mode_connect_the_catalog_hears_of_an_order_with_everything_about_it(
    tmp_path: Path, broker: BrokerThread
) -> None:
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    async with service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http:
        shown = (await http.post(PATH, json=BODY, headers={"traceparent": trace})).json()
    (record,) = await asyncio.to_thread(read, broker.bootstrap_servers, TOPIC, 1, 3)
    assert record.value == (
        b'{"productId":"CATALOG-0001","quantity":10,"unitPrice":1000,"totalPrice":10000,"orderId":"%s","userId":"roy"}'
        % shown["orderId"].encode()
    )
    assert record.key == shown["orderId"].encode()
    headers = {name: (value or b"").decode() for name, value in record.headers or ()}
    assert headers.pop("traceparent").startswith("00-" + "ab" * 16)
    assert headers == {
        "event_id": f"{shown['orderId']}:placed",
        "event_type": "OrderPlaced",
        "schema_version": "1",
        "occurred_at": shown["createdAt"],
    }


async def test_large_totals_are_exact_on_both_topics(tmp_path: Path, broker: BrokerThread) -> None:
    """AC-04."""
    large = {"productId": "a", "quantity": 1500, "unitPrice": 1_500_000}
    async with service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http:
        assert (await http.post(PATH, json=large)).json()["totalPrice"] == 2_250_000_000
    (row,) = await asyncio.to_thread(records, broker.bootstrap_servers)
    (event,) = await asyncio.to_thread(read, broker.bootstrap_servers, TOPIC, 1, 3)
    assert OrderRow.from_envelope(row.value or b"").total_price == 2_250_000_000
    assert STOCK_ORDERS.decode(event.value).total_price == 2_250_000_000


async def test_topics_are_made_as_declared_and_their_name_is_one_setting(tmp_path: Path, broker: BrokerThread) -> None:
    """DEF-10: writer and reader agree, whatever the name is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_STOCK_TOPIC", "example-order-topic")
        patch.setenv("CATALOG_DATABASE_URL", f"sqlite:///{tmp_path / 'catalog.db'}")
        assert load(CatalogSettings).stock_topic == "example-order-topic"
        async with service(tmp_path, bootstrap_servers=broker.bootstrap_servers) as http:
            await http.post(PATH, json=BODY)
            await asyncio.to_thread(read, broker.bootstrap_servers, "example-order-topic", 1, 3)
    admin = Admin({"bootstrap.servers": broker.bootstrap_servers})
    assert {fact.name: fact.partitions for fact in admin.topics() if not fact.internal} == {
        "orders": 1,
        "example-order-topic": 3,
        "stock-decisions": 3,
    }


async def test_a_topic_that_nobody_reads_is_worth_a_warning(
    tmp_path: Path, broker: BrokerThread, capsys: pytest.CaptureFixture[str]
) -> None:
    async with service(tmp_path, bootstrap_servers=broker.bootstrap_servers, readers_after_seconds=0) as http:
        await http.post(PATH, json=BODY)
        said = ""

        def warned() -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return said.count("nobody reads this topic") == 2

        await asyncio.to_thread(wait_for, warned, "both topics are named")
    assert TOPIC in said


def write_row(store: OrderStore, found: list[KafkaRecord]) -> None:
    """What the sink connector does."""
    row = OrderRow.from_envelope(found[0].value or b"")
    store.add(
        Order(
            order_id=row.order_id,
            user_id=row.user_id,
            product_id=row.product_id,
            quantity=row.quantity,
            unit_price=row.unit_price,
            total_price=row.total_price,
            created_at=row.created_at,
        )
    )
