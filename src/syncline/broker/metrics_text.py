"""What the broker did and holds, in Prometheus' text format, under the names Kafka's JMX exporter gives.

Imported when there is a port for it: the library holds more memory than all that is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from syncline.broker.consumer_groups import ConsumerGroup
from syncline.broker.metrics import BOUNDS_MS, Metrics, Requests
from syncline.broker.wire import api_name


def metrics_text(broker: Any) -> bytes:
    """Everything; what is not counted is looked up now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(broker))
    return generate_latest(registry)


@dataclass(frozen=True, slots=True)
class _Collector:
    broker: Any

    def collect(self) -> Iterator[Metric]:
        yield from _counted(self.broker.metrics)
        yield from _connections(self.broker)
        yield from _logs(self.broker)
        yield from _groups(self.broker)
        states = Counter(known.phase.name.lower() for known in self.broker.transactions)
        name = "kafka_coordinator_transaction_transactionstatemanager_transactions"
        yield _gauge(name, "Transactional ids, by state.", ["state"], {(s,): c for s, c in states.items()})


def _counted(metrics: Metrics) -> Iterator[Metric]:
    """What was counted."""
    yield from _requests(metrics)
    known = metrics.topics
    prefix = "kafka_server_brokertopicmetrics"
    for name, text, values in (
        ("messagesin", "Records appended.", {n: t.messages_in for n, t in known.items()}),
        ("bytesin", "Bytes of batches appended.", {n: t.bytes_in for n, t in known.items()}),
        ("bytesout", "Bytes of batches sent to consumers.", {n: t.bytes_out for n, t in known.items()}),
        (
            "failedproducerequests",
            "Partitions of produce requests refused.",
            {n: t.refused for n, t in known.items()},
        ),
    ):
        yield _counter(f"{prefix}_{name}", text, ["topic"], {(n,): v for n, v in values.items()})
    prefix = "kafka_server_socket_server_metrics"
    yield _counter(f"{prefix}_incoming_byte", "Bytes of requests.", [], {(): metrics.bytes_received})
    yield _counter(f"{prefix}_outgoing_byte", "Bytes of answers.", [], {(): metrics.bytes_sent})
    made = {(listener,): count for listener, count in metrics.connections.items()}
    yield _counter(f"{prefix}_connection_creation", "Connections made.", ["listener"], made)
    for outcome in ("successful", "failed"):
        counts = {(at,): count for (at, how), count in metrics.authentications.items() if how == outcome}
        yield _counter(f"{prefix}_{outcome}_authentication", f"Authentications, {outcome}.", ["listener"], counts)


def _requests(metrics: Metrics) -> Iterator[Metric]:
    prefix = "kafka_network_requestmetrics"
    requests = CounterMetricFamily(f"{prefix}_requests", "Requests answered.", labels=["request", "version"])
    times = HistogramMetricFamily(
        f"{prefix}_totaltimems", "Milliseconds from a request to its answer, waiting included.", labels=["request"]
    )
    merged: dict[str, Requests] = {}
    for (api_key, version), found in metrics.requests.items():
        name = api_name(api_key, version)
        requests.add_metric([name, str(version)], sum(found.buckets))
        total = merged.setdefault(name, Requests())
        total.milliseconds += found.milliseconds
        total.buckets = [a + b for a, b in zip(total.buckets, found.buckets, strict=True)]
    for name, total in merged.items():
        below, cumulated = 0, []
        for bound, count in zip((*map(str, BOUNDS_MS), "+Inf"), total.buckets, strict=True):
            below += count
            cumulated.append((bound, below))
        times.add_metric([name], cumulated, total.milliseconds)
    yield requests
    yield times


def _connections(broker: Any) -> Iterator[Metric]:
    prefix = "kafka_server_socket_server_metrics"
    now = Counter({endpoint.listener.name: 0 for endpoint in broker.endpoints})
    now.update(connection.listener for connection in broker.connections)
    yield _gauge(f"{prefix}_connection_count", "Connections.", ["listener"], {(n,): c for n, c in now.items()})
    yield _gauge(f"{prefix}_connections_waiting", "Connections max.connections holds.", [], {(): broker.admission.held})
    yield _gauge(f"{prefix}_unsent_bytes", "In answers that slow readers leave.", [], {(): broker.unsent_bytes})


def _logs(broker: Any) -> Iterator[Metric]:
    sizes, starts, ends = {}, {}, {}
    topics = list(broker.topics)
    for topic in topics:
        for number, log in enumerate(topic.partitions):
            at = (topic.name, str(number))
            sizes[at], starts[at], ends[at] = log.size, log.start_offset, log.end_offset
    unread = sum(log.uncleanable for log in (*broker.topics.logs(), broker.topics.metadata))
    labels = ["topic", "partition"]
    yield _gauge("kafka_log_log_size", "Bytes on disk.", labels, sizes)
    yield _gauge("kafka_log_log_logstartoffset", "The first offset.", labels, starts)
    yield _gauge("kafka_log_log_logendoffset", "The offset after the last.", labels, ends)
    name = "kafka_log_logcleanermanager_uncleanable_partitions_count"
    yield _gauge(name, "Logs whose records compaction cannot read.", [], {(): unread})
    yield _gauge("kafka_server_replicamanager_partitioncount", "Partitions.", [], {(): len(sizes)})
    yield _gauge("kafka_controller_kafkacontroller_globaltopiccount", "Topics.", [], {(): len(topics)})


def _groups(broker: Any) -> Iterator[Metric]:
    counts = Counter(
        ("consumer", group.snapshot.state) if isinstance(group, ConsumerGroup) else ("classic", group.state.value)
        for group in broker.groups.all()
    )
    name = "kafka_coordinator_group_groupmetadatamanager_groups"
    yield _gauge(name, "Groups, by protocol and state.", ["protocol", "state"], dict(counts))
    total = {(): sum(counts.values())}
    yield _gauge("kafka_coordinator_group_groupmetadatamanager_numgroups", "Groups.", [], total)


def _counter(name: str, text: str, labels: list[str], values: Any) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), values.items())


def _gauge(name: str, text: str, labels: list[str], values: Any) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), values.items())


def _filled(family: Any, values: Iterable[tuple[tuple[str, ...], int]]) -> Metric:
    for labels, value in values:
        family.add_metric(list(labels), value)
    metric: Metric = family
    return metric
