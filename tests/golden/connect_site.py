"""A worker with its REST interface, a broker and a database: what the recordings of the REST interface run on."""

from __future__ import annotations

import http.client
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from syncline.broker import BrokerThread
from syncline.cluster.distributed import DistributedHerder
from syncline.cluster.local import LocalHerder
from syncline.cluster.standalone import StandaloneHerder
from syncline.kafka.client import Admin
from syncline.rest.app import RestApp, RestSettings
from syncline.rest.server import RestServer, bind
from syncline.stores.memory import MemoryOffsets
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from tests.servers import Server

DB_USER: Final = "sync"
"""The recordings name it in answers."""
DB_PASSWORD: Final = "s3cr3t-sync"
DEADLINE_SECONDS: Final = 30


@dataclass(frozen=True)
class HttpAnswer:
    """What came back, in the terms of the recordings."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """json, empty, html or text."""
        if not self.body:
            return "empty"
        if self.headers.get("content-type", "").startswith("text/html"):
            return "html"
        with suppress(ValueError):
            json.loads(self.body)
            return "json"
        return "text"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """One worker; a context manager. With a database server it has a database for connectors too."""

    folder: Path
    broker: BrokerThread
    distributed: bool
    server: Server | None = None
    database: str = "goldendb"
    names: dict[str, str] = field(default_factory=dict)
    """What the placeholders of requests and answers stand for."""

    def __enter__(self) -> Site:
        bootstrap = self.broker.bootstrap_servers
        self.group = "connect-cluster" if self.server is None else "connect-cluster-sql"
        settings = WorkerSettings.of(
            {
                "bootstrap.servers": bootstrap,
                "key.converter": "org.apache.kafka.connect.json.JsonConverter",
                "value.converter": "org.apache.kafka.connect.json.JsonConverter",
                "offset.flush.interval.ms": "200",
                "group.id": self.group,
                **{f"{kind}.storage.topic": f"{self.group}-{kind}" for kind in ("config", "offset", "status")},
                **{f"{kind}.storage.replication.factor": "1" for kind in ("config", "offset", "status")},
            }
        )
        listener = bind("http://127.0.0.1:0")
        worker_id = f"127.0.0.1:{listener.port}"
        plugins = Plugins.installed()
        self.herder: LocalHerder = (
            DistributedHerder(settings, plugins, worker_id, f"http://{worker_id}/")
            if self.distributed
            else StandaloneHerder(settings, plugins, MemoryOffsets(), worker_id)
        )
        self.rest = RestServer(RestApp(self.herder, RestSettings.of()), listener)
        self.port = listener.port
        self.rest.start()
        self.herder.start()
        cluster = self.herder.root().kafka_cluster_id
        self.names = {
            "tmp": str(self.folder),
            "base": f"http://127.0.0.1:{self.port}",
            "bootstrap": bootstrap,
            "worker_id": worker_id,
            "kafka_cluster_id": str(cluster),
            "group_id": self.group,
            "db_user": DB_USER,
            "db_password": DB_PASSWORD,
        }
        if self.server is not None:
            self.names["jdbc_url"] = f"jdbc:{self.server.kind}://127.0.0.1:{self.server.port}/{self.database}"
        return self

    def __exit__(self, *_: object) -> None:
        self.rest.stop()
        self.herder.stop()

    @cached_property
    def admin(self) -> Admin:
        return Admin({"bootstrap.servers": self.broker.bootstrap_servers})

    def filled(self, value: Any) -> Any:
        """`value` of a request with placeholders replaced."""
        if isinstance(value, str):
            return re.sub(r"<([a-z_]+)>", lambda found: self.names.get(found[1], found[0]), value)
        if isinstance(value, list):
            return [self.filled(entry) for entry in value]
        if isinstance(value, dict):
            return {self.filled(key): self.filled(entry) for key, entry in value.items()}
        return value

    # -- requests -----------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """A request whose path goes out byte for byte; a header with an empty text is not sent."""
        sent = {"content-type": "application/json"} | {k.lower(): v for k, v in (headers or {}).items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            if body is not None or method in ("POST", "PUT", "PATCH"):
                connection.putheader("content-length", str(len(body or b"")))
            connection.endheaders(body)
            found = connection.getresponse()
            return HttpAnswer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def request(self, step: Mapping[str, Any]) -> HttpAnswer:
        """The request of a recorded step, after what it waits for has come true."""
        waited = step.get("wait_for")
        if waited is not None:
            self.wait_for(self.filled(waited["path"]), self.filled(waited["match"]))
        if "raw" in step:
            body: bytes | None = self.filled(step["raw"]).encode()
        else:
            body = json.dumps(self.filled(step["body"])).encode() if "body" in step else None
        return self.call(step["method"], self.filled(step["path"]), body, self.filled(step.get("headers")))

    def wait_for(self, path: str, match: Any) -> None:
        """Until the answer holds what is expected; a timeout is left to the comparison that follows."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            answer = self.call("GET", path)
            if answer.status == 200 and holds(match, answer.json):
                return
            time.sleep(0.02)

    def delete(self, *names: str) -> None:
        """Clean up after a scenario, whatever the names hold."""
        for name in names:
            with suppress(Exception):
                self.herder.delete(name)

    # -- actions ------------------------------------------------------------------------------

    def act(self, step: Mapping[str, Any]) -> None:
        """A step that is no request."""
        match step["do"]:
            case "write_file":
                Path(self.filled(step["path"])).write_text(step["text"])
            case "append_file":
                with Path(self.filled(step["path"])).open("a") as out:
                    out.write(step["text"])
            case "create_topic":
                self.admin.create_topic(step["topic"], partitions=step["partitions"], exists_ok=True)
            case "produce":
                producer = Producer({"bootstrap.servers": self.broker.bootstrap_servers})
                for record in step["records"]:
                    producer.produce(step["topic"], record["value"], partition=record["partition"])
                assert producer.flush(20) == 0
            case "sql":
                assert self.server is not None
                with self.server.connect(self.database) as connection, connection.cursor() as cursor:
                    for statement in step["statements"]:
                        cursor.execute(self.filled(statement))
            case "sleep":
                # The recorder gave the worker time; here the step that follows waits for what it expects.
                pass
            case other:
                raise AssertionError(f"unknown action {other!r}")


def holds(expected: Any, actual: Any) -> bool:
    """Whether `actual` has everything that `expected` has; lists must agree in length."""
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(key in actual and holds(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(expected) == len(actual)
            and all(holds(a, b) for a, b in zip(expected, actual, strict=True))
        )
    return bool(expected == actual)


def with_account(server: Server, database: str) -> Server:
    """The server with an empty database and the account of the recordings."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"drop database if exists {database}")
        cursor.execute(f"create database {database}")
        for host in ("%", "localhost"):
            cursor.execute(f"create or replace user {DB_USER}@'{host}' identified by '{DB_PASSWORD}'")
            cursor.execute(f"grant all on *.* to {DB_USER}@'{host}' with grant option")
    return server


@contextmanager
def log_levels_restored() -> Iterator[None]:
    """Recordings change the level of every logger there is."""
    known = {None: logging.root.level} | {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    logging.root.setLevel(logging.INFO)
    try:
        yield
    finally:
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger):
                logger.setLevel(known.get(name, logging.NOTSET))
        logging.root.setLevel(known[None])
