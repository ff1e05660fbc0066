"""The broker with much on disk: how soon it serves again, and what many partitions and idle connections cost.

`python -m benchmarks.broker_scale`; needs the disk space asked for with `--gigabytes` in the temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.processes import cpu_seconds, rss_mib
from syncline.broker import BrokerThread
from syncline.broker.log import PartitionLog
from syncline.broker.records import checked_batches, make_batch
from tests.integration.broker.raw import RawClient
from tests.processes import BrokerProgram

METADATA, PRODUCE, FETCH = (3, 12), (0, 9), (1, 12)
SAMPLES = 400


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker_scale", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10, help="of records on disk before the restart")
    parser.add_argument("--partitions", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=500, help="that do nothing")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        restart(Path(folder), options.gigabytes)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        crowd(Path(folder), options.partitions, options.connections)
    return 0


def restart(folder: Path, gigabytes: float) -> None:
    """Time from the start of the process to the first answer: with nothing on disk, with much, and after a kill -9."""
    program = BrokerProgram.at(folder)
    first_answer(program, "empty folder")
    program.stop()
    with BrokerThread(folder / "broker") as broker:
        create(broker.bootstrap_servers, "filled", 1)
    fill(folder / "broker" / "filled-0", gigabytes)
    for _ in range(2):
        first_answer(program, f"{gigabytes:g} GB, after a clean stop")
        program.stop()
    program.start()
    with RawClient(program.bootstrap) as client:
        for _ in range(100):
            produce(client, "filled", 0, bytes(500_000))
    program.kill()
    first_answer(program, f"{gigabytes:g} GB, after kill -9 with 50 MB new")
    program.stop()


def fill(folder: Path, gigabytes: float) -> None:
    """Append batches of 16 kB straight to the log."""
    log = PartitionLog(folder)
    data = make_batch([(None, os.urandom(500)) for _ in range(31)], time.time_ns() // 1_000_000)
    found = checked_batches(data)
    while log.size < gigabytes * 1e9:
        log.append(data, found)
    log.close()


def first_answer(program: BrokerProgram, what: str) -> None:
    """Wall time since the start of the process, and its own CPU time, whatever else the machine does."""
    began = time.monotonic()
    program.start()
    with RawClient(program.bootstrap) as client:
        client.ask(*METADATA, topics=None)
    report(f"first answer: {what}", time.monotonic() - began, f"s ({cpu_seconds(program.pid):.2f} s CPU)")


def crowd(folder: Path, partitions: int, connections: int) -> None:
    """Memory, descriptors and the time of a request with few partitions and with many."""
    program = BrokerProgram.at(folder)
    with program, contextlib.ExitStack() as stack:
        create(program.bootstrap, "few", 10)
        client = stack.enter_context(RawClient(program.bootstrap))
        times(client, "10 partitions")
        began = time.monotonic()
        create(program.bootstrap, "thousand", 1_000)
        report("create 1,000 partitions", time.monotonic() - began, "s")
        began = time.monotonic()
        for number in range(partitions - 1_010):
            if number % 10 == 0:
                create(program.bootstrap, f"many-{number}", min(10, partitions - 1_010 - number))
        report(f"create the rest of {partitions:,}, ten a topic", time.monotonic() - began, "s")
        times(client, f"{partitions:,} partitions")
        for number in range(0, partitions - 1_010, 10):
            produce(client, f"many-{number}", 0, bytes(500))
        for number in range(1_000):
            produce(client, "thousand", number, bytes(500))
        for _ in range(connections):
            stack.enter_context(RawClient(program.bootstrap)).ask(*METADATA, topics=[])
        report(f"RSS with {partitions:,} partitions and {connections} connections", rss_mib(program.pid), "MiB")
        report("descriptors", len(os.listdir(f"/proc/{program.pid}/fd")), "")
        began = time.monotonic()
        program.stop()
        report("stop", time.monotonic() - began, "s")
        first_answer(program, f"{partitions:,} partitions")
        report("RSS then", rss_mib(program.pid), "MiB")


def create(bootstrap: str, name: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    admin.create_topics([NewTopic(name, partitions)])[name].result(60)


def times(client: RawClient, what: str) -> None:
    """Median of small requests that concern one partition."""
    name = [{"name": "few", "topic_id": None}]
    wanted = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 500, "log_start_offset": -1}
    requests: dict[str, Callable[[], object]] = {
        "Metadata": lambda: client.ask(*METADATA, topics=name),
        "Produce": lambda: produce(client, "few", 0, bytes(500)),
        "Fetch": lambda: client.ask(
            *FETCH, replica_id=-1, max_bytes=500, topics=[{"topic": "few", "partitions": [wanted]}]
        ),
    }
    for kind, request in requests.items():
        taken = []
        for _ in range(SAMPLES):
            began = time.perf_counter()
            request()
            taken.append(time.perf_counter() - began)
        report(f"{kind} of one partition among {what}, p50", statistics.median(taken) * 1e6, "us")


def produce(client: RawClient, topic: str, partition: int, value: bytes) -> None:
    records = make_batch([(None, value)], time.time_ns() // 1_000_000)
    data = [{"name": topic, "partition_data": [{"index": partition, "records": records}]}]
    answer = client.ask(*PRODUCE, acks=-1, timeout_ms=1000, topic_data=data)
    code = answer.responses[0].partition_responses[0].error_code
    if code:
        raise AssertionError(f"{topic}-{partition}: {code}")


def report(what: str, figure: float, unit: str) -> None:
    print(f"{what:70} {figure:10.3f} {unit}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
