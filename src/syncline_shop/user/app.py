"""The user service's HTTP interface. The gateway takes `/user-service` off the front of its paths."""

from __future__ import annotations

import asyncio
import math
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from syncline.kit.auth import Claims, Passwords, SigningKey, Tokens
from syncline.kit.auth.tokens import ADMIN, unauthorized
from syncline.kit.db import Database
from syncline.kit.discovery.instances import FixedDirectory
from syncline.kit.problems import Problem
from syncline.kit.service import Service, run
from syncline_shop.user.domain import User, mail_address, same_mailbox
from syncline_shop.user.orders import SERVICE, OrderClient, shown
from syncline_shop.user.settings import PartialStyle, UserSettings
from syncline_shop.user.store import TABLES, LoginAttempts, RefreshTokens, UserStore
from syncline_shop.user.views import PRINTABLE, Credentials, NewUser, Refresh

Authorization = Annotated[str, Header()]
UserId = Annotated[str, Path(min_length=1, max_length=50, pattern=PRINTABLE)]

_KEYS_SECONDS = 300


def main() -> int:
    """Run one instance until SIGTERM."""
    return run(UserSettings, build)


def build(settings: UserSettings, passwords: Passwords | None = None) -> Service:
    """The service with its database, its key, and its way to the order service."""
    svc = Service("user-service", settings)
    database = svc.during(Database(settings.database_url.get_secret_value(), TABLES))
    svc.ready_when("database", database.check)
    fixed = FixedDirectory({SERVICE: [str(url) for url in settings.order_urls]}) if settings.order_urls else None
    orders = OrderClient(svc.client(SERVICE, timeout=settings.order_seconds, retries=1, directory=fixed))
    svc.app.include_router(Users(settings, database, orders, passwords or Passwords()).router)
    return svc


