"""The private servers that other tests stand on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Database, Server, make_mariadb, make_postgresql


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_new_database_is_empty_and_writable(new_database: Callable[[str], Database], kind: str) -> None:
    database = new_database(kind)
    database.query("CREATE TABLE t (id int primary key)")
    database.query("INSERT INTO t VALUES (7)")
    assert database.query("SELECT id FROM t") == [(7,)]


@pytest.mark.parametrize("make", [make_mariadb, make_postgresql])
def test_committed_rows_survive_a_kill(make: Callable[[Path], Server], tmp_path: Path) -> None:
    server = make(tmp_path)
    server.start()
    try:
        database = server.database("d")
        database.query("CREATE TABLE t (id int primary key)")
        database.query("INSERT INTO t VALUES (1)")
        server.kill()
        server.start()
        assert database.query("SELECT id FROM t") == [(1,)]
    finally:
        server.kill()
