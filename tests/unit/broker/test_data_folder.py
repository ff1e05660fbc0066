"""What a data folder keeps from one broker to the next, and whom it refuses."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from syncline.broker import BrokerThread
from syncline.broker.cleaner import Cleaner
from syncline.broker.configs import Settings
from syncline.broker.data_folder import FORMAT, KAFKA_WRITES
from syncline.broker.errors import BrokerError, KafkaError
from syncline.broker.files import OpenFiles
from syncline.broker.log import PartitionLog
from syncline.broker.topics import CHECKPOINT, Topics
from tests.integration.broker.raw import RawClient
from tests.servers import wait_for

NOW = 1_700_000_000_000


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# -- who may use it --------------------------------------------------------------------------


def test_a_folder_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with BrokerThread(tmp_path):
        pass
    marker = tmp_path / "meta.properties"
    marker.write_text(marker.read_text().replace(f"version={FORMAT}", f"version={FORMAT + 1}"))
    before = content(tmp_path)
    with pytest.raises(
        BrokerError, match=rf"newer version of Syncline \(format {FORMAT + 1}, this one knows up to {FORMAT}\)"
    ):
        BrokerThread(tmp_path).start()
    assert content(tmp_path) == before


@pytest.mark.parametrize("text", ["", "version=one\ncluster.id=x\n", "version=1\n"])
def test_a_damaged_marker_is_said_with_what_to_do(tmp_path: Path, text: str) -> None:
    marker = tmp_path / "meta.properties"
    marker.write_text(text)
    with pytest.raises(BrokerError, match=r"meta\.properties is damaged: .* remove the file"):
        BrokerThread(tmp_path).start()
    marker.unlink()
    with BrokerThread(tmp_path):
        pass


@pytest.mark.parametrize(
    "marks",
    [
        pytest.param({"meta.properties": "version=1\nnode.id=1\ncluster.id=x\ndirectory.id=y\n"}, id="just formatted"),
        pytest.param({"meta.properties": "version=0\nbroker.id=0\ncluster.id=x\n"}, id="of old"),
        *(pytest.param({name: "0\n0\n"}, id=f"without a marker, {name}") for name in KAFKA_WRITES),
    ],
)
def test_a_folder_of_apache_kafka_is_refused_and_left_as_it_is(tmp_path: Path, marks: dict[str, str]) -> None:
    for name, text in marks.items():
        (tmp_path / name).write_text(text)
    log = tmp_path / "__cluster_metadata-0" / f"{0:020}.log"
    log.parent.mkdir()
    log.write_bytes(b"batches of another leader")
    before = content(tmp_path)
    with pytest.raises(BrokerError, match=r"belongs to Apache Kafka .*; nothing was changed"):
        BrokerThread(tmp_path).start()
    assert content(tmp_path) == before
    assert log.read_bytes() == b"batches of another leader"


def test_a_folder_in_use_names_the_process_that_uses_it(tmp_path: Path) -> None:
    with BrokerThread(tmp_path), pytest.raises(BrokerError, match=f"is in use by process {os.getpid()};"):
        BrokerThread(tmp_path).start()
    with BrokerThread(tmp_path):
        pass


# -- topics ----------------------------------------------------------------------------------


class Catalogue:
    """Topics in a folder, opened as the broker does; `crashed` is the same after a kill -9."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = OpenFiles()
        self.due: set[PartitionLog] = set()
        self.metadata = PartitionLog(
            folder / "__cluster_metadata-0", segment_bytes=1000, sync=True, files=self.files, due=self.due
        )
        records: dict[str, Any] = {}
        for record in self.metadata.records():
            name = (record.key or b"").decode().removeprefix("topic:")
            records.pop(name, None)
            if record.value is not None:
                records[name] = json.loads(record.value)
        self.topics = Topics(folder, Settings(), self.metadata, self.files, self.due)
        self.topics.replay(records)

    def crashed(self) -> Catalogue:
        self.topics.close()
        copy = self.folder.with_name(self.folder.name + "+")
        shutil.copytree(self.folder, copy)
        self.close()
        return Catalogue(copy)

    def close(self) -> None:
        for log in (*self.topics.logs(), self.metadata):
            log.abandon()

    def fill(self, name: str, count: int) -> PartitionLog:
        log = self.topics.partition(name, 0)
        for number in range(count):
            log.append_records([(b"k", b"%d" % number)], NOW)
        return log


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "data")


def test_the_low_watermark_of_deleted_records_survives_a_crash(catalogue: Catalogue) -> None:
    catalogue.topics.create("t", 1, {})
    catalogue.fill("t", 10).delete_before(7)
    catalogue.topics.checkpoint()
    again = catalogue.crashed()
    log = again.topics.partition("t", 0)
    assert (log.start_offset, log.end_offset) == (7, 10)
    with pytest.raises(KafkaError):
        log.read(6, 100, 10)
    again.close()


