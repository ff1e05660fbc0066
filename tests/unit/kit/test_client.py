"""One service calls another: which instance, how often, how long, and what the caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import structlog

from syncline.kit.discovery.balancer import Balancer, Ejection
from syncline.kit.discovery.instances import Instance
from syncline.kit.errors import BrokenOff, DeadlineExceeded, NoInstance
from syncline.kit.http import deadline
from syncline.kit.http.breaker import Breaker, BreakerRule, BreakerState, CircuitOpen
from syncline.kit.http.client import ServiceClient
from syncline.kit.problems import Problem
from syncline.kit.service import Service
from syncline.kit.settings import ServiceSettings
from tests.unit.kit.manual_clock import ManualClock

Behave = Callable[[httpx.Request], httpx.Response]


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def break_off(request: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError("closed", request=request)


def well(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"port": request.url.port})


class Fleet(httpx.AsyncBaseTransport):
    """Instances 1..n behind one transport, each with a behaviour; also their directory."""

    def __init__(self, *behaviours: Behave) -> None:
        self.behaviours = dict(enumerate(behaviours, 1))
        self.requests: list[httpx.Request] = []

    def instances(self, service: str) -> list[Instance]:
        return [Instance(id=f"i-{port}", service=service, url=f"http://h:{port}") for port in self.behaviours]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        await request.aread()
        return self.behaviours[request.url.port or 0](request)

    @property
    def ports(self) -> list[int | None]:
        return [request.url.port for request in self.requests]


def client(fleet: Fleet, **options: Any) -> ServiceClient:
    clock = ManualClock()
    options = {
        "breaker": Breaker("orders", BreakerRule(window=4, fewest=2), clock=clock),
        "balancer": Balancer(ejection=Ejection(failures=1), clock=clock),
        **options,
    }
    return ServiceClient("orders", fleet, fleet, **options)


async def test_instances_take_turns() -> None:
    orders = client(fleet := Fleet(well, well))
    answers = [(await orders.get("/x")).json()["port"] for _ in range(4)]
    assert answers == [1, 2, 1, 2]
    assert str(fleet.requests[0].url) == "http://h:1/x"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_one_that_cannot_be_reached_is_passed_over_whatever_the_method(method: str) -> None:
    orders = client(fleet := Fleet(refuse, well))
    for _ in range(3):
        assert (await orders.request(method, "/x")).status_code == 200
    assert fleet.ports == [1, 2, 2, 2], "and then it is left alone"


@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("PUT", {}), ("POST", {"Idempotency-Key": "k"})])
async def test_what_can_be_done_twice_is_tried_on_another(method: str, headers: dict[str, str]) -> None:
    orders = client(fleet := Fleet(break_off, well))
    answer = await orders.request(method, "/x", content=b"body", headers=headers)
    assert answer.json() == {"port": 2}
    assert [request.content for request in fleet.requests] == [b"body", b"body"]


async def test_what_cannot_be_done_twice_is_sent_once() -> None:
    orders = client(fleet := Fleet(break_off, well))
    with pytest.raises(BrokenOff, match="orders at http://h:1 broke off: closed"):
        await orders.post("/x", json={})
    assert fleet.ports == [1]


async def test_there_are_as_many_further_tries_as_were_asked_for() -> None:
    orders = client(fleet := Fleet(break_off, break_off, break_off), retries=1)
    with pytest.raises(BrokenOff):
        await orders.get("/x")
    assert fleet.ports == [1, 2]


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    class Half(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"half"
            raise httpx.ReadError("cut")

    orders = client(fleet := Fleet(lambda _: httpx.Response(200, stream=Half()), well))
    assert (await orders.get("/x")).json() == {"port": 2}
    assert fleet.ports == [1, 2]


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_a_status_is_an_answer(status: int) -> None:
    orders = client(fleet := Fleet(lambda _: httpx.Response(status), well))
    assert (await orders.get("/x")).status_code == status
    assert orders.upstream.breaker.state is BreakerState.CLOSED
    assert fleet.ports == [1]


async def test_nobody_there_and_nobody_reachable_have_one_code() -> None:
    with pytest.raises(NoInstance, match="no instance of orders is known"):
        await client(Fleet()).get("/x")
    with pytest.raises(NoInstance, match="http://h:1: refused; http://h:2: refused"):
        await client(Fleet(refuse, refuse)).get("/x")
    assert NoInstance.status == 503


class Silent(Fleet):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return await asyncio.Future()


async def test_silence_ends_with_the_time_that_is_allowed() -> None:
    orders = client(fleet := Silent(well, well), timeout=0.02)
    with pytest.raises(DeadlineExceeded, match="orders"):
        await orders.get("/x")
    assert fleet.ports == [1], "a second try would have no time"
    assert DeadlineExceeded.status == 504


async def test_the_callers_deadline_is_passed_on_and_never_later_than_its_own() -> None:
    orders = client(fleet := Fleet(well), timeout=30)
    deadline.begin(5)
    await orders.get("/x")
    left = deadline.parse(fleet.requests[0].headers["x-request-deadline"])
    assert left is not None
    assert 0 < left <= 5
    deadline.begin(-1)
    with pytest.raises(DeadlineExceeded, match="no time is left"):
        await orders.get("/x")
    assert len(fleet.requests) == 1
    deadline.begin(None)


async def test_the_trace_goes_along() -> None:
    orders = client(fleet := Fleet(well))
    with structlog.contextvars.bound_contextvars(trace_id="a" * 32):
        await orders.get("/x")
    await orders.get("/x")
    assert fleet.requests[0].headers["traceparent"].startswith(f"00-{'a' * 32}-")
    assert "traceparent" not in fleet.requests[1].headers


async def test_after_too_many_failures_nobody_is_asked_until_somebody_new_comes() -> None:
    orders = client(fleet := Fleet(break_off), retries=0)
    for _ in range(2):
        with pytest.raises(BrokenOff):
            await orders.get("/x")
    with pytest.raises(CircuitOpen):
        await orders.get("/x")
    assert len(fleet.requests) == 2
    fleet.behaviours = {7: well}
    assert (await orders.get("/x")).json() == {"port": 7}
    assert orders.upstream.breaker.state is BreakerState.CLOSED


async def test_a_caller_that_goes_away_leaves_nothing_behind() -> None:
    orders = client(fleet := Silent(well))
    call = asyncio.create_task(orders.get("/x"))
    while not fleet.requests:  # noqa: ASYNC110
        await asyncio.sleep(0)
    (instance,) = fleet.instances("orders")
    assert orders.upstream.balancer.outstanding(instance) == 1
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert orders.upstream.balancer.outstanding(instance) == 0
    assert not orders.upstream.balancer.is_ejected(instance)
    assert orders.upstream.breaker.state is BreakerState.CLOSED


async def test_errors_of_a_call_become_answers_of_the_caller() -> None:
    svc = Service("probe", ServiceSettings())
    orders = svc.client("orders", directory=Fleet())

    @svc.app.get("/silent")
    async def silent() -> None:
        raise DeadlineExceeded("the host db-7 was silent")

    @svc.app.get("/away")
    async def away() -> None:
        await orders.get("/x")

    @svc.app.get("/own")
    async def own() -> None:
        raise Problem(418, "TEAPOT", "no coffee")

    async with svc.open(), httpx.AsyncClient(transport=httpx.ASGITransport(svc.app), base_url="http://p") as http:
        answer = await http.get("/silent")
        assert (answer.status_code, answer.json()["code"]) == (504, "TIMEOUT")
        assert "db-7" not in answer.text
        answer = await http.get("/away")
        assert (answer.status_code, answer.json()["code"]) == (503, "NO_INSTANCE")
        late = await http.get("/own", headers={"X-Request-Deadline": "1"})
        assert (late.status_code, late.json()["code"]) == (504, "DEADLINE_EXCEEDED")
        assert late.headers["trace-id"] == late.json()["traceId"]
        assert (await http.get("/own", headers={"X-Request-Deadline": "soon"})).status_code == 418
        metrics = (await http.get("/metrics")).text
    assert 'http_requests_total{method="GET",status="504"} 2.0' in metrics
    assert "http_requests_in_flight 1.0" in metrics
