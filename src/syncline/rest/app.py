"""Kafka Connect's REST interface as an ASGI application over a herder (spec/connect.md 1).

Routed by hand rather than by a framework: which errors have a Content-Type, what a slash at the end means and how
paths are decoded must be Kafka Connect's, byte for byte.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote_to_bytes

from syncline.client.models import ErrorMessage
from syncline.cluster.herder import Herder
from syncline.cluster.progress import Progress, current, follow
from syncline.errors import ConnectError, SynclineError
from syncline.rest.admin import Admin
from syncline.rest.connectors import Connectors
from syncline.rest.errors import HttpError, status_of
from syncline.rest.headers import Cors, ExtraHeaders
from syncline.rest.http import JSON, TEXT, Request, Response, Route
from syncline.rest.offsets import Offsets
from syncline.rest.plugins import Plugins

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

MAX_BODY: Final = 16 * 1024 * 1024
"""Bytes; far more than any configuration."""
THREADS: Final = 64
"""Requests that may wait for connectors at the same time; threads are made when they are needed."""

_MEDIA: Final = re.compile(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+\s*(;.*)?")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_UNSAFE: Final = re.compile(rb"(?i)//|%[01][0-9A-F]|%7F|%2E%2E")
_MAX_TASK: Final = 2**31 - 1


class Part(Enum):
    """Which resources a listener has (`admin.listeners`)."""

    ALL = auto()
    WITHOUT_ADMIN = auto()
    ADMIN_ONLY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """What the worker's configuration says about the interface."""

    cors: Cors
    extra_headers: ExtraHeaders
    part: Part = Part.ALL
    request_seconds: float = 90
    """After this time a request is answered with what it waits for."""
    health_seconds: float = 10

    @classmethod
    def of(cls, *, origins: str = "", methods: str = "", extra_headers: str = "", **more: Any) -> Self:
        """From the worker's `access.control.allow.*` and `response.http.headers.config`, as they are written."""
        return cls(cors=Cors.of(origins, methods), extra_headers=ExtraHeaders.of(extra_headers), **more)


class RestApp:
    """The ASGI application. The herder is called on threads, one per request that is being worked on."""

    def __init__(self, herder: Herder, settings: RestSettings) -> None:
        self._herder = herder
        self._settings = settings
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="rest")
        self._routes = self._table()

    def _table(self) -> list[Route]:
        admin = Admin(self._herder, self._settings.health_seconds)
        loggers = admin.logger_routes()
        match self._settings.part:
            case Part.ADMIN_ONLY:
                return loggers
            case Part.WITHOUT_ADMIN:
                loggers = []
        resources = (Connectors(self._herder), Offsets(self._herder), Plugins(self._herder))
        return [*admin.worker_routes(), *(route for each in resources for route in each.routes()), *loggers]

    # -- one request, on a thread of its own --------------------------------------------------

    def answer(self, request: Request) -> Response:
        """The answer to a request, whatever happens."""
        try:
            found = self._routed(request)
        except HttpError as exc:
            return Response(exc.status, ErrorMessage(exc.status, str(exc)), content_type=JSON if exc.typed else None)
        except Exception as exc:  # the edge: everything becomes a status and a body
            return _failed(request, exc)
        accept = request.headers.get("accept", "")
        if found.content_type == JSON and accept.replace(" ", "").lower().startswith(f"{JSON};charset="):
            return Response(found.status, found.body, found.headers, accept)
        return found

    def _routed(self, request: Request) -> Response:
        route = self._route(request.parts)
        if request.method == "OPTIONS":
            return _options(route, request.headers.get("accept", ""))
        handle = route.methods.get("GET" if request.method == "HEAD" else request.method)
        if handle is None:
            raise HttpError(405)
        _check_media(request, route.produces)
        if not route.at_once:
            with current().during("awaiting startup"):
                # Longer than the client is kept waiting, so that its answer says what it waited for.
                if not self._herder.wait_ready(self._settings.request_seconds + 1):
                    raise ConnectError(_timed_out(current()))
        return handle(request)

    def _route(self, parts: tuple[str, ...]) -> Route:
        for route in self._routes:
            if len(route.pattern) != len(parts):
                continue
            pairs = list(zip(route.pattern, parts, strict=True))
            if all(wanted in ("*", "#", part) for wanted, part in pairs):
                if not all(_is_number(part) for wanted, part in pairs if wanted == "#"):
                    raise HttpError(404, typed=True)
                return route
        raise HttpError(404)

    # -- ASGI ---------------------------------------------------------------------------------

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _read_body(receive)
        response = _refused(scope, headers, body)
        if response is None:
            response = await self._in_time(_request(scope, headers, body or b""))
        log.debug("%s %s: %d", scope["method"], scope["raw_path"].decode("latin-1"), response.status)
        await self._send(send, scope["method"], headers, response)

    async def _in_time(self, request: Request) -> Response:
        """The answer, or after a while what the request still waits for; it goes on all the same."""
        progress = Progress()
        follow(progress)
        work = partial(copy_context().run, self.answer, request)
        try:
            async with asyncio.timeout(self._settings.request_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            return Response(500, ErrorMessage(500, _timed_out(progress)))

    async def _send(self, send: Send, method: str, request: Mapping[str, str], response: Response) -> None:
        payload = response.encoded()
        fields = list(response.headers)
        if response.content_type is not None and (payload or response.status == 200):
            fields.append(("content-type", response.content_type))
        fields += self._settings.cors.headers(method, request)
        fields += self._settings.extra_headers.headers()
        if response.status != 204:
            fields.append(("content-length", str(len(payload))))
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in fields]
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else payload})


