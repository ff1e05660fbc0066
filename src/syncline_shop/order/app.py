"""The order service's HTTP interface."""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from syncline.kit.auth import ForeignTokens
from syncline.kit.db import Database
from syncline.kit.discovery.instances import FixedDirectory
from syncline.kit.errors import Unavailable
from syncline.kit.messages import Listener, Listens, Outbox, Relay, TopicCheck, TransactionalProducer
from syncline.kit.problems import Problem
from syncline.kit.service import Service, run
from syncline_shop.contracts import ORDER_COPIES, ORDERS, STOCK_DECISIONS, STOCK_ORDERS
from syncline_shop.order.domain import Order, TotalTooLarge
from syncline_shop.order.handlers import order_heard, stock_decided
from syncline_shop.order.idempotency import Claim, IdempotencyKeys, State, Verdict, fingerprint
from syncline_shop.order.settings import OrderSettings, WriteMode
from syncline_shop.order.store import INBOX, INBOX_TABLES, OUTBOX, OUTBOX_TABLES, TABLES, OrderStore
from syncline_shop.order.views import PRINTABLE, NewOrder, OrderView
from syncline_shop.order.writers import OrderWriter, OutboxWriter, RowWriter, TopicWriter

UserId = Annotated[str, Path(min_length=1, max_length=50, pattern=PRINTABLE)]

MAX_WAIT_SECONDS = 10
_ISSUER = "user-service"
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,5})\b")


def main() -> int:
    """Run one instance until SIGTERM."""
    return run(OrderSettings, build)


def build(settings: OrderSettings) -> Service:
    """The service with its database, and what its write mode needs."""
    svc = Service("order-service", settings)
    database = svc.during(
        Database(settings.database_url.get_secret_value(), TABLES, *_MORE_TABLES[settings.write_mode])
    )
    svc.ready_when("database", database.check)
    store = OrderStore(database)
    keys = IdempotencyKeys(database, timedelta(milliseconds=settings.delivery_ms))
    writer = _writer(svc, settings, database, store)
    if settings.write_mode is not WriteMode.PRIVATE:
        svc.ready_when("listener", svc.during(_listener(svc, settings, database)).check)
    svc.app.include_router(Orders(store, keys, writer, _tokens(svc, settings)).router)
    return svc


def _tokens(svc: Service, settings: OrderSettings) -> ForeignTokens | None:
    if not settings.owners_only:
        return None
    fixed = FixedDirectory({_ISSUER: [str(url) for url in settings.user_urls]}) if settings.user_urls else None
    issuing = svc.client(_ISSUER, timeout=2, directory=fixed)
    return ForeignTokens(issuing, issuer=settings.token_issuer, audience=settings.token_audience)


_MORE_TABLES = {
    WriteMode.PRIVATE: (),
    WriteMode.CONNECT: (INBOX_TABLES,),
    WriteMode.OUTBOX: (INBOX_TABLES, OUTBOX_TABLES),
    WriteMode.REPLICATE: (INBOX_TABLES,),
}


def _writer(svc: Service, settings: OrderSettings, database: Database, store: OrderStore) -> OrderWriter:
    servers = settings.bootstrap_servers
    stock = replace(STOCK_ORDERS, name=settings.stock_topic)
    match settings.write_mode:
        case WriteMode.PRIVATE:
            return RowWriter(store)
        case WriteMode.OUTBOX:
            topics = svc.during(TopicCheck(servers, [stock], readers_after=settings.readers_after_seconds))
            outbox = Outbox(OUTBOX)
            relay = Relay(
                servers,
                name=svc.name,
                database=database,
                outbox=outbox,
                topics=topics,
                registry=svc.metrics.registry,
            )
            svc.ready_when("outbox", svc.during(relay).check)
            return OutboxWriter(store, outbox, relay, stock)
    topics = TopicCheck(servers, [ORDERS, stock], readers_after=settings.readers_after_seconds)
    producer = TransactionalProducer(
        servers,
        transactional_id=settings.transactional_id or f"order-service-{uuid.uuid4()}",
        delivery_ms=settings.delivery_ms,
    )
    return TopicWriter(svc.during(producer), svc.during(topics), stock, settings.delivery_ms / 1000)


def _listener(svc: Service, settings: OrderSettings, database: Database) -> Listener:
    """Hears what the catalog decided, and in mode replicate the orders of all instances."""
    hears: list[Listens[Any]] = [Listens(replace(STOCK_DECISIONS, name=settings.decisions_topic), stock_decided)]
    group = svc.name
    if settings.write_mode is WriteMode.REPLICATE:
        hears.append(Listens(ORDER_COPIES, order_heard))
        group += f"-{hashlib.sha256(database.shown.encode()).hexdigest()[:12]}"
    return Listener(
        settings.bootstrap_servers,
        group=settings.group or group,
        database=database,
        inbox=INBOX,
        listens=hears,
    )


