"""What tasks count."""

from __future__ import annotations

import threading

import pytest

from syncline.worker.metrics import WINDOW_SECONDS, Measured, Page


class Clock:
    now = 0.0

    def wall_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return False


def test_averages_look_back_over_two_windows_and_totals_over_everything() -> None:
    clock = Clock()
    measured = Measured(clock)
    measured.record(10)
    clock.now = WINDOW_SECONDS
    measured.record(20)
    assert (measured.average, measured.largest) == (15, 20)
    clock.now = 2 * WINDOW_SECONDS
    assert (measured.average, measured.largest) == (20, 20)
    clock.now = 10 * WINDOW_SECONDS
    assert (measured.average, measured.largest, measured.rate) == (0, 0, 0)
    assert (measured.count, measured.total) == (2, 30)


def test_a_rate_is_per_second() -> None:
    clock = Clock()
    measured = Measured(clock)
    measured.record(600)
    clock.now = WINDOW_SECONDS
    measured.record(600)
    clock.now = 2 * WINDOW_SECONDS - 1
    assert measured.rate == pytest.approx(1200 / (2 * WINDOW_SECONDS - 1))


def test_lines_of_one_name_stand_together_and_labels_are_escaped() -> None:
    page = Page()
    page.gauge("a", 1, connector='x"\\\n')
    page.counter("b_total", 2.5)
    page.gauge("a", 2, connector="y")
    assert page.text() == (
        "# TYPE kafka_connect_a gauge\n"
        'kafka_connect_a{connector="x\\"\\\\\\n"} 1\n'
        'kafka_connect_a{connector="y"} 2\n'
        "# TYPE kafka_connect_b_total counter\n"
        "kafka_connect_b_total 2.5\n"
    )
