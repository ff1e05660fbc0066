"""The JDBC sink connector: rows from topics (spec/jdbc.md 2)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Final

from syncline.api import ConnectorContext, PluginKind, SinkConnector, SinkContext, SinkTask, plugin
from syncline.connectors.jdbc.connection import Connection
from syncline.connectors.jdbc.dialect import Refusal, Refused
from syncline.connectors.jdbc.options import dialect_for, settings_of
from syncline.connectors.jdbc.sink_config import SinkConfig, check_rules
from syncline.connectors.jdbc.writer import Writer
from syncline.data import SinkRecord
from syncline.errors import ConfigError, ConnectError, RetriableError, SqlError
from syncline.options import load
from syncline.options.load import CheckedValue

log = logging.getLogger(__name__)

VERSION: Final = "10.10.0"


@plugin(PluginKind.SINK, "io.confluent.connect.jdbc.JdbcSinkConnector", version=VERSION, settings=SinkConfig)
class JdbcSinkConnector(SinkConnector):
    """Every task gets the whole configuration; Kafka's group protocol shares the partitions out."""

    task_class = "io.confluent.connect.jdbc.sink.JdbcSinkTask"

    def start(self, config: Mapping[str, str], context: ConnectorContext) -> None:
        settings = load(SinkConfig, config)
        if settings.deletes and settings.pk_mode.lower() != "record_key":
            raise ConfigError({"pk.mode": ["Primary key mode must be 'record_key' when delete support is enabled"]})
        self._config = dict(config)

    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        return [dict(self._config) for _ in range(max_tasks)]

    def validate(self, config: Mapping[str, str], answers: dict[str, CheckedValue]) -> None:
        check_rules(config, answers)

    def make_task(self) -> SinkTask:
        return JdbcSinkTask()


class JdbcSinkTask(SinkTask):
    """Writes each list it is given in one transaction; offsets are committed by the worker afterwards."""

    def start(self, config: Mapping[str, str], context: SinkContext) -> None:
        self._config = load(SinkConfig, config)
        self._context = context
        try:
            settings = settings_of(config)
        except ValueError as exc:
            raise ConfigError({"connection.url": [str(exc)]}) from exc
        self._stopping = threading.Event()
        self._connection = Connection(
            dialect_for(config, settings),
            settings,
            attempts=self._config.attempts,
            backoff_ms=self._config.backoff_ms,
            stopping=self._stopping,
        )
        self._writer = Writer(self._config, self._connection, config.get("name", ""))
        self._retries_left = self._config.max_retries

    def put(self, records: list[SinkRecord]) -> None:
        if not records:
            return
        aside: list[tuple[SinkRecord, Exception]] = []
        try:
            self._writer.write(records, lambda record, error: self._collect(aside, record, error))
        except Refused as exc:
            self._give_up_for_now(exc)
        except BaseException:
            self._connection.rollback()
            raise
        self._retries_left = self._config.max_retries
        reporter = self._context.errant_record_reporter
        # Reported after the commit: had it failed, the whole list would come again and be reported twice.
        for record, error in aside:
            assert reporter is not None
            reporter.report(record, error)

    def _collect(self, aside: list[tuple[SinkRecord, Exception]], record: SinkRecord, error: Exception) -> None:
        shown = self._shown(error)
        if self._context.errant_record_reporter is None:
            place = f"topic '{record.kafka_topic}', partition {record.kafka_partition}, offset {record.offset}"
            raise (
                type(error)(f"{error} (record at {place})")
                if _plain(error)
                else ConnectError(f"record at {place} cannot be written: {shown}")
            ) from shown
        aside.append((record, shown))

    def _shown(self, error: Exception) -> Exception:
        """A database's error as dead letters and traces show it: always java.sql.SQLException, perhaps trimmed."""
        if not isinstance(error, Refused):
            return error
        text = str(error)
        if self._config.trim_log:
            text = f"<redacted> (SQLState: {error.state}, errorCode: {error.code})"
        return SqlError(text, state=error.state, code=error.code)

    def _give_up_for_now(self, error: Refused) -> None:
        """Roll back; have the records again if that may help, fail otherwise."""
        self._connection.rollback()
        self._writer.forget()
        if error.kind is Refusal.AWAY:
            self._connection.drop()
        shown = self._shown(error)
        if error.kind in (Refusal.AWAY, Refusal.BUSY) and self._retries_left > 0:
            self._retries_left -= 1
            self._context.timeout(self._config.retry_ms)
            raise RetriableError(f"{shown}; {self._retries_left} more tries") from shown
        if error.kind is Refusal.SCHEMA and self._context.errant_record_reporter is not None:
            log.error("the database refuses the statement itself; no record is set aside for that: %s", shown)
        raise ConnectError(f"the database does not take the records: {shown}") from shown

    def stop(self) -> None:
        if hasattr(self, "_connection"):
            self._stopping.set()
            self._connection.drop()


def _plain(error: Exception) -> bool:
    """Errors of ours that take one text."""
    return isinstance(error, ConnectError) and not isinstance(error, SqlError)
