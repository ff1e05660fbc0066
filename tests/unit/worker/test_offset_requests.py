"""Reading and changing offsets on behalf of a user."""

from __future__ import annotations

from typing import Any

import pytest

from syncline.errors import BadRequest, ConnectError
from syncline.ids import TopicPartition
from syncline.testing.probes import PROBE_SINK, PROBE_SOURCE
from syncline.worker.offset_requests import Given
from tests.unit.worker.conftest import World

SOURCE = {"name": "c", "connector.class": PROBE_SOURCE}
SINK = {"name": "c", "connector.class": PROBE_SINK, "topics": "t"}
GROUP = "connect-c"


def sink_entry(offset: Any, partition: Any = 0, topic: Any = "t") -> tuple[dict[str, Any], dict[str, Any] | None]:
    return {"kafka_topic": topic, "kafka_partition": partition}, {"kafka_offset": offset}


def test_source_offsets_are_listed_without_deleted_ones(world: World) -> None:
    world.offsets.commit("c", [({"p": 1}, {"at": 3}), ({"p": 2}, None)])
    world.offsets.commit("other", [({"p": 1}, {"at": 9})])
    assert world.worker.connector_offsets(world.name, SOURCE) == [{"partition": {"p": 1}, "offset": {"at": 3}}]


def test_source_offsets_are_set_and_deleted_one_by_one(world: World) -> None:
    world.offsets.commit("c", [({"p": 1}, {"at": 3}), ({"p": 2}, {"at": 4})])
    assert world.worker.alter_offsets(world.name, SOURCE, [({"p": 1}, {"at": 1}), ({"p": 2}, None)])
    assert world.worker.connector_offsets(world.name, SOURCE) == [{"partition": {"p": 1}, "offset": {"at": 1}}]
    assert world.source.calls == [("alter_offsets", [({"p": 1}, {"at": 1}), ({"p": 2}, None)])]


def test_a_connector_may_refuse_offsets_and_then_nothing_changes(world: World) -> None:
    def refuse(offsets: object) -> bool:
        raise ConnectError("no such file")

    world.source.allow_offsets = refuse
    with pytest.raises(ConnectError, match="no such file"):
        world.worker.alter_offsets(world.name, SOURCE, [({"p": 1}, {"at": 1})])
    assert world.worker.connector_offsets(world.name, SOURCE) == []


def test_a_reset_forgets_every_source_partition_and_may_be_repeated(world: World) -> None:
    world.offsets.commit("c", [({"p": 1}, {"at": 3}), ({"p": 2}, {"at": 4})])
    world.worker.reset_offsets(world.name, SOURCE)
    world.worker.reset_offsets(world.name, SOURCE)
    assert world.worker.connector_offsets(world.name, SOURCE) == []


def test_sink_offsets_are_those_of_the_group(world: World) -> None:
    world.kafka.admin({}).create_topic("t", partitions=3)
    world.kafka.admin({}).alter_group_offsets(GROUP, {TopicPartition("t", 2): 5, TopicPartition("t", 1): 6})
    assert not world.worker.alter_offsets(
        world.name, SINK, [sink_entry("7", "0"), ({"kafka_topic": "t", "kafka_partition": 2}, None)]
    )
    assert world.worker.connector_offsets(world.name, SINK) == [
        {"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": {"kafka_offset": 7}},
        {"partition": {"kafka_topic": "t", "kafka_partition": 1}, "offset": {"kafka_offset": 6}},
    ]
    world.worker.reset_offsets(world.name, SINK)
    assert world.worker.connector_offsets(world.name, SINK) == []


def test_a_topic_whose_name_is_a_number_may_come_without_quotation_marks(world: World) -> None:
    world.kafka.produce("5", b"a")
    world.worker.alter_offsets(world.name, SINK, [({"kafka_topic": 5, "kafka_partition": 0}, {"kafka_offset": 1})])
    assert world.kafka.committed(GROUP) == {TopicPartition("5", 0): 1}


def test_offsets_of_a_sink_that_still_runs_are_not_changed(world: World) -> None:
    world.kafka.produce("t", b"a")
    world.start_sink()
    world.wait_committed(1)
    with pytest.raises(ConnectError, match="Failed to alter consumer group offsets for connector c either because"):
        world.worker.alter_offsets(world.name, SINK, [sink_entry(0)])
    with pytest.raises(ConnectError, match="Failed to reset consumer group offsets for connector c either because"):
        world.worker.reset_offsets(world.name, SINK)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([], "Partitions / offsets need to be provided for an alter offsets request"),
        ([(None, None)], "The partition for a sink connector offset cannot be null or missing"),
        (
            [({"kafka_topic": "t"}, None)],
            "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'",
        ),
        ([sink_entry(1, 0, None)], "Kafka topic names must be valid strings and may not be null"),
        ([sink_entry(1, None)], "Kafka partitions must be valid numbers and may not be null"),
        (
            [sink_entry(1, "x")],
            "Failed to parse the following Kafka partition value in the provided offsets: 'x'. "
            "Partition values for sink connectors need to be integers.",
        ),
        (
            [({"kafka_topic": "t", "kafka_partition": 0}, {})],
            "The offset for a sink connector should either be null or contain the key 'kafka_offset'",
        ),
        *(
            (
                [sink_entry(value)],
                f"Failed to parse the following Kafka offset value in the provided offsets: '{shown}'. "
                "Offset values for sink connectors need to be integers.",
            )
            for value, shown in ((True, "true"), (None, "null"), (1.5, "1.5"), ("", ""), ("1_0", "1_0"))
        ),
    ],
)
def test_malformed_sink_offsets_are_refused_in_connects_words(world: World, offsets: Given, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        world.worker.alter_offsets(world.name, SINK, offsets)
    assert str(caught.value) == message


@pytest.mark.parametrize("entry", [sink_entry(1, topic="unknown"), sink_entry(1, 9), sink_entry(1, -1), sink_entry(-1)])
def test_places_the_cluster_does_not_have_are_refused(world: World, entry: Any) -> None:
    world.kafka.admin({}).create_topic("t", partitions=3)
    with pytest.raises(ConnectError, match="Failed to alter consumer group offsets for connector c: ") as caught:
        world.worker.alter_offsets(world.name, SINK, [entry])
    assert not isinstance(caught.value, BadRequest)
    assert world.kafka.committed(GROUP) == {}
