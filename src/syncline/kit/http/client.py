"""One service calls another, by name.

    orders = svc.client("order-service", timeout=1.0, retries=1)
    answer = await orders.get(f"/order-service/{user_id}/orders")     # an httpx.Response, read to its end
    answer.raise_for_status()

What fails on the way is an `Unavailable`, which ends a request with 503 or 504 unless it is caught.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from syncline.kit.discovery.balancer import Balancer
from syncline.kit.discovery.instances import Directory, Instance
from syncline.kit.errors import DeadlineExceeded
from syncline.kit.http import deadline
from syncline.kit.http.breaker import Breaker
from syncline.kit.http.requests import traceparent
from syncline.kit.http.upstream import IDEMPOTENT, Reply, Upstream


class ServiceClient:
    """Calls to one service; share it, because breaker and balancer learn from every call."""

    def __init__(
        self,
        service: str,
        directory: Directory,
        transport: httpx.AsyncBaseTransport,
        *,
        timeout: float = 1.0,
        retries: int = 1,
        breaker: Breaker | None = None,
        balancer: Balancer | None = None,
    ) -> None:
        """`timeout` in seconds is for a whole call with its retries; the caller's own deadline may be sooner."""
        self._timeout = timeout
        self.upstream = Upstream(
            service,
            directory,
            transport,
            balancer=balancer or Balancer(),
            breaker=breaker or Breaker(service),
            retries=retries,
            connect_seconds=timeout / 2,
        )

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """`request` with GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        """`request` with POST."""
        return await self.request("POST", path, **options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        key: str = "",
    ) -> httpx.Response:
        """The answer with its body, whatever its status.

        A broken connection is followed by another try only where that does no harm: methods that are
        idempotent, or a header `Idempotency-Key`. `seconds` stands in for the client's timeout; `key`
        chooses the instance under the policy sticky.
        Raises an `Unavailable`: NoInstance, BrokenOff, DeadlineExceeded or CircuitOpen.
        """
        seconds = self._allowed(seconds)
        given = {name.lower(): value for name, value in (headers or {}).items()}
        sent = {deadline.HEADER.lower(): deadline.header(seconds), **traceparent(), **given}

        def build(instance: Instance) -> httpx.Request:
            return httpx.Request(
                method, f"{instance.url}{path}", params=params, json=json, content=content, headers=sent
            )

        async def whole(reply: Reply) -> None:
            await reply.response.aread()

        again = method.upper() in IDEMPOTENT or "idempotency-key" in given
        reply = await self.upstream.send(build, seconds=seconds, again=again, key=key, accept=whole)
        await reply.aclose()
        return reply.response

    def _allowed(self, seconds: float | None) -> float:
        """How long this call may take: its limit, or what is left of the caller's time."""
        own = self._timeout if seconds is None else seconds
        left = deadline.remaining()
        if left is not None and left <= 0:
            raise DeadlineExceeded(f"no time is left to ask {self.upstream.service}")
        return own if left is None else min(own, left)
