"""The JDBC source connector: tables to topics (spec/jdbc.md 1)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from syncline.api import ConnectorContext, Inflow, PluginKind, SourceConnector, SourceContext, SourceTask, plugin
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.connectors.jdbc.connection import LONGEST_PAUSE, pause_ms
from syncline.connectors.jdbc.dialect import Refused
from syncline.connectors.jdbc.discovery import TableMonitor, selected, split
from syncline.connectors.jdbc.modes import Mode
from syncline.connectors.jdbc.offsets import (
    QUERY_PARTITION,
    bare_partition,
    stored_offsets,
    table_partition,
)
from syncline.connectors.jdbc.options import check_connection
from syncline.connectors.jdbc.origin import origin_of
from syncline.connectors.jdbc.querier import Plan, Querier
from syncline.connectors.jdbc.reading import Reread, TableName, split_names
from syncline.connectors.jdbc.session import Session, retriable
from syncline.connectors.jdbc.source_config import ColumnMapping, SourceConfig, TaskConfig
from syncline.connectors.jdbc.source_rules import check_rules
from syncline.connectors.jdbc.url import parse_url, same_database
from syncline.data import SourceRecord
from syncline.errors import ConfigError, ConnectError, DataError, RetriableError
from syncline.options.load import CheckedValue

log = logging.getLogger(__name__)

VERSION: Final = "10.10.0"

LONGEST_WAIT_SECONDS: Final = 1.0
"""The longest a poll waits, so that a pause is obeyed soon."""
FIRST_RETRY_MS: Final = 100
"""The shortest pause before a failed query is run again."""


@plugin(PluginKind.SOURCE, "io.confluent.connect.jdbc.JdbcSourceConnector", version=VERSION, settings=SourceConfig)
class JdbcSourceConnector(SourceConnector):
    """Watches for tables and shares them out among the tasks, or gives one task the query."""

    task_class = "io.confluent.connect.jdbc.source.JdbcSourceTask"

    def __init__(self) -> None:
        self._properties: dict[str, str] = {}
        self._config: SourceConfig | None = None
        self._quote = ""
        self._session: Session | None = None
        self._monitor: TableMonitor | None = None

    def start(self, config: Mapping[str, str], context: ConnectorContext) -> None:
        self._properties = dict(config)
        self._config = SourceConfig.load(config)
        self._session = Session(self._config, config)
        self._quote = self._session.dialect.quote_mark
        if self._config.table_whitelist and self._config.table_blacklist:
            log.warning("table.whitelist is used, and table.blacklist is not")
        if self._config.any_query:
            self._knock()
            return
        self._monitor = TableMonitor(
            self._look,
            interval_ms=self._config.table_poll_interval_ms,
            changed=context.request_task_reconfiguration,
            failed=context.raise_error,
        )
        self._monitor.start()
        # A database that refuses the account fails the start; for one that is away the connector waits.
        self._monitor.first_look(self._config.table_startup_limit_ms / 1_000)

    def task_configs(self, max_tasks: int) -> list[dict[str, str]]:
        assert self._config is not None
        if self._monitor is None:
            return [{**self._properties, "tables": "", "tables.fetched": "true"}]
        found = self._monitor.tables(self._config.table_startup_limit_ms / 1_000)
        if found is None:
            log.warning("the tables are not known yet; one task waits for them")
            return [{**self._properties, "tables": "", "tables.fetched": "false"}]
        groups = split(found, max_tasks) or [[]]
        return [
            {
                **self._properties,
                "tables": ",".join(table.quoted(self._quote) for table in group),
                "tables.fetched": "true",
            }
            for group in groups
        ]

    def stop(self) -> None:
        if self._monitor is not None:
            assert self._session is not None
            self._monitor.stop(self._session.interrupt)

    def make_task(self) -> SourceTask:
        return JdbcSourceTask()

    def validate(self, config: Mapping[str, str], answers: dict[str, CheckedValue]) -> None:
        if not check_rules(answers):
            return
        if not answers["dialect.name"].errors:
            check_connection(config, answers)
        if not any(answer.errors for answer in answers.values()):
            _check_query(config, answers)

    def exactly_once_support(self, config: Mapping[str, str]) -> bool:
        """Where each record has an offset of its own; a group of equal timestamps may be read again."""
        return Mode(config.get("mode", "")).uses_incrementing

    def inflow(self, config: Mapping[str, str]) -> Inflow | None:
        """Tables by name; what a query reads cannot be told."""
        settings = SourceConfig.load(config)
        if settings.any_query or settings.origin_column:
            return None

        def topic_of(table: str) -> str | None:
            chosen = selected([TableName(None, table)], settings, "")
            return settings.topic_prefix + table if chosen else None

        names = tuple(name.rpartition(".")[2].strip('`"') for name in settings.table_whitelist)
        return Inflow(store=same_database(parse_url(settings.url)), topic_of=topic_of, places=names)

    def _knock(self) -> None:
        """Fail the start when the database lets nobody in; for one that is away the task waits."""
        assert self._session is not None
        try:
            with self._session.refusing():
                self._session.reader().end()
        except Refused as exc:
            if not retriable(exc):
                raise ConnectError(f"The database cannot be used: {exc}") from exc
            log.warning("the database is away, and the task will wait for it: %s", exc)
        finally:
            self._session.close()

    def _look(self) -> list[TableName]:
        """The tables to read; RetriableError while the database is away."""
        assert self._config is not None
        assert self._session is not None
        try:
            with self._session.refusing():
                reader = self._session.reader()
                found = reader.tables(
                    self._config.table_types, self._config.catalog_pattern, self._config.schema_pattern
                )
                reader.end()
        except Refused as exc:
            self._session.recover(exc)
            if retriable(exc):
                raise RetriableError(str(exc)) from exc
            raise ConnectError(f"The tables of the database cannot be listed: {exc}") from exc
        finally:
            # Tables are looked for once in a while; a connection in between would only idle.
            self._session.close()
        return selected(found, self._config, self._quote)


def _check_query(config: Mapping[str, str], answers: Mapping[str, CheckedValue]) -> None:
    """Have the database check the query; what it says is an error on the option that holds it."""
    settings = SourceConfig.load(config)
    if not settings.any_query:
        return
    session = Session(settings, config)
    name = "query" if settings.query else "query.masked"
    try:
        with session.refusing():
            session.reader().check(settings.any_query)
    except Refused as exc:
        why = "" if name == "query.masked" else f": {exc}"
        answers[name].errors.append(
            f"The configured query is not valid (SQLState: {exc.state}, errorCode: {exc.code}){why}"
        )
    finally:
        session.close()


class JdbcSourceTask(SourceTask):
    """Reads its tables, or the query, in turn; each at most once per interval."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._stopping = threading.Event()
        self._querying = threading.Event()
        """Set while the database is busy with a query of this task."""
        self._session: Session | None = None
        self._turns: list[_Turn] = []
        self._prepared = False

    def start(self, config: Mapping[str, str], context: SourceContext) -> None:
        settings = TaskConfig.load(config)
        self._config = settings
        session = Session(settings, config)
        names = split_names(settings.tables, session.dialect.quote_mark)
        query = settings.any_query
        if names and query:
            raise ConfigError(
                "Invalid configuration: a JdbcSourceTask cannot have both a table and a query assigned to it"
            )
        if not names and not query and settings.tables_fetched:
            raise ConfigError(
                "Task is being killed because it was not assigned a table nor a query to execute. Check that "
                "the tables named in the configuration exist and that the account may see them; the task is "
                "restarted when one appears"
            )
        self._session = session
        plans = [_plan(settings, name) for name in names] if names else [_plan(settings, None)] if query else []
        self._turns = [
            _Turn(Querier(plan, stored)) for plan, stored in zip(plans, _stored(plans, context), strict=True)
        ]

    def poll(self) -> Sequence[SourceRecord] | None:
        turn = self._next()
        if turn is None:
            return None
        assert self._session is not None
        try:
            with self._session.refusing():
                reader = self._session.reader()
                self._querying.set()
                if not self._prepared:
                    for each in self._turns:
                        each.querier.prepare(reader)
                    reader.end()
                    self._prepared = True
                records = turn.querier.batch(reader)
        except Reread:
            turn.querier.abandon()
            return []
        except Refused as exc:
            if self._stopping.is_set():
                return None
            raise self._failed(turn, exc) from exc
        except DataError as exc:
            raise ConnectError(f"{_capital(turn.querier.plan.name)} cannot be read: {exc}") from exc
        finally:
            self._querying.clear()
        turn.failures = 0
        turn.due = self._clock.monotonic()
        if not turn.querier.sweeping:
            turn.due += self._config.poll_interval_ms / 1_000
        return records

    def stop(self) -> None:
        self._stopping.set()
        if self._querying.is_set() and self._session is not None:
            self._session.interrupt()

    def close(self) -> None:
        if self._session is not None:
            # First: to close a result on a live connection some drivers read it to its end.
            self._session.close()
            self._abandon()

    def _abandon(self) -> None:
        """Give up what the queriers have open."""
        assert self._session is not None
        for turn in self._turns:
            try:
                with self._session.refusing():
                    turn.querier.abandon()
            except Refused as exc:
                log.debug("closing a result: %s", exc)

    def _next(self) -> _Turn | None:
        """Whose turn it is, once it is due; None when nobody's is for now."""
        streaming = next((turn for turn in self._turns if turn.querier.streaming), None)
        turn = streaming or min(self._turns, key=lambda turn: turn.due, default=None)
        now = self._clock.monotonic()
        wait = LONGEST_WAIT_SECONDS if turn is None else turn.due - now
        if wait > 0:
            longest = min(LONGEST_WAIT_SECONDS, max(self._config.poll_linger_ms, 1) / 1_000)
            self._clock.wait(self._stopping, min(wait, longest))
            if turn is None or turn.due > self._clock.monotonic():
                return None
        return None if self._stopping.is_set() else turn

    def _failed(self, turn: _Turn, error: Refused) -> ConnectError:
        """What to raise after a refusal: RetriableError when the query is asked again later."""
        assert self._session is not None
        self._abandon()
        self._session.recover(error)
        name = turn.querier.plan.name
        if not retriable(error):
            return ConnectError(f"Failed to read {name}: {error}")
        turn.failures += 1
        attempts = self._config.query_retry_attempts
        if 0 < attempts < turn.failures:
            return ConnectError(f"Failed to read {name} after retries: {error}")
        wait = pause_ms(max(self._config.connection_backoff_ms // LONGEST_PAUSE, FIRST_RETRY_MS), turn.failures) / 1_000
        turn.due = self._clock.monotonic() + wait
        return RetriableError(f"{_capital(name)} cannot be read now, again in {wait:.1f} s: {error}")


class _Turn:
    """One querier among those of a task."""

    def __init__(self, querier: Querier) -> None:
        self.querier = querier
        self.due = 0.0
        """When it may run again, by the monotonic clock."""
        self.failures = 0
        """In a row."""


def _plan(config: TaskConfig, table: TableName | None) -> Plan:
    mode = config.mode
    if table is None:
        partition = QUERY_PARTITION
    elif mode is Mode.BULK:
        partition = bare_partition(table.name)
    else:
        partition = table_partition(table.full)
    incrementing, timestamps = config.incrementing_column, tuple(config.timestamp_columns)
    if table is not None and config.incrementing_mapping_entries:
        (incrementing,) = _mapped(table, config.incrementing_mappings)
    if table is not None and config.timestamp_mapping_entries:
        timestamps = _mapped(table, config.timestamp_mappings)
    if mode.uses_timestamp and not timestamps:
        why = f"Mode {mode} needs the timestamp columns that tell when a row was last changed"
        raise ConfigError({"timestamp.column.name": [why]})
    return Plan(
        table=table,
        query=config.any_query,
        topic=config.topic_prefix + ("" if table is None else table.name),
        partition=partition,
        mode=mode,
        incrementing=incrementing,
        timestamps=timestamps,
        suffix=config.query_suffix.strip(),
        batch_rows=config.batch_max_rows,
        delay_ms=config.timestamp_delay_ms,
        initial_ms=config.timestamp_initial,
        check_nulls=config.validate_non_null,
        origin=origin_of(config.origin_name, config.origin_column),
    )


def _mapped(table: TableName, mappings: Sequence[ColumnMapping]) -> tuple[str, ...]:
    matching = [mapping for mapping in mappings if mapping.tables.fullmatch(table.full)]
    if len(matching) == 1:
        return matching[0].columns
    listed = ", ".join(mapping.tables.pattern for mapping in matching or mappings)
    if matching:
        raise ConnectError(f"Included table '{table.full}' matches more than one of the provided regexes: {listed}")
    raise ConnectError(f"Included table '{table.full}' does not match any of the provided regexes: {listed}")


def _stored(plans: Sequence[Plan], context: SourceContext) -> Sequence[Mapping[str, object] | None]:
    """The stored offset of each plan; bulk mode has none."""
    if not plans or plans[0].mode is Mode.BULK:
        return [None] * len(plans)
    tables = [(plan.table.full, plan.table.name) for plan in plans if plan.table is not None]
    if not tables:
        return context.offsets.offsets([QUERY_PARTITION])
    return stored_offsets(context.offsets, tables)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
