"""Private database servers for tests: a random port, a temporary folder, never the machine's own service.

A server can be killed and started again on the same port and data, which is what chaos tests need.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

PASSWORD = "s3cr3t-word"

T = TypeVar("T")


def free_port() -> int:
    """A TCP port on the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(ready: Callable[[], T], what: str, seconds: float = 60) -> T:
    """Call `ready` until it returns something true; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = ready()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


@dataclass
class Server:
    """A database server of its own; `start` after `kill` or `stop` continues with the same data."""

    kind: str
    """`mariadb` or `postgresql`."""
    folder: Path
    port: int = field(default_factory=free_port)
    user: str = "syncline"
    password: str = PASSWORD
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until connections are accepted."""
        self._launch()
        wait_for(self._answers, f"{self.kind} accepts connections, see {self.folder / 'server.log'}")

    def _launch(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, user=_account(self.kind))

    def stop(self) -> None:
        """Stop cleanly."""
        self._end(signal.SIGTERM if self.kind == "mariadb" else signal.SIGINT)

    def kill(self) -> None:
        """kill -9: what a crash looks like to its clients."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.wait(60)
        self.process = None

    def connect(self, database: str | None = None) -> Any:
        """A DB-API connection in autocommit mode."""
        if self.kind == "mariadb":
            import pymysql

            return pymysql.connect(
                host="127.0.0.1",
                port=self.port,
                user=self.user,
                password=self.password,
                database=database,
                autocommit=True,
                charset="utf8mb4",
            )
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database or "postgres",
            autocommit=True,
        )

    def database(self, name: str) -> Database:
        """A new, empty database called `name`; one of that name is dropped."""
        quote = "`" if self.kind == "mariadb" else '"'
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quote}{name}{quote}")
            cursor.execute(f"CREATE DATABASE {quote}{name}{quote}")
        return Database(self, name)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            log = (self.folder / "server.log").read_text(errors="replace")[-2000:]
            # The children of a killed PostgreSQL live a moment longer and hold its memory.
            if "pre-existing shared memory block" in log[-500:]:
                self._launch()
                return False
            raise AssertionError(f"{self.kind} ended with status {self.process.returncode}:\n{log}")
        try:
            self.connect().close()
        except Exception:  # each driver has its own error for "not yet"; the deadline is wait_for's
            return False
        return True

    def _command(self) -> list[str]:
        if self.kind == "mariadb":
            return [
                _mariadb("mariadbd", "mysqld"),
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                f"--socket={self.folder / 's'}",
                f"--pid-file={self.folder / 'pid'}",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                f"--init-file={self.folder / 'init.sql'}",
                "--innodb-buffer-pool-size=128M",
                "--max-connections=200",
                "--skip-name-resolve",
                *(["--user=root"] if os.getuid() == 0 else []),
            ]
        return [
            _postgresql("postgres"),
            *("-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1"),
            *("-k", str(self.folder)),
        ]


@dataclass(frozen=True)
class Database:
    """One database of a private server."""

    server: Server
    name: str

    @property
    def jdbc_url(self) -> str:
        """As a connector's `connection.url`, without user and password."""
        return f"jdbc:{self.server.kind}://127.0.0.1:{self.server.port}/{self.name}"

    @property
    def url(self) -> str:
        """As `syncline demo --database` takes it."""
        s = self.server
        return f"{s.kind}://{s.user}:{s.password}@127.0.0.1:{s.port}/{self.name}"

    @property
    def connector_config(self) -> dict[str, str]:
        """The `connection.*` keys of a JDBC connector."""
        return {
            "connection.url": self.jdbc_url,
            "connection.user": self.server.user,
            "connection.password": self.server.password,
        }

    def connect(self) -> Any:
        """A DB-API connection in autocommit mode."""
        return self.server.connect(self.name)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of one statement; empty when it returns none."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


def _account(kind: str) -> str | None:
    """PostgreSQL refuses to run as root; its own account, or nobody, serves then."""
    if kind != "postgresql" or os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _mariadb(*names: str) -> str:
    found = _on_path(names, ["/usr/sbin"])
    if found is None:
        missing("no MariaDB server: install mariadb-server")
    return found


def _postgresql(name: str) -> str:
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    found = _on_path([name], folders, folders_first=True)
    if found is None:
        missing("no PostgreSQL server: install postgresql")
    return found


def _on_path(names: Sequence[str], folders: list[str], *, folders_first: bool = False) -> str | None:
    path = os.environ.get("PATH", os.defpath)
    places = [*folders, path] if folders_first else [path, *folders]
    for name in names:
        found = shutil.which(name, path=os.pathsep.join(places))
        if found is not None:
            return found
    return None


def missing(reason: str) -> NoReturn:
    """Locally a missing server skips with its reason; in CI it is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def make_mariadb(folder: Path) -> Server:
    """A MariaDB server with fresh data in `folder`, not started; its account may do everything."""
    installer = _on_path(["mariadb-install-db", "mysql_install_db"], [])
    if installer is None:
        missing("no mariadb-install-db: install mariadb-server")
    _mariadb("mariadbd", "mysqld")
    server = Server("mariadb", folder)
    subprocess.run(
        [
            *(installer, "--no-defaults", f"--datadir={folder / 'data'}", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
            *(["--user=root"] if os.getuid() == 0 else []),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "init.sql").write_text(
        f"CREATE USER IF NOT EXISTS '{server.user}'@'%' IDENTIFIED BY '{server.password}';\n"
        f"GRANT ALL PRIVILEGES ON *.* TO '{server.user}'@'%' WITH GRANT OPTION;\n"
        f"CREATE USER IF NOT EXISTS '{server.user}'@'localhost' IDENTIFIED BY '{server.password}';\n"
        f"GRANT ALL PRIVILEGES ON *.* TO '{server.user}'@'localhost' WITH GRANT OPTION;\n"
    )
    return server


def make_postgresql(folder: Path) -> Server:
    """A PostgreSQL server with fresh data, not started; its account is superuser.

    PostgreSQL refuses to run as root. Its own account then needs a folder elsewhere than in `folder`: every pytest
    that starts closes the temporary folders of all of them to other accounts.
    """
    initdb = _postgresql("initdb")
    account = _account("postgresql")
    if account is not None:
        folder = Path(tempfile.mkdtemp(prefix="syncline-tests-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        shutil.chown(folder, account)
    server = Server("postgresql", folder)
    secret = folder / "password"
    secret.write_text(server.password)
    secret.chmod(0o644)
    subprocess.run(
        [
            *(initdb, "-D", str(folder / "data"), "-U", server.user, "-A", "scram-sha-256"),
            *(f"--pwfile={secret}", "-E", "UTF8", "--locale=C"),
        ],
        check=True,
        capture_output=True,
        user=account,
        cwd=folder,
    )
    return server


def running(make: Callable[[Path], Server], folder: Path) -> Iterator[Server]:
    """A started server, stopped at the end; body of the fixtures."""
    server = make(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
