"""Composition root: makes whole programs out of the parts. The only module that may import everything."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from syncline.clock import SYSTEM_CLOCK
from syncline.cluster.standalone import StandaloneHerder
from syncline.errors import ConfigError, ConnectError, SynclineError
from syncline.ids import TopicPartition
from syncline.kafka.client import Admin, Consumer, Producer
from syncline.kafka.ports import BEGINNING, END, KafkaRecord
from syncline.options.properties import read_properties
from syncline.rest.app import RestApp
from syncline.rest.server import RestServer, bind
from syncline.stores.file import FileOffsets
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.states import Target

log = logging.getLogger(__name__)


def log_to_stderr(level: str = "INFO") -> None:
    """Log lines for people, on standard error; SYNCLINE_LOG overrides the level."""
    chosen = os.environ.get("SYNCLINE_LOG", level).upper()
    logging.basicConfig(
        level=chosen, stream=sys.stderr, format="[%(asctime)s] %(levelname)s %(message)s (%(name)s)", force=True
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class StandaloneWorker:
    """A standalone Connect worker in this process: herder, REST interface, offset file."""

    def __init__(self, properties: dict[str, str]) -> None:
        settings = WorkerSettings.of(properties).standalone()
        listeners = settings.options.listeners or ["http://:8083"]
        self._listener = bind(listeners[0])
        host = settings.options.advertised_host or self._listener.host
        if host in ("", "0.0.0.0", "::"):
            host = socket.gethostname()
        self.worker_id = f"{host}:{settings.options.advertised_port or self._listener.port}"
        self.port = self._listener.port
        self.herder = StandaloneHerder(
            settings, Plugins.installed(), FileOffsets(Path(settings.options.offset_file)), self.worker_id
        )
        app = RestApp(
            self.herder, allow_origin=settings.options.allow_origin, allow_methods=settings.options.allow_methods
        )
        self._rest = RestServer(app, self._listener)

    def start(self) -> None:
        """Returns when the REST interface answers and connectors can be created."""
        try:
            self.herder.start()
        except BaseException:
            self._listener.socket.close()
            raise
        self._rest.start()
        log.info("Syncline Connect worker %s is ready", self.worker_id)

    def stop(self) -> None:
        """REST first, then connectors and tasks, as Kafka Connect does."""
        self._rest.stop()
        self.herder.stop()


def run_standalone(worker_file: Path, connector_files: Sequence[Path]) -> int:
    """What `connect-standalone` runs. Status 2 when the worker cannot start, 3 when a connector cannot be made."""
    log_to_stderr()
    ended = threading.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: ended.set())
    try:
        worker = StandaloneWorker(read_properties(worker_file))
        worker.start()
    except SynclineError as exc:
        return _failed(f"the worker cannot start: {exc}", 2)
    try:
        for path in connector_files:
            name, config, target = read_connector(path)
            worker.herder.create(name, config, target)
            log.info("connector %s created from %s", name, path)
        ended.wait()
    except SynclineError as exc:
        return _failed(f"{path}: the connector cannot be created: {exc}", 3)
    finally:
        worker.stop()
    return 0


def run_broker(data: Path, port: int, host: str, config: Path | None, overrides: Sequence[str]) -> int:
    """What `broker` runs; overrides are `name=value`."""
    settings = read_properties(config) if config is not None else {}
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"--override {override!r} is not of the form name=value")
        settings[name.strip()] = value.strip()
    from syncline.broker.server import serve

    return serve(data, port, host, settings)


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


def _failed(text: str, status: int) -> int:
    print(f"syncline: {text}", file=sys.stderr)  # noqa: T201  # the process's last word
    return status


def read_connector(path: Path) -> tuple[str, dict[str, str | None], Target | None]:
    """A connector file: a JSON object, flat or with name, config and initial_state, or Java properties."""
    try:
        content: Any = json.loads(path.read_text())
    except OSError as exc:
        raise ConfigError(f"connector file {path} cannot be read: {exc.strerror}") from exc
    except ValueError:
        content = read_properties(path)
    if not isinstance(content, dict):
        raise ConfigError(f"connector file {path} holds no JSON object")
    target = None
    if isinstance(content.get("config"), dict):
        states = {"RUNNING": Target.STARTED, "PAUSED": Target.PAUSED, "STOPPED": Target.STOPPED}
        target = states.get(str(content.get("initial_state", "RUNNING")).upper())
        content = {"name": content.get("name"), **content["config"]}
    if not content.get("name"):
        raise ConfigError(f"connector file {path} names no connector: 'name' is missing")
    return str(content["name"]), {k: None if v is None else str(v) for k, v in content.items()}, target
