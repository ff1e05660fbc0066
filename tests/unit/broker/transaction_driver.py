"""The broker's transactional parts without its network: logs on disk, handlers called directly, crashes on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kio.index import load_request_schema

from syncline.broker.configs import Settings
from syncline.broker.coordinator import CoordinatorConfig, GroupCoordinator, TopicCatalogue
from syncline.broker.fetch_sessions import FetchSessions
from syncline.broker.files import OpenFiles
from syncline.broker.group_log import GroupLog
from syncline.broker.handlers import APIS
from syncline.broker.log import PartitionLog
from syncline.broker.metrics import Metrics
from syncline.broker.records import Batch, Producer, batches, make_batch, marker_of, records_of
from syncline.broker.topics import METADATA_TOPIC, OFFSETS_TOPIC, Topics
from syncline.broker.transactions import Transactions
from syncline.broker.wire import Context
from tests.integration.broker.raw import built
from tests.unit.broker.manual import ManualTime

PRODUCE, FETCH, OFFSET_FETCH, INIT, ADD_PARTITIONS, ADD_OFFSETS, END, TXN_OFFSET_COMMIT = 0, 1, 9, 22, 24, 25, 26, 28
TOPIC = "orders"
PARTITIONS = 2
TIMEOUT_MS = 60_000


class Crash(BaseException):
    """The process ended here."""


class World:
    """What handlers know as the broker, on one folder. Everything it has said is on disk when a call returns."""

    def __init__(self, folder: Path, time: ManualTime) -> None:
        self.folder = folder
        self.time = time
        self.settings = Settings({"offsets.topic.num.partitions": "2"})
        self.metrics = Metrics()
        self.fetch_sessions = FetchSessions()
        self._ids = itertools.count(1000)
        self._left: int | None = None
        """Appends until the crash."""
        self.open()
        self.topics.create(TOPIC, PARTITIONS, {})

    def open(self) -> None:
        """Start, or start again."""
        self._files = OpenFiles()
        metadata = PartitionLog(self.folder / f"{METADATA_TOPIC}-0", files=self._files)
        known: dict[str, Any] = {}
        for record in metadata.records():
            known[(record.key or b"").decode().partition(":")[2]] = json.loads(record.value or b"null")
        self.topics = Topics(self.folder, self.settings, metadata, self._files, set())
        self.topics.replay(known)
        offsets = self.topics.get(OFFSETS_TOPIC) or self.topics.create(OFFSETS_TOPIC, 2, {})
        self.groups = GroupCoordinator.open(
            GroupLog(offsets.partitions, self.time),
            TopicCatalogue(self.topics),
            self.time,
            self.time,
            CoordinatorConfig.of(self.settings),
        )
        self.transactions = Transactions(self)

    def restart(self) -> None:
        self.abandon()
        self.open()

    def abandon(self) -> None:
        """The process is gone; what it had not written is lost."""
        if hasattr(self, "groups"):
            self.groups.close()
        self._files.close()

    @contextmanager
    def crashing(self, after: int | None) -> Iterator[None]:
        """Crash once `after` appends were made, before the next one; None: never."""
        append = PartitionLog.append

        def counted(log: PartitionLog, data: bytes, found: list[Batch]) -> int:
            if self._left == 0:
                raise Crash
            if self._left is not None:
                self._left -= 1
            return append(log, data, found)

        self._left = after
        PartitionLog.append = counted  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            PartitionLog.append = append  # type: ignore[method-assign]
            self._left = None

    # -- what handlers need -------------------------------------------------------------------

    def now_ms(self) -> int:
        return self.time.wall_ms()

    def fetch_limit(self) -> int:
        return 1 << 20

    def new_producer_id(self) -> int:
        return next(self._ids)

    # -- requests -----------------------------------------------------------------------------

    def ask(self, api_key: int, version: int, /, **fields: Any) -> Any:
        """The answer of a handler, a plain dict."""
        request = built(load_request_schema(api_key, version), fields)
        return APIS[api_key].handler(self, request, Context(api_key, version, "client", "host"))

    def init(self, name: str) -> tuple[int, int, int]:
        """Code, producer id and epoch."""
        asked = {"transactional_id": name, "transaction_timeout": TIMEOUT_MS, "producer_id": -1, "producer_epoch": -1}
        answer = self.ask(INIT, 5, **asked)
        return answer["error_code"], answer["producer_id"], answer["producer_epoch"]

    def add(self, name: str, producer: tuple[int, int], number: int) -> int:
        topics = [{"name": TOPIC, "partitions": [number]}]
        answer = self.ask(
            ADD_PARTITIONS,
            3,
            v3_and_below_transactional_id=name,
            v3_and_below_producer_id=producer[0],
            v3_and_below_producer_epoch=producer[1],
            v3_and_below_topics=topics,
        )
        code: int = answer["results_by_topic_v3_and_below"][0]["results_by_partition"][0]["partition_error_code"]
        return code

    def produce(
        self, name: str, producer: tuple[int, int], number: int, sequence: int, value: str, version: int
    ) -> int:
        records: list[tuple[bytes | None, bytes | None]] = [(None, value.encode())]
        data = make_batch(records, self.now_ms(), producer=Producer(*producer, sequence), transactional=True)
        topics = [{"name": TOPIC, "partition_data": [{"index": number, "records": data}]}]
        answer = self.ask(PRODUCE, version, transactional_id=name, acks=-1, timeout=1000, topic_data=topics)
        code: int = answer["responses"][0]["partition_responses"][0]["error_code"]
        return code

    def add_offsets(self, name: str, producer: tuple[int, int], group: str) -> int:
        asked = {"transactional_id": name, "producer_id": producer[0], "producer_epoch": producer[1], "group_id": group}
        code: int = self.ask(ADD_OFFSETS, 3, **asked)["error_code"]
        return code

    def offsets(self, name: str, producer: tuple[int, int], group: str, offset: int, version: int) -> int:
        part = {"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}
        asked = {"transactional_id": name, "producer_id": producer[0], "producer_epoch": producer[1], "group_id": group}
        answer = self.ask(
            TXN_OFFSET_COMMIT, version, **asked, generation_id=-1, topics=[{"name": TOPIC, "partitions": [part]}]
        )
        code: int = answer["topics"][0]["partitions"][0]["error_code"]
        return code

    def end(self, name: str, producer: tuple[int, int], commits: bool, version: int) -> tuple[int, int, int]:
        """Code, and the producer id and epoch from then on."""
        asked = {"transactional_id": name, "producer_id": producer[0], "producer_epoch": producer[1]}
        answer = self.ask(END, version, **asked, committed=commits)
        return answer["error_code"], answer["producer_id"], answer["producer_epoch"]

    # -- looking ------------------------------------------------------------------------------

    def fetched(self, number: int) -> tuple[list[str], int]:
        """What a consumer is shown that reads what is committed, and the last stable offset."""
        part = {"partition": number, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
        asked = {"max_wait": 0, "max_bytes": 1 << 20, "isolation_level": 1, "min_bytes": 0}

        async def ask() -> Any:
            return self.ask(FETCH, 11, **asked, topics=[{"topic": TOPIC, "partitions": [part]}])

        answer = asyncio.run(ask())
        (found,) = answer["responses"][0]["partitions"]
        assert found["error_code"] == 0
        # As consumers do: an aborted transaction lasts from its first offset to its marker.
        aborted = sorted((each["first_offset"], each["producer_id"]) for each in found["aborted_transactions"])
        skipped: set[int] = set()
        values = []
        for batch in batches(found["records"]):
            while aborted and aborted[0][0] <= batch.last_offset:
                skipped.add(aborted.pop(0)[1])
            if batch.control:
                skipped.discard(batch.producer_id)
            elif batch.producer_id not in skipped:
                values += [(record.value or b"").decode() for record in records_of(found["records"], batch)]
        return values, found["last_stable_offset"]

    def written(self, number: int) -> Iterator[tuple[int, str, int | None]]:
        """Offset and value of every record, and how its transaction ended: `ABORT`, `COMMIT` or None."""
        found: list[tuple[int, str, int]] = []
        ends: list[tuple[int, int, int]] = []
        for batch, data in self.topics.partition(TOPIC, number).batches():
            marker = marker_of(data, batch) if batch.control else None
            if marker is not None:
                ends.append((batch.base_offset, marker.producer_id, marker.kind))
            else:
                for record in records_of(data, batch):
                    found.append((record.offset, (record.value or b"").decode(), batch.producer_id))
        for offset, value, producer_id in found:
            kinds = (kind for at, by, kind in ends if by == producer_id and at > offset)
            yield offset, value, next(kinds, None)

    def committed(self, group: str, *, stable: bool) -> tuple[int, int]:
        """Code and offset."""
        topics = [{"name": TOPIC, "partition_indexes": [0]}]
        answer = self.ask(OFFSET_FETCH, 8, groups=[{"group_id": group, "topics": topics}], require_stable=stable)
        (found,) = answer["groups"][0]["topics"][0]["partitions"]
        return found["error_code"], found["committed_offset"]


def group_in(world: World, partition: int, name: str) -> str:
    """A group whose offsets are in that partition of the log."""
    suits: Callable[[str], bool] = lambda group: world.groups.partition_of(group) == partition  # noqa: E731
    return next(filter(suits, (f"{name}-{number}" for number in itertools.count())))
