"""Spring Cloud Netflix, unchanged: its client with our registry, and our services with its server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.spring_cloud import application, eureka_server
from tests.servers import free_port, wait_for
from tests.unit.shop.programs import program, registry

pytestmark = [pytest.mark.java, pytest.mark.slow]

NAME = "JAVA-SERVICE"


class Java:
    """A conversation with the application."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def hears(self) -> str:
        """The next line that the application means for us; its log lines are kept for when there is none."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("> "):
                return line.removeprefix("> ").strip()
        raise AssertionError(f"the application has ended:\n{''.join(self.said)[-3000:]}")

    def knows(self, service: str) -> list[str]:
        """Addresses that its discovery client has for a service."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{service}\n")
        self.process.stdin.flush()
        return self.hears().split()[1:]


def listed(url: str, app: str = NAME) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/eureka/apps/{app}", headers={"accept": "application/json"})
    return [] if answer.status_code == 404 else list(answer.json()["application"]["instance"])


def register(url: str, port: int) -> str:
    """Another service's instance, as the toolkit describes one."""
    body = {
        "instanceId": f"python:{port}",
        "app": "PYTHON-SERVICE",
        "hostName": "127.0.0.1",
        "ipAddr": "127.0.0.1",
        "status": "UP",
        "vipAddress": "python-service",
        "port": {"$": port, "@enabled": "true"},
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
    }
    httpx.post(f"{url}/eureka/apps/PYTHON-SERVICE", json={"instance": body}).raise_for_status()
    return f"http://127.0.0.1:{port}"


def test_spring_clouds_client_lives_with_our_registry(tmp_path: Path) -> None:
    port = free_port()
    with registry(port, log_level="info") as first, application(tmp_path, first.url, NAME.lower()) as process:
        try:
            java = Java(process)
            assert java.hears() == "started"
            (info,) = wait_for(lambda: [i for i in listed(first.url) if i["status"] == "UP"], "it is UP")
            own = [f"http://127.0.0.1:{info['port']['$']}"]
            wait_for(lambda: java.knows(NAME) == own, "it has fetched the list")

            one = register(first.url, 1001)
            wait_for(lambda: java.knows("python-service") == [one], "it has fetched the change")
            two = register(first.url, 1002)
            wait_for(lambda: java.knows("python-service") == [one, two], "and the next")
            httpx.delete(f"{first.url}/eureka/apps/PYTHON-SERVICE/python:1001").raise_for_status()
            wait_for(lambda: java.knows("python-service") == [two], "and who has gone")
            renewed = info["leaseInfo"]["lastRenewalTimestamp"]
            wait_for(
                lambda: listed(first.url)[0]["leaseInfo"]["lastRenewalTimestamp"] > renewed + 5000,
                "it has renewed for longer than its lease",
            )

            first.process.kill()
            first.process.wait()
            with registry(port) as second:
                wait_for(lambda: listed(second.url), "a registry that has forgotten it is told again")
                wait_for(lambda: java.knows(NAME) == own, "it has fetched the new list")
                wait_for(lambda: java.knows("python-service") == [], "which lacks who did not come back")
                assert process.stdin is not None
                process.stdin.close()
                assert java.hears() == "stopped"
                assert listed(second.url) == []
        finally:
            process.kill()


def test_our_services_live_with_spring_clouds_registry(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    order = {
        "ORDER_WRITE_MODE": "private",
        "ORDER_DATABASE_URL": f"sqlite:///{tmp_path / 'orders.db'}",
        "ORDER_REGISTRY_URL": f"{url}/eureka",
    }
    with (
        eureka_server(tmp_path, port) as server,
        program("syncline_shop.order", **order) as orders,
        program("syncline_shop.gateway", GATEWAY_PORT="0", GATEWAY_REGISTRY_URL=f"{url}/eureka") as gateway,
    ):
        try:

            def served() -> bool:
                # Both started before the registry did.
                answer = httpx.get(f"{gateway.url}/order-service/health-check")
                return answer.is_success and answer.text.endswith(orders.url.rpartition(":")[2])

            wait_for(served, "the gateway finds the order service by Spring Cloud's registry", 120)
            (info,) = listed(url, "ORDER-SERVICE")
            assert (info["status"], info["leaseInfo"]["durationInSecs"]) == ("UP", 6)
            # The list of a Eureka server comes from a cache that renewals do not touch; this one does not.
            entry = f"{url}/eureka/apps/ORDER-SERVICE/{info['instanceId']}"

            def renewed() -> int:
                answer = httpx.get(entry, headers={"accept": "application/json"})
                return int(answer.json()["instance"]["leaseInfo"]["lastRenewalTimestamp"])

            before = renewed()
            wait_for(lambda: renewed() > before, "it renews")
            orders.process.terminate()
            assert orders.process.wait(10) == 0
            assert listed(url, "ORDER-SERVICE") == []
        finally:
            server.kill()
