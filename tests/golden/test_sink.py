"""The JDBC sink connector against the recordings: converter, transform, connector and task, without Kafka."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncline.api import ErrantRecordReporter
from syncline.connectors.jdbc.sink import JdbcSinkConnector
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.converters.json import JsonConverter
from syncline.data import SinkRecord
from syncline.errors import ConnectError, RetriableError, java_class_of, trace_of
from syncline.ids import TopicPartition
from syncline.options import check_all, options_of
from syncline.transforms.cast import Cast
from syncline.transforms.sides import VALUE
from tests.golden.support import Case, Verdict, cases, settling, trace_classes
from tests.servers import Database, Server

FILE = "sink.json"
PACE = {"max.retries": "1", "retry.backoff.ms": "200", "connection.attempts": "1"}
ERRORS = "__connect.errors."
SINK_TASK = "org.apache.kafka.connect.sink.SinkTask"
JSON_CONVERTER = "org.apache.kafka.connect.json.JsonConverter"


# --- databases ---------------------------------------------------------------------------------------


class World:
    """A database of one kind: how a connector finds it, and what is in it."""

    def __init__(self, config: Mapping[str, str], run: Callable[[str], list[Any]]) -> None:
        self.config = config
        self.run = run

    def table(self, name: str) -> dict[str, Any] | None:
        """A table as the recordings show it; None when there is none."""
        raise NotImplementedError

    def clean(self) -> None:
        """Drop everything."""
        raise NotImplementedError

    def _rows(self, names: Sequence[str], table: str, mark: str) -> list[list[Any]]:
        listed = ",".join(f"{mark}{name.replace(mark, mark * 2)}{mark}" for name in names)
        return [list(row) for row in self.run(f"SELECT {listed} FROM {table}")]


class MariaDb(World):
    def table(self, name: str) -> dict[str, Any] | None:
        *database, name = name.split(".") if "dot" in name and "dotted" not in name else [name]
        place = f"'{database[0]}'" if database else "DATABASE()"
        columns = self.run(
            "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COLUMN_KEY FROM information_schema.COLUMNS "
            f"WHERE TABLE_SCHEMA = {place} AND TABLE_NAME = '{name}' ORDER BY ORDINAL_POSITION"
        )
        if not columns:
            return None
        full = ".".join(f"`{part}`" for part in (*database, name))
        return {
            "columns": [
                dict(zip(("name", "type", "nullable", "default", "key"), column, strict=True)) for column in columns
            ],
            "rows": self._rows([column[0] for column in columns], full, "`"),
        }

    def clean(self) -> None:
        self.run("SET foreign_key_checks = 0")
        for name, kind in self.run(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        ):
            self.run(f"DROP {'VIEW' if 'VIEW' in kind else 'TABLE'} `{name}`")


class PostgreSql(World):
    def table(self, name: str) -> dict[str, Any] | None:
        schema, _, bare = name.rpartition(".") if name.startswith("gj_s2.") else ("public", "", name)
        columns = self.run(
            "SELECT column_name, data_type, udt_name, numeric_precision, numeric_scale, datetime_precision, "
            "is_nullable, column_default FROM information_schema.columns "
            f"WHERE table_schema = '{schema}' AND table_name = '{bare}' ORDER BY ordinal_position"
        )
        if not columns:
            return None
        names = ("name", "type", "udt", "precision", "scale", "datetime_precision", "nullable", "default")
        keys = self.run(
            "SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(n, place) "
            "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n "
            f'WHERE i.indrelid = \'"{schema}"."{bare}"\'::regclass AND i.indisprimary ORDER BY k.place'
        )
        return {
            "columns": [dict(zip(names, column, strict=True)) for column in columns],
            "pk": [key for (key,) in keys],
            "rows": self._rows([column[0] for column in columns], f'"{schema}"."{bare}"', '"'),
        }

    def clean(self) -> None:
        self.run("DROP SCHEMA public CASCADE")
        self.run("CREATE SCHEMA public")
        self.run("DROP SCHEMA IF EXISTS gj_s2 CASCADE")


class Sqlite(World):
    def table(self, name: str) -> dict[str, Any] | None:
        name = name.removeprefix("main.")
        columns = self.run(f'PRAGMA table_info("{name}")')
        if not columns:
            return None
        listed = [column[1] for column in columns]
        kinds = ",".join(f'typeof("{column.replace(chr(34), chr(34) * 2)}")' for column in listed)
        return {
            "columns": [
                {"name": column, "type": kind, "notnull": notnull, "default": default, "pk": pk}
                for _, column, kind, notnull, default, pk in columns
            ],
            "rows": self._rows(listed, f'"{name}"', '"'),
            "storage": [list(row) for row in self.run(f'SELECT {kinds} FROM "{name}"')],
        }

    def clean(self) -> None:
        for name, kind in self.run("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"):
            self.run(f'DROP {kind} "{name}"')


@pytest.fixture(scope="module")
def worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], World]]:
    """A database per dialect; opened when first asked for."""
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
        path: Path = folders.mktemp("sink") / "golden.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield Sqlite({"connection.url": f"jdbc:sqlite:{path}"}, lambda sql: connection.execute(sql).fetchall())
        return
    kind = "postgresql" if dialect == "postgresql" else "mariadb"
    server: Server = request.getfixturevalue(f"{kind}_server")
    database: Database = server.database(f"sink_{dialect}")
    if kind == "mariadb":
        database.query(f"ALTER DATABASE {database.name} CHARACTER SET utf8mb4")
    with contextlib.closing(database.connect()) as connection:

        def run(sql: str) -> list[Any]:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []

        config = dict(database.connector_config)
        if dialect == "mysql":
            config["connection.url"] = config["connection.url"].replace("jdbc:mariadb:", "jdbc:mysql:")
        yield (PostgreSql if kind == "postgresql" else MariaDb)(config, run)


# --- what stands in for the worker ---------------------------------------------------------------------


class Letters:
    """Dead letters as a worker would write them."""

    def __init__(self, case: Mapping[str, Any], config: Mapping[str, str]) -> None:
        self._case = case
        self._tolerant = config.get("errors.tolerance") == "all"
        self._headers = config.get("errors.deadletterqueue.context.headers.enable") == "true"
        self.written: list[dict[str, Any]] = []

    def report(self, record: SinkRecord, error: Exception) -> None:
        self.write(record.offset, "TASK_PUT", SINK_TASK, error)

    def write(self, offset: int, stage: str, class_name: str, error: Exception) -> None:
        key, value = self._case["records"][offset]
        context = {
            "topic": "TOPIC",
            "partition": "0",
            "offset": str(offset),
            "connector.name": "NAME",
            "task.id": "0",
            "stage": stage,
            "class.name": class_name,
            "exception.class.name": java_class_of(error),
            "exception.message": str(error),
            "exception.stacktrace": trace_of(error),
        }
        headers = [[ERRORS + name, text] for name, text in context.items()] if self._headers else []
        self.written.append({"key": key, "value": value, "headers": headers})
        if not self._tolerant:
            raise ConnectError("Tolerance exceeded in error handler") from error


class Context:
    """Of the task."""

    def __init__(self, config: Mapping[str, str], letters: Letters | None) -> None:
        self.config = config
        self.assignment: Collection[TopicPartition] = ()
        self.errant_record_reporter: ErrantRecordReporter | None = letters

    def timeout(self, milliseconds: int) -> None: ...

    def offset(self, offsets: Mapping[TopicPartition, int]) -> None: ...

    def pause(self, *partitions: TopicPartition) -> None: ...

    def resume(self, *partitions: TopicPartition) -> None: ...

    def request_commit(self) -> None: ...


def decoded(case: Mapping[str, Any], config: Mapping[str, str], letters: Letters) -> list[SinkRecord]:
    """The records as converters and transform leave them; those that fail become letters."""
    key, value = _converter("key", config), _converter("value", config)
    cast: Cast[SinkRecord] | None = None
    if "transforms" in config:
        cast = Cast(VALUE)
        cast.configure({"spec": config["transforms.c.spec"]})
    found = []
    for offset, (raw_key, raw_value) in enumerate(case["records"]):
        stage, class_name = "KEY_CONVERTER", JSON_CONVERTER
        try:
            key_schema, key_value = key.to_connect("t", _bytes(raw_key))
            stage = "VALUE_CONVERTER"
            value_schema, content = value.to_connect("t", _bytes(raw_value))
            record: SinkRecord | None = SinkRecord(
                case["topic"], 0, offset, key_schema, key_value, value_schema, content
            )
            stage, class_name = "TRANSFORMATION", config.get("transforms.c.type", "")
            if cast is not None and record is not None:
                record = cast.apply(record)
        except Exception as exc:  # as the worker, which runs strangers' code here
            letters.write(offset, stage, class_name, exc)
            continue
        if record is not None:
            found.append(record)
    return found


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _converter(side: str, config: Mapping[str, str]) -> JsonConverter:
    made = JsonConverter()
    prefix = f"{side}.converter."
    options = {name.removeprefix(prefix): text for name, text in config.items() if name.startswith(prefix)}
    made.configure(options, is_key=side == "key")
    return made


# --- the suite -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(FILE))
def test_sink(case: Case, worlds: Callable[[str], World]) -> None:
    world = worlds(case.data["dialect"])
    world.clean()
    for statement in case.data["pre"]:
        world.run(statement)
    config = {
        "name": "NAME",
        "topics": case.data["topic"],
        **world.config,
        **PACE,
        **case.data["config"],
    }
    with settling(case) as verdict:
        refused = refused_keys(config)
        verdict.same("rejected", refused, sorted(case.expected.get("rejected", {}).get("keys_with_errors", [])))
        if not refused:
            replay(verdict, world, config)


def refused_keys(config: Mapping[str, str]) -> list[str]:
    answers = check_all(options_of(SinkConfig), config)
    JdbcSinkConnector().validate(config, answers)
    return sorted(name for name, answer in answers.items() if answer.errors)


def replay(verdict: Verdict, world: World, config: dict[str, str]) -> None:
    case = verdict.case
    letters = Letters(case.data, config)
    reporting = "errors.deadletterqueue.topic.name" in config
    error = run(case.data, config, letters, Context(config, letters if reporting else None))
    verdict.same("state", "RUNNING" if error is None else "FAILED", case.expected["state"])
    recorded = case.expected.get("error")
    found = None if error is None else java_classes(trace_classes(trace_of(error)))
    verdict.same("error classes", found, None if recorded is None else java_classes(recorded["classes"]))
    for name, expected in case.expected.get("result", {}).items():
        same_table(verdict, name, world.table(name), expected)
    written = letters.written if reporting else []
    if "letters" in case.expected:
        verdict.same(
            "dlq offsets", [dict(letter["headers"])[f"{ERRORS}offset"] for letter in written], case.expected["letters"]
        )
    else:
        same_letters(verdict, written, case.expected.get("dlq", []))


def run(case: Mapping[str, Any], config: dict[str, str], letters: Letters, context: Context) -> Exception | None:
    """Put all records in one list, as the recorder had it; what failed the task."""
    connector = JdbcSinkConnector()
    task = connector.make_task()
    try:
        connector.start(config, context)  # type: ignore[arg-type]  # a sink's connector asks nothing of it
        task.start(connector.task_configs(1)[0], context)
        records = decoded(case, config, letters)
        for _ in range(3):
            try:
                task.put(records)
                break
            except RetriableError:
                continue
        else:
            raise AssertionError("retried more often than max.retries allows")
    except AssertionError:
        raise
    except ConnectError as exc:
        if str(exc).startswith("Tolerance exceeded"):
            return exc
        failed = ConnectError("Exiting WorkerSinkTask due to unrecoverable exception.")
        failed.__cause__ = exc
        return failed
    finally:
        task.stop()
        connector.stop()
    return None


DRIVERS = ("java.sql.", "org.mariadb.", "org.postgresql.", "org.sqlite.")


def java_classes(names: Sequence[str]) -> list[str]:
    """The classes of a trace; whatever a driver threw is a SQLException, and repetitions do not count."""
    found: list[str] = []
    for name in names:
        plain = "java.sql.SQLException" if name.startswith(DRIVERS) else name
        if not found or found[-1] != plain:
            found.append(plain)
    return found


def same_table(verdict: Verdict, name: str, found: Mapping[str, Any] | None, recorded: Any) -> None:
    if found is None or not recorded:
        # `false` in a list of differences stands for null, which TOML has not.
        verdict.same(f"table {name}", found, recorded or None)
        return
    # The order of columns added by ALTER is not significant.
    order = [column["name"] for column in recorded["columns"]]
    names = [column["name"] for column in found["columns"]]
    if sorted(names) != sorted(order):
        verdict.note(f"table {name}: columns {names}, expected {order}")
        return
    places = [names.index(column) for column in order]
    verdict.same(f"table {name} columns", [found["columns"][place] for place in places], recorded["columns"])
    if "pk" in recorded:
        verdict.same(f"table {name} key", found["pk"], recorded["pk"])
    rows = sorted(([_comparable(row[place]) for place in places] for row in found["rows"]), key=repr)
    wanted = sorted(([_comparable(_untagged(value)) for value in row] for row in recorded["rows"]), key=repr)
    if rows != wanted:
        verdict.note(f"table {name} rows {rows}, expected {wanted}")
    if "storage" in recorded:
        kinds = sorted([each[place] for place in places] for each in found["storage"])
        verdict.same(f"table {name} storage", kinds, sorted(recorded["storage"]))


def _untagged(value: Any) -> Any:
    """A recorded value as the drivers give it."""
    if isinstance(value, list):
        return [_untagged(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    match tag:
        case "decimal":
            return Decimal(content)
        case "hex":
            return bytes.fromhex(content)
        case "date":
            return datetime.date.fromisoformat(content)
        case "time":
            return datetime.time.fromisoformat(content)
        case "time_us":
            return datetime.timedelta(microseconds=content)
        case "datetime":
            return datetime.datetime.fromisoformat(content)
        case "float":
            return float(content)
        case "json":
            return content
        case "text":
            return uuid.UUID(content)
    raise LookupError(tag)


def _comparable(value: Any) -> Any:
    """Numbers by their value and kind, so that 1 and 1.0 differ but 12.30 and 12.3 do not."""
    if isinstance(value, Decimal):
        return ("decimal", value.normalize())
    if isinstance(value, list):
        return [_comparable(entry) for entry in value]
    return (type(value).__name__, value)


def same_letters(verdict: Verdict, found: Sequence[dict[str, Any]], recorded: Sequence[Mapping[str, Any]]) -> None:
    verdict.same("dlq records", [[letter["key"], letter["value"]] for letter in found], _bodies(recorded))
    for number, (letter, wanted) in enumerate(zip(found, recorded, strict=False)):
        at = f"dlq {number}"
        verdict.same(f"{at} header names", [name for name, _ in letter["headers"]], _names(wanted["headers"]))
        for (name, text), (_, expected) in zip(letter["headers"], wanted["headers"], strict=False):
            if isinstance(expected, str):
                verdict.same(f"{at} {name}", text, expected)
            elif "starts_with_class" in expected and not text.startswith(expected["starts_with_class"]):
                verdict.note(f"{at} {name} begins {text[:80]!r}, expected {expected['starts_with_class']}")


def _bodies(recorded: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    return [[letter["key"], letter["value"]] for letter in recorded]


def _names(headers: Sequence[Sequence[Any]]) -> list[str]:
    return [name for name, _ in headers]
