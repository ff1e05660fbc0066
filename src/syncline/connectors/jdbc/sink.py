"""The JDBC sink connector: rows from topics (spec/jdbc.md 2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from syncline.api import ConnectorContext, Outflow, PluginKind, SinkConnector, SinkContext, SinkTask, plugin
from syncline.connectors.jdbc.connection import Connection, pause_ms
from syncline.connectors.jdbc.options import dialect_for, settings_of
from syncline.connectors.jdbc.origin import origin_of
from syncline.connectors.jdbc.refusal import Refusal, Refused, Unreachable
from syncline.connectors.jdbc.sink_config import SinkConfig, check_rules, problems, warn_of_surprises
from syncline.connectors.jdbc.url import parse_url, same_database
from syncline.connectors.jdbc.writer import Writer
from syncline.data import SinkRecord
from syncline.errors import ConfigError, ConnectError, RetriableError, SqlError
from syncline.options import load
from syncline.options.load import CheckedValue

log = logging.getLogger(__name__)

VERSION: Final = "10.10.0"

Place = tuple[str, int, int]


@plugin(PluginKind.SINK, "io.confluent.connect.jdbc.JdbcSinkConnector", version=VERSION, settings=SinkConfig)
class JdbcSinkConnector(SinkConnector):
    """Every task gets the whole configuration; Kafka's group protocol shares the partitions out."""

    task_class = "io.confluent.connect.jdbc.sink.JdbcSinkTask"

    def start(self, config: Mapping[str, str], context: ConnectorContext) -> None:
        settings = load(SinkConfig, config)
        if problems(settings):
            raise ConfigError(problems(settings))
        warn_of_surprises(settings)
        self._config = dict(config)

    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        return [dict(self._config) for _ in range(max_tasks)]

    def validate(self, config: Mapping[str, str], answers: dict[str, CheckedValue]) -> None:
        check_rules(config, answers)

    def outflow(self, config: Mapping[str, str]) -> Outflow | None:
        """The table of a topic; upserts and updates of the same rows come to rest."""
        settings = load(SinkConfig, config)
        if settings.origin_column:
            return None

        def table_of(topic: str) -> str | None:
            return settings.table_format.replace("${topic}", topic).strip().rpartition(".")[2].strip('`"') or None

        url = parse_url(settings.url)
        return Outflow(store=same_database(url), place_of=table_of, settles=settings.insert_mode.lower() != "insert")

    def make_task(self) -> SinkTask:
        return JdbcSinkTask()


class JdbcSinkTask(SinkTask):
    """Writes each list it is given in one transaction; offsets are committed by the worker afterwards."""

    _connection: Connection | None = None

    def start(self, config: Mapping[str, str], context: SinkContext) -> None:
        self._config = load(SinkConfig, config)
        if problems(self._config):
            raise ConfigError(problems(self._config))
        self._context = context
        try:
            settings = settings_of(config)
        except ValueError as exc:
            raise ConfigError({"connection.url": [str(exc)]}) from exc
        # One attempt at a time: between two the worker waits, which serves the group and can be told to stop.
        self._connection = Connection(dialect_for(config, settings), settings, attempts=1, backoff_ms=0)
        self._writer = Writer(self._config, self._connection, config.get("name", ""))
        self._origin = origin_of(self._config.origin_name, self._config.origin_column)
        self._failures = 0
        self._reported: set[Place] = set()

    def put(self, records: list[SinkRecord]) -> None:
        if self._origin is not None:
            records = self._origin.from_elsewhere(records)
        if not records:
            return
        assert self._connection is not None
        try:
            try:
                self._write(records)
            except Refused as exc:
                if exc.kind is not Refusal.SCHEMA or not self._writer.remembers:
                    raise
                # Somebody may have altered the table since it was looked at.
                log.info("looking at the tables again: %s", self._shown(exc))
                self._connection.rollback()
                self._connection.drop()
                self._write(records)
        except Refused as exc:
            self._connection.rollback()
            if exc.kind is not Refusal.BUSY:
                self._connection.drop()
            raise self._verdict(exc) from self._shown(exc)
        except BaseException:
            self._connection.rollback()
            raise
        self._failures = 0
        self._reported.clear()

    def _write(self, records: Sequence[SinkRecord]) -> None:
        """Write and commit the list, and report what could not be written just before the commit.

        Were it reported after, a report that fails the task would leave rows that come again. The other way round,
        a commit that fails has the list put again, which the reports made so far are remembered for.
        """
        assert self._connection is not None
        aside: dict[Place, tuple[SinkRecord, Exception]] = {}

        def set_aside(record: SinkRecord, error: Exception) -> None:
            error = self._shown(error)
            if self._context.errant_record_reporter is None:
                raise _at(record, error) from (error if isinstance(error, SqlError) else error.__cause__)
            aside[_place(record)] = (record, error)

        written = self._writer.write(records, set_aside)
        reporter = self._context.errant_record_reporter
        for place, (record, error) in sorted(aside.items()):
            if place not in self._reported and reporter is not None:
                reporter.report(record, error)
                self._reported.add(place)
        if written:
            self._connection.commit()

    def _verdict(self, error: Refused) -> ConnectError:
        """What a refusal of the whole list means: try again a limited number of times, or fail."""
        shown = self._shown(error)
        if error.kind in (Refusal.DATA, Refusal.SCHEMA):
            return ConnectError(f"the database does not take the records, and trying again would not help: {shown}")
        self._failures += 1
        unreachable = isinstance(error, Unreachable)
        left = self._config.max_retries - self._failures + (self._config.attempts if unreachable else 0)
        if left < 0:
            return ConnectError(f"the database did not take the records after {self._failures} tries: {shown}")
        first_ms = self._config.backoff_ms if unreachable else self._config.retry_ms
        self._context.timeout(pause_ms(first_ms, self._failures))
        return RetriableError(f"{shown} (tries left: {left + 1})")

    def _shown(self, error: Exception) -> Exception:
        """A database's error as traces and dead letters show it, without its text if that is asked for."""
        if not isinstance(error, Refused) or not self._config.trim_log:
            return error
        text = f"<redacted> (SQLState: {error.state}, errorCode: {error.code})"
        return Refused(text, error.kind, state=error.state, code=error.code)

    def stop(self) -> None:
        if self._connection is not None:
            self._connection.drop()


def _place(record: SinkRecord) -> Place:
    return record.kafka_topic, record.kafka_partition, record.offset


def _at(record: SinkRecord, error: Exception) -> ConnectError:
    """The error that fails the task, with the record's coordinates."""
    topic, partition, offset = _place(record)
    text = f"{error} (topic '{topic}', partition {partition}, offset {offset})"
    # A driver's error stays what it is, as the cause; our own are raised with the place in their text.
    kind = ConnectError if isinstance(error, SqlError) or not isinstance(error, ConnectError) else type(error)
    return kind(text)
