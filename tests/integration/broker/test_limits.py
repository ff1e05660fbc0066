"""What one client does costs the others nothing: connections, lengths, memory."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from syncline.broker import BrokerThread
from tests.integration.broker.consumers import DEADLINE_S, new_topic
from tests.integration.broker.raw import RawClient
from tests.processes import BrokerProgram
from tests.servers import wait_for

API_VERSIONS, METADATA, FETCH, CREATE_TOPICS = 18, 3, 1, 19
MEBI = 1 << 20


def connected(broker: BrokerThread) -> socket.socket:
    return socket.create_connection(("127.0.0.1", broker.broker.port), DEADLINE_S)


def closed(client: socket.socket) -> bool:
    """Whether the broker ended this connection; waits for it."""
    client.settimeout(DEADLINE_S)
    with contextlib.suppress(ConnectionError):
        return client.recv(1) == b""
    return True


def test_connections_of_one_address_are_limited(tmp_path: Path) -> None:
    with (
        BrokerThread(tmp_path, settings={"max.connections.per.ip": "2"}) as broker,
        RawClient(broker.bootstrap_servers) as first,
        RawClient(broker.bootstrap_servers) as second,
    ):
        assert first.ask(API_VERSIONS, 2).error_code == second.ask(API_VERSIONS, 2).error_code == 0
        with connected(broker) as third:
            assert closed(third)
        second.close()
        wait_for(lambda: len(broker.broker.connections) == 1, "the second has left")
        with RawClient(broker.bootstrap_servers) as fourth:
            assert fourth.ask(API_VERSIONS, 2).error_code == 0


def test_an_address_may_be_given_a_limit_of_its_own(tmp_path: Path) -> None:
    keys = {"max.connections.per.ip": "0", "max.connections.per.ip.overrides": "127.0.0.1:1"}
    with BrokerThread(tmp_path, settings=keys) as broker, RawClient(broker.bootstrap_servers) as only:
        assert only.ask(API_VERSIONS, 2).error_code == 0
        with connected(broker) as second:
            assert closed(second)


def test_one_connection_too_many_waits_until_another_ends(tmp_path: Path) -> None:
    with BrokerThread(tmp_path, settings={"max.connections": "1"}) as broker:
        first = RawClient(broker.bootstrap_servers)
        assert first.ask(API_VERSIONS, 2).error_code == 0
        with RawClient(broker.bootstrap_servers) as second:
            second.send(API_VERSIONS, 2)
            wait_for(lambda: broker.broker.admission.held == 1, "the second waits")
            first.close()
            assert second.receive(API_VERSIONS, 2).error_code == 0


def test_silent_and_half_sent_connections_end_and_busy_ones_do_not(tmp_path: Path) -> None:
    with (
        BrokerThread(tmp_path, settings={"connections.max.idle.ms": "300"}) as broker,
        connected(broker) as silent,
        connected(broker) as half,
        RawClient(broker.bootstrap_servers) as waiting,
    ):
        topic = new_topic(broker.bootstrap_servers, 1)
        place = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 100}
        topics = [{"topic": topic, "partitions": [place]}]
        # Longer than idle connections live; the broker owes this one an answer.
        waiting.send(FETCH, 12, max_wait=1500, min_bytes=1, max_bytes=100, topics=topics)
        half.sendall(struct.pack(">i", 500) + b"abc")
        assert closed(silent)
        assert closed(half)
        assert waiting.receive(FETCH, 12).error_code == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack(">i", -1), id="a negative length"),
        pytest.param(struct.pack(">i", 2**31 - 1), id="a length beyond all limits"),
        pytest.param(struct.pack(">i", 0), id="an empty request"),
        pytest.param(struct.pack(">ihhih", 10, 1234, 0, 1, -1), id="an unknown API"),
        pytest.param(struct.pack(">ihhih", 10, METADATA, 99, 1, -1), id="an unknown version"),
        pytest.param(struct.pack(">ihhihi", 14, METADATA, 1, 1, -1, 2**31 - 1), id="an array longer than the request"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n", id="HTTP"),
    ],
)
def test_what_is_no_request_ends_the_connection(tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with BrokerThread(tmp_path) as broker, RawClient(broker.bootstrap_servers) as other:
        with connected(broker) as client:
            client.sendall(data)
            assert closed(client)
        assert other.ask(API_VERSIONS, 2).error_code == 0
    assert "closing its connection" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_mistyped_number_of_partitions_is_refused(tmp_path: Path) -> None:
    with BrokerThread(tmp_path) as broker, RawClient(broker.bootstrap_servers) as client:
        wanted = {"name": "t", "num_partitions": 10_001, "replication_factor": 1}
        refused = client.ask(CREATE_TOPICS, 5, topics=[wanted], timeout=1000, validate_only=False).topics[0]
        assert (refused.error_code, refused.error_message) == (
            44,
            "Excessively large number of partitions per request.",
        )
        broker.create_topic("t")
        grown = client.ask(37, 1, topics=[{"name": "t", "count": 20_000}], timeout=1000, validate_only=False)
        assert grown.results[0].error_code == 44


def test_large_requests_wait_while_others_fill_the_request_memory(tmp_path: Path) -> None:
    """The first two get in, as Kafka's do; the third begins when one of them is done."""
    size = MEBI
    whole = struct.pack(">ihhih", size, API_VERSIONS, 0, 7, -1)
    whole += bytes(size + 4 - len(whole))
    with BrokerThread(tmp_path, settings={"queued.max.request.bytes": str(size + 1)}) as broker:
        clients = [connected(broker) for _ in range(3)]
        for client in clients[:2]:
            client.sendall(whole[:-1])
        third = clients[2]
        third.sendall(whole[:100])
        memory = broker.broker.request_memory
        wait_for(lambda: memory.waiting == 1, "the third waits")
        clients[0].sendall(whole[-1:])
        clients[0].settimeout(DEADLINE_S)
        assert clients[0].recv(4)
        third.sendall(whole[100:])
        third.settimeout(DEADLINE_S)
        assert third.recv(4)
        for client in clients:
            client.close()


