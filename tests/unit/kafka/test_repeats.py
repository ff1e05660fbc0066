"""A broker that is away fills no log."""

from __future__ import annotations

import logging

from syncline.kafka.repeats import Repeats

REFUSED = "[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: "
AWAY = REFUSED + "Connection refused (after 0ms in state CONNECT, 1 identical error(s) suppressed)"


def line(at: float, text: str = AWAY, kind: str = "FAIL", client: str = "rdkafka#producer-1") -> logging.LogRecord:
    """As confluent-kafka hands it over."""
    record = logging.LogRecord("k", logging.ERROR, "", 0, "%s [%s] %s", (kind, client, text), None)
    record.created = at
    return record


def test_of_the_same_trouble_of_all_clients_one_line_in_30_seconds_is_written() -> None:
    repeats = Repeats()
    lines = [line(number / 10, client=f"rdkafka#consumer-{number % 7}") for number in range(605)]
    written = [record.getMessage() for record in lines if repeats.filter(record)]
    assert written == [
        f"FAIL [rdkafka#consumer-0] {AWAY}",
        f"FAIL [rdkafka#consumer-6] {AWAY} (299 more lines like this one were left out)",
        f"FAIL [rdkafka#consumer-5] {AWAY} (299 more lines like this one were left out)",
    ]


def test_numbers_and_times_do_not_make_another_trouble() -> None:
    repeats = Repeats()
    assert repeats.filter(line(0))
    assert not repeats.filter(line(1, REFUSED + "Connection refused (after 12ms in state CONNECT)"))


def test_other_trouble_is_told_at_once() -> None:
    repeats = Repeats()
    assert repeats.filter(line(0))
    assert repeats.filter(line(1, REFUSED + "Host is unreachable"))
    assert repeats.filter(line(1, kind="ERROR"))
    assert repeats.filter(line(1, kind="CONFWARN"))
    assert repeats.filter(line(1, kind="CONFWARN"))


def test_a_clock_that_is_set_back_does_not_keep_anything_quiet() -> None:
    repeats = Repeats()
    assert repeats.filter(line(1_000))
    assert repeats.filter(line(0))


def test_lines_of_syncline_itself_pass() -> None:
    repeats = Repeats()
    for _ in range(2):
        assert repeats.filter(logging.LogRecord("k", logging.WARNING, "", 0, "a %s goes on", ("consumer",), None))
        assert repeats.filter(logging.LogRecord("k", logging.WARNING, "", 0, "no arguments", None, None))
