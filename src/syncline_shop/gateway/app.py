"""The gateway: find the route, check the token, pass the request to an instance, stream both ways."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Final

import httpx
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from syncline.kit.auth import ForeignTokens
from syncline.kit.discovery.balancer import Balancer, Policy
from syncline.kit.discovery.instances import Directory, FixedDirectory, Instance
from syncline.kit.errors import BrokenOff, DeadlineExceeded, NoInstance
from syncline.kit.http import deadline
from syncline.kit.http.breaker import Breaker, CircuitOpen
from syncline.kit.http.upstream import IDEMPOTENT, Reply, Upstream
from syncline.kit.problems import Problem
from syncline.kit.service import Service, run
from syncline_shop.gateway.domain import Headers, end_to_end
from syncline_shop.gateway.metrics import GatewayMetrics
from syncline_shop.gateway.routes import USER_SERVICE, Route, find, table
from syncline_shop.gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def main() -> int:
    """Run the gateway until SIGTERM."""
    return run(GatewaySettings, build)


def build(settings: GatewaySettings) -> Service:
    """The gateway as a service."""
    svc = Service("gateway", settings)
    given = FixedDirectory({service: [str(url) for url in urls] for service, urls in settings.instances.items()})
    directory = _Either(given, frozenset(settings.instances), svc.directory)
    tokens = ForeignTokens(
        svc.client(USER_SERVICE, timeout=2, directory=directory),
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        leeway_seconds=settings.token_leeway_seconds,
    )
    proxy = Proxy(settings, directory, svc.transport, tokens, GatewayMetrics(svc.metrics.registry))
    svc.app.add_route("/{path:path}", proxy.handle, methods=METHODS, include_in_schema=False)
    return svc


class _Either:
    """Services that the configuration names are where it says; all others where the registry says."""

    def __init__(self, given: Directory, names: frozenset[str], registry: Directory) -> None:
        self._given = given
        self._names = names
        self._registry = registry

    def instances(self, service: str) -> tuple[Instance, ...]:
        directory = self._given if service in self._names else self._registry
        return tuple(directory.instances(service))


class Proxy:
    """Passes requests on and turns what goes wrong into problems: 401, 404, 413, 502, 503, 504."""

    def __init__(
        self,
        settings: GatewaySettings,
        directory: Directory,
        transport: httpx.AsyncBaseTransport,
        tokens: ForeignTokens,
        metrics: GatewayMetrics,
    ) -> None:
        self._settings = settings
        self._routes = table(settings.instances, settings.token_services)
        self._tokens = tokens
        self._metrics = metrics
        self._upstreams = {
            service: Upstream(
                service,
                directory,
                transport,
                balancer=Balancer(settings.policies.get(service, settings.policy)),
                breaker=Breaker(service),
                retries=settings.retries,
                connect_seconds=settings.connect_seconds,
            )
            for service in dict.fromkeys(route.service for route in self._routes)
        }

    async def handle(self, request: Request) -> Response:
        """Answer with what an instance answers, or with a problem."""
        path = request.scope["raw_path"].decode("latin-1")
        route = find(self._routes, request.method, path)
        if route is None:
            raise Problem(404, "NO_ROUTE", f"no service answers for {request.method} {request.scope['path']}")
        if route.token:
            await self._tokens.check(request.headers.get("authorization"))
        upstream = self._upstreams[route.service]
        body = _Body(request)
        seconds = self._seconds(route.service)
        left = deadline.remaining()
        seconds = seconds if left is None else min(seconds, left)
        again = request.method in IDEMPOTENT or "idempotency-key" in request.headers
        with self._metrics.calling(route.service, upstream.breaker) as call:
            try:
                reply = await upstream.send(
                    lambda instance: _onward(request, route, instance, body, seconds),
                    seconds=seconds,
                    again=again,
                    key=self._key(route.service, request),
                )
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            except (NoInstance, BrokenOff, DeadlineExceeded, CircuitOpen) as exc:
                raise _problem(route.service, exc) from exc
            call.answered(reply.response.status_code)
            return _Answer(reply)

    def _seconds(self, service: str) -> float:
        return self._settings.answer_limits.get(service, self._settings.answer_seconds)

    def _key(self, service: str, request: Request) -> str:
        """Who asks, for the policy sticky: whose token it is, or from which address."""
        if self._settings.policies.get(service, self._settings.policy) is not Policy.STICKY:
            return ""
        return request.headers.get("authorization") or (request.client.host if request.client else "")


def _problem(service: str, exc: NoInstance | BrokenOff | DeadlineExceeded | CircuitOpen) -> Problem:
    """What the caller is told; hosts are for the log."""
    log.warning("no answer", service=service, reason=str(exc))
    match exc:
        case DeadlineExceeded():
            return Problem(504, "UPSTREAM_TIMEOUT", f"{service} did not answer in time; {_UNKNOWN}")
        case BrokenOff():
            return Problem(502, "UPSTREAM_FAILED", f"{service} broke off; {_UNKNOWN}")
        case CircuitOpen(retry_after=seconds):
            headers = {"Retry-After": str(max(1, round(seconds)))}
            return Problem(503, "CIRCUIT_OPEN", f"{service} failed too often; it is left alone", headers=headers)
        case NoInstance():
            detail = f"no instance of {service} can be reached"
            return Problem(503, "NO_INSTANCE", detail, headers={"Retry-After": "1"})


_UNKNOWN: Final = "whether it did the work is unknown"


class _Body:
    """A caller's body, chunk by chunk as it comes; what has come is kept for a second try.

    It is never longer than the gateway takes (`max_body_bytes`), so keeping it is cheap.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._stream: AsyncIterator[bytes] | None = None
        self._come: list[bytes] = []

    async def chunks(self) -> AsyncIterator[bytes]:
        """The whole body from its beginning, whatever earlier tries have read of it."""
        for chunk in list(self._come):
            yield chunk
        if self._stream is None:
            self._stream = self._request.stream()
        async for chunk in self._stream:
            if chunk:
                self._come.append(chunk)
                yield chunk


