"""Requests that the recordings do not have: time-outs, large bodies, several listeners, a worker that starts."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from syncline.rest.app import MAX_BODY, Part, RestApp, RestSettings
from syncline.testing.probes import ProbeSourceConnector
from tests.unit.cluster.herding import SOURCE, Site

JSON = {"content-type": "application/json"}


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.herder.stop()


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(app: RestApp, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """One request, as a server hands it over."""
    sent: list[Mapping[str, Any]] = []
    bare, _, query = path.partition("?")

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: Mapping[str, Any]) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": method,
        "raw_path": bare.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        "scheme": "http",
        "server": ("127.0.0.1", 8083),
    }
    asyncio.run(app(scope, receive, send))
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], fields, sent[1]["body"])


def create(app: RestApp, name: str) -> Answer:
    return call(app, "POST", "/connectors", json.dumps({"name": name, "config": SOURCE}).encode(), JSON)


def test_a_request_that_takes_too_long_says_what_it_waits_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(ProbeSourceConnector, "start", lambda *_: release.wait(20))
    app = RestApp(site.herder, RestSettings.of(request_seconds=0.2))
    try:
        late = create(app, "slow")
        behind = call(app, "PUT", "/connectors/slow/stop")
    finally:
        release.set()
    for answer in (late, behind):
        assert answer.status == 500
        assert answer.json["message"].startswith(
            "Request timed out. The worker is currently starting the connector, which began at "
        )


def test_a_worker_that_starts_says_so_and_answers_its_root() -> None:
    herder = Site(started=False).herder
    app = RestApp(herder, RestSettings.of(request_seconds=0.1, health_seconds=0.01))
    try:
        assert call(app, "GET", "/").json["version"] == "4.1.0"
        health = call(app, "GET", "/health")
        assert (health.status, health.json["status"]) == (503, "starting")
        waiting = call(app, "GET", "/connectors")
        assert waiting.status == 500
        assert "currently awaiting startup" in waiting.json["message"]
    finally:
        herder.start()
        herder.stop()


@pytest.mark.parametrize("name", ["a b", "ä->ö", "a?b&c", "p%q", "a/b", "a\\b", "{x}", "a+b"])
def test_a_connector_can_be_reached_under_the_location_it_was_given(site: Site, name: str) -> None:
    app = RestApp(site.herder, RestSettings.of())
    made = create(app, name)
    assert made.status == 201
    path = made.headers["location"].removeprefix("http://127.0.0.1:8083")
    assert call(app, "GET", path).json["name"] == name
    assert call(app, "GET", f"{path}/status").json["name"] == name
    assert call(app, "DELETE", path).status == 204
    assert call(app, "GET", path).status == 404


def test_admin_resources_may_have_a_listener_of_their_own(site: Site) -> None:
    admin = RestApp(site.herder, RestSettings.of(part=Part.ADMIN_ONLY))
    others = RestApp(site.herder, RestSettings.of(part=Part.WITHOUT_ADMIN))
    assert [call(app, "GET", "/admin/loggers").status for app in (admin, others)] == [200, 404]
    assert [call(app, "GET", "/connectors").status for app in (admin, others)] == [404, 200]


def test_a_body_larger_than_any_configuration_is_refused(site: Site) -> None:
    app = RestApp(site.herder, RestSettings.of())
    assert call(app, "POST", "/connectors", b"x" * (MAX_BODY + 1), JSON).status == 413


def test_a_mistake_of_a_plug_in_is_an_answer_too(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def fail(self: object, config: object, answers: object) -> None:
        raise RuntimeError("oops")

    ProbeSourceConnector.validate = fail  # type: ignore[method-assign]  # of a stranger
    try:
        answer = create(RestApp(site.herder, RestSettings.of()), "c")
    finally:
        del ProbeSourceConnector.validate
    assert (answer.status, answer.json) == (500, {"error_code": 500, "message": "oops"})
    assert "POST /connectors failed: oops" in caplog.text


def test_configured_headers_are_on_every_answer(site: Site) -> None:
    app = RestApp(site.herder, RestSettings.of(origins="*", extra_headers="set X-Frame-Options:DENY"))
    for path in ("/", "/nothing", "/connectors/%zz"):
        answer = call(app, "GET", path, headers={"origin": "http://ui"})
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["access-control-allow-origin"] == "http://ui"


def test_a_trace_with_letters_that_are_none_still_comes_out(site: Site) -> None:
    site.source.connector_error = OSError("file \udcff")
    app = RestApp(site.herder, RestSettings.of())
    create(app, "c")
    assert "file ?" in call(app, "GET", "/connectors/c/status").json["connector"]["trace"]