def test_a_new_topic_does_not_take_over_the_low_watermark_of_an_old_one(catalogue: Catalogue) -> None:
    catalogue.topics.create("t", 1, {})
    catalogue.fill("t", 10).delete_before(7)
    catalogue.topics.checkpoint()
    old = (catalogue.folder / CHECKPOINT).read_bytes()
    catalogue.topics.delete(next(iter(catalogue.topics)))
    # As if the crash had come before the checkpoint was written again.
    (catalogue.folder / CHECKPOINT).write_bytes(old)
    again = catalogue.crashed()
    again.topics.create("t", 1, {})
    again.fill("t", 8)
    last = again.crashed()
    log = last.topics.partition("t", 0)
    assert (log.start_offset, log.end_offset) == (0, 8)
    last.close()


def test_a_new_topic_does_not_take_over_files_that_a_crash_left_of_an_old_one(catalogue: Catalogue) -> None:
    leftover = PartitionLog(catalogue.folder / "t-0")
    leftover.append_records([(b"k", b"old")], NOW)
    leftover.close()
    catalogue.topics.create("t", 1, {})
    assert catalogue.topics.partition("t", 0).end_offset == 0
    wait_for(lambda: not list(catalogue.folder.glob("*-delete")), "the old files are removed")
    catalogue.close()


class Slow:
    """Stands for a disk on which removing a folder takes its time."""

    def __init__(self) -> None:
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def rmtree(self, folder: Path, *, ignore_errors: bool) -> None:
        self.begun.set()
        assert self.may_go_on.wait(30)
        REMOVE(folder, ignore_errors=ignore_errors)


REMOVE = shutil.rmtree


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()
    monkeypatch.setattr("syncline.broker.topics.shutil.rmtree", made.rmtree)
    yield made
    made.may_go_on.set()


def test_nobody_waits_for_the_files_of_a_topic_that_is_deleted(tmp_path: Path, slow: Slow) -> None:
    with BrokerThread(tmp_path / "data") as broker:
        broker.create_topic("large", 3)
        broker.create_topic("other")
        with RawClient(broker.bootstrap_servers) as admin:
            (gone,) = admin.ask(20, 5, topic_names=["large"], timeout=10_000).responses
        assert gone.error_code == 0
        assert slow.begun.wait(30)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("other", b"meanwhile")
        assert producer.flush(30) == 0
        broker.create_topic("large", 3)
        slow.may_go_on.set()
        wait_for(lambda: not list((tmp_path / "data").glob("*-delete")), "the files are removed")
        assert len(list((tmp_path / "data").glob("large-*"))) == 3


def test_what_a_stop_leaves_to_be_removed_goes_at_the_next_start(tmp_path: Path, slow: Slow) -> None:
    with BrokerThread(tmp_path / "data") as broker:
        broker.create_topic("large", 3)
        broker.delete_topic("large")
        assert slow.begun.wait(30)
        # Stopping cancels what has not begun, and waits for what has.
        threading.Timer(0.1, slow.may_go_on.set).start()
    assert len(list((tmp_path / "data").glob("*-delete"))) == 2
    with BrokerThread(tmp_path / "data") as broker:
        wait_for(lambda: not list((tmp_path / "data").glob("*-delete")), "the files are removed")


def test_a_topic_of_the_longest_name_can_be_deleted_and_made_again(catalogue: Catalogue) -> None:
    for _ in range(2):
        topic = catalogue.topics.create("t" * 249, 2, {})
        catalogue.fill(topic.name, 1)
        catalogue.topics.delete(topic)
    wait_for(lambda: not list(catalogue.folder.glob("tt*")), "the files are removed")
    catalogue.close()


def test_a_checkpoint_that_is_garbage_costs_no_start(catalogue: Catalogue) -> None:
    catalogue.topics.create("t", 1, {})
    catalogue.fill("t", 3)
    (catalogue.folder / CHECKPOINT).write_bytes(b"0\n2\n\xff\xfe\nt 0 x\nt 7 1\nt 0 1\n")
    again = catalogue.crashed()
    assert again.topics.partition("t", 0).start_offset == 1
    again.close()


async def test_the_metadata_log_does_not_grow_with_what_has_gone(catalogue: Catalogue) -> None:
    cleaner = Cleaner(catalogue.topics, catalogue.folder)
    catalogue.topics.create("stays", 3, {})
    sizes = []
    for round_ in range(6):
        for number in range(20):
            topic = catalogue.topics.create(f"t-{number}", 1, {})
            catalogue.topics.configure(topic, {"retention.ms": str(round_)})
            catalogue.topics.delete(topic)
        await cleaner.compact(NOW)
        await cleaner.compact(NOW)
        sizes.append(catalogue.metadata.size)
    assert sizes[-1] < sizes[0] + 2000
    again = catalogue.crashed()
    assert [(topic.name, len(topic.partitions)) for topic in again.topics] == [("stays", 3)]
    again.close()
