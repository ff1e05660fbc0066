"""The registry as a process: Eureka's REST as its clients speak it, and the toolkit's lease and list."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from syncline.kit.discovery.client import RegistryDirectory
from syncline.kit.discovery.lease import Lease, describe
from tests.servers import free_port
from tests.unit.shop.programs import Program, registry

INSTANCE: dict[str, Any] = {
    "instanceId": "host:user-service:8080",
    "app": "USER-SERVICE",
    "appGroupName": None,
    "ipAddr": "192.168.0.2",
    "sid": "na",
    "homePageUrl": "http://host:8080/",
    "statusPageUrl": "http://host:8080/actuator/info",
    "healthCheckUrl": "http://host:8080/actuator/health",
    "secureHealthCheckUrl": None,
    "vipAddress": "user-service",
    "secureVipAddress": "user-service",
    "countryId": 1,
    "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
    "hostName": "host",
    "status": "UP",
    "overriddenStatus": "UNKNOWN",
    "leaseInfo": {
        "renewalIntervalInSecs": 30,
        "durationInSecs": 90,
        "registrationTimestamp": 0,
        "lastRenewalTimestamp": 0,
        "evictionTimestamp": 0,
        "serviceUpTimestamp": 0,
    },
    "isCoordinatingDiscoveryServer": False,
    "lastUpdatedTimestamp": 1651100000000,
    "lastDirtyTimestamp": 1651100000001,
    "actionType": None,
    "asgName": None,
    "port": {"$": 8080, "@enabled": "true"},
    "securePort": {"$": 443, "@enabled": "false"},
    "metadata": {"management.port": "8080"},
}
"""The body that Spring Cloud Netflix 4.2 sends for an application of its own."""

JSON = {"accept": "application/json, application/*+json"}
ENTRY = "/eureka/apps/USER-SERVICE/host:user-service:8080"


@pytest.fixture(scope="module")
def running() -> Iterator[Program]:
    with registry(expiry_seconds="0.05") as program:
        yield program
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(10) == 0


@pytest.fixture
def http(running: Program) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, headers=JSON) as client:
        yield client
        for info in instances(client):
            client.delete(f"/eureka/apps/{info['app']}/{info['instanceId']}")


def instances(http: httpx.Client, path: str = "/eureka/apps/") -> list[dict[str, Any]]:
    listed = http.get(path, headers=JSON).json()["applications"]["application"]
    return [info for application in listed for info in application["instance"]]


def register(http: httpx.Client, **members: Any) -> httpx.Response:
    return http.post("/eureka/apps/USER-SERVICE", json={"instance": {**INSTANCE, **members}})


def test_a_clients_whole_life(http: httpx.Client) -> None:
    """The requests of a Spring Cloud Netflix client, in their order."""
    assert http.put(ENTRY, params={"status": "UP", "lastDirtyTimestamp": "1651100000001"}).status_code == 404
    answer = register(http, status="STARTING", lastDirtyTimestamp=1651100000000)
    assert (answer.status_code, answer.content) == (204, b"")
    assert register(http).status_code == 204
    answer = http.put(ENTRY, params={"status": "UP", "lastDirtyTimestamp": "1651100000001"})
    assert (answer.status_code, answer.content) == (200, b"")
    whole = http.get("/eureka/apps/").json()["applications"]
    assert whole["apps__hashcode"] == "UP_1_"
    assert whole["versions__delta"].isdigit()
    ((application,),) = [whole["application"]]
    assert application["name"] == "USER-SERVICE"
    (info,) = application["instance"]
    assert (
        info.items()
        >= {
            "instanceId": "host:user-service:8080",
            "status": "UP",
            "overriddenStatus": "UNKNOWN",
            "port": {"$": 8080, "@enabled": "true"},
            "securePort": {"$": 443, "@enabled": "false"},
            "dataCenterInfo": INSTANCE["dataCenterInfo"],
            "metadata": {"management.port": "8080"},
            "isCoordinatingDiscoveryServer": "false",
            "lastDirtyTimestamp": "1651100000001",
            "actionType": "ADDED",
        }.items()
    )
    assert info["leaseInfo"].items() >= {"renewalIntervalInSecs": 30, "durationInSecs": 90}.items()
    assert info["leaseInfo"]["serviceUpTimestamp"] > 0
    assert None not in info.values()
    (changed,) = [i for i in instances(http, "/eureka/apps/delta") if i["app"] == "USER-SERVICE"]
    assert changed["actionType"] == "ADDED"
    assert http.get("/eureka/apps/delta").json()["applications"]["apps__hashcode"] == "UP_1_"
    assert http.delete(ENTRY).status_code == 200
    assert http.delete(ENTRY).status_code == 404
    (changed,) = [i for i in instances(http, "/eureka/apps/delta") if i["app"] == "USER-SERVICE"]
    assert changed["actionType"] == "DELETED"
    assert http.get("/eureka/apps/delta").json()["applications"]["apps__hashcode"] == ""


def test_an_operator_takes_an_instance_out_and_puts_it_back(http: httpx.Client) -> None:
    register(http)
    assert http.put(f"{ENTRY}/status", params={"value": "OUT_OF_SERVICE"}).status_code == 200
    info = http.get(ENTRY).json()["instance"]
    assert (info["status"], info["overriddenStatus"]) == ("OUT_OF_SERVICE", "OUT_OF_SERVICE")
    assert http.put(f"{ENTRY}/status", params={"value": "ASLEEP"}).status_code == 400
    assert http.delete(f"{ENTRY}/status", params={"value": "UP"}).status_code == 200
    info = http.get(ENTRY).json()["instance"]
    assert (info["status"], info["overriddenStatus"], info["actionType"]) == ("UP", "UNKNOWN", "MODIFIED")
    assert http.put("/eureka/apps/USER-SERVICE/nobody/status", params={"value": "UP"}).status_code == 404


def test_metadata_is_added(http: httpx.Client) -> None:
    register(http)
    assert http.put(f"{ENTRY}/metadata", params={"zone": "a", "weight": "3"}).status_code == 200
    assert http.get(ENTRY).json()["instance"]["metadata"] == {"management.port": "8080", "zone": "a", "weight": "3"}
    register(http, metadata={"@class": "java.util.Collections$EmptyMap"}, lastDirtyTimestamp=1651100000009)
    assert http.get(ENTRY).json()["instance"]["metadata"] == {"@class": "java.util.Collections$EmptyMap"}


@pytest.mark.parametrize(
    "path",
    [
        "/eureka/apps/USER-SERVICE",
        "/eureka/apps/user-service/",
        "/eureka/v2/apps/USER-SERVICE",
        ENTRY,
        "/eureka/instances/host:user-service:8080",
        "/eureka/vips/user-service",
        "/eureka/svips/user-service",
    ],
)
def test_it_is_found_by_every_address_in_json_and_xml(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404
    register(http)
    assert "host:user-service:8080" in json.dumps(http.get(path).json())
    answer = http.get(path, headers={"accept": "*/*"})
    assert answer.headers["content-type"] == "application/xml"
    assert ElementTree.fromstring(answer.content).findtext(".//instanceId", "") in ("host:user-service:8080",)


def test_xml_has_eurekas_names_and_attributes(http: httpx.Client) -> None:
    register(http)
    root = ElementTree.fromstring(http.get("/eureka/apps", headers={"accept": "application/xml"}).content)
    assert root.tag == "applications"
    assert root.findtext("apps__hashcode") == "UP_1_"
    instance = root.find("application/instance")
    assert instance is not None
    port = instance.find("port")
    assert port is not None
    assert (port.text, port.get("enabled")) == ("8080", "true")
    assert instance.findtext("overriddenstatus") == "UNKNOWN"
    assert instance.findtext("metadata/management.port") == "8080"
    center = instance.find("dataCenterInfo")
    assert center is not None
    assert center.get("class") == "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo"


def test_an_instance_may_come_as_xml_and_packed(http: httpx.Client) -> None:
    register(http)
    body = http.get(ENTRY, headers={"accept": "application/xml"}).content
    http.delete(ENTRY)
    headers = {"content-type": "application/xml", "content-encoding": "gzip"}
    answer = http.post("/eureka/apps/USER-SERVICE", content=gzip.compress(body), headers=headers)
    assert answer.status_code == 204, answer.text
    assert http.get(ENTRY).json()["instance"]["hostName"] == "host"


def test_answers_are_packed_for_those_who_take_that(http: httpx.Client) -> None:
    register(http)
    with http.stream("GET", "/eureka/apps", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert b"USER-SERVICE" in gzip.decompress(b"".join(answer.iter_raw()))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"hostName": None}, "Missing hostName"),
        ({"ipAddr": ""}, "Missing ipAddr"),
        ({"app": None}, "Missing app"),
        ({"instanceId": None, "hostName": None}, "Missing instanceId"),
        ({"dataCenterInfo": None}, "Missing dataCenterInfo"),
        ({"app": "OTHER"}, "Mismatched appName, expecting USER-SERVICE but was OTHER"),
        ({"port": {"$": "http"}}, "port"),
    ],
)
def test_what_eureka_refuses_is_refused(http: httpx.Client, members: dict[str, Any], said: str) -> None:
    answer = register(http, **members)
    assert answer.status_code == 400
    assert said in answer.text
    assert instances(http) == []


def test_a_body_that_unpacks_to_too_much_is_refused(http: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (2 << 20))
    answer = http.post("/eureka/apps/USER-SERVICE", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 400
    answer = http.post("/eureka/apps/USER-SERVICE", content=b"{}", headers={"content-encoding": "gzip"})
    assert answer.status_code == 400


def test_a_request_that_waits_is_answered_by_the_next_change(http: httpx.Client) -> None:
    version = http.get("/eureka/apps").headers["registry-version"]

    async def wait_and_change() -> httpx.Response:
        async with httpx.AsyncClient(base_url=http.base_url, headers=JSON) as other:
            waiting = asyncio.create_task(
                other.get("/eureka/apps", params={"after": version, "wait": "50"}, timeout=60)
            )
            await other.get("/health/live")
            await other.post("/eureka/apps/USER-SERVICE", json={"instance": INSTANCE})
            return await waiting

    answer = asyncio.run(wait_and_change())
    assert answer.headers["registry-version"] != version
    assert answer.json()["applications"]["apps__hashcode"] == "UP_1_"
    version = answer.headers["registry-version"]
    answer = http.get("/eureka/apps", params={"after": version, "wait": "0"})
    assert answer.headers["registry-version"] == version


def test_the_page_lists_instances_for_people(http: httpx.Client) -> None:
    register(http)
    answer = http.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert '<a href="http://host:8080/health/ready">' in answer.text


def test_a_stop_does_not_wait_for_those_who_wait() -> None:
    with registry(drain_seconds="30") as program, contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=program.url, headers=JSON))
        version = client.get("/eureka/apps").headers["registry-version"]
        waiting = client.build_request("GET", "/eureka/apps", params={"after": version, "wait": "50"})

        async def ask_and_stop() -> int:
            async with httpx.AsyncClient(timeout=60) as other:
                asked = asyncio.create_task(other.send(waiting))
                await other.get(f"{program.url}/health/live")
                program.process.send_signal(signal.SIGTERM)
                return (await asked).status_code

        assert asyncio.run(ask_and_stop()) == 200
        assert program.process.wait(10) == 0


async def eventually(true: Any, what: str, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)
    assert true(), what


@contextlib.asynccontextmanager
async def leased(url: str, port: int = 1, *, ready: list[bool] | None = None) -> AsyncIterator[Lease]:
    answers = ready if ready is not None else [True]

    async def is_ready() -> bool:
        return answers[0]

    info = describe("probe", f"probe:{port}", "127.0.0.1", port, renew_seconds=1, lease_seconds=3, metadata={"a": "b"})
    lease = Lease(url, info, is_ready)
    await lease.start()
    try:
        yield lease
    finally:
        await lease.stop()


def statuses(http: httpx.Client) -> list[str]:
    return [info["status"] for info in instances(http)]


async def test_an_instance_is_starting_then_up_then_down_then_gone(running: Program, http: httpx.Client) -> None:
    ready = [False]
    async with (
        RegistryDirectory(f"{running.url}/eureka") as directory,
        leased(f"{running.url}/eureka", ready=ready) as lease,
    ):
        assert statuses(http) == ["STARTING"]
        lease.serving()
        ready[0] = True
        await eventually(lambda: directory.instances("probe"), "callers see it")
        (found,) = directory.instances("PROBE")
        assert (found.url, found.metadata, found.lease_seconds) == ("http://127.0.0.1:1", {"a": "b"}, 3)
        ready[0] = False
        await eventually(lambda: statuses(http) == ["DOWN"], "a failing check takes it out")
        await eventually(lambda: not directory.instances("probe"), "callers see that")
        ready[0] = True
        await eventually(lambda: directory.instances("probe"), "it comes back")
        await lease.leave()
        assert statuses(http) == ["DOWN"]
    assert statuses(http) == []


async def test_after_a_restart_of_the_registry_instances_register_again_and_callers_never_see_none() -> None:
    port = free_port()
    seen = []
    with registry(port) as first:
        async with (
            RegistryDirectory(f"{first.url}/eureka") as directory,
            leased(f"{first.url}/eureka") as lease,
        ):
            lease.serving()
            await eventually(lambda: directory.instances("probe"), "callers see it")
            first.process.kill()
            first.process.wait()
            assert directory.instances("probe")
            with registry(port) as second, httpx.Client(base_url=second.url) as http:

                def registered() -> bool:
                    seen.append(len(directory.instances("probe")))
                    return statuses(http) == ["UP"]

                await eventually(registered, "it has registered again")
                assert set(seen) == {1}


async def test_a_registry_that_is_away_stops_nobody() -> None:
    url = f"http://127.0.0.1:{free_port()}/eureka"
    async with RegistryDirectory(url) as directory, leased(url) as lease:
        lease.serving()
        assert directory.instances("probe") == ()
        await lease.leave()
