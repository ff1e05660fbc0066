"""Apache Kafka's command-line tools and Java clients against the embedded broker: what their user sees."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from syncline.broker import BrokerThread
from syncline.broker.log import PartitionLog
from syncline.broker.records import Producer as Writer
from syncline.broker.records import checked_batches, make_batch
from tests.apache_kafka import JavaProgram, tool
from tests.integration.broker.consumers import DEADLINE_S, fill, new_topic
from tests.servers import wait_for

pytestmark = [pytest.mark.java, pytest.mark.slow]

FAST = {"group.consumer.heartbeat.interval.ms": "100"}
PROTOCOLS = ("classic", "consumer")
GROUPS = "consumer.group.ConsumerGroupCommand"
CONFIGS = "kafka.admin.ConfigCommand"
CONSUMER = "consumer.ConsoleConsumer"


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker"), settings=FAST) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def at(bootstrap: str) -> tuple[str, str]:
    """How the tools are told where the broker is."""
    return "--bootstrap-server", bootstrap


@pytest.fixture
def topic(bootstrap: str) -> str:
    return new_topic(bootstrap, 2)


def table(output: str) -> list[dict[str, str]]:
    """The rows of a table that a tool prints, by the names in its first line."""
    lines = [line.split() for line in output.splitlines() if line.strip() and not line.startswith("Consumer group")]
    header, *rows = lines
    return [dict(zip(header, row, strict=False)) for row in rows]


def events(output: str, *names: str) -> list[dict[str, Any]]:
    """The events of these names of a verifiable producer or consumer."""
    whole_lines = output.rpartition("\n")[0].splitlines()  # one that is being written has no end yet
    lines = [json.loads(line) for line in whole_lines if line.startswith("{")]
    return [line for line in lines if line["name"] in names]


def ends(bootstrap: str, topic: str) -> str:
    return tool("GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic)


# -- topics and configurations ---------------------------------------------------------------


def test_a_topic_is_made_listed_described_grown_and_deleted(at: tuple[str, str]) -> None:
    create = ("--create", "--topic", "made-by-java", "--partitions", "2", "--config", "retention.ms=100000")
    assert "Created topic made-by-java." in tool("TopicCommand", *at, *create)
    assert "Topic 'made-by-java' already exists." in tool("TopicCommand", *at, *create, status=1)
    assert tool("TopicCommand", *at, *create, "--if-not-exists") == ""
    described = tool("TopicCommand", *at, "--describe", "--topic", "made-by-java").splitlines()
    assert re.fullmatch(
        r"Topic: made-by-java\tTopicId: [\w-]{22}\tPartitionCount: 2\tReplicationFactor: 1\t"
        r"Configs: (min.insync.replicas=1,)?retention.ms=100000",
        described[0],
    )
    assert ["Leader: 1\tReplicas: 1\tIsr: 1" in line for line in described[1:]] == [True, True]
    assert tool("TopicCommand", *at, "--alter", "--topic", "made-by-java", "--partitions", "3") == ""
    fewer = tool("TopicCommand", *at, "--alter", "--topic", "made-by-java", "--partitions", "1", status=1)
    assert "InvalidPartitionsException" in fewer
    assert "made-by-java" in tool("TopicCommand", *at, "--list", "--exclude-internal").splitlines()
    assert ends(at[1], "made-by-java").split() == [f"made-by-java:{number}:0" for number in range(3)]
    tool("TopicCommand", *at, "--delete", "--topic", "made-by-java")
    gone = tool("TopicCommand", *at, "--describe", "--topic", "made-by-java", status=1)
    assert "Topic 'made-by-java' does not exist as expected" in gone


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--topic", "bad", "--config", "no.such=1"), "Unknown topic config name: no.such"),
        (("--topic", "bad topic"), "InvalidTopicException"),
    ],
    ids=["an unknown setting", "a bad name"],
)
def test_a_topic_that_cannot_be_is_refused(at: tuple[str, str], arguments: tuple[str, ...], error: str) -> None:
    assert error in tool("TopicCommand", *at, "--create", *arguments, status=1)


def test_settings_of_a_topic_are_altered_and_taken_back(at: tuple[str, str], topic: str) -> None:
    name = ("--entity-type", "topics", "--entity-name", topic)
    added = "retention.ms=5000,cleanup.policy=[compact,delete]"
    tool(CONFIGS, *at, *name, "--alter", "--add-config", added)
    shown = tool(CONFIGS, *at, *name, "--describe")
    assert "retention.ms=5000 sensitive=false" in shown
    assert "cleanup.policy=compact,delete sensitive=false" in shown
    tool(CONFIGS, *at, *name, "--alter", "--delete-config", "retention.ms,cleanup.policy")
    assert "retention.ms" not in tool(CONFIGS, *at, *name, "--describe")
    assert "  retention.ms=604800000 sensitive=false" in tool(CONFIGS, *at, *name, "--describe", "--all")
    wrong = tool(CONFIGS, *at, *name, "--alter", "--add-config", "retention.ms=minus", status=1)
    assert "Invalid value minus for configuration retention.ms" in wrong


def test_settings_of_the_broker_are_shown(at: tuple[str, str]) -> None:
    shown = tool(CONFIGS, *at, "--entity-type", "brokers", "--entity-name", "1", "--describe", "--all")
    assert "All configs for broker 1 are:" in shown
    assert "  message.max.bytes=1048588 sensitive=false" in shown


# -- records ---------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_lines_from_the_console_are_read_back(at: tuple[str, str], topic: str, codec: str) -> None:
    keyed = ("--property", "parse.key=true", "--property", "key.separator=:")
    tool("ConsoleProducer", *at, "--topic", topic, *keyed, "--compression-codec", codec, text="k1:eins\nk2:zwei\n")
    shown = tool(
        *(CONSUMER, *at, "--topic", topic, "--from-beginning", "--max-messages", "2"),
        *("--property", "print.key=true", "--timeout-ms", "20000"),
    )
    lines = shown.splitlines()
    assert sorted(lines[:-1]) == ["k1\teins", "k2\tzwei"]
    assert lines[-1] == "Processed a total of 2 messages"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_group_goes_on_where_it_stopped(at: tuple[str, str], topic: str, protocol: str) -> None:
    consume = (CONSUMER, *at, "--topic", topic, "--group", f"g-{topic}", "--from-beginning", "--timeout-ms", "20000")
    joining = ("--consumer-property", f"group.protocol={protocol}")
    fill(at[1], topic, ["a", "b"], 2)
    assert sorted(tool(*consume, *joining, "--max-messages", "2").splitlines()[:2]) == ["a", "b"]
    fill(at[1], topic, ["c"], 2)
    assert tool(*consume, *joining, "--max-messages", "1").splitlines()[0] == "c"


def test_offsets_by_time_and_records_deleted(at: tuple[str, str], topic: str, tmp_path: Path) -> None:
    now = int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": at[1]})
    for number in range(10):
        producer.produce(topic, str(number), partition=0, timestamp=now + number)
    assert producer.flush(DEADLINE_S) == 0
    plan = tmp_path / "offsets.json"
    wanted = [{"topic": topic, "partition": 0, "offset": 4}, {"topic": topic, "partition": 1, "offset": -1}]
    plan.write_text(json.dumps({"partitions": wanted, "version": 1}))
    deleted = tool("DeleteRecordsCommand", *at, "--offset-json-file", plan)
    assert f"partition: {topic}-0\tlow_watermark: 4" in deleted
    assert f"partition: {topic}-1\tlow_watermark: 0" in deleted
    offsets = ("GetOffsetShell", *at, "--topic", topic, "--time")
    assert tool(*offsets, "earliest").split() == [f"{topic}:0:4", f"{topic}:1:0"]
    assert tool(*offsets, "latest").split() == [f"{topic}:0:10", f"{topic}:1:0"]
    assert tool(*offsets, "max-timestamp").split() == [f"{topic}:0:9"]
    assert tool(*offsets, str(now + 6)).split() == [f"{topic}:0:6"]
    shown = tool(CONSUMER, *at, "--topic", topic, "--partition", "0", "--offset", "earliest", "--max-messages", "1")
    assert shown.splitlines()[0] == "4"
    wanted[0]["offset"] = 11
    plan.write_text(json.dumps({"partitions": wanted[:1], "version": 1}))
    assert "OffsetOutOfRangeException" in tool("DeleteRecordsCommand", *at, "--offset-json-file", plan)


# -- groups ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_group_at_work_is_described_and_when_it_is_over_reset_and_deleted(
    at: tuple[str, str], topic: str, tmp_path: Path, protocol: str
) -> None:
    group = f"g-{topic}"
    fill(at[1], topic, [str(number) for number in range(20)], 2)
    member = ("--topic", topic, "--group-id", group, "--group-protocol", protocol, "--reset-policy", "earliest")
    consumer = JavaProgram(["VerifiableConsumer", *at, *member, "--verbose"], tmp_path / "consumer.log")
    with consumer:
        wait_for(lambda: len(events(consumer.log.read_text(), "record_data")) == 20, "all are consumed")
        wait_for(lambda: len(events(consumer.log.read_text(), "offsets_committed")) > 0, "offsets are committed")
        listed = tool(GROUPS, *at, "--list", "--state", "stable")
        assert {"GROUP": group, "STATE": "Stable"} in table(listed)
        assert group not in tool(GROUPS, *at, "--list", "--state", "empty")
        assert group in tool(GROUPS, *at, "--list", "--type", protocol)
        rows = table(tool(GROUPS, *at, "--describe", "--group", group))
        assert {(row["PARTITION"], row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"]) for row in rows} == {
            ("0", "10", "10", "0"),
            ("1", "10", "10", "0"),
        }
        assert {row["HOST"] for row in rows} == {"/127.0.0.1"}
        (state,) = tool(GROUPS, *at, "--describe", "--group", group, "--state").split("\n")[2:3]
        assert re.search(r"\b(range|uniform) +Stable +1", state)
        (row,) = table(tool(GROUPS, *at, "--describe", "--group", group, "--members"))
        assert row["#PARTITIONS"] == "2"
        busy = tool(GROUPS, *at, "--group", group, "--topic", topic, "--reset-offsets", "--to-earliest", "--execute")
        assert "Assignments can only be reset if the group" in busy
        assert "GroupNotEmptyException" in tool(GROUPS, *at, "--delete", "--group", group)
    wait_for(lambda: group in tool(GROUPS, *at, "--list", "--state", "empty"), "the member is gone")
    reset = (GROUPS, *at, "--group", group, "--topic", topic, "--reset-offsets")
    assert {row["NEW-OFFSET"] for row in table(tool(*reset, "--to-earliest", "--dry-run"))} == {"0"}
    assert offsets(at, group) == {"0": "10", "1": "10"}
    tool(*reset, "--shift-by", "-3", "--execute")
    assert offsets(at, group) == {"0": "7", "1": "7"}
    tool(*(GROUPS, *at, "--group", group, "--topic", f"{topic}:1", "--reset-offsets", "--to-offset", "2", "--execute"))
    assert offsets(at, group) == {"0": "7", "1": "2"}
    assert "Successful" in tool(GROUPS, *at, "--group", group, "--topic", f"{topic}:0", "--delete-offsets")
    assert offsets(at, group) == {"1": "2"}
    deleted = tool(GROUPS, *at, "--delete", "--group", group)
    assert f"Deletion of requested consumer groups ('{group}') was successful." in deleted
    assert f"Group {group} not found." in tool(GROUPS, *at, "--describe", "--group", group)


def offsets(at: tuple[str, str], group: str) -> dict[str, str]:
    """The committed offset of each partition, as the tool shows them."""
    rows = table(tool(GROUPS, *at, "--describe", "--group", group))
    return {row["PARTITION"]: row["CURRENT-OFFSET"] for row in rows if row["CURRENT-OFFSET"] != "-"}


def assigned(consumer: JavaProgram) -> set[int]:
    """The partitions that a verifiable consumer holds, by its own account."""
    held: set[int] = set()
    for event in events(consumer.log.read_text(), "partitions_assigned", "partitions_revoked"):
        numbers = {place["partition"] for place in event["partitions"]}
        held = held | numbers if event["name"] == "partitions_assigned" else held - numbers
    return held


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_verifiable_consumers_get_what_a_verifiable_producer_sent(
    at: tuple[str, str], tmp_path: Path, protocol: str
) -> None:
    topic = new_topic(at[1], 4)
    member = ("--topic", topic, "--group-id", f"g-{topic}", "--group-protocol", protocol, "--reset-policy", "earliest")
    members = [
        JavaProgram(["VerifiableConsumer", *at, *member, "--verbose"], tmp_path / f"consumer-{number}.log")
        for number in range(2)
    ]

    halves = [[set(half), set(range(4)) - set(half)] for half in itertools.combinations(range(4), 2)]
    with members[0], members[1]:
        wait_for(lambda: [assigned(each) for each in members] in halves, "each has half of the partitions")
        sent = tool("VerifiableProducer", *at, "--topic", topic, "--max-messages", "1000", "--acks", "-1")
        acknowledged = [event["value"] for event in events(sent, "producer_send_success")]
        assert len(acknowledged) == 1000

        def got() -> list[str]:
            return [event["value"] for each in members for event in events(each.log.read_text(), "record_data")]

        wait_for(lambda: len(got()) >= 1000, "all are consumed")
        assert sorted(got()) == sorted(acknowledged)


# -- transactions ----------------------------------------------------------------------------


def test_an_open_transaction_is_found_described_and_aborted(at: tuple[str, str], topic: str) -> None:
    held = Producer({"bootstrap.servers": at[1], "transactional.id": f"tx-{topic}"})
    held.init_transactions(DEADLINE_S)
    held.begin_transaction()
    held.produce(topic, "held", partition=0)
    assert held.flush(DEADLINE_S) == 0
    command = ("TransactionsCommand", *at)
    (row,) = [row for row in table(tool(*command, "list")) if row["TransactionalId"] == f"tx-{topic}"]
    assert row["TransactionState"] == "Ongoing"
    described = tool(*command, "describe", "--transactional-id", f"tx-{topic}")
    assert f"{topic}-0" in described
    assert row["ProducerId"] in described
    (producer,) = table(tool(*command, "describe-producers", "--topic", topic, "--partition", "0"))
    assert producer["ProducerId"] == row["ProducerId"]
    assert producer["CurrentTransactionStartOffset"] == "0"
    committed = (CONSUMER, *at, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed")
    assert "Processed a total of 0 messages" in tool(*committed, "--timeout-ms", "1000")
    held.abort_transaction(DEADLINE_S)
    described = tool(*command, "describe", "--transactional-id", f"tx-{topic}")
    assert "CompleteAbort" in described
    assert table(tool(*command, "find-hanging", "--broker-id", "1")) == []
    nobody = tool(*command, "describe", "--transactional-id", "nobody", status=1)
    assert (
        "DescribeTransactions request for transactionalId `nobody` failed because the ID could not be found" in nobody
    )


@pytest.mark.parametrize("by", ["start offset", "producer"])
def test_an_open_transaction_is_aborted_in_a_partition(at: tuple[str, str], topic: str, by: str) -> None:
    held = Producer({"bootstrap.servers": at[1], "transactional.id": f"tx-{topic}"})
    held.init_transactions(DEADLINE_S)
    held.begin_transaction()
    held.produce(topic, "held", partition=0)
    assert held.flush(DEADLINE_S) == 0
    fill(at[1], topic, ["after it"], 1)
    command, place = ("TransactionsCommand", *at), ("--topic", topic, "--partition", "0")
    (producer,) = table(tool(*command, "describe-producers", *place))
    if by == "start offset":
        which: tuple[str, ...] = ("--start-offset", "0")
    else:
        which = ("--producer-id", producer["ProducerId"], "--producer-epoch", producer["ProducerEpoch"])
        which = (*which, "--coordinator-epoch", "0")
    assert tool(*command, "abort", *place, *which) == ""
    (producer,) = table(tool(*command, "describe-producers", *place))
    assert producer["CurrentTransactionStartOffset"] == "None"
    committed = (CONSUMER, *at, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed")
    assert "after it" in tool(*committed, "--max-messages", "1", "--timeout-ms", "20000")


def test_a_transaction_that_no_coordinator_knows_of_is_found_and_aborted(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    with BrokerThread(folder) as broker:
        broker.create_topic("t")
    # As when the coordinator's log was lost.
    partition = PartitionLog(folder / "t-0")
    data = make_batch([(None, b"held")], 1_000, producer=Writer(4711, 0, 0), transactional=True)
    partition.append(data, checked_batches(data))
    partition.close()
    with BrokerThread(folder) as broker:
        command = ("TransactionsCommand", "--bootstrap-server", broker.bootstrap_servers)
        (row,) = table(tool(*command, "find-hanging", "--broker-id", "1"))
        assert (row["Topic"], row["Partition"], row["ProducerId"], row["StartOffset"]) == ("t", "0", "4711", "0")
        tool(*command, "abort", "--topic", "t", "--partition", "0", "--start-offset", row["StartOffset"])
        assert table(tool(*command, "find-hanging", "--broker-id", "1")) == []


def test_records_are_copied_exactly_once_from_topic_to_topic(at: tuple[str, str], topic: str) -> None:
    target = new_topic(at[1], 1)
    values = [str(number) for number in range(500)]
    fill(at[1], topic, values, 1)
    output = tool(
        *("TransactionalMessageCopier", "--broker-list", at[1], "--transactional-id", f"copier-{topic}"),
        *("--input-topic", topic, "--input-partition", "0", "--output-topic", target, "--consumer-group", f"c-{topic}"),
        *("--max-messages", "500", "--transaction-size", "60", "--enable-random-aborts", "--use-group-metadata"),
    )
    assert '"consumed":500,"remaining":0' in output
    shown = tool(
        *(CONSUMER, *at, "--topic", target, "--from-beginning", "--isolation-level", "read_committed"),
        *("--max-messages", "500", "--timeout-ms", "20000"),
    )
    assert shown.splitlines()[:-1] == values
    assert offsets(at, f"c-{topic}")["0"] == "500"


# -- load ------------------------------------------------------------------------------------


@pytest.mark.parametrize("transactional", [False, True], ids=["plain", "in transactions"])
def test_the_load_tools_move_every_record(at: tuple[str, str], topic: str, transactional: bool) -> None:
    records = "20000"
    in_transactions = ("--transactional-id", f"perf-{topic}", "--transaction-duration-ms", "100")
    sent = tool(
        *("ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", "100"),
        *("--throughput", "-1", "--producer-props", f"bootstrap.servers={at[1]}"),
        *(in_transactions if transactional else ()),
    )
    assert f"{records} records sent" in sent
    command = ("ConsumerPerformance", *at, "--topic", topic, "--messages", records, "--timeout", "20000")
    header, *lines = tool(*command).splitlines()
    (figures,) = [dict(zip(header.split(", "), line.split(", "), strict=True)) for line in lines]
    assert int(figures["data.consumed.in.nMsg"]) == int(records)


# -- the node --------------------------------------------------------------------------------


def test_the_node_is_described_by_every_tool_that_asks(at: tuple[str, str], topic: str) -> None:
    fill(at[1], topic, ["a"], 1)
    versions = tool("BrokerApiVersionsCommand", *at)
    assert f"{at[1]} (id: 1 rack: null isFenced: false) -> (" in versions
    assert re.search(r"Produce\(0\): 0 to \d+ \[usable: \d+\]", versions)
    assert "Exception" not in tool("FeatureCommand", *at, "describe")
    assert re.fullmatch(r"Cluster ID: \S+\n", tool("ClusterTool", "cluster-id", *at))
    host, port = at[1].split(":")
    (endpoint,) = table(tool("ClusterTool", "list-endpoints", *at))
    assert (endpoint["ID"], endpoint["HOST"], endpoint["PORT"]) == ("1", host, port)
    folders = tool("LogDirsCommand", *at, "--describe", "--topic-list", topic).splitlines()[-1]
    (folder,) = json.loads(folders)["brokers"][0]["logDirs"]
    sizes = {part["partition"]: part["size"] for part in folder["partitions"]}
    assert sizes.keys() == {f"{topic}-0", f"{topic}-1"}
    assert sizes[f"{topic}-0"] > sizes[f"{topic}-1"] == 0
    elect = ("LeaderElectionCommand", *at, "--election-type", "preferred")
    there = tool(*elect, "--topic", topic, "--partition", "0")
    assert f"Valid replica already elected for partitions {topic}-0" in there
    assert tool(*elect, "--all-topic-partitions") == ""
    assert "No partition reassignments found." in tool("reassign.ReassignPartitionsCommand", *at, "--list")


def test_batches_that_compaction_emptied_are_good_to_kafka_s_own_reader_and_consumer(tmp_path: Path) -> None:
    settings = {"log.cleaner.backoff.ms": "20", "log.cleaner.min.cleanable.ratio": "0.01"}
    with BrokerThread(tmp_path, settings=settings) as broker:
        broker.create_topic("compacted", 1, {"cleanup.policy": "compact", "internal.segment.bytes": "1000"})
        at = ("--bootstrap-server", broker.bootstrap_servers)
        for number in range(6):
            own = {"transactional.id": f"tx-{number}"} if number % 2 else {"enable.idempotence": True}
            producer = Producer({"bootstrap.servers": broker.bootstrap_servers, **own})
            if number % 2:
                producer.init_transactions(DEADLINE_S)
                producer.begin_transaction()
            producer.produce("compacted", f"v{number}", "k")
            assert producer.flush(DEADLINE_S) == 0
            if number % 2:
                (producer.abort_transaction if number == 3 else producer.commit_transaction)(DEADLINE_S)
        partition = broker.broker.topics.partition("compacted", 0)
        written = partition.end_offset
        plain = Producer({"bootstrap.servers": broker.bootstrap_servers})

        def cleaned() -> bool:
            plain.produce("compacted", "last", "k")
            plain.produce("compacted", "x" * 400, "filler")
            assert plain.flush(DEADLINE_S) == 0
            return partition.cleaned_to > written

        wait_for(cleaned, "the topic is compacted")
        consume = (CONSUMER, *at, "--topic", "compacted", "--from-beginning", "--isolation-level", "read_committed")
        read = tool(*consume, "--max-messages", "2", "--timeout-ms", "20000")
        assert "last" in read
        assert "v0" not in read
    (first, *_) = sorted((tmp_path / "compacted-0").glob("*.log"))
    dumped = [line for line in tool("kafka.tools.DumpLogSegments", "--files", first).splitlines() if "count: " in line]
    assert all("isvalid: true" in line for line in dumped)
    assert len([line for line in dumped if "count: 0 " in line]) >= 3
