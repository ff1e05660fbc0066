"""What a customer is told when a request cannot be served: one RFC 9457 body, whoever noticed, and nothing stored."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.e2e.commands import RANDOM_PORTS, Command

ORDERS = "/order-service/roy/orders"
ORDER: dict[str, Any] = {"productId": "CATALOG-0001", "quantity": 1, "unitPrice": 1500}
USER = {"email": "roy@naver.com", "name": "roy", "password": "test1234"}
JSON = {"content-type": "application/json"}
MIB = 1 << 20


class Site:
    """A running shop with one user, who has a token."""

    def __init__(self, http: httpx.Client, folder: Path) -> None:
        self.http = http
        self.key = load_pem_private_key((folder / ".syncline/user-service/token-key.pem").read_bytes(), None)
        signed_up = self.http.post("/user-service/users", json=USER)
        assert signed_up.status_code == 201, signed_up.text
        self.user_id = signed_up.json()["userId"]
        self.token: str = self.http.post("/user-service/login", json=USER).json()["token"]
        self.claims: dict[str, Any] = jwt.decode(self.token, options={"verify_signature": False})
        self.kid: str = jwt.get_unverified_header(self.token)["kid"]

    def profile(self, token: str | None, user_id: str = "") -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return self.http.get(f"/user-service/users/{user_id or self.user_id}", headers=headers)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("shop")
    with Command(["up", *RANDOM_PORTS, "--console-port", "0"], folder) as command:
        command.wait_for("Ctrl-C stops everything.")
        with httpx.Client(base_url=command.address("gateway"), timeout=15) as http:
            yield Site(http, folder)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body, which must be one of RFC 9457 and tell nothing of what is inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"]
    assert "Traceback" not in answer.text
    return body


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "MALFORMED_JSON"),
        (b"", 422, "INVALID_REQUEST"),
        (b"[]", 422, "INVALID_REQUEST"),
        (b'"text"', 422, "INVALID_REQUEST"),
        (b'{"productId":7,"quantity":1,"unitPrice":1}', 422, "INVALID_REQUEST"),
        (b'{"productId":"p","quantity":"ten","unitPrice":1}', 422, "INVALID_REQUEST"),
        (b'{"productId":"p","quantity":1.5,"unitPrice":1}', 422, "INVALID_REQUEST"),
        (b'{"productId":"p","quantity":1,"unitPrice":-1}', 422, "INVALID_REQUEST"),
        (b'{"productId":"p","qty":1,"quantity":2,"unitPrice":1}', 422, "INVALID_REQUEST"),
        (json.dumps({**ORDER, "note": "x" * MIB}).encode(), 413, "CONTENT_TOO_LARGE"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else str(value),
)
def test_an_order_that_cannot_be_read_is_refused_and_leaves_nothing(
    site: Site, content: bytes, status: int, code: str
) -> None:
    before = site.http.get(ORDERS).json()
    problem(site.http.post(ORDERS, content=content, headers=JSON), status, code)
    assert site.http.get(ORDERS).json() == before


def test_a_body_without_a_length_is_cut_off_at_the_limit(site: Site) -> None:
    def parts() -> Iterator[bytes]:
        yield b'{"note":"'
        for _ in range(64):
            yield b"x" * (MIB // 32)

    problem(site.http.post(ORDERS, content=parts(), headers=JSON), 413, "CONTENT_TOO_LARGE")


def test_a_wrong_field_is_named(site: Site) -> None:
    body = problem(site.http.post(ORDERS, json={**ORDER, "quantity": 0}), 422, "INVALID_REQUEST")
    assert [error["field"] for error in body["errors"]] == ["quantity"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "NO_ROUTE"),
        ("GET", "/order-service/metrics", 404, "NO_ROUTE"),
        ("GET", "/order-service/roy/orders/none-such", 404, "ORDER_NOT_FOUND"),
        ("GET", "/catalog-service/catalogs/CATALOG-9999", 404, "PRODUCT_NOT_FOUND"),
        ("DELETE", "/catalog-service/catalogs/CATALOG-0001", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/catalog-service/catalogs?limit=many", 422, "INVALID_REQUEST"),
    ],
)
def test_what_is_not_there_is_said(site: Site, method: str, path: str, status: int, code: str) -> None:
    problem(site.http.request(method, path), status, code)


def test_an_order_of_an_unknown_product_is_taken_and_then_rejected_with_the_reason(site: Site) -> None:
    """Nobody asks the catalog before an order is taken; its decision follows."""
    placed = site.http.post(ORDERS, json={**ORDER, "productId": "CATALOG-9999"})
    assert placed.status_code == 201
    path = f"/catalog-service/reservations/{placed.json()['orderId']}"
    deadline = time.monotonic() + 30
    while (answer := site.http.get(path)).status_code == 404 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (answer.json()["outcome"], answer.json()["reason"]) == ("REJECTED", "UNKNOWN_PRODUCT")


def test_users(site: Site) -> None:
    problem(site.http.post("/user-service/users", json=USER), 409, "EMAIL_TAKEN")
    problem(site.http.post("/user-service/users", json={**USER, "email": "nobody"}), 422, "INVALID_REQUEST")
    for wrong in ({"password": "wrong567"}, {"email": "nobody@naver.com"}):
        problem(site.http.post("/user-service/login", json={**USER, **wrong}), 401, "BAD_CREDENTIALS")
    problem(site.profile(site.token, "none-such"), 404, "USER_NOT_FOUND")
    other = site.http.post("/user-service/users", json={**USER, "email": "other@naver.com"}).json()["userId"]
    problem(site.profile(site.token, other), 403, "NOT_YOURS")


def signed(site: Site, key: Any, algorithm: str = "EdDSA", **claims: Any) -> str:
    known = {name: value for name, value in {**site.claims, **claims}.items() if value is not None}
    return jwt.encode(known, key, algorithm, headers={"kid": site.kid})


def unsigned(site: Site) -> str:
    """`alg: none`, which a library that believes tokens accepts."""
    parts = ({"alg": "none", "typ": "JWT", "kid": site.kid}, site.claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def with_the_public_key_as_a_secret(site: Site) -> str:
    public = site.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return signed(site, public, "HS256")


def test_a_genuine_token_opens(site: Site) -> None:
    assert site.profile(site.token).json()["email"] == USER["email"]
    assert site.profile(signed(site, site.key)).status_code == 200


@pytest.mark.parametrize(
    "forge",
    [
        lambda site: None,
        lambda site: "no.token.atall",
        lambda site: signed(site, site.key, exp=int(time.time()) - 60),
        lambda site: signed(site, site.key, exp=None),
        lambda site: signed(site, site.key, iss="somebody else"),
        lambda site: signed(site, site.key, aud="another shop"),
        lambda site: signed(site, Ed25519PrivateKey.generate()),
        lambda site: site.token[:-4] + "AAAA",
        unsigned,
        with_the_public_key_as_a_secret,
    ],
    ids=[
        "none",
        "garbage",
        "expired",
        "without an end",
        "of another issuer",
        "for another audience",
        "of another key",
        "altered",
        "unsigned",
        "signed with the public key",
    ],
)
def test_a_token_that_is_not_good_opens_nothing(site: Site, forge: Any) -> None:
    answer = site.profile(forge(site))
    problem(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"].startswith("Bearer")
