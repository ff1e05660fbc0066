"""Kafka Connect's REST interface as an ASGI application over a herder (spec/connect.md 1).

Routed by hand rather than by a framework: which errors have a Content-Type, what a slash at the end means and how
paths are decoded must be Kafka Connect's, byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote_to_bytes

from syncline.cluster.herder import Herder, Target
from syncline.rest.bodies import config_of, create_request, object_of, offsets_request, parse
from syncline.rest.errors import HttpError, status_of
from syncline.rest.loggers import Loggers

log = logging.getLogger(__name__)

JSON: Final = "application/json"
MAX_BODY: Final = 16 * 1024 * 1024
_MEDIA: Final = re.compile(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+\s*(;.*)?")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, decoded."""

    method: str
    parts: tuple[str, ...]
    """Path segments, decoded."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    base: str
    """Scheme and authority, for Location."""

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean parameter: `true` in any case is true, everything else false."""
        values = self.query.get(name)
        if not values or (default and values[0] == ""):
            return default
        return values[0].strip().lower() == "true"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `body` None sends nothing."""

    status: int = 200
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = JSON

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        return self.body.encode() if isinstance(self.body, str) and self.content_type != JSON else _dump(self.body)


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


NO_CONTENT: Final = Response(204, content_type=None)
ACCEPTED: Final = Response(202, content_type=None)

Handle = Callable[[Request], Response]


class RestApp:
    """The ASGI application; `herder` is called on threads of its own, one request at a time each."""

    def __init__(self, herder: Herder, *, allow_origin: str = "", allow_methods: str = "") -> None:
        self._herder = herder
        self._loggers = Loggers()
        self._origins = [origin.strip() for origin in allow_origin.split(",") if origin.strip()]
        self._methods = allow_methods or "GET,POST,HEAD"
        self._routes: Sequence[tuple[tuple[str, ...], Mapping[str, Handle]]] = self._table()

    def _table(self) -> Sequence[tuple[tuple[str, ...], Mapping[str, Handle]]]:
        x = ("connectors", "*")
        return (
            ((), {"GET": lambda r: Response(body=self._herder.root())}),
            (("health",), {"GET": self._health}),
            (("metrics",), {"GET": self._metrics}),
            (("connectors",), {"GET": self._list, "POST": self._create}),
            (x, {"GET": lambda r: Response(body=self._herder.info(r.parts[1])), "DELETE": self._delete}),
            ((*x, "config"), {"GET": self._config, "PUT": self._put_config, "PATCH": self._patch_config}),
            ((*x, "status"), {"GET": lambda r: Response(body=self._herder.status(r.parts[1]))}),
            ((*x, "tasks"), {"GET": lambda r: Response(body=self._herder.tasks(r.parts[1])), "POST": self._internal}),
            ((*x, "fence"), {"PUT": self._internal}),
            ((*x, "tasks", "#", "status"), {"GET": self._task_status}),
            ((*x, "tasks", "#", "restart"), {"POST": self._restart_task}),
            ((*x, "restart"), {"POST": self._restart}),
            ((*x, "pause"), {"PUT": lambda r: self._target(r, Target.PAUSED, ACCEPTED)}),
            ((*x, "resume"), {"PUT": lambda r: self._target(r, Target.STARTED, ACCEPTED)}),
            ((*x, "stop"), {"PUT": lambda r: self._target(r, Target.STOPPED, NO_CONTENT)}),
            ((*x, "topics"), {"GET": lambda r: Response(body=self._herder.topics(r.parts[1]))}),
            ((*x, "topics", "reset"), {"PUT": self._reset_topics}),
            ((*x, "offsets"), {"GET": self._offsets, "PATCH": self._alter_offsets, "DELETE": self._reset_offsets}),
            (("connector-plugins",), {"GET": self._plugins}),
            (("connector-plugins", "*", "config"), {"GET": self._plugin_config}),
            (("connector-plugins", "*", "config", "validate"), {"PUT": self._validate}),
            (("admin", "loggers"), {"GET": lambda r: Response(body=self._loggers.all())}),
            (("admin", "loggers", "*"), {"GET": self._logger, "PUT": self._set_logger}),
        )

    # -- routes -------------------------------------------------------------------------------

    def _health(self, request: Request) -> Response:
        message = "Worker has completed startup and is ready to handle requests."
        return Response(body={"status": "healthy", "message": message})

    def _metrics(self, request: Request) -> Response:
        return Response(body=self._herder.metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")

    def _list(self, request: Request) -> Response:
        names = self._herder.connectors()
        if "expand" not in request.query:
            return Response(body=names)
        found = {}
        for name in names:
            try:
                parts = {}
                for wanted in request.query["expand"]:
                    if wanted == "status":
                        parts["status"] = self._herder.status(name)
                    elif wanted == "info":
                        parts["info"] = self._herder.info(name)
                    else:
                        log.info("ignoring unknown expansion type %s", wanted)
                found[name] = parts
            except Exception as exc:
                if status_of(exc) != 404:
                    raise
        return Response(body=found)

    def _located(self, request: Request, name: str, body: Any) -> Response:
        return Response(201, body, (("location", f"{request.base}/connectors/{quote(name, safe='')}"),))

    def _create(self, request: Request) -> Response:
        name, config, target = create_request(request.body)
        return self._located(request, name, self._herder.create(name, config, target))

    def _delete(self, request: Request) -> Response:
        self._herder.delete(request.parts[1])
        return NO_CONTENT

    def _config(self, request: Request) -> Response:
        return Response(body=self._herder.config(request.parts[1]))

    def _put_config(self, request: Request) -> Response:
        name = request.parts[1]
        created, body = self._herder.put_config(name, config_of(parse(request.body)))
        return self._located(request, name, body) if created else Response(body=body)

    def _patch_config(self, request: Request) -> Response:
        return Response(body=self._herder.patch_config(request.parts[1], config_of(parse(request.body))))

    def _internal(self, request: Request) -> Response:
        raise NotImplementedError("Kafka Connect in standalone mode does not support this request")

    def _task_status(self, request: Request) -> Response:
        return Response(body=self._herder.task_status(request.parts[1], int(request.parts[3])))

    def _restart_task(self, request: Request) -> Response:
        self._herder.restart_task(request.parts[1], int(request.parts[3]))
        return NO_CONTENT

    def _restart(self, request: Request) -> Response:
        include_tasks, only_failed = request.flag("includeTasks"), request.flag("onlyFailed")
        if not include_tasks and not only_failed:
            self._herder.restart(request.parts[1])
            return NO_CONTENT
        body = self._herder.restart_parts(request.parts[1], include_tasks=include_tasks, only_failed=only_failed)
        return Response(202, body)

    def _target(self, request: Request, target: Target, answer: Response) -> Response:
        self._herder.set_target(request.parts[1], target)
        return answer

    def _reset_topics(self, request: Request) -> Response:
        self._herder.reset_topics(request.parts[1])
        return ACCEPTED

    def _offsets(self, request: Request) -> Response:
        return Response(body=self._herder.offsets(request.parts[1]))

    def _alter_offsets(self, request: Request) -> Response:
        return Response(body=self._herder.alter_offsets(request.parts[1], offsets_request(request.body)))

    def _reset_offsets(self, request: Request) -> Response:
        return Response(body=self._herder.reset_offsets(request.parts[1]))

    def _plugins(self, request: Request) -> Response:
        return Response(body=self._herder.plugins(connectors_only=request.flag("connectorsOnly", default=True)))

    def _plugin_config(self, request: Request) -> Response:
        version = request.query.get("version", [None])[0]
        return Response(body=self._herder.plugin_config(request.parts[1], version))

    def _validate(self, request: Request) -> Response:
        return Response(body=self._herder.validate(request.parts[1], config_of(parse(request.body))))

    def _logger(self, request: Request) -> Response:
        return Response(body=self._loggers.get(request.parts[2]))

    def _set_logger(self, request: Request) -> Response:
        level = object_of(request.body).get("level")
        if level == "":
            raise ValueError("a level is expected")
        changed = self._loggers.set(request.parts[2], level)
        cluster = request.query.get("scope", ["worker"])[0].lower() == "cluster"
        return NO_CONTENT if cluster else Response(body=changed)

    # -- routing ------------------------------------------------------------------------------

    def _route(self, request: Request) -> Response:
        """Find and call the handler; errors of the herder become bodies here and nowhere else."""
        methods = self._methods_of(request.parts)
        if request.method == "OPTIONS":
            allowed = sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])})
            return Response(200, ", ".join(allowed), (("allow", ", ".join(allowed)),), "text/plain")
        handle = methods.get("GET" if request.method == "HEAD" else request.method)
        if handle is None:
            raise HttpError(405)
        self._check_media(request)
        return handle(request)

    def _methods_of(self, parts: tuple[str, ...]) -> Mapping[str, Handle]:
        for pattern, methods in self._routes:
            if len(pattern) == len(parts) and all(
                w in ("*", "#") or w == p for w, p in zip(pattern, parts, strict=True)
            ):
                numbers = [p for w, p in zip(pattern, parts, strict=True) if w == "#"]
                if not all(re.fullmatch(r"[+-]?\d{1,9}", number) for number in numbers):
                    raise HttpError(404, typed=True)
                return methods
        raise HttpError(404)

    @staticmethod
    def _check_media(request: Request) -> None:
        kind = request.headers.get("content-type")
        if kind is None and request.body:
            raise HttpError(415, typed=True)
        if kind is not None and kind.partition(";")[0].strip().lower() not in (JSON, "*/*"):
            raise HttpError(415)
        accept = request.headers.get("accept")
        if accept and not any(_accepts(part) for part in accept.split(",")):
            raise HttpError(406)

    def answer(self, request: Request) -> Response:
        """The answer to a request, whatever happens."""
        try:
            found = self._route(request)
        except HttpError as exc:
            body = {"error_code": exc.status, "message": str(exc)}
            return Response(exc.status, body, content_type=JSON if exc.typed else None)
        except Exception as exc:  # the edge: everything becomes a status and a body
            status = status_of(exc)
            if status == 500:
                log.error("%s %s failed: %s", request.method, "/".join(request.parts), exc)
                log.debug("trace", exc_info=exc)
            return Response(status, {"error_code": status, "message": str(exc)})
        accept = request.headers.get("accept", "")
        if found.content_type == JSON and accept.replace(" ", "").lower().startswith(f"{JSON};charset="):
            return Response(found.status, found.body, found.headers, accept)
        return found

    # -- ASGI ---------------------------------------------------------------------------------

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _read_body(receive)
        refused = _refused_path(scope["raw_path"], scope["method"])
        kind = headers.get("content-type")
        if refused is None and body is not None and kind is not None and not _MEDIA.fullmatch(kind.strip()):
            refused = _html(400)
        if body is None:
            refused = Response(413, {"error_code": 413, "message": "the request body is too large"})
        if refused is not None:
            await self._send(send, scope, headers, refused)
            return
        host = headers.get("host") or ":".join(map(str, scope["server"] or ()))
        request = Request(
            scope["method"],
            _segments(scope["raw_path"]),
            parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True),
            headers,
            body or b"",
            f"{scope['scheme']}://{host}",
        )
        await self._send(send, scope, headers, await asyncio.to_thread(self.answer, request))

    async def _send(
        self,
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
        scope: Mapping[str, Any],
        headers: Mapping[str, str],
        response: Response,
    ) -> None:
        payload = response.encoded()
        fields = [(name.encode(), value.encode("latin-1")) for name, value in response.headers]
        if response.content_type is not None and (payload or response.status == 200):
            fields.append((b"content-type", response.content_type.encode("latin-1")))
        fields += self._cors(headers)
        fields.append((b"content-length", str(len(payload)).encode()))
        if response.status == 204:
            fields.pop()
        await send({"type": "http.response.start", "status": response.status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else payload})

    def _cors(self, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        origin = headers.get("origin")
        if origin is None or not ("*" in self._origins or origin in self._origins):
            return []
        fields = [(b"access-control-allow-origin", origin.encode("latin-1"))]
        if "access-control-request-method" in headers:
            fields += [
                (b"access-control-allow-methods", self._methods.encode()),
                (b"access-control-allow-headers", headers.get("access-control-request-headers", "*").encode()),
            ]
        return fields


def _accepts(part: str) -> bool:
    return part.partition(";")[0].strip().lower() in (JSON, "application/*", "*/*", "text/plain", "text/*")


async def _read_body(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes | None:
    """The body; None when it is larger than any configuration."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return b"".join(parts)
        size += len(event.get("body", b""))
        if size > MAX_BODY:
            return None
        parts.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(parts)


