"""What is measured: rows a second into and out of a database, time from produce to row, memory, start."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from benchmarks.processes import cpu_seconds, rss_mib
from benchmarks.workload import create_topic, end_offset, envelope, rows
from tests.processes import WorkerProgram
from tests.servers import Database, wait_for

SINK_DEADLINE_SECONDS = 900


@dataclass
class Result:
    """One line of the table."""

    what: str
    who: str
    figures: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Target:
    """A database as the benchmark uses it: where it is and how to count rows there."""

    kind: str
    config: Mapping[str, str]
    connect: Callable[[], Any]
    mark: str = "%s"
    """The driver's placeholder."""


def server_target(database: Database) -> Target:
    return Target(database.server.kind, database.connector_config, database.connect)


def sqlite_target(path: Path) -> Target:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, timeout=30)

    connect().execute("PRAGMA journal_mode=WAL").close()
    return Target("sqlite", {"connection.url": f"jdbc:sqlite:{path}"}, connect, mark="?")


@dataclass(frozen=True)
class Opponent:
    """A sink connector to measure: its name in the table and its settings beside topic and database."""

    label: str
    mode: str
    config: Callable[[Target, str, str], dict[str, str]]
    """From target, topic and table to the connector's configuration."""


def syncline_sink(mode: str = "insert") -> Opponent:
    def config(target: Target, topic: str, table: str) -> dict[str, str]:
        keys = {"pk.mode": "record_value", "pk.fields": "id"} if mode == "upsert" else {}
        return {
            "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
            "topics": topic,
            "table.name.format": table,
            "auto.create": "true",
            "insert.mode": mode,
            **keys,
            **target.config,
        }

    return Opponent("Syncline, defaults", mode, config)


def debezium_sink(mode: str = "insert", *, tuned: bool) -> Opponent:
    def config(target: Target, topic: str, table: str) -> dict[str, str]:
        keys = {"primary.key.mode": "record_value", "primary.key.fields": "id"} if mode == "upsert" else {}
        url = target.config["connection.url"]
        fast = {"consumer.override.max.poll.records": "5000", "batch.size": "5000"} if tuned else {}
        if tuned:
            url += (
                "?rewriteBatchedStatements=true&useBulkStmts=true"
                if target.kind == "mariadb"
                else "?reWriteBatchedInserts=true"
            )
        return {
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "topics": topic,
            # The name of this setting changed after Debezium 3.0; each version ignores the other's.
            "table.name.format": table,
            "collection.name.format": table,
            "schema.evolution": "basic",
            "insert.mode": mode,
            "connection.url": url,
            "connection.username": target.config["connection.user"],
            "connection.password": target.config["connection.password"],
            "quote.identifiers": "true",
            **keys,
            **fast,
        }

    return Opponent(f"JVM worker, Debezium, {'tuned' if tuned else 'defaults'}", mode, config)


def sink(worker: WorkerProgram, opponent: Opponent, target: Target, topic: str, records: int) -> Result:
    """Rows a second from the connector's creation to the last row, and without the first tenth."""
    table = f"t{time.monotonic_ns()}"
    name = f"bench-{table}"
    with contextlib.closing(target.connect()) as connection:
        cursor = connection.cursor()

        def count() -> int:
            try:
                cursor.execute(f"SELECT count(*) FROM {table}")
            except Exception:  # no such table yet; a failed task is found by check()
                return 0
            return int(cursor.fetchone()[0])

        cpu = cpu_seconds(worker.pid)
        began = time.monotonic()
        worker.create(name, opponent.config(target, topic, table))
        steady_from, steady_rows, peak, there = began, 0, 0.0, 0
        while there < records:
            worker.check(name)
            if time.monotonic() > began + SINK_DEADLINE_SECONDS:
                raise RuntimeError(f"{opponent.label} wrote {there} of {records} rows in {SINK_DEADLINE_SECONDS} s")
            # Counting costs the database time; four times a second is little and exact enough.
            time.sleep(0.25)
            there = count()
            peak = max(peak, rss_mib(worker.pid))
            if not steady_rows and there > records // 10:
                steady_from, steady_rows = time.monotonic(), there
        ended = time.monotonic()
        figures = {
            "rows/s": records / (ended - began),
            "steady rows/s": (records - steady_rows) / (ended - steady_from) if ended > steady_from else 0.0,
            "worker CPU s": cpu_seconds(worker.pid) - cpu,
            "RSS MiB": peak,
        }
        worker.delete(name)
        cursor.execute(f"DROP TABLE {table}")
    return Result(f"{opponent.mode} into {target.kind}", opponent.label, figures)


