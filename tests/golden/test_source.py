"""The JDBC source connector against the recordings: connector, task and converter, without Kafka."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from syncline.api import Converter, Transform
from syncline.connectors.jdbc.source import JdbcSourceConnector
from syncline.connectors.jdbc.source_config import SourceConfig
from syncline.converters.json import JsonConverter
from syncline.converters.string import StringConverter
from syncline.data import SourceRecord
from syncline.errors import java_class_of
from syncline.options import check_all, options_of
from syncline.transforms.extract_field import ExtractField
from syncline.transforms.replace_field import ReplaceField
from syncline.transforms.sides import KEY, VALUE
from syncline.transforms.value_to_key import ValueToKey
from tests.golden.support import Case, Verdict, cases, settling
from tests.jdbc_source import Offsets, Worker, compact
from tests.servers import Database, Server, wait_for

FILE = "source.json"
COMMON = {"poll.interval.ms": "400", "poll.linger.ms": "200", "table.poll.interval.ms": "2000", "tasks.max": "1"}
PREFIX = "p."
DOMAINS = (
    "CREATE DOMAIN gj_dtext AS text",
    "CREATE DOMAIN gj_dnum AS numeric(10,2)",
    "CREATE TYPE gj_comp AS (a int, b text)",
)
TABLES_CHANGE = ("mode:late-table", "mode:new-table", "mode:drop-table")


# --- databases ---------------------------------------------------------------------------------------


class World:
    """A database of one kind, and how to speak to it."""

    def __init__(self, dialect: str, config: Mapping[str, str], run: Callable[[str], None]) -> None:
        self.config = config
        self.run = run
        self._quote, self._cascade = ('"', " CASCADE") if dialect == "postgresql" else ("`", "")

    def drop(self, table: str) -> None:
        """So that the next case, which may read every table there is, does not find this one's."""
        self.run(f"DROP TABLE IF EXISTS {self._quote}{table}{self._quote}{self._cascade}")


@pytest.fixture(scope="module")
def worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], World]]:
    """A database per dialect, called as the recorder's was; opened when first asked for."""
    with contextlib.ExitStack() as stack:
        made: dict[str, World] = {}

        def world(dialect: str) -> World:
            if dialect not in made:
                made[dialect] = stack.enter_context(_opened(dialect, request, tmp_path_factory))
            return made[dialect]

        yield world


