"""The gateway's one route: find the service, take turns among its instances, stream both ways."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from types import TracebackType

import httpx
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from syncline.kit.problems import Problem
from syncline.kit.service import Service, run
from syncline_shop.gateway.domain import Headers, RoundRobin, end_to_end
from syncline_shop.gateway.settings import GatewaySettings

log = structlog.get_logger(__name__)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

# Shorter than the services' own (65 s), so that a connection is not used in the moment it is closed.
_IDLE_SECONDS = 30


def main() -> int:
    """Run the gateway until SIGTERM."""
    return run(GatewaySettings, build)


def build(settings: GatewaySettings) -> Service:
    """The gateway as a service."""
    svc = Service("gateway", settings)
    proxy = svc.during(Proxy(settings))
    svc.app.add_route("/{path:path}", proxy.handle, methods=METHODS, include_in_schema=False)
    return svc


class Proxy:
    """Passes requests on. Every instance gets its turn; only an unreachable one is passed over."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._turns = {
            service: RoundRobin([str(url).rstrip("/") for url in urls]) for service, urls in settings.instances.items()
        }
        self._timeouts = {
            "connect": settings.connect_seconds,
            "read": settings.answer_seconds,
            "write": settings.answer_seconds,
            "pool": settings.connect_seconds,
        }
        # The bare transport: a client on top of it would keep one caller's cookies for the next.
        self._transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_IDLE_SECONDS)
        )

    async def __aenter__(self) -> Proxy:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def handle(self, request: Request) -> Response:
        """Answer with what an instance answers, or with a problem: 404, 502, 503 or 504."""
        # As it was sent: a decoded %2F would choose one service here and another path there.
        service = request.scope["raw_path"].split(b"/")[1].decode("latin-1")
        turns = self._turns.get(service)
        if turns is None:
            raise Problem(404, "NO_ROUTE", f"no service answers for {request.scope['path']}")
        for instance in turns.candidates():
            try:
                answer = await self._transport.handle_async_request(self._onward(request, instance))
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                # Nothing was sent, so the next instance may have the request, whatever its method.
                log.warning("instance unreachable", service=service, instance=instance, reason=str(exc))
            except httpx.TimeoutException as exc:
                detail = f"{service} did not answer in time; whether it did the work is unknown"
                raise Problem(504, "UPSTREAM_TIMEOUT", detail) from exc
            except httpx.TransportError as exc:
                log.warning("instance failed", service=service, instance=instance, reason=str(exc))
                detail = f"{service} broke off; whether it did the work is unknown"
                raise Problem(502, "UPSTREAM_FAILED", detail) from exc
            else:
                return _Answer(answer)
        raise Problem(503, "NO_INSTANCE", f"no instance of {service} can be reached", headers={"Retry-After": "1"})

    def _onward(self, request: Request, instance: str) -> httpx.Request:
        """The request as the instance gets it: same method, path, query and body."""
        target = request.scope["raw_path"]
        if request.scope["query_string"]:
            target += b"?" + request.scope["query_string"]
        url = httpx.URL(instance)
        headers = end_to_end(request.headers.raw, without=SET_HERE)
        headers += [*_about(request), (b"host", url.netloc)]
        body: httpx.AsyncByteStream | httpx.ByteStream = httpx.ByteStream(b"")
        if "transfer-encoding" in request.headers:
            # One way to tell the end of the body: two that disagree hide a second request in the first.
            headers = [(name, value) for name, value in headers if name != b"content-length"]
            headers.append((b"transfer-encoding", b"chunked"))
            body = _Body(request)
        elif "content-length" in request.headers:
            body = _Body(request)
        return httpx.Request(
            request.method,
            url.copy_with(raw_path=target),
            headers=headers,
            stream=body,
            extensions={"timeout": self._timeouts},
        )


SET_HERE = frozenset(
    {
        b"host",
        b"expect",
        b"forwarded",
        b"x-real-ip",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
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


class _Body(httpx.AsyncByteStream):
    """A caller's body, chunk by chunk as it comes."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.stream():
            if chunk:
                yield chunk


class _Answer(StreamingResponse):
    """An instance's answer, streamed; cut off where the instance broke off, so that nobody takes it for whole."""

    def __init__(self, answer: httpx.Response) -> None:
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        super().__init__(answer.stream, answer.status_code)
        self.raw_headers = end_to_end(answer.headers.raw, without=SAID_TWICE)
        self._upstream = answer.stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except httpx.TransportError as exc:
            # Returning without the end of the body makes the server close the connection.
            log.warning("instance broke off", path=scope["path"], reason=str(exc) or type(exc).__name__)
        finally:
            await self._upstream.aclose()
