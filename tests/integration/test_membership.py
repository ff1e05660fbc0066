"""A group that others are in: a worker waits for its turn and says why."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syncline.broker import BrokerThread
from syncline.kafka.client import KAFKA
from syncline.kafka.ports import Consumer, Membership, Rebalance, Role
from tests.servers import wait_for

GROUP = "connect-cluster"


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    with BrokerThread(tmp_path / "broker") as broker:
        yield broker.bootstrap_servers


def stranger(bootstrap: str) -> tuple[Consumer, threading.Event]:
    """A consumer in the group, and whether it has its partition."""
    owns = threading.Event()
    consumer = KAFKA.consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "session.timeout.ms": "6000"})
    consumer.subscribe(["t"], Rebalance(lambda _: owns.set(), lambda _: None, lambda _: None))
    return consumer, owns


def reading(consumer: Consumer, until: Callable[[], bool]) -> Callable[[], bool]:
    def look() -> bool:
        consumer.read(1, 0.05)
        return until()

    return look


def test_members_of_another_kind_are_waited_for(bootstrap: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "syncline.kafka.membership")
    KAFKA.admin({"bootstrap.servers": bootstrap}).create_topic("t")
    consumer, owns = stranger(bootstrap)
    wait_for(reading(consumer, owns.is_set), "the stranger is in the group", 30)
    roles: list[Role | None] = []
    membership = Membership(group=GROUP, url="here", session_ms=6000, heartbeat_ms=500, rebalance_ms=6000)
    member = KAFKA.member({"bootstrap.servers": bootstrap}, membership, roles.append)
    member.start()
    try:
        wait_for(reading(consumer, lambda: "members of another kind" in caplog.text), "the reason is said", 30)
        assert roles == []
        consumer.close()
        wait_for(lambda: bool(roles), "its turn has come", 30)
        assert roles[0] is not None
        assert roles[0].active
    finally:
        member.stop()
    assert caplog.text.count("members of another kind") == 1
