"""Retry, set aside or fail."""

from __future__ import annotations

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.data import SourceRecord
from syncline.data.record import Header
from syncline.errors import ConfigError, ConnectError, DataError, RetriableError
from syncline.kafka.ports import KafkaRecord
from syncline.testing.builders import kafka_record, source_record
from syncline.worker.metrics import ErrorMetrics
from syncline.worker.tolerance import ErrorSettings, Failure, LogReporter, Skipped, Stage, Tolerance, described

CLASS = "org.apache.kafka.connect.json.JsonConverter"


class ManualClock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def wall_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return event.is_set()


class Remembering:
    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def report(self, failure: Failure) -> None:
        self.failures.append(failure)


class Policy:
    """A tolerance with everything it works with."""

    def __init__(self, **options: str) -> None:
        self.clock = ManualClock()
        self.metrics = ErrorMetrics()
        self.stopping = threading.Event()
        named = {name.replace("_", "."): value for name, value in options.items()}
        self.tolerance = Tolerance(named, self.metrics, stopping=self.stopping, clock=self.clock)
        self.reported = Remembering()
        self.tolerance.reporters.append(self.reported)

    def run(self, *outcomes: Exception | str, record: KafkaRecord | SourceRecord | None = None) -> str:
        """An operation that has these outcomes, one per call; the last one stays."""
        left = list(outcomes)

        def operation() -> str:
            outcome = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return self.tolerance.run(Stage.VALUE_CONVERTER, CLASS, record or kafka_record(offset=7), operation)


def test_success_costs_nothing() -> None:
    policy = Policy()
    assert policy.run("fine") == "fine"
    assert policy.metrics == ErrorMetrics()


def test_without_tolerance_the_first_bad_record_fails_the_task_and_is_reported() -> None:
    policy = Policy()
    with pytest.raises(ConnectError) as caught:
        policy.run(DataError("not JSON"))
    assert str(caught.value) == (
        "Tolerance exceeded in error handler (VALUE_CONVERTER, topic t, partition 0, offset 7)"
    )
    assert isinstance(caught.value.__cause__, DataError)
    assert [failure.stage for failure in policy.reported.failures] == [Stage.VALUE_CONVERTER]
    assert policy.metrics.record_errors == 1
    assert policy.metrics.records_skipped == 0


def test_with_tolerance_a_bad_record_is_reported_and_skipped() -> None:
    policy = Policy(errors_tolerance="all")
    with pytest.raises(Skipped):
        policy.run(DataError("not JSON"))
    assert policy.metrics.records_skipped == 1
    assert len(policy.reported.failures) == 1


def test_only_retriable_errors_are_tried_again() -> None:
    policy = Policy(errors_retry_timeout="-1", errors_tolerance="all")
    with pytest.raises(Skipped):
        policy.run(DataError("not JSON"), "fine")
    assert policy.clock.waits == []


def test_retries_wait_longer_each_time_and_then_at_random_below_the_limit() -> None:
    policy = Policy(errors_retry_timeout="-1", errors_retry_delay_max_ms="1000")
    busy = RetriableError("busy")
    assert policy.run(busy, busy, busy, busy, "fine") == "fine"
    assert policy.clock.waits[:2] == [0.3, 0.6]
    assert all(0 <= wait <= 1 for wait in policy.clock.waits[2:])
    assert policy.metrics.retries == 4
    assert policy.metrics.record_failures == 4
    assert policy.metrics.record_errors == 0


@given(
    timeout_ms=st.integers(0, 100_000),
    delay_max_ms=st.integers(1_000, 60_000),
    tolerance=st.sampled_from(["none", "all"]),
)
def test_retries_that_run_out_count_as_a_failure(timeout_ms: int, delay_max_ms: int, tolerance: str) -> None:
    policy = Policy(
        errors_retry_timeout=str(timeout_ms), errors_retry_delay_max_ms=str(delay_max_ms), errors_tolerance=tolerance
    )
    busy = RetriableError("busy")
    with pytest.raises(Skipped if tolerance == "all" else ConnectError) as caught:
        policy.run(busy)
    assert caught.value.__cause__ is busy
    assert all(wait * 1000 <= delay_max_ms for wait in policy.clock.waits)
    # The last try is put off once more just before the time is over.
    assert policy.clock.now * 1000 <= timeout_ms + delay_max_ms
    assert len(policy.reported.failures) == 1
    assert policy.metrics.retries == len(policy.clock.waits)
    if timeout_ms == 0:
        assert policy.metrics.retries == 0


def test_a_stop_ends_endless_retries() -> None:
    policy = Policy(errors_retry_timeout="-1")
    policy.stopping.set()
    with pytest.raises(ConnectError, match="Tolerance exceeded"):
        policy.run(RetriableError("busy"))


def test_bad_options_are_refused_by_name() -> None:
    with pytest.raises(ConfigError) as caught:
        Policy(errors_tolerance="most", errors_retry_timeout="soon")
    assert caught.value.errors == {
        "errors.retry.timeout": [
            "Invalid value soon for configuration errors.retry.timeout: Not a number of type LONG"
        ],
        "errors.tolerance": ["Invalid value most for configuration errors.tolerance: String must be one of: none, all"],
    }


@pytest.mark.parametrize(
    ("with_record", "message"),
    [
        (
            False,
            "Error encountered in task X-0. Executing stage 'VALUE_CONVERTER' with class "
            "'org.apache.kafka.connect.json.JsonConverter'.",
        ),
        (
            True,
            "Error encountered in task X-0. Executing stage 'VALUE_CONVERTER' with class "
            "'org.apache.kafka.connect.json.JsonConverter', where consumed record is {topic='t', partition=0, "
            "offset=1, timestamp=1700000000000, timestampType=CreateTime}.",
        ),
    ],
)
def test_the_log_speaks_in_connects_words(caplog: pytest.LogCaptureFixture, with_record: bool, message: str) -> None:
    metrics = ErrorMetrics()
    settings = ErrorSettings(
        retry_timeout_ms=0, retry_delay_max_ms=0, tolerance="all", log=True, log_records=with_record
    )
    reporter = LogReporter("X-0", settings, metrics)
    with caplog.at_level(logging.ERROR):
        reporter.report(Failure(Stage.VALUE_CONVERTER, CLASS, DataError("bad"), kafka_record(offset=1)))
    assert [record.getMessage() for record in caplog.records] == [message]
    assert metrics.errors_logged == 1


def test_a_source_record_is_described_as_java_prints_it() -> None:
    record = source_record("x", source={"file": "a"}, offset={"at": 1}, key=2).with_headers((Header("h", None, True),))
    assert described(record) == (
        "where source record is = SourceRecord{sourcePartition={file=a}, sourceOffset={at=1}} "
        "ConnectRecord{topic='t', kafkaPartition=null, key=2, keySchema=null, value=x, valueSchema=null, "
        "timestamp=null, headers=ConnectHeaders(headers=ConnectHeader(key=h, value=true, schema=null))}"
    )
