"""The options of the JDBC source connector, declared once, in the order Confluent's connector lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from syncline.connectors.jdbc.modes import Mode
from syncline.connectors.jdbc.moments import Calendar, zone_of
from syncline.connectors.jdbc.options import DIALECT_NAMES, known_dialect, offer, one_case, time_zone
from syncline.connectors.jdbc.types import Granularity, NumericMapping, TypeSettings
from syncline.options import Importance, Kind, Password, Width, at_least, load, one_of, option
from syncline.options.checks import refuse

DATABASE: Final = "Database"
MODE: Final = "Mode"
CONNECTOR: Final = "Connector"

DEFAULT_CREDENTIALS: Final = "io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider"

ISOLATION_MODES: Final = (
    "DEFAULT",
    "READ_UNCOMMITTED",
    "READ_COMMITTED",
    "REPEATABLE_READ",
    "SERIALIZABLE",
    "SQL_SERVER_SNAPSHOT",
)

MODE_DEPENDENTS: Final = (
    "incrementing.column.name",
    "timestamp.column.name",
    "incrementing.column.mapping",
    "timestamp.columns.mapping",
    "validate.non.null",
)


def _credentials(name: str, value: Any) -> None:
    if value != DEFAULT_CREDENTIALS:
        raise refuse(name, value, f"Only {DEFAULT_CREDENTIALS} is available, which takes connection.user and .password")


def _patterns(name: str, value: Any) -> None:
    for pattern in value or ():
        try:
            re.compile(pattern)
        except re.error as exc:
            raise refuse(
                name,
                value,
                f"Must be a valid comma-separated list of regular expression patterns: {pattern}: {exc}",
            ) from None


def _topic_prefix(name: str, value: Any) -> None:
    if value is None:
        raise refuse(name, "null", "Topic prefix must not be null.")
    if len(value) > 249:
        raise refuse(name, value, "Topic prefix length must not exceed max topic name length, 249 chars")
    if not re.fullmatch(r"[a-zA-Z0-9._-]*", value):
        raise refuse(
            name,
            value,
            "Topic prefix must not contain any character other than ASCII alphanumerics, '.', '_' and '-'.",
        )


class ColumnMapping(NamedTuple):
    """An entry of a mapping option: tables whose full name matches use these columns."""

    tables: re.Pattern[str]
    columns: tuple[str, ...]


def incrementing_mapping(entry: str) -> ColumnMapping:
    """`regex:column`; ValueError says what is wrong with it."""
    pattern, column = _mapping(entry, "regex:columnName")
    if not column:
        raise ValueError("Column name cannot be empty")
    return ColumnMapping(pattern, (column,))


def timestamp_mapping(entry: str) -> ColumnMapping:
    """`regex:[col1|col2]`; ValueError says what is wrong with it."""
    pattern, listed = _mapping(entry, "regex:[col1|col2|...]")
    if not (listed.startswith("[") and listed.endswith("]")):
        raise ValueError("Columns list must be enclosed in square brackets")
    columns = tuple(column.strip() for column in listed[1:-1].split("|"))
    if columns == ("",):
        raise ValueError("Columns list cannot be empty")
    if "" in columns:
        raise ValueError("Every column name should be non-empty string")
    return ColumnMapping(pattern, columns)


def _mapping(entry: str, form: str) -> tuple[re.Pattern[str], str]:
    pattern, colon, columns = entry.rpartition(":")
    if not colon:
        raise ValueError(f"Invalid format. Expected '{form}'")
    try:
        return re.compile(pattern.strip()), columns.strip()
    except re.error as exc:
        raise ValueError(f"Invalid regular expression: {pattern}: {exc}") from None


def _mappings(parse: Any) -> Any:
    def check(name: str, value: Any) -> None:
        for entry in value or ():
            try:
                parse(entry)
            except ValueError as exc:
                raise refuse(name, value, f"{exc} in '{entry}'") from None

    return check


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Every option of `io.confluent.connect.jdbc.JdbcSourceConnector`."""

    url: str = option(
        "connection.url",
        "The database, as a JDBC URL: jdbc:mariadb://host:port/database, jdbc:mysql://..., "
        "jdbc:postgresql://..., jdbc:sqlite:file.",
        default="",
        importance=Importance.HIGH,
        group=DATABASE,
        order=1,
        width=Width.LONG,
        display="JDBC URL",
        dependents=("table.whitelist", "table.blacklist"),
    )
    user: str | None = option(
        "connection.user",
        "The database account.",
        default=None,
        importance=Importance.HIGH,
        group=DATABASE,
        order=2,
        width=Width.LONG,
        display="JDBC User",
    )
    password: Password | None = option(
        "connection.password",
        "The account's password.",
        kind=Kind.PASSWORD,
        default=None,
        importance=Importance.HIGH,
        group=DATABASE,
        order=3,
        width=Width.SHORT,
        display="JDBC Password",
    )
    credentials_provider: str = option(
        "jdbc.credentials.provider.class",
        "Where user and password come from; only the default, connection.user and connection.password.",
        kind=Kind.CLASS,
        default=DEFAULT_CREDENTIALS,
        importance=Importance.LOW,
        group=DATABASE,
        order=4,
        width=Width.LONG,
        display="JDBC Credentials Provider Class",
        check=_credentials,
    )
    connection_attempts: int = option(
        "connection.attempts",
        "Accepted for compatibility; a database that is away is asked again for as long as it takes.",
        kind=Kind.INT,
        default="3",
        importance=Importance.LOW,
        group=DATABASE,
        order=5,
        width=Width.SHORT,
        display="JDBC connection attempts",
        check=at_least(1),
    )
    connection_backoff_ms: int = option(
        "connection.backoff.ms",
        "The longest pause between attempts to connect, in milliseconds; pauses grow up to it.",
        kind=Kind.LONG,
        default="10000",
        importance=Importance.LOW,
        group=DATABASE,
        order=6,
        width=Width.SHORT,
        display="JDBC connection backoff in milliseconds",
    )
    table_whitelist: list[str] = option(
        "table.whitelist",
        "The tables to read, by bare or full name, quoted or not.",
        kind=Kind.LIST,
        default="",
        group=DATABASE,
        order=7,
        width=Width.LONG,
        display="Table Whitelist",
    )
    table_blacklist: list[str] = option(
        "table.blacklist",
        "The tables not to read; without effect when table.whitelist is given.",
        kind=Kind.LIST,
        default="",
        group=DATABASE,
        order=8,
        width=Width.LONG,
        display="Table Blacklist",
    )
    table_include_list: list[str] = option(
        "table.include.list",
        "Regular expressions; tables are read whose full name matches one as a whole.",
        kind=Kind.LIST,
        default="",
        group=DATABASE,
        order=9,
        width=Width.LONG,
        display="Tables Included (Regex)",
        check=_patterns,
    )
    table_exclude_list: list[str] = option(
        "table.exclude.list",
        "Regular expressions; tables that match one are left out of those table.include.list selects.",
        kind=Kind.LIST,
        default="",
        group=DATABASE,
        order=10,
        width=Width.LONG,
        display="Tables Excluded (Regex)",
        check=_patterns,
    )
    catalog_pattern: str | None = option(
        "catalog.pattern",
        "Look for tables in catalogs that match this SQL pattern only (on MariaDB and MySQL: databases).",
        default=None,
        group=DATABASE,
        order=11,
        width=Width.SHORT,
        display="Schema pattern",
    )
    schema_pattern: str | None = option(
        "schema.pattern",
        "Look for tables in schemas that match this SQL pattern only (on PostgreSQL).",
        default=None,
        importance=Importance.HIGH,
        group=DATABASE,
        order=12,
        width=Width.SHORT,
        display="Schema pattern",
    )
    numeric_precision_mapping: bool = option(
        "numeric.precision.mapping",
        "Deprecated: the same as numeric.mapping=precision_only.",
        kind=Kind.BOOLEAN,
        default="false",
        importance=Importance.LOW,
        group=DATABASE,
        order=13,
        width=Width.SHORT,
        display="Map Numeric Values By Precision (deprecated)",
    )
    numeric_mapping: str | None = option(
        "numeric.mapping",
        "What NUMERIC columns become. none: always Decimal. precision_only: integers where the scale is 0. "
        "best_fit: integers, or double where there is a fraction and up to 18 digits. "
        "best_fit_eager_double: double wherever there is a fraction.",
        default=None,
        importance=Importance.LOW,
        group=DATABASE,
        order=14,
        width=Width.SHORT,
        display="Map Numeric Values, Integral or Decimal, By Precision and Scale",
        check=one_case(*NumericMapping),
        recommend=offer(*NumericMapping),
    )
    dialect_name: str = option(
        "dialect.name",
        "The dialect to use instead of the one the URL asks for.",
        default="",
        importance=Importance.LOW,
        group=DATABASE,
        order=15,
        width=Width.LONG,
        display="Database Dialect",
        check=known_dialect,
        recommend=offer(*DIALECT_NAMES),
    )
    date_calendar_system: str = option(
        "date.calendar.system",
        "How dates before 15 October 1582 are counted: LEGACY as Java always did, by the Julian calendar, "
        "or PROLEPTIC_GREGORIAN as ISO 8601 says.",
        default=Calendar.LEGACY,
        importance=Importance.LOW,
        group=DATABASE,
        order=16,
        width=Width.MEDIUM,
        display="Date Calendar System",
        check=one_of(tuple(Calendar)),
    )
    mode_name: str = option(
        "mode",
        "How changes are found. bulk: the whole table each time. incrementing: new rows, by a growing id. "
        "timestamp: new and changed rows, by a time of the last change. timestamp+incrementing: by both.",
        default="",
        importance=Importance.HIGH,
        group=MODE,
        order=1,
        width=Width.MEDIUM,
        display="Table Loading Mode",
        dependents=MODE_DEPENDENTS,
        check=one_of(("", *Mode)),
    )
    incrementing_column: str = option(
        "incrementing.column.name",
        "The growing id. Empty: the table's auto-increment column.",
        default="",
        group=MODE,
        order=2,
        width=Width.MEDIUM,
        display="Incrementing Column Name",
    )
    timestamp_columns: list[str] = option(
        "timestamp.column.name",
        "The time of the last change; of several columns the first that is not null counts.",
        kind=Kind.LIST,
        default="",
        group=MODE,
        order=3,
        width=Width.MEDIUM,
        display="Timestamp Column Name",
    )
    timestamp_mapping_entries: list[str] = option(
        "timestamp.columns.mapping",
        "The timestamp columns per table, as regex:[col1|col2]; each table must match exactly one.",
        kind=Kind.LIST,
        default="",
        group=MODE,
        order=4,
        width=Width.LONG,
        display="Table to timestamp columns mappings",
        check=_mappings(timestamp_mapping),
    )
    incrementing_mapping_entries: list[str] = option(
        "incrementing.column.mapping",
        "The incrementing column per table, as regex:column; each table must match exactly one.",
        kind=Kind.LIST,
        default="",
        group=MODE,
        order=5,
        width=Width.LONG,
        display="Table to incrementing column mappings",
        check=_mappings(incrementing_mapping),
    )
    timestamp_initial: int | None = option(
        "timestamp.initial",
        "Where to begin without a stored offset, in milliseconds since 1970; -1 for now.",
        kind=Kind.LONG,
        default=None,
        importance=Importance.LOW,
        group=MODE,
        order=6,
        width=Width.MEDIUM,
        display="Unix time value of initial timestamp",
    )
    validate_non_null: bool = option(
        "validate.non.null",
        "Whether to refuse incrementing and timestamp columns that may be null.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.LOW,
        group=MODE,
        order=7,
        width=Width.SHORT,
        display="Validate Non Null",
    )
    query: str = option(
        "query",
        "A SELECT to run instead of reading tables. In the incremental modes a WHERE is appended, so write "
        "SELECT * FROM (...) x where the query needs one of its own.",
        default="",
        group=MODE,
        order=8,
        width=Width.SHORT,
        display="Query",
    )
    query_masked: Password = option(
        "query.masked",
        "The same as query, kept secret.",
        kind=Kind.PASSWORD,
        default="",
        group=MODE,
        order=9,
        width=Width.SHORT,
        display="Query (Masked)",
    )
    quote_sql_identifiers: str = option(
        "quote.sql.identifiers",
        "Whether names are quoted in SQL: always or never.",
        default="ALWAYS",
        group=MODE,
        order=10,
        width=Width.MEDIUM,
        display="Quote Identifiers",
        recommend=offer("always", "never"),
    )
    query_suffix: str = option(
        "query.suffix",
        "Text to append to every query, such as a LIMIT.",
        default="",
        importance=Importance.LOW,
        group=MODE,
        order=11,
        width=Width.MEDIUM,
        display="Query suffix",
    )
    transaction_isolation_mode: str = option(
        "transaction.isolation.mode",
        "The isolation level of the reading transactions.",
        default="DEFAULT",
        importance=Importance.LOW,
        group=MODE,
        order=12,
        width=Width.MEDIUM,
        display="Transaction Isolation Mode",
        check=one_case(*ISOLATION_MODES),
        recommend=offer(*(mode.lower() for mode in ISOLATION_MODES)),
    )
    query_retry_attempts: int = option(
        "query.retry.attempts",
        "How many failed queries in a row a table may have before the task fails; 0 and below: any number.",
        kind=Kind.INT,
        default="-1",
        importance=Importance.LOW,
        group=MODE,
        order=13,
        width=Width.MEDIUM,
        display="Query Retry Attempts",
    )
    table_types: list[str] = option(
        "table.types",
        "The kinds of tables to read: TABLE, VIEW, PARTITIONED TABLE and what else the database has.",
        kind=Kind.LIST,
        default="TABLE",
        importance=Importance.LOW,
        group=CONNECTOR,
        order=1,
        width=Width.MEDIUM,
        display="Table Types",
    )
    poll_interval_ms: int = option(
        "poll.interval.ms",
        "The shortest time between two looks at the same table, in milliseconds.",
        kind=Kind.INT,
        default="5000",
        importance=Importance.HIGH,
        group=CONNECTOR,
        order=2,
        width=Width.SHORT,
        display="Poll Interval (ms)",
    )
    batch_max_rows: int = option(
        "batch.max.rows",
        "How many rows to read and hand over at once.",
        kind=Kind.INT,
        default="1000",
        importance=Importance.LOW,
        group=CONNECTOR,
        order=3,
        width=Width.SHORT,
        display="Max Rows Per Batch",
        check=at_least(1),
    )
    max_buffer_size: int = option(
        "max.buffer.size",
        "Accepted for compatibility; rows are not buffered beyond one batch.",
        kind=Kind.INT,
        default="0",
        importance=Importance.LOW,
        group=CONNECTOR,
        order=4,
        width=Width.SHORT,
        display="Maximum Buffer Size",
    )
    poll_linger_ms: int = option(
        "poll.linger.ms",
        "The longest wait for data in one call of the worker, in milliseconds; at most a second is used.",
        kind=Kind.LONG,
        default="5000",
        importance=Importance.LOW,
        group=CONNECTOR,
        order=5,
        width=Width.SHORT,
        display="Poll Linger (ms)",
    )
    table_startup_limit_ms: int = option(
        "table.monitoring.startup.polling.limit.ms",
        "How long the first list of tables may take before tasks start without it, in milliseconds.",
        kind=Kind.LONG,
        default="10000",
        importance=Importance.LOW,
        group="",
    )
    table_poll_interval_ms: int = option(
        "table.poll.interval.ms",
        "The time between two looks for new and dropped tables, in milliseconds.",
        kind=Kind.LONG,
        default="60000",
        importance=Importance.LOW,
        group=CONNECTOR,
        order=6,
        width=Width.SHORT,
        display="Metadata Change Monitoring Interval (ms)",
    )
    topic_prefix: str = option(
        "topic.prefix",
        "Put before the table's name to make the topic's name; with a query the whole topic name.",
        default="",
        importance=Importance.HIGH,
        group=CONNECTOR,
        order=7,
        width=Width.MEDIUM,
        display="Topic Prefix",
        check=_topic_prefix,
    )
    timestamp_delay_ms: int = option(
        "timestamp.delay.interval.ms",
        "How old a timestamp must be before its row is read, so that slow transactions end first.",
        kind=Kind.LONG,
        default="0",
        importance=Importance.HIGH,
        group=CONNECTOR,
        order=8,
        width=Width.MEDIUM,
        display="Delay Interval (ms)",
    )
    db_timezone: str = option(
        "db.timezone",
        "The time zone in which the database's clocks without one are read.",
        default="UTC",
        group=CONNECTOR,
        order=9,
        width=Width.MEDIUM,
        display="DB time zone",
        check=time_zone,
    )
    timestamp_granularity: str = option(
        "timestamp.granularity",
        "How timestamps are written: connect_logical (milliseconds), or micro- and nanoseconds as a number, "
        "as digits, or as an ISO text in db.timezone.",
        default=Granularity.CONNECT_LOGICAL,
        importance=Importance.LOW,
        group=CONNECTOR,
        order=10,
        width=Width.MEDIUM,
        display="Timestamp granularity for timestamp columns",
        check=one_case(*Granularity),
        recommend=offer(*Granularity),
    )
    origin_name: str = option(
        "origin.name",
        "This database's name among those kept in step both ways; each record carries it in the header "
        "syncline.origin. Known to Syncline only.",
        default="",
        importance=Importance.LOW,
        internal=True,
    )
    origin_column: str = option(
        "origin.column",
        "Column in which the sink of this database notes each row's origin; rows that are as another database's "
        "record left them are not read. Known to Syncline only.",
        default="",
        importance=Importance.LOW,
        internal=True,
    )

    @classmethod
    def load(cls, properties: Mapping[str, str | None]) -> Self:
        """From a connector's or task's properties; ConfigError with every message otherwise."""
        return load(cls, properties)

    @property
    def mode(self) -> Mode:
        return Mode(self.mode_name)

    @property
    def any_query(self) -> str:
        """The query, from whichever option; empty when tables are read."""
        return (self.query or self.query_masked.reveal()).strip()

    @property
    def types(self) -> TypeSettings:
        """What decides about types."""
        mapping = NumericMapping.PRECISION_ONLY if self.numeric_precision_mapping else NumericMapping.NONE
        if self.numeric_mapping is not None:
            mapping = NumericMapping(self.numeric_mapping.lower())
        return TypeSettings(
            numeric_mapping=mapping,
            granularity=Granularity(self.timestamp_granularity.lower()),
            zone=zone_of(self.db_timezone),
            calendar=Calendar(self.date_calendar_system),
        )

    @property
    def inclusions(self) -> list[re.Pattern[str]]:
        return [re.compile(pattern) for pattern in self.table_include_list]

    @property
    def exclusions(self) -> list[re.Pattern[str]]:
        return [re.compile(pattern) for pattern in self.table_exclude_list]

    @property
    def incrementing_mappings(self) -> list[ColumnMapping]:
        return [incrementing_mapping(entry) for entry in self.incrementing_mapping_entries]

    @property
    def timestamp_mappings(self) -> list[ColumnMapping]:
        return [timestamp_mapping(entry) for entry in self.timestamp_mapping_entries]


@dataclass(frozen=True, kw_only=True)
class TaskConfig(SourceConfig):
    """The options of one task: the connector's, and what the connector assigned to it."""

    tables: str = option(
        "tables", "Quoted full names of the tables to read, separated by commas.", default="", internal=True
    )
    tables_fetched: bool = option(
        "tables.fetched",
        "Whether `tables` is known; a task without waits for the connector to assign some.",
        kind=Kind.BOOLEAN,
        default="false",
        internal=True,
    )
