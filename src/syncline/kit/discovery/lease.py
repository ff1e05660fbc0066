"""How an instance says that it is there: it registers, renews, and takes its leave.

    STARTING   the socket is bound, so the port is known; requests would wait
    UP         every readiness check passes
    DOWN       a check fails, or the instance is about to stop; what it has begun it finishes
    (gone)     it has cancelled its lease, or has not renewed it in time

The registry may be away at any moment, and may have forgotten everything when it comes back: the
instance goes on serving, and registers again with its next renewal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

import httpx
import msgspec
import structlog

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.kit.discovery.eureka import DataCenter, InstanceInfo, LeaseInfo, Port, instance_document
from syncline.kit.discovery.instances import Status

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 2
_LAST_WORD_SECONDS = 0.5
_NOT_READY_SECONDS = 0.1
_TRY_AGAIN_SECONDS = 0.5
"""While nobody can find this instance."""


class Lease:
    """One instance's entry in the registry."""

    def __init__(
        self,
        registry_url: str,
        info: InstanceInfo,
        ready: Callable[[], Awaitable[bool]],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`ready` is asked before each renewal and decides between UP and DOWN."""
        self._url = registry_url.rstrip("/")
        self._info = msgspec.structs.replace(info, status=Status.STARTING.value)
        self._ready = ready
        self._clock = clock
        self._http = httpx.AsyncClient(timeout=_ANSWER_SECONDS)
        self._registered = False
        self._reachable = True
        self._serving = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Register as STARTING and begin to renew; returns also when the registry is away."""
        await self._tell()
        self._renewing = asyncio.create_task(self._renew())

    def serving(self) -> None:
        """From now on requests are answered, so the checks decide."""
        self._serving.set()

    async def leave(self) -> None:
        """Tell that nobody should come any more; requests under way go on."""
        await self._stop_renewing()
        self._set(Status.DOWN)
        self._http.timeout = httpx.Timeout(_LAST_WORD_SECONDS)
        await self._tell()

    async def stop(self) -> None:
        """Cancel the lease. A registry that is away finds out by itself."""
        await self._stop_renewing()
        try:
            await self._http.delete(self._entry, timeout=_LAST_WORD_SECONDS)
        except httpx.HTTPError as exc:
            log.warning("lease not cancelled", registry=self._url, reason=_why(exc))
        await self._http.aclose()

    async def _stop_renewing(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            self._renewing = None

    async def _renew(self) -> None:
        await self._until_first_ready()
        while True:
            self._set(Status.UP if await self._ready() else Status.DOWN)
            await self._tell()
            seconds = self._info.lease.renewal_seconds
            await asyncio.sleep(seconds if self._registered else min(_TRY_AGAIN_SECONDS, seconds))

    async def _until_first_ready(self) -> None:
        """Keep the lease as STARTING; look often, because somebody is waiting for the first UP."""
        told = self._clock.monotonic()
        while not (self._serving.is_set() and await self._ready()):
            if self._serving.is_set():
                await asyncio.sleep(_NOT_READY_SECONDS)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._info.lease.renewal_seconds):
                        await self._serving.wait()
            if self._clock.monotonic() - told >= self._info.lease.renewal_seconds:
                await self._tell()
                told = self._clock.monotonic()

    def _set(self, status: Status) -> None:
        if self._info.status == status:
            return
        log.info("status", status=str(status))
        now = self._clock.wall_ms()
        # Never the same twice: of two descriptions the registry keeps the one that is later.
        dirty = max(now, (self._info.last_dirty_timestamp or 0) + 1)
        self._info = msgspec.structs.replace(self._info, status=status.value, last_dirty_timestamp=dirty)
        self._registered = False

    async def _tell(self) -> None:
        """Renew, or register where the registry does not know this instance as it is now."""
        try:
            if self._registered:
                dirty = str(self._info.last_dirty_timestamp or 0)
                answer = await self._http.put(
                    self._entry, params={"status": self._info.status, "lastDirtyTimestamp": dirty}
                )
                self._registered = answer.status_code != httpx.codes.NOT_FOUND
            if not self._registered:
                body = {"instance": instance_document(self._info)}
                answer = await self._http.post(f"{self._url}/apps/{_segment(self._info.app)}", json=body)
            answer.raise_for_status()
            self._registered = True
        except httpx.HTTPError as exc:
            if self._reachable:
                log.warning("registry does not take the lease", registry=self._url, reason=_why(exc))
            self._reachable = False
        else:
            if not self._reachable:
                log.info("registered again", registry=self._url)
            self._reachable = True

    @property
    def _entry(self) -> str:
        return f"{self._url}/apps/{_segment(self._info.app)}/{_segment(self._info.id)}"


def describe(
    service: str,
    instance_id: str,
    host: str,
    port: int,
    *,
    renew_seconds: int,
    lease_seconds: int,
    metadata: Mapping[str, str],
    clock: Clock = SYSTEM_CLOCK,
) -> InstanceInfo:
    """An instance as it registers."""
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{port}"
    return InstanceInfo(
        instance_id=instance_id,
        host_name=host,
        ip_addr=host,
        app=service.upper(),
        vip_address=service,
        secure_vip_address=service,
        port=Port(port),
        secure_port=Port(443, enabled=False),
        data_center_info=DataCenter(),
        lease_info=LeaseInfo(renewal_seconds=renew_seconds, duration_seconds=lease_seconds),
        metadata=dict(metadata),
        home_page_url=f"{url}/",
        status_page_url=f"{url}/health/ready",
        health_check_url=f"{url}/health/ready",
        last_dirty_timestamp=clock.wall_ms(),
    )


def _segment(text: str | None) -> str:
    return quote(text or "", safe="")


def _why(exc: httpx.HTTPError) -> str:
    return str(exc) or type(exc).__name__
