"""Instances come and go while requests flow through the gateway (AC-22 to AC-25), all as processes."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.servers import wait_for
from tests.unit.shop.programs import Program, program, registry

PATH = "/order-service/health-check"
BODY = {"productId": "CATALOG-0001", "quantity": 1, "unitPrice": 1000}


@dataclass
class Shop:
    """A registry, a gateway, and order services to be started and stopped."""

    registry: Program
    gateway: Program
    folder: Path
    stack: contextlib.ExitStack
    http: httpx.Client
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def order_service(self) -> Program:
        """Start one and wait until the registry lists it as UP."""
        made = self.stack.enter_context(
            program(
                "syncline_shop.order",
                ORDER_WRITE_MODE="private",
                ORDER_DATABASE_URL=f"sqlite:///{self.folder / str(next(self._numbers))}.db",
                ORDER_REGISTRY_URL=f"{self.registry.url}/eureka",
                ORDER_RENEW_SECONDS="1",
                ORDER_LEASE_SECONDS="2",
            )
        )
        wait_for(lambda: self.status(made) == "UP", "the registry lists it")
        return made

    def status(self, one: Program) -> str | None:
        """What the registry says about an instance; None if it does not list it."""
        answer = self.http.get(f"{self.registry.url}/eureka/apps", headers={"accept": "application/json"})
        for app in answer.json()["applications"]["application"]:
            for info in app["instance"]:
                if one.url == f"http://{info['hostName']}:{info['port']['$']}":
                    return str(info["status"])
        return None

    def answered_by(self, calls: int) -> list[str]:
        """The ports of the instances that answer one call after another."""
        return [self.http.get(f"{self.gateway.url}{PATH}").raise_for_status().text.split()[-1] for _ in range(calls)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(registry(expiry_seconds="0.1"))
        url = f"{found.url}/eureka"
        gateway = stack.enter_context(program("syncline_shop.gateway", GATEWAY_PORT="0", GATEWAY_REGISTRY_URL=url))
        http = stack.enter_context(httpx.Client(timeout=10))
        yield Shop(found, gateway, tmp_path, stack, http)


@contextlib.contextmanager
def load(call: Callable[[], str]) -> Iterator[Counter[str]]:
    """Call again and again from several threads; counts what the calls return."""
    results: Counter[str] = Counter()
    stop = threading.Event()

    def calling() -> None:
        while not stop.is_set():
            results[call()] += 1

    threads = [threading.Thread(target=calling) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_ac_22_and_24_instances_alternate_and_a_new_one_gets_its_share(shop: Shop) -> None:
    first = shop.order_service()
    wait_for(lambda: shop.http.get(f"{shop.gateway.url}{PATH}").is_success, "the gateway knows it")
    second = shop.order_service()
    wait_for(lambda: len(set(shop.answered_by(4))) == 2, "the new one gets requests")
    ports = shop.answered_by(10)
    assert ports == ports[:2] * 5
    assert {f"http://127.0.0.1:{port}" for port in ports} == {first.url, second.url}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ac_25_an_instance_stops_under_load_and_no_request_fails(shop: Shop, method: str) -> None:
    first, second = shop.order_service(), shop.order_service()
    wait_for(lambda: len(set(shop.answered_by(4))) == 2, "both get requests")

    def call() -> str:
        if method == "GET":
            answer = shop.http.get(f"{shop.gateway.url}{PATH}")
        else:
            answer = shop.http.post(f"{shop.gateway.url}/order-service/roy/orders", json=BODY)
        return str(answer.status_code)

    with load(call) as results:
        wait_for(lambda: results.total() > 100, "requests flow")
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(10) == 0
        before = results.total()
        wait_for(lambda: results.total() > before + 50, "requests flow on")
    assert set(results) == {"200" if method == "GET" else "201"}
    assert shop.status(first) is None
    assert shop.status(second) == "UP"


def test_a_killed_instance_fails_nobody_and_leaves_the_registry(shop: Shop) -> None:
    first, second = shop.order_service(), shop.order_service()
    wait_for(lambda: len(set(shop.answered_by(4))) == 2, "both get requests")
    first.process.kill()
    first.process.wait()
    assert {f"http://127.0.0.1:{port}" for port in shop.answered_by(20)} == {second.url}
    wait_for(lambda: shop.status(first) is None, "its lease expires", 20)
    assert shop.status(second) == "UP"


def test_a_registry_that_is_killed_stops_no_request_and_may_come_back_empty(shop: Shop) -> None:
    one = shop.order_service()
    wait_for(lambda: shop.http.get(f"{shop.gateway.url}{PATH}").is_success, "the gateway knows it")
    port = httpx.URL(shop.registry.url).port
    assert port is not None
    shop.registry.process.kill()
    shop.registry.process.wait()
    shop.answered_by(5)
    shop.stack.enter_context(registry(port))
    wait_for(lambda: shop.answered_by(1) and shop.status(one) == "UP", "it has registered again")
    shop.answered_by(5)


def test_ac_13_26_and_28_a_user_signs_up_signs_in_and_is_shown_with_orders(shop: Shop) -> None:
    shop.stack.enter_context(
        program(
            "syncline_shop.user",
            USER_DATABASE_URL=f"sqlite:///{shop.folder / 'users.db'}",
            USER_DATA_FOLDER=str(shop.folder / "keys"),
            USER_REGISTRY_URL=f"{shop.registry.url}/eureka",
            USER_LOG_LEVEL="error",
        )
    )
    shop.order_service()
    users = f"{shop.gateway.url}/user-service"
    account = {"email": "roy@example.com", "password": "a long password", "name": "roy"}

    def signed_up() -> str:
        answer = shop.http.post(f"{users}/users", json=account)
        return "" if answer.status_code == 503 else str(answer.raise_for_status().json()["userId"])

    user = wait_for(signed_up, "the gateway finds the user service")
    assert shop.http.get(f"{users}/users").status_code == 401
    login = shop.http.post(f"{users}/login", json=account).raise_for_status()
    assert login.headers["userId"] == user
    wait_for(lambda: shop.http.get(f"{shop.gateway.url}{PATH}").is_success, "the gateway finds the order service")
    order = shop.http.post(f"{shop.gateway.url}/order-service/{user}/orders", json=BODY).raise_for_status().json()
    signed_in = {"authorization": f"Bearer {login.headers['token']}"}

    def seen() -> list[str]:
        found = shop.http.get(f"{users}/users/{user}", headers=signed_in).raise_for_status().json()
        assert (found["email"], "password" in found) == ("roy@example.com", False)
        return [one["orderId"] for one in found["orders"] or ()]

    assert wait_for(seen, "the user service finds the order service") == [order["orderId"]]
    assert shop.http.get(f"{users}/users/{user}", headers={"authorization": "Bearer x.y.z"}).status_code == 401