async def _lifespan(
    receive: Callable[[], Awaitable[Mapping[str, Any]]], send: Callable[[Mapping[str, Any]], Awaitable[None]]
) -> None:
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


def _segments(raw_path: bytes) -> tuple[str, ...]:
    """Decoded segments; a slash at the end means nothing, `;parameters` are dropped, `+` is a plus sign."""
    path = raw_path.partition(b"?")[0].rstrip(b"/")
    if not path:
        return ()
    return tuple(
        unquote_to_bytes(part.partition(b";")[0]).decode("utf-8", "replace") for part in path.lstrip(b"/").split(b"/")
    )


_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
_CONTROL: Final = re.compile(rb"(?i)%[01][0-9A-F]|%7F")


def _refused_path(raw_path: bytes, method: str) -> Response | None:
    """What the HTTP server refuses before routing: 400, a page for GET, nothing for PUT and DELETE."""
    path = raw_path.partition(b"?")[0]
    if _BAD_ESCAPE.search(path):
        return _html(400)
    if b"//" in path or _CONTROL.search(path) or b"%2e%2e" in path.lower():
        return _html(400) if method in ("GET", "HEAD") else Response(400, content_type=None)
    return None


def _html(status: int) -> Response:
    page = f"<html><head><title>Error {status}</title></head><body><h2>HTTP ERROR {status}</h2></body></html>\n"
    return Response(status, page, content_type="text/html;charset=iso-8859-1")
