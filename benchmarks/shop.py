"""The shop as `syncline up` starts it: how soon an order is a row, and how many orders a second it takes.

`python -m benchmarks.shop`; everything, the customers as well, on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.processes import cpu_seconds, rss_mib
from tests.e2e.commands import UP, Command
from tests.servers import make_mariadb, make_postgresql

PARTS = {
    "gateway": "syncline_shop.gateway",
    "order services": "syncline_shop.order",
    "catalog service": "syncline_shop.catalog",
    "worker": "connect-distributed",
    "broker": "syncline broker",
}
"""What works on an order, and what its command line holds."""
WARM_UP = 50
ORDER = {"productId": "CATALOG-0001", "quantity": 1, "unitPrice": 1500}

Find = Callable[[str], bool]
"""Whether the order's row is there."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shop", description=__doc__)
    parser.add_argument("--orders", type=int, default=2_000, help="as fast as they are taken")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--samples", type=int, default=400, help="orders whose way to the row is timed")
    parser.add_argument("--rate", type=float, default=20, help="of these, a second")
    parser.add_argument("--database", default="sqlite", choices=["sqlite", "mariadb", "postgresql"])
    parser.add_argument("--starts", type=int, default=3)
    options = parser.parse_args(arguments)
    report("load of this machine before, of the last minute", os.getloadavg()[0], "")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with one_database(options.database, folder) as (arguments_of_it, connect):
            for number in range(options.starts):
                with started(folder / f"start-{number}", arguments_of_it):
                    pass
            with started(folder / "shop", arguments_of_it) as command, contextlib.closing(connect()) as connection:
                market = Market(command, finder(connection, options.database))
                asyncio.run(market.rows(WARM_UP, options.rate, "warm-up, "))
                asyncio.run(market.rows(options.samples, options.rate))
                for key in (False, True):
                    asyncio.run(market.crowd(options.orders, options.clients, key=key))
    report("load of this machine after", os.getloadavg()[0], "")
    return 0


@contextlib.contextmanager
def one_database(kind: str, folder: Path) -> Iterator[tuple[list[str], Callable[[], Any]]]:
    """Options for `up`, and how to reach the table `orders`."""
    if kind == "sqlite":
        yield [], lambda: sqlite3.connect(folder / "shop" / ".syncline" / "orders.db")
        return
    place = folder / kind
    place.mkdir()
    server = (make_mariadb if kind == "mariadb" else make_postgresql)(place)
    server.start()
    try:
        database = server.database("shop")
        yield ["--database", database.url], database.connect
    finally:
        server.kill()


@contextlib.contextmanager
def started(folder: Path, arguments: list[str]) -> Iterator[Command]:
    """`syncline up`, timed from its start until it says that all is ready."""
    folder.mkdir()
    began = time.monotonic()
    with Command([*UP, *arguments], folder) as command:
        command.wait_for("Ctrl-C stops everything.")
        report("start to ready", time.monotonic() - began, "s")
        yield command
        began = time.monotonic()
        command.send(signal.SIGTERM)
        command.wait(30)
        report("stop", time.monotonic() - began, "s")


def finder(connection: Any, kind: str) -> Find:
    mark = "?" if kind == "sqlite" else "%s"
    cursor = connection.cursor()

    def find(order: str) -> bool:
        cursor.execute(f"SELECT 1 FROM orders WHERE order_id = {mark}", (order,))
        return cursor.fetchone() is not None

    return find


class Market:
    """Customers of one running shop."""

    def __init__(self, command: Command, find: Find) -> None:
        self._url = command.address("gateway")
        self._find = find
        self._tls = httpx.create_ssl_context()
        self._pids = {part: command.running(program) for part, program in PARTS.items()}

    async def rows(self, count: int, rate: float, what: str = "") -> None:
        """Time orders one by one, each begun at its moment whether or not the one before is done."""
        answered: list[float] = []
        visible: list[float] = []
        async with self._client() as http:

            async def order(after: float) -> None:
                await asyncio.sleep(after)
                began = time.perf_counter()
                placed = await http.post("/order-service/roy/orders", json=ORDER)
                answered.append(time.perf_counter() - began)
                placed.raise_for_status()
                # A table tells nobody of its rows.
                while not self._find(placed.json()["orderId"]):  # noqa: ASYNC110
                    await asyncio.sleep(0.0005)
                visible.append(time.perf_counter() - began)

            await asyncio.gather(*(order(number / rate) for number in range(count)))
        self._times(f"{what}{rate:g} orders/s, POST to answer", answered)
        self._times(f"{what}{rate:g} orders/s, POST to row", visible)

    async def crowd(self, count: int, clients: int, *, key: bool) -> None:
        """As many orders as there can be from `clients` who each wait for their answers."""
        waiting = iter(range(count))
        times: list[float] = []
        before = self._cpu()

        async def customer() -> None:
            # One client for all would share httpx's pool, in which they wait for each other.
            async with self._client() as http:
                for number in waiting:
                    headers = {"idempotency-key": str(uuid.uuid4())} if key else {}
                    began = time.perf_counter()
                    answer = await http.post(f"/order-service/user-{number % 100}/orders", json=ORDER, headers=headers)
                    times.append(time.perf_counter() - began)
                    answer.raise_for_status()

        began = time.monotonic()
        client = time.process_time()
        await asyncio.gather(*(customer() for _ in range(clients)))
        seconds = time.monotonic() - began
        what = f"{clients} clients{', each order with a key' if key else ''}"
        report(what, count / seconds, "orders/s")
        self._times(f"{what}, POST to answer", times)
        for part, used in self._cpu().items():
            report(f"  CPU for an order, {part}", (used - before[part]) / count * 1000, "ms")
        report("  CPU for an order, these clients", (time.process_time() - client) / count * 1000, "ms")
        report("  RSS of all these parts", rss_mib(*(pid for pids in self._pids.values() for pid in pids)), "MiB")

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(base_url=self._url, timeout=30, limits=limits, verify=self._tls)

    def _cpu(self) -> dict[str, float]:
        return {part: sum(map(cpu_seconds, pids)) for part, pids in self._pids.items()}

    def _times(self, what: str, seconds: list[float]) -> None:
        cuts = statistics.quantiles(seconds, n=100)
        report(f"{what}, p50", statistics.median(seconds) * 1000, "ms")
        report(f"{what}, p99", cuts[98] * 1000, "ms")


def report(what: str, figure: float, unit: str) -> None:
    print(f"{what:60} {figure:10.2f} {unit}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
