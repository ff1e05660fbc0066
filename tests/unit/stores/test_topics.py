"""A compacted topic as a log, over a Kafka in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from syncline.errors import ConfigError, ConnectError, RetriableError
from syncline.stores import topics
from syncline.stores.topics import Entry, Raw, TopicLog, TopicPlan
from syncline.testing.kafka import MemoryKafka

PATIENCE = 20.0
PLAN = TopicPlan(name="configs", key="config.storage.topic", purpose="connector configurations", single=True)


class Reader:
    """What one process knows of a topic."""

    def __init__(self, kafka: MemoryKafka, plan: TopicPlan = PLAN) -> None:
        self.entries: list[Entry] = []
        self.log = TopicLog(kafka, {}, plan, self._absorb, self.known)

    def _absorb(self, entries: Sequence[Entry]) -> None:
        self.entries += entries

    def known(self) -> list[Raw]:
        return [(entry.key, entry.value) for entry in self.entries]


@pytest.fixture
def kafka() -> MemoryKafka:
    return MemoryKafka(auto_create=0)


@pytest.fixture
def reader(kafka: MemoryKafka) -> Iterator[Reader]:
    made = Reader(kafka)
    made.log.start()
    yield made
    made.log.stop()


def until(condition: Callable[[], bool], what: str) -> None:
    waited, never = 0.0, threading.Event()
    while not condition():
        assert waited < PATIENCE, f"waited {PATIENCE} s for {what}"
        never.wait(0.01)
        waited += 0.01


def test_a_missing_topic_is_made_compacted(kafka: MemoryKafka) -> None:
    plan = TopicPlan(
        name="offsets",
        key="offset.storage.topic",
        purpose="source connector offsets",
        partitions=25,
        replication_factor=1,
        configs={"segment.bytes": "1000"},
    )
    reader = Reader(kafka, plan)
    reader.log.start()
    reader.log.stop()
    made = kafka.topics["offsets"]
    assert len(made.partitions) == 25
    assert made.configs == {"cleanup.policy": "compact", "segment.bytes": "1000"}


def test_a_topic_that_forgets_is_refused_by_the_property_that_names_it(kafka: MemoryKafka) -> None:
    kafka.admin({}).create_topic("configs", configs={"cleanup.policy": "compact,delete"})
    with pytest.raises(ConfigError, match=r"'config.storage.topic' property .* 'cleanup.policy=compact,delete'"):
        Reader(kafka).log.start()


def test_a_config_topic_of_several_partitions_is_refused(kafka: MemoryKafka) -> None:
    kafka.admin({}).create_topic("configs", partitions=3, configs={"cleanup.policy": "compact"})
    with pytest.raises(ConfigError, match=r"single partition .* found 3 partitions"):
        Reader(kafka).log.start()


def test_a_topic_that_cannot_be_made_names_the_property(kafka: MemoryKafka) -> None:
    kafka.refuse_topics = ConnectError("INVALID_REPLICATION_FACTOR")
    with pytest.raises(ConfigError, match=r"config.storage.replication.factor=-1.*INVALID_REPLICATION_FACTOR"):
        Reader(kafka).log.start()


def test_what_was_written_before_is_read_at_the_start(kafka: MemoryKafka, reader: Reader) -> None:
    reader.log.write([(b"a", b"1"), (b"b", None)])
    second = Reader(kafka)
    second.log.start()
    second.log.stop()
    assert second.known() == [(b"a", b"1"), (b"b", None)]
    assert not any(entry.own for entry in second.entries)


def test_a_writer_knows_its_own_records_and_those_it_has_overtaken(reader: Reader) -> None:
    reader.log.write([(b"a", b"1"), (b"a", b"2")])
    reader.log.read_to_end()
    assert [(entry.value, entry.own, entry.overtaken) for entry in reader.entries] == [
        (b"1", True, True),
        (b"2", True, False),
    ]


def test_records_of_others_are_told_apart(kafka: MemoryKafka, reader: Reader) -> None:
    kafka.produce("configs", b"theirs", key=b"a")
    reader.log.read_to_end()
    assert [(entry.value, entry.own) for entry in reader.entries] == [(b"theirs", False)]


def test_a_record_that_is_refused_fails_its_write_and_is_forgotten(kafka: MemoryKafka, reader: Reader) -> None:
    kafka.refuse_records = lambda topic, value: ConnectError("too large")
    with pytest.raises(RetriableError, match="topic configs cannot be written: too large"):
        reader.log.write([(b"a", b"1")])
    kafka.refuse_records = lambda topic, value: None
    kafka.produce("configs", b"1", key=b"a")
    reader.log.read_to_end()
    assert [entry.own for entry in reader.entries] == [False]


def test_a_write_that_takes_too_long_says_so(kafka: MemoryKafka, reader: Reader) -> None:
    kafka.held = True
    with pytest.raises(RetriableError, match=r"cannot be written within 0\.01 s"):
        reader.log.write([(b"a", b"1")], 0.01)
    kafka.held = False


@pytest.mark.parametrize("remade", [{}, {"cleanup.policy": "delete"}], ids=["missing", "made by somebody else"])
def test_a_deleted_topic_comes_back_with_what_is_known(
    kafka: MemoryKafka, reader: Reader, remade: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "LOOK_SECONDS", 0.02)
    reader.log.write([(b"a", b"1"), (b"b", b"2")])
    reader.log.read_to_end()
    with kafka.changed:
        kafka.admin({}).delete_topic("configs")
        if remade:
            kafka.admin({}).create_topic("configs", configs=remade)
    until(lambda: len(kafka.read("configs")) == 2 if "configs" in kafka.topics else False, "the records")
    assert kafka.topics["configs"].configs == {"cleanup.policy": "compact"}
    assert [(record.key, record.value) for record in kafka.read("configs")] == [(b"a", b"1"), (b"b", b"2")]
    reader.log.write([(b"c", b"3")])
    reader.log.read_to_end()
    assert reader.entries[-1].value == b"3"
