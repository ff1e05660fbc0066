"""Every request gets a trace id, a deadline, a limit for its body, a place in the metrics, and one line in the log."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncline.clock import SYSTEM_CLOCK
from syncline.kit import problems
from syncline.kit.health import Health
from syncline.kit.http import deadline
from syncline.kit.metrics import RequestMetrics

log = structlog.get_logger(__name__)

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_QUIET = ("/health", "/metrics")
"""Asked all the time by machines; not worth a line unless something is wrong."""
_DEADLINE = deadline.HEADER.lower().encode()


class Requests:
    """ASGI middleware. The trace id is the caller's (`traceparent`, W3C) or a new one.

    It is `request.state.trace_id`, part of every log line written meanwhile, and handed back in the
    header `Trace-Id`. A request whose deadline (`X-Request-Deadline`) is over is not begun.
    """

    def __init__(
        self, app: ASGIApp, max_body_bytes: int, metrics: RequestMetrics, health: Health, quiet: Sequence[str] = ()
    ) -> None:
        """Requests for paths that begin like one of `quiet` get their line at level debug, errors excepted."""
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics
        self._health = health
        self._quiet = (*_QUIET, *quiet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = trace_id_of(scope)
        scope.setdefault("state", {})["trace_id"] = trace_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [(b"trace-id", trace_id.encode())]
                if self._health.stopping:
                    # Whoever asks next on this connection might meet its end instead.
                    added.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        began = SYSTEM_CLOCK.monotonic()
        self._metrics.began()
        try:
            left = time_left(scope)
            deadline.begin(left)
            if left is not None and left <= 0:
                late = problems.Problem(504, "DEADLINE_EXCEEDED", "the deadline of this request was over when it came")
                await problems.respond(Request(scope), late)(scope, receive, sending)
                return
            await self._app(scope, limited(scope, receive, self._max_body_bytes), sending)
        finally:
            self._metrics.ended(scope["method"], status, SYSTEM_CLOCK.monotonic() - began)
            say = log.debug if scope["path"].startswith(self._quiet) and status < 500 else log.info
            say(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round((SYSTEM_CLOCK.monotonic() - began) * 1000, 1),
            )


def trace_id_of(scope: Scope) -> str:
    """The 32 hexadecimal digits that the caller sent in `traceparent`, or new ones."""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            found = _TRACEPARENT.fullmatch(value.decode("latin-1").strip())
            if found and found[1].strip("0"):
                return found[1]
    return secrets.token_hex(16)


def traceparent() -> dict[str, str]:
    """The header that carries the trace of the request at hand to the next service; none outside of a request."""
    trace_id = structlog.contextvars.get_contextvars().get("trace_id")
    return {} if trace_id is None else {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}


def time_left(scope: Scope) -> float | None:
    """Seconds until the deadline that the caller sent; None without one that can be read."""
    for name, value in scope["headers"]:
        if name == _DEADLINE:
            return deadline.parse(value.decode("latin-1").strip())
    return None


def limited(scope: Scope, receive: Receive, max_body_bytes: int) -> Receive:
    """`receive`, until the body is longer than allowed: the first read or the chunk too much is a 413.

    A declared length is judged before anything is read; without one the bytes are counted.
    """
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    too_long = declared.isdigit() and int(declared) > max_body_bytes
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        if too_long:
            raise HTTPException(413)
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > max_body_bytes:
            raise HTTPException(413)
        return message

    return receiving
