"""Composition root: makes whole programs out of the parts. The only module that may import everything.

That of the broker is `broker_app`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import socket
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from syncline.broker_app import log_to_stderr, overrides_of
from syncline.clock import SYSTEM_CLOCK
from syncline.cluster.distributed import DistributedHerder
from syncline.cluster.files import read_connector
from syncline.cluster.herder import Herder
from syncline.cluster.standalone import StandaloneHerder
from syncline.errors import ConnectError, SynclineError
from syncline.ids import TopicPartition
from syncline.kafka.client import KAFKA, Admin, Consumer, Producer
from syncline.kafka.errors import TopicExists
from syncline.kafka.ports import (
    BEGINNING,
    END,
    LOG_APPEND_TIME,
    GroupDetails,
    KafkaRecord,
    MemberDetails,
    PartitionDetails,
    Rebalance,
    Resource,
    Setting,
    TopicDetails,
)
from syncline.kafka.ports import Admin as KafkaAdmin
from syncline.kafka.ports import Consumer as KafkaConsumer
from syncline.kafka.ports import Producer as KafkaProducer
from syncline.options.properties import read_properties
from syncline.options.providers import resolve_worker
from syncline.rest.app import Part, RestApp, RestSettings
from syncline.rest.server import Listener, RestServer, Tls, bind
from syncline.stores.file import FileOffsets
from syncline.worker.group_settings import known_names
from syncline.worker.pipeline import refuse_unknown_converters
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerOptions, WorkerSettings

__all__ = [
    "BEGINNING",
    "END",
    "LOG_APPEND_TIME",
    "ConnectWorker",
    "DistributedWorker",
    "GroupDetails",
    "KafkaAdmin",
    "KafkaConsumer",
    "KafkaProducer",
    "KafkaRecord",
    "MemberDetails",
    "PartitionDetails",
    "Rebalance",
    "Resource",
    "Setting",
    "StandaloneWorker",
    "TopicDetails",
    "TopicExists",
    "kafka_admin",
    "kafka_producer",
    "kafka_records",
    "kafka_tool_admin",
    "kafka_tool_consumer",
    "kafka_tool_producer",
    "kafka_watermarks",
    "read_connector",
    "read_properties",
    "run_console",
    "run_distributed",
    "run_standalone",
    "worker_properties",
]

log = logging.getLogger(__name__)


class ConnectWorker(ABC):
    """A Connect worker in this process: REST interface and herder."""

    def __init__(self, settings: WorkerSettings) -> None:
        """ConfigError when the configuration cannot be used, or a port is taken."""
        options = settings.options
        with ExitStack() as undo:
            listeners = [_bound(undo, address, "listeners") for address in options.listeners or ["http://:8083"]]
            apart = [_bound(undo, address, "admin.listeners") for address in options.admin_listeners or []]
            first = _advertised(options, listeners)
            self.worker_id = _worker_id(options, first)
            self.port = listeners[0].port
            plugins = Plugins.installed(options.plugin_path)
            refuse_unknown_converters(plugins, settings)
            self.herder = self._herder(settings, plugins, f"{first.scheme}://{self.worker_id}/")
            ours = Part.ALL if options.admin_listeners is None else Part.WITHOUT_ADMIN
            self._servers = [
                *_servers(self.herder, settings, listeners, ours, "listeners.https."),
                *_servers(self.herder, settings, apart, Part.ADMIN_ONLY, "admin.listeners.https."),
            ]
            undo.pop_all()

    @abstractmethod
    def _herder(self, settings: WorkerSettings, plugins: Plugins, url: str) -> Herder:
        """`url` is where other workers reach this one."""

    def start(self) -> None:
        """Returns when connectors can be created; `/health` answers meanwhile."""
        for server in self._servers:
            server.start()
        self.herder.start()
        log.info("Syncline Connect worker %s is ready", self.worker_id)

    def stop(self) -> None:
        """REST first, then tasks and connectors."""
        for server in self._servers:
            server.stop()
        self.herder.stop()


class StandaloneWorker(ConnectWorker):
    """Source offsets in a file, connectors in memory."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        settings = WorkerSettings.of(resolve_worker(properties)).standalone()
        settings.warn_of_unused()
        super().__init__(settings)

    def _herder(self, settings: WorkerSettings, plugins: Plugins, url: str) -> Herder:
        return StandaloneHerder(settings, plugins, FileOffsets(Path(settings.options.offset_file)), self.worker_id)


