"""A client that talks about transactions, and notes every answer under what was asked."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from syncline.broker.records import Producer, batches, make_batch, marker_kind, records_of
from tests.integration.broker.raw import RawClient

PRODUCE, FETCH, LIST_OFFSETS, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 0, 1, 2, 8, 9, 10
JOIN, SYNC, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS = 11, 14, 18, 19, 20, 21
INIT, ADD_PARTITIONS, ADD_OFFSETS, END, WRITE_MARKERS, TXN_OFFSET_COMMIT, UPDATE_FEATURES = 22, 24, 25, 26, 27, 28, 57
DESCRIBE_PRODUCERS, DESCRIBE, LIST, CONSUMER_HEARTBEAT = 61, 65, 66, 68

NOW_MS = time.time_ns() // 1_000_000
"""Of every record. With an older time Kafka would put a marker into a segment of its own."""
LAST_EPOCH = 32_766
"""The last one a client is given."""
LAST_SEQUENCE = 2**31 - 1
TRY_AGAIN = (14, 15, 16, 51)
"""A coordinator is loading, or still busy with the transaction before."""
DEADLINE_S = 30

Id = tuple[int, int]
"""Producer id and epoch."""


@dataclass
class State:
    """One answer of DescribeTransactions, which the message library cannot read where no transaction is open."""

    error_code: int
    phase: str
    timeout_ms: int
    started_ms: int
    producer_id: int
    producer_epoch: int
    topics: list[tuple[str, list[int]]]

    @classmethod
    def read(cls, frame: bytes) -> State:
        """From an answer about one id, version 0; its strings and arrays are shorter than 127."""
        data = io.BytesIO(frame[10:])  # correlation id, tags, throttle time, and how many there are

        def number(kind: str) -> int:
            found: int = struct.unpack(f">{kind}", data.read(struct.calcsize(kind)))[0]
            return found

        def text() -> str:
            return data.read(number("B") - 1).decode()

        code, _, phase = number("h"), text(), text()
        facts = [number("i"), number("q"), number("q"), number("h")]
        topics = []
        for _ in range(number("B") - 1):
            topics.append((text(), sorted(number("i") for _ in range(number("B") - 1))))
            data.read(1)
        timeout, started, producer_id, epoch = facts
        return cls(code, phase, timeout, started, producer_id, epoch, sorted(topics))


@dataclass
class Talk:
    """One client, one transactional producer, a topic and a group; every answer is noted under what was asked."""

    bootstrap: str
    second: bool
    """Whether the producer speaks the second version of the protocol."""
    age: Callable[[str], None] | None = None
    """Gives a transactional id its last epoch; without it that is done by using up all the others."""
    notes: list[Any] = field(default_factory=list)
    producer: Id = (-1, -1)
    sequences: dict[int, int] = field(default_factory=dict)
    """What the producer sends next, by partition."""

    def __post_init__(self) -> None:
        self.client = RawClient(self.bootstrap)
        made = uuid4().hex
        self.topic, self.id, self.group = f"topic-{made}", f"id-{made}", f"group-{made}"
        self._producers: list[int] = []
        self._create(self.topic)

    def _create(self, name: str) -> None:
        topic = {"name": name, "num_partitions": 2, "replication_factor": 1}
        answer = self.client.ask(CREATE_TOPICS, 5, topics=[topic], timeout=10_000)
        assert int(answer.topics[0].error_code) == 0
        end = time.monotonic() + DEADLINE_S
        while any(code for code, _ in [*self._ends(0), *self._ends(1)]):
            assert time.monotonic() < end, f"{name} has no leader"
            time.sleep(0.005)

    def close(self) -> None:
        self.client.close()

    def note(self, asked: str, answer: Any) -> Any:
        self.notes.append([asked, answer])
        return answer

    def named(self, producer_id: int) -> str | int:
        """A producer id, which differs from run to run, by the order in which it was first seen."""
        if producer_id < 0:
            return producer_id
        if producer_id not in self._producers:
            self._producers.append(producer_id)
        return f"P{self._producers.index(producer_id)}"

    def hidden(self, text: str | None) -> str | None:
        """A message without the names made here."""
        if text is None:
            return None
        for name, stands_for in ((self.topic, "TOPIC"), (self.id, "ID"), (self.group, "GROUP")):
            text = text.replace(name, stands_for)
        for number, producer_id in enumerate(self._producers):
            text = text.replace(f"{producer_id}", f"P{number}") if producer_id > 99 else text
        return text

    # -- the producer -------------------------------------------------------------------------

    def init(
        self, given: Id = (-1, -1), *, version: int = 4, timeout: int = 60_000, patient: bool = True, **to: Any
    ) -> Id:
        """The producer from now on, unless it is refused."""
        asked = {"transactional_id": self.id, "transaction_timeout": timeout, **to}
        fields = {**asked, "producer_id": given[0], "producer_epoch": given[1]}
        answer = self.client.ask(INIT, version, **fields)
        facts = [int(answer.error_code), self.named(answer.producer_id), answer.producer_epoch]
        self.note(f"init v{version}", facts)
        if patient and facts[0] in TRY_AGAIN:
            self.settle()
            return self.init(given, version=version, timeout=timeout, patient=False, **to)
        if facts[0] == 0:
            self.producer, self.sequences = (answer.producer_id, answer.producer_epoch), {}
        return self.producer

    def aged(self) -> Id:
        """The producer with its last epoch, which is not noted."""
        notes, self.notes = self.notes, []
        self.init()
        if self.age is not None:
            self.age(self.id)
            self.producer = (self.producer[0], LAST_EPOCH)
        while self.producer[1] < LAST_EPOCH:
            self.init()
        self.notes = [*notes, ["aged", self.producer[1]]]
        return self.producer

    def add(self, *numbers: int, topic: str | None = None, version: int = 3, **to: Any) -> Any:
        """AddPartitionsToTxn."""
        topics = [{"name": topic or self.topic, "partitions": list(numbers)}]
        producer_id, epoch = to.pop("producer", self.producer)
        name = to.pop("transactional_id", self.id)
        fields = {
            "v3_and_below_transactional_id": name,
            "v3_and_below_producer_id": producer_id,
            "v3_and_below_producer_epoch": epoch,
            "v3_and_below_topics": topics,
            "transactions": [
                {
                    "transactional_id": name,
                    "producer_id": producer_id,
                    "producer_epoch": epoch,
                    "topics": topics,
                    **to,
                }
            ],
        }
        answer = self.client.ask(ADD_PARTITIONS, version, **fields)
        results = answer.results_by_topic_v3_and_below if version < 4 else self._added(answer)
        codes = sorted(
            [part.partition_index, int(part.partition_error_code)]
            for result in results
            for part in result.results_by_partition
        )
        return self.note(f"add v{version}", codes)

    @staticmethod
    def _added(answer: Any) -> Any:
        return [topic for result in answer.results_by_transaction for topic in result.topic_results]

    def add_offsets(self, *, version: int = 3, producer: Id | None = None, **to: Any) -> Any:
        producer_id, epoch = producer or self.producer
        asked = {"transactional_id": self.id, "group_id": self.group, **to}
        answer = self.client.ask(ADD_OFFSETS, version, producer_id=producer_id, producer_epoch=epoch, **asked)
        return self.note(f"add offsets v{version}", int(answer.error_code))

    def write(self, value: str = "v", number: int = 0, **facts: Any) -> Any:
        """Write a record as the producer's protocol wants it."""
        if not self.second:
            self.add(number)
        return self.produce(value, number, version=12 if self.second else 11, **facts)

    def produce(self, *values: Any, version: int, **facts: Any) -> Any:
        """Produce: `values` are the records', the last one a partition if it is a number."""
        number = values[-1] if isinstance(values[-1], int) else 0
        texts = [value for value in values if isinstance(value, str)]
        producer_id, epoch = facts.pop("producer", self.producer)
        sequence = facts.pop("sequence", self.sequences.get(number, 0))
        transactional = facts.pop("transactional", True)
        data = make_batch(
            [(None, text.encode()) for text in texts],
            NOW_MS,
            producer=Producer(producer_id, epoch, sequence),
            transactional=transactional,
        )
        topic = facts.pop("topic", self.topic)
        asked = {"transactional_id": self.id if transactional else None, "acks": -1, "timeout": 10_000, **facts}
        part = {"index": number, "records": data}
        answer = self.client.ask(PRODUCE, version, topic_data=[{"name": topic, "partition_data": [part]}], **asked)
        (found,) = answer.responses[0].partition_responses
        if int(found.error_code) == 0:
            self.sequences[number] = (sequence + len(texts)) & LAST_SEQUENCE
        told = [int(found.error_code), found.base_offset]
        return self.note(f"produce v{version} {','.join(texts)} to {number}, sequence {sequence}", told)

    def end(self, commit: bool, *, version: int | None = None, producer: Id | None = None, **to: Any) -> Any:
        """EndTxn, and wait until it is complete."""
        version = version if version is not None else 5 if self.second else 4
        producer_id, epoch = producer or self.producer
        asked = {"transactional_id": self.id, "committed": commit, **to}
        answer = self.client.ask(END, version, producer_id=producer_id, producer_epoch=epoch, **asked)
        facts: list[Any] = [int(answer.error_code)]
        if version >= 5:
            facts += [self.named(answer.producer_id), answer.producer_epoch]
            if facts[0] == 0 and producer is None:
                self.producer, self.sequences = (answer.producer_id, answer.producer_epoch), {}
        self.settle()
        return self.note(f"{'commit' if commit else 'abort'} v{version}", facts)

    def settle(self) -> None:
        """Kafka writes markers after it has answered."""
        end = time.monotonic() + DEADLINE_S
        while self.state().phase.startswith("Prepare"):
            assert time.monotonic() < end, "the transaction does not end"
            time.sleep(0.005)

    def offsets(self, offset: int = 7, *, version: int | None = None, **facts: Any) -> Any:
        """TxnOffsetCommit."""
        version = version if version is not None else 5 if self.second else 4
        producer_id, epoch = facts.pop("producer", self.producer)
        part = {"partition_index": 0, "committed_offset": offset, "committed_metadata": "m"}
        topics = [{"name": facts.pop("topic", self.topic), "partitions": [part]}]
        asked = {"transactional_id": self.id, "group_id": self.group, "generation_id": -1, **facts}
        fields = {**asked, "producer_id": producer_id, "producer_epoch": epoch, "topics": topics}
        answer = self.client.ask(TXN_OFFSET_COMMIT, version, **fields)
        return self.note(f"offsets v{version}", int(answer.topics[0].partitions[0].error_code))

    def mark(
        self,
        commit: bool = False,
        *,
        producer: Id | None = None,
        coordinator_epoch: int = 0,
        number: int = 0,
        **to: Any,
    ) -> Any:
        """WriteTxnMarkers, as administrators send it."""
        producer_id, epoch = producer or self.producer
        marker = {
            "producer_id": producer_id,
            "producer_epoch": epoch,
            "transaction_result": commit,
            "topics": [{"name": to.get("topic", self.topic), "partition_indexes": [number]}],
            "coordinator_epoch": coordinator_epoch,
        }
        # Of two markers of one millisecond the first has the largest time; a fast broker writes two in one.
        begun = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == begun:
            time.sleep(0.0005)
        (found,) = self.client.ask(WRITE_MARKERS, 1, markers=[marker]).markers[0].topics[0].partitions
        return self.note(f"marker, epoch +{epoch - self.producer[1]}, of {coordinator_epoch}", int(found.error_code))

    # -- looking ------------------------------------------------------------------------------

    def fetched(self, *, committed: bool = True, offset: int = 0, number: int = 0, version: int = 12) -> Any:
        """What a consumer that reads what is committed (or everything) is given."""
        part = {"partition": number, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
        parts = {**part, "current_leader_epoch": -1, "last_fetched_epoch": -1, "log_start_offset": -1}
        answer = self.client.ask(
            FETCH,
            version,
            replica_id=-1,
            max_wait=0,
            max_bytes=1 << 20,
            session_epoch=-1,
            isolation_level=int(committed),
            topics=[{"topic": self.topic, "partitions": [parts]}],
        )
        (found,) = answer.responses[0].partitions
        aborted = [[self.named(one.producer_id), one.first_offset] for one in found.aborted_transactions or ()]
        facts = [int(found.error_code), found.high_watermark, found.last_stable_offset, aborted]
        return self.note(f"fetch from {offset}{' committed' if committed else ''}", [*facts, self._read(found.records)])

    def _read(self, records: Any) -> list[Any]:
        data, found = bytes(records or b""), []
        for batch in batches(data):
            texts = [(record.value or b"").decode() for record in records_of(data, batch)]
            what: Any = ["abort", "commit"][marker_kind(data, batch) or 0] if batch.control else texts
            facts = [batch.base_offset, self.named(batch.producer_id), batch.producer_epoch, batch.base_sequence]
            found.append([*facts, batch.transactional, what])
        return found

    def ends(self, number: int = 0) -> Any:
        """ListOffsets of the end, for either isolation level, and of the record with the largest time."""
        return self.note("ends", self._ends(number))

    def _ends(self, number: int) -> list[list[int]]:
        found = []
        for level, timestamp in ((0, -1), (1, -1), (0, -3), (1, -3), (1, NOW_MS), (0, -2)):
            part = {"partition_index": number, "current_leader_epoch": -1, "timestamp": timestamp}
            topics = [{"name": self.topic, "partitions": [part]}]
            answer = self.client.ask(LIST_OFFSETS, 7, replica_id=-1, isolation_level=level, topics=topics)
            found.append([int(answer.topics[0].partitions[0].error_code), answer.topics[0].partitions[0].offset])
        return found

    def committed(self, *, stable: bool = True, version: int = 8) -> Any:
        """OffsetFetch."""
        topics = [{"name": self.topic, "partition_indexes": [0]}]
        groups = [{"group_id": self.group, "topics": topics}]
        answer = self.client.ask(
            OFFSET_FETCH, version, groups=groups, group_id=self.group, topics=topics, require_stable=stable
        )
        found = (answer.groups[0] if version >= 8 else answer).topics[0].partitions[0]
        return self.note("offsets of the group", [int(found.error_code), found.committed_offset, found.metadata])

    def state(self) -> State:
        self.client.send(DESCRIBE, 0, transactional_ids=(self.id,))
        return State.read(self.client.receive_bytes())

    def described(self) -> Any:
        """DescribeTransactions and ListTransactions."""
        state = self.state()
        places = [[self.hidden(name), numbers] for name, numbers in state.topics if "__" not in name]
        facts = [state.error_code, state.phase, self.named(state.producer_id), state.producer_epoch, state.timeout_ms]
        wanted = {"state_filters": (), "producer_id_filters": (), "duration_filter": -1}
        listed = self.client.ask(LIST, 2, **wanted, transactional_id_pattern=self.id).transaction_states
        states = [[self.named(one.producer_id), one.transaction_state] for one in listed]
        return self.note("described", [*facts, state.started_ms > 0, len(state.topics), places, states])

    def producers(self, number: int = 0) -> Any:
        """DescribeProducers."""
        asked = ({"name": self.topic, "partition_indexes": (number,)},)
        (found,) = self.client.ask(DESCRIBE_PRODUCERS, 0, topics=asked).topics[0].partitions
        facts = [
            [
                self.named(one.producer_id),
                one.producer_epoch,
                one.last_sequence,
                one.coordinator_epoch,
                one.current_txn_start_offset,
            ]
            for one in found.active_producers
        ]
        return self.note("producers", [int(found.error_code), sorted(facts, key=str)])

    def seen(self) -> None:
        """Everything that can be looked at."""
        self.described()
        self.producers()
        self.fetched()
        self.fetched(committed=False)
        self.ends()
