"""Internal topics and the standalone offset file against the recordings.

What the JVM worker left there is read, written again through our producer into topics of the same shape, and must
come out the same: every key and value to the byte, in the same partition, and without transactions at the same
offset. What a topic adds up to must be the same after compaction, wherever that happened. Which request makes a
worker write which records is not looked at here.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from syncline.broker import BrokerThread
from syncline.ids import ConnectorName, TopicPartition
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import BEGINNING
from syncline.stores import codec, configs, file
from syncline.stores.configs import ConfigSnapshot
from syncline.stores.offsets import OffsetTable
from syncline.stores.status import StatusTable, connector_record, task_record, topic_record
from tests.golden.support import Case, Verdict, cases, settling

FILE: Final = "internal_topics.json"
READ_SECONDS: Final = 30

Raw = tuple[bytes, bytes | None]
"""Key and value of a record."""


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


@pytest.mark.parametrize("case", cases(FILE, "plain", "exactly_once"))
def test_topic(case: Case, bootstrap: str) -> None:
    with settling(case) as verdict:
        recorded = case.expected["records"]
        records = [raw_of(record) for record in recorded]
        again = {"configs": rewritten_configs, "status": rewritten_statuses, "offsets": rewritten_offsets}
        written = again[case.id.partition("/")[2]](records)
        for record, wanted, found in zip(recorded, records, written, strict=True):
            if wanted != found:
                verdict.note(f"offset {record['offset']} in {record['partition']}: {found!r}, expected {wanted!r}")
        same_places(verdict, bootstrap, written)


@pytest.mark.parametrize("case", cases(FILE, "plain", "exactly_once"))
def test_topic_adds_up(case: Case) -> None:
    kind = case.id.partition("/")[2]
    sums: dict[str, Callable[[Iterable[Raw]], Any]] = {
        "configs": config_sum,
        "status": status_sum,
        "offsets": offset_sum,
    }
    with settling(case) as verdict:
        records = [raw_of(record) for record in case.expected["records"]]
        for length in range(len(records) + 1):
            history = records[:length]
            if history and history[-1][0].startswith(b"task-"):
                # The set is not committed yet, and compaction may have taken the old one away.
                continue
            before, after = sums[kind](history), sums[kind](compacted(history))
            for part in before:
                if before[part] != after[part]:
                    verdict.note(f"{part} after {length} records: {before[part]}, when compacted {after[part]}")
            verdict.same(f"inconsistent after {length} records", list(before.get("inconsistent", ())), [])


@pytest.mark.parametrize("case", cases(FILE, "standalone_offset_file"))
def test_offset_file(case: Case, tmp_path: Path) -> None:
    with settling(case) as verdict:
        stream = bytes.fromhex(case.expected["hex"])
        entries = file.decode(stream)
        wanted = {
            entry["key"].encode(): None if entry["value"] is None else entry["value"].encode()
            for entry in case.expected["decoded"]["entries"]
        }
        if entries != wanted:
            verdict.note(f"entries {entries}, expected {wanted}")
        if file.encode(entries) != stream:
            verdict.note(f"written {file.encode(entries).hex()}, expected {stream.hex()}")
        path = tmp_path / "offsets"
        path.write_bytes(stream)
        store = file.FileOffsets(path)
        store.start()
        store.save({}, seconds=1)
        verdict.same("saved again", path.read_bytes().hex(), stream.hex())


# --- records -------------------------------------------------------------------------------------------

FILLED: Final[Mapping[str, Any]] = {"<epoch_ms>": 1_700_000_000_000}


def raw_of(record: Mapping[str, Any]) -> Raw:
    """The record as it stood in the topic; what differs from run to run has some value."""
    key = bytes.fromhex(record["key_raw_hex"]) if "key_raw_hex" in record else record["key"].encode()
    if record["value"] is None:
        return key, None
    if "value_raw" in record:
        return key, record["value_raw"].encode()
    return key, json.dumps(filled(record["value"]), separators=(",", ":"), ensure_ascii=False).encode()


def filled(value: Any) -> Any:
    if isinstance(value, dict):
        if "$trace" in value:
            return "\n".join(value["$exceptions"])
        return {name: filled(held) for name, held in value.items()}
    return FILLED.get(value, value) if isinstance(value, str) else value


def compacted(records: Sequence[Raw]) -> list[Raw]:
    """What a log cleaner that had run to the end would have left, deletions included."""
    last = {key: place for place, (key, _) in enumerate(records)}
    return [record for place, record in enumerate(records) if last[record[0]] == place]


# --- read and written again ----------------------------------------------------------------------------


def rewritten_configs(records: Sequence[Raw]) -> list[Raw]:
    return [configs.encode(configs.parse(*record)) for record in records]


def rewritten_statuses(records: Sequence[Raw]) -> list[Raw]:
    written: list[Raw] = []
    deletions: dict[bytes, Raw] = {}
    for key, value in records:
        table = StatusTable()
        table.absorb(key, value)
        for name, status in table.connectors.items():
            written.append(connector_record(name, status))
            deletions[key] = connector_record(name, None)
        for task, status in table.tasks.items():
            written.append(task_record(task, status))
            deletions[key] = task_record(task, None)
        for active in itertools.chain.from_iterable(used.values() for used in table.topics.values()):
            written.append(topic_record(active.name, active.connector, active))
            deletions[key] = topic_record(active.name, active.connector, None)
        if value is None:
            written.append(deletions[key])
    return written


def rewritten_offsets(records: Sequence[Raw]) -> list[Raw]:
    """As for partitions never seen before, so that no key is copied."""
    written: list[Raw] = []
    for key, value in records:
        connector, partition = codec.decode_key(key)
        written += OffsetTable().encode(connector, [(partition, codec.decode_value(value))]).items()
    return written


def same_places(verdict: Verdict, bootstrap: str, records: Sequence[Raw]) -> None:
    """Write the records with our producer, and see where each of them lies."""
    case = verdict.case
    topic = case.id.replace("/", "-")
    properties = {"bootstrap.servers": bootstrap}
    count = case.expected["partitions"]
    KAFKA.admin(properties).create_topic(topic, partitions=count, configs=case.expected["topic_configs_set"])
    producer = KAFKA.producer(properties)
    for key, value in records:
        producer.send(topic, key, value)
    assert producer.flush(READ_SECONDS)
    producer.close()
    found: dict[int, list[Raw]] = defaultdict(list)
    consumer = KAFKA.consumer({**properties, "group.id": topic})
    consumer.assign({TopicPartition(topic, partition): BEGINNING for partition in range(count)})
    while sum(map(len, found.values())) < len(records):
        read = consumer.read(1000, READ_SECONDS)
        assert read, f"{topic} ends before all is read"
        for record in read:
            found[record.partition].append((record.key or b"", record.value))
    consumer.close()
    same_offsets(verdict, records, found)


def same_offsets(verdict: Verdict, records: Sequence[Raw], found: Mapping[int, list[Raw]]) -> None:
    case = verdict.case
    wanted: dict[int, list[Raw]] = defaultdict(list)
    gaps = case.group == "exactly_once"
    for recorded, record in zip(case.expected["records"], records, strict=True):
        partition = recorded["partition"]
        verdict.same("partition", partition, recorded["murmur2_partition"])
        if not gaps:
            verdict.same(f"offset in {partition}", len(wanted[partition]), recorded["offset"])
        wanted[partition].append(record)
    for partition in wanted.keys() | found.keys():
        if wanted[partition] != found.get(partition):
            verdict.note(f"partition {partition}: {found.get(partition)}, expected {wanted[partition]}")


# --- what topics add up to -----------------------------------------------------------------------------


def config_sum(records: Iterable[Raw]) -> Mapping[str, Any]:
    listed = list(records)
    snapshot = ConfigSnapshot().fold((configs.parse(*record) for record in listed), len(listed))
    last = {key.decode(): place for place, (key, _) in enumerate(listed)}
    return {
        "connectors": snapshot.connectors,
        "targets": snapshot.targets,
        "fencing": snapshot.fencing,
        "session key": snapshot.session_key,
        "inconsistent": snapshot.inconsistent,
        # Once a configuration is newer than the commit, compaction hides the tasks until they are committed again.
        "tasks": {
            task: snapshot.tasks[task]
            for name in snapshot.connectors
            if last.get(f"commit-{name}", -1) > last[f"connector-{name}"]
            for task in snapshot.tasks_of(name)
        },
    }


def status_sum(records: Iterable[Raw]) -> Mapping[str, Any]:
    table = StatusTable()
    last: dict[str, bytes | None] = {}
    for key, value in records:
        table.absorb(key, value)
        last[key.decode()] = value
    return {
        "connectors": table.connectors,
        # An UNASSIGNED that comes after RUNNING is passed over; who never read the RUNNING takes it.
        "tasks": {
            task: status
            for task, status in table.tasks.items()
            if b'"state":"UNASSIGNED"' not in (last[f"status-task-{task}"] or b"")
        },
        "topics": table.topics,
    }


def offset_sum(records: Iterable[Raw]) -> Mapping[str, Any]:
    table = OffsetTable()
    for key, value in records:
        table.absorb({key: value})
    names = {ConnectorName(codec.decode_key(key)[0]) for key in table.raw()}
    return {name: sorted(table.of(name), key=repr) for name in names}
