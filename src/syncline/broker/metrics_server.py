"""`GET /metrics` over HTTP, on the broker's own loop, so that nothing changes while it is read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from syncline.broker.errors import BrokerError
from syncline.broker.listeners import bracketed
from syncline.broker.metrics_text import metrics_text

log = logging.getLogger(__name__)

PATIENCE_S: Final = 10
LONGEST_REQUEST: Final = 16 * 1024


class MetricsServer:
    """Answers one request per connection."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._server: asyncio.Server | None = None
        self.url = ""

    async def open(self, host: str, port: int) -> None:
        """Listen; BrokerError when the address cannot be had."""
        try:
            self._server = await asyncio.start_server(self._serve, host or None, port, limit=LONGEST_REQUEST)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise BrokerError(f"prometheus.port={port}: cannot listen on {host or '*'}:{port}: {reason}") from exc
        self.url = f"http://{bracketed(host or '127.0.0.1')}:{self._server.sockets[0].getsockname()[1]}/metrics"

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        too_little = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError)
        with contextlib.suppress(*too_little):
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", b"GET /metrics\n", "text/plain")
        if path != b"/metrics":
            return _response("404 Not Found", b"see /metrics\n", "text/plain")
        return _response("200 OK", metrics_text(self._broker), CONTENT_TYPE_PLAIN_0_0_4, with_body=method == b"GET")


def _response(status: str, body: bytes, kind: str, *, with_body: bool = True) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (body if with_body else b"")
