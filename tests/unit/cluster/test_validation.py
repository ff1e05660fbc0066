"""Validation beyond the recordings: what the plug-ins a connector names add to the answer, and odd values."""

from __future__ import annotations

import pytest

from syncline.client.models import ConfigInfo, ConfigInfos
from syncline.cluster.validation import Validator
from syncline.options.providers import Resolver
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings

JSON = "org.apache.kafka.connect.json.JsonConverter"
SINK = {"connector.class": "FileStreamSink", "name": "x", "topics": "t", "file": "f"}
SOURCE = {"connector.class": "FileStreamSource", "name": "x", "topic": "t", "file": "f"}
JDBC_SINK = {"connector.class": "JdbcSink", "name": "x", "topics": "t", "connection.url": "jdbc:sqlite::memory:"}
JDBC_SOURCE = {
    "connector.class": "JdbcSource",
    "name": "x",
    "connection.url": "jdbc:sqlite::memory:",
    "mode": "incrementing",
    "incrementing.column.name": "id",
    "table.whitelist": "t",
}
ODD = ["", " ", "x", "-1", "9" * 5000, "a,b", ",", "(", "[", "\x00é\n", "a:b", "null", None]


@pytest.fixture(scope="module")
def validator() -> Validator:
    settings = WorkerSettings.of({"key.converter": JSON, "value.converter": JSON})
    return Validator(Plugins.installed(), settings, Resolver.of({}))


def infos(answer: ConfigInfos, prefix: str) -> dict[str, ConfigInfo]:
    return {info.value.name: info for info in answer.configs if info.value.name.startswith(prefix)}


def errors(answer: ConfigInfos) -> dict[str, list[str]]:
    return {info.value.name: info.value.errors for info in answer.configs if info.value.errors}


def test_options_of_a_transform_stand_in_the_order_of_kafka_in_its_group(validator: Validator) -> None:
    sent = {**SINK, "transforms": "r", "transforms.r.type": "RegexRouter"}
    sent |= {"transforms.r.regex": "a", "transforms.r.replacement": "b"}
    found = infos(validator.validate(sent).body(), "transforms.r.")
    listed = [
        (name, info.definition.order, info.definition.display_name, info.definition.group)
        for name, info in found.items()
        if info.definition is not None
    ]
    group = "Transforms: r"
    assert listed == [
        ("transforms.r.type", 0, "Transformation type for r", group),
        ("transforms.r.plugin.version", 1, "Transformation version for r", group),
        ("transforms.r.regex", 2, "regex", group),
        ("transforms.r.replacement", 3, "replacement", group),
        ("transforms.r.negate", 4, "negate", group),
        ("transforms.r.predicate", 5, "predicate", group),
    ]


def test_a_transform_that_is_not_known_has_no_further_options(validator: Validator) -> None:
    sent = {**SINK, "transforms": "a", "transforms.a.type": "nope", "transforms.a.negate": "true"}
    answer = validator.validate(sent).body()
    assert list(infos(answer, "transforms.a.")) == ["transforms.a.type", "transforms.a.plugin.version"]
    assert infos(answer, "transforms.a.type")["transforms.a.type"].value.value is None
    assert len(errors(answer)["transforms.a.type"]) == 2


@pytest.mark.parametrize(
    ("key", "name", "shown"),
    [
        ("key.converter", "JsonConverter", JSON),
        ("header.converter", " Nope ", None),
        ("header.converter", "Simple", "org.apache.kafka.connect.storage.SimpleHeaderConverter"),
        ("header.converter", " SimpleHeaderConverter ", "org.apache.kafka.connect.storage.SimpleHeaderConverter"),
    ],
)
def test_a_class_is_shown_by_its_full_name(validator: Validator, key: str, name: str, shown: str | None) -> None:
    assert infos(validator.validate({**SINK, key: name}).body(), key)[key].value.value == shown


def test_the_connector_is_shown_as_it_was_named(validator: Validator) -> None:
    answer = validator.validate(SINK).body()
    assert answer.name == "FileStreamSink"
    assert infos(answer, "connector.class")["connector.class"].value.value == "FileStreamSink"


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("transaction.boundary.interval.ms", "-1", True),
        ("transaction.boundary.interval.ms", "0", False),
        ("offsets.storage.topic", "", True),
        ("offsets.storage.topic", "o", False),
    ],
)
def test_limits_of_source_options(validator: Validator, key: str, value: str, refused: bool) -> None:
    assert list(errors(validator.validate({**SOURCE, key: value}).body())) == [key] * refused


def test_a_group_listed_twice_is_blamed_once(validator: Validator) -> None:
    found = errors(validator.validate({**SOURCE, "topic.creation.groups": "g,g"}).body())
    assert len(found["topic.creation.groups"]) == len(found["topic.creation.g.include"]) == 1


@pytest.mark.parametrize(
    ("given", "deletes", "shown", "modes"),
    [
        ({}, ["false"], False, ["none", "kafka", "record_key", "record_value"]),
        ({"pk.mode": "RECORD_KEY"}, ["true", "false"], True, ["none", "kafka", "record_key", "record_value"]),
        ({"pk.mode": "record_key", "delete.enabled": "true"}, ["true", "false"], True, ["record_key"]),
        (
            {"pk.mode": "nope", "delete.enabled": "perhaps"},
            ["false"],
            False,
            ["none", "kafka", "record_key", "record_value"],
        ),
    ],
)
def test_deletes_are_offered_with_the_key_of_the_record_only(
    validator: Validator, given: dict[str, str], deletes: list[str], shown: bool, modes: list[str]
) -> None:
    found = infos(validator.validate({**JDBC_SINK, **given}).body(), "")
    assert found["delete.enabled"].value.recommended_values == deletes
    assert found["delete.enabled"].value.visible is shown
    assert found["pk.mode"].value.recommended_values == modes


@pytest.mark.parametrize("key", ["date.timezone", "timestamp.precision.mode", "quote.sql.identifiers", "pk.mode"])
def test_what_the_sink_offers_it_takes(validator: Validator, key: str) -> None:
    for value in infos(validator.validate(JDBC_SINK).body(), key)[key].value.recommended_values:
        assert not errors(validator.validate({**JDBC_SINK, key: value}).body())


@pytest.mark.parametrize("key", ["transaction.isolation.mode", "timestamp.granularity", "numeric.mapping"])
def test_what_the_source_offers_it_takes(validator: Validator, key: str) -> None:
    offered = infos(validator.validate(JDBC_SOURCE).body(), key)[key].value.recommended_values
    for value in offered:
        found = errors(validator.validate({**JDBC_SOURCE, key: value}).body())
        assert not found or value == "sql_server_snapshot"


@pytest.mark.parametrize("config", [SINK, SOURCE, JDBC_SINK, JDBC_SOURCE], ids=lambda config: config["connector.class"])
def test_no_value_of_any_option_stops_validation(validator: Validator, config: dict[str, str]) -> None:
    keys = [
        *infos(validator.validate(config).body(), ""),
        *("transforms.a.type", "value.converter.schemas.enable", "topic.creation.default.partitions"),
        *("consumer.override.max.poll.records", "producer.override.acks", "upsert.version.field"),
    ]
    for key in set(keys) - {"connector.class"}:
        for value in ODD:
            answer = validator.validate({**config, key: value}).body()
            assert answer.error_count == sum(len(info.value.errors) for info in answer.configs)
