"""`/connectors`: what runs, how it is configured, how it is changed (spec/connect.md 1.4 to 1.6)."""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import quote

from syncline.client.models import ConnectorInfo
from syncline.cluster.herder import Herder, Target
from syncline.rest.http import ACCEPTED, NO_CONTENT, Request, Response, Route, route
from syncline.rest.params import config_of, create_request

log = logging.getLogger(__name__)

_PATH_SAFE: Final = "!$&'()*+,;=:@~"
"""What may stand in a path segment as it is (RFC 3986)."""


class Connectors:
    """Handlers over a herder; the connector's name is always the second segment."""

    def __init__(self, herder: Herder) -> None:
        self._herder = herder

    def routes(self) -> list[Route]:
        herder = self._herder
        return [
            route("/connectors", GET=self._list, POST=self._create),
            route("/connectors/*", GET=lambda r: Response(body=herder.info(r.parts[1])), DELETE=self._delete),
            route("/connectors/*/config", GET=self._config, PUT=self._put_config, PATCH=self._patch_config),
            route("/connectors/*/status", GET=lambda r: Response(body=herder.status(r.parts[1]))),
            route("/connectors/*/tasks", GET=lambda r: Response(body=herder.tasks(r.parts[1])), POST=self._internal),
            route("/connectors/*/fence", PUT=self._internal),
            route("/connectors/*/tasks/#/status", GET=self._task_status),
            route("/connectors/*/tasks/#/restart", POST=self._restart_task),
            route("/connectors/*/restart", POST=self._restart),
            route("/connectors/*/pause", PUT=lambda r: self._turn(r, Target.PAUSED, ACCEPTED)),
            route("/connectors/*/resume", PUT=lambda r: self._turn(r, Target.STARTED, ACCEPTED)),
            route("/connectors/*/stop", PUT=lambda r: self._turn(r, Target.STOPPED, NO_CONTENT)),
        ]

    def _list(self, request: Request) -> Response:
        names = self._herder.connectors()
        wanted = request.query.get("expand")
        if wanted is None:
            return Response(body=names)
        for unknown in sorted(set(wanted) - {"status", "info"}):
            # Refusing it would break clients of other versions, and Kafka Connect does not.
            log.info("ignoring unknown expansion type %r of /connectors", unknown)
        return Response(body=self._herder.expanded(status="status" in wanted, info="info" in wanted))

    def _created(self, request: Request, made: ConnectorInfo) -> Response:
        location = f"{request.base}/connectors/{quote(made.name, safe=_PATH_SAFE)}"
        return Response(201, made, (("location", location),))

    def _create(self, request: Request) -> Response:
        name, config, target = create_request(request.body)
        return self._created(request, self._herder.create(name, config, target))

    def _delete(self, request: Request) -> Response:
        self._herder.delete(request.parts[1])
        return NO_CONTENT

    def _config(self, request: Request) -> Response:
        return Response(body=self._herder.config(request.parts[1]))

    def _put_config(self, request: Request) -> Response:
        created, made = self._herder.put_config(request.parts[1], config_of(request.body))
        return self._created(request, made) if created else Response(body=made)

    def _patch_config(self, request: Request) -> Response:
        return Response(body=self._herder.patch_config(request.parts[1], config_of(request.body)))

    def _internal(self, request: Request) -> Response:
        self._herder.internal_request(request.parts[1])
        return NO_CONTENT

    def _task_status(self, request: Request) -> Response:
        return Response(body=self._herder.task_status(request.parts[1], int(request.parts[3])))

    def _restart_task(self, request: Request) -> Response:
        self._herder.restart_task(request.parts[1], int(request.parts[3]))
        return NO_CONTENT

    def _restart(self, request: Request) -> Response:
        include_tasks, only_failed = request.flag("includeTasks"), request.flag("onlyFailed")
        if include_tasks or only_failed:
            body = self._herder.restart_parts(request.parts[1], include_tasks=include_tasks, only_failed=only_failed)
            return Response(202, body)
        self._herder.restart(request.parts[1])
        return NO_CONTENT

    def _turn(self, request: Request, target: Target, answer: Response) -> Response:
        self._herder.set_target(request.parts[1], target)
        return answer
