"""The worker itself: root, health, metrics, loggers (spec/connect.md 1.3, 1.9)."""

from __future__ import annotations

import logging
from typing import Final

from syncline.client.models import Health
from syncline.cluster.herder import Herder
from syncline.rest.http import NO_CONTENT, Request, Response, Route, route
from syncline.rest.params import level_of

log = logging.getLogger(__name__)

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"

_HEALTHY: Final = "Worker has completed startup and is ready to handle requests."
_STARTING: Final = "Worker is still starting up."
_UNHEALTHY: Final = "Worker was unable to handle this request and may be unable to handle other requests."


class Admin:
    """Handlers over a herder; `/health` waits at most `health_seconds` for it."""

    def __init__(self, herder: Herder, health_seconds: float) -> None:
        self._herder = herder
        self._health_seconds = health_seconds

    def worker_routes(self) -> list[Route]:
        """What every listener has."""
        return [
            route("/", at_once=True, GET=lambda r: Response(body=self._herder.root())),
            route("/health", at_once=True, GET=self._health),
            route("/metrics", at_once=True, produces=PROMETHEUS, GET=self._metrics),
        ]

    def logger_routes(self) -> list[Route]:
        """What `admin.listeners` may move to listeners of their own."""
        return [
            route("/admin/loggers", GET=lambda r: Response(body=self._herder.loggers())),
            route(
                "/admin/loggers/*", GET=lambda r: Response(body=self._herder.logger(r.parts[2])), PUT=self._set_level
            ),
        ]

    def _health(self, request: Request) -> Response:
        herder = self._herder
        if not herder.wait_ready(self._health_seconds):
            return Response(503, Health("starting", self._with_stage(_STARTING)))
        if not herder.responds(self._health_seconds):
            return Response(500, Health("unhealthy", self._with_stage(_UNHEALTHY)))
        return Response(body=Health("healthy", _HEALTHY))

    def _with_stage(self, text: str) -> str:
        return " ".join(filter(None, (text, self._herder.progress.text())))

    def _metrics(self, request: Request) -> Response:
        return Response(body=self._herder.metrics().encode(), content_type=PROMETHEUS)

    def _set_level(self, request: Request) -> Response:
        name, level = request.parts[2], level_of(request.body)
        scope = (request.parameter("scope") or "worker").lower()
        if scope == "cluster":
            self._herder.set_cluster_logger(name, level)
            return NO_CONTENT
        if scope != "worker":
            log.warning("unknown scope %r of a log level; it is set on this worker only", scope)
        return Response(body=self._herder.set_logger(name, level))
