"""A disk that refuses: the append that met it is answered so and leaves nothing; the next one begins anew."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from syncline.broker import BrokerThread
from syncline.broker.errors import KAFKA_STORAGE_ERROR, StorageError
from syncline.broker.files import OpenFiles
from syncline.broker.flusher import Flusher
from syncline.broker.log import PartitionLog

NOW = 1_700_000_000_000


class Disk:
    """Refuses one system call after `after` more of them, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._real: dict[str, Callable[..., Any]] = {}

    def refuse(self, call: str, code: int, after: int = 0) -> None:
        real = self._real.setdefault(call, getattr(os, call))
        left = after

        def refusing(*args: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                raise OSError(code, os.strerror(code))
            left -= 1
            return real(*args, **more)

        self._monkeypatch.setattr(os, call, refusing)

    def write_half(self) -> None:
        """The disk takes a part of each write, and then no more."""
        real = self._real.setdefault("pwritev", os.pwritev)

        def half(file: int, parts: list[bytes], position: int) -> int:
            data = b"".join(parts)
            return int(real(file, [data[: len(data) // 2]], position))

        self._monkeypatch.setattr(os, "pwritev", half)
        self.refuse("pwrite", errno.ENOSPC)

    def mend(self) -> None:
        for call, real in self._real.items():
            self._monkeypatch.setattr(os, call, real)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def put(log: PartitionLog, value: bytes) -> int:
    return log.append_records([(b"k", value)], NOW)


def values(log: PartitionLog) -> list[bytes | None]:
    return [record.value for record in log.records()]


BREAKAGES = [
    pytest.param(lambda disk: disk.refuse("pwritev", errno.ENOSPC), id="no space for the batch"),
    pytest.param(lambda disk: disk.refuse("pwritev", errno.EIO), id="the batch cannot be written"),
    pytest.param(lambda disk: disk.write_half(), id="space for half of the batch"),
    pytest.param(lambda disk: disk.refuse("fdatasync", errno.EIO), id="the batch cannot be synced"),
    pytest.param(lambda disk: disk.refuse("open", errno.ENOSPC), id="no space for a new segment"),
    pytest.param(lambda disk: disk.refuse("fsync", errno.EIO), id="the folder of a new segment cannot be synced"),
]


@pytest.mark.parametrize("break_disk", BREAKAGES)
def test_what_the_disk_refused_is_not_in_the_log_and_the_next_append_works(
    tmp_path: Path, disk: Disk, break_disk: Callable[[Disk], None]
) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=200, sync=True)
    put(log, b"before" * 20)
    break_disk(disk)
    for _ in range(2):
        with pytest.raises(StorageError) as refused:
            put(log, b"refused" * 20)
        assert refused.value.code == KAFKA_STORAGE_ERROR
        assert values(log) == [b"before" * 20]
        assert log.end_offset == 1
    disk.mend()
    assert put(log, b"after" * 20) == 1
    assert values(log) == [b"before" * 20, b"after" * 20]
    on_disk = sum(path.stat().st_size for path in (tmp_path / "t-0").glob("*.log"))
    assert on_disk == log.size
    log.abandon()
    again = PartitionLog(tmp_path / "t-0", segment_bytes=200)
    assert values(again) == [b"before" * 20, b"after" * 20]
    again.close()


def test_a_read_that_fails_is_answered_and_works_again_later(tmp_path: Path, disk: Disk) -> None:
    log = PartitionLog(tmp_path / "t-0")
    put(log, b"value")
    disk.refuse("pread", errno.EIO)
    with pytest.raises(StorageError):
        log.read(0, 1000, 1)
    disk.mend()
    assert log.read(0, 1000, 1)
    log.close()


def test_an_index_that_cannot_be_written_costs_a_restart_time_and_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=200)

    def refuse(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", refuse)
        for number in range(10):
            put(log, b"%d" % number * 100)
        log.flush()
    assert not list((tmp_path / "t-0").glob("*.recovery"))
    assert len(values(log)) == 10
    log.flush()
    assert len(list((tmp_path / "t-0").glob("*.recovery"))) == 9
    log.abandon()
    again = PartitionLog(tmp_path / "t-0", segment_bytes=200)
    assert len(values(again)) == 10
    again.close()


# -- flush policies --------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files and folders that were synced."""
    names: list[str] = []

    def noting(call: str) -> None:
        real = getattr(os, call)

        def note(file: int) -> None:
            names.append(Path(os.readlink(f"/proc/self/fd/{file}")).name)
            real(file)

        monkeypatch.setattr(os, call, note)

    noting("fsync")
    noting("fdatasync")
    return names


def segment(base: int) -> str:
    return f"{base:020}.log"


def test_always_each_append_is_synced_before_it_returns(tmp_path: Path, synced: list[str]) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=250, sync=True)
    put(log, b"1" * 100)
    # The new file's name first: a record in a file that nobody finds would be no better than none.
    assert synced == ["t-0", segment(0)]
    put(log, b"2" * 100)
    assert synced[2:] == ["t-0", segment(1)]
    put(log, b"3")
    assert synced[4:] == [segment(1)]
    log.abandon()


def test_each_append_with_which_so_many_records_wait_is_synced_before_it_returns(
    tmp_path: Path, synced: list[str]
) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=200, flush_messages=3)
    for number in range(2):
        put(log, b"%d" % number)
    assert synced == []
    put(log, b"2")
    # The sealed segment, with what waited in it, and the names of both before the record that is acknowledged.
    assert synced == [segment(0), "t-0", segment(2)]
    for number in range(3, 5):
        put(log, b"%d" % number)
    assert synced[3:] == []
    log.append_records([(b"k", b"")] * 5, NOW)
    assert synced[-1] == segment(log.active_base)
    waited = len(synced)
    log.flush_messages = 1
    for number in range(3):
        put(log, b"%d" % number)
    assert len([name for name in synced[waited:] if name.endswith(".log")]) == 3
    log.abandon()


async def test_what_the_background_synced_waits_no_longer(tmp_path: Path, synced: list[str]) -> None:
    files = OpenFiles()
    flusher = Flusher("interval", files)
    log = PartitionLog(tmp_path / "t-0", files=files, due=flusher.due, flush_messages=3)
    put(log, b"1")
    put(log, b"2")
    await flusher.flush()
    synced.clear()
    put(log, b"3")
    put(log, b"4")
    assert synced == []
    put(log, b"5")
    assert synced == [segment(0)]
    log.abandon()
    again = PartitionLog(tmp_path / "t-0", flush_messages=3)
    put(again, b"6")
    assert synced == [segment(0)] * 2, "what a crash left may not be durable"
    again.abandon()


def test_what_cannot_be_synced_with_the_records_before_it_is_not_in_the_log(tmp_path: Path, disk: Disk) -> None:
    log = PartitionLog(tmp_path / "t-0", segment_bytes=150, flush_messages=2)
    put(log, b"1" * 100)
    disk.refuse("fdatasync", errno.EIO)
    with pytest.raises(StorageError):
        put(log, b"2" * 100)
    disk.mend()
    put(log, b"3" * 100)
    assert values(log) == [b"1" * 100, b"3" * 100]
    log.close()


def test_a_topic_says_after_how_many_records(tmp_path: Path) -> None:
    with BrokerThread(tmp_path, settings={"log.flush.interval.messages": "7"}) as broker:
        broker.create_topic("own", 1, {"flush.messages": "1"})
        broker.create_topic("default")
        topics = broker.broker.topics
        assert [topics.partition(name, 0).flush_messages for name in ("own", "default")] == [1, 7]
        change = ConfigResource(
            ResourceType.TOPIC,
            "own",
            incremental_configs=[ConfigEntry("flush.messages", "5", incremental_operation=AlterConfigOpType.SET)],
        )
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        admin.incremental_alter_configs([change])[change].result(30)
        assert topics.partition("own", 0).flush_messages == 5


@pytest.mark.parametrize("policy", ["interval", "never"])
async def test_what_the_background_syncs(tmp_path: Path, synced: list[str], policy: str) -> None:
    files = OpenFiles()
    flusher = Flusher(policy, files)
    log = PartitionLog(tmp_path / "t-0", segment_bytes=200, files=files, due=flusher.due)
    put(log, b"1" * 100)
    put(log, b"2" * 100)
    assert synced == []
    await flusher.flush()
    assert sorted(synced) == sorted([segment(0), "t-0"] + [segment(1)] * (policy == "interval"))
    await flusher.flush()
    assert len(synced) == (3 if policy == "interval" else 2)
    log.abandon()


async def test_what_cannot_be_synced_stays_due(tmp_path: Path, disk: Disk, synced: list[str]) -> None:
    files = OpenFiles()
    flusher = Flusher("interval", files)
    logs = [PartitionLog(tmp_path / f"t-{number}", files=files, due=flusher.due) for number in range(2)]
    for log in logs:
        put(log, b"v")
    disk.refuse("fdatasync", errno.EIO, after=1)
    await flusher.flush()
    assert len(flusher.due) == 1
    disk.mend()
    await flusher.flush()
    assert not flusher.due
    assert synced.count(segment(0)) == 2
    for log in logs:
        log.close()


def test_a_deletion_that_cannot_be_written_down_is_answered_so_and_did_not_happen(tmp_path: Path, disk: Disk) -> None:
    with BrokerThread(tmp_path) as broker:
        broker.create_topic("t")
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        disk.refuse("pwritev", errno.ENOSPC)
        (done,) = admin.delete_topics(["t"]).values()
        with pytest.raises(KafkaException) as refused:
            done.result(30)
        assert refused.value.args[0].code() == KAFKA_STORAGE_ERROR
        assert broker.broker.topics.get("t") is not None
        disk.mend()
        (done,) = admin.delete_topics(["t"]).values()
        done.result(30)