class DistributedWorker(ConnectWorker):
    """Everything in the three topics of the worker's group."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        settings = WorkerSettings.of(resolve_worker(properties))
        settings.warn_of_unused(known_names())
        super().__init__(settings)

    def _herder(self, settings: WorkerSettings, plugins: Plugins, url: str) -> Herder:
        return DistributedHerder(settings, plugins, self.worker_id, url)


def _bound(undo: ExitStack, address: str, key: str) -> Listener:
    listener = bind(address, key)
    undo.callback(listener.socket.close)
    return listener


def _advertised(options: WorkerOptions, listeners: Sequence[Listener]) -> Listener:
    wanted = (options.advertised_listener or "http").lower()
    return next((listener for listener in listeners if listener.scheme == wanted), listeners[0])


def _worker_id(options: WorkerOptions, listener: Listener) -> str:
    """Host and port under which other workers and users reach this one."""
    host = options.advertised_host or listener.host
    if host in ("", "0.0.0.0", "::"):
        host = socket.gethostname()
    return f"{host}:{options.advertised_port or listener.port}"


def _servers(
    herder: Herder, settings: WorkerSettings, listeners: Sequence[Listener], part: Part, prefix: str
) -> list[RestServer]:
    options = settings.options
    rest = RestSettings.of(
        origins=options.allow_origin,
        methods=options.allow_methods,
        extra_headers=options.response_headers,
        part=part,
    )
    return [
        RestServer(
            RestApp(herder, rest),
            listener,
            Tls.of(settings.properties, prefix) if listener.scheme == "https" else None,
        )
        for listener in listeners
    ]


def worker_properties(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """A worker's properties file; variables such as CONNECT_GROUP_ID win over it, as in container images.

    After the prefix `_` stands for a dot, `__` for an underscore and `___` for a dash.
    """
    prefix = "CONNECT_"
    given = {
        re.sub("_{1,3}", lambda run: {1: ".", 2: "_", 3: "-"}[len(run[0])], name.removeprefix(prefix).lower()): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    return {**read_properties(path), **given}


class _Ended(BaseException):
    """A signal came while the worker was starting."""


def run_standalone(worker_file: Path, connector_files: Sequence[Path]) -> int:
    """What `connect-standalone` runs until SIGTERM or SIGINT: the exit status, as Kafka Connect has it.

    0 after a clean stop, 2 when the worker cannot start, 3 when a connector cannot be created.
    """

    def make() -> StandaloneWorker:
        return StandaloneWorker(worker_properties(worker_file, os.environ))

    return _run_worker(make, connector_files)


def run_distributed(worker_file: Path, overrides: Sequence[str]) -> int:
    """What `connect-distributed` runs, likewise; overrides are `name=value`."""

    def make() -> DistributedWorker:
        return DistributedWorker({**worker_properties(worker_file, os.environ), **overrides_of(overrides)})

    return _run_worker(make, [])


def _run_worker(make: Callable[[], ConnectWorker], connector_files: Sequence[Path]) -> int:
    log_to_stderr()
    ended = threading.Event()
    started = False

    def on_signal(number: int, frame: object) -> None:
        # A second one ends the process at once, whatever still hangs.
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        ended.set()
        if not started:
            raise _Ended

    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, on_signal)
    worker = None
    try:
        worker = make()
        worker.start()
        started = True
        _collect_rarely()
        for path in connector_files:
            name, config, target = read_connector(path)
            worker.herder.create(name, config, target)
            log.info("connector %s created from %s", name, path)
        ended.wait()
    except SynclineError as exc:
        if started:
            return _failed(f"{path}: the connector cannot be created: {exc}", 3)
        return _failed(f"the worker cannot start: {exc}", 2)
    except _Ended:
        return 0
    finally:
        if worker is not None:
            worker.stop()
    return 0


def _collect_rarely() -> None:
    """Fit the garbage collector to a process that holds thousands of records at a time.

    Records and their values are freed by counting references; the collector, as it is by default, walks over all of
    them again and again, which costs a sink a fifth of its speed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _quietly(properties: Mapping[str, str]) -> dict[str, str]:
    """librdkafka's own log lines stay out of what commands print."""
    logging.getLogger("syncline.kafka.client").setLevel(logging.CRITICAL)
    logging.getLogger("syncline.kafka.config").setLevel(logging.ERROR)
    return dict(properties)


