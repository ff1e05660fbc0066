"""`syncline dead-letters`: what services and sink connectors could not take is listed, shown, sent back, discarded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from syncline.broker import BrokerThread
from syncline.ids import TopicPartition
from syncline.kafka.client import Consumer, Producer
from syncline.kafka.ports import BEGINNING, KafkaRecord
from tests.servers import wait_for

DEAD = "orders.catalog-service.dlt"


@dataclass
class Site:
    bootstrap: str
    folder: Path

    def run(self, *arguments: str, status: int = 0) -> str:
        """What the command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "syncline", "dead-letters", *arguments, "--bootstrap-server", self.bootstrap],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def letter(self, number: int, *, topic: str = DEAD, partition: int = 0, told: bool = True) -> None:
        """A dead letter as a service writes it."""
        about = {
            "dlt-original-topic": "orders",
            "dlt-original-partition": "2",
            "dlt-original-offset": str(number),
            "dlt-group": "catalog-service",
            "dlt-exception-class": "syncline.errors.DataError",
            "dlt-exception-message": "this is no OrderPlaced",
        }
        headers = [
            ("event_id", f"e-{number}".encode()),
            *((name, text.encode()) for name, text in about.items() if told),
        ]
        self.send(topic, f"k-{number}", f"value {number}", headers, partition)

    def send(
        self,
        topic: str,
        key: str,
        value: str,
        headers: Sequence[tuple[str, bytes | None]],
        partition: int | None = None,
    ) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.send(topic, key.encode(), value.encode(), headers=headers, partition=partition)
        assert producer.flush(20)
        producer.close()

    def read(self, topic: str, count: int) -> list[KafkaRecord]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        consumer.assign({TopicPartition(topic, 0): BEGINNING})
        found: list[KafkaRecord] = []

        def enough() -> bool:
            found.extend(consumer.read(100, 0.1))
            return len(found) >= count

        try:
            wait_for(enough, f"{count} records on {topic}, found {len(found)}", 30)
        finally:
            consumer.close()
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with BrokerThread(tmp_path / "broker") as broker:
        yield Site(broker.bootstrap_servers, tmp_path)


def test_letters_are_listed_shown_and_replayed_once_as_they_were(site: Site) -> None:
    assert site.run("list") == "no dead letters\n"
    for number in range(3):
        site.letter(number)
    assert json.loads(site.run("list", "--json")) == [{"topic": DEAD, "waiting": 3}]
    shown = site.run("show", DEAD, "--max", "1")
    assert f"{DEAD}-0@0  from orders-2@0  by catalog-service\n" in shown
    assert "  syncline.errors.DataError: this is no OrderPlaced\n  value 0\n" in shown
    assert site.run("replay", DEAD, "--max", "2").endswith("2 sent\n")
    assert [letter["value"] for letter in json.loads(site.run("show", DEAD, "--json"))] == ["value 2"]
    assert site.run("replay", DEAD).endswith("1 sent\n")
    assert site.run("replay", DEAD) == "none waits\n"
    back = site.read("orders", 3)
    assert [(record.key, record.value, record.headers) for record in back] == [
        (f"k-{n}".encode(), f"value {n}".encode(), [("event_id", f"e-{n}".encode())]) for n in range(3)
    ]


def test_letters_of_several_partitions_are_all_replayed(site: Site) -> None:
    subprocess.run(
        [sys.executable, "-m", "syncline", "topics", "create", DEAD, "--partitions", "3", "-b", site.bootstrap],
        check=True,
        capture_output=True,
    )
    for number in range(9):
        site.letter(number, partition=number % 3)
    assert site.run("replay", DEAD).endswith("9 sent\n")
    assert {record.value for record in site.read("orders", 9)} == {f"value {n}".encode() for n in range(9)}


def test_discarded_letters_are_not_replayed_and_later_ones_are(site: Site) -> None:
    for number in range(2):
        site.letter(number)
    assert site.run("discard", DEAD, "--yes") == "2 discarded\n"
    assert site.run("discard", DEAD, "--yes") == "0 discarded\n"
    site.letter(2)
    assert site.run("replay", DEAD).endswith("1 sent\n")
    assert [record.value for record in site.read("orders", 1)] == [b"value 2"]


def test_a_connectors_letters_go_back_by_connects_headers(site: Site) -> None:
    about: list[tuple[str, bytes | None]] = [
        ("own", None),
        ("__connect.errors.topic", b"orders"),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", b"7"),
        ("__connect.errors.connector.name", b"sink"),
        ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
        ("__connect.errors.exception.message", b"no such field"),
    ]
    site.send("my-dlq", "k", "v", about)
    shown = site.run("show", "my-dlq")
    assert "from orders-0@7  by sink\n  org.apache.kafka.connect.errors.DataException: no such field\n" in shown
    assert site.run("replay", "my-dlq").endswith("1 sent\n")
    (back,) = site.read("orders", 1)
    assert (back.key, back.value, back.headers) == (b"k", b"v", [("own", None)])


def test_one_of_unknown_origin_stops_the_replay_before_it_and_needs_a_topic(site: Site) -> None:
    site.letter(0)
    site.letter(1, told=False)
    site.letter(2)
    said = site.run("replay", DEAD, status=1)
    assert f"{DEAD}-0@1 has no header that tells where it came from; give the topic with --to" in said
    assert site.run("replay", DEAD, "--max", "1", "--to", "repaired").endswith("1 sent\n")
    assert site.run("replay", DEAD).endswith("1 sent\n")
    assert [record.value for record in site.read("orders", 2)] == [b"value 0", b"value 2"]
    assert [record.value for record in site.read("repaired", 1)] == [b"value 1"]


def test_a_topic_that_is_not_there_is_named(site: Site) -> None:
    assert "topic nowhere does not exist" in site.run("show", "nowhere", status=1)