class Users:
    """The routes."""

    def __init__(self, settings: UserSettings, database: Database, orders: OrderClient, passwords: Passwords) -> None:
        self._settings = settings
        self._store = UserStore(database)
        self._attempts = LoginAttempts(database, settings.login_attempts, settings.login_window_seconds)
        self._orders = orders
        self._key = SigningKey.in_folder(settings.data_folder)
        self._passwords = passwords
        self._tokens = Tokens(
            self._key,
            issuer=settings.token_issuer,
            audience=settings.token_audience,
            seconds=settings.token_seconds,
        )
        self._refresh = RefreshTokens(database, settings.refresh_days)
        self._admins = {same_mailbox(email) for email in settings.admins}
        self.router = APIRouter(tags=["users"])
        add = self.router.add_api_route
        add("/welcome", self.welcome, response_class=PlainTextResponse)
        add("/health-check", self.health_check, response_class=PlainTextResponse)
        add("/.well-known/jwks.json", self.keys)
        add("/users", self.sign_up, methods=["POST"], status_code=201)
        add("/login", self.login, methods=["POST"])
        add("/token/refresh", self.refresh, methods=["POST"])
        add("/users", self.all)
        add("/users/{user_id}", self.one)

    async def welcome(self) -> str:
        """A greeting."""
        return "Welcome to the Simple E-Commerce(User Service)."

    async def health_check(self, request: Request) -> str:
        """Which instance answered, for people who watch a balancer."""
        return f"It's working in user service on port: {request.scope['server'][1]}"

    async def keys(self, response: Response) -> dict[str, Any]:
        """The public keys that check our tokens."""
        response.headers["Cache-Control"] = f"public, max-age={_KEYS_SECONDS}"
        return self._key.jwks()

    async def sign_up(self, body: NewUser, response: Response) -> dict[str, Any]:
        """Become a user; an address that has one already is a 409."""
        user = User(
            user_id=str(uuid.uuid4()),
            email=body.email,
            name=body.name,
            password_hash=await self._passwords.hash(body.password.get_secret_value()),
            created_at=datetime.now(UTC),
        )
        if not await asyncio.to_thread(self._store.add, user):
            raise Problem(409, "EMAIL_TAKEN", "this e-mail address has signed up before; sign in with it")
        response.headers["Location"] = f"/user-service/users/{user.user_id}"
        return {**_public(user), "orders": []}

    async def login(self, body: Credentials, response: Response) -> dict[str, Any]:
        """A token for a password: in the header `token`, with `userId`, and in the body.

        A wrong address and a wrong password get the same answer after the same time.
        """
        wait = await asyncio.to_thread(self._attempts.begin, body.email, datetime.now(UTC))
        if wait > 0:
            seconds = str(math.ceil(wait))
            detail = f"too many wrong logins for this address; try again in {seconds} s"
            raise Problem(429, "TOO_MANY_LOGINS", detail, headers={"Retry-After": seconds})
        user = await asyncio.to_thread(self._known, body.email)
        stored = None if user is None else user.password_hash
        right = await self._passwords.check(stored, body.password.get_secret_value())
        if user is None or not right:
            raise unauthorized("the e-mail address or the password is wrong", code="BAD_CREDENTIALS")
        await asyncio.to_thread(self._attempts.succeeded, body.email)
        refresh_token = await asyncio.to_thread(self._refresh.issue, user.user_id, datetime.now(UTC))
        return self._signed_in(user, refresh_token, response)

    async def refresh(self, body: Refresh, response: Response) -> dict[str, Any]:
        """The answer of a login, for the refresh token of the last answer, which ends with that."""
        now = datetime.now(UTC)
        found = await asyncio.to_thread(self._refresh.exchange, body.refresh_token.get_secret_value(), now)
        user = await asyncio.to_thread(self._store.get, found[0]) if found is not None else None
        if user is None or found is None:
            raise unauthorized(
                "this refresh token is not good, or was used before: sign in again", code="SIGN_IN_AGAIN"
            )
        return self._signed_in(user, found[1], response)

    def _signed_in(self, user: User, refresh_token: str, response: Response) -> dict[str, Any]:
        roles = [ADMIN] if same_mailbox(user.email) in self._admins else []
        token = self._tokens.issue(user.user_id, roles)
        response.headers.update({"token": token, "userId": user.user_id, "Cache-Control": "no-store"})
        return {
            "token": token,
            "tokenType": "Bearer",
            "expiresIn": self._tokens.seconds,
            "refreshToken": refresh_token,
            "userId": user.user_id,
        }

    def _known(self, email: str) -> User | None:
        try:
            return self._store.with_email(mail_address(email))
        except ValueError:
            return None

    async def all(
        self,
        response: Response,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 100,
        authorization: Authorization = "",
    ) -> list[dict[str, Any]]:
        """Everybody, in the order they signed up, without orders; the header `Link` leads to the next page."""
        self._caller(authorization)
        found = await asyncio.to_thread(self._store.page, page, size)
        if len(found) == size:
            response.headers["Link"] = f'<?page={page + 1}&size={size}>; rel="next"'
        return [_public(user) for user in found]

    async def one(self, user_id: UserId, response: Response, authorization: Authorization = "") -> dict[str, Any]:
        """A user with the newest orders; when those cannot be had, the answer says so."""
        caller = self._caller(authorization)
        user = await asyncio.to_thread(self._store.get, user_id)
        if user is None:
            raise Problem(404, "USER_NOT_FOUND", f"there is no user {user_id}")
        if not caller.may_see(user_id):
            raise Problem(403, "NOT_YOURS", "this token is for another user")
        orders = await self._orders.of(user_id, authorization)
        if orders.found is not None:
            more = {} if orders.more is None else {"moreOrders": orders.more}
            return {**_public(user), "orders": shown(orders), **more}
        response.headers["X-Partial"] = SERVICE
        if self._settings.partial_style is PartialStyle.EMPTY:
            return {**_public(user), "orders": []}
        errors = [{"service": SERVICE, "code": orders.error}]
        return {**_public(user), "orders": None, "partial": True, "errors": errors}

    def _caller(self, authorization: str) -> Claims:
        return self._tokens.check(authorization)


def _public(user: User) -> dict[str, Any]:
    return {"email": user.email, "name": user.name, "userId": user.user_id}