class Orders:
    """The routes."""

    def __init__(
        self, store: OrderStore, keys: IdempotencyKeys, writer: OrderWriter, tokens: ForeignTokens | None = None
    ) -> None:
        """With `tokens` a user's orders are for that user and for administrators, else for everybody."""
        self._store = store
        self._keys = keys
        self._writer = writer
        self._tokens = tokens
        self.router = APIRouter(prefix="/order-service", tags=["orders"])
        add = self.router.add_api_route
        add("/health-check", self.health_check, response_class=PlainTextResponse)
        # Members that say nothing, such as the reason of an order that was not rejected, are left out.
        for_owners: dict[str, Any] = {"dependencies": [Depends(self.allowed)], "response_model_exclude_none": True}
        add("/{user_id}/orders", self.place, methods=["POST"], status_code=201, response_model=OrderView, **for_owners)
        add("/{user_id}/orders", self.newest, response_model=list[OrderView], **for_owners)
        add("/{user_id}/orders/{order_id}", self.one, response_model=OrderView, **for_owners)

    async def health_check(self, request: Request) -> str:
        """Which instance answered, for people who watch a balancer."""
        return f"It's working in order service on port: {request.scope['server'][1]}"

    async def allowed(self, user_id: UserId, authorization: Annotated[str, Header()] = "") -> None:
        """A Problem with 401 or 403 unless the caller may see this user's orders."""
        if self._tokens is not None and not (await self._tokens.check(authorization)).may_see(user_id):
            raise Problem(403, "NOT_YOURS", "this token is for another user")

    async def place(
        self,
        request: Request,
        user_id: UserId,
        body: NewOrder,
        response: Response,
        prefer: Annotated[str, Header(description="`wait=5` waits until the row is there")] = "",
        idempotency_key: Annotated[
            str, Header(max_length=200, description="the same request sent again under it is the same order")
        ] = "",
    ) -> OrderView:
        """Take an order. Where its row follows later, `Location` tells when it is there."""
        try:
            order = Order.place(order_id=str(uuid.uuid4()), user_id=user_id, now=datetime.now(UTC), **body.model_dump())
        except TotalTooLarge as exc:
            raise Problem(422, "TOTAL_TOO_LARGE", str(exc)) from exc
        claim = await self._claim(order, idempotency_key)
        order = replace(order, order_id=claim.order_id, created_at=claim.created_at)
        response.headers["Location"] = f"/order-service/{quote(user_id, safe='')}/orders/{order.order_id}"
        if claim.verdict is Verdict.REPLAY:
            response.headers["Idempotent-Replay"] = "true"
            found = await asyncio.to_thread(self._store.get, user_id, order.order_id)
            return OrderView.of(found or order, synced=found is not None)
        try:
            synced = await self._writer.write(order, request.state.trace_id)
        except Unavailable:
            await self._settle(order, idempotency_key, State.FREE)
            raise
        await self._settle(order, idempotency_key, State.DONE)
        return OrderView.of(order, synced=synced or await self._wait(order, prefer, response))

    async def _claim(self, order: Order, key: str) -> Claim:
        if not key:
            return Claim(Verdict.GO_ON, order.order_id, order.created_at)
        body = fingerprint(order.product_id, order.quantity, order.unit_price)
        claim = await asyncio.to_thread(self._keys.claim, order.user_id, key, body, order.order_id, order.created_at)
        if claim.verdict is Verdict.OTHER_BODY:
            raise Problem(422, "IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was sent with another order before")
        if claim.verdict is Verdict.BUSY:
            detail = "a request with this Idempotency-Key is being worked on"
            raise Problem(409, "IN_PROGRESS", detail, headers={"Retry-After": "1"})
        return claim

    async def _settle(self, order: Order, key: str, state: State) -> None:
        if key:
            await asyncio.to_thread(self._keys.settle, order.user_id, key, state)

    async def _wait(self, order: Order, prefer: str, response: Response) -> bool:
        """Whether the row is there; waits for it as long as the caller prefers (RFC 7240)."""
        wanted = _WAIT.search(prefer)
        if wanted is None:
            return False
        seconds = min(int(wanted[1]), MAX_WAIT_SECONDS)
        response.headers["Preference-Applied"] = f"wait={seconds}"
        try:
            async with asyncio.timeout(seconds):
                # Another process makes the row; asking is the only way to know.
                while await asyncio.to_thread(self._store.get, order.user_id, order.order_id) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    async def one(self, user_id: UserId, order_id: str) -> OrderView:
        """One order; `synced` is false while only this instance knows it."""
        found = await asyncio.to_thread(self._store.get, user_id, order_id)
        if found is None:
            if pending := self._writer.pending(user_id, order_id):
                return OrderView.of(await asyncio.to_thread(self._store.decided, pending), synced=False)
            raise _unknown(order_id)
        self._writer.seen(order_id)
        return OrderView.of(found, synced=True)

    async def newest(
        self,
        request: Request,
        response: Response,
        user_id: UserId,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        before: Annotated[str | None, Query(description="an order id: the page after it")] = None,
    ) -> list[OrderView]:
        """The user's orders, newest first; the header `Link` leads to the next page."""
        last = None
        if before is not None:
            last = await asyncio.to_thread(self._store.get, user_id, before)
            if last is None:
                raise _unknown(before)
        found = await asyncio.to_thread(self._store.newest, user_id, limit + 1, last)
        if len(found) > limit:
            query = f"limit={limit}&before={found[limit - 1].order_id}"
            response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
        return [OrderView.of(order, synced=True) for order in found[:limit]]


def _unknown(order_id: str) -> Problem:
    return Problem(404, "ORDER_NOT_FOUND", f"this user has no order {order_id}")
