"""Which request goes where, with what, and who may: routes, tokens, balancing policies, the circuit breaker."""

from __future__ import annotations

import base64
import contextlib
import hmac
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from syncline_shop.gateway.routes import find, table
from tests.servers import free_port
from tests.unit.shop.instances import Instance, serving
from tests.unit.shop.programs import program

ROUTES = table(["extra"], ["order-service"])


@pytest.mark.parametrize(
    ("method", "path", "service", "token"),
    [
        ("POST", "/user-service/login", "user-service", False),
        ("POST", "/user-service/users", "user-service", False),
        ("POST", "/user-service/token/refresh", "user-service", False),
        ("GET", "/user-service/users", "user-service", True),
        ("GET", "/user-service/users/u-1", "user-service", True),
        ("HEAD", "/user-service/welcome", "user-service", True),
        ("GET", "/.well-known/jwks.json", "user-service", False),
        ("GET", "/catalog-service/catalogs", "catalog-service", False),
        ("DELETE", "/catalog-service/x", "catalog-service", False),
        ("POST", "/order-service/u/orders", "order-service", True),
        ("GET", "/extra/x", "extra", False),
    ],
)
def test_a_request_finds_its_service(method: str, path: str, service: str, token: bool) -> None:
    route = find(ROUTES, method, path)
    assert route is not None
    assert (route.service, route.token) == (service, token)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/user-service/users"),
        ("DELETE", "/user-service/users/u-1"),
        ("POST", "/user-service/users/"),
        ("POST", "/user-service/login/x"),
        ("POST", "/user-service/actuator/busrefresh"),
        ("GET", "/user-service/actuator/prometheus"),
        ("GET", "/order-service/metrics"),
        ("GET", "/user-service"),
        ("GET", "/"),
        ("GET", "//user-service/users"),
        ("GET", "/discovery/eureka/apps"),
        ("GET", "/order%2Dservice/x"),
    ],
)
def test_everything_else_has_no_route(method: str, path: str) -> None:
    assert find(ROUTES, method, path) is None


EDWARD = Ed25519PrivateKey.generate()
RIVEST = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = Ed25519PrivateKey.generate()


def key_set() -> bytes:
    edward = {**OKPAlgorithm.to_jwk(EDWARD.public_key(), as_dict=True), "kid": "ed", "alg": "EdDSA", "use": "sig"}
    rivest = {**RSAAlgorithm.to_jwk(RIVEST.public_key(), as_dict=True), "kid": "rsa", "alg": "RS256", "use": "sig"}
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"}
    unknown = {"kty": "XYZ", "kid": "odd"}
    return json.dumps({"keys": [unknown, secret, edward, rivest]}).encode()


def token(key: Any = EDWARD, kid: str = "ed", algorithm: str = "EdDSA", **changes: Any) -> str:
    claims = {
        "sub": "u-1",
        "iss": "user-service",
        "aud": "syncline-shop",
        "exp": datetime.now(UTC) + timedelta(minutes=5),
        **changes,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={"kid": kid})


@contextlib.contextmanager
def gateway(instances: dict[str, list[Instance]], **settings: str) -> Iterator[httpx.Client]:
    addresses = {service: [instance.url for instance in of] for service, of in instances.items()}
    environment = {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}
    with (
        program(
            "syncline_shop.gateway", GATEWAY_PORT="0", GATEWAY_INSTANCES=json.dumps(addresses), **environment
        ) as running,
        httpx.Client(base_url=running.url) as http,
    ):
        yield http


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[httpx.Client, Instance]]:
    with serving(2) as (users, orders):
        users.answers["/.well-known/jwks.json"] = key_set()
        services = {"user-service": [users], "order-service": [orders], "catalog-service": [orders]}
        with gateway(services, token_services='["order-service"]') as http:
            yield http, users


@pytest.fixture
def http(shop: tuple[httpx.Client, Instance]) -> httpx.Client:
    return shop[0]


def signed_in(**options: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(**options)}"}


def test_ac_26_user_service_sees_its_own_paths_and_no_cookie(http: httpx.Client) -> None:
    told = http.get("/user-service/users/u-1?a=b", headers={"cookie": "session=1", **signed_in()}).json()
    headers = dict(told["headers"])
    assert told["request"] == "GET /users/u-1?a=b HTTP/1.1"
    assert "cookie" not in headers
    assert headers["authorization"].startswith("Bearer ")
    for service in ("order-service", "catalog-service"):
        told = http.get(f"/{service}/u-1/x", headers={"cookie": "session=1", **signed_in()}).json()
        assert told["request"] == f"GET /{service}/u-1/x HTTP/1.1"
        assert dict(told["headers"])["cookie"] == "session=1"


@pytest.mark.parametrize("path", ["/user-service/login", "/user-service/users"])
def test_signing_in_and_registering_need_no_token(http: httpx.Client, path: str) -> None:
    told = http.post(path, json={"email": "a@b.c"}, headers={"cookie": "a=1"}).json()
    assert told["request"] == f"POST {path.removeprefix('/user-service')} HTTP/1.1"
    assert "cookie" not in dict(told["headers"])


@pytest.mark.parametrize(("path", "status"), [("/user-service/users", 401), ("/order-service/u/orders", 401)])
def test_ac_28_without_a_token_the_answer_is_a_challenge(http: httpx.Client, path: str, status: int) -> None:
    answer = http.get(path)
    assert answer.status_code == status
    assert answer.headers["www-authenticate"] == 'Bearer realm="syncline"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "UNAUTHORIZED"
    assert http.get("/catalog-service/catalogs").status_code == 200


