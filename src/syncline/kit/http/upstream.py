"""A request to a service, wherever its instances are: choose one, try another where that does no harm.

| What happened                     | Then                                                                |
|-----------------------------------|---------------------------------------------------------------------|
| no connection                     | nothing was sent: the next instance has it, whatever the method     |
| connection broke off              | the next instance if the request is idempotent, else BrokenOff      |
| silence until the deadline        | DeadlineExceeded                                                    |
| nobody known, nobody reachable    | NoInstance                                                          |
| too many of the last calls failed | CircuitOpen, without trying                                         |
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import structlog

from syncline.kit.discovery.balancer import Balancer, Outcome
from syncline.kit.discovery.instances import Directory, Instance
from syncline.kit.errors import BrokenOff, DeadlineExceeded, NoInstance
from syncline.kit.http.breaker import Breaker, BreakerState

log = structlog.get_logger(__name__)

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
"""RFC 9110, 9.2.2: doing it twice is like doing it once. A POST with an `Idempotency-Key` is, too."""

# Shorter than the services' own (65 s), so that a connection is not used in the moment it is closed.
IDLE_SECONDS: Final = 30


class Reply:
    """An answer whose body is still to be read; `aclose` it, for until then its instance counts as busy."""

    def __init__(self, response: httpx.Response, instance: Instance, balancer: Balancer) -> None:
        self.response = response
        self.instance = instance
        self._balancer: Balancer | None = balancer
        self._outcome = Outcome.ANSWERED

    def broke_off(self) -> None:
        """The body ended before it was whole."""
        self._outcome = Outcome.FAILED

    async def aclose(self) -> None:
        """Let go of the connection. A second call does nothing."""
        balancer, self._balancer = self._balancer, None
        if balancer is None:
            return
        balancer.ended(self.instance, self._outcome)
        await self.response.aclose()


Accept = Callable[[Reply], Awaitable[None]]


class Upstream:
    """One per called service and process. Not for several threads."""

    def __init__(
        self,
        service: str,
        directory: Directory,
        transport: httpx.AsyncBaseTransport,
        *,
        balancer: Balancer,
        breaker: Breaker,
        retries: int = 1,
        connect_seconds: float = 1,
    ) -> None:
        """`retries` are further tries after a broken connection; unreachable instances do not count."""
        self.service = service
        self.balancer = balancer
        self.breaker = breaker
        self._directory = directory
        self._transport = transport
        self._retries = retries
        self._connect_seconds = connect_seconds
        self._known: frozenset[str] = frozenset()

    async def send(
        self,
        build: Callable[[Instance], httpx.Request],
        *,
        seconds: float,
        again: bool,
        key: str = "",
        accept: Accept | None = None,
    ) -> Reply:
        """The answer of one instance, whatever its status, within `seconds`.

        `build` makes the request for an instance, once per try. `again` says that doing it twice is like
        doing it once. `accept` belongs to the try: what it raises counts as the connection's failure.
        Raises NoInstance, BrokenOff, DeadlineExceeded or CircuitOpen.
        """
        instances = self._directory.instances(self.service)
        if not instances:
            raise NoInstance(f"no instance of {self.service} is known")
        ids = frozenset(instance.id for instance in instances)
        if self.breaker.state is BreakerState.OPEN and ids - self._known:
            # Somebody new has come; what is known of the others says nothing about them.
            self.breaker.hurry()
        self._known = ids
        permit = self.breaker.enter()
        until = asyncio.get_running_loop().time() + seconds
        try:
            reply = await self._first_answer(self.balancer.order(instances, key), build, again, accept, until)
        except (NoInstance, BrokenOff, DeadlineExceeded):
            permit.failed()
            raise
        else:
            permit.succeeded()
            return reply
        finally:
            permit.abandoned()  # unless it has ended

    async def _first_answer(
        self,
        candidates: list[Instance],
        build: Callable[[Instance], httpx.Request],
        again: bool,
        accept: Accept | None,
        until: float,
    ) -> Reply:
        tries = 1 + (self._retries if again else 0)
        reasons = []
        for instance in candidates:
            try:
                return await self._try(instance, build, accept, until)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                reasons.append(f"{instance.url}: {exc or type(exc).__name__}")
                log.warning("instance unreachable", service=self.service, instance=instance.url, reason=_why(exc))
            except (TimeoutError, httpx.TimeoutException) as exc:
                raise DeadlineExceeded(f"{self.service} at {instance.url} did not answer in time") from exc
            except httpx.TransportError as exc:
                tries -= 1
                reasons.append(f"{instance.url}: {_why(exc)}")
                log.warning("instance broke off", service=self.service, instance=instance.url, reason=_why(exc))
                if not tries:
                    raise BrokenOff(f"{self.service} at {instance.url} broke off: {_why(exc)}") from exc
        raise NoInstance(f"no instance of {self.service} can be reached: {'; '.join(reasons)}")

    async def _try(
        self, instance: Instance, build: Callable[[Instance], httpx.Request], accept: Accept | None, until: float
    ) -> Reply:
        """One instance's answer. TimeoutError when `until`, on the loop's clock, has come."""
        request = build(instance)
        left = max(0.001, until - asyncio.get_running_loop().time())
        connect = min(self._connect_seconds, left)
        # The read limit is also the longest pause within the body, which nobody else watches.
        request.extensions["timeout"] = {"connect": connect, "pool": connect, "read": left, "write": left}
        self.balancer.began(instance)
        outcome = Outcome.ABANDONED
        response = None
        try:
            async with asyncio.timeout_at(until):
                response = await self._transport.handle_async_request(request)
                response.request = request
                reply = Reply(response, instance, self.balancer)
                if accept is not None:
                    await accept(reply)
                return reply
        except (httpx.ConnectError, httpx.ConnectTimeout):
            outcome = Outcome.UNREACHABLE
            raise
        except (httpx.TransportError, TimeoutError):
            outcome = Outcome.FAILED
            raise
        finally:
            if sys.exception() is not None:
                self.balancer.ended(instance, outcome)
                if response is not None:
                    await response.aclose()


def _why(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
