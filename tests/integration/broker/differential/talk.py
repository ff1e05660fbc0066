"""One conversation: what was asked and everything that was answered, as plain JSON."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from tests.integration.broker.differential.batches import batch, described
from tests.integration.broker.raw import RawClient

PRODUCE, FETCH, LIST_OFFSETS, METADATA, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 0, 1, 2, 3, 8, 9, 10
DESCRIBE_GROUPS, LIST_GROUPS, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS = 15, 16, 18, 19, 20, 21
LEADER_EPOCH, DESCRIBE_CONFIGS, ALTER_CONFIGS, CREATE_PARTITIONS, DELETE_GROUPS = 23, 32, 33, 37, 42
INCREMENTAL, OFFSET_DELETE, DESCRIBE_CLUSTER, LIST_CONFIGS, DESCRIBE_TOPIC_PARTITIONS = 44, 47, 60, 74, 75

EVER_DIFFERENT: Mapping[str, str] = {
    "throttle_time": "there are no quotas here",
    "throttle_time_ms": "there are no quotas here",
    "port": "each listens on its own",
    "cluster_id": "made at the first start",
    "finalized_features_epoch": "counts changes of a cluster's features",
    "leader_epoch": "counts elections, and here there are none",
    "current_leader": "carries a leader's epoch",
}
"""Fields that are not compared, with the reason."""

PATIENCE_S = 5
"""What takes longer counts as no answer."""

Conversation = Callable[["Talk"], None]
CONVERSATIONS: dict[str, Conversation] = {}


def conversation(name: str) -> Callable[[Conversation], Conversation]:
    """Registers a function as the conversation of that name."""

    def registered(function: Conversation) -> Conversation:
        assert name not in CONVERSATIONS, f"{name} is there twice"
        CONVERSATIONS[name] = function
        return function

    return registered


class Talk:
    """A client that notes every answer.

    `settle_s` is how long to wait after a change: Apache Kafka answers before all of it can be seen.
    """

    def __init__(self, bootstrap: str, name: str, settle_s: float = 0) -> None:
        self._bootstrap = bootstrap
        self._settle_s = settle_s
        self.prefix = "".join(letter if letter.isalnum() else "-" for letter in name)
        self.notes: list[Any] = []
        self.client = RawClient(bootstrap)

    def close(self) -> None:
        self.client.close()

    # -- asking -------------------------------------------------------------------------------

    def ask(self, api: int, version: int, /, **fields: Any) -> Any:
        """Ask and note the answer, which is returned. That there was none is noted too."""
        answer = self.quietly(api, version, **fields)
        self.notes.append([f"{api} v{version}", self._plain(answer)])
        return answer

    def quietly(self, api: int, version: int, /, **fields: Any) -> Any:
        """Ask, and note nothing."""
        try:
            answer = self.client.ask(api, version, **fields)
        except (ConnectionError, TimeoutError) as exc:
            self.reconnect()
            answer = "no answer" if isinstance(exc, TimeoutError) else "closed"
        if api in CHANGES:
            time.sleep(self._settle_s)
        return answer

    def reconnect(self) -> None:
        self.client.close()
        self.client = RawClient(self._bootstrap, timeout_s=PATIENCE_S)

    def note(self, what: str, value: Any) -> None:
        self.notes.append([what, self._plain(value)])

    def _plain(self, value: Any) -> Any:
        """As JSON; names of this conversation alone where an answer lists all there is."""
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {name: self._field(name, inner) for name, inner in fields.items() if name not in EVER_DIFFERENT}
        if isinstance(value, dict):
            return {name: self._field(name, inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(inner) for inner in value]
        return _scalar(value)

    def _field(self, name: str, value: Any) -> Any:
        if name == "records":
            return described(None if value is None else bytes(value))
        if name == "documentation":
            return bool(value)  # what it says is in each one's own words
        if name == "log_append_time" and value is not None:
            return "broker's time" if _scalar(value) > 0 else -1
        if name == "topics":
            # Internal topics have 50 partitions in Apache Kafka.
            value = [
                dataclasses.replace(one, partitions=()) if getattr(one, "name", None) in INTERNAL else one
                for one in value
            ]
        plain = self._plain(value)
        if isinstance(plain, list) and plain and isinstance(plain[0], dict):
            # The order is that of hash maps in Apache Kafka.
            return sorted((one for one in plain if self._ours(name, one)), key=_order)
        return plain

    def _ours(self, list_name: str, entity: Mapping[str, Any]) -> bool:
        """Whether an entity belongs to this conversation; internal topics are everybody's."""
        if list_name not in ("topics", "groups", "config_resources"):
            return True
        name = entity.get("name") or entity.get("group_id") or entity.get("resource_name") or self.prefix
        internal = name == INTERNAL[0] and list_name == "topics"
        return bool(internal or not self.whole or self.prefix in name)

    whole = False
    """Set where an answer tells of all there is, so that what other conversations left is not noted."""

    # -- what most conversations need ---------------------------------------------------------

    def topic(self, suffix: str = "", partitions: int = 1, **configs: Any) -> str:
        """A new topic; `configs` have underscores in place of dots."""
        name = f"{self.prefix}{suffix}"
        wanted = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": [{"name": key.replace("_", "."), "value": str(value)} for key, value in configs.items()],
        }
        made = self.quietly(CREATE_TOPICS, 7, topics=[wanted], timeout=10_000)
        assert made.topics[0].error_code == 0, made
        while self.described(name).error_code != 0:
            time.sleep(0.01)
        return name

    def described(self, name: str) -> Any:
        asked = self.quietly(METADATA, 12, topics=[{"name": name}], allow_auto_topic_creation=False)
        return asked.topics[0]

    def topic_id(self, name: str) -> UUID:
        found: UUID = self.described(name).topic_id
        return found

    def produce(self, topic: str, records: bytes | None, version: int = 11, acks: int = -1, partition: int = 0) -> Any:
        """Produce to one partition and note the answer."""
        part = {"index": partition, "records": records}
        data = [{"name": topic, "partition_data": [part]}]
        return self.ask(PRODUCE, version, acks=acks, timeout=1_000, topic_data=data)

    def filled(self, topic: str, batches: int = 3, size: int = 2, start_ms: int = 0, partition: int = 0) -> None:
        """Some batches of `size` records, one second apart, not noted."""
        for number in range(batches):
            pairs = [(f"k{number}".encode(), b"v" * 100)] * size
            data = batch(pairs, (start_ms or self.now_ms) + number * 1000)
            part = [{"name": topic, "partition_data": [{"index": partition, "records": data}]}]
            answer = self.quietly(PRODUCE, 11, acks=-1, timeout=10_000, topic_data=part)
            assert answer.responses[0].partition_responses[0].error_code == 0, answer

    @property
    def now_ms(self) -> int:
        """A time that is the same in every run and within every limit by default."""
        return 1_700_000_000_000

    def fetch(self, version: int, topic: str, offset: int = 0, **facts: Any) -> Any:
        """Fetch from one partition and note the answer."""
        part = {
            "partition": facts.pop("partition", 0),
            "fetch_offset": offset,
            "partition_max_bytes": facts.pop("partition_max_bytes", 1 << 20),
            "current_leader_epoch": facts.pop("current_leader_epoch", -1),
            "log_start_offset": -1,
            "last_fetched_epoch": facts.pop("last_fetched_epoch", -1),
        }
        wanted: dict[str, Any] = {"topic": topic, "partitions": [part]}
        if version >= 13:
            wanted["topic_id"] = facts.pop("topic_id", None) or self.topic_id(topic)
        asked = {
            "replica_id": -1,
            "max_wait": 0,
            "min_bytes": 1,
            "max_bytes": 1 << 20,
            "isolation_level": 0,
            "session_id": 0,
            "session_epoch": -1,
            "rack_id": "",
            "replica_state": {"replica_id": -1, "replica_epoch": -1},
            **facts,
        }
        return self.ask(FETCH, version, topics=[wanted], forgotten_topics_data=[], **asked)


INTERNAL = ("__consumer_offsets", "__transaction_state")
CHANGES = frozenset(
    {CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, ALTER_CONFIGS, CREATE_PARTITIONS, INCREMENTAL, DELETE_GROUPS}
)


def _scalar(value: Any) -> Any:
    match value:
        case UUID():
            return "an id" if value.int else None
        case Enum():
            return f"{value.value} {value.name}"
        case timedelta():
            return round(value.total_seconds() * 1000)
        case datetime():
            return round(value.timestamp() * 1000)
        case bytes():
            return value.decode("latin1")
    return value


def _order(entity: Mapping[str, Any]) -> str:
    return json.dumps(entity)


def held(bootstrap: str, name: str, settle_s: float = 0) -> list[Any]:
    """The notes of a conversation with a broker."""
    talk = Talk(bootstrap, name, settle_s)
    try:
        CONVERSATIONS[name](talk)
    finally:
        talk.close()
    return talk.notes
