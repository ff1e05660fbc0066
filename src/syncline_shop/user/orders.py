"""A user's orders, as the order service tells them; when it does not, the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import structlog

from syncline.kit.errors import Unavailable
from syncline.kit.http.client import ServiceClient

log = structlog.get_logger(__name__)

SERVICE = "order-service"


class OrderSeen(msgspec.Struct, rename="camel", frozen=True):
    """What is passed on of an order; members the order service adds later are left out."""

    product_id: str
    quantity: int
    unit_price: int
    total_price: int
    created_at: str
    order_id: str
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Orders:
    """The newest orders, or None and the reason."""

    found: list[OrderSeen] | None
    error: str = ""
    """A word for programs: `TIMEOUT`, `NO_INSTANCE`, `HTTP_500`, `BAD_ANSWER`..."""
    more: str | None = None
    """Where older ones are, if there are any."""


class OrderClient:
    """Asks the order service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def of(self, user_id: str, authorization: str) -> Orders:
        """Never an error: a user can be shown without orders. `authorization` is the caller's, passed on."""
        path = f"/{SERVICE}/{quote(user_id, safe='')}/orders"
        try:
            answer = await self._client.get(path, headers={"authorization": authorization})
        except Unavailable as exc:
            log.warning("orders unavailable", user_id=user_id, reason=str(exc))
            return Orders(None, exc.code)
        if answer.status_code != 200:
            log.warning("orders unavailable", user_id=user_id, status=answer.status_code)
            return Orders(None, f"HTTP_{answer.status_code}")
        try:
            found = msgspec.json.decode(answer.content, type=list[OrderSeen])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            log.warning("orders unreadable", user_id=user_id, reason=str(exc))
            return Orders(None, "BAD_ANSWER")
        more = answer.links.get("next", {}).get("url")
        return Orders(found, more=None if more is None else str(more))


def shown(orders: Orders) -> list[dict[str, Any]]:
    """The orders as JSON has them."""
    return [msgspec.to_builtins(order) for order in orders.found or ()]
