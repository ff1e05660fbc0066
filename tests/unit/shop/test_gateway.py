"""The gateway as a process, between callers and instances that behave well and badly."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline_shop.gateway.domain import HOP_BY_HOP, end_to_end
from tests.servers import free_port
from tests.unit.shop.instances import Instance, serving
from tests.unit.shop.programs import program

names = st.sampled_from([b"accept", b"Content-Type", b"X-Own", b"Keep-Alive", b"TE", b"Connection", b"Upgrade"])


@given(st.lists(st.tuples(names, st.sampled_from([b"x-own", b"close, X-Own", b"value"]))))
def test_no_header_of_one_connection_is_passed_on(headers: list[tuple[bytes, bytes]]) -> None:
    passed = end_to_end(headers)
    assert not {name.lower() for name, _ in passed} & HOP_BY_HOP
    named = {part.strip().lower() for n, v in headers if n.lower() == b"connection" for part in v.split(b",")}
    kept = [(n, v) for n, v in headers if n.lower() not in HOP_BY_HOP | named]
    assert passed == kept


@dataclass
class Setting:
    """A gateway with two instances; `half` has one that is away, `away` no other."""

    url: str
    instances: list[Instance]


@pytest.fixture(scope="module")
def setting() -> Iterator[Setting]:
    away = f"http://127.0.0.1:{free_port()}"
    with serving(2) as instances:
        urls = [instance.url for instance in instances]
        services = {"both": urls, "half": [away, urls[0]], "away": [away, away], "nobody": []}
        environment = {"GATEWAY_INSTANCES": json.dumps(services), "GATEWAY_ANSWER_SECONDS": "0.5"}
        with program("syncline_shop.gateway", GATEWAY_PORT="0", **environment) as gateway:
            yield Setting(gateway.url, instances)
            gateway.process.terminate()
            assert gateway.process.wait(10) == 0


@pytest.fixture
def http(setting: Setting) -> Iterator[httpx.Client]:
    for instance in setting.instances:
        instance.requests.clear()
        instance.broke.clear()
        instance.go_on.clear()
    with httpx.Client(base_url=setting.url) as client:
        yield client
    for instance in setting.instances:
        instance.go_on.set()


def test_requests_alternate_strictly(setting: Setting, http: httpx.Client) -> None:
    ports = [http.get("/both/echo").json()["port"] for _ in range(10)]
    assert len(set(ports)) == 2
    assert ports == ports[:2] * 5


def test_method_path_query_and_body_arrive_as_they_were_sent(http: httpx.Client) -> None:
    told = http.request("PUT", "/both/echo/a%2Fb/%C3%A4?x=1&x=%202", content=b"12345").json()
    assert told["request"] == "PUT /both/echo/a%2Fb/%C3%A4?x=1&x=%202 HTTP/1.1"
    assert told["length"] == 5


def test_a_body_without_declared_length_arrives_whole(http: httpx.Client) -> None:
    told = http.post("/both/echo", content=iter([b"a" * 70_000, b"b" * 70_000])).json()
    assert told["length"] == 140_000


def test_a_request_with_two_lengths_is_passed_on_with_one(setting: Setting, http: httpx.Client) -> None:
    raw = (
        b"POST /both/echo HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    )
    url = httpx.URL(setting.url)
    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(raw)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert told["length"] == 2
    assert "content-length" not in dict(told["headers"])


def test_headers_of_one_connection_stay_and_callers_cannot_forge_where_they_come_from(
    setting: Setting, http: httpx.Client
) -> None:
    sent = [
        ("x-own", "kept"),
        ("x-private", "one hop"),
        ("connection", "keep-alive, X-Private"),
        ("te", "trailers"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=6.6.6.6"),
        ("cookie", "session=1"),
    ]
    told = http.get("/both/echo", headers=sent).json()
    headers = dict(told["headers"])
    assert headers["x-own"] == "kept"
    assert headers["cookie"] == "session=1"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == httpx.URL(setting.url).netloc.decode()
    assert headers["host"] == f"127.0.0.1:{told['port']}"
    assert {"x-private", "te", "connection", "forwarded"}.isdisjoint(headers)
    assert len(told["headers"]) == len(headers)


def test_a_trace_goes_through_and_starts_here_where_there_is_none(http: httpx.Client) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert dict(http.get("/both/echo", headers={"traceparent": given}).json()["headers"])["traceparent"] == given
    answer = http.get("/both/echo")
    assert dict(answer.json()["headers"])["traceparent"].split("-")[1] == answer.headers["trace-id"]


def test_an_answer_keeps_its_headers_but_not_those_of_the_connection(http: httpx.Client) -> None:
    answer = http.get("/both/headers")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["etag"] == '"e"'
    assert {"x-private", "keep-alive"}.isdisjoint(answer.headers)
    assert len(answer.headers.get_list("date")) == 1


def test_one_callers_cookies_do_not_reach_the_next(setting: Setting, http: httpx.Client) -> None:
    for _ in range(2):
        httpx.get(f"{setting.url}/both/headers")
    for _ in range(2):
        assert "cookie" not in dict(httpx.get(f"{setting.url}/both/echo").json()["headers"])


def test_a_compressed_answer_stays_compressed(http: httpx.Client) -> None:
    with http.stream("GET", "/both/gzip") as answer:
        assert gzip.decompress(b"".join(answer.iter_raw())) == b"plain"


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_an_instances_status_is_the_answer(http: httpx.Client, status: int) -> None:
    answer = http.get(f"/both/status/{status}")
    assert answer.status_code == status
    assert answer.text == ("" if status in (204, 304) else "no")


def test_head_has_the_length_and_no_body(http: httpx.Client) -> None:
    answer = http.head("/both/gzip")
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""


def test_an_answer_is_passed_on_as_it_comes(setting: Setting, http: httpx.Client) -> None:
    with http.stream("GET", "/both/slowly") as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"first"
        for instance in setting.instances:
            instance.go_on.set()
        assert b"".join(chunks) == b"second"


def test_an_instance_that_is_away_is_passed_over_whatever_the_method(http: httpx.Client) -> None:
    for _ in range(4):
        assert http.post("/half/echo", content=b"order").json()["length"] == 5
        assert http.post("/half/echo", content=iter([b"or", b"der"])).json()["length"] == 5


@pytest.mark.parametrize("service", ["away", "nobody"])
def test_without_any_instance_the_answer_is_503(http: httpx.Client, service: str) -> None:
    answer = http.get(f"/{service}/echo")
    assert (answer.status_code, answer.json()["code"]) == (503, "NO_INSTANCE")
    assert answer.headers["retry-after"] == "1"


def test_a_request_that_may_have_been_done_is_not_sent_again(setting: Setting, http: httpx.Client) -> None:
    answer = http.post("/both/break", content=b"order")
    assert (answer.status_code, answer.json()["code"]) == (502, "UPSTREAM_FAILED")
    assert sum(len(instance.requests) for instance in setting.instances) == 1


def test_an_instance_that_stays_silent_is_504(setting: Setting, http: httpx.Client) -> None:
    answer = http.post("/both/mute", content=b"order")
    assert (answer.status_code, answer.json()["code"]) == (504, "UPSTREAM_TIMEOUT")
    assert sum(len(instance.requests) for instance in setting.instances) == 1


def test_an_answer_that_breaks_off_is_not_taken_for_whole(http: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/both/cut")
    assert http.get("/both/echo").status_code == 200


@pytest.mark.parametrize("path", ["/", "/other/echo", "//both/echo", "/both%2Fecho", "/bot%68/echo"])
def test_an_unknown_service_is_404(http: httpx.Client, path: str) -> None:
    answer = http.get(http.base_url.copy_with(raw_path=path.encode()))
    assert (answer.status_code, answer.json()["code"]) == (404, "NO_ROUTE")


def test_a_body_over_the_limit_is_413(http: httpx.Client) -> None:
    large = b"x" * ((1 << 20) + 1)
    assert http.post("/both/echo", content=large).status_code == 413
    assert http.post("/both/echo", content=iter([large])).status_code == 413


def test_the_time_that_is_left_is_passed_on_and_a_caller_can_only_shorten_it(http: httpx.Client) -> None:
    for sent, most in (({}, 500), ({"x-request-deadline": "99999999999999"}, 500)):
        told = http.get("/both/echo", headers=sent).json()
        named = [value for name, value in told["headers"] if name == "x-request-deadline"]
        assert len(named) == 1
        assert 0 < int(named[0]) - told["now"] + 100 <= most + 100
    late = http.get("/both/echo", headers={"x-request-deadline": "1000"})
    assert (late.status_code, late.json()["code"]) == (504, "DEADLINE_EXCEEDED")


def test_what_may_be_done_twice_is_tried_on_the_other_with_its_whole_body(setting: Setting, http: httpx.Client) -> None:
    for headers in ({}, {"idempotency-key": "k"}):
        method = "POST" if headers else "PUT"
        for instance in setting.instances:
            instance.requests.clear()
        answer = http.request(method, "/both/breakonce", content=iter([b"or", b"der"]), headers=headers)
        assert answer.json()["length"] == 5
        assert [len(instance.requests) for instance in setting.instances] == [1, 1]
        for instance in setting.instances:
            instance.broke.clear()


def test_what_happened_is_counted_by_service_and_status(http: httpx.Client) -> None:
    http.get("/both/status/418")
    http.get("/away/echo")
    metrics = http.get("/metrics").text
    assert 'gateway_calls_total{service="both",status="418"} 1.0' in metrics
    assert 'gateway_calls_total{service="away",status="none"}' in metrics
    assert 'gateway_calls_in_flight{service="both"} 0.0' in metrics
    assert 'gateway_circuit_open{service="both"} 0.0' in metrics


def test_the_gateway_has_a_health_of_its_own(http: httpx.Client) -> None:
    assert http.get("/health/ready").json()["status"] == "UP"
