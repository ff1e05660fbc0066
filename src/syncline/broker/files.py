"""Descriptors of the logs' files: few of many are open at a time, and what was written survives a power cut."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections import OrderedDict
from pathlib import Path
from typing import Final, Protocol

FEWEST: Final = 16
MOST: Final = 1024
PORTABLE_MOST: Final = 10_240
"""Files that every system which shows a higher limit than it has lets a process open."""


class Closable(Protocol):
    """Something with an open file that can be opened again when it is needed."""

    used: int
    """When it was last used; counted by `OpenFiles.age`."""

    def release(self) -> None:
        """Close the file for now."""
        ...


def allow_most_files() -> None:
    """Let the process have as many files open as it may. For its start only: the limit is the whole process's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    for wanted in (hard, PORTABLE_MOST):
        if wanted == resource.RLIM_INFINITY or wanted > soft:
            # macOS refuses what it shows as its limit.
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return


def affordable() -> int:
    """How many files may be open: a quarter of what the process is allowed; connections need the rest."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(FEWEST, min(MOST, soft // 4))


class OpenFiles:
    """Which of many files are open. The one not used for longest is closed when there are too many.

    Not to be shared between threads.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = affordable() if most is None else most
        self._open: OrderedDict[Closable, None] = OrderedDict()
        self._age = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, owner: Closable, path: Path, flags: int) -> int:
        """A descriptor of a file; `owner` is told when it has to give it back."""
        while len(self._open) >= self.most:
            self._release_oldest()
        while True:
            try:
                descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
            except OSError as exc:
                if exc.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                    raise
                self._release_oldest()
            else:
                break
        owner.used = self._age
        self._open[owner] = None
        return descriptor

    def touch(self, owner: Closable) -> None:
        """`owner` is in use."""
        owner.used = self._age
        self._open.move_to_end(owner)

    def forget(self, owner: Closable) -> None:
        """`owner` closes its file by itself."""
        self._open.pop(owner, None)

    def age(self) -> None:
        """Close what was not used since the call before the last one."""
        while self._open and next(iter(self._open)).used < self._age:
            self._release_oldest()
        self._age += 1

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._release_oldest()

    def _release_oldest(self) -> None:
        owner, _ = self._open.popitem(last=False)
        owner.release()


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file as a whole; the folder is synced by the caller. On an error nothing of it stays."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fdatasync(out.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make new and renamed files of a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
