"""Programs of the shop, started as a user starts them and ended with the test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.servers import free_port


@dataclass
class Program:
    """One that runs; `url` is what it said about itself."""

    url: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def program(module: str, **environment: str) -> Iterator[Program]:
    """`python -m MODULE`, once it serves; it is killed at the end unless it has ended by itself."""
    quiet = {f"{prefix}_LOG_LEVEL": "error" for prefix in ("DISCOVERY", "GATEWAY", "ORDER")}
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **quiet, **environment},
    ) as process:
        assert process.stdout is not None
        try:
            yield Program(process.stdout.readline().split()[-1], process)
        finally:
            process.kill()


def registry(port: int = 0, **settings: str) -> contextlib.AbstractContextManager[Program]:
    """A registry of one's own."""
    environment = {f"DISCOVERY_{name.upper()}": value for name, value in settings.items()}
    return program("syncline_shop.discovery", DISCOVERY_PORT=str(port or free_port()), **environment)