@contextlib.contextmanager
def _opened(dialect: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Iterator[World]:
    if dialect == "sqlite":
        import sqlite3

        path: Path = folders.mktemp("source") / "golden.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield World(dialect, {"connection.url": f"jdbc:sqlite:{path}"}, lambda sql: _execute(connection, sql))
        return
    kind = "postgresql" if dialect == "postgresql" else "mariadb"
    server: Server = request.getfixturevalue(f"{kind}_server")
    if kind == "mariadb":
        with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE IF NOT EXISTS mydb CHARACTER SET utf8mb4")
        database = Database(server, "mydb")
    else:
        database = server.database("mydb")
    with contextlib.closing(database.connect()) as connection:
        for statement in DOMAINS if kind == "postgresql" else ("SET sql_mode = ''",):
            _execute(connection, statement)
        config = dict(database.connector_config)
        if dialect == "mysql":
            config["connection.url"] = config["connection.url"].replace("jdbc:mariadb:", "jdbc:mysql:")
        yield World(dialect, config, lambda sql: _execute(connection, sql))


def _execute(connection: Any, sql: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()


def refused_keys(config: Mapping[str, str]) -> list[str]:
    """The options that validation finds wrong."""
    answers = check_all(options_of(SourceConfig), config)
    JdbcSourceConnector().validate(config, answers)
    return sorted(name for name, answer in answers.items() if answer.errors)


# --- comparing -----------------------------------------------------------------------------------------


def connect_classes(classes: Sequence[str]) -> list[str]:
    """Connect's own classes in a trace, without repetitions: the rest belongs to a JVM and its drivers."""
    own = [name for name in classes if name.startswith("org.apache.kafka.")]
    return [name for index, name in enumerate(own) if not index or own[index - 1] != name]


def trace_of(error: Exception) -> list[str]:
    classes = []
    current: BaseException | None = error
    while current is not None:
        classes.append(java_class_of(current))
        current = current.__cause__
    return classes


def same_error(verdict: Verdict, what: str, error: Exception | None, recorded: Mapping[str, Any] | None) -> None:
    if error is None or recorded is None:
        if error is not None or recorded is not None:
            verdict.note(f"{what}: {error!r}, expected {recorded}")
        return
    verdict.same(what, connect_classes(trace_of(error)), connect_classes(recorded["classes"]))


# --- types: one column, its schema and its values ------------------------------------------------------


@pytest.mark.parametrize("case", cases(FILE, "type:*"))
def test_types(case: Case, worlds: Callable[[str], World]) -> None:
    world = worlds(case.data["dialect"])
    table = f"gt_{case.id.replace('-', '_')}"
    world.run(f"DROP TABLE IF EXISTS {table}")
    world.run(f"CREATE TABLE {table} (id int primary key, c {case.data['column_type']})")
    for number, value in enumerate(case.data["inserted"], 1):
        world.run(f"INSERT INTO {table} VALUES ({number}, {value})")
    config = {
        **world.config,
        **COMMON,
        "mode": "bulk",
        "table.whitelist": table,
        "topic.prefix": PREFIX,
        **case.data["config"],
    }
    worker = Worker(config, Offsets(()))
    try:
        records = worker.poll(0, once=True)
    finally:
        worker.stop()
        world.drop(table)
    converter = JsonConverter()
    converter.configure({}, is_key=False)
    with settling(case) as verdict:
        same_column(verdict, converter, records)
        same_error(verdict, "error", worker.error, case.expected.get("error"))


def same_column(verdict: Verdict, converter: Converter, records: Sequence[SourceRecord]) -> None:
    expected = verdict.case.expected
    schemas, payloads = [], []
    for record in records:
        raw = converter.from_connect(record.topic, record.value_schema, record.value)
        assert raw is not None
        text = raw.decode()
        fields = json.loads(text)["schema"]["fields"][1:]
        schemas += [compact(field) for field in fields]
        if fields:
            payloads.append(_plain(text.partition(',"c":')[2].removesuffix("}}")))
    if expected.get("skipped"):
        verdict.same("field_schema", schemas, [])
        return
    wanted = [payload for payload in expected.get("payloads", []) if payload != "(no record)"]
    verdict.same("payloads", payloads, wanted)
    recorded = expected.get("field_schema")
    verdict.same("field_schema", schemas, [recorded] * len(payloads) if isinstance(recorded, str) else recorded or [])


def _plain(payload: str) -> str:
    """The recorder wrote characters beyond the BMP as they are; numbers keep their exact text."""
    return json.dumps(json.loads(payload), ensure_ascii=False) if payload.startswith('"') else payload


# --- modes: what is read, step by step -----------------------------------------------------------------


@pytest.mark.parametrize("case", cases(FILE, "mode:*"))
def test_modes(case: Case, worlds: Callable[[str], World]) -> None:
    data = case.data
    world = worlds(data["dialect"])
    for statement in data["setup"]:
        world.run(statement)
    prefix = data["tables"][0] if data.get("query_mode") else data.get("topic_prefix", PREFIX)
    config = {**world.config, **COMMON, "topic.prefix": prefix, **data["config"]}
    if case.group in TABLES_CHANGE:
        config["table.poll.interval.ms"] = "20"
    if "connection.url" in data["config"]:
        port = world.config["connection.url"].rpartition(":")[2].partition("/")[0]
        url = data["config"]["connection.url"].replace("HOST", "127.0.0.1").replace("PORT", port)
        config["connection.url"] = url
    try:
        with settling(case) as verdict:
            refused = refused_keys(config)
            verdict.same("rejected", refused, case.expected.get("rejected", {}).get("keys_with_errors", []))
            if not refused:
                replay(verdict, world, config)
    finally:
        views = [statement.split()[2] for statement in data["setup"] if statement.startswith("create view")]
        for name in views:
            world.run(f"DROP VIEW {name}")
        for name in data["tables"]:
            if name not in views:
                world.drop(name)


def replay(verdict: Verdict, world: World, config: Mapping[str, str]) -> None:
    case = verdict.case
    offsets = Offsets(case.data.get("offsets_before", ()))
    written = writer(config)
    worker = Worker(config, offsets)
    try:
        for number, step in enumerate(case.expected["steps"]):
            for statement in step["sql"]:
                world.run(statement)
            if step["sql"] and case.group in TABLES_CHANGE:
                wait_for(worker.context.changed.is_set, "the connector sees that the tables changed")
                worker.start_tasks()
            if "recreate" in step.get("rest", ()):
                worker.stop()
                worker = Worker(config, offsets)
            records = [] if "pause" in step.get("rest", ()) else worker.poll(3_601, once=config["mode"] == "bulk")
            at = f"step {number}"
            same_records(verdict, at, [written(record) for record in records], step["records"])
            if "offsets" in step:
                found = {key: None if value is None else json.loads(value) for key, value in offsets.by_key.items()}
                recorded = {entry["key"]: entry["value"] for entry in step["offsets"]}
                wanted = {key: None if value is None else json.loads(value) for key, value in recorded.items()}
                verdict.same(f"{at} offsets", found, wanted)
            same_error(verdict, f"{at} error", worker.error, step.get("error"))
        if "task_tables" in case.data:
            verdict.same("task_tables", [each["tables"] for each in worker.task_configs], case.data["task_tables"])
    finally:
        worker.stop()


def same_records(
    verdict: Verdict,
    at: str,
    found: Sequence[Mapping[str, Any]],
    recorded: Sequence[Mapping[str, Any]],
) -> None:
    """The order between topics is not significant."""
    for topic in sorted({record["topic"] for record in (*found, *recorded)}):
        verdict.same(
            f"{at} records of {topic}",
            [dict(record) for record in found if record["topic"] == topic],
            [dict(record) for record in recorded if record["topic"] == topic],
        )


def writer(config: Mapping[str, str]) -> Callable[[SourceRecord], dict[str, Any]]:
    """What Kafka would get, with the topic as the recordings show it."""
    value = _converter(config)
    key = JsonConverter()
    key.configure({}, is_key=True)
    transforms: list[Transform[SourceRecord]] = []
    if "transforms" in config:
        transforms = [ValueToKey(), ExtractField(KEY), ReplaceField(VALUE)]
        for transform, options in zip(transforms, ({"fields": "id"}, {"field": "id"}, {"exclude": "ts"}), strict=True):
            transform.configure(options)

    def write(record: SourceRecord) -> dict[str, Any]:
        for transform in transforms:
            changed = transform.apply(record)
            assert changed is not None
            record = changed
        raw_key = key.from_connect(record.topic, record.key_schema, record.key)
        raw = value.from_connect(record.topic, record.value_schema, record.value)
        return {
            "topic": record.topic.removeprefix(PREFIX),
            "key": None if raw_key is None else raw_key.decode(),
            "value": None if raw is None else raw.decode(),
        }

    return write


def _converter(config: Mapping[str, str]) -> Converter:
    named = config.get("value.converter", "").rpartition(".")[2]
    made: Converter = StringConverter() if named == "StringConverter" else JsonConverter()
    prefix = "value.converter."
    made.configure(
        {name.removeprefix(prefix): text for name, text in config.items() if name.startswith(prefix)}, is_key=False
    )
    return made
