"""What the broker answers about transactions is what Apache Kafka 4.1.0 answers, code for code and offset for offset.

`transactions_as_kafka.json` is what `transaction_conversations` noted when it talked to Apache Kafka.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncline.broker import BrokerThread
from tests.integration.broker.transaction_conversations import NAMES, held, ready
from tests.integration.broker.transaction_talk import LAST_EPOCH

RECORDED: dict[str, list[Any]] = json.loads(
    Path(__file__).with_name("transactions_as_kafka.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerThread]:
    settings = {"flush.interval.ms": "100"}
    with BrokerThread(tmp_path_factory.mktemp("broker"), settings=settings) as broker:
        ready(broker.bootstrap_servers)
        yield broker


@pytest.fixture
def age(thread: BrokerThread) -> Callable[[str], None]:
    """Gives a transactional id its last epoch, without the 32,766 before it."""

    async def aged(transactional_id: str) -> None:
        transactions = thread.broker.transactions
        known = transactions.get(transactional_id)
        assert known is not None
        transactions._store(replace(known, epoch=LAST_EPOCH))

    return lambda transactional_id: asyncio.run_coroutine_threadsafe(aged(transactional_id), thread._loop).result()


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_kafka_s(thread: BrokerThread, age: Callable[[str], None], name: str) -> None:
    assert held(thread.bootstrap_servers, name, age) == RECORDED[name]


def test_every_conversation_was_recorded() -> None:
    assert RECORDED.keys() == set(NAMES)
