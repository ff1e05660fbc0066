"""Converters and transforms between Kafka and a task."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from syncline.api import Converter, HeaderConverter, Plugin, PluginKind, Predicate, Transform
from syncline.data import Schema, SchemaAndValue, SinkRecord, SourceRecord, TimestampType
from syncline.data.record import Header
from syncline.errors import ConfigError, ConnectError, DataError, RetriableError
from syncline.kafka.ports import LOG_APPEND_TIME, NO_TIMESTAMP, KafkaRecord
from syncline.testing.builders import kafka_record, source_record, worker_settings
from syncline.worker.decoding import Decoder
from syncline.worker.encoding import Encoder
from syncline.worker.metrics import ErrorMetrics
from syncline.worker.pipeline import Chain, chain_of, converters_of
from syncline.worker.plugins import Plugins
from syncline.worker.tolerance import Failure, Tolerance
from tests.unit.worker.conftest import installed

CONNECT = "org.apache.kafka.connect"
TEXT = f"{CONNECT}.storage.StringConverter"
LONG = f"{CONNECT}.converters.LongConverter"


class Counting(Converter, HeaderConverter):
    """Text in both directions; `bad` cannot be converted. Counts its calls."""

    lists = 0
    singles = 0
    configured: ClassVar[dict[str, Mapping[str, str]]] = {}

    def configure(self, config: Mapping[str, str], *, is_key: bool = False) -> None:
        self.configured[config["converter.type"]] = config

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        type(self).singles += 1
        return self._read(raw)

    def to_connect_list(self, topic: str, raws: Sequence[bytes | None]) -> list[SchemaAndValue]:
        type(self).lists += 1
        return [self._read(raw) for raw in raws]

    def _read(self, raw: bytes | None) -> SchemaAndValue:
        if raw == b"bad":
            raise DataError("bad bytes")
        return SchemaAndValue(None, None if raw is None else raw.decode())

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        type(self).singles += 1
        return self._write(value)

    def from_connect_list(self, topic: str, schema: Schema | None, values: Sequence[Any]) -> list[bytes | None]:
        type(self).lists += 1
        return [self._write(value) for value in values]

    def _write(self, value: Any) -> bytes | None:
        if value == "bad":
            raise DataError("bad value")
        return None if value is None else str(value).encode()

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        return self._read(raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return self._write(value)


class Suffix(Transform[SinkRecord]):
    """Appends a text; fails on `odd`; refuses `busy` once."""

    busy = False
    closed = 0

    def configure(self, config: Mapping[str, str]) -> None:
        self._suffix = config.get("suffix", "!")

    def apply(self, record: SinkRecord) -> SinkRecord | None:
        if record.value == "odd":
            raise ValueError("cannot append")
        if record.value == "busy" and not type(self).busy:
            type(self).busy = True
            raise RetriableError("later")
        return record.with_value(None, f"{record.value}{self._suffix}")

    def close(self) -> None:
        type(self).closed += 1


class IsLong(Predicate[SinkRecord]):
    def test(self, record: SinkRecord) -> bool:
        return len(str(record.value)) > 2


@pytest.fixture
def plugins() -> Plugins:
    Counting.lists = Counting.singles = Suffix.closed = 0
    Suffix.busy = False
    own = [
        Plugin(PluginKind.CONVERTER, "x.Counting", "1", Counting),
        Plugin(PluginKind.HEADER_CONVERTER, "x.Counting", "1", Counting),
        Plugin(PluginKind.TRANSFORMATION, "x.Suffix", "1", Suffix),
        Plugin(PluginKind.PREDICATE, "x.IsLong", "1", IsLong),
    ]
    return Plugins([*installed().all, *own])


class Reported:
    def __init__(self) -> None:
        self.failures: list[Failure] = []

    def report(self, failure: Failure) -> None:
        self.failures.append(failure)


ALL_COUNTING = {"key.converter": "x.Counting", "value.converter": "x.Counting", "header.converter": "x.Counting"}
TOLERANT = {"errors.tolerance": "all", "errors.retry.timeout": "1000"}


def tolerance_of(config: Mapping[str, str]) -> tuple[Tolerance, Reported]:
    stopping = threading.Event()
    stopping.set()  # nobody waits in these tests
    tolerance, reported = Tolerance(config, ErrorMetrics(), stopping=stopping), Reported()
    tolerance.reporters.append(reported)
    return tolerance, reported


def decoder(plugins: Plugins, **config: str) -> tuple[Decoder, Reported]:
    merged = {**ALL_COUNTING, **config}
    tolerance, reported = tolerance_of(merged)
    chain: Chain[SinkRecord] = Chain(chain_of(plugins, merged), tolerance)
    return Decoder(converters_of(plugins, worker_settings(), merged), chain, tolerance), reported


def encoder(plugins: Plugins, **config: str) -> tuple[Encoder, Reported]:
    merged = {**ALL_COUNTING, **config}
    tolerance, reported = tolerance_of(merged)
    chain: Chain[SourceRecord] = Chain(chain_of(plugins, merged), tolerance)
    return Encoder(converters_of(plugins, worker_settings(), merged), chain, tolerance), reported


def raws(*values: bytes | None, topic: str = "t") -> list[KafkaRecord]:
    return [kafka_record(value, topic=topic, offset=number) for number, value in enumerate(values)]


def values(records: Sequence[SinkRecord]) -> list[Any]:
    return [record.value for record in records]


def test_a_list_is_decoded_in_one_call(plugins: Plugins) -> None:
    made, _ = decoder(plugins)
    assert values(made.decode(raws(b"a", b"b", None, b"c"))) == ["a", "b", None, "c"]
    assert Counting.lists == 1  # values; there are no keys to decode


def test_topics_are_decoded_apart_and_order_is_kept(plugins: Plugins) -> None:
    made, _ = decoder(plugins)
    mixed = [*raws(b"a"), *raws(b"b", topic="u"), *raws(b"c")]
    assert [(record.topic, record.value) for record in made.decode(mixed)] == [("t", "a"), ("u", "b"), ("t", "c")]


def test_one_bad_record_is_found_and_the_others_pass(plugins: Plugins) -> None:
    made, reported = decoder(plugins, **TOLERANT)
    assert values(made.decode(raws(b"a", b"bad", b"b"))) == ["a", "b"]
    (failure,) = reported.failures
    assert (failure.stage, failure.class_name) == ("VALUE_CONVERTER", "x.Counting")
    assert isinstance(failure.record, KafkaRecord)
    assert failure.record.offset == 1


@pytest.mark.parametrize(
    ("record", "stage"),
    [
        (kafka_record(b"v", key=b"bad"), "KEY_CONVERTER"),
        (kafka_record(b"bad"), "VALUE_CONVERTER"),
        (kafka_record(b"v", headers=[("h", b"bad")]), "HEADER_CONVERTER"),
    ],
)
def test_the_stage_says_which_converter_failed(plugins: Plugins, record: KafkaRecord, stage: str) -> None:
    made, reported = decoder(plugins)
    with pytest.raises(ConnectError, match=f"Tolerance exceeded in error handler \\({stage}, topic t"):
        made.decode([record])
    assert [failure.stage for failure in reported.failures] == [stage]


def test_everything_of_a_consumed_record_is_kept(plugins: Plugins) -> None:
    made, _ = decoder(plugins)
    headers: list[tuple[str, bytes | None]] = [("h", b"1"), ("h", None)]
    (record,) = made.decode([kafka_record(b"v", key=b"k", partition=3, offset=9, timestamp=5, headers=headers)])
    assert record == SinkRecord(
        "t",
        3,
        9,
        None,
        "k",
        None,
        "v",
        5,
        TimestampType.CREATE_TIME,
        (Header("h", None, "1"), Header("h", None, None)),
    )


@pytest.mark.parametrize(
    ("stamp", "timestamp", "kind"),
    [
        ((NO_TIMESTAMP, -1), None, TimestampType.NO_TIMESTAMP_TYPE),
        ((LOG_APPEND_TIME, 7), 7, TimestampType.LOG_APPEND_TIME),
    ],
)
def test_timestamps_say_who_set_them(
    plugins: Plugins, stamp: tuple[int, int], timestamp: int | None, kind: TimestampType
) -> None:
    made, _ = decoder(plugins)
    (record,) = made.decode([KafkaRecord("t", 0, 0, stamp, None, b"v", None)])
    assert (record.timestamp, record.timestamp_type) == (timestamp, kind)


def test_transforms_apply_in_order_and_only_where_their_predicate_says(plugins: Plugins) -> None:
    config = {
        "transforms": "one, two,three",
        "transforms.one.type": "x.Suffix",
        "transforms.one.suffix": "1",
        "transforms.two.type": "Suffix",
        "transforms.two.suffix": "2",
        "transforms.two.predicate": "long",
        "transforms.three.type": "x.Suffix",
        "transforms.three.suffix": "3",
        "transforms.three.predicate": "long",
        "transforms.three.negate": "true",
        "predicates": "long",
        "predicates.long.type": "x.IsLong",
    }
    made, _ = decoder(plugins, **config)
    assert values(made.decode(raws(b"a", b"abc"))) == ["a13", "abc12"]
    made.close()
    assert Suffix.closed == 3


def test_a_transform_that_fails_sets_its_record_aside(plugins: Plugins) -> None:
    made, reported = decoder(plugins, **{"transforms": "s", "transforms.s.type": "x.Suffix"}, **TOLERANT)
    assert values(made.decode(raws(b"a", b"odd", b"b"))) == ["a!", "b!"]
    (failure,) = reported.failures
    assert (failure.stage, failure.class_name) == ("TRANSFORMATION", "x.Suffix")


def test_a_transform_that_is_busy_is_asked_again(plugins: Plugins) -> None:
    merged = {**ALL_COUNTING, **TOLERANT, "transforms": "s", "transforms.s.type": "x.Suffix"}
    tolerance = Tolerance(merged, ErrorMetrics(), stopping=threading.Event())
    chain: Chain[SinkRecord] = Chain(chain_of(plugins, merged), tolerance)
    made = Decoder(converters_of(plugins, worker_settings(), merged), chain, tolerance)
    assert values(made.decode(raws(b"busy"))) == ["busy!"]
    assert tolerance.metrics.retries == 1


def test_a_list_of_one_shape_is_encoded_in_one_call(plugins: Plugins) -> None:
    made, _ = encoder(plugins)
    records = [source_record("a", key=1), source_record("b", key=2), source_record("c", topic="u")]
    sent = list(made.encode(records))
    assert [(out.record.topic, out.key, out.value) for out in sent if out.record is not None] == [
        ("t", b"1", b"a"),
        ("t", b"2", b"b"),
        ("u", None, b"c"),
    ]
    assert Counting.lists == 3  # keys and values of t, values of u


def test_a_source_record_that_fails_keeps_its_place_without_being_sent(plugins: Plugins) -> None:
    made, reported = encoder(plugins, **TOLERANT)
    records = [source_record("a"), source_record("bad"), source_record("b")]
    sent = list(made.encode(records))
    assert [out.origin for out in sent] == records
    assert [out.value for out in sent if out.record is not None] == [b"a", b"b"]
    assert [failure.stage for failure in reported.failures] == ["VALUE_CONVERTER"]


def test_headers_of_source_records_are_written(plugins: Plugins) -> None:
    made, _ = encoder(plugins)
    (out,) = made.encode([source_record("a").with_headers((Header("h", None, 1), Header("h", None, None)))])
    assert list(out.headers) == [("h", b"1"), ("h", None)]


def test_a_connector_that_names_a_converter_does_not_inherit_the_workers_options(plugins: Plugins) -> None:
    settings = worker_settings(
        **{
            "key.converter": "x.Counting",
            "key.converter.mine": "w",
            "value.converter": "x.Counting",
            "value.converter.mine": "w",
        }
    )
    converters_of(plugins, settings, {"value.converter": "x.Counting", "value.converter.own": "c"})
    assert Counting.configured["key"] == {"mine": "w", "converter.type": "key"}
    assert Counting.configured["value"] == {"own": "c", "converter.type": "value"}


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"value.converter": "x.Missing"}, "value.converter"),
        ({"transforms": "a", "transforms.a.type": "x.Missing"}, "transforms.a.type"),
        ({"transforms": "a"}, "transforms.a.type"),
        (
            {"transforms": "a", "transforms.a.type": "x.Suffix", "transforms.a.predicate": "p"},
            "transforms.a.predicate",
        ),
        (
            {
                "transforms": "a",
                "transforms.a.type": "x.Suffix",
                "transforms.a.predicate": "p",
                "predicates": "p",
                "predicates.p.type": "x.Missing",
            },
            "predicates.p.type",
        ),
    ],
)
def test_a_plugin_that_does_not_exist_is_refused_with_its_key(
    plugins: Plugins, config: dict[str, str], key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        decoder(plugins, **config)
    assert list(caught.value.errors) == [key]
