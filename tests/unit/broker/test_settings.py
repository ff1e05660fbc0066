"""Settings that change while the broker runs count at once, and still count after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.broker import Broker
from syncline.broker.configs import BROKER, GROUP, TOPIC, Settings, check_topic_configs
from syncline.broker.errors import KafkaError


def value(broker: Broker, name: str) -> str:
    topic = broker.topics.get("t")
    assert topic is not None
    return broker.topics.config(topic, name)


async def test_a_broker_s_setting_reaches_its_topics_and_survives_a_restart(tmp_path: Path) -> None:
    async with Broker(tmp_path) as broker:
        broker.topics.create("t", 1, {})
        broker.store_settings("broker", "", {"log.retention.ms": "1000", "log.segment.bytes": "2000000"})
        broker.store_settings("broker", "1", {"log.retention.ms": "2000"})
        broker.store_settings("group", "g", {"consumer.session.timeout.ms": "50000"})
        assert value(broker, "retention.ms") == "2000"
    async with Broker(tmp_path) as broker:
        topic = broker.topics.get("t")
        assert topic is not None
        assert topic.partitions[0].segment_bytes == 2_000_000
        assert value(broker, "retention.ms") == "2000"
        assert broker.settings.for_group("g", "consumer.session.timeout.ms") == 50_000
        broker.store_settings("broker", "1", {})
        assert value(broker, "retention.ms") == "1000"
        broker.store_settings("broker", "", {})
        assert value(broker, "retention.ms") == "604800000"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"log.retention.hours": "2"}, "7200000"),
        ({"log.retention.hours": "2", "log.retention.minutes": "1"}, "60000"),
        ({"log.retention.minutes": "1", "log.retention.ms": "5"}, "5"),
        ({"log.retention.hours": "-1"}, "-1"),
    ],
)
def test_the_finest_unit_of_time_counts(given: dict[str, str], expected: str) -> None:
    assert Settings(given).topic_default(TOPIC["retention.ms"]) == expected


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("retention.ms", " 5 ", "5"),
        ("preallocate", "TRUE", "true"),
        ("cleanup.policy", "compact, delete", "compact,delete"),
    ],
)
def test_a_value_is_understood_as_kafka_understands_it(name: str, text: str, shown: str) -> None:
    TOPIC[name].validate(text)
    assert TOPIC[name].canonical(text) == shown


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(KafkaError, match="conflict topic config setting"):
        check_topic_configs({"min.compaction.lag.ms": "9", "max.compaction.lag.ms": "8"}, Settings())


def test_every_setting_is_documented() -> None:
    missing = [s.name for s in (*TOPIC.values(), *BROKER.values(), *GROUP.values()) if not s.documentation]
    assert missing == []
