"""`make bench`: run the scenarios, print one table, leave the figures as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import scenarios
from benchmarks.processes import ROOT, jvm_reason, jvm_worker, rss_mib
from benchmarks.scenarios import Result
from benchmarks.workload import fill_topic
from tests.processes import BrokerProgram, WorkerProgram

UNITS = ("rows/s", "steady rows/s", "p50 ms", "p99 ms", "max ms", "ready s", "RSS MiB", "worker CPU s")
MORE_IS_BETTER = {"rows/s", "steady rows/s"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--records", type=int, default=500_000, help="records per sink and source run")
    parser.add_argument("--samples", type=int, default=1_000, help="records measured one by one for latency")
    parser.add_argument("--databases", default="mariadb,sqlite", help="of mariadb, postgresql, sqlite")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each sink and source scenario")
    parser.add_argument("--without-jvm", action="store_true", help="measure Syncline alone")
    options = parser.parse_args(arguments)

    results: list[Result] = []
    notes: list[str] = []
    console = Console()
    if not console.is_terminal:
        console.width = 170  # the table's own; a log has no edge
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        broker = stack.enter_context(BrokerProgram.at(folder))
        bootstrap = broker.bootstrap
        seconds = fill_topic(bootstrap, "filled", options.records)
        targets = stack.enter_context(scenarios.databases(options.databases.split(","), folder))

        def run(scenario: Callable[..., Result], *args: object) -> None:
            for _ in range(options.repeat if scenario in (scenarios.sink, scenarios.source) else 1):
                result = scenario(*args)
                console.log(result.what, result.who, {k: round(v, 1) for k, v in result.figures.items()})
                results.append(result)

        def sinks(worker: WorkerProgram, opponents: Sequence[scenarios.Opponent], kinds: Sequence[str]) -> None:
            for target in targets:
                if target.kind in kinds:
                    for opponent in opponents:
                        run(scenarios.sink, worker, opponent, target, "filled", options.records)
                    run(scenarios.latency, worker, opponents[0], target, bootstrap, options.samples)

        with WorkerProgram.at(folder, bootstrap, offset_flush_interval_ms="10000") as worker:
            run(scenarios.idle, worker, "Syncline")
            sinks(
                worker,
                [scenarios.syncline_sink("insert"), scenarios.syncline_sink("upsert")],
                ["mariadb", "postgresql", "sqlite"],
            )
            for target in targets:
                run(scenarios.source, worker, target, bootstrap, options.records)
        reason = "left out by --without-jvm" if options.without_jvm else jvm_reason()
        if reason:
            notes.append(f"JVM worker not measured: {reason}")
        else:
            with jvm_worker(folder, bootstrap) as jvm:
                run(scenarios.idle, jvm, "JVM worker")
                sinks(
                    jvm,
                    [
                        scenarios.debezium_sink("insert", tuned=False),
                        scenarios.debezium_sink("insert", tuned=True),
                        scenarios.debezium_sink("upsert", tuned=True),
                    ],
                    ["mariadb", "postgresql"],
                )
        notes.append(
            f"broker: {options.records / seconds:,.0f} records/s produced by one client, "
            f"RSS {rss_mib(broker.pid):.0f} MiB at the end"
        )

    report(console, results, notes, options.records)
    return 0


def report(console: Console, results: Sequence[Result], notes: Sequence[str], records: int) -> None:
    """Print the table and write the JSON beside it."""
    machine = (
        f"{os.cpu_count()} cores shared by broker, worker, database and client; "
        f"Python {platform.python_version()}; {platform.platform()}"
    )
    table = Table(title=f"{records:,} records of about 560 bytes; {machine}")
    table.add_column("what")
    table.add_column("who")
    for unit in UNITS:
        table.add_column(unit, justify="right")
    table.add_column("Syncline is", justify="right")
    best = {result.what: result for result in reversed(results) if result.who.startswith("Syncline")}
    for result in results:
        cells = [f"{result.figures[unit]:,.1f}" if unit in result.figures else "" for unit in UNITS]
        table.add_row(result.what, result.who, *cells, ratio(best.get(result.what), result))
    console.print(table)
    for note in notes:
        console.print(note)
    folder = ROOT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(
        json.dumps(
            {
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "machine": machine,
                "records": records,
                "results": [vars(result) for result in results],
                "notes": list(notes),
            },
            indent=1,
        )
    )
    console.print(f"figures: {path.relative_to(ROOT)}")


COMPARED = {"rows/s": "faster", "p50 ms": "faster", "ready s": "faster", "RSS MiB": "smaller"}


def ratio(ours: Result | None, theirs: Result) -> str:
    """How many times better our line of the same scenario is than this one."""
    if ours is None or theirs.who.startswith("Syncline"):
        return ""
    words = []
    for unit, word in COMPARED.items():
        if unit in theirs.figures:
            mine, other = ours.figures[unit], theirs.figures[unit]
            words.append(f"{mine / other if unit in MORE_IS_BETTER else other / mine:.1f}x {word}")
    return ", ".join(words)


if __name__ == "__main__":
    raise SystemExit(main())