def test_both_kinds_of_signatures_are_good(http: httpx.Client) -> None:
    assert http.get("/user-service/users", headers=signed_in()).status_code == 200
    rivest = signed_in(key=RIVEST, kid="rsa", algorithm="RS256")
    assert http.get("/user-service/users", headers=rivest).status_code == 200
    listed = signed_in(aud=["other", "syncline-shop"])
    assert http.get("/user-service/users", headers=listed).status_code == 200


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"exp": LONG_AGO}, id="expired"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"iss": "elsewhere"}, id="from somebody else"),
        pytest.param({"iss": None}, id="from nobody"),
        pytest.param({"aud": "another-shop"}, id="for somebody else"),
        pytest.param({"aud": None}, id="for nobody"),
        pytest.param({"sub": None}, id="about nobody"),
        pytest.param({"nbf": datetime.now(UTC) + timedelta(hours=1)}, id="not yet good"),
        pytest.param({"key": STRANGER}, id="signed by a stranger in our key's name"),
        pytest.param({"key": STRANGER, "kid": "stranger"}, id="signed with a key nobody knows"),
        pytest.param({"key": "secret" * 8, "kid": "shared", "algorithm": "HS256"}, id="a shared secret"),
        pytest.param({"key": None, "kid": "ed", "algorithm": "none"}, id="no signature"),
        pytest.param({"kid": "rsa"}, id="another key's name"),
    ],
)
def test_a_token_that_is_not_good_is_refused_without_saying_why_to_guess(http: httpx.Client, bad: Any) -> None:
    answer = http.get("/user-service/users", headers=signed_in(**bad))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_our_public_key_is_nobodys_shared_secret(http: httpx.Client) -> None:
    """The classic forgery; the library that signs here would not make one, so it is made by hand."""
    public = RIVEST.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = token("s" * 64, "rsa", "HS256").rpartition(".")[0]
    forged = base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), "sha256")).rstrip(b"=").decode()
    answer = http.get("/user-service/users", headers={"authorization": f"Bearer {signed}.{forged}"})
    assert answer.status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Basic dTpw", "Bearer a.b.c", "Bearer x", "token"])
def test_a_header_that_is_no_token_is_refused(http: httpx.Client, header: str) -> None:
    answer = http.get("/user-service/users", headers={"authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_keys_are_fetched_once_and_made_up_names_fetch_nothing(shop: tuple[httpx.Client, Instance]) -> None:
    http, users = shop
    http.get("/user-service/users", headers=signed_in())
    before = sum("jwks.json" in line for line in users.requests)
    for number in range(20):
        http.get("/user-service/users", headers=signed_in(key=STRANGER, kid=str(number)))
    assert sum("jwks.json" in line for line in users.requests) - before <= 1


def test_without_keys_nobody_is_let_in_and_nobody_is_called_a_liar() -> None:
    with serving(1) as (users,), gateway({"user-service": [users]}) as http:
        answer = http.get("/user-service/users", headers=signed_in())
        assert (answer.status_code, answer.json()["code"]) == (503, "KEYS_UNAVAILABLE")


def ports(http: httpx.Client, calls: int, path: str = "/order-service/echo", **headers: str) -> Counter[int]:
    return Counter(http.get(path, headers=headers).json()["port"] for _ in range(calls))


def test_ac_27_policies_per_service_show_their_distributions() -> None:
    with serving(2) as instances:
        names = ("robin", "random", "least", "two", "weighted", "sticky")
        policies = {
            "random": "random",
            "least": "least-outstanding",
            "two": "two-choices",
            "weighted": "weighted",
            "sticky": "sticky",
        }
        with gateway(dict.fromkeys(names, instances), policies=json.dumps(policies)) as http:
            for name in ("robin", "least", "weighted"):
                assert set(ports(http, 20, f"/{name}/echo").values()) == {10}
            for name in ("random", "two"):
                assert len(ports(http, 60, f"/{name}/echo")) == 2
            assert len(ports(http, 20, "/sticky/echo", authorization="Bearer one")) == 1
            firsts = [ports(http, 1, "/sticky/echo", authorization=f"Bearer {number}") for number in range(20)]
            assert len(set(itertools.chain(*firsts))) == 2


def test_a_service_that_fails_too_often_is_left_alone() -> None:
    with serving(1) as (broken,), gateway({"s": [broken]}, retries="0") as http:
        codes = [http.get("/s/break").json()["code"] for _ in range(12)]
        assert codes == ["UPSTREAM_FAILED"] * 10 + ["CIRCUIT_OPEN"] * 2
        answer = http.get("/s/echo")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert len(broken.requests) == 10
        assert 'gateway_circuit_open{service="s"} 1.0' in http.get("/metrics").text


def test_a_service_can_have_a_time_limit_of_its_own() -> None:
    with serving(1) as (slow,), gateway({"s": [slow]}, answer_limits='{"s": 0.05}') as http:
        answer = http.get("/s/mute")
        assert (answer.status_code, answer.json()["code"]) == (504, "UPSTREAM_TIMEOUT")
        assert answer.headers["content-type"] == "application/problem+json"
        slow.go_on.set()


def test_a_registry_that_is_away_does_not_keep_the_gateway_from_starting() -> None:
    with gateway({}, registry_url=f"http://127.0.0.1:{free_port()}/eureka") as http:
        assert http.get("/health").json()["status"] == "UP"
        answer = http.get("/order-service/x")
        assert (answer.status_code, answer.json()["code"]) == (503, "NO_INSTANCE")
