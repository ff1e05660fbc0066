"""The user service over HTTP, with an order service that answers, fails, hangs or is away."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from argon2 import PasswordHasher
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from syncline.kit.auth import Passwords, SigningKey, Tokens
from syncline.kit.db import Database
from syncline_shop.user.app import build
from syncline_shop.user.settings import UserSettings
from syncline_shop.user.store import TABLES, LoginAttempts, RefreshTokens
from tests.servers import free_port

ROY = {"email": "roy@naver.com", "password": "password", "name": "roy"}
ORDER = {
    "productId": "roy-product",
    "quantity": 10,
    "unitPrice": 1000,
    "totalPrice": 10000,
    "createdAt": "2026-01-01T00:00:00.000Z",
    "orderId": "o-1",
    "status": "PENDING",
}


@asynccontextmanager
async def users(folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """One instance, open, with a client; nobody answers for orders unless said otherwise."""
    settings.setdefault("order_urls", [f"http://127.0.0.1:{free_port()}"])
    url = SecretStr(f"sqlite:///{folder / 'users.db'}")
    quick = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    svc = build(UserSettings(database_url=url, data_folder=folder / "data", **settings), quick)
    transport = httpx.ASGITransport(svc.app)
    async with svc.open(), httpx.AsyncClient(transport=transport, base_url="http://user:7") as client:
        yield client


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with users(tmp_path) as client:
        yield client


async def sign_up(http: httpx.AsyncClient, **changes: str) -> dict[str, Any]:
    answer = await http.post("/users", json={**ROY, **changes})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def signed_in(http: httpx.AsyncClient, email: str = ROY["email"]) -> dict[str, str]:
    """The header of a user who has signed in."""
    answer = await http.post("/login", json={"email": email, "password": ROY["password"]})
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.headers['token']}"}


async def test_signing_up_is_answered_as_in_the_tutorial(http: httpx.AsyncClient) -> None:
    answer = await http.post("/users", json=ROY)
    body = answer.json()
    assert answer.status_code == 201
    assert body == {"email": ROY["email"], "name": "roy", "userId": body["userId"], "orders": []}
    assert len(body["userId"]) == 36
    assert answer.headers["location"] == f"/user-service/users/{body['userId']}"


@pytest.mark.parametrize("email", ["roy@naver.com", "Roy@NAVER.com"])
async def test_an_address_signs_up_once_however_it_is_written(http: httpx.AsyncClient, email: str) -> None:
    await sign_up(http)
    again = await http.post("/users", json={**ROY, "email": email})
    assert (again.status_code, again.json()["code"]) == (409, "EMAIL_TAKEN")


async def test_two_who_sign_up_at_once_are_one_user(http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(http.post("/users", json=ROY) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


@pytest.mark.parametrize(
    "change",
    [
        {"email": "roy"},
        {"email": "a@b"},
        {"email": "x" * 250 + "@naver.com"},
        {"email": "roy@naver.com\0"},
        {"email": None},
        {"password": "seven77"},
        {"password": "p" * 129},
        {"password": 12345678},
        {"name": "r"},
        {"name": "r" * 51},
        {"name": "a\0b"},
        {"name": ["roy"]},
    ],
    ids=repr,
)
async def test_what_makes_no_user_is_422_with_the_field(http: httpx.AsyncClient, change: dict[str, Any]) -> None:
    answer = await http.post("/users", json={**ROY, **change})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(change)
    assert "seven77" not in answer.text
    assert "p" * 20 not in answer.text


async def test_bodies_that_cannot_be_read_are_refused(http: httpx.AsyncClient) -> None:
    for path in ("/users", "/login"):
        json_type = {"content-type": "application/json"}
        broken = await http.post(path, content=b'{"email":', headers=json_type)
        assert (broken.status_code, broken.json()["code"]) == (400, "MALFORMED_JSON")
        large = await http.post(path, content=b" " * (1 << 20) + b"{}", headers=json_type)
        assert (large.status_code, large.headers["content-type"]) == (413, "application/problem+json")


async def test_login_answers_with_headers_and_body(http: httpx.AsyncClient) -> None:
    user = await sign_up(http)
    answer = await http.post("/login", json={"email": "ROY@naver.com", "password": ROY["password"]})
    assert answer.status_code == 200
    assert answer.headers["userid"] == user["userId"]
    assert answer.json() == {
        "token": answer.headers["token"],
        "tokenType": "Bearer",
        "expiresIn": 900,
        "refreshToken": answer.json()["refreshToken"],
        "userId": user["userId"],
    }
    assert answer.headers["cache-control"] == "no-store"


async def refreshed(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/token/refresh", json={"refreshToken": token})


async def test_a_refresh_token_is_good_once_and_brings_the_next(http: httpx.AsyncClient) -> None:
    user = await sign_up(http)
    signed = (await http.post("/login", json=ROY)).json()
    again = await refreshed(http, signed["refreshToken"])
    assert again.status_code == 200
    assert again.json().keys() == signed.keys()
    assert again.headers["cache-control"] == "no-store"
    assert again.json()["refreshToken"] != signed["refreshToken"]
    headers = {"authorization": f"Bearer {again.json()['token']}"}
    assert (await http.get(f"/users/{user['userId']}", headers=headers)).status_code == 200
    assert (await refreshed(http, again.json()["refreshToken"])).status_code == 200


async def test_a_refresh_token_that_comes_twice_ends_all_of_its_login_and_no_other(http: httpx.AsyncClient) -> None:
    await sign_up(http)
    stolen = (await http.post("/login", json=ROY)).json()["refreshToken"]
    elsewhere = (await http.post("/login", json=ROY)).json()["refreshToken"]
    thief = (await refreshed(http, stolen)).json()["refreshToken"]
    for token in (stolen, thief):
        refused = await refreshed(http, token)
        assert (refused.status_code, refused.json()["code"]) == (401, "SIGN_IN_AGAIN")
    assert (await refreshed(http, elsewhere)).status_code == 200


async def test_refresh_tokens_end_and_are_stored_as_digests_only(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path / 'users.db'}", TABLES) as database:
        tokens, now = RefreshTokens(database, days=1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        token = tokens.issue("u-1", now)
        assert tokens.exchange(token, now + dt.timedelta(days=1)) is None
        token = tokens.issue("u-1", now)
        found = tokens.exchange(token, now + dt.timedelta(hours=23))
        assert found is not None
        assert found[0] == "u-1"
        assert tokens.exchange(found[1], now + dt.timedelta(hours=46)) is not None
        assert tokens.exchange("made up", now) is None
    assert token.encode() not in (tmp_path / "users.db").read_bytes()


async def test_a_wrong_address_and_a_wrong_password_get_the_same_answer(http: httpx.AsyncClient) -> None:
    await sign_up(http)
    answers = [
        await http.post("/login", json={"email": email, "password": "wrong"})
        for email in ("roy@naver.com", "who@naver.com", "no address")
    ]
    bodies = [{**answer.json(), "traceId": ""} for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]
    assert (answers[0].status_code, bodies[0]["code"]) == (401, "BAD_CREDENTIALS")
    assert answers[0].headers["www-authenticate"].startswith("Bearer")


async def test_too_many_wrong_logins_are_429_on_every_instance_for_known_and_unknown_addresses(tmp_path: Path) -> None:
    """AC-30."""
    async with users(tmp_path) as one, users(tmp_path) as two:
        await sign_up(one)
        await sign_up(one, email="other@naver.com")
        for email in ("roy@naver.com", "who@naver.com"):
            body = {"email": email, "password": "wrong"}
            at_once = await asyncio.gather(*(http.post("/login", json=body) for http in (one, two) for _ in range(5)))
            assert sorted(answer.status_code for answer in at_once) == [401] * 5 + [429] * 5
        refused = await two.post("/login", json={**body, "email": "roy@naver.com", "password": ROY["password"]})
        assert (refused.status_code, refused.json()["code"]) == (429, "TOO_MANY_LOGINS")
        assert 0 < int(refused.headers["retry-after"]) <= 60
        await signed_in(one, "other@naver.com")


async def test_after_the_window_or_a_right_password_logins_count_anew(tmp_path: Path) -> None:
    began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    async with Database(f"sqlite:///{tmp_path / 'users.db'}", TABLES) as database:
        attempts = LoginAttempts(database, limit=2, window_seconds=60)

        def waits(after: float) -> float:
            return attempts.begin(ROY["email"], began + dt.timedelta(seconds=after))

        assert [waits(0), waits(10), waits(20), waits(59.5)] == [0, 0, 40, 1]
        assert attempts.begin("other@naver.com", began) == 0
        assert [waits(60), waits(61), waits(62)] == [0, 0, 58]
        attempts.succeeded("ROY@naver.com")
        assert [waits(63), waits(64), waits(65)] == [0, 0, 58]


async def test_users_are_shown_to_those_with_a_token_only(tmp_path: Path, http: httpx.AsyncClient) -> None:
    user = await sign_up(http)
    key = SigningKey.in_folder(tmp_path / "data")
    names: dict[str, Any] = {"issuer": "user-service", "audience": "syncline-shop"}
    expired = Tokens(key, seconds=-1, **names).issue(user["userId"])
    foreign = Tokens(SigningKey.in_folder(tmp_path / "foreign"), seconds=900, **names).issue(user["userId"])
    for path in ("/users", f"/users/{user['userId']}"):
        for headers in ({}, *({"authorization": f"Bearer {token}"} for token in (expired, foreign, "x"))):
            answer = await http.get(path, headers=headers)
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_shows_its_own_user_and_an_administrators_all(tmp_path: Path) -> None:
    async with users(tmp_path, admins=["Boss@naver.com"]) as http:
        roy = await sign_up(http)
        await sign_up(http, email="boss@naver.com", name="boss")
        other = await sign_up(http, email="other@naver.com", name="other")
        as_roy, as_boss = await signed_in(http), await signed_in(http, "boss@naver.com")
        assert (await http.get(f"/users/{roy['userId']}", headers=as_roy)).status_code == 200
        refused = await http.get(f"/users/{other['userId']}", headers=as_roy)
        assert (refused.status_code, refused.json()["code"]) == (403, "NOT_YOURS")
        assert (await http.get(f"/users/{other['userId']}", headers=as_boss)).status_code == 200
        unknown = await http.get("/users/nobody", headers=as_roy)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "USER_NOT_FOUND")


async def test_the_list_has_pages_and_no_secrets(http: httpx.AsyncClient) -> None:
    for number in range(5):
        await sign_up(http, email=f"u{number}@naver.com", name=f"u{number}")
    headers = await signed_in(http, "u0@naver.com")
    names: list[str] = []
    answer = await http.get("/users?size=2", headers=headers)
    while True:
        assert "password" not in answer.text
        names += [user["name"] for user in answer.json()]
        if "next" not in answer.links:
            break
        answer = await http.get(answer.url.join(answer.links["next"]["url"]), headers=headers)
    assert names == [f"u{number}" for number in range(5)]
    assert (await http.get("/users?page=0", headers=headers)).status_code == 422


async def test_a_token_of_one_instance_is_good_at_another_and_for_whoever_has_the_keys(tmp_path: Path) -> None:
    async with users(tmp_path) as one, users(tmp_path) as two:
        user = await sign_up(one)
        headers = await signed_in(one)
        assert (await two.get(f"/users/{user['userId']}", headers=headers)).status_code == 200
        first, second = [await http.get("/.well-known/jwks.json") for http in (one, two)]
        assert first.json() == second.json()
        assert [set(key) for key in first.json()["keys"]] == [{"kty", "crv", "x", "kid", "use", "alg"}]


async def test_greeting_and_health_check_tell_no_secrets(http: httpx.AsyncClient) -> None:
    assert (await http.get("/welcome")).text == "Welcome to the Simple E-Commerce(User Service)."
    assert (await http.get("/health-check")).text == "It's working in user service on port: 7"
    assert (await http.get("/health/ready")).json()["status"] == "UP"


@asynccontextmanager
async def order_service(answer: Any) -> AsyncIterator[str]:
    """An order service that answers every request with `answer()`; its address."""
    app = Starlette(routes=[Route("/order-service/{user}/orders", answer)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def shown(folder: Path, url: str, **settings: Any) -> httpx.Response:
    """What a user sees of themselves."""
    async with users(folder, order_urls=[url], **settings) as http:
        user = await sign_up(http)
        return await http.get(f"/users/{user['userId']}", headers=await signed_in(http))


async def test_a_user_is_shown_with_orders(tmp_path: Path) -> None:
    """AC-13."""

    async def answer(request: Request) -> Response:
        assert request.path_params["user"]
        link = '</order-service/u/orders?limit=100&before=o-1>; rel="next"'
        return Response(json.dumps([{**ORDER, "userId": "u", "synced": True}]), headers={"link": link})

    async with order_service(answer) as url:
        found = await shown(tmp_path, url)
    assert found.status_code == 200
    body = found.json()
    assert body == {
        "email": ROY["email"],
        "name": "roy",
        "userId": body["userId"],
        "orders": [ORDER],
        "moreOrders": "/order-service/u/orders?limit=100&before=o-1",
    }


@pytest.mark.parametrize(
    ("status", "content", "code"),
    [
        (404, b"{}", "HTTP_404"),
        (500, b"Traceback", "HTTP_500"),
        (200, b"[{", "BAD_ANSWER"),
        (200, b'{"orders":[]}', "BAD_ANSWER"),
        (200, b'[{"orderId":7}]', "BAD_ANSWER"),
        (200, b"\xff", "BAD_ANSWER"),
    ],
)
async def test_orders_that_cannot_be_had_are_said_to_be_missing(
    tmp_path: Path, status: int, content: bytes, code: str
) -> None:
    """AC-15."""

    async def answer(_: Request) -> Response:
        return Response(content, status)

    async with order_service(answer) as url:
        found = await shown(tmp_path, url)
    assert (found.status_code, found.headers["x-partial"]) == (200, "order-service")
    body = found.json()
    assert body["orders"] is None
    assert body["partial"] is True
    assert body["errors"] == [{"service": "order-service", "code": code}]
    assert "Traceback" not in found.text


async def test_an_order_service_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """AC-14."""
    given_up = asyncio.Event()

    async def answer(_: Request) -> Response:
        await given_up.wait()
        return Response("[]")

    async with order_service(answer) as url:
        found = await shown(tmp_path, url, order_seconds=0.3)
        given_up.set()
    assert found.status_code == 200
    assert found.json()["errors"] == [{"service": "order-service", "code": "TIMEOUT"}]


async def test_without_an_order_service_the_answer_is_partial_in_the_style_asked_for(tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    found = await shown(tmp_path, away)
    assert (found.json()["orders"], found.json()["errors"][0]["code"]) == (None, "NO_INSTANCE")
    (tmp_path / "compatible").mkdir()
    found = await shown(tmp_path / "compatible", away, partial_style="empty")
    assert (found.json()["orders"], found.headers["x-partial"]) == ([], "order-service")
    assert "partial" not in found.json()
