"""Databases that go away and come back: the task goes on by itself, with nothing lost and nothing doubled."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncline.errors import ConnectError
from tests.jdbc_source import Offsets, Worker
from tests.servers import Server, make_mariadb, make_postgresql, wait_for

MAKE: dict[str, Callable[[Path], Server]] = {"mariadb": make_mariadb, "postgresql": make_postgresql}
SERIAL = {"mariadb": "int AUTO_INCREMENT PRIMARY KEY", "postgresql": "serial PRIMARY KEY"}


@pytest.fixture(scope="module", params=sorted(MAKE))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, because it is killed."""
    made = MAKE[request.param](tmp_path_factory.mktemp(request.param[0]))
    made.start()
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
def worker(server: Server) -> Iterator[Worker]:
    """Reads table `t` by id, ten rows a batch; the table has 100 rows."""
    database = server.database("outages")
    database.query(f"CREATE TABLE t (id {SERIAL[server.kind]}, v varchar(20))")
    insert(server, 100)
    config = {
        **database.connector_config,
        "tasks.max": "1",
        "mode": "incrementing",
        "incrementing.column.name": "id",
        "table.whitelist": "t",
        "topic.prefix": "",
        "batch.max.rows": "10",
        "poll.interval.ms": "1000",
    }
    made = Worker(config, Offsets())
    try:
        yield made
    finally:
        made.stop()


def insert(server: Server, count: int) -> None:
    with contextlib.closing(server.connect("outages")) as connection, connection.cursor() as cursor:
        for _ in range(count):
            cursor.execute("INSERT INTO t(v) VALUES ('x')")


def stored(server: Server) -> list[int]:
    """The ids there are; PostgreSQL leaves some out after a crash."""
    with contextlib.closing(server.connect("outages")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM t ORDER BY id")
        return [id_ for (id_,) in cursor.fetchall()]


def read_until(worker: Worker, last: int) -> list[int]:
    """Poll, as the worker does, until the row `last` was read."""
    seen: list[int] = []

    def caught_up() -> bool:
        seen.extend(record.value.id for record in worker.step())
        assert worker.error is None, worker.error
        return last in seen

    wait_for(caught_up, f"row {last} is read", seconds=20)
    return seen


def test_a_killed_server_is_waited_for(server: Server, worker: Worker) -> None:
    first = worker.step()
    assert [record.value.id for record in first] == list(range(1, 11))
    server.kill()
    for _ in range(3):
        assert worker.step() == []
    assert worker.error is None
    assert worker.retried, "each failed attempt is reported"
    assert server.password not in " ".join(map(str, worker.retried))
    server.start()
    insert(server, 5)
    wanted = stored(server)
    assert read_until(worker, wanted[-1]) == wanted[10:]


def test_a_connection_that_was_cut_while_idle_is_replaced(server: Server, worker: Worker) -> None:
    assert read_until(worker, 100) == list(range(1, 101))
    server.stop()
    server.start()
    insert(server, 5)
    wanted = stored(server)
    assert read_until(worker, wanted[-1]) == wanted[100:]


def test_a_connection_cut_inside_a_long_result_is_continued_after_the_last_row(server: Server, worker: Worker) -> None:
    with contextlib.closing(server.connect("outages")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE VIEW w AS SELECT id, v FROM t")
    config = {**worker.config, "table.whitelist": "w", "table.types": "VIEW", "validate.non.null": "false"}
    streaming = Worker(config, Offsets())
    try:
        seen = [record.value.id for record in streaming.step()]
        server.kill()
        server.start()
        seen += read_until(streaming, 100)
    finally:
        streaming.stop()
    assert seen == list(range(1, 101))


def test_a_query_that_is_killed_half_way_does_not_pass_for_complete(server: Server, worker: Worker) -> None:
    slow = {
        "mariadb": "SELECT id, SLEEP(0.05) AS s, REPEAT('x', 20000) AS w FROM t",  # more than the server keeps back
        "postgresql": "SELECT id, pg_sleep(0.05)::text AS s FROM t",
    }
    config = {**worker.config, "mode": "bulk", "query": slow[server.kind], "batch.max.rows": "5"}
    for name in ("table.whitelist", "incrementing.column.name"):
        del config[name]
    streaming = Worker(config, Offsets())
    enough = threading.Event()
    killer = threading.Thread(target=kill_queries, args=(server, enough))
    try:
        assert len(streaming.step()) == 5
        seen = 5
        killer.start()
        while not streaming.retried:
            seen += len(streaming.step())
            assert streaming.error is None
            assert seen < 100
    finally:
        enough.set()
        killer.join(60)
        streaming.stop()


def kill_queries(server: Server, enough: threading.Event) -> None:
    """End the slow queries that run, and leave the connections open."""
    with contextlib.closing(server.connect("outages")) as connection, connection.cursor() as cursor:
        while not enough.wait(0.02):
            if server.kind == "postgresql":
                cursor.execute(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = 'outages' AND state = 'active' AND pid <> pg_backend_pid()"
                )
                continue
            cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT id, SLEEP%'")
            for (number,) in cursor.fetchall():
                with contextlib.suppress(Exception):  # it has ended by itself
                    cursor.execute(f"KILL QUERY {number}")


def test_attempts_may_be_limited(server: Server, worker: Worker) -> None:
    config = {**worker.config, "query.retry.attempts": "2"}
    limited = Worker(config, Offsets())
    try:
        assert limited.step()
        server.kill()
        wait_for(lambda: limited.step() == [] and limited.error is not None, "the task gives up")
        assert isinstance(limited.error, ConnectError)
        assert "after retries" in str(limited.error)
        assert len(limited.retried) == 2
    finally:
        limited.stop()
        server.start()


def test_tables_are_looked_for_again_when_the_server_is_back(server: Server, worker: Worker) -> None:
    config = {**worker.config, "table.poll.interval.ms": "50", "table.whitelist": "t,u"}
    watching = Worker(config, Offsets())
    try:
        server.kill()
        server.start()
        with contextlib.closing(server.connect("outages")) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE u (id int PRIMARY KEY)")
        wait_for(watching.context.changed.is_set, "the new table is found")
        assert watching.context.errors == []
    finally:
        watching.stop()


def test_tasks_start_while_the_database_is_away(server: Server, worker: Worker) -> None:
    server.kill()
    config = {**worker.config, "table.monitoring.startup.polling.limit.ms": "10", "table.poll.interval.ms": "50"}
    early = Worker(config, Offsets())
    try:
        assert [task["tables.fetched"] for task in early.task_configs] == ["false"]
        assert early.step() == []
        assert early.error is None
        server.start()
        wait_for(early.context.changed.is_set, "the tables are found")
        early.start_tasks()
        assert read_until(early, 100) == list(range(1, 101))
    finally:
        early.stop()
