"""The plug-in in suites of strangers: pytest is run in an empty folder, and finds it because it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

SUITE = """
import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer


def test_sync(syncline_bootstrap_servers, syncline_topic):
    producer = Producer({"bootstrap.servers": syncline_bootstrap_servers})
    producer.produce(syncline_topic, b"sync")
    assert producer.flush(60) == 0
    consumer = Consumer({
        "bootstrap.servers": syncline_bootstrap_servers, "group.id": "g", "auto.offset.reset": "earliest",
    })
    consumer.subscribe([syncline_topic])
    assert consumer.poll(60).value() == b"sync"
    consumer.close()


async def test_async(syncline_broker, syncline_new_topic):
    topic = syncline_new_topic(partitions=3, cleanup_policy="compact")
    at = {"bootstrap_servers": syncline_broker.bootstrap_servers}
    async with AIOKafkaProducer(**at) as producer:
        assert await producer.partitions_for(topic) == {0, 1, 2}
        await producer.send_and_wait(topic, b"async", key=b"k")
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **at) as consumer:
        assert (await asyncio.wait_for(consumer.getone(), 60)).value == b"async"


def test_topics_are_empty_and_of_one_test(syncline_broker, syncline_topic):
    names = [topic.name for topic in syncline_broker.broker.topics if topic.name.startswith("test-")]
    assert names == [syncline_topic]
"""


def run(folder: Path, *arguments: str, suite: str = SUITE, conftest: str = "") -> str:
    """What pytest prints, on a suite that knows Syncline as an installed package only."""
    (folder / "test_strangers.py").write_text(textwrap.dedent(suite))
    (folder / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    if conftest:
        (folder / "conftest.py").write_text(textwrap.dedent(conftest))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.stdout + done.stderr


def test_sync_and_async_tests_share_a_broker_and_no_topic(tmp_path: Path) -> None:
    assert re.search(r"^=+ 3 passed", run(tmp_path), re.MULTILINE)


def test_parallel_workers_do_not_disturb_each_other(tmp_path: Path) -> None:
    assert re.search(r"^=+ 3 passed", run(tmp_path, "-n", "2"), re.MULTILINE)


def test_the_broker_takes_the_settings_of_a_suite(tmp_path: Path) -> None:
    conftest = """
        import pytest

        @pytest.fixture(scope="session")
        def syncline_broker_settings():
            return {"num.partitions": "5"}
        """
    suite = """
        def test_it(syncline_broker):
            assert syncline_broker.broker.settings.number("num.partitions") == 5
        """
    assert re.search(r"^=+ 1 passed", run(tmp_path, suite=suite, conftest=conftest), re.MULTILINE)


def test_a_suite_that_asks_for_nothing_starts_nothing(tmp_path: Path) -> None:
    suite = """
        import sys

        def test_it():
            assert [name for name in sys.modules if name.startswith(("kio", "syncline.broker"))] == []
        """
    assert re.search(r"^=+ 1 passed", run(tmp_path, suite=suite), re.MULTILINE)


def test_the_fixtures_explain_themselves(tmp_path: Path) -> None:
    printed = run(tmp_path, "--fixtures")
    for name in ("syncline_broker", "syncline_bootstrap_servers", "syncline_new_topic", "syncline_topic"):
        found = re.search(rf"^{name}\b.*\n +(.*)$", printed, re.MULTILINE)
        assert found is not None
        assert not found[1].startswith("no docstring")
