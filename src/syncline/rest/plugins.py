"""`/connector-plugins`: what is installed, its options, and whether a configuration is good (spec/connect.md 1.8)."""

from __future__ import annotations

from syncline.cluster.herder import Herder
from syncline.rest.http import Request, Response, Route, route
from syncline.rest.params import config_of


class Plugins:
    """Handlers over a herder."""

    def __init__(self, herder: Herder) -> None:
        self._herder = herder

    def routes(self) -> list[Route]:
        return [
            route("/connector-plugins", GET=self._list),
            route("/connector-plugins/*/config", GET=self._config),
            route("/connector-plugins/*/config/validate", PUT=self._validate),
        ]

    def _list(self, request: Request) -> Response:
        return Response(body=self._herder.plugins(connectors_only=request.flag("connectorsOnly", default=True)))

    def _config(self, request: Request) -> Response:
        return Response(body=self._herder.plugin_config(request.parts[1], request.parameter("version")))

    def _validate(self, request: Request) -> Response:
        return Response(body=self._herder.validate(request.parts[1], config_of(request.body)))
