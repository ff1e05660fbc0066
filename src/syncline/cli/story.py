"""What `demo` tells, in two chapters, with real processes and real requests."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from typing import Any, Final

import httpx

from syncline.cli.screen import Screen
from syncline.cli.shop import Shop
from syncline.cli.supervise import Child
from syncline.errors import SynclineError

ORDERS: Final = (
    ("CATALOG-0001", 10, 1500),
    ("CATALOG-0002", 20, 900),
    ("CATALOG-0003", 5, 1200),
    ("CATALOG-0001", 1, 1500),
)
"""Product, quantity, unit price."""


class DemoFailed(SynclineError):
    """A request of the demo was not answered as it must be."""


def problem(shop: Shop, screen: Screen) -> Child:
    """Two instances, a database each, four orders: two truths. The broker, already on its way, is for later."""
    screen.chapter(
        1,
        "The problem",
        "Two instances of an order service, each with [bold]a database of its own[/], behind one gateway.",
    )
    user = _new_user()
    with screen.waiting("starting"):
        broker = shop.broker()
        discovery = shop.discovery()
        instances = [shop.private_orders(number) for number in (1, 2)]
        gateway = shop.gateway()
        shop.supervisor.ready(discovery, *instances, gateway)
        shop.taken_turns("order", instances)
    _place_orders(shop, screen, gateway, user)
    lists = {child.name: _orders_at(child, user) for child in instances}
    screen.orders(lists)
    first, second = lists.values()
    if _ids(first) == _ids(second):
        raise DemoFailed("both instances list the same orders, which private databases cannot explain")
    screen.verdict(False, "The same question, two answers: it depends on whose turn it is.")
    with screen.waiting("stopping these two and their gateway"):
        shop.supervisor.stop(gateway, *instances)
    return broker


def remedy(shop: Shop, screen: Screen, broker: Child) -> None:
    """The same two instances publish; a sink writes; all read one database: one truth."""
    screen.chapter(
        2,
        "The remedy",
        "The instances publish orders to the topic [bold]orders[/]. A Connect worker runs a JdbcSinkConnector, "
        "which writes them into [bold]one database[/] that all instances read.",
    )
    user = _new_user()
    with screen.waiting("starting"):
        shop.supervisor.ready(broker)
        *orders, _, gateway = shop.connected(2)
    screen.done("sink connector registered over REST and running")
    placed = _place_orders(shop, screen, gateway, user)
    lists: dict[str, list[dict[str, Any]]] = {}

    def all_there() -> bool:
        lists.update({child.name: _orders_at(child, user) for child in orders})
        return all(_ids(found) >= placed for found in lists.values())

    with screen.waiting("the sink writes"):
        shop.supervisor.wait(all_there, lambda: f"the orders did not reach the database: {shop.sink_trouble()}")
    screen.say()
    screen.say("The first order as it stands in the topic, with its schema:")
    screen.say()
    record = _first_record(shop)
    screen.record(record["key"], record["value"])
    screen.orders(lists)
    first, second = lists.values()
    if first != second:
        raise DemoFailed(f"the instances disagree: {first} and {second}")
    screen.verdict(True, "One truth: every instance gives the same list, in the same order.")
    screen.addresses(shop.addresses(orders))
    screen.say(f"Try: [cyan]curl {gateway.address}/order-service/{user}/orders[/]")
    screen.say(f"     [cyan]curl '{shop.connect_url}/connectors?expand=status'[/]")
    screen.say(f"     [cyan]syncline consume orders --from-beginning -b {shop.bootstrap}[/]")


def _new_user() -> str:
    """Nobody who has orders yet, in whatever database."""
    return f"roy-{uuid.uuid4().hex[:6]}"


def _place_orders(shop: Shop, screen: Screen, gateway: Child, user: str) -> set[str]:
    """Place the orders through the gateway, and tell what it answered; the ids."""
    screen.say()
    screen.say("Four orders through the gateway, which takes turns:")
    screen.say(f"  [cyan]POST {gateway.address}/order-service/{user}/orders[/]")
    placed = set()
    for product, quantity, price in ORDERS:
        body = {"productId": product, "quantity": quantity, "unitPrice": price}
        answer = _asked("POST", f"{gateway.address}/order-service/{user}/orders", body)
        placed.add(answer["orderId"])
        sum_ = f"{quantity:>2} x {price:>5,} = {answer['totalPrice']:>6,}"
        screen.done(f"{answer['orderId'][:8]}  {product}  {sum_}")
    return placed


def _orders_at(child: Child, user: str) -> list[dict[str, Any]]:
    """The user's orders as this instance lists them."""
    found: list[dict[str, Any]] = _asked("GET", f"{child.address}/order-service/{user}/orders")
    return found


def _ids(orders: Sequence[dict[str, Any]]) -> set[str]:
    return {order["orderId"] for order in orders}


def _asked(method: str, url: str, body: Any = None) -> Any:
    try:
        answer = httpx.request(method, url, json=body, timeout=10)
    except httpx.TransportError as exc:
        raise DemoFailed(f"{method} {url}: {exc}") from exc
    if not answer.is_success:
        raise DemoFailed(f"{method} {url} was answered with {answer.status_code}: {answer.text}")
    return answer.json()


def _first_record(shop: Shop) -> dict[str, Any]:
    """The first record of the topic, read by the command that anybody would use."""
    command = ["consume", "orders", "--from-beginning", "--max-messages", "1", "--timeout-ms", "10000", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "syncline", *command, "--bootstrap-server", shop.bootstrap],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        # Ctrl-C is for the supervisor, which stops everything in order.
        start_new_session=True,
    )
    if done.returncode or not done.stdout:
        raise DemoFailed(f"the topic cannot be read: {done.stderr.strip() or 'it is empty'}")
    record: dict[str, Any] = json.loads(done.stdout)
    return record
