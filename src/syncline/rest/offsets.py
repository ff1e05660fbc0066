"""Offsets and topics of a connector (spec/connect.md 1.7)."""

from __future__ import annotations

from syncline.client.models import ActiveTopics, ConnectorOffsets, Message
from syncline.cluster.herder import Herder
from syncline.rest.http import ACCEPTED, Request, Response, Route, route
from syncline.rest.params import offsets_request


class Offsets:
    """Handlers over a herder; the connector's name is always the second segment."""

    def __init__(self, herder: Herder) -> None:
        self._herder = herder

    def routes(self) -> list[Route]:
        return [
            route("/connectors/*/offsets", GET=self._offsets, PATCH=self._alter, DELETE=self._reset),
            route("/connectors/*/topics", GET=self._topics),
            route("/connectors/*/topics/reset", PUT=self._reset_topics),
        ]

    def _offsets(self, request: Request) -> Response:
        return Response(body=ConnectorOffsets(self._herder.offsets(request.parts[1])))

    def _alter(self, request: Request) -> Response:
        return Response(body=Message(self._herder.alter_offsets(request.parts[1], offsets_request(request.body))))

    def _reset(self, request: Request) -> Response:
        return Response(body=Message(self._herder.reset_offsets(request.parts[1])))

    def _topics(self, request: Request) -> Response:
        name = request.parts[1]
        return Response(body={name: ActiveTopics(self._herder.topics(name))})

    def _reset_topics(self, request: Request) -> Response:
        self._herder.reset_topics(request.parts[1])
        return ACCEPTED
