"""The pytest plug-in: a Kafka broker for the tests of anybody who installs Syncline (docs/testing.md).

It is there as soon as Syncline is installed, and starts nothing until a test asks for one of its fixtures.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import pytest

if TYPE_CHECKING:
    from syncline.broker import BrokerThread

LONGEST_NAME: Final = 200
"""Kafka allows 249; the rest is for what tests append."""

_numbers = itertools.count(1)


class NewTopic(Protocol):
    """Makes an empty topic of its own name; it is deleted when the test is over."""

    def __call__(self, partitions: int = 1, **configs: str) -> str:
        """The topic's name. Settings are Kafka's, with `_` in place of dots: `cleanup_policy="compact"`."""
        ...


@pytest.fixture(scope="session")
def syncline_broker_settings() -> Mapping[str, str]:
    """Kafka's server.properties keys for the broker; define a fixture of this name to give some."""
    return {}


@pytest.fixture(scope="session")
def syncline_broker(
    tmp_path_factory: pytest.TempPathFactory, syncline_broker_settings: Mapping[str, str]
) -> Iterator[BrokerThread]:
    """A broker on a free port, for the whole session; each worker of pytest-xdist has one of its own."""
    from syncline.broker import BrokerThread

    with BrokerThread(tmp_path_factory.mktemp("syncline-broker"), settings=syncline_broker_settings) as broker:
        yield broker


@pytest.fixture(scope="session")
def syncline_bootstrap_servers(syncline_broker: BrokerThread) -> str:
    """What clients put into `bootstrap.servers`."""
    return syncline_broker.bootstrap_servers


@pytest.fixture
def syncline_new_topic(syncline_broker: BrokerThread, request: pytest.FixtureRequest) -> Iterator[NewTopic]:
    """Makes topics for one test."""
    made: list[str] = []
    of_test = re.sub(r"[^a-zA-Z0-9-]+", "-", request.node.name).strip("-")[:LONGEST_NAME]

    def make(partitions: int = 1, **configs: str) -> str:
        name = f"{of_test}-{next(_numbers)}"
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        syncline_broker.create_topic(name, partitions, settings)
        made.append(name)
        return name

    yield make
    for name in made:
        syncline_broker.delete_topic(name)


@pytest.fixture
def syncline_topic(syncline_new_topic: NewTopic) -> str:
    """An empty topic with one partition, for one test."""
    return syncline_new_topic()
