"""The whole shop under load while its parts are killed with -9: every order taken is there once, and nothing else is.

32 customers order at the same time through the gateway, each order under an Idempotency-Key of its own. What a
customer may try again, it tries again: an answer that says so (409, 502, 503, 504), and a connection that broke.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.commands import UP, Command
from tests.servers import wait_for

CUSTOMERS = 32
ORDERS = 2_000
CALM_SECONDS = 3
"""At most so long a customer waits between orders while a part is dead, so that there are orders left when it is
back; as long as nothing is, all of them order as fast as they can."""
AGAIN = {409, 502, 503, 504}
PARTS = {
    "order": "syncline_shop.order",
    "catalog": "syncline_shop.catalog",
    "worker": "connect-distributed",
}
"""What is killed, in this order, and what its command line holds."""
INSTANCES = {"order": 3, "catalog": 2}
START = {"CATALOG-0001": 1_000_000, "CATALOG-0002": 200, "CATALOG-0003": 1_000_000}
"""The second one is soon sold out."""


@dataclass(frozen=True)
class Wish:
    """What one request asks for; its price tells it from all others in every table."""

    number: int
    product_id: str
    quantity: int

    @property
    def body(self) -> dict[str, Any]:
        return {"productId": self.product_id, "quantity": self.quantity, "unitPrice": self.number}

    @property
    def path(self) -> str:
        return f"/order-service/customer-{self.number % CUSTOMERS}/orders"


@dataclass
class Seen:
    """What the customers were told."""

    taken: dict[int, str] = field(default_factory=dict)
    """Order ids by the wish's number."""
    answers: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    """Failures that no kill explains."""
    looks: int = 0


class Market:
    """The shop as customers and a killer meet it."""

    def __init__(self, command: Command, orders: int) -> None:
        self.command = command
        self.gateway = command.address("gateway")
        self.registry = f"{command.address('discovery')}/eureka/apps"
        self._choose = choose = random.Random(orders)
        self.wishes = [
            Wish(number, choose.choice(list(START)), choose.randint(1, 3)) for number in range(1, orders + 1)
        ]
        self.seen = Seen()
        self.falling = ""
        """The part that is dead or not back yet."""
        self.whole = asyncio.Event()
        """Everybody was killed and is back; the last orders wait for it."""

    async def run(self) -> None:
        """Every wish is an order at the end."""
        waiting = iter(self.wishes)
        enough = asyncio.Event()
        async with client(self.gateway) as http:
            for product, stock in START.items():
                answer = await http.put(f"/catalog-service/catalogs/{product}/stock", json={"stock": stock})
                answer.raise_for_status()
            async with asyncio.TaskGroup() as lookers:
                for path in self._pages():
                    lookers.create_task(self._look(http, path, enough))
                async with asyncio.TaskGroup() as others:
                    for _ in range(CUSTOMERS):
                        others.create_task(self._customer(http, waiting))
                    others.create_task(self._kill())
                enough.set()

    def _pages(self) -> list[str]:
        return ["/catalog-service/catalogs", self.wishes[0].path, "/order-service/health-check"]

    async def _customer(self, http: httpx.AsyncClient, waiting: Any) -> None:
        for wish in waiting:
            if self.falling:
                await asyncio.sleep(self._choose.uniform(0, CALM_SECONDS))
            if wish.number > len(self.wishes) - CUSTOMERS:
                await self.whole.wait()
            key = {"idempotency-key": str(uuid.uuid4())}
            async with asyncio.timeout(90):
                while wish.number not in self.seen.taken:
                    await self._order(http, wish, key)

    async def _order(self, http: httpx.AsyncClient, wish: Wish, key: dict[str, str]) -> None:
        falling = self.falling
        try:
            answer = await http.post(wish.path, json=wish.body, headers=key)
        except httpx.TransportError as exc:
            self.seen.answers[type(exc).__name__] += 1
            self.seen.unexplained.append(f"POST: {exc!r}")
            return
        self.seen.answers[str(answer.status_code)] += 1
        if answer.status_code == 201:
            self.seen.taken[wish.number] = answer.json()["orderId"]
            return
        assert answer.status_code in AGAIN, answer.text
        if answer.status_code != 409 and not (falling or self.falling):
            self.seen.unexplained.append(f"POST: {answer.text}")
        await asyncio.sleep(float(answer.headers.get("retry-after", 0.1)))

    async def _look(self, http: httpx.AsyncClient, path: str, enough: asyncio.Event) -> None:
        """Read a page again and again: no kill is a reason for anything but 200, and no stock is below zero."""
        while not enough.is_set():
            try:
                answer = await http.get(path)
            except httpx.TransportError as exc:
                self.seen.unexplained.append(f"GET {path}: {exc!r} while {self.falling or 'nobody'} falls")
                continue
            self.seen.looks += 1
            if answer.status_code != 200:
                self.seen.unexplained.append(f"GET {path}: {answer.text} while {self.falling or 'nobody'} falls")
            elif path.endswith("catalogs"):
                assert min(product["stock"] for product in answer.json()) >= 0
            await asyncio.sleep(0.02)

    async def _kill(self) -> None:
        """Each part when its share of the orders is taken; the next one only after it is back."""
        for turn, part in enumerate(PARTS, 1):
            share = len(self.wishes) * turn // (len(PARTS) + 1)
            await until(partial(self._has_taken, share), f"{share} orders are taken")
            before = await asyncio.to_thread(self._lives)
            self.falling = part
            os.kill(self.command.running(PARTS[part])[0], signal.SIGKILL)
            await until(partial(self._is_back, part, before), f"{part} is back")
            self.falling = ""
        self.whole.set()

    def _has_taken(self, share: int) -> bool:
        return len(self.seen.taken) >= share

    def _is_back(self, part: str, before: dict[str, set[str]]) -> bool:
        now = self._lives()
        return now[part] != before[part] and all(len(now[kind]) == len(before[kind]) for kind in PARTS)

    def _lives(self) -> dict[str, set[str]]:
        """Who is there, by part: services as the registry lists them, the worker once it answers."""
        listed = httpx.get(self.registry, headers={"accept": "application/json"}).json()["applications"]["application"]
        up = {app["name"]: {one["instanceId"] for one in app["instance"] if one["status"] == "UP"} for app in listed}
        services = {kind: up.get(f"{kind.upper()}-SERVICE", set()) for kind in INSTANCES}
        workers = {str(pid) for pid in self.command.running(PARTS["worker"])}
        try:
            httpx.get(self.command.address("Connect REST"))
        except httpx.TransportError:
            workers = set()
        return {**services, "worker": workers}


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """With a connection for everybody."""
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=None)) as http:
        yield http


