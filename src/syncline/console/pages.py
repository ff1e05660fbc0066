"""The pages: one small function each, rendered by templates that escape whatever they are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from syncline.client.client import ConnectClient
from syncline.client.models import ConnectorStateInfo
from syncline.console.databases import ROWS_A_PAGE, Databases
from syncline.console.topics import RECORDS_A_PAGE, Topics
from syncline.errors import NotFound, SynclineError

LONGEST_CELL: Final = 200
"""Characters of a value that a table of rows shows."""

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, kw_only=True)
class Places:
    """What the console looks at; what is None has no part on the pages."""

    databases: Databases
    topics: Topics | None = None
    connect: Callable[[], ConnectClient] | None = None
    """Makes a client for one request."""
    links: Sequence[tuple[str, str]] = field(default=())
    """Names and addresses of other pages."""


class Console:
    """Answers GET and HEAD only."""

    def __init__(self, places: Places) -> None:
        self._places = places
        loader = PackageLoader("syncline.console", "templates")
        self._templates = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters |= {"cell": _cell, "path": lambda text: quote(str(text), safe="")}
        style = loader.get_source(self._templates, "style.css")[0]
        self.app = Starlette(
            routes=[
                Route("/", self.overview),
                Route("/style.css", lambda _: Response(style, media_type="text/css", headers=_HEADERS)),
                Route("/databases/{database}", self.tables),
                Route("/databases/{database}/{table:path}", self.rows),
                Route("/topics/{topic}", self.records),
            ],
            exception_handlers={SynclineError: self._failed, HTTPException: self._failed},
        )

    # -- pages; plain functions, which Starlette runs in threads -------------------------------

    def overview(self, request: Request) -> Response:
        places = self._places
        return self._page(
            "overview.html",
            databases=[
                (name, url, *_attempt(lambda name=name: places.databases.tables(name)))  # type: ignore[misc]
                for name, url in places.databases.shown.items()
            ],
            topics=None if places.topics is None else _attempt(places.topics.all),
            connectors=None if places.connect is None else _attempt(self._connectors),
            links=places.links,
        )

    def tables(self, request: Request) -> Response:
        name = request.path_params["database"]
        found = self._places.databases.tables(name)
        return self._page("database.html", database=name, url=self._places.databases.shown[name], tables=found)

    def rows(self, request: Request) -> Response:
        database, table = request.path_params["database"], request.path_params["table"]
        first = _number(request, "first", 0)
        page = self._places.databases.rows(database, table, first)
        before = max(first - ROWS_A_PAGE, 0) if first else None
        after = first + ROWS_A_PAGE if page.more else None
        return self._page("table.html", database=database, table=table, page=page, before=before, after=after)

    def records(self, request: Request) -> Response:
        topics, topic = self._places.topics, request.path_params["topic"]
        if topics is None:
            raise NotFound("This console knows no Kafka cluster")
        partitions = topics.partitions(topic)
        number = _number(request, "partition", _fullest(partitions))
        if number >= len(partitions):
            raise NotFound(f"Topic {topic} has {len(partitions)} partitions, counted from 0")
        partition = partitions[number]
        first = max(_number(request, "first", partition.end - RECORDS_A_PAGE), partition.first)
        found = topics.records(topic, partition, first)
        before = max(first - RECORDS_A_PAGE, partition.first) if first > partition.first else None
        after = found[-1].offset + 1 if found and found[-1].offset + 1 < partition.end else None
        return self._page(
            "topic.html",
            topic=topic,
            partitions=partitions,
            partition=partition,
            records=found,
            before=before,
            after=after,
        )

    # -- parts --------------------------------------------------------------------------------

    def _connectors(self) -> list[ConnectorStateInfo]:
        assert self._places.connect is not None
        with self._places.connect() as client:
            return [status for _, status in sorted(client.statuses().items())]

    def _failed(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404 if isinstance(error, NotFound) else 503
        text = error.detail if isinstance(error, HTTPException) else str(error)
        return self._page("error.html", status=status, text=text)

    def _page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        text = self._templates.get_template(template).render(status=status, **values)
        return HTMLResponse(text, status, headers=_HEADERS)


def _attempt(look: Callable[[], Any]) -> tuple[Any, str]:
    """What there is, or why that cannot be said: one thing that is away must not hide the others."""
    try:
        return look(), ""
    except SynclineError as exc:
        return [], str(exc)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    # Longer numbers than offsets have would be an error of the database or the client library.
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise HTTPException(400, f"{name} must be a whole number, and {text[:40]!r} is none")
    return int(text)


def _fullest(partitions: Sequence[Any]) -> int:
    """The number of the partition with the most records: a page that opens on an empty one shows nothing."""
    return max(range(len(partitions)), key=lambda number: partitions[number].end - partitions[number].first)


def _cell(value: Any) -> str:
    text = value.hex(" ") if isinstance(value, bytes | bytearray | memoryview) else str(value)
    return text if len(text) <= LONGEST_CELL else text[:LONGEST_CELL] + " ..."