# -- memory, measured from outside ------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Iterator[BrokerProgram]:
    with BrokerProgram.at(tmp_path) as running:
        yield running


def resident(program: BrokerProgram) -> int:
    found = re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{program.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_lengths_that_are_lies_cost_no_memory(program: BrokerProgram) -> None:
    with RawClient(program.bootstrap) as other, contextlib.ExitStack() as many:
        other.ask(API_VERSIONS, 2)
        before = resident(program)
        for _ in range(100):
            client = many.enter_context(socket.create_connection(("127.0.0.1", program.port), DEADLINE_S))
            client.sendall(struct.pack(">i", 100_000_000) + bytes(100))
        assert other.ask(API_VERSIONS, 2).error_code == 0
        assert resident(program) - before < 64 * MEBI


def test_clients_that_do_not_read_their_answers_cost_a_bounded_memory(program: BrokerProgram) -> None:
    topic = new_topic(program.bootstrap, 1)
    producer = Producer({"bootstrap.servers": program.bootstrap, "batch.size": 1_000_000, "linger.ms": 50})
    value = os.urandom(100_000)
    for _ in range(400):
        producer.produce(topic, value, partition=0)
    assert producer.flush(DEADLINE_S) == 0
    place = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 2**31 - 1}
    asked: dict[str, Any] = {"max_wait": 100, "min_bytes": 1, "max_bytes": 2**31 - 1}
    asked["topics"] = [{"topic": topic, "partitions": [place]}]
    with RawClient(program.bootstrap) as other, contextlib.ExitStack() as many:
        other.ask(API_VERSIONS, 2)
        before = resident(program)
        for _ in range(30):
            slow = many.enter_context(RawClient(program.bootstrap))
            for _ in range(20):
                slow.send(FETCH, 12, **asked)
        # Each of them was served once and none twice: together they asked for 24 GB.
        assert other.ask(METADATA, 9, topics=()).brokers
        small = other.ask(FETCH, 12, **asked).responses[0].partitions[0]
        assert small.error_code == 0
        assert small.records
        assert resident(program) - before < 256 * MEBI
