"""A lock that one process of all those on a database holds, and loses with its life."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class NamedLock(Protocol):
    """Not for several threads at once; calls block, though never for another holder."""

    def held(self) -> bool:
        """Whether the lock is ours: takes it when nobody has it, and asks anew each time whether it was lost."""

    def release(self) -> None:
        """Let others have it; a repeat does nothing."""


def named_lock(engine: Engine, name: str) -> NamedLock:
    """The lock of that name in the engine's database."""
    if engine.dialect.name == "sqlite":
        return _FileLock(Path(f"{engine.url.database}.{name}.lock"))
    digest = hashlib.sha256(f"{engine.url.database}.{name}".encode()).digest()
    if engine.dialect.name == "postgresql":
        number = int.from_bytes(digest[:8], signed=True)
        return _SessionLock(engine, "SELECT pg_try_advisory_lock(:name)", number)
    # A name is at most 64 characters long, and counts for all databases of the server.
    return _SessionLock(engine, "SELECT GET_LOCK(:name, 0)", digest.hex())


@contextlib.contextmanager
def writers_turn(engine: Engine) -> Iterator[None]:
    """Queue for SQLite's one writer; servers do that themselves.

    Who waits within SQLite sleeps for ever longer and is overtaken: among 18 writers that go on and on, one in a
    hundred waited a second and some for the five after which SQLite gives up. The system hands a file's lock on in
    the order in which it was asked for. Whoever is stopped while it writes stops the others, until it goes on or ends.
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    with Path(f"{engine.url.database}.writers.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _SessionLock:
    """Held by a connection of its own: the server lets go of it when that ends, however it ends."""

    def __init__(self, engine: Engine, take: str, name: str | int) -> None:
        self._engine = engine
        self._take = take
        self._name = name
        self._session: Connection | None = None

    def held(self) -> bool:
        try:
            if self._session is not None:
                self._session.execute(text("SELECT 1"))
                return True
            session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if session.execute(text(self._take), {"name": self._name}).scalar():
                self._session = session
            else:
                session.close()
        except (DBAPIError, PoolTimeout):
            self.release()
        return self._session is not None

    def release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            # Back in the pool it would go on holding the lock.
            with contextlib.suppress(DBAPIError):
                session.invalidate()
            session.close()


class _FileLock:
    """SQLite has no server that could hold one; the system lets go of a file's lock with the process."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file: BufferedWriter | None = None

    def held(self) -> bool:
        if self._file is None:
            file = self._path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                self._file = file
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
