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

With a registry in its settings the service registers there by itself (see `discovery.lease`), and calls
others by name:

        orders = svc.client("order-service", timeout=1.0, retries=1, breaker=BreakerRule(open_for=5))

The service's one line on standard output is its address, so that whoever started it on port 0 learns
the port; log lines go to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TypeVar

import httpx
import structlog
import uvicorn
from fastapi import FastAPI

from syncline.errors import SynclineError
from syncline.kit import logs, problems
from syncline.kit.discovery.balancer import Balancer, Policy
from syncline.kit.discovery.client import RegistryDirectory
from syncline.kit.discovery.instances import Directory, FixedDirectory
from syncline.kit.discovery.lease import Lease, describe
from syncline.kit.health import Check, Health
from syncline.kit.http.breaker import Breaker, BreakerRule
from syncline.kit.http.client import ServiceClient
from syncline.kit.http.listener import advertised, bind
from syncline.kit.http.pool import PooledTransport
from syncline.kit.http.requests import Requests
from syncline.kit.http.upstream import IDLE_SECONDS
from syncline.kit.metrics import Metrics
from syncline.kit.settings import ServiceSettings, load

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=AbstractAsyncContextManager[object])
S = TypeVar("S", bound=ServiceSettings)

# Longer than clients keep an idle connection (30 s at the gateway): the side that reuses must be the
# one that closes, or a request meets a connection that has just gone.
_KEEP_ALIVE_SECONDS = 65


class Service:
    """One HTTP service. Add routes to `app`; add what must be open while it runs with `during`."""

    def __init__(self, name: str, settings: ServiceSettings, *, quiet: Sequence[str] = ()) -> None:
        """Requests for paths that begin like one of `quiet` are logged at level debug."""
        self.name = name
        self.settings = settings
        self.health = Health()
        self.app = FastAPI(title=name, docs_url="/docs", redoc_url=None)
        self.app.include_router(self.health.router)
        self.metrics = Metrics()
        self.app.include_router(self.metrics.router)
        self.app.add_middleware(
            Requests,
            max_body_bytes=settings.max_body_bytes,
            metrics=self.metrics.requests,
            health=self.health,
            quiet=quiet,
        )
        problems.install(self.app)
        self.instance_id = f"{name}:{secrets.token_hex(8)}"
        self._resources: list[AbstractAsyncContextManager[object]] = []
        self._farewells: list[Callable[[], None]] = []
        self._directory: Directory | None = None
        self._transport: PooledTransport | None = None

    def during(self, resource: T) -> T:
        """Open `resource` before the first request and close it after the last; they close in reverse.

        A SynclineError while opening ends the process with its sentence.
        """
        self._resources.append(resource)
        return resource

    def ready_when(self, name: str, check: Check) -> None:
        """Traffic is welcome only while `check` passes; `name` is shown at `/health/ready`."""
        self.health.checks[name] = check

    def when_stopping(self, farewell: Callable[[], None]) -> None:
        """Call `farewell` in the moment this service is asked to stop: requests that wait should end."""
        self._farewells.append(farewell)

    @property
    def directory(self) -> Directory:
        """Who is there, kept up to date while the service runs; without a registry nobody is."""
        if self._directory is None:
            url = self.settings.registry_url
            self._directory = FixedDirectory({}) if url is None else self.during(RegistryDirectory(str(url)))
        return self._directory

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """Connections to other services, shared by all clients of this one.

        The bare transport: a client on top of it would keep one caller's cookies for the next.
        """
        if self._transport is None:
            self._transport = self.during(PooledTransport(IDLE_SECONDS))
        return self._transport

    def client(
        self,
        service: str,
        *,
        timeout: float = 1.0,
        retries: int = 1,
        breaker: BreakerRule | None = None,
        policy: Policy = Policy.ROUND_ROBIN,
        directory: Directory | None = None,
    ) -> ServiceClient:
        """Calls to another service by its name. Make it once, before the service runs.

        `directory` says who is there instead of the registry.
        """
        return ServiceClient(
            service,
            directory or self.directory,
            self.transport,
            timeout=timeout,
            retries=retries,
            breaker=Breaker(service, breaker or BreakerRule()),
            balancer=Balancer(policy),
        )

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
            async with self._leased(listener) as lease, self.open():
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
                server.announce = lambda: self._announce(listener, lease)
                stopping = asyncio.Event()
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, self._stop, stopping)
                leaving = asyncio.create_task(self._leave(stopping, lease, server))
                try:
                    await server.serve(sockets=[listener])
                finally:
                    leaving.cancel()

    @asynccontextmanager
    async def _leased(self, listener: socket.socket) -> AsyncIterator[Lease | None]:
        """Registered with the port that the socket has got, until the last request is answered."""
        settings = self.settings
        if settings.registry_url is None:
            yield None
            return
        host, port = listener.getsockname()[:2]
        info = describe(
            self.name,
            self.instance_id,
            settings.advertised_host or advertised(host),
            port,
            renew_seconds=settings.renew_seconds,
            lease_seconds=settings.lease_seconds,
            metadata={"weight": f"{settings.weight:g}"},
        )
        lease = Lease(str(settings.registry_url), info, self.health.is_ready)
        await lease.start()
        try:
            yield lease
        finally:
            await lease.stop()

    async def _leave(self, stopping: asyncio.Event, lease: Lease | None, server: uvicorn.Server) -> None:
        """Once asked to stop: first nobody comes any more, then the door is closed."""
        await stopping.wait()
        if lease is not None:
            await lease.leave()
            await asyncio.sleep(self.settings.leave_seconds)
        server.should_exit = True

    def _announce(self, listener: socket.socket, lease: Lease | None) -> None:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"{self.name} http://{shown}:{port}", flush=True)  # noqa: T201  # for whoever started it
        log.info("serving", service=self.name, host=host, port=port)
        if lease is not None:
            lease.serving()

    def _stop(self, stopping: asyncio.Event) -> None:
        log.info("stopping", service=self.name)
        self.health.stopping = True
        for farewell in self._farewells:
            farewell()
        stopping.set()


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
