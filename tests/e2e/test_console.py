"""The console's pages: what is in the databases and topics, as a person sees it in a browser."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.browser import Browser, find_browser
from tests.processes import BrokerProgram, Program, WorkerProgram
from tests.servers import Database, free_port, wait_for


class ConsoleProgram(Program):
    """`syncline console` on a free port."""

    url: str

    @classmethod
    def at(cls, folder: Path, *arguments: str) -> ConsoleProgram:
        port = free_port()
        made = cls(["console", "--port", str(port), *arguments], folder / "console.log")
        made.url = f"http://127.0.0.1:{port}"
        return made

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return find_browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def console(
    tmp_path_factory: pytest.TempPathFactory, broker: BrokerProgram, worker: WorkerProgram
) -> Iterator[ConsoleProgram]:
    """Over an SQLite file with 120 users, the broker and the worker."""
    folder = tmp_path_factory.mktemp("console")
    file = folder / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, picture BLOB)")
        rows = [(number, f"<b>user {number}</b>", b"\x00\x7f") for number in range(1, 121)]
        connection.execute("CREATE TABLE odd (at DATETIME, day DATE, number INTEGER)")
        connection.execute("INSERT INTO odd VALUES (1700000000123, 'someday', 'seven')")
        connection.executemany("INSERT INTO users VALUES (?, ?, ?)", rows)
    connection.close()
    arguments = ["--database", f"shop=sqlite:///{file}", "--bootstrap-server", broker.bootstrap]
    with ConsoleProgram.at(folder, *arguments, "--connect", worker.url) as program:
        yield program


def test_a_browser_shows_everything_there_is(
    console: ConsoleProgram, browser: Browser, topic: str, produce: Callable[..., None]
) -> None:
    produce(topic, "hello")
    page = browser.page(console.url)
    assert 'href="/databases/shop/users">users</a>' in page
    assert '<td class="number">120</td>' in page
    assert f'href="/topics/{topic}">{topic}</a>' in page
    assert "No connector yet." in page


def test_a_browser_shows_rows_as_they_are_and_leafs_through_them(console: ConsoleProgram, browser: Browser) -> None:
    first = browser.page(f"{console.url}/databases/shop/users")
    assert "Rows 1 to 50" in first
    assert "<td>&lt;b&gt;user 50&lt;/b&gt;</td><td>00 7f</td>" in first
    assert "user 51" not in first
    assert 'rel="next" href="?first=50"' in first
    last = browser.page(f"{console.url}/databases/shop/users?first=100")
    assert "Rows 101 to 120" in last
    assert 'rel="next"' not in last


def test_values_that_do_not_fit_their_columns_are_shown(console: ConsoleProgram) -> None:
    page = console.get("/databases/shop/odd").text
    assert "<td>1700000000123</td><td>someday</td><td>seven</td>" in page


def test_a_browser_shows_records_with_their_payload_schema_and_headers_apart(
    console: ConsoleProgram, browser: Browser, topic: str, produce: Callable[..., None]
) -> None:
    schema = {"type": "struct", "name": "orders", "fields": []}
    produce(topic, json.dumps({"schema": schema, "payload": {"qty": 5}}), b"\xff\x00", None, key="<k>")
    page = browser.page(f"{console.url}/topics/{topic}")
    assert '<pre>{\n  "qty": 5\n}</pre>' in page
    assert "<summary>Schema</summary>" in page
    assert "<pre>&lt;k&gt;</pre>" in page
    assert "<pre>ff 00</pre>" in page
    assert '<td><span class="quiet">null</span>' in page


def test_the_last_records_come_first_and_the_earlier_ones_are_a_click_away(
    console: ConsoleProgram, topic: str, produce: Callable[..., None]
) -> None:
    produce(topic, *(f"value {number}" for number in range(120)))
    last = console.get(f"/topics/{topic}").text
    assert "value 119" in last
    assert "value 69" not in last
    assert 'rel="prev" href="?partition=0&amp;first=20"' in last
    assert "value 20<" in console.get(f"/topics/{topic}?partition=0&first=20").text


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_database_server_is_shown_without_its_password(
    kind: str, new_database: Callable[[str], Database], tmp_path: Path
) -> None:
    database = new_database(kind)
    database.query("CREATE TABLE orders (id int PRIMARY KEY, note varchar(20), at timestamp NULL)")
    database.query("INSERT INTO orders VALUES (2, 'second', NULL), (1, 'first', '2026-01-02 03:04:05')")
    with ConsoleProgram.at(tmp_path, "--database", f"shop={database.url}") as program:
        overview = program.get("/").text
        rows = program.get("/databases/shop/orders").text
    assert f"{kind}://" in overview
    assert not database.server.password or database.server.password not in overview
    assert rows.index("first") < rows.index("second")
    assert "2026-01-02 03:04:05" in rows
    assert '<span class="quiet">NULL</span>' in rows


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/databases/nope", 404, "There is no database called"),
        ("/databases/shop/nope", 404, "There is no table called nope"),
        ("/databases/shop/users?first=-1", 400, "first must be a whole number"),
        ("/databases/shop/users?first=1000", 200, "No row from number 1001 on."),
        ("/topics/nope", 404, "There is no topic called"),
        ("/elsewhere", 404, "Not Found"),
    ],
)
def test_what_is_not_there_is_said(console: ConsoleProgram, path: str, status: int, text: str) -> None:
    answer = console.get(path)
    assert answer.status_code == status
    assert text in answer.text


def test_nothing_can_be_changed(console: ConsoleProgram) -> None:
    for path in ("/", "/databases/shop/users", "/topics/x"):
        assert httpx.post(f"{console.url}{path}").status_code == 405
        assert httpx.delete(f"{console.url}{path}").status_code == 405


def test_what_is_away_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "shop.db").touch()
    nobody = f"127.0.0.1:{free_port()}"
    arguments = ["--database", f"shop=sqlite:///{tmp_path / 'shop.db'}", "--connect", f"http://{nobody}"]
    with ConsoleProgram.at(tmp_path, *arguments, "--database", f"away=mariadb://u:Secret@{nobody}/x") as program:
        page = program.get("/").text
        assert "No table yet." in page
        assert "no Connect worker answers" in page
        assert page.count('role="alert"') == 2
        assert "Secret" not in page
        assert program.get("/databases/away").status_code == 503


def test_a_failed_task_says_why(console: ConsoleProgram, worker: WorkerProgram, topic: str) -> None:
    config = {
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
        "connection.url": "jdbc:sqlite:missing.db",
        **{"mode": "incrementing", "incrementing.column.name": "nope", "table.whitelist": "users", "tasks.max": "1"},
    }
    file = console.log.parent / "shop.db"
    worker.create(topic, {**config, "connection.url": f"jdbc:sqlite:{file}"})
    try:
        wait_for(lambda: worker.task_states(topic) == ["FAILED"], "the task fails")
        page = console.get("/").text
        assert "0 FAILED" in page
        assert "nope does not exist in table" in page
    finally:
        worker.delete(topic)
