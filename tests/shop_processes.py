"""The shop's services as child processes, for tests that drive them from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.servers import wait_for


@dataclass
class ServiceProgram:
    """`python -m syncline_shop.<name>`, or another module; may be killed and started again as it was."""

    name: str
    folder: Path
    environment: dict[str, str]
    number: int = 1
    module: str = ""
    process: subprocess.Popen[bytes] | None = None
    address: str = ""
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def start(self) -> None:
        """Start and wait until it is ready."""
        out, err = self._file("out"), self._file("err")
        with out.open("wb") as stdout, err.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module or f"syncline_shop.{self.name}"],
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **self.environment},
            )
        said = wait_for(lambda: self._alive() and re.search(r"(http://\S+)\n", out.read_text()), f"{self.name} serves")
        assert said
        self.address = said[1]
        wait_for(lambda: self._alive() and self.get("/health/ready").status_code == 200, f"{self.name} is ready")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(self.address + path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.http.post(self.address + path, **options)

    @property
    def log(self) -> str:
        return self._file("err").read_text(errors="replace")

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.name}-{self.number}.{kind}"

    def _alive(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log[-3000:]}"
        return True

    def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        try:
            status = self.process.wait(30)
        finally:
            self.process.kill()
            self.process = None
        return status

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGTERM)
        self.http.close()