def source(worker: WorkerProgram, target: Target, bootstrap: str, count: int) -> Result:
    """Records a second from a full table into an empty topic, incrementing mode, default settings."""
    table = f"s{time.monotonic_ns()}"
    auto = {
        "mariadb": "int auto_increment primary key",
        "postgresql": "serial primary key",
        "sqlite": "integer primary key",
    }[target.kind]
    stamp = {"mariadb": "datetime default now()", "postgresql": "timestamp", "sqlite": "timestamp"}[target.kind]
    with contextlib.closing(target.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute(
            f"CREATE TABLE {table} (id {auto}, user_id varchar(20), pwd varchar(20), name varchar(40), "
            f"created_at {stamp})"
        )
        cursor.execute("BEGIN")
        for some in rows(count):
            cursor.executemany(f"INSERT INTO {table} VALUES ({','.join([target.mark] * 5)})", some)
        cursor.execute("COMMIT")
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"bench-{table}"})
        cpu = cpu_seconds(worker.pid)
        began = time.monotonic()
        worker.create(
            f"bench-{table}",
            {
                "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
                "mode": "incrementing",
                "incrementing.column.name": "id",
                "table.whitelist": table,
                "topic.prefix": "bench_",
                **target.config,
            },
        )
        steady_from, steady_records, peak, there = began, 0, 0.0, 0
        while there < count:
            worker.check(f"bench-{table}")
            time.sleep(0.1)
            there = end_offset(consumer, f"bench_{table}")
            peak = max(peak, rss_mib(worker.pid))
            if not steady_records and there > count // 10:
                steady_from, steady_records = time.monotonic(), there
        ended = time.monotonic()
        consumer.close()
        worker.delete(f"bench-{table}")
        cursor.execute(f"DROP TABLE {table}")
    figures = {
        "rows/s": count / (ended - began),
        "steady rows/s": (count - steady_records) / (ended - steady_from) if ended > steady_from else 0.0,
        "worker CPU s": cpu_seconds(worker.pid) - cpu,
        "RSS MiB": peak,
    }
    return Result(f"read incrementing from {target.kind}", "Syncline, defaults", figures)


def latency(worker: WorkerProgram, opponent: Opponent, target: Target, bootstrap: str, samples: int) -> Result:
    """Milliseconds from before produce until a reader of the table sees the row, one record at a time."""
    table = f"l{time.monotonic_ns()}"
    create_topic(bootstrap, table)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "acks": "all"})
    worker.create(f"bench-{table}", opponent.config(target, table, table))
    with contextlib.closing(target.connect()) as connection:
        cursor = connection.cursor()

        def visible(number: int) -> bool:
            try:
                cursor.execute(f"SELECT 1 FROM {table} WHERE id = {number}")
            except Exception:  # no such table before the first record
                return False
            return cursor.fetchone() is not None

        times = []
        for number in range(1, samples + 21):
            began = time.perf_counter()
            producer.produce(table, envelope(number))
            producer.poll(0)
            deadline = time.monotonic() + 60
            while not visible(number):
                if time.monotonic() > deadline:
                    worker.check(f"bench-{table}")
                    raise RuntimeError(f"row {number} never came")
            if number > 20:  # the first ones create the table and warm everything
                times.append((time.perf_counter() - began) * 1000)
        producer.flush(10)
        worker.delete(f"bench-{table}")
        cursor.execute(f"DROP TABLE {table}")
    cuts = statistics.quantiles(times, n=100)
    return Result(
        f"produce to row in {target.kind}",
        opponent.label,
        {"p50 ms": statistics.median(times), "p99 ms": cuts[98], "max ms": max(times)},
    )


def idle(worker: WorkerProgram, who: str) -> Result:
    """Memory of a worker without connectors, and how long it took to answer."""
    wait_for(worker.answers, "the worker answers")
    return Result("worker, idle", who, {"RSS MiB": rss_mib(worker.pid), "ready s": worker.ready_seconds})


@contextlib.contextmanager
def databases(kinds: list[str], folder: Path) -> Iterator[list[Target]]:
    """A target of each kind; servers are private and stopped at the end."""
    from tests.servers import make_mariadb, make_postgresql

    with contextlib.ExitStack() as stack:
        targets = []
        for kind in kinds:
            if kind == "sqlite":
                targets.append(sqlite_target(folder / "bench.db"))
                continue
            place = folder / kind
            place.mkdir()
            server = (make_mariadb if kind == "mariadb" else make_postgresql)(place)
            stack.callback(server.kill)
            server.start()
            targets.append(server_target(server.database("bench")))
        yield targets
