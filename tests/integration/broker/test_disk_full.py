"""A broker whose disk is full says so, goes on reading, and works again as soon as there is space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncline.broker import BrokerThread
from syncline.broker.errors import COORDINATOR_NOT_AVAILABLE, KAFKA_STORAGE_ERROR, NONE
from syncline.broker.records import batches, make_batch, records_of
from tests.integration.broker.raw import RawClient

PRODUCE, FETCH, METADATA, OFFSET_COMMIT, CREATE_TOPICS = (0, 9), (1, 11), (3, 9), (8, 8), (19, 5)
PAGE = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB with a file `ballast` of a quarter of that."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    try:
        (folder / "ballast").write_bytes(bytes(512 * 1024))
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


class Client(RawClient):
    """Codes and contents only."""

    def produce(self, value: bytes) -> int:
        data = [{"index": 0, "records": make_batch([(b"k", value)], 1_700_000_000_000)}]
        answer = self.ask(*PRODUCE, acks=-1, timeout_ms=1000, topic_data=[{"name": "filled", "partition_data": data}])
        return int(answer.responses[0].partition_responses[0].error_code)

    def values(self) -> list[bytes | None]:
        found: list[bytes | None] = []
        while True:
            part = {"partition": 0, "fetch_offset": len(found), "partition_max_bytes": 1 << 20, "log_start_offset": -1}
            answer = self.ask(
                *FETCH, replica_id=-1, max_bytes=1 << 20, topics=[{"topic": "filled", "partitions": [part]}]
            )
            data = answer.responses[0].partitions[0].records or b""
            if not data:
                return found
            found += [record.value for batch in batches(data) for record in records_of(data, batch)]

    def create(self, name: str) -> int:
        answer = self.ask(*CREATE_TOPICS, topics=[{"name": name, "num_partitions": 1, "replication_factor": 1}])
        return int(answer.topics[0].error_code)

    def commit(self, group: str) -> int:
        part = {"partition_index": 0, "committed_offset": 1, "committed_metadata": "m" * 1000}
        answer = self.ask(
            *OFFSET_COMMIT,
            group_id=group,
            generation_id_or_member_epoch=-1,
            topics=[{"name": "filled", "partitions": [part]}],
        )
        return int(answer.topics[0].partitions[0].error_code)

    def names(self) -> set[str]:
        return {str(topic.name) for topic in self.ask(*METADATA, topics=None).topics}


def until_refused(attempt: Callable[[int], int]) -> tuple[int, int]:
    """How often it went well, and the code that ended it."""
    for number in range(10_000):
        code = attempt(number)
        if code != NONE:
            return number, code
    raise AssertionError("the disk never fills")


def test_a_full_disk_is_said_and_got_over_without_a_restart(disk: Path) -> None:
    folder = disk / "broker"
    settings = {"log.segment.bytes": "300000", "flush": "interval", "flush.interval.ms": "20"}
    with BrokerThread(folder, settings=settings) as broker, Client(broker.bootstrap_servers) as client:
        assert client.create("filled") == NONE
        assert client.commit("before") == NONE
        written = [os.urandom(20_000) for _ in range(200)]
        count, code = until_refused(lambda number: client.produce(written[number]))
        assert code == KAFKA_STORAGE_ERROR
        small, code = until_refused(lambda number: client.produce(b"%d" % number * 100))
        assert code == KAFKA_STORAGE_ERROR
        kept = [*written[:count], *(b"%d" % number * 100 for number in range(small))]
        assert client.values() == kept

        _, code = until_refused(lambda number: client.commit(f"group-{number}"))
        assert code in (COORDINATOR_NOT_AVAILABLE, KAFKA_STORAGE_ERROR)
        created, code = until_refused(lambda number: client.create(f"more-{number}"))
        assert code == KAFKA_STORAGE_ERROR
        assert f"more-{created}" not in client.names()
        assert not (folder / f"more-{created}-0").exists()
        assert client.values() == kept

        (disk / "ballast").unlink()
        assert client.produce(b"after") == NONE
        assert client.commit("after") == NONE
        assert client.create(f"more-{created}") == NONE
        assert client.values() == [*kept, b"after"]
        names = client.names()
    with BrokerThread(folder, settings=settings) as broker, Client(broker.bootstrap_servers) as client:
        assert client.values() == [*kept, b"after"]
        assert client.names() == names
        assert client.produce(b"at last") == NONE
