"""The registry's list, kept up to date in the background and readable at any time.

Our registry holds a request open until something changes (`after` and `wait`), so that callers learn
of it at once. A plain Eureka server ignores that and is asked every few seconds instead.

A registry that does not answer changes nothing: the last list stays. One that has just been started
knows nobody yet; whoever it does not list stays too, until a lease has passed in which they had time
to register again. Those who are really gone are found out by the balancer.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import httpx
import structlog

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.kit.discovery.eureka import MalformedInstance, parse_applications
from syncline.kit.discovery.instances import Instance, Status

log = structlog.get_logger(__name__)

VERSION_HEADER: Final = "Registry-Version"
"""`<life>.<count>`: which life of the registry, and how many changes it has seen."""
WAIT_SECONDS: Final = 25
_ANSWER_SECONDS: Final = 3
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is known, as a value; `then` makes the next from an answer of the registry."""

    version: str = ""
    instances: tuple[Instance, ...] = ()
    """In the order of their ids."""
    kept_until: Mapping[str, float] = field(default_factory=dict)
    """Ids that a restarted registry has not listed yet, and how long they are believed in."""

    def then(self, version: str, listed: Sequence[Instance], now: float) -> Listing:
        """The listing after the registry said `listed`."""
        ids = {instance.id for instance in listed}
        urls = {instance.url for instance in listed}
        missing = [old for old in self.instances if old.id not in ids and old.url not in urls]
        restarted = self.version != "" and _life(version) != _life(self.version)
        kept = {
            old.id: now + old.lease_seconds if restarted else self.kept_until.get(old.id, -math.inf) for old in missing
        }
        kept = {id_: until for id_, until in kept.items() if until > now}
        stay = [old for old in missing if old.id in kept]
        return Listing(version, tuple(sorted([*listed, *stay], key=lambda instance: instance.id)), kept)

    def up(self, service: str, now: float) -> tuple[Instance, ...]:
        """The instances of `service` that take requests."""
        return tuple(
            instance
            for instance in self.instances
            if instance.service == service
            and instance.status is Status.UP
            and self.kept_until.get(instance.id, math.inf) > now
        )


def _life(version: str) -> str:
    return version.partition(".")[0]


class RegistryDirectory:
    """A Directory fed by a registry; open it with `async with`, which waits for the first answer, not long."""

    def __init__(self, url: str, *, poll_seconds: float = 5, clock: Clock = SYSTEM_CLOCK) -> None:
        """`url` is what Eureka's clients call a service URL: `http://127.0.0.1:8761/eureka`."""
        self._url = url.rstrip("/")
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._http = httpx.AsyncClient(headers={"accept": "application/json"}, timeout=_ANSWER_SECONDS)
        self._listing = Listing()
        self._asked = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def instances(self, service: str) -> Sequence[Instance]:
        return self._listing.up(service.lower(), self._clock.monotonic())

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._asked.wait()
        except TimeoutError:
            log.warning("registry silent", registry=self._url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watching is not None
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._http.aclose()

    async def _watch(self) -> None:
        failures = 0
        while True:
            try:
                pause = await self._ask()
            except (httpx.HTTPError, MalformedInstance) as exc:
                if failures == 0:
                    log.warning("registry lost", registry=self._url, reason=str(exc) or type(exc).__name__)
                pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
                failures += 1
            else:
                if failures:
                    log.info("registry is back", registry=self._url)
                failures = 0
            self._asked.set()
            # Callers must not all ask in the same moment after a restart.
            await asyncio.sleep(pause * random.uniform(0.75, 1))  # noqa: S311  # spreads load

    async def _ask(self) -> float:
        """Take the registry's next answer; the pause until it may be asked again, in seconds."""
        answer = await self._http.get(
            f"{self._url}/apps/",
            params={"after": self._listing.version, "wait": WAIT_SECONDS},
            timeout=httpx.Timeout(_ANSWER_SECONDS, read=WAIT_SECONDS + _ANSWER_SECONDS),
        )
        answer.raise_for_status()
        version = answer.headers.get(VERSION_HEADER, "")
        listed = [info.seen_by_callers() for info in parse_applications(answer.content)]
        before = self._listing
        self._listing = before.then(version, listed, self._clock.monotonic())
        if before.instances != self._listing.instances:
            log.info("instances", known={i.id: str(i.status) for i in self._listing.instances})
        return 0 if version else self._poll_seconds
