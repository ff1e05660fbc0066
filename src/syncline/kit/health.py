"""Is the process alive, and should it get traffic? Two questions, two addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from fastapi import APIRouter

from syncline.errors import SynclineError
from syncline.kit.problems import Problem

log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[None]]
"""Returns when all is well; raises a SynclineError that says what is not."""

CHECK_SECONDS = 2.0


class Health:
    """`GET /health/live` answers while the process works; `GET /health/ready` while every check passes.

    `GET /health` is the latter by a shorter name. A service that is stopping is alive but not ready, so
    that balancers stop sending first.
    """

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}
        self.stopping = False
        self.router = APIRouter(prefix="/health", tags=["health"])
        self.router.add_api_route("/live", self._live, summary="Is the process alive?")
        for path in ("", "/ready"):
            self.router.add_api_route(path, self._ready, summary="Should it get traffic?")

    async def is_ready(self) -> bool:
        """Whether it should get traffic."""
        return not self.stopping and all(text == "UP" for text in (await self._ask_all()).values())

    async def _live(self) -> dict[str, str]:
        return {"status": "UP"}

    async def _ready(self) -> dict[str, Any]:
        if self.stopping:
            raise Problem(503, "STOPPING", "this instance is about to stop")
        found = await self._ask_all()
        if any(text != "UP" for text in found.values()):
            detail = "; ".join(f"{name}: {text}" for name, text in found.items() if text != "UP")
            raise Problem(503, "NOT_READY", detail, checks=found)
        return {"status": "UP", "checks": found}

    async def _ask_all(self) -> dict[str, str]:
        texts = await asyncio.gather(*(self._ask(check) for check in self.checks.values()))
        return dict(zip(self.checks, texts, strict=True))

    async def _ask(self, check: Check) -> str:
        try:
            await asyncio.wait_for(check(), CHECK_SECONDS)
        except SynclineError as exc:
            return str(exc)
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:g} s"
        return "UP"
