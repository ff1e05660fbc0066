"""`python -m benchmarks.broker`: Syncline's broker and Apache Kafka's in turn, one table, the figures as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table

from benchmarks.broker.load import Shape, consume, latency, produce, wait_until_ready
from benchmarks.processes import ROOT, cpu_seconds, rss_mib
from benchmarks.workload import create_topic
from tests.apache_kafka import KafkaProgram
from tests.processes import BrokerProgram

OURS, THEIRS = "Syncline", "Apache Kafka"
SMALLER_IS_BETTER = ("ms", "MiB", "s", "s/run")

Figures = dict[tuple[str, str], dict[str, list[float]]]
"""From what was measured and its unit to who to the figure of each run."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker", description=__doc__)
    parser.add_argument("--records", type=int, default=500_000, help="records of each run")
    parser.add_argument("--samples", type=int, default=2_000, help="records measured one by one for latency")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each broker, in turn; the best one counts")
    parser.add_argument("--sizes", default="100,500", help="bytes of a record")
    parser.add_argument("--partitions", default="1,10,100")
    parser.add_argument("--clients", default="1,20")
    parser.add_argument("--without-kafka", action="store_true", help="measure Syncline alone")
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="what runs Syncline's broker: an environment without test tools, which kio imports where it finds them",
    )
    options = parser.parse_args(arguments)
    shapes = [
        Shape(size, partitions, clients, options.records)
        for size in numbers(options.sizes)
        for partitions in numbers(options.partitions)
        for clients in numbers(options.clients)
    ]
    console = Console()
    if not console.is_terminal:
        console.width = 120  # the table's own; a log has no edge
    figures: Figures = {}

    def note(what: str, unit: str, who: str, figure: float) -> None:
        figures.setdefault((what, unit), {}).setdefault(who, []).append(figure)
        console.log(what, who, f"{figure:,.2f} {unit}")

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        ours = BrokerProgram.at(folder)
        ours.interpreter = options.python
        brokers: dict[str, BrokerProgram | KafkaProgram] = {OURS: ours}
        if not options.without_kafka:
            brokers[THEIRS] = KafkaProgram.at(folder)
        for who, broker in brokers.items():
            for turn in range(options.repeat):
                if turn:
                    broker.stop()
                began = time.monotonic()
                broker.start()
                wait_until_ready(broker.bootstrap)
                note("start to first answer", "s", who, time.monotonic() - began)
            stack.callback(broker.stop)
            note("memory, idle", "MiB", who, rss_mib(broker.pid))
        for turn in range(options.repeat):
            for who, broker in brokers.items():
                measure_latency(broker.bootstrap, f"latency-{turn}", options.samples, who, note)
            for shape in shapes:
                for who, broker in brokers.items():
                    measure(broker, f"load-{turn}-{shapes.index(shape)}", shape, who, note)
        for who, broker in brokers.items():
            note("memory, at the end", "MiB", who, rss_mib(broker.pid))
    report(console, figures, options.records, options.repeat)
    return 0


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


Note = Callable[[str, str, str, float], None]


def measure_latency(bootstrap: str, topic: str, samples: int, who: str, note: Note) -> None:
    create_topic(bootstrap, topic)
    median, nearly_all = latency(bootstrap, topic, samples)
    note("produce to consume, median", "ms", who, median)
    note("produce to consume, 99 %", "ms", who, nearly_all)


def measure(broker: BrokerProgram | KafkaProgram, topic: str, shape: Shape, who: str, note: Note) -> None:
    """Fill a topic, read it, delete it."""
    create_topic(broker.bootstrap, topic, shape.partitions)
    for name, work in (("produce", produce), ("consume", consume)):
        before = cpu_seconds(broker.pid)
        note(f"{name}, {shape}", "records/s", who, work(broker.bootstrap, topic, shape))
        spent = cpu_seconds(broker.pid) - before
        note(f"{name}, {shape}: the broker's CPU", "s/run", who, spent)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(30)


def best(figures: Sequence[float], unit: str) -> float:
    return min(figures) if unit in SMALLER_IS_BETTER else max(figures)


def report(console: Console, figures: Figures, records: int, repeat: int) -> None:
    """Print the table and write the JSON beside it."""
    machine = (
        f"{os.cpu_count()} cores shared by broker and client; Python {platform.python_version()}; {platform.platform()}"
    )
    table = Table(title=f"{records:,} records a run, acks=all, best of {repeat} runs in turn; {machine}")
    for name in ("what", "unit"):
        table.add_column(name)
    for name in (OURS, THEIRS, "Syncline is"):
        table.add_column(name, justify="right")
    for (what, unit), by_who in sorted(figures.items()):
        found = {who: best(each, unit) for who, each in by_who.items()}
        digits = 0 if unit in ("records/s", "MiB") else 2
        cells = [f"{found[who]:,.{digits}f}" if who in found else "" for who in (OURS, THEIRS)]
        table.add_row(what, unit, *cells, ratio(found, unit))
    console.print(table)
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"broker-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    results = [{"what": what, "unit": unit, "figures": by_who} for (what, unit), by_who in figures.items()]
    path.write_text(json.dumps({"machine": machine, "records": records, "results": results}, indent=1))
    console.print(f"figures: {path.relative_to(ROOT)}")


def ratio(found: dict[str, float], unit: str) -> str:
    """How many times better Syncline is; below 1 it is worse."""
    if len(found) < 2:
        return ""
    ours, theirs = found[OURS], found[THEIRS]
    if 0 in (ours, theirs):
        return ""  # less than the clock tells
    return f"{theirs / ours if unit in SMALLER_IS_BETTER else ours / theirs:.2f}x"


if __name__ == "__main__":
    raise SystemExit(main())
