"""The sample shop as child processes: broker, worker, registry, services, gateway, console, and the sink.

The shop is started by the names of its modules; nothing of it is imported here.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import httpx

from syncline.cli.places import DatabasePlace, free_port
from syncline.cli.plan import Plan, Ports
from syncline.cli.supervise import Child, Program, Stage, Supervisor
from syncline.client.client import ConnectClient
from syncline.client.models import ConnectorStateInfo

LOCAL: Final = "127.0.0.1"
_NOTHING: Final[Mapping[str, str]] = {}
_DRAIN_SECONDS: Final = "1"
_LEAVE_SECONDS: Final = "0.2"
"""When the shop stops, it stops as a whole; nobody is left who could fail."""
_REST_SECONDS: Final = 30
_SESSION: Final = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "2000"}
"""One machine has no network to fail: who is silent here is dead, and its successor need not wait the usual 45 s."""
_CONNECT_TOPICS: Final = {"config": "configs", "offset": "offsets", "status": "status"}
_SINK: Final = "contracts/connectors/order-sink.json"


class Shop:
    """Starts the shop's programs under a supervisor; ports of 0 become free ones."""

    def __init__(
        self,
        supervisor: Supervisor,
        folder: Path,
        database: DatabasePlace,
        ports: Ports,
    ) -> None:
        """Data goes to `folder`."""
        self.supervisor = supervisor
        self.database = database
        self.bootstrap = f"{LOCAL}:{ports.broker or free_port()}"
        self.connect_url = f"http://{LOCAL}:{ports.connect or free_port()}"
        self.discovery_url = f"http://{LOCAL}:{ports.discovery or free_port()}"
        self.gateway_url = f"http://{LOCAL}:{ports.gateway or free_port()}"
        self.console_url = f"http://{LOCAL}:{ports.console or free_port()}"
        self._registry_url = f"{self.discovery_url}/eureka"
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
        """Start a Connect worker; it knows the database by environment variables, not by its configuration.

        What connectors there are, and how far they got, stands in topics and survives a restart.
        """
        settings = {
            "bootstrap.servers": self.bootstrap,
            "listeners": self.connect_url,
            "group.id": "connect-cluster",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            **{f"{what}.storage.topic": f"connect-{topic}" for what, topic in _CONNECT_TOPICS.items()},
            **{f"{what}.storage.replication.factor": "1" for what in _CONNECT_TOPICS},
            **_SESSION,
            **{f"consumer.{key}": value for key, value in _SESSION.items()},
            # The order services look after 30 s whether a group has committed offsets of their topics.
            "offset.flush.interval.ms": "10000",
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
            arguments=["connect-distributed", str(properties)],
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
        settings = {"write_mode": "private", "database_url": f"sqlite:///{file}"}
        return self._instance(f"private order-service {number}", "order", settings)

    def orders(self, number: int, settings: Mapping[str, str] = _NOTHING) -> Child:
        """Start an order service that publishes, and reads the one database: the remedy."""
        return self._service(
            "order",
            number,
            {
                "write_mode": "connect",
                "database_url": self.database.url,
                "bootstrap_servers": self.bootstrap,
                # One that lasts: an instance that was killed must not leave a transaction open in readers' way.
                "transactional_id": f"order-service-{number}",
                **settings,
            },
        )

    def catalogs(self, number: int, settings: Mapping[str, str] = _NOTHING) -> Child:
        """Start a catalog service, which takes what is ordered from the stock."""
        own = {"database_url": self.database.of_service("catalog").url, "bootstrap_servers": self.bootstrap}
        return self._service("catalog", number, {**own, **settings})

    def users(self, number: int, settings: Mapping[str, str] = _NOTHING) -> Child:
        """Start a user service."""
        own = {"database_url": self.database.of_service("users").url, "data_folder": str(self._folder / "user-service")}
        return self._service("user", number, {**own, **settings})

    def _service(self, kind: str, number: int, settings: Mapping[str, str]) -> Child:
        return self._instance(f"{kind}-service {number}", kind, settings)

    def _instance(self, name: str, kind: str, settings: Mapping[str, str]) -> Child:
        own = {
            "port": "0",
            "registry_url": self._registry_url,
            "drain_seconds": _DRAIN_SECONDS,
            "leave_seconds": _LEAVE_SECONDS,
            **settings,
        }
        return self._start(
            name=name,
            stage=Stage.SERVICE,
            module=f"syncline_shop.{kind}",
            environment={f"{kind}_{setting}".upper(): value for setting, value in own.items()},
            ready=self._serves,
        )

    def gateway(self) -> Child:
        """Start the gateway; it finds the services by the registry."""
        return self._instance("gateway", "gateway", {"port": self.gateway_url.rpartition(":")[2]})

    def console(self) -> Child:
        """Start the pages over databases, topics and connectors."""
        databases = {"orders": self.database, **{name: self.database.of_service(name) for name in ("catalog", "users")}}
        # On a server all of them are one.
        shown = {place.shown: f"{name}={place.url}" for name, place in reversed(databases.items())}
        addresses = ["--bootstrap-server", self.bootstrap, "--connect", self.connect_url]
        links = [f"discovery={self.discovery_url}", f"gateway={self.gateway_url}"]
        return self._start(
            name="console",
            stage=Stage.SERVICE,
            module="syncline",
            arguments=[
                *("console", "--port", self.console_url.rpartition(":")[2], *addresses),
                *(part for link in links for part in ("--link", link)),
            ],
            # Not as arguments, which everybody on this machine can read.
            environment={"SYNCLINE_CONSOLE_DATABASES": " ".join(reversed(shown.values()))},
            ready=self._serves,
        )

    def taken_turns(self, kind: str, instances: Sequence[Child]) -> None:
        """Wait until the registry lists these instances and no others, and each has answered through the gateway."""
        wanted = {child.address for child in instances}
        app = f"{kind}-service"
        self.supervisor.wait(
            lambda: self._listed(app.upper()) == wanted,
            lambda: f"the registry lists {self._listed(app.upper())} as {app}, and there are {wanted}",
        )
        answered: set[str] = set()

        def all_answered() -> bool:
            with contextlib.suppress(httpx.TransportError):
                answer = self._http.get(f"{self.gateway_url}/{app}/health-check")
                if answer.is_success:
                    answered.add(answer.text)
            return len(answered) >= len(wanted)

        self.supervisor.wait(all_answered, lambda: f"the gateway reaches {len(answered)} of {len(wanted)} {app}s")

    def connected(self, instances: int) -> list[Child]:
        """Start everything of the remedy beside broker and registry, which are ready, up to the running sink.

        Order services, worker and gateway, in this order.
        """
        orders = [self.orders(number) for number in range(1, instances + 1)]
        worker, gateway = self.worker(), self.gateway()
        self.supervisor.ready(*orders, worker, gateway)
        self.register_sink()
        self.taken_turns("order", orders)
        return [*orders, worker, gateway]

    def everything(self, plan: Plan) -> list[Child]:
        """Start all there is beside broker and registry, which are ready; the services."""
        make = {"order": self.orders, "catalog": self.catalogs, "user": self.users}
        instances = {
            kind: [make[kind](number, service.settings) for number in range(1, service.instances + 1)]
            for kind, service in plan.services.items()
        }
        services = [child for children in instances.values() for child in children]
        self.supervisor.ready(*services, self.worker(), self.gateway(), self.console())
        self.register_sink()
        for kind in ("order", "catalog"):
            self.taken_turns(kind, instances[kind])
        return services

    def addresses(self, services: Sequence[Child], *, console: bool = False) -> list[tuple[str, str, str]]:
        """What runs, where, and what for."""
        return [
            ("gateway", self.gateway_url, "customers"),
            *((child.name, str(child.address), "the gateway") for child in services),
            *([("console", self.console_url, "tables and topics")] if console else []),
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
