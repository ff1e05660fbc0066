"""One thing at a time per connector."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from syncline.cluster.lanes import CLOSED, Lanes
from syncline.cluster.progress import Progress, current, follow
from syncline.errors import ConnectError
from syncline.ids import ConnectorName

A, B = ConnectorName("a"), ConnectorName("b")
PATIENCE = 20


class Inside:
    """Somebody who is in a lane until told to leave."""

    def __init__(self, lanes: Lanes, name: ConnectorName, pool: ThreadPoolExecutor) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self.progress = Progress()
        self.future: Future[None] = pool.submit(self._stay, lanes, name)

    def _stay(self, lanes: Lanes, name: ConnectorName) -> None:
        follow(self.progress)
        with lanes.of(name), current().during(f"busy with {name}"):
            self.entered.set()
            assert self.leave.wait(PATIENCE)


def test_whoever_wants_the_same_connector_waits_and_others_do_not() -> None:
    lanes = Lanes()
    with ThreadPoolExecutor() as pool:
        first = Inside(lanes, A, pool)
        assert first.entered.wait(PATIENCE)
        second, other = Inside(lanes, A, pool), Inside(lanes, B, pool)
        assert other.entered.wait(PATIENCE)
        assert not second.entered.is_set()
        first.leave.set()
        assert second.entered.wait(PATIENCE)
        for each in (second, other):
            each.leave.set()
            each.future.result(PATIENCE)


def test_whoever_waits_says_what_is_waited_for() -> None:
    lanes = Lanes()
    with ThreadPoolExecutor() as pool:
        first = Inside(lanes, A, pool)
        assert first.entered.wait(PATIENCE)
        second = Inside(lanes, A, pool)
        seen = threading.Event()
        while "busy with a" not in (second.progress.text() or ""):
            assert not seen.wait(0.001)
        for each in (first, second):
            each.leave.set()
            each.future.result(PATIENCE)


def test_an_error_inside_leaves_the_lane_free() -> None:
    lanes = Lanes()
    with pytest.raises(ValueError, match="oops"), lanes.of(A):
        raise ValueError("oops")
    with lanes.of(A):
        pass


def test_closing_waits_for_those_inside_and_refuses_everybody_else() -> None:
    lanes = Lanes()
    with ThreadPoolExecutor() as pool:
        first = Inside(lanes, A, pool)
        assert first.entered.wait(PATIENCE)
        closing = pool.submit(lanes.close, PATIENCE)
        first.leave.set()
        closing.result(PATIENCE)
        first.future.result(PATIENCE)
    with pytest.raises(ConnectError, match=CLOSED), lanes.of(A):
        pass


def test_closing_does_not_wait_for_ever() -> None:
    lanes = Lanes()
    with ThreadPoolExecutor() as pool:
        first = Inside(lanes, A, pool)
        assert first.entered.wait(PATIENCE)
        waiting = Inside(lanes, A, pool)
        lanes.close(0.01)
        first.leave.set()
        first.future.result(PATIENCE)
        assert isinstance(waiting.future.exception(PATIENCE), ConnectError)
