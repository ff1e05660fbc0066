"""The registry's HTTP interface: Eureka's REST, a way to wait for changes, and a page."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from syncline.kit.clock import SYSTEM_CLOCK
from syncline.kit.discovery.client import VERSION_HEADER
from syncline.kit.discovery.eureka import (
    InstanceInfo,
    MalformedInstance,
    application_body,
    applications_document,
    instance_document,
    parse_instance,
    status_of,
)
from syncline.kit.discovery.instances import Status
from syncline.kit.service import Service, run
from syncline_shop.discovery import page, xml
from syncline_shop.discovery.domain import Registry, UnknownInstance
from syncline_shop.discovery.settings import DiscoverySettings

log = structlog.get_logger(__name__)

LONGEST_WAIT_SECONDS = 60
_PATHS = ("/eureka", "/eureka/v2")
"""As Spring's server has it, and as Netflix's."""


def main() -> int:
    """Run the registry until SIGTERM."""
    return run(DiscoverySettings, build)


def build(settings: DiscoverySettings) -> Service:
    """The registry as a service."""
    # Renewals come all the time; who registers and who goes has a line of its own.
    svc = Service("discovery", settings, quiet=["/eureka"])
    registry = Registry(
        self_preservation=settings.self_preservation,
        renewing_share=settings.renewing_share,
        delta_seconds=settings.delta_seconds,
    )
    eureka = Eureka(registry, settings.max_body_bytes)
    svc.during(eureka.expiring(settings.expiry_seconds))
    svc.when_stopping(eureka.stop)
    for prefix in _PATHS:
        svc.app.include_router(eureka.router, prefix=prefix)
    svc.app.add_api_route("/", eureka.page, include_in_schema=False)
    svc.app.add_middleware(GZipMiddleware, minimum_size=1000)
    return svc


class Eureka:
    """The routes. Errors have Eureka's statuses and no body that its clients would take for an instance."""

    def __init__(self, registry: Registry, max_body_bytes: int) -> None:
        self._registry = registry
        self._max_body_bytes = max_body_bytes
        self._changed = asyncio.Event()
        self._stopping = False
        self.router = APIRouter(tags=["eureka"])
        instance = "/apps/{app}/{instance_id}"
        self._route("GET", "/apps", self.applications)
        self._route("GET", "/apps/delta", self.delta)
        self._route("GET", "/apps/{app}", self.application)
        self._route("POST", "/apps/{app}", self.register)
        self._route("GET", instance, self.instance)
        self._route("PUT", instance, self.renew)
        self._route("DELETE", instance, self.cancel)
        self._route("PUT", f"{instance}/status", self.override)
        self._route("DELETE", f"{instance}/status", self.clear_override)
        self._route("PUT", f"{instance}/metadata", self.add_metadata)
        self._route("GET", "/instances/{instance_id}", self.instance_by_id)
        self._route("GET", "/vips/{vip}", self.behind_vip)
        self._route("GET", "/svips/{vip}", self.behind_secure_vip)

    def _route(self, method: str, path: str, endpoint: Callable[..., Any]) -> None:
        self.router.add_api_route(path, _plainly(endpoint), methods=[method], response_class=Response)
        # Spring's client writes /apps/ and does not follow redirects.
        self.router.add_api_route(
            f"{path}/", _plainly(endpoint), methods=[method], response_class=Response, include_in_schema=False
        )

    @asynccontextmanager
    async def expiring(self, seconds: float) -> AsyncIterator[None]:
        """Look at the leases every so many seconds, until it is left."""

        async def look() -> None:
            while True:
                await asyncio.sleep(seconds)
                was = self._registry.preserving
                for info in self._registry.expire():
                    log.warning("lease expired", app=info.app, instance=info.id)
                    self._wake()
                if self._registry.preserving != was:
                    log.warning("self-preservation", on=self._registry.preserving)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def stop(self) -> None:
        """Answer those who wait for a change."""
        self._stopping = True
        self._wake()

    async def applications(self, request: Request) -> Response:
        """All instances. With `after` (a version) and `wait` (seconds) not before something has changed."""
        after = request.query_params.get("after")
        if after is not None and after == self._registry.version:
            await self._wait(after, _number(request, "wait") or 0)
        return self._applications(request, self._registry.instances())

    async def _wait(self, version: str, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_WAIT_SECONDS)):
                while self._registry.version == version and not self._stopping:
                    await self._changed.wait()

    async def delta(self, request: Request) -> Response:
        """What has changed within the last minutes."""
        return self._applications(request, self._registry.changes())

    async def application(self, request: Request, app: str) -> Response:
        """One application's instances; 404 if it has none."""
        found = self._registry.of(app)
        if not found:
            raise UnknownInstance(app)
        return self._answer(request, {"application": application_body(app.upper(), found)})

    async def instance(self, request: Request, app: str, instance_id: str) -> Response:
        """One instance."""
        return self._answer(request, {"instance": instance_document(self._registry.get(app, instance_id))})

    async def instance_by_id(self, request: Request, instance_id: str) -> Response:
        """One instance, whatever its application."""
        return self._answer(request, {"instance": instance_document(self._registry.by_id(instance_id))})

    async def behind_vip(self, request: Request, vip: str) -> Response:
        """The instances that are UP behind a virtual address; 404 if there are none."""
        return self._behind(request, self._registry.by_vip(vip))

    async def behind_secure_vip(self, request: Request, vip: str) -> Response:
        """The same for secure addresses."""
        return self._behind(request, self._registry.by_vip(vip, secure=True))

    def _behind(self, request: Request, found: Sequence[InstanceInfo]) -> Response:
        if not found:
            raise UnknownInstance("nobody is behind this address")
        return self._applications(request, found)

    async def register(self, request: Request, app: str) -> Response:
        """A new instance, or a known one that has changed."""
        body = await self._body(request)
        is_xml = "xml" in request.headers.get("content-type", "")
        info = xml.read_instance(body) if is_xml else parse_instance(body)
        _refuse_incomplete(info, app)
        self._registry.register(info)
        log.info("registered", app=app, instance=info.id, status=info.status)
        self._wake()
        return Response(status_code=204)

    async def renew(self, request: Request, app: str, instance_id: str) -> Response:
        """A sign of life; 404 tells the instance to register."""
        self._registry.renew(app, instance_id, _number(request, "lastDirtyTimestamp"))
        return Response(status_code=200)

    async def cancel(self, app: str, instance_id: str) -> Response:
        """The instance goes."""
        self._registry.cancel(app, instance_id)
        log.info("cancelled", app=app, instance=instance_id)
        self._wake()
        return Response(status_code=200)

    async def override(self, request: Request, app: str, instance_id: str) -> Response:
        """An operator takes an instance out of service, or says another status for it."""
        status = status_of(request.query_params.get("value"))
        if status is Status.UNKNOWN:
            known = ", ".join(status for status in Status if status is not Status.UNKNOWN)
            raise MalformedInstance(f"value must be one of {known}")
        self._registry.override(app, instance_id, status, _number(request, "lastDirtyTimestamp"))
        log.info("overridden", app=app, instance=instance_id, status=str(status))
        self._wake()
        return Response(status_code=200)

    async def clear_override(self, request: Request, app: str, instance_id: str) -> Response:
        """The instance's own word holds again."""
        status = status_of(request.query_params.get("value"))
        self._registry.clear_override(app, instance_id, status, _number(request, "lastDirtyTimestamp"))
        self._wake()
        return Response(status_code=200)

    async def add_metadata(self, request: Request, app: str, instance_id: str) -> Response:
        """Every parameter of the query becomes metadata."""
        self._registry.add_metadata(app, instance_id, dict(request.query_params))
        self._wake()
        return Response(status_code=200)

    async def page(self) -> HTMLResponse:
        """What people see."""
        text = page.render(
            self._registry.instances(), preserving=self._registry.preserving, now_ms=SYSTEM_CLOCK.wall_ms()
        )
        return HTMLResponse(text, headers=page.HEADERS)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _applications(self, request: Request, instances: Sequence[InstanceInfo]) -> Response:
        document = applications_document(instances, self._registry.count, self._registry.counts())
        return self._answer(request, document)

    def _answer(self, request: Request, document: Mapping[str, Any]) -> Response:
        """JSON for those who ask for it, XML for all others, as Eureka does."""
        headers = {"Vary": "Accept", VERSION_HEADER: self._registry.version}
        if "json" in request.headers.get("accept", ""):
            return JSONResponse(document, headers=headers)
        return Response(xml.write(document), media_type="application/xml", headers=headers)

    async def _body(self, request: Request) -> bytes:
        """The body, unpacked if it came packed, and never larger than allowed."""
        body = await request.body()
        if request.headers.get("content-encoding", "").lower() != "gzip":
            return body
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            unpacked = unpacking.decompress(body, self._max_body_bytes)
        except zlib.error as exc:
            raise MalformedInstance(f"the body is not gzip: {exc}") from exc
        if not unpacking.eof:
            raise MalformedInstance("the body is cut off, or unpacks to more than is taken here")
        return unpacked


def _plainly(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """`endpoint` with Eureka's statuses for what can go wrong."""

    @functools.wraps(endpoint)
    async def answered(*arguments: Any, **named: Any) -> Response:
        try:
            answer: Response = await endpoint(*arguments, **named)
        except UnknownInstance:
            return Response(status_code=404)
        except MalformedInstance as exc:
            return Response(f"{exc}\n", status_code=400, media_type="text/plain")
        return answer

    return answered


def _refuse_incomplete(info: InstanceInfo, app: str) -> None:
    """What Eureka insists on (ApplicationResource.addInstance)."""
    needed = {
        "instanceId": info.id,
        "hostName": info.host_name,
        "ipAddr": info.ip_addr,
        "app": info.app,
        "dataCenterInfo": info.data_center_info,
    }
    for name, value in needed.items():
        if not value:
            raise MalformedInstance(f"Missing {name}")
    if (info.app or "").upper() != app.upper():
        raise MalformedInstance(f"Mismatched appName, expecting {app} but was {info.app}")


def _number(request: Request, name: str) -> int | None:
    """A parameter of the query as a number; None without one, or for what is none."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None


_DIGITS = 19
