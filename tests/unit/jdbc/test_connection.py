"""One connection: opened with patience, checked after idling, given up when it is lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from syncline.connectors.jdbc.connection import IDLE_SECONDS, Connection, pause_ms
from syncline.connectors.jdbc.dialects.sqlite import Sqlite
from syncline.connectors.jdbc.refusal import Refusal, Refused, Unreachable
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.url import parse_url
from syncline.errors import ConnectError


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def wall_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.now += seconds
        self.waits.append(seconds)
        return event.is_set()


class Flaky(Sqlite):
    """SQLite whose connections fail to open, or die, on demand."""

    def __init__(self, *failures: Refusal) -> None:
        self.failures = list(failures)
        self.opened = 0
        self.asked = 0
        self.dead = False

    def connect(self, settings: Settings) -> Any:
        if self.failures:
            raise Refused("no password=secret here", self.failures.pop(0))
        self.opened += 1
        return super().connect(settings)

    def alive(self, connection: Any) -> bool:
        self.asked += 1
        return not self.dead and super().alive(connection)


def made(dialect: Flaky, clock: Clock, *, attempts: int = 3) -> Connection:
    settings = Settings(url=parse_url("jdbc:sqlite::memory:"))
    return Connection(dialect, settings, attempts=attempts, backoff_ms=1000, clock=clock)


def test_it_is_opened_once() -> None:
    dialect, heard = Flaky(), []
    connection = made(dialect, Clock())
    connection.on_connect = lambda: heard.append("connected")
    assert connection.get() is connection.get()
    assert dialect.opened == 1
    assert heard == ["connected"]
    connection.drop()


def test_failures_are_waited_out_longer_each_time() -> None:
    clock = Clock()
    connection = made(Flaky(Refusal.AWAY, Refusal.BUSY), clock)
    connection.get()
    first, second = clock.waits
    assert 0.8 <= first <= 1.2
    assert 1.6 <= second <= 2.4
    connection.drop()


def test_after_all_attempts_it_gives_up_with_the_reason() -> None:
    connection = made(Flaky(Refusal.AWAY, Refusal.AWAY, Refusal.AWAY), Clock())
    with pytest.raises(ConnectError, match="Could not connect to database jdbc:sqlite::memory:: no ") as caught:
        connection.get()
    assert isinstance(caught.value.__cause__, Unreachable)


@pytest.mark.parametrize(
    ("cause", "kind"), [(Refusal.AWAY, Refusal.AWAY), (Refusal.BUSY, Refusal.AWAY), (Refusal.SCHEMA, Refusal.SCHEMA)]
)
def test_one_attempt_says_whether_another_may_succeed(cause: Refusal, kind: Refusal) -> None:
    with pytest.raises(Unreachable) as caught:
        made(Flaky(cause), Clock()).try_get()
    assert caught.value.kind is kind


def test_it_is_asked_whether_it_lives_only_after_idling() -> None:
    dialect, clock = Flaky(), Clock()
    connection = made(dialect, clock)
    connection.get()
    clock.now += IDLE_SECONDS
    connection.get()
    assert dialect.asked == 0
    clock.now += IDLE_SECONDS + 1
    connection.get()
    assert dialect.asked == 1
    connection.drop()


def test_a_dead_one_is_replaced_after_idling() -> None:
    dialect, clock = Flaky(), Clock()
    connection = made(dialect, clock)
    first = connection.get()
    dialect.dead = True
    clock.now += IDLE_SECONDS + 1
    assert connection.get() is not first
    assert dialect.opened == 2
    connection.drop()


def test_dropping_and_rolling_back_without_a_connection_does_nothing() -> None:
    connection = made(Flaky(), Clock())
    connection.drop()
    connection.rollback()


def test_one_that_cannot_roll_back_is_dropped() -> None:
    dialect = Flaky()
    connection = made(dialect, Clock())
    connection.get().close()
    connection.rollback()
    connection.get()
    assert dialect.opened == 2
    connection.drop()


def test_pauses_double_and_then_stay() -> None:
    pauses = [pause_ms(1000, failures) for failures in (1, 2, 3, 4, 5, 100)]
    for pause, expected in zip(pauses, (1000, 2000, 4000, 8000, 10_000, 10_000), strict=True):
        assert 0.8 * expected <= pause <= 1.2 * expected
    assert pause_ms(0, 5) == 0
