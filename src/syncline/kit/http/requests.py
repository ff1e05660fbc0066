"""Every request gets a trace id, a limit for its body, and one line in the log."""

from __future__ import annotations

import re
import secrets

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncline.clock import SYSTEM_CLOCK

log = structlog.get_logger(__name__)

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_QUIET = "/health/"


class Requests:
    """ASGI middleware. The trace id is the caller's (`traceparent`, W3C) or a new one.

    It is `request.state.trace_id`, part of every log line written meanwhile, and handed back in the
    header `Trace-Id`.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

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
                message["headers"] = [*message.get("headers", ()), (b"trace-id", trace_id.encode())]
            await send(message)

        began = SYSTEM_CLOCK.monotonic()
        try:
            await self._app(scope, limited(scope, receive, self._max_body_bytes), sending)
        finally:
            say = log.debug if scope["path"].startswith(_QUIET) else log.info
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
