"""A service as a process: its socket, health, log lines, problem answers, and a clean end.

    def build(settings: OrderSettings) -> Service:
        svc = Service("order-service", settings)
        store = svc.during(OrderStore(settings.database_url))
        svc.ready_when("database", store.check)

        @svc.app.get("/order-service/{user_id}/orders")
        def orders(user_id: str) -> list[OrderView]: ...

        return svc

    def main() -> int:
        return run(OrderSettings, build)

The service's one line on standard output is its address, so that whoever started it on port 0 learns
the port; log lines go to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog
import uvicorn
from fastapi import FastAPI

from syncline.errors import SynclineError
from syncline.kit import logs, problems
from syncline.kit.health import Check, Health
from syncline.kit.http.listener import bind
from syncline.kit.http.requests import Requests
from syncline.kit.settings import ServiceSettings, load

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=AbstractAsyncContextManager[object])
S = TypeVar("S", bound=ServiceSettings)

# Longer than clients keep an idle connection (30 s at the gateway): the side that reuses must be the
# one that closes, or a request meets a connection that has just gone.
_KEEP_ALIVE_SECONDS = 65


class Service:
    """One HTTP service. Add routes to `app`; add what must be open while it runs with `during`."""

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.settings = settings
        self.health = Health()
        self.app = FastAPI(title=name, docs_url="/docs", redoc_url=None)
        self.app.include_router(self.health.router)
        self.app.add_middleware(Requests, max_body_bytes=settings.max_body_bytes)
        problems.install(self.app)
        self._resources: list[AbstractAsyncContextManager[object]] = []

    def during(self, resource: T) -> T:
        """Open `resource` before the first request and close it after the last; they close in reverse.

        A SynclineError while opening ends the process with its sentence.
        """
        self._resources.append(resource)
        return resource

    def ready_when(self, name: str, check: Check) -> None:
        """Traffic is welcome only while `check` passes; `name` is shown at `/health/ready`."""
        self.health.checks[name] = check

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Everything given to `during`, open: what `serve` does around the requests, and tests without it."""
        async with AsyncExitStack() as stack:
            for resource in self._resources:
                await stack.enter_async_context(resource)
            yield

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT; requests under way are finished first."""
        listener = bind(self.settings.host, self.settings.port)
        with listener:
            async with self.open():
                server = _Server(
                    uvicorn.Config(
                        self.app,
                        lifespan="off",
                        log_config=None,
                        access_log=False,
                        server_header=False,
                        proxy_headers=False,
                        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                        timeout_graceful_shutdown=max(1, round(self.settings.drain_seconds)),
                    )
                )
                server.announce = lambda: self._announce(listener)
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, self._stop, server)
                await server.serve(sockets=[listener])

    def _announce(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"{self.name} http://{shown}:{port}", flush=True)  # noqa: T201  # for whoever started it
        log.info("serving", service=self.name, host=host, port=port)

    def _stop(self, server: uvicorn.Server) -> None:
        log.info("stopping", service=self.name)
        self.health.stopping = True
        server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the service and tells when it accepts requests."""

    announce: Callable[[], None]

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn's own raises the signal once more after its clean end, and the status would be -15.
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.announce()


def run(kind: type[S], build: Callable[[S], Service]) -> int:
    """The whole life of a service's process: settings from the environment, service, exit status.

    What the operator can fix ends it with one sentence on standard error and status 1.
    """
    try:
        settings = load(kind)
        logs.configure(settings.log_level)
        asyncio.run(build(settings).serve())
    except SynclineError as exc:
        print(exc, file=sys.stderr)  # noqa: T201  # the process's last word
        return 1
    except KeyboardInterrupt:  # before it served; from then on the signal is a request to stop
        return 130
    return 0
