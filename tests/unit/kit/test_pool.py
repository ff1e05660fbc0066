"""Connections to other services, against a server that counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from syncline.kit.http.pool import PooledTransport
from tests.servers import free_port


class Counting:
    """An HTTP server that answers `/` at once and `/held` when it is let; it knows its connections."""

    def __init__(self) -> None:
        self.made = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.held = 0
        self.let_go = asyncio.Event()
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Counting]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
            for writer in list(self.open):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        self.open.add(writer)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                if head.startswith("GET /held"):
                    self.held += 1
                    await self.let_go.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                if head.startswith("GET /last"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side has gone
        finally:
            self.open.discard(writer)
            writer.close()

    async def until(self, **wanted: int) -> None:
        async with asyncio.timeout(10):
            while wanted != {"held": self.held, "open": len(self.open)}:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def server() -> AsyncIterator[Counting]:
    async with Counting().running() as running:
        yield running


async def get(pool: PooledTransport, url: str) -> bytes:
    response = await pool.handle_async_request(httpx.Request("GET", url))
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def test_a_connection_is_used_again(server: Counting) -> None:
    async with PooledTransport(30) as pool:
        assert [await get(pool, server.url) for _ in range(5)] == [b"done"] * 5
        assert server.made == 1
    await server.until(held=0, open=0)


async def test_requests_at_once_have_a_connection_each_and_leave_them_to_those_who_follow(server: Counting) -> None:
    async with PooledTransport(30) as pool:
        for _ in range(3):
            server.held = 0
            server.let_go.clear()
            requests = [asyncio.create_task(get(pool, f"{server.url}/held")) for _ in range(8)]
            await server.until(held=8, open=8)
            server.let_go.set()
            assert await asyncio.gather(*requests) == [b"done"] * 8
        assert server.made == 8


async def test_a_connection_that_the_server_has_closed_is_not_used_again(server: Counting) -> None:
    async with PooledTransport(30) as pool:
        for number in (1, 2, 3):
            assert await get(pool, f"{server.url}/last") == b"done"
            await server.until(held=0, open=0)
            assert server.made == number


async def test_connections_that_nobody_uses_are_closed_when_another_is_given_back(server: Counting) -> None:
    async with Counting().running() as other, PooledTransport(0.05) as pool:
        await get(pool, server.url)
        await asyncio.sleep(0.1)  # longer than a connection is kept
        await get(pool, other.url)
        await server.until(held=0, open=0)


async def test_a_request_that_is_given_up_takes_its_connection_with_it(server: Counting) -> None:
    async with PooledTransport(30) as pool:
        request = asyncio.create_task(get(pool, f"{server.url}/held"))
        await server.until(held=1, open=1)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        server.let_go.set()
        await server.until(held=1, open=0)
        assert await get(pool, server.url) == b"done"


async def test_an_answer_that_nobody_reads_lets_go_of_its_connection(server: Counting) -> None:
    async with PooledTransport(30) as pool:
        response = await pool.handle_async_request(httpx.Request("GET", server.url))
        await response.aclose()
        assert await get(pool, server.url) == b"done"


async def test_a_connection_in_use_is_closed_after_its_answer_when_the_pool_has_ended(server: Counting) -> None:
    pool = PooledTransport(30)
    response = await pool.handle_async_request(httpx.Request("GET", server.url))
    await pool.aclose()
    assert await response.aread() == b"done"
    await response.aclose()
    await server.until(held=0, open=0)


async def test_nobody_there_is_what_httpx_calls_it() -> None:
    async with PooledTransport(30) as pool:
        with pytest.raises(httpx.ConnectError):
            await get(pool, f"http://127.0.0.1:{free_port()}")
