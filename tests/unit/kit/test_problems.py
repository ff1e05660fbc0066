"""Whatever goes wrong in a request, the answer is a problem document and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from starlette.requests import Request

from syncline.kit.errors import BrokerUnavailable, DatabaseUnavailable
from syncline.kit.problems import Problem
from syncline.kit.service import Service
from syncline.kit.settings import ServiceSettings


class Body(BaseModel):
    amount: int
    note: str = ""


def service() -> Service:
    svc = Service("probe", ServiceSettings(max_body_bytes=1000))

    @svc.app.post("/take")
    async def take(body: Body) -> int:
        return body.amount

    @svc.app.post("/stream")
    async def stream(request: Request) -> int:
        return len(await request.body())

    @svc.app.get("/refuse")
    async def refuse() -> None:
        raise Problem(409, "IN_PROGRESS", "not now", headers={"Retry-After": "7"}, orderId="o-1")

    @svc.app.get("/database")
    def database() -> None:
        raise DatabaseUnavailable("cannot use the database mariadb://root@db:3306/x: refused")

    @svc.app.get("/broker")
    async def broker() -> None:
        raise BrokerUnavailable("not confirmed")

    @svc.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("internal detail")

    return svc


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(service().app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://probe") as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body, after checking that it is a problem of this kind."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["instance"] == answer.request.url.path
    assert len(body["traceId"]) == 32
    assert "Traceback" not in answer.text
    return body


async def test_a_body_that_breaks_the_rules_is_422_and_every_field_is_named(http: httpx.AsyncClient) -> None:
    body = problem(await http.post("/take", json={"note": 5}), 422, "INVALID_REQUEST")
    assert [error["field"] for error in body["errors"]] == ["amount", "note"]
    assert body["errors"][0]["detail"] == "is missing"


async def test_what_was_sent_is_not_sent_back(http: httpx.AsyncClient) -> None:
    answer = await http.post("/take", json={"amount": "s3cr3t"})
    problem(answer, 422, "INVALID_REQUEST")
    assert "s3cr3t" not in answer.text


@pytest.mark.parametrize("raw", ["{", '{"amount": 1,}', "\x00", '{"amount": NaN'])
async def test_a_body_that_is_no_json_is_400(http: httpx.AsyncClient, raw: str) -> None:
    answer = await http.post("/take", content=raw, headers={"content-type": "application/json"})
    problem(answer, 400, "MALFORMED_JSON")


async def test_a_body_that_is_no_text_is_400(http: httpx.AsyncClient) -> None:
    answer = await http.post("/take", content=b"\x80\x81\x82", headers={"content-type": "application/json"})
    problem(answer, 400, "MALFORMED_REQUEST")


async def test_deep_nesting_is_400(http: httpx.AsyncClient) -> None:
    answer = await http.post("/take", content="[" * 900 + "]" * 90, headers={"content-type": "application/json"})
    problem(answer, 400, "MALFORMED_JSON")


async def test_a_form_where_json_is_wanted_is_415(http: httpx.AsyncClient) -> None:
    problem(await http.post("/take", data={"amount": "1"}), 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_over_the_limit_is_413_whether_its_length_is_declared_or_not(
    http: httpx.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    for path in ("/take", "/stream"):
        headers = {"content-type": "application/json"}
        problem(await http.post(path, content=b"x" * 1001, headers=headers), 413, "CONTENT_TOO_LARGE")
        problem(await http.post(path, content=chunks(), headers=headers), 413, "CONTENT_TOO_LARGE")


async def test_a_body_of_exactly_the_limit_is_taken(http: httpx.AsyncClient) -> None:
    assert (await http.post("/stream", content=b"x" * 1000)).json() == 1000


async def test_an_unknown_path_is_404_and_a_wrong_method_405_with_the_right_ones(
    http: httpx.AsyncClient,
) -> None:
    problem(await http.get("/nothing"), 404, "NOT_FOUND")
    answer = await http.put("/take")
    problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


async def test_a_problem_raised_by_a_service_keeps_its_code_headers_and_members(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get("/refuse")
    assert problem(answer, 409, "IN_PROGRESS")["orderId"] == "o-1"
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(("path", "code"), [("/database", "DATABASE_UNAVAILABLE"), ("/broker", "BROKER_UNAVAILABLE")])
async def test_what_the_service_needs_and_does_not_get_is_503_without_addresses(
    http: httpx.AsyncClient, path: str, code: str
) -> None:
    answer = await http.get(path)
    problem(answer, 503, code)
    assert answer.headers["retry-after"] == "1"
    assert "3306" not in answer.text


async def test_a_bug_is_500_without_its_details(http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        answer = await http.get("/broken")
    problem(answer, 500, "INTERNAL_ERROR")
    assert "internal detail" not in answer.text


async def test_the_trace_id_is_the_callers_or_a_new_one(http: httpx.AsyncClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    known = await http.get("/nothing", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert known.json()["traceId"] == known.headers["trace-id"] == trace
    for bad in (f"00-{'0' * 32}-b7ad6b7169203331-01", "nonsense", ""):
        fresh = await http.get("/nothing", headers={"traceparent": bad})
        assert len(fresh.headers["trace-id"]) == 32
        assert fresh.headers["trace-id"] not in (trace, "0" * 32)


async def test_a_service_is_ready_only_while_its_checks_pass() -> None:
    svc = service()
    healthy = True

    async def check() -> None:
        if not healthy:
            raise DatabaseUnavailable("no database")

    svc.ready_when("database", check)
    transport = httpx.ASGITransport(svc.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://probe") as client:
        assert (await client.get("/health/ready")).json() == {"status": "UP", "checks": {"database": "UP"}}
        healthy = False
        body = problem(await client.get("/health/ready"), 503, "NOT_READY")
        assert body["checks"] == {"database": "no database"}
        assert (await client.get("/health/live")).status_code == 200
        svc.health.stopping = True
        problem(await client.get("/health/ready"), 503, "STOPPING")
