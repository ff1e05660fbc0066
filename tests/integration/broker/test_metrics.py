"""What Prometheus reads from the broker agrees with what its clients did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from syncline.broker import BrokerThread
from syncline.broker.errors import BrokerError
from tests.integration.broker.consumers import DEADLINE_S, new_topic
from tests.integration.broker.raw import RawClient
from tests.integration.broker.test_clients import confluent_consumes

Samples = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerThread]:
    with BrokerThread(tmp_path_factory.mktemp("broker"), settings={"prometheus.port": "0"}) as running:
        yield running


def scraped(broker: BrokerThread) -> Samples:
    """Values by name and label values, in the order of the labels' names."""
    url = broker.broker.metrics_url
    assert url is not None
    answer = httpx.get(url)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_records_bytes_and_offsets_are_counted(broker: BrokerThread) -> None:
    topic = new_topic(broker.bootstrap_servers, 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(30):
        producer.produce(topic, str(number))
    assert producer.flush(DEADLINE_S) == 0
    assert len(confluent_consumes(broker.bootstrap_servers, topic, "readers", 30)) == 30
    found = scraped(broker)
    prefix = "kafka_server_brokertopicmetrics"
    assert found[f"{prefix}_messagesin_total", topic] == 30
    size = found["kafka_log_log_size", "0", topic]
    assert found[f"{prefix}_bytesin_total", topic] == size > 0
    assert found[f"{prefix}_bytesout_total", topic] >= size
    assert found["kafka_log_log_logendoffset", "0", topic] == 30
    assert found["kafka_server_socket_server_metrics_incoming_byte_total",] > size
    assert found["kafka_coordinator_group_groupmetadatamanager_numgroups",] == 1
    groups = sum(v for k, v in found.items() if k[0] == "kafka_coordinator_group_groupmetadatamanager_groups")
    assert groups == 1


def test_requests_are_counted_by_api_with_their_times(broker: BrokerThread) -> None:
    before = scraped(broker).get(("kafka_network_requestmetrics_requests_total", "DescribeCluster", "0"), 0)
    with RawClient(broker.bootstrap_servers) as client:
        for _ in range(3):
            client.ask(60, 0)
    found = scraped(broker)
    assert found["kafka_network_requestmetrics_requests_total", "DescribeCluster", "0"] == before + 3
    assert found["kafka_network_requestmetrics_totaltimems_count", "DescribeCluster"] == before + 3
    assert found["kafka_network_requestmetrics_totaltimems_bucket", "+Inf", "DescribeCluster"] == before + 3


def test_connections_are_counted_by_listener(broker: BrokerThread) -> None:
    with RawClient(broker.bootstrap_servers) as client:
        client.ask(18, 2)
        found = scraped(broker)
        assert found["kafka_server_socket_server_metrics_connection_count", "PLAINTEXT"] >= 1
        assert found["kafka_server_socket_server_metrics_connection_creation_total", "PLAINTEXT"] >= 1


def test_only_metrics_are_served(broker: BrokerThread) -> None:
    url = broker.broker.metrics_url
    assert url is not None
    assert httpx.get(url.replace("/metrics", "/")).status_code == 404
    assert httpx.post(url).status_code == 405


def test_a_taken_port_is_named(broker: BrokerThread, tmp_path: Path) -> None:
    port = (broker.broker.metrics_url or "").removesuffix("/metrics").rpartition(":")[2]
    keys = {"prometheus.port": port}
    with (
        pytest.raises(BrokerError, match=f"prometheus.port={port}: cannot listen"),
        BrokerThread(tmp_path, settings=keys),
    ):
        pass
