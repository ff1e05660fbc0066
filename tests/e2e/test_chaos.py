"""kill -9 of the worker, the broker and the database server, each ten times in the middle of 100,000 records.

Two sinks read the same topic: one upserts by `id` and must end with exactly the records produced, one
inserts and may repeat rows but must not lack any.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.processes import BrokerProgram, WorkerProgram
from tests.servers import Database, Server, make_mariadb, wait_for

ROUNDS = 10
RECORDS = 100_000
PER_ROUND = RECORDS // ROUNDS

SCHEMA = (
    '{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},'
    '{"type":"string","optional":true,"field":"name"}],"optional":false}'
)


@dataclass
class World:
    """One broker, one MariaDB, one worker with both sinks, and what was acknowledged."""

    broker: BrokerProgram
    server: Server
    database: Database
    worker: WorkerProgram

    def victim(self, name: str) -> Server | BrokerProgram | WorkerProgram:
        victims: dict[str, Server | BrokerProgram | WorkerProgram] = {
            "worker": self.worker,
            "broker": self.broker,
            "database": self.server,
        }
        return victims[name]

    def count(self, table: str, what: str = "count(*)") -> int:
        """Rows of a sink's table; 0 while the table or the server is not there."""
        import pymysql

        with contextlib.suppress(pymysql.err.MySQLError):
            return int(self.database.query(f"SELECT {what} FROM {table}")[0][0])
        return 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "db"
    folder.mkdir()
    server = make_mariadb(folder)
    server.start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        database = server.database("shop")
        broker = stack.enter_context(BrokerProgram.at(tmp_path))
        common = {
            "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
            "topics": "orders",
            "auto.create": "true",
            "retry.backoff.ms": "200",
            "max.retries": "1000",
            **database.connector_config,
        }
        worker = WorkerProgram.at(
            tmp_path,
            broker.bootstrap,
            {
                "upserts": {
                    **common,
                    "table.name.format": "upserts",
                    "insert.mode": "upsert",
                    "pk.mode": "record_value",
                    "pk.fields": "id",
                },
                "inserts": {**common, "table.name.format": "inserts"},
            },
            # A killed worker's members hold their partitions until their session ends: 45 s if nothing is said.
            consumer_session_timeout_ms="6000",
            consumer_heartbeat_interval_ms="1000",
        )
        stack.enter_context(worker)
        yield World(broker, server, database, worker)


class Feeder(threading.Thread):
    """Produces records in the background and knows which the broker acknowledged."""

    def __init__(self, bootstrap: str, first: int, count: int) -> None:
        super().__init__(daemon=True)
        self.numbers = range(first, first + count)
        self.failed: list[str] = []
        self.sent = threading.Event()
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.timeout.ms": 120_000}
        )

    def run(self) -> None:
        for number in self.numbers:
            value = f'{{"schema":{SCHEMA},"payload":{{"id":{number},"name":"n{number}"}}}}'
            while True:
                try:
                    self._producer.produce("orders", value, on_delivery=self._delivered)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self._producer.poll(0)
        if self._producer.flush(120):
            self.failed.append("not all records were acknowledged")
        self.sent.set()

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self.failed.append(str(error))


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["worker", "broker", "database"])
def test_no_record_is_missing_after_ten_kills(world: World, victim: str) -> None:
    choose = random.Random(victim)
    for turn in range(ROUNDS):
        already = turn * PER_ROUND
        feeder = Feeder(world.broker.bootstrap, already + 1, PER_ROUND)
        feeder.start()
        part = choose.randint(1, PER_ROUND * 8 // 10)
        wait_for(reached(world, already + part), f"{part} rows of round {turn} arrive", 120)
        doomed = world.victim(victim)
        doomed.kill()
        doomed.start()
        wait_for(feeder.sent.is_set, f"round {turn} is acknowledged", 150)
        assert feeder.failed == []
        wait_for(reached(world, already + PER_ROUND), f"all rows of round {turn} arrive", 180)
    assert world.count("upserts") == RECORDS
    assert world.count("upserts", "count(distinct id)") == RECORDS
    assert world.count("inserts", "count(distinct id)") == RECORDS
    assert world.worker.task_states("upserts") == ["RUNNING"]


def reached(world: World, rows: int) -> Callable[[], bool]:
    """Whether both sinks have written the first `rows` records."""

    def check() -> bool:
        return world.count("upserts") >= rows and world.count("inserts", "count(distinct id)") >= rows

    return check
