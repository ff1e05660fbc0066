"""The broker: wires logs, topics and groups together, listens, and keeps the data folder to itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from syncline.broker.configs import Settings
from syncline.broker.connection import Connection
from syncline.broker.coordinator import CoordinatorConfig, GroupCoordinator, TopicCatalogue
from syncline.broker.credentials import KIND as SCRAM_KIND
from syncline.broker.credentials import Credentials
from syncline.broker.data_folder import DataFolder
from syncline.broker.endpoints import Endpoint
from syncline.broker.errors import BrokerError, KafkaError, StorageError
from syncline.broker.features import Features
from syncline.broker.fetch_sessions import FetchSessions
from syncline.broker.files import OpenFiles
from syncline.broker.flusher import Flusher
from syncline.broker.group_log import GroupLog
from syncline.broker.handlers import APIS
from syncline.broker.limits import Admission, RequestMemory
from syncline.broker.listeners import listeners_of
from syncline.broker.log import PartitionLog
from syncline.broker.metrics import Metrics
from syncline.broker.scram_users import scram_user
from syncline.broker.topics import METADATA_TOPIC, OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topic, Topics
from syncline.broker.transactions import Transactions
from syncline.broker.upkeep import Upkeep
from syncline.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from syncline.broker.metrics_server import MetricsServer

log = logging.getLogger(__name__)

T = TypeVar("T")

CONFIG_KIND: Final = "config"
"""Of records in the metadata log: settings that were changed while the broker ran."""
MOST_UNSENT: Final = 64 * 1024 * 1024
"""Bytes waiting for slow readers before answers hold a single batch each."""
PRODUCER_ID_BLOCK: Final = 1000
"""Ids reserved with one record, so that a restart never hands one out twice."""
METADATA_SEGMENT: Final = 1 << 20
"""Bytes after which a segment of the metadata log is closed, and compacted."""


class Broker:
    """One node, for development and tests.

    `path` holds the data and is created if missing; `port` 0 takes a free one. `settings` are Kafka's
    `server.properties` keys (see `syncline.broker.configs`); where they name `listeners`, `host` and `port` are not
    looked at. `users` get SCRAM credentials where they have none yet (see `scram_users`). Use as an async context
    manager; BrokerError says in one sentence why it cannot start.
    """

    def __init__(
        self,
        path: Path | str,
        port: int = 0,
        host: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
        users: Sequence[str] = (),
    ) -> None:
        self.folder = Path(path)
        self._data_folder = DataFolder(self.folder)
        try:
            self.settings = Settings(settings)
        except KafkaError as exc:
            raise BrokerError(str(exc)) from exc
        self._users = [scram_user(text) for text in users]
        self.listeners = listeners_of(self.settings, host, port)
        self.endpoints: list[Endpoint] = []
        self.admission = Admission(self.settings)
        self.request_memory = RequestMemory(self.settings.number("queued.max.request.bytes"))
        self.credentials = Credentials(self._remember)
        self.connections: set[Connection] = set()
        self.metrics = Metrics()
        self._scrapes: MetricsServer | None = None
        self.unsent_bytes = 0
        """In answers that wait for slow readers."""
        self._running = False
        self._next_producer_id = 0
        self._reserved_producer_ids = 0
        self._files = OpenFiles()
        self._flusher = Flusher(self.settings.text("flush"), self._files)
        self._upkeep: Upkeep
        self._metadata: PartitionLog
        self.features: Features
        self.fetch_sessions = FetchSessions()
        self.topics: Topics
        self.groups: GroupCoordinator
        self.transactions: Transactions

    @property
    def cluster_id(self) -> str:
        """Of the data folder, once the broker has it."""
        return self._data_folder.cluster_id

    @property
    def port(self) -> int:
        """Of the first listener."""
        return self.endpoints[0].port if self.endpoints else self.listeners[0].port

    @property
    def bootstrap_servers(self) -> str:
        """What clients put into `bootstrap.servers` to come to the first listener."""
        return self.endpoints[0].bootstrap_servers

    def address_of(self, listener: str) -> str:
        """What clients put into `bootstrap.servers` to come to the listener of that name."""
        return next(e.bootstrap_servers for e in self.endpoints if e.listener.name == listener.upper())

    @property
    def metrics_url(self) -> str | None:
        """Where Prometheus finds the metrics; None unless `prometheus.port` was given."""
        return None if self._scrapes is None else self._scrapes.url

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover the data and listen; returns when clients can connect."""
        with contextlib.ExitStack() as undo:
            self._data_folder.take()
            undo.callback(self._release_folder)
            self._recover()
            undo.callback(self.groups.close)
            undo.callback(self._close_endpoints)
            await self._listen()
            self._upkeep = Upkeep(self, self._flusher, self._files)
            undo.pop_all()
        self._running = True
        self._upkeep.start()
        log.warning(
            "Syncline broker: single node, for development and tests; listening on %s",
            ", ".join(f"{e.listener.name}://{e.bootstrap_servers}" for e in self.endpoints),
        )

    async def stop(self) -> None:
        """Close connections, make everything durable, give the folder back."""
        if not self._running:
            return
        self._running = False
        self._close_endpoints()
        await self._upkeep.stop()
        for connection in list(self.connections):
            connection.close()
        self.groups.close()
        try:
            await self._flusher.flush()
            self._close_logs()
            await asyncio.to_thread(self.topics.close)
        finally:
            self._release_folder()

    def _close_logs(self) -> None:
        """What the disk refuses is logged; a restart finds the rest."""
        for partition in (*self.topics.logs(), self._metadata):
            try:
                partition.close()
            except OSError as exc:
                log.error("%s cannot be made durable: %s", partition.folder.name, exc)
        with contextlib.suppress(StorageError):
            self.topics.checkpoint()

    def _release_folder(self) -> None:
        self._files.close()
        self._data_folder.release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _recover(self) -> None:
        began = time.monotonic()
        self._metadata = PartitionLog(
            self.folder / f"{METADATA_TOPIC}-0",
            segment_bytes=METADATA_SEGMENT,
            sync=True,
            files=self._files,
            due=self._flusher.due,
        )
        topics: dict[str, Mapping[str, Any]] = {}
        levels: dict[str, int] = {}
        for record in self._metadata.records():
            kind, _, name = (record.key or b"").decode().partition(":")
            if kind == "topic" and record.value is None:
                topics.pop(name, None)
            elif kind == "topic":
                topics[name] = json.loads(record.value or b"{}")
            elif kind == SCRAM_KIND:
                self.credentials.replay(name, record.value)
            elif kind == "feature":
                levels[name] = int(record.value or b"0")
            elif kind == CONFIG_KIND:
                scope, _, resource = name.partition(":")
                self._keep_settings(scope, resource, json.loads(record.value or b"{}"))
            elif kind == "producer-ids":
                self._next_producer_id = self._reserved_producer_ids = int(record.value or b"0")
        self._add_users()
        self.topics = Topics(self.folder, self.settings, self._metadata, self._files, self._flusher.due)
        self.topics.replay(topics)
        self.features = Features(self._metadata, levels)
        self._open_groups()
        self.transactions = Transactions(self)
        log.info("recovered %d topic(s) in %.3f s", len(topics), time.monotonic() - began)

    def _open_groups(self) -> None:
        offsets = self.topics.get(OFFSETS_TOPIC)
        if offsets is None:
            offsets = self.topics.create(
                OFFSETS_TOPIC,
                self.settings.number("offsets.topic.num.partitions"),
                {"cleanup.policy": "compact", "segment.bytes": "104857600"},
            )
        self.groups = GroupCoordinator.open(
            GroupLog(offsets.partitions, SYSTEM_CLOCK),
            TopicCatalogue(self.topics),
            SYSTEM_CLOCK,
            asyncio.get_running_loop(),
            CoordinatorConfig.of(self.settings),
        )

    def _add_users(self) -> None:
        """Those who have a credential keep it: it may be newer than what the broker is started with each time."""
        for user in self._users:
            if self.credentials.get(user.mechanism, user.name) is None:
                self.credentials.put(user.mechanism, user.name, user.credential)
                log.info("user %s has a %s credential now", user.name, user.mechanism)
            else:
                log.info("user %s keeps the %s credential that is there already", user.name, user.mechanism)

    async def _listen(self) -> None:
        def connect(endpoint: Endpoint) -> Connection:
            return Connection(self, APIS, endpoint)

        self.endpoints.clear()
        for listener in self.listeners:
            endpoint = Endpoint(listener, self.settings, self.credentials)
            await endpoint.open(connect)
            self.endpoints.append(endpoint)
        port = self.settings.number("prometheus.port")
        if port >= 0:
            from syncline.broker.metrics_server import MetricsServer  # with a library that few brokers need

            self._scrapes = MetricsServer(self)
            await self._scrapes.open(self.settings.text("prometheus.host"), port)
            log.info("metrics for Prometheus at %s", self.metrics_url)

    def _close_endpoints(self) -> None:
        for endpoint in self.endpoints:
            endpoint.close()
        if self._scrapes is not None:
            self._scrapes.close()

    def _remember(self, key: bytes, value: bytes | None) -> None:
        self._metadata.append_records([(key, value)], self.now_ms())

    # -- topics, for who holds the broker itself ------------------------------------------------

    def create_topic(self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
        """Create a topic; KafkaError when it is there already or cannot be. On the broker's own loop only."""
        self.topics.create(name, partitions, configs or {})

    def delete_topic(self, name: str) -> bool:
        """Delete a topic with its records; False when there is none. On the broker's own loop only."""
        topic = self.topics.get(name)
        if topic is None:
            return False
        self.delete(topic)
        return True

    # -- what handlers need -------------------------------------------------------------------

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def delete(self, topic: Topic) -> None:
        """Delete a topic with its records and its committed offsets; KafkaError when that cannot be written down.

        With an internal topic goes all that was replayed from it. As in Kafka, there is soon another one.
        """
        self.topics.delete(topic)
        if topic.name == OFFSETS_TOPIC:
            self.groups.close()
            self._open_groups()
            return
        if topic.name == TRANSACTIONS_TOPIC:
            self.transactions.forget_all()
        with contextlib.suppress(KafkaError):  # it was logged; the offsets of a topic that is gone harm nobody
            self.groups.forget_topic(topic.name)

    def store_settings(self, scope: str, name: str, configs: Mapping[str, str]) -> None:
        """Replace what was set while running, for a "broker" (all brokers where the name is empty) or a "group"."""
        value = json.dumps(dict(configs)).encode() if configs else None
        self._metadata.append_records([(f"{CONFIG_KIND}:{scope}:{name}".encode(), value)], self.now_ms())
        self._keep_settings(scope, name, configs)
        if scope == "group":
            self.groups.reconfigure(name)
        else:
            self.topics.apply_settings()

    def _keep_settings(self, scope: str, name: str, configs: Mapping[str, str]) -> None:
        if scope == "group":
            self.settings.of_group.pop(name, None)
            if configs:
                self.settings.of_group[name] = dict(configs)
        elif name:
            self.settings.of_broker = dict(configs)
        else:
            self.settings.of_cluster = dict(configs)

    def new_producer_id(self) -> int:
        """An id that was never handed out before."""
        if self._next_producer_id >= self._reserved_producer_ids:
            reserved = self._next_producer_id + PRODUCER_ID_BLOCK
            self._metadata.append_records([(b"producer-ids:", str(reserved).encode())], self.now_ms())
            self._reserved_producer_ids = reserved
        self._next_producer_id += 1
        return self._next_producer_id - 1

    def fetch_limit(self) -> int:
        """Bytes of records one answer may hold: `fetch.max.bytes`, and less while slow readers hold much."""
        most = self.settings.number("fetch.max.bytes")
        return max(min(most, MOST_UNSENT - self.unsent_bytes), 0)

    def api_versions(self) -> dict[str, Any]:
        """The body of an ApiVersions answer."""
        return {
            "api_keys": [
                {
                    "api_key": api.key,
                    "min_version": api.lowest if api.advertised_lowest is None else api.advertised_lowest,
                    "max_version": api.highest,
                }
                for api in sorted(APIS.values(), key=lambda api: api.key)
            ],
            **self.features.described(),
        }


class BrokerThread:
    """A broker on a thread of its own, for tests; a context manager."""

    def __init__(self, path: Path | str, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        self.broker = Broker(path, port, settings=settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)

    @property
    def bootstrap_servers(self) -> str:
        """What clients put into `bootstrap.servers`."""
        return self.broker.bootstrap_servers

    def create_topic(self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
        """Create a topic, from any thread; KafkaError when it is there already or cannot be."""
        self._ask(lambda: self.broker.create_topic(name, partitions, configs))

    def delete_topic(self, name: str) -> bool:
        """Delete a topic with its records, from any thread; False when there is none."""
        return self._ask(lambda: self.broker.delete_topic(name))

    def _ask(self, what: Callable[[], T]) -> T:
        async def answered() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(answered(), self._loop).result(60)

    def start(self) -> None:
        """Returns when clients can connect; BrokerError otherwise."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.broker.start(), self._loop).result(60)
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """Returns when everything is durable and closed."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self.broker.stop(), self._loop).result(60)
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
