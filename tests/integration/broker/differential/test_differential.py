"""What the broker answers is what Apache Kafka 4.1.0 answers, but for what differs by intention.

`as_kafka.json` is what `record` noted when it talked to Apache Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from syncline.broker import BrokerThread
from tests.integration.broker.differential.conversations import CONVERSATIONS, held, load
from tests.integration.broker.differential.differences import BY_INTENTION, Difference, differences

RECORDED: dict[str, list[Any]] = load()


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


USED: set[Difference] = set()


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_answers_are_kafka_s(bootstrap: str, name: str) -> None:
    left = []
    for found in differences(RECORDED[name], held(bootstrap, name)):
        known = next((each for each in BY_INTENTION if each.covers(name, found)), None)
        if known is None:
            left.append(str(found))
        else:
            USED.add(known)
    assert not left, "\n".join(left)


def test_every_conversation_was_recorded() -> None:
    assert RECORDED.keys() == CONVERSATIONS.keys()


def test_what_differs_by_intention_does_differ(request: pytest.FixtureRequest) -> None:
    """Runs behind the conversations; with some of them left out it has nothing to say."""
    held_ones = {item.name for item in request.session.items if item.name.startswith("test_answers_are_kafka_s[")}
    if len(held_ones) < len(CONVERSATIONS):
        pytest.skip("not all conversations were held")
    assert set(BY_INTENTION) == USED
