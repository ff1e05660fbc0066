"""Connections to other services that are kept and used again, the latest first."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

Origin = tuple[str, str, int | None]


@dataclass(slots=True)
class _Kept:
    """One connection: an httpx pool that holds no other."""

    transport: httpx.AsyncHTTPTransport
    idle_since: float = 0.0
    """On the loop's clock."""


class PooledTransport(httpx.AsyncBaseTransport):
    """As many connections as there are requests at once; each is an httpx transport of its own.

    One httpx pool for all of them gives the same idle connection to several requests, all but one of which have to
    ask again, without any order: with 32 callers a request of 3 ms took up to 3 s.
    """

    def __init__(self, idle_seconds: float) -> None:
        """A connection that nobody has used for so long is closed."""
        self._idle_seconds = idle_seconds
        self._idle: defaultdict[Origin, deque[_Kept]] = defaultdict(deque)
        """The one used longest ago comes first."""
        self._closed = False
        self._tls = httpx.create_ssl_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer; until it is closed it has its connection to itself. Raises what httpx raises."""
        origin = (request.url.scheme, request.url.host, request.url.port)
        idle = self._idle[origin]
        kept = idle.pop() if idle else _Kept(self._new())
        try:
            response = await kept.transport.handle_async_request(request)
        except BaseException:
            await kept.transport.aclose()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, self, origin, kept)
        return response

    def _new(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=self._idle_seconds)
        return httpx.AsyncHTTPTransport(verify=self._tls, limits=limits)

    async def give_back(self, origin: Origin, kept: _Kept) -> None:
        """Keep a connection for the next request, and close those that nobody came for."""
        if self._closed:
            await kept.transport.aclose()
            return
        kept.idle_since = asyncio.get_running_loop().time()
        self._idle[origin].append(kept)
        for old in self._expired(kept.idle_since - self._idle_seconds):
            await old.transport.aclose()

    def _expired(self, before: float) -> list[_Kept]:
        """Those idle since `before` or longer, taken out; instances that are gone are forgotten."""
        found = []
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since < before:
                found.append(idle.popleft())
            if not idle:
                del self._idle[origin]
        return found

    async def aclose(self) -> None:
        """Close what is idle now, and what is in use as soon as its answer is closed."""
        self._closed = True
        while self._idle:
            _, idle = self._idle.popitem()
            for kept in idle:
                await kept.transport.aclose()


class _Body(httpx.AsyncByteStream):
    """An answer's body; closing it lets go of the connection."""

    def __init__(self, stream: httpx.AsyncByteStream, pool: PooledTransport, origin: Origin, kept: _Kept) -> None:
        self._stream = stream
        self._pool = pool
        self._origin = origin
        self._kept: _Kept | None = kept

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        kept, self._kept = self._kept, None
        if kept is None:
            return
        try:
            await self._stream.aclose()
        except BaseException:
            await kept.transport.aclose()
            raise
        await self._pool.give_back(self._origin, kept)
