"""Child processes that start together, are watched, and never outlive the command that started them.

Children stop in the reverse order of their stages, within STOP_SECONDS altogether. Each is tethered to
this process by a pipe (see `tether`), so that even kill -9 leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from syncline.clock import SYSTEM_CLOCK
from syncline.errors import SynclineError

log = logging.getLogger(__name__)

READY_SECONDS = 60
LOG_BYTES = 16 * 1024 * 1024
"""A child's log that is larger begins anew; the one before it is kept beside it, as `.log.1`."""
_LOOK_AGAIN_SECONDS = 0.03


class Stage(IntEnum):
    """Who needs whom: a child needs those of lower stages, so it stops before them."""

    BROKER = 0
    WORKER = 1
    """The Connect worker and the registry."""
    SERVICE = 2


STOP_SECONDS: Mapping[Stage, float] = {Stage.SERVICE: 1.5, Stage.WORKER: 2.0, Stage.BROKER: 1.0}
"""How long the children of a stage may take to end by themselves; less than 5 s together."""


class ChildFailed(SynclineError):
    """A child ended by itself, or never got ready; the text is one sentence that says why."""


class Stopped(SynclineError):
    """Somebody asked this command to end: Ctrl-C, SIGTERM, or the terminal was closed."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run as a child."""

    name: str
    """Unique; also names the files with its output."""
    stage: Stage
    module: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[Child], bool]
    """Asked again and again until it is true."""


class Child:
    """A running program."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.log = folder / f"{program.name.replace(' ', '-')}.log"
        self._output = self.log.with_suffix(".out")
        self._output.unlink(missing_ok=True)
        self._began = SYSTEM_CLOCK.monotonic()
        self.ready_seconds: float | None = None
        """From the start until it was seen ready."""
        # The write end stays here, unread and unwritten: that it is open is the message.
        read_end, self._tether = os.pipe()
        with self._output.open("wb") as out, self.log.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "syncline.cli.tether", str(read_end)),
                    *(program.module, *program.arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={**os.environ, **program.environment},
                pass_fds=[read_end],
                # Ctrl-C goes to whole process groups; the order of stopping is ours to decide.
                start_new_session=True,
            )
        os.close(read_end)

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def address(self) -> str | None:
        """The address that a service of the toolkit prints once it serves, as its only line of output."""
        line = self._output.read_text()
        return line.split()[-1] if line.endswith("\n") else None

    def is_ready(self) -> bool:
        """Whether it is ready, or was once."""
        if self.ready_seconds is None and self.program.ready(self):
            self.ready_seconds = SYSTEM_CLOCK.monotonic() - self._began
        return self.ready_seconds is not None

    def check(self) -> None:
        """Raise ChildFailed if the child has ended."""
        status = self.process.poll()
        if status is None:
            return
        if status < 0:
            # Who is killed has no last words; the last line of the log is about something else.
            raise ChildFailed(f"{self.name} was killed by signal {-status}; its log is {self.log}")
        raise ChildFailed(f"{self.name} ended with status {status}: {self.last_words() or 'it said nothing'}")

    def keep_log_small(self) -> None:
        """Begin the log anew when it is large.

        The child goes on writing to the same file, at its end, wherever that is. What it writes while the file is
        copied may be lost.
        """
        if self.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)
            self._log_start = 0

    def last_words(self) -> str:
        """The last line that the child wrote to its log since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "").removeprefix("syncline: ")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the child has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def reap(self) -> None:
        """Kill the child if it still runs, and let go of it."""
        self.send(signal.SIGKILL)
        self.process.wait()
        os.close(self._tether)


class Supervisor:
    """Starts children, waits for conditions, stops everything; a context manager of the main thread."""

    def __init__(
        self, folder: Path, on_ready: Callable[[Child], None] = lambda child: None, *, restart: bool = False
    ) -> None:
        """Logs of the children go to `folder`; with `restart` children that end while they are watched come back."""
        self._folder = folder
        self._restart = restart
        self._on_ready = on_ready
        self._children: list[Child] = []
        self._asked_to_stop = threading.Event()
        self._handlers: dict[signal.Signals, Any] = {}
        self._swollen: set[str] = set()
        """Children whose logs are too large and cannot be helped."""

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, self._stop_asked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _stop_asked(self, number: int, frame: FrameType | None) -> None:
        # Nothing but a flag: an exception from here could come in the middle of stopping.
        self._asked_to_stop.set()

    def start(self, *programs: Program) -> list[Child]:
        """Start children; they get ready side by side."""
        started = []
        for program in programs:
            child = Child(program, self._folder)
            self._children.append(child)
            started.append(child)
        return started

    def ready(self, *children: Child) -> None:
        """Wait until these children are ready. Raises ChildFailed or Stopped."""
        waiting = list(children)

        def all_ready() -> bool:
            for child in [child for child in waiting if child.is_ready()]:
                waiting.remove(child)
                self._on_ready(child)
            return not waiting

        def why() -> str:
            return "; ".join(f"{child.name} said last: {child.last_words() or 'nothing'}" for child in waiting)

        self.wait(all_ready, lambda: f"not ready within {READY_SECONDS} s: {why()}")

    def wait(self, condition: Callable[[], bool], why_not: Callable[[], str]) -> None:
        """Wait until `condition`, while all children live.

        Raises ChildFailed with the reason if that takes more than READY_SECONDS, Stopped if asked to end.
        """
        deadline = SYSTEM_CLOCK.monotonic() + READY_SECONDS
        while True:
            for child in self._children:
                child.check()
                child.is_ready()
            if condition():
                return
            if SYSTEM_CLOCK.monotonic() > deadline:
                raise ChildFailed(why_not())
            if self._asked_to_stop.wait(_LOOK_AGAIN_SECONDS):
                raise Stopped("stopped")

    def watch(self) -> None:
        """Return when asked to end.

        When a child ends before that, start it again if that was asked for, and if it had been ready at all;
        ChildFailed otherwise.
        """
        while not self._asked_to_stop.wait(0.2):
            for child in list(self._children):
                self._tend_log(child)
                try:
                    child.check()
                    child.is_ready()
                except ChildFailed as exc:
                    if not self._restart or child.ready_seconds is None:
                        raise
                    log.warning("%s; starting it again", exc)
                    child.reap()
                    self._children[self._children.index(child)] = Child(child.program, self._folder)

    def _tend_log(self, child: Child) -> None:
        try:
            child.keep_log_small()
            self._swollen.discard(child.name)
        except OSError as exc:
            # A full disk, most likely, which is no reason to stop what still runs; and said once.
            if child.name not in self._swollen:
                log.warning("the log of %s cannot begin anew: %s", child.name, exc.strerror)
            self._swollen.add(child.name)

    def stop(self, *children: Child) -> None:
        """Stop these children, or all: stage by stage, those who need others first."""
        leaving = list(children or self._children)
        for stage in sorted(Stage, reverse=True):
            of_stage = [child for child in leaving if child.program.stage is stage]
            for child in of_stage:
                child.send(signal.SIGTERM)
            deadline = SYSTEM_CLOCK.monotonic() + STOP_SECONDS[stage]
            for child in of_stage:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0, deadline - SYSTEM_CLOCK.monotonic()))
                child.reap()
                self._children.remove(child)
