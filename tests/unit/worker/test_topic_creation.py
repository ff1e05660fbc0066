"""How a source connector's topics are set up."""

from __future__ import annotations

import pytest

from syncline.errors import ConfigError
from syncline.worker.topic_creation import TopicPlan, TopicPlans

DEFAULT = {"topic.creation.default.partitions": "2", "topic.creation.default.replication.factor": "1"}


def test_without_options_the_broker_decides() -> None:
    assert not TopicPlans({"topic": "t"})


def test_the_default_group_takes_every_topic() -> None:
    plans = TopicPlans({**DEFAULT, "topic.creation.default.cleanup.policy": "compact"})
    assert plans.plan("any") == TopicPlan(2, 1, {"cleanup.policy": "compact"})


def test_the_first_group_that_takes_a_topic_decides_and_falls_back_on_the_default() -> None:
    plans = TopicPlans(
        {
            **DEFAULT,
            "topic.creation.groups": "orders, logs",
            "topic.creation.orders.include": "orders-.*, sales",
            "topic.creation.orders.exclude": "orders-old",
            "topic.creation.orders.partitions": "9",
            "topic.creation.logs.include": "orders-.*",
            "topic.creation.logs.replication.factor": "-1",
            "topic.creation.logs.retention.ms": "5",
        }
    )
    assert plans.plan("orders-1") == TopicPlan(9, 1, {})
    assert plans.plan("sales") == TopicPlan(9, 1, {})
    assert plans.plan("orders-old") == TopicPlan(2, -1, {"retention.ms": "5"})
    assert plans.plan("else") == TopicPlan(2, 1, {})


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"topic.creation.default.partitions": ""}, "topic.creation.default.partitions"),
        ({"topic.creation.default.partitions": "0"}, "topic.creation.default.partitions"),
        ({"topic.creation.default.replication.factor": "many"}, "topic.creation.default.replication.factor"),
        ({"topic.creation.groups": "g", "topic.creation.g.include": "("}, "topic.creation.g.include"),
    ],
)
def test_options_that_cannot_be_used_are_named(changes: dict[str, str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TopicPlans({**DEFAULT, **changes})
    assert list(caught.value.errors) == [key]