class _Try(httpx.AsyncByteStream):
    """The body for one try."""

    def __init__(self, body: _Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.chunks()


def _onward(request: Request, route: Route, instance: Instance, body: _Body, seconds: float) -> httpx.Request:
    """The request as the instance gets it: same method, query and body, the path as the route has it."""
    target = request.scope["raw_path"][len(route.strip) :]
    if request.scope["query_string"]:
        target += b"?" + request.scope["query_string"]
    url = httpx.URL(instance.url)
    headers = end_to_end(request.headers.raw, without=SET_HERE | route.without)
    headers += [*_about(request), (b"host", url.netloc), (_DEADLINE, deadline.header(seconds).encode())]
    stream: httpx.AsyncByteStream | httpx.ByteStream = httpx.ByteStream(b"")
    if "transfer-encoding" in request.headers:
        # One way to tell the end of the body: two that disagree hide a second request in the first.
        headers = [(name, value) for name, value in headers if name != b"content-length"]
        headers.append((b"transfer-encoding", b"chunked"))
        stream = _Try(body)
    elif "content-length" in request.headers:
        stream = _Try(body)
    return httpx.Request(request.method, url.copy_with(raw_path=target), headers=headers, stream=stream)


_DEADLINE: Final = deadline.HEADER.lower().encode()

SET_HERE = frozenset(
    {
        b"host",
        b"expect",
        b"forwarded",
        b"x-real-ip",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        _DEADLINE,
    }
)
"""Of a request: what a caller claims about them is not passed on."""

SAID_TWICE = frozenset({b"date", b"trace-id"})
"""Of an answer: the gateway's own say the same."""


def _about(request: Request) -> Headers:
    """Who asked, for what, and under which trace."""
    found = [(b"x-forwarded-proto", request.scope["scheme"].encode())]
    if "host" in request.headers:
        found.append((b"x-forwarded-host", request.headers["host"].encode("latin-1")))
    if request.client is not None:
        found.append((b"x-forwarded-for", request.client.host.encode()))
    if "traceparent" not in request.headers:
        parent = f"00-{request.state.trace_id}-{secrets.token_hex(8)}-01"
        found.append((b"traceparent", parent.encode()))
    return found


class _Answer(StreamingResponse):
    """An instance's answer, streamed; cut off where the instance broke off, so that nobody takes it for whole."""

    def __init__(self, reply: Reply) -> None:
        answer = reply.response
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        super().__init__(answer.stream, answer.status_code)
        self.raw_headers = end_to_end(answer.headers.raw, without=SAID_TWICE)
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except httpx.TransportError as exc:
            # Returning without the end of the body makes the server close the connection.
            self._reply.broke_off()
            log.warning("instance broke off", path=scope["path"], reason=str(exc) or type(exc).__name__)
        finally:
            await self._reply.aclose()
