"""`syncline demo` and `syncline up` as a user starts them, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers import wait_for

RANDOM_PORTS = ["--gateway-port", "0", "--connect-port", "0", "--broker-port", "0", "--discovery-port", "0"]
UP = ["up", *RANDOM_PORTS, "--console-port", "0"]


@dataclass
class Command:
    """One command with its output in files; a context manager that ends it with kill -9."""

    arguments: list[str]
    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    """In the environment of the command and of whatever it starts."""
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "syncline", *self.arguments],
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env={**os.environ, "SYNCLINE_TEST_MARK": self.mark, "TMPDIR": str(temporary)},
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def _out(self) -> Path:
        return self.folder / "out"

    @property
    def _err(self) -> Path:
        return self.folder / "err"

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def wait(self, seconds: float = 120) -> int:
        """The exit status."""
        assert self.process is not None
        return self.process.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait_for(self, text: str) -> None:
        """Wait until the command has printed `text`."""

        def printed() -> bool:
            assert self.process is not None
            ended = self.process.poll()
            assert ended is None or text in self.out, f"ended with {ended}:\n{self.out}\n{self.err}"
            return text in self.out

        wait_for(printed, f"{text!r} is printed")

    def address(self, what: str) -> str:
        """From the table of addresses."""
        found = re.search(rf"│ {what} +│ (\S+)", self.out)
        assert found is not None, f"no {what} in:\n{self.out}"
        return found[1]

    def running(self, part: str = "") -> list[int]:
        """Processes that the command started, itself left out, whose command line holds `part`."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == self.process.pid:
                continue
            with contextlib.suppress(OSError):
                ours = f"SYNCLINE_TEST_MARK={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if ours and part.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(int(entry.name))
        return found