def _timed_out(progress: Progress) -> str:
    text = progress.text()
    return "Request timed out" if text is None else f"Request timed out. {text}"


def _failed(request: Request, exc: Exception) -> Response:
    status = status_of(exc)
    if status == 500:
        # What we raise on purpose says what it is; anything else is a mistake of ours or of a plug-in.
        trace = None if isinstance(exc, SynclineError) else exc
        log.error("%s /%s failed: %s", request.method, "/".join(request.parts), exc, exc_info=trace)
    return Response(status, ErrorMessage(status, str(exc) or type(exc).__name__))


def _options(route: Route, accept: str) -> Response:
    methods = sorted({*route.methods, "OPTIONS", *(["HEAD"] if "GET" in route.methods else [])})
    allow = ", ".join(methods)
    if JSON in accept:
        return Response(200, None, (("allow", allow),))
    return Response(200, allow.encode(), (("allow", allow),), TEXT)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,10}", text) is not None and abs(int(text)) <= _MAX_TASK


def _check_media(request: Request, produces: str) -> None:
    kind = request.headers.get("content-type")
    named = None if kind is None else kind.partition(";")[0].strip().lower()
    if named is None and request.body:
        raise HttpError(415, typed=True)
    if named in ("application/*", "*/*") and request.body:
        # It says what is accepted, not what the body is.
        raise HttpError(415, typed=True)
    if named is not None and named not in (JSON, "application/*", "*/*"):
        raise HttpError(415)
    accept = request.headers.get("accept")
    if accept and not any(_accepts(part, produces) for part in accept.split(",")):
        raise HttpError(406)


def _accepts(part: str, produces: str) -> bool:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    kind = produces.partition(";")[0]
    refused = any(re.fullmatch(r"q=0(\.0{0,3})?", parameter) for parameter in parameters)
    return not refused and media in (kind, f"{kind.partition('/')[0]}/*", "*/*", "*")


async def _read_body(receive: Receive) -> bytes | None:
    """The body; None when it is larger than any configuration."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        part = event.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
        if event["type"] == "http.disconnect" or not event.get("more_body", False):
            return b"".join(parts)


def _request(scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes) -> Request:
    host = headers.get("host") or ":".join(map(str, scope["server"] or ()))
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return Request(scope["method"], _segments(scope["raw_path"]), query, headers, body, f"{scope['scheme']}://{host}")


def _segments(raw_path: bytes) -> tuple[str, ...]:
    """Decoded segments; a slash at the end means nothing, `;parameters` are dropped, `+` is a plus sign."""
    path = raw_path.partition(b"?")[0].strip(b"/")
    if not path:
        return ()
    return tuple(unquote_to_bytes(part.partition(b";")[0]).decode("utf-8", "replace") for part in path.split(b"/"))


def _refused(scope: Mapping[str, Any], headers: Mapping[str, str], body: bytes | None) -> Response | None:
    """What is refused before routing: 400 with a page for GET and nothing for other methods, or a body too large."""
    method, path = scope["method"], scope["raw_path"].partition(b"?")[0]
    if path == b"*":
        return Response(404, content_type=None)
    kind = headers.get("content-type")
    if _BAD_ESCAPE.search(path) or (kind is not None and not _MEDIA.fullmatch(kind.strip())):
        return _html(400)
    if _UNSAFE.search(path):
        return _html(400) if method in ("GET", "HEAD") else Response(400, content_type=None)
    if body is None:
        return Response(413, ErrorMessage(413, f"the request body is larger than {MAX_BODY} bytes"))
    return None


def _html(status: int) -> Response:
    page = f"<html><head><title>Error {status}</title></head><body><h2>HTTP ERROR {status}</h2></body></html>\n"
    return Response(status, page.encode(), content_type="text/html;charset=iso-8859-1")