async def until(ready: Callable[[], object], what: str, seconds: float = 120) -> None:
    """`wait_for` beside other tasks."""
    try:
        async with asyncio.timeout(seconds):
            # Processes and files tell nobody when they change.
            while not await asyncio.to_thread(ready):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None


def rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_every_order_taken_is_there_once_whoever_is_killed_meanwhile(tmp_path: Path) -> None:
    instances = [f"--instances={kind}={number}" for kind, number in INSTANCES.items()]
    with Command([*UP, "--restart", *instances], tmp_path) as command:
        command.wait_for("Ctrl-C stops everything.")
        market = Market(command, ORDERS)
        await market.run()
        seen, data = market.seen, tmp_path / ".syncline"
        assert seen.unexplained == []
        assert len(seen.taken) == ORDERS

        orders = "SELECT unit_price, order_id, user_id, product_id, quantity FROM orders"
        wait_for(lambda: len(rows(data / "orders.db", orders)) >= ORDERS, "all orders are rows", 120)
        decided = "SELECT order_id, product_id, quantity, outcome FROM reservations"
        wait_for(lambda: len(rows(data / "catalog.db", decided)) >= ORDERS, "all orders are decided", 120)
        assert sorted(rows(data / "orders.db", orders)) == [
            (wish.number, seen.taken[wish.number], wish.path.split("/")[2], wish.product_id, wish.quantity)
            for wish in market.wishes
        ]
        reservations = rows(data / "catalog.db", decided)
        ordered = {seen.taken[wish.number]: (wish.product_id, wish.quantity) for wish in market.wishes}
        assert {order: (product, quantity) for order, product, quantity, _ in reservations} == ordered
        left = dict(rows(data / "catalog.db", "SELECT product_id, stock FROM catalog"))
        for product, start in START.items():
            accepted = sum(quantity for _, what, quantity, how in reservations if (what, how) == (product, "RESERVED"))
            assert (product, left[product] + accepted) == (product, start)
            assert left[product] >= 0
        assert {what for _, what, _, how in reservations if how == "REJECTED"} <= {"CATALOG-0002"}
        print(f"{ORDERS} orders: {dict(seen.answers)}; {seen.looks} pages read")
        command.send(signal.SIGTERM)
        assert command.wait(10) == 0
        assert command.running() == []
