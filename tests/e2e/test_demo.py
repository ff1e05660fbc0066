"""`syncline demo`: what a newcomer sees in the first minute, and that it leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.commands import RANDOM_PORTS, Command
from tests.servers import Database, free_port, wait_for

ONCE = ["demo", "--once", *RANDOM_PORTS]
HEAD = re.compile(
    r"^ *((?:private )?order-service \d): (\d) orders +((?:private )?order-service \d): (\d) orders", re.M
)


def lists(text: str) -> list[tuple[list[str], list[str]]]:
    """The orders' short ids, per pair of lists that stand side by side."""
    found = []
    for heading in HEAD.finditer(text):
        rows = text[heading.end() :].split("\n\n")[0].splitlines()[2:]
        ids = [re.findall(r"\b[0-9a-f]{8}\b", row) for row in rows]
        assert all(len(pair) == 2 for pair in ids), rows
        found.append(([pair[0] for pair in ids], [pair[1] for pair in ids]))
        assert (len(ids), len(ids)) == (int(heading[2]), int(heading[4]))
    return found


def record(text: str) -> dict[str, Any]:
    """The record's value as it is shown."""
    start = text.index("{", text.index("\n  value"))
    value: dict[str, Any]
    value, _ = json.JSONDecoder().raw_decode(text[start:])
    return value


def test_the_problem_and_the_remedy_are_shown_and_nothing_is_left(tmp_path: Path) -> None:
    with Command(ONCE, tmp_path) as demo:
        assert demo.wait() == 0, demo.err
        assert demo.running() == []
    assert demo.err == ""
    (one, two), (first, second) = lists(demo.out)
    assert (len(one), len(two)) == (2, 2)
    assert not set(one) & set(two)
    assert len(set(first)) == 4
    assert first == second
    shown = record(demo.out)
    assert [field["field"] for field in shown["schema"]["fields"]] == list(shown["payload"])
    assert shown["schema"]["name"] == "orders"
    assert shown["payload"]["order_id"][:8] in first
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_database_server_serves_as_the_one_database(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    database: Database = request.getfixturevalue(kind)
    arguments = [*ONCE, "--data", "data", "--database", database.url]
    for run in (1, 2):
        with Command(arguments, tmp_path) as demo:
            assert demo.wait() == 0, demo.err
            assert demo.running() == []
        assert len(set(lists(demo.out)[1][0])) == 4
        assert database.query("SELECT count(*), count(DISTINCT order_id) FROM orders") == [(4 * run, 4 * run)]
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    for text in (demo.out.encode(), demo.err.encode(), *(file.read_bytes() for file in files)):
        assert database.server.password.encode() not in text


@pytest.mark.parametrize("option", ["--gateway-port", "--connect-port", "--broker-port", "--discovery-port"])
def test_a_taken_port_is_one_sentence_that_names_it(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["demo", "--once", *RANDOM_PORTS, option, str(port)]
        with Command(arguments, tmp_path) as demo:
            assert demo.wait() == 1
            assert demo.running() == []
    assert demo.out == ""
    assert demo.err == (
        f"syncline: port {port} is taken by another program; choose another with {option}, or 0 for a free one\n"
    )


def test_an_unreachable_database_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    port = free_port()
    arguments = [*ONCE, "--database", f"mariadb://root:hidden@127.0.0.1:{port}/shop"]
    with Command(arguments, tmp_path) as demo:
        assert demo.wait() == 1
        assert demo.running() == []
    shown = f"mariadb://root@127.0.0.1:{port}/shop"
    assert demo.err == f"syncline: the database {shown} cannot be reached: Connection refused\n"


def test_a_database_that_refuses_us_is_one_sentence_and_everything_is_stopped(
    tmp_path: Path, mariadb: Database
) -> None:
    arguments = [*ONCE, "--database", mariadb.url.replace(mariadb.server.password, "hidden")]
    with Command(arguments, tmp_path) as demo:
        assert demo.wait() == 1
        assert demo.running() == []
    assert re.fullmatch(r"syncline: order-service \d ended with status 1: cannot use the database .*\n", demo.err)
    assert "Access denied" in demo.err
    assert "hidden" not in demo.out + demo.err
    assert list((tmp_path / "tmp").iterdir()) == []


def test_without_once_it_goes_on_until_it_is_interrupted(tmp_path: Path) -> None:
    with Command(["demo", *RANDOM_PORTS], tmp_path) as demo:
        demo.wait_for("Ctrl-C stops everything.")
        gateway = demo.address("gateway")
        health = [httpx.get(f"{gateway}/order-service/health-check").text for _ in range(4)]
        assert len(set(health)) == 2
        assert health[:2] == health[2:]
        demo.send(signal.SIGINT)
        assert demo.wait(10) == 0
        assert demo.running() == []
    assert demo.out.endswith("nothing is left running.\n")


def test_an_interrupt_half_way_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    with Command(ONCE, tmp_path) as demo:
        demo.wait_for("order-service 1")
        demo.send(signal.SIGTERM)
        assert demo.wait(10) == 130
        assert demo.running() == []
    assert demo.out.endswith("Stopped half way; nothing is left running.\n")


def test_kill_9_leaves_no_process(tmp_path: Path) -> None:
    with Command(["demo", *RANDOM_PORTS], tmp_path) as demo:
        demo.wait_for("Ctrl-C stops everything.")
        assert len(demo.running()) == 6
        demo.send(signal.SIGKILL)
        wait_for(lambda: demo.running() == [], "every child ends by itself", 20)
