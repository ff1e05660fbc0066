"""The catalog service's HTTP interface."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import TypeAdapter

from syncline.kit.db import Database
from syncline.kit.messages import Backoff, Listener, Listens, Outbox, Relay, TopicCheck
from syncline.kit.problems import Problem
from syncline.kit.service import Service, run
from syncline_shop.catalog.domain import Product
from syncline_shop.catalog.handlers import Reservations
from syncline_shop.catalog.settings import CatalogSettings
from syncline_shop.catalog.store import INBOX, OUTBOX, TABLES, CatalogStore
from syncline_shop.catalog.views import NewStock, ProductView, ReservationView
from syncline_shop.contracts import STOCK_DECISIONS, STOCK_ORDERS

# Control characters have no business in an id, and PostgreSQL refuses NUL in any text.
_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
ProductId = Annotated[str, Path(min_length=1, max_length=120, pattern=_PRINTABLE)]
Tags = Annotated[str, Header()]

_LIST = TypeAdapter(list[ProductView])
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def main() -> int:
    """Run one instance until SIGTERM."""
    return run(CatalogSettings, build)


def build(settings: CatalogSettings) -> Service:
    """The service with its database, the listener that takes stock, and the relay that says what was decided."""
    svc = Service("catalog-service", settings)
    database = svc.during(Database(settings.database_url.get_secret_value(), TABLES))
    svc.ready_when("database", database.check)
    decisions = replace(STOCK_DECISIONS, name=settings.decisions_topic)
    outbox = Outbox(OUTBOX)
    relay = Relay(
        settings.bootstrap_servers,
        # Instances with another database are another group, and publish what is in theirs.
        name=settings.group,
        database=database,
        outbox=outbox,
        topics=svc.during(TopicCheck(settings.bootstrap_servers, [decisions])),
        registry=svc.metrics.registry,
    )
    svc.ready_when("outbox", svc.during(relay).check)
    stock = replace(STOCK_ORDERS, name=settings.stock_topic)
    reservations = Reservations(outbox, decisions, check_prices=settings.check_prices)
    listener = Listener(
        settings.bootstrap_servers,
        group=settings.group,
        database=database,
        inbox=INBOX,
        listens=[Listens(stock, reservations.order_placed)],
        retry=Backoff(attempts=settings.retry_attempts),
        commit_seconds=settings.commit_seconds,
    )
    svc.ready_when("listener", svc.during(listener).check)
    svc.app.include_router(Catalogs(CatalogStore(database)).router)
    return svc


class Catalogs:
    """The routes."""

    def __init__(self, store: CatalogStore) -> None:
        self._store = store
        self.router = APIRouter(prefix="/catalog-service", tags=["catalogs"])
        add = self.router.add_api_route
        add("/health-check", self.health_check, response_class=PlainTextResponse)
        add("/catalogs", self.all, response_model=list[ProductView])
        add("/catalogs/{product_id}", self.one, response_model=ProductView)
        add("/catalogs/{product_id}/stock", self.set_stock, methods=["PUT"], response_model=ProductView)
        add("/reservations/{order_id}", self.reservation, response_model=ReservationView)

    async def health_check(self, request: Request) -> str:
        """Which instance answered, for people who watch a balancer."""
        return f"It's working in catalog service on Port: {request.scope['server'][1]}"

    async def all(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        after: Annotated[str | None, Query(max_length=120, pattern=_PRINTABLE)] = None,
        if_none_match: Tags = "",
    ) -> Response:
        """The products in the order of their ids; the header `Link` leads to the next page."""
        found = await asyncio.to_thread(self._store.page, limit + 1, after)
        shown = found[:limit]
        answer = _tagged(_LIST.dump_json([ProductView.of(product) for product in shown], by_alias=True), if_none_match)
        if len(found) > limit:
            query = f"limit={limit}&after={quote(shown[-1].product_id, safe='')}"
            answer.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
        return answer

    async def one(self, product_id: ProductId, if_none_match: Tags = "") -> Response:
        """One product; with its ETag in `If-None-Match` a 304 as long as nothing changed."""
        return _tagged(_json(await self._known(product_id)), if_none_match)

    async def set_stock(self, product_id: ProductId, body: NewStock, if_match: Tags = "") -> Response:
        """Set the stock; with an ETag in `If-Match` only if the product is still as it was then."""
        before = await self._known(product_id)
        if if_match and not _matches(if_match, _etag(_json(before))):
            raise _changed(product_id)
        expected = before.stock if if_match and if_match.strip() != "*" else None
        after = await asyncio.to_thread(self._store.set_stock, product_id, body.stock, instead_of=expected)
        if after is None:
            raise _changed(product_id)
        return _tagged(_json(after), "")

    async def reservation(self, order_id: Annotated[str, Path(max_length=200, pattern=_PRINTABLE)]) -> ReservationView:
        """What was decided about an order: RESERVED, or REJECTED with the reason."""
        found = await asyncio.to_thread(self._store.reservation, order_id)
        if found is None:
            raise Problem(404, "RESERVATION_NOT_FOUND", f"nothing is decided about the order {order_id}")
        return ReservationView.of(found)

    async def _known(self, product_id: str) -> Product:
        found = await asyncio.to_thread(self._store.get, product_id)
        if found is None:
            raise Problem(404, "PRODUCT_NOT_FOUND", f"there is no product {product_id}")
        return found


def _changed(product_id: str) -> Problem:
    return Problem(412, "PRODUCT_CHANGED", f"the product {product_id} is not as If-Match has it; read it again")


def _json(product: Product) -> bytes:
    return ProductView.of(product).model_dump_json(by_alias=True).encode()


def _tagged(body: bytes, if_none_match: str) -> Response:
    """The body with its ETag, or a 304 for a caller who has it."""
    tag = _etag(body)
    if _matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag, "Cache-Control": "no-cache"})


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def _matches(tags: str, tag: str) -> bool:
    """Whether `tag` is among those of a header, or the header is `*` (RFC 9110, 13.1)."""
    return tags.strip() == "*" or tag in _TAG.findall(tags)