def kafka_tool_admin(properties: Mapping[str, str]) -> KafkaAdmin:
    """An admin client for Kafka's own tools."""
    return KAFKA.admin(_quietly(properties))


def kafka_tool_producer(properties: Mapping[str, str]) -> KafkaProducer:
    """A producer for them."""
    return KAFKA.producer(_quietly(properties))


def kafka_tool_consumer(properties: Mapping[str, str]) -> KafkaConsumer:
    """A consumer for them."""
    return KAFKA.consumer(_quietly(properties))


def kafka_admin(bootstrap: str) -> Admin:
    """An admin client for commands; librdkafka's own log lines stay quiet."""
    logging.getLogger("syncline.kafka.client").setLevel(logging.CRITICAL)
    return Admin({"bootstrap.servers": bootstrap})


def kafka_producer(bootstrap: str) -> Producer:
    """A producer for commands."""
    logging.getLogger("syncline.kafka.client").setLevel(logging.CRITICAL)
    return Producer({"bootstrap.servers": bootstrap, "message.timeout.ms": "30000"})


def kafka_watermarks(bootstrap: str, topic: str, partitions: int) -> list[tuple[int, int]]:
    """First and end offset of each partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "syncline-cli"})
    try:
        return [consumer.watermarks(TopicPartition(topic, number)) for number in range(partitions)]
    finally:
        consumer.close()


def kafka_records(bootstrap: str, topic: str, from_beginning: bool, timeout_ms: int | None) -> Iterator[KafkaRecord]:
    """Records of all partitions, from their beginning or from now on, without a group."""
    admin = kafka_admin(bootstrap)
    facts = admin.topic(topic)
    if facts is None:
        raise ConnectError(f"topic {topic} does not exist; `syncline topics list` shows those that do")
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "syncline-cli"})
    try:
        start = BEGINNING if from_beginning else END
        consumer.assign({TopicPartition(topic, number): start for number in range(facts.partitions)})
        quiet_since = SYSTEM_CLOCK.monotonic()
        while True:
            found = consumer.read(500, 0.1)
            if found:
                yield from found
                quiet_since = SYSTEM_CLOCK.monotonic()
            elif timeout_ms is not None and SYSTEM_CLOCK.monotonic() - quiet_since > timeout_ms / 1000:
                return
    finally:
        consumer.close()


def run_console(
    host: str,
    port: int,
    *,
    databases: Mapping[str, str],
    bootstrap: str | None,
    connect: str | None,
    links: Sequence[tuple[str, str]],
) -> int:
    """What `console` runs until SIGTERM; `databases` are URLs by name. ConfigError for what cannot be used."""
    from syncline.client.client import ConnectClient
    from syncline.console.databases import Databases
    from syncline.console.pages import Console, Places
    from syncline.console.topics import Topics
    from syncline.kit import logs
    from syncline.kit.db import Database
    from syncline.kit.service import Service
    from syncline.kit.settings import ServiceSettings

    pools = {name: Database(url) for name, url in databases.items()}
    places = Places(
        databases=Databases({name: (pool.shown, pool.begin) for name, pool in pools.items()}),
        topics=None if bootstrap is None else Topics(partial(_cluster, bootstrap, kafka_admin(bootstrap))),
        connect=None if connect is None else lambda: ConnectClient(connect, seconds=10),
        links=links,
    )
    logs.configure("info")
    service = Service("console", ServiceSettings(host=host, port=port))
    service.app.mount("/", Console(places).app)
    asyncio.run(service.serve())
    return 0


@contextmanager
def _cluster(bootstrap: str, admin: Admin) -> Iterator[_Cluster]:
    """A cluster to look at, for one request."""
    properties = {"bootstrap.servers": bootstrap, "group.id": "syncline-console", "isolation.level": "read_committed"}
    consumer = Consumer(properties)
    try:
        yield _Cluster(admin, consumer)
    finally:
        consumer.close()


class _Cluster:
    """An admin client and a consumer as the console's one reader."""

    def __init__(self, admin: Admin, consumer: Consumer) -> None:
        self.topics = admin.topics
        self.watermarks = consumer.watermarks
        self.read = consumer.read
        self._consumer = consumer

    def assign(self, partition: TopicPartition, offset: int) -> None:
        self._consumer.assign({partition: offset})


def _failed(text: str, status: int) -> int:
    print(f"syncline: {text}", file=sys.stderr)  # noqa: T201  # the process's last word
    return status
