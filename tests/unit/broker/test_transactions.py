"""The transaction coordinator where the disk refuses, and where epochs are used up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncline.broker.errors import (
    CONCURRENT_TRANSACTIONS,
    COORDINATOR_NOT_AVAILABLE,
    NONE,
    KafkaError,
    StorageError,
)
from syncline.broker.log import PartitionLog
from syncline.broker.records import Batch
from syncline.broker.topics import TRANSACTIONS_TOPIC
from syncline.broker.transaction_log import Phase
from syncline.broker.transactions import LAST_EPOCH
from tests.unit.broker.manual import ManualTime
from tests.unit.broker.transaction_driver import TOPIC, World


@pytest.fixture
def world(tmp_path: Path, time: ManualTime) -> Iterator[World]:
    made = World(tmp_path, time)
    yield made
    made.abandon()


def refusing(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """From now on the disk takes nothing for one log."""
    append = PartitionLog.append

    def refused(log: PartitionLog, data: bytes, found: list[Batch]) -> int:
        if log.folder.name == folder:
            raise StorageError(OSError(28, "No space left on device"))
        return append(log, data, found)

    monkeypatch.setattr(PartitionLog, "append", refused)


def writing(world: World) -> tuple[int, int]:
    """A producer with one record in an open transaction."""
    _, producer_id, epoch = world.init("t")
    assert world.produce("t", (producer_id, epoch), 0, 0, "v", 12) == NONE
    return producer_id, epoch


def test_a_decision_stands_although_its_marker_must_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = writing(world)
    with monkeypatch.context() as patched:
        refusing(patched, f"{TOPIC}-0")
        assert world.end("t", producer, True, 5) == (NONE, producer[0], producer[1] + 1)
        assert world.fetched(0) == ([], 0)
        assert world.init("t")[0] == CONCURRENT_TRANSACTIONS
        world.transactions.expire()
        assert world.fetched(0) == ([], 0)
    world.transactions.expire()
    assert world.fetched(0) == (["v"], 2)
    assert world.init("t")[0] == NONE


def test_what_cannot_be_written_is_not_decided(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = writing(world)
    with monkeypatch.context() as patched:
        refusing(patched, f"{TRANSACTIONS_TOPIC}-0")
        assert world.end("t", producer, True, 5)[0] == COORDINATOR_NOT_AVAILABLE
        assert world.init("other")[0] == COORDINATOR_NOT_AVAILABLE
    known = world.transactions.get("t")
    assert known is not None
    assert known.phase is Phase.ONGOING
    assert world.end("t", producer, False, 5)[0] == NONE


def test_a_producer_fenced_after_its_last_epoch_gets_another_id(world: World, time: ManualTime) -> None:
    producer_id, _ = writing(world)
    known = world.transactions.get("t")
    assert known is not None
    world.transactions._store(replace(known, epoch=LAST_EPOCH))
    time.advance(61)
    world.transactions.expire()
    fresh = world.transactions.init("t", 60_000, (producer_id, LAST_EPOCH))
    assert (fresh.producer_id != producer_id, fresh.epoch) == (True, 0)
    with pytest.raises(KafkaError):
        world.transactions.init("t", 60_000, (producer_id, LAST_EPOCH - 1))
