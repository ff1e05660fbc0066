"""The sample shop as child processes: broker, worker, registry, order services, gateway, and the sink.

The shop is started by the names of its modules; nothing of it is imported here.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import httpx

from syncline.cli.places import DatabasePlace, free_port
from syncline.cli.supervise import Child, Program, Stage, Supervisor
from syncline.client.client import ConnectClient
from syncline.client.models import ConnectorStateInfo

LOCAL: Final = "127.0.0.1"
_DRAIN_SECONDS: Final = "1"
_LEAVE_SECONDS: Final = "0.2"
"""When the shop stops, it stops as a whole; nobody is left who could fail."""
_REST_SECONDS: Final = 30
_SINK: Final = "contracts/connectors/order-sink.json"


class Shop:
    """Starts the shop's programs under a supervisor; ports of 0 become free ones."""

    def __init__(
        self,
        supervisor: Supervisor,
        folder: Path,
        database: DatabasePlace,
        *,
        gateway_port: int,
        connect_port: int,
        broker_port: int,
        discovery_port: int,
    ) -> None:
        """Data goes to `folder`."""
        self.supervisor = supervisor
        self.database = database
        self.bootstrap = f"{LOCAL}:{broker_port or free_port()}"
        self.connect_url = f"http://{LOCAL}:{connect_port or free_port()}"
        self.discovery_url = f"http://{LOCAL}:{discovery_port or free_port()}"
        self._registry_url = f"{self.discovery_url}/eureka"
        self._gateway_port = gateway_port
        self._folder = folder
        self._http = httpx.Client(timeout=5)

    def broker(self) -> Child:
        """Start the embedded broker."""
        port = self.bootstrap.rpartition(":")[2]
        return self._start(
            name="broker",
            stage=Stage.BROKER,
            module="syncline",
            arguments=["broker", "--data", str(self._folder / "broker"), "--port", port],
            ready=lambda _: _listens(int(port)),
        )

    def discovery(self) -> Child:
        """Start the registry, where services say where they are."""
        return self._start(
            name="discovery",
            # Services take their leave there, so it stops after them.
            stage=Stage.WORKER,
            module="syncline_shop.discovery",
            environment={
                "DISCOVERY_PORT": self.discovery_url.rpartition(":")[2],
                "DISCOVERY_DRAIN_SECONDS": _DRAIN_SECONDS,
                # One machine has no network to fail: who is silent here is dead.
                "DISCOVERY_SELF_PRESERVATION": "false",
            },
            ready=self._serves,
        )

    def worker(self) -> Child:
        """Start a Connect worker; it knows the database by environment variables, not by its configuration."""
        settings = {
            "bootstrap.servers": self.bootstrap,
            "listeners": self.connect_url,
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.storage.file.filename": str(self._folder / "connect.offsets"),
            "config.providers": "env",
            "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
            "config.providers.env.param.allowlist.pattern": "ORDERS_.*",
        }
        properties = self._folder / "worker.properties"
        lines = (f"{key}={value}\n".replace("\\", "\\\\") for key, value in settings.items())
        properties.write_text("".join(lines), encoding="utf-8")
        return self._start(
            name="worker",
            stage=Stage.WORKER,
            module="syncline",
            arguments=["connect-standalone", str(properties)],
            environment={
                "ORDERS_JDBC_URL": self.database.jdbc_url,
                "ORDERS_DATABASE_USER": self.database.user,
                "ORDERS_DATABASE_PASSWORD": self.database.password,
            },
            ready=lambda _: self._answers(self.connect_url),
        )

    def private_orders(self, number: int) -> Child:
        """Start an order service with a database of its own: the problem."""
        file = (self._folder / f"private-{number}.db").absolute()
        environment = {"ORDER_WRITE_MODE": "private", "ORDER_DATABASE_URL": f"sqlite:///{file}"}
        return self._orders(f"private order-service {number}", environment)

    def orders(self, number: int) -> Child:
        """Start an order service that publishes, and reads the one database: the remedy."""
        return self._orders(
            f"order-service {number}",
            {
                "ORDER_WRITE_MODE": "connect",
                "ORDER_DATABASE_URL": self.database.url,
                "ORDER_BOOTSTRAP_SERVERS": self.bootstrap,
            },
        )

    def _orders(self, name: str, environment: dict[str, str]) -> Child:
        return self._start(
            name=name,
            stage=Stage.SERVICE,
            module="syncline_shop.order",
            environment={
                **environment,
                "ORDER_PORT": "0",
                "ORDER_REGISTRY_URL": self._registry_url,
                "ORDER_DRAIN_SECONDS": _DRAIN_SECONDS,
                "ORDER_LEAVE_SECONDS": _LEAVE_SECONDS,
            },
            ready=self._serves,
        )

    def gateway(self, orders: Sequence[Child]) -> Child:
        """Start the gateway once the registry lists these order services and no others, so that they take turns."""
        wanted = {child.address for child in orders}
        self.supervisor.wait(
            lambda: self._listed("ORDER-SERVICE") == wanted,
            lambda: f"the registry lists {self._listed('ORDER-SERVICE')}, and there are {wanted}",
        )
        return self._start(
            name="gateway",
            stage=Stage.SERVICE,
            module="syncline_shop.gateway",
            environment={
                "GATEWAY_PORT": str(self._gateway_port),
                "GATEWAY_REGISTRY_URL": self._registry_url,
                "GATEWAY_DRAIN_SECONDS": _DRAIN_SECONDS,
                "GATEWAY_LEAVE_SECONDS": _LEAVE_SECONDS,
            },
            ready=self._serves,
        )

    def connected(self, instances: int) -> list[Child]:
        """Start everything of the remedy beside broker and registry, which are ready, up to the running sink.

        Order services, worker and gateway, in this order.
        """
        orders = [self.orders(number) for number in range(1, instances + 1)]
        worker = self.worker()
        self.supervisor.ready(*orders)
        gateway = self.gateway(orders)
        self.supervisor.ready(worker, gateway)
        self.register_sink()
        return [*orders, worker, gateway]

    def addresses(self, orders: Sequence[Child], gateway: Child) -> list[tuple[str, str, str]]:
        """What runs, where, and what for."""
        return [
            ("gateway", str(gateway.address), "customers"),
            *((child.name, str(child.address), "the gateway") for child in orders),
            ("discovery", self.discovery_url, "who runs where"),
            ("Connect REST", self.connect_url, "operators, curl"),
            ("broker", self.bootstrap, "Kafka clients"),
            ("database", self.database.shown, "table orders"),
        ]

    def _start(self, **program: Any) -> Child:
        return self.supervisor.start(Program(**program))[0]

    def register_sink(self) -> str:
        """Register the sink connector over REST and wait until it runs; its name.

        It is the contract's own JSON, word for word; the worker fills in the `${env:...}`.
        """
        body = json.loads((files("syncline_shop") / _SINK).read_text())
        name: str = body["name"]
        with ConnectClient(self.connect_url, seconds=_REST_SECONDS) as client:
            client.put_config(name, body["config"])

            def runs() -> bool:
                tasks = client.status(name).tasks
                return bool(tasks) and all(task.state == "RUNNING" for task in tasks)

            self.supervisor.wait(runs, lambda: f"the connector {name} does not run: {_why(client.status(name))}")
        return name

    def sink_trouble(self) -> str:
        """Why the sink connector does not write, as far as its worker knows."""
        name = json.loads((files("syncline_shop") / _SINK).read_text())["name"]
        with ConnectClient(self.connect_url, seconds=_REST_SECONDS) as client:
            return _why(client.status(name))

    def _serves(self, child: Child) -> bool:
        return child.address is not None and self._answers(f"{child.address}/health/ready")

    def _listed(self, app: str) -> set[str]:
        """Addresses of the instances that the registry calls UP."""
        with contextlib.suppress(httpx.TransportError):
            answer = self._http.get(f"{self._registry_url}/apps/{app}", headers={"accept": "application/json"})
            if answer.is_success:
                instances = answer.json()["application"]["instance"]
                return {f"http://{i['hostName']}:{i['port']['$']}" for i in instances if i["status"] == "UP"}
        return set()

    def _answers(self, url: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self._http.get(url).is_success
        return False


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOCAL, port), 1):
        return True
    return False


def _why(status: ConnectorStateInfo) -> str:
    """Why a connector or its task does not run: the first line of its trace."""
    traces = [trace for trace in (status.connector.trace, *(task.trace for task in status.tasks)) if trace]
    states = ", ".join([status.connector.state, *(task.state for task in status.tasks)])
    return traces[0].splitlines()[0] if traces else f"its connector and tasks are {states}"
