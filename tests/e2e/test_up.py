"""`syncline up`: the shop stays what it was over restarts, and falls as a whole when a part falls."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.commands import UP, Command
from tests.servers import Database, free_port, wait_for


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Command]:
    with Command(UP, tmp_path) as command:
        command.wait_for("Ctrl-C stops everything.")
        yield command


def place(command: Command, number: int, product: str = "P-1") -> str:
    """Place an order through the gateway and wait until it is a row; its id."""
    answer = httpx.post(
        f"{command.address('gateway')}/order-service/roy/orders",
        json={"productId": product, "qty": number, "unitPrice": 1000},
        headers={"prefer": "wait=10"},
        timeout=15,
    )
    assert (answer.status_code, answer.json()["synced"]) == (201, True), answer.text
    order_id: str = answer.json()["orderId"]
    return order_id


def orders_at(command: Command, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{command.address(what)}/order-service/roy/orders").json()
    return found


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database | None:
    """An empty one on a private server, or none: the file that `up` makes by itself."""
    return None if request.param == "sqlite" else request.getfixturevalue(request.param)


def test_orders_survive_a_restart_and_no_process_port_or_lock_is_left(
    tmp_path: Path, database: Database | None
) -> None:
    ports = {f"--{part}-port": str(free_port()) for part in ("gateway", "connect", "broker", "discovery", "console")}
    arguments = ["up", *(word for option in ports.items() for word in option)]
    if database is not None:
        arguments += ["--database", database.url]
    placed: list[str] = []
    for run in (1, 2):
        with Command(arguments, tmp_path) as command:
            command.wait_for("Ctrl-C stops everything.")
            placed += [place(command, 5 * run + number, "CATALOG-0001") for number in range(4)]
            lists = [orders_at(command, what) for what in ("order-service 1", "order-service 2", "gateway")]
            assert [[order["orderId"] for order in found] for found in lists] == [placed[::-1]] * 3
            left = 100 - sum(order["quantity"] for order in lists[0])
            wait_for(partial(_has_stock, command, left), f"the catalog has {left} left")
            command.send(signal.SIGTERM)
            assert command.wait(10) == 0
            assert command.running() == []
        assert command.err == ""
    assert (tmp_path / ".syncline" / "orders.db").exists() is (database is None)
    if database is not None:
        assert database.query("SELECT COUNT(*), SUM(quantity) FROM orders") == [(8, 72)]


def _has_stock(command: Command, stock: int) -> bool:
    answer = httpx.get(f"{command.address('gateway')}/catalog-service/catalogs/CATALOG-0001")
    return bool(answer.json()["stock"] == stock)


def test_the_connector_is_the_contracts_own_and_shows_no_password(up: Command) -> None:
    url = f"{up.address('Connect REST')}/connectors/my-order-sink-connect"
    config = httpx.get(url).json()["config"]
    assert config["connector.class"] == "io.confluent.connect.jdbc.JdbcSinkConnector"
    assert config["connection.password"] == "${env:ORDERS_DATABASE_PASSWORD}"
    assert httpx.get(f"{url}/status").json()["tasks"][0]["state"] == "RUNNING"


VICTIMS = {
    "broker": "broker",
    "worker": "connect-distributed",
    "order-service": "syncline_shop.order",
    "catalog-service": "syncline_shop.catalog",
    "user-service": "syncline_shop.user",
    "console": "syncline console",
    "gateway": "syncline_shop.gateway",
    "discovery": "syncline_shop.discovery",
}
"""Names as they are shown, and what their command lines hold."""


@pytest.mark.parametrize("name", VICTIMS)
def test_when_a_part_is_killed_the_rest_is_stopped_and_the_part_is_named(up: Command, name: str) -> None:
    os.kill(up.running(VICTIMS[name])[0], signal.SIGKILL)
    assert up.wait(15) == 1
    assert up.running() == []
    assert up.err.startswith(f"syncline: {name}")
    assert "was killed by signal 9" in up.err
    assert len(up.err.splitlines()) == 1


def test_the_gateway_finds_every_instance_by_the_registry(up: Command) -> None:
    page = httpx.get(up.address("discovery"))
    apps = httpx.get(f"{up.address('discovery')}/eureka/apps", headers={"accept": "application/json"}).json()
    listed = {app["name"]: app["instance"] for app in apps["applications"]["application"]}
    assert {name: len(found) for name, found in listed.items()} == {
        **{"ORDER-SERVICE": 2, "CATALOG-SERVICE": 1, "USER-SERVICE": 1, "GATEWAY": 1}
    }
    for number in (1, 2):
        assert up.address(f"order-service {number}") in page.text
    answers = [httpx.get(f"{up.address('gateway')}/order-service/health-check").text for _ in range(10)]
    assert len(set(answers)) == 2
    assert answers == answers[:2] * 5


def test_a_part_that_is_killed_comes_back_when_that_is_asked_for(tmp_path: Path) -> None:
    with Command([*UP, "--restart"], tmp_path) as command:
        command.wait_for("Ctrl-C stops everything.")
        for part in ("connect-distributed", "syncline_shop.catalog", "syncline_shop.order"):
            before = command.running(part)
            os.kill(before[0], signal.SIGKILL)
            wait_for(partial(_has_more, command, part, before), f"{part} is back")
        wait_for(lambda: placed_at_last(command), "an order becomes a row again")
        command.send(signal.SIGTERM)
        assert command.wait(10) == 0
        assert command.running() == []


def _has_more(command: Command, part: str, before: list[int]) -> bool:
    return not set(command.running(part)) <= set(before)


def placed_at_last(command: Command) -> bool:
    try:
        place(command, 1)
    except (AssertionError, httpx.TransportError):
        return False
    return True


def test_a_file_says_what_to_start(tmp_path: Path) -> None:
    services = ("[services.order]", "instances = 3", "[services.user]", "instances = 0")
    (tmp_path / "syncline.toml").write_text("\n".join(["data = 'here'", *services]))
    with Command(UP, tmp_path) as command:
        command.wait_for("Ctrl-C stops everything.")
        assert len({command.address(f"order-service {number}") for number in (1, 2, 3)}) == 3
        assert command.running("syncline_shop.user") == []
        assert (tmp_path / "here" / "orders.db").exists()
        answers = {httpx.get(f"{command.address('gateway')}/order-service/health-check").text for _ in range(6)}
        assert len(answers) == 3


def test_the_console_shows_the_orders_and_their_topics(up: Command) -> None:
    order = place(up, 1)
    console = up.address("console")
    overview = httpx.get(console, timeout=30).text
    for topic in ("orders", "example-catalog-topic", "connect-configs", "connect-offsets", "connect-status"):
        assert f'href="/topics/{topic}"' in overview
    assert order in httpx.get(f"{console}/databases/orders/orders", timeout=30).text
    assert order in httpx.get(f"{console}/topics/orders", timeout=30).text


def test_a_second_one_on_the_same_data_is_refused_in_one_sentence(up: Command, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    arguments = [*UP, "--data", str(tmp_path / ".syncline")]
    with Command(arguments, tmp_path / "second") as second:
        assert second.wait() == 1
        assert second.running() == []
    assert "broker ended with status 1" in second.err
    assert len(second.err.splitlines()) == 1
    place(up, 1)


def test_the_end_of_the_terminal_ends_everything(up: Command) -> None:
    up.send(signal.SIGHUP)
    assert up.wait(10) == 0
    wait_for(lambda: up.running() == [], "nothing is left")
