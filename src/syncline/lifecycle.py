"""How everything long-lived starts and stops: `start` returns when it runs, `stop` when it has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol


class Service(Protocol):
    """Something that runs in the background. Both calls may be repeated; a repeat does nothing."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@contextmanager
def running(*services: Service) -> Iterator[None]:
    """Start `services` in order; on the way out stop them in reverse, also those before a failed start."""
    with ExitStack() as stack:
        for service in services:
            stack.callback(service.stop)
            service.start()
        yield
