"""Fixtures that several folders share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from tests.servers import Database, Server, make_mariadb, make_postgresql, running

# A machine that is busy is no failure.
settings.register_profile("syncline", deadline=None)
settings.load_profile("syncline")


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A private MariaDB, shared by the session's tests; each makes databases of its own."""
    yield from running(make_mariadb, tmp_path_factory.mktemp("m"))


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A private PostgreSQL, shared by the session's tests; each makes databases of its own."""
    yield from running(make_postgresql, tmp_path_factory.mktemp("p"))


_numbers = itertools.count(1)


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[[str], Database]:
    """Makes an empty database on the private server of a kind: `new_database("mariadb")`."""

    def make(kind: str) -> Database:
        server: Server = request.getfixturevalue(f"{kind}_server")
        return server.database(f"test_{next(_numbers)}")

    return make


@pytest.fixture
def mariadb(new_database: Callable[[str], Database]) -> Database:
    """An empty MariaDB database."""
    return new_database("mariadb")


@pytest.fixture
def postgresql(new_database: Callable[[str], Database]) -> Database:
    """An empty PostgreSQL database."""
    return new_database("postgresql")
