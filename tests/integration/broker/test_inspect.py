"""What administrators see of transactions, producers and folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from syncline.broker import BrokerThread
from tests.integration.broker.consumers import DEADLINE_S, fill, new_topic
from tests.integration.broker.raw import RawClient
from tests.servers import wait_for

LOG_DIRS, ELECT, REASSIGNMENTS, PRODUCERS, TRANSACTION, TRANSACTIONS = 35, 43, 46, 61, 65, 66


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def client(bootstrap: str) -> Iterator[RawClient]:
    with RawClient(bootstrap) as made:
        yield made


def writing(bootstrap: str, topic: str, transactional_id: str) -> Producer:
    """A producer with one record in an open transaction."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    producer.produce(topic, "v", partition=0)
    assert producer.flush(DEADLINE_S) == 0
    return producer


def listed(client: RawClient, **filters: Any) -> dict[str, str]:
    wanted = {"state_filters": (), "producer_id_filters": (), "duration_filter": -1, "transactional_id_pattern": None}
    answer = client.ask(TRANSACTIONS, 2, **{**wanted, **filters})
    return {state.transactional_id: state.transaction_state for state in answer.transaction_states}


def test_a_transaction_is_seen_while_it_is_open_and_afterwards(bootstrap: str, client: RawClient) -> None:
    topic = new_topic(bootstrap, 1)
    producer = writing(bootstrap, topic, "seen")
    assert listed(client, transactional_id_pattern="se.*") == {"seen": "Ongoing"}
    assert listed(client, state_filters=("CompleteCommit",), transactional_id_pattern="seen") == {}
    assert listed(client, duration_filter=3_600_000) == {}
    (state,) = client.ask(TRANSACTION, 0, transactional_ids=("seen",)).transaction_states
    assert (state.error_code, state.transaction_state, state.producer_epoch) == (0, "Ongoing", 0)
    assert [(part.topic, part.partitions) for part in state.topics] == [(topic, (0,))]
    assert state.transaction_start_time.timestamp() > 1_600_000_000
    asked = ({"name": topic, "partition_indexes": (0, 7)},)
    (answer,) = client.ask(PRODUCERS, 0, topics=asked).topics
    here, nowhere = answer.partitions
    (writer,) = here.active_producers
    assert (writer.producer_id, writer.current_txn_start_offset) == (state.producer_id, 0)
    assert nowhere.error_code == 3
    producer.commit_transaction(DEADLINE_S)
    assert listed(client, producer_id_filters=(state.producer_id,)) == {"seen": "CompleteCommit"}
    (state,) = client.ask(TRANSACTION, 0, transactional_ids=("seen",)).transaction_states
    assert (state.transaction_state, state.topics) == ("CompleteCommit", ())


def test_what_is_not_known_is_said(client: RawClient) -> None:
    (state,) = client.ask(TRANSACTION, 0, transactional_ids=("nobody",)).transaction_states
    assert state.error_code == 105
    filters = {"producer_id_filters": (), "duration_filter": -1, "transactional_id_pattern": None}
    assert client.ask(TRANSACTIONS, 2, state_filters=("Odd", "Dead"), **filters).unknown_state_filters == ("Odd",)
    filters["transactional_id_pattern"] = "("
    assert client.ask(TRANSACTIONS, 2, state_filters=(), **filters).error_code == 128


def test_log_folders_show_the_size_of_every_partition(bootstrap: str, client: RawClient) -> None:
    topic = new_topic(bootstrap, 2)
    fill(bootstrap, topic, ["x" * 1000] * 10, partitions=1)
    (place,) = client.ask(LOG_DIRS, 4, topics=({"topic": topic, "partitions": (0, 1, 9)},)).results
    (found,) = place.topics
    sizes = {part.partition_index: part.partition_size for part in found.partitions}
    assert sizes.keys() == {0, 1}
    assert sizes[0] > 10_000
    assert sizes[1] == 0
    assert place.total_bytes > place.usable_bytes > 0
    (everything,) = client.ask(LOG_DIRS, 4, topics=None).results
    assert {"__consumer_offsets", topic} <= {part.name for part in everything.topics}


def test_one_node_has_nothing_to_elect_or_move(bootstrap: str, client: RawClient) -> None:
    topic = new_topic(bootstrap, 1)
    asked = ({"topic": topic, "partitions": (0, 5)}, {"topic": "nothing", "partitions": (0,)})
    answer = client.ask(ELECT, 2, election_type=0, topic_partitions=asked, timeout=1000)
    codes = [[part.error_code for part in result.partition_result] for result in answer.replica_election_results]
    assert codes == [[84, 3], [3]]
    assert client.ask(REASSIGNMENTS, 0, timeout=1000, topics=None).topics == ()


def test_an_id_that_nobody_uses_is_forgotten_for_good(tmp_path: Path) -> None:
    with BrokerThread(tmp_path) as broker, RawClient(broker.bootstrap_servers) as client:
        producer = writing(broker.bootstrap_servers, new_topic(broker.bootstrap_servers, 1), "idle")
        producer.commit_transaction(DEADLINE_S)
        del producer
        assert listed(client) == {"idle": "CompleteCommit"}
    settings = {"transactional.id.expiration.ms": "1", "flush.interval.ms": "20"}
    with BrokerThread(tmp_path, settings=settings) as broker, RawClient(broker.bootstrap_servers) as client:
        wait_for(lambda: listed(client) == {}, "the transactional id expires")
    with BrokerThread(tmp_path) as broker, RawClient(broker.bootstrap_servers) as client:
        assert listed(client) == {}
