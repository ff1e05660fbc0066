"""What the broker answers about groups is what Apache Kafka 4.1.0 answers, word for word.

`groups_as_kafka.json` is what `group_conversations` noted when it talked to Apache Kafka.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncline.broker import BrokerThread
from tests.integration.broker.group_conversations import CONVERSATIONS, held

RECORDED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("groups_as_kafka.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_answers_are_kafka_s(bootstrap: str, name: str) -> None:
    assert held(bootstrap, name) == RECORDED[name]


def test_every_conversation_was_recorded() -> None:
    assert RECORDED.keys() == CONVERSATIONS.keys()
