"""Options of the JDBC sink, in Confluent's order (spec/jdbc.md 2.1)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from syncline.connectors.jdbc.moments import zone_of
from syncline.connectors.jdbc.options import (
    DIALECT_NAMES,
    check_connection,
    dialect_for,
    known_dialect,
    not_among,
    offer,
    one_case,
    settings_of,
    time_zone,
)
from syncline.connectors.jdbc.origin import check_origin
from syncline.errors import ConfigError
from syncline.options import Importance, Kind, Password, Width, at_least, non_empty, one_of, option
from syncline.options.checks import refuse
from syncline.options.load import CheckedValue

log = logging.getLogger(__name__)

_CONNECTION: Final = "Connection"
_WRITES: Final = "Writes"
_MAPPING: Final = "Data Mapping"
_DDL: Final = "DDL Support"
_DML: Final = "DML Support"
_RETRIES: Final = "Retries"
_KINDS: Final = ("TABLE", "PARTITIONED TABLE", "VIEW")
UPDATE_WITHOUT_KEY: Final = (
    "insert.mode=update with pk.mode=none would overwrite every row of the table; choose a pk.mode"
)
HIGH, MEDIUM, LOW = Importance.HIGH, Importance.MEDIUM, Importance.LOW


def _table_types(name: str, value: Any) -> None:
    non_empty(name, value)
    for entry in value or []:
        if entry.upper() not in _KINDS:
            raise not_among(_KINDS, name, entry)


_KEY_MODES: Final = ("none", "kafka", "record_key", "record_value")


def _key_of_record(parsed: Mapping[str, Any]) -> bool:
    return str(parsed["pk.mode"]).lower() == "record_key"


def _key_modes(parsed: Mapping[str, Any]) -> Sequence[str]:
    """Deletes need the key of the record."""
    return ("record_key",) if parsed["delete.enabled"] else _KEY_MODES


def _deletes(parsed: Mapping[str, Any]) -> Sequence[bool]:
    return (True, False) if _key_of_record(parsed) else (False,)


@dataclass(frozen=True, kw_only=True)
class SinkConfig:
    """The configuration of a sink connector and its tasks."""

    url: str = option(
        "connection.url",
        "JDBC URL of the database, such as jdbc:mariadb://host:3306/db, jdbc:postgresql://host/db, jdbc:sqlite:file.",
        importance=HIGH,
        group=_CONNECTION,
        order=1,
        width=Width.LONG,
        display="JDBC URL",
    )
    user: str | None = option(
        "connection.user",
        "Name of the database account.",
        default=None,
        importance=HIGH,
        group=_CONNECTION,
        order=2,
        width=Width.MEDIUM,
        display="JDBC User",
    )
    password: Password | None = option(
        "connection.password",
        "Its password.",
        kind=Kind.PASSWORD,
        default=None,
        importance=HIGH,
        group=_CONNECTION,
        order=3,
        width=Width.MEDIUM,
        display="JDBC Password",
    )
    credentials: str = option(
        "jdbc.credentials.provider.class",
        "Accepted for compatibility; user and password are used.",
        kind=Kind.CLASS,
        default="io.confluent.connect.jdbc.util.DefaultJdbcCredentialsProvider",
        importance=LOW,
        group=_CONNECTION,
        order=4,
        width=Width.LONG,
        display="JDBC Credentials Provider Class",
    )
    dialect: str = option(
        "dialect.name",
        "Name of the dialect; empty takes the one the URL means.",
        default="",
        importance=LOW,
        group=_CONNECTION,
        order=5,
        width=Width.LONG,
        display="Database Dialect",
        recommend=offer(*DIALECT_NAMES),
        check=known_dialect,
    )
    attempts: int = option(
        "connection.attempts",
        "How often to try to connect.",
        kind=Kind.INT,
        default="3",
        importance=LOW,
        group=_CONNECTION,
        order=6,
        width=Width.SHORT,
        display="JDBC connection attempts",
        check=at_least(1),
    )
    backoff_ms: int = option(
        "connection.backoff.ms",
        "Milliseconds between two tries.",
        kind=Kind.LONG,
        default="10000",
        importance=LOW,
        group=_CONNECTION,
        order=7,
        width=Width.SHORT,
        display="JDBC connection backoff in milliseconds",
    )
    insert_mode: str = option(
        "insert.mode",
        "insert, upsert or update.",
        default="insert",
        importance=HIGH,
        group=_WRITES,
        order=1,
        width=Width.MEDIUM,
        display="Insert Mode",
        check=one_case("insert", "upsert", "update"),
    )
    batch_size: int = option(
        "batch.size",
        "Rows written with one statement at the most, where there are that many.",
        kind=Kind.INT,
        default="3000",
        importance=MEDIUM,
        group=_WRITES,
        order=2,
        width=Width.SHORT,
        display="Batch Size",
        check=at_least(0),
    )
    deletes: bool = option(
        "delete.enabled",
        "Whether a null value deletes the row of its key; needs pk.mode=record_key.",
        kind=Kind.BOOLEAN,
        default="false",
        importance=MEDIUM,
        group=_WRITES,
        order=3,
        width=Width.SHORT,
        display="Enable deletes",
        dependents=("pk.mode",),
        recommend=_deletes,
        visible=_key_of_record,
    )
    table_types: list[str] = option(
        "table.types",
        "Kinds of tables that may be written: TABLE, PARTITIONED TABLE, VIEW.",
        kind=Kind.LIST,
        default="TABLE",
        importance=LOW,
        group=_WRITES,
        order=4,
        width=Width.MEDIUM,
        display="Table Types",
        check=_table_types,
    )
    replace_null: bool = option(
        "replace.null.with.default",
        "Whether a null in a field that has a default is written as that default.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=LOW,
        group=_WRITES,
        order=5,
        width=Width.SHORT,
        display="Replace null with default",
    )
    table_format: str = option(
        "table.name.format",
        "Name of the table; ${topic} stands for the topic.",
        default="${topic}",
        importance=MEDIUM,
        group=_MAPPING,
        order=1,
        width=Width.LONG,
        display="Table Name Format",
        check=non_empty,
    )
    pk_mode: str = option(
        "pk.mode",
        "Where the primary key comes from: none, kafka, record_key, record_value.",
        default="none",
        importance=HIGH,
        group=_MAPPING,
        order=2,
        width=Width.MEDIUM,
        display="Primary Key Mode",
        dependents=("pk.fields",),
        check=one_case(*_KEY_MODES),
        recommend=_key_modes,
    )
    pk_fields: list[str] = option(
        "pk.fields",
        "Fields of the primary key; what they mean depends on pk.mode.",
        kind=Kind.LIST,
        default="",
        importance=MEDIUM,
        group=_MAPPING,
        order=3,
        width=Width.LONG,
        display="Primary Key Fields",
    )
    whitelist: list[str] = option(
        "fields.whitelist",
        "Fields of the value to write; all when empty. Key columns are always written.",
        kind=Kind.LIST,
        default="",
        importance=MEDIUM,
        group=_MAPPING,
        order=4,
        width=Width.LONG,
        display="Fields Whitelist",
    )
    timezone: str = option(
        "db.timezone",
        "Zone in which timestamps and times are written.",
        default="UTC",
        importance=MEDIUM,
        group=_MAPPING,
        order=5,
        width=Width.MEDIUM,
        display="DB Time Zone",
        check=time_zone,
    )
    date_timezone: str = option(
        "date.timezone",
        "Zone in which dates are written: DB_TIMEZONE or UTC. West of UTC the former moves each date back a day.",
        default="DB_TIMEZONE",
        importance=MEDIUM,
        group=_MAPPING,
        order=6,
        width=Width.MEDIUM,
        display="Date Time Zone",
        check=one_case("db_timezone", "utc"),
        recommend=offer("db_timezone", "utc"),
    )
    timestamp_fields: list[str] = option(
        "timestamp.fields.list",
        "Fields that hold microseconds or nanoseconds since the epoch, as number or text, and are timestamps.",
        kind=Kind.LIST,
        default="",
        importance=MEDIUM,
        group=_MAPPING,
        order=7,
        width=Width.MEDIUM,
        display="Timestamp Fields Whitelist",
    )
    timestamp_precision: str = option(
        "timestamp.precision.mode",
        "Unit of those fields: MICROSECONDS or NANOSECONDS.",
        default="MICROSECONDS",
        importance=MEDIUM,
        group=_MAPPING,
        order=8,
        width=Width.MEDIUM,
        display="Timestamp Precision Mode",
        check=one_case("microseconds", "nanoseconds"),
        recommend=offer("microseconds", "nanoseconds"),
    )
    calendar: str = option(
        "date.calendar.system",
        "LEGACY counts dates before 1582-10-15 as Java's old calendar does, PROLEPTIC_GREGORIAN as ISO 8601.",
        default="LEGACY",
        importance=LOW,
        group=_MAPPING,
        order=9,
        width=Width.MEDIUM,
        display="Date Calendar System",
        check=one_of(["LEGACY", "PROLEPTIC_GREGORIAN"]),
    )
    text_column: str = option(
        "string.output.value.column.name",
        "Column for records whose value is a plain string.",
        default="record_value",
        importance=LOW,
        group=_MAPPING,
        order=10,
        width=Width.MEDIUM,
        display="String Output Value Column Name",
        check=non_empty,
    )
    auto_create: bool = option(
        "auto.create",
        "Whether a missing table is created from the first record's schema.",
        kind=Kind.BOOLEAN,
        default="false",
        importance=MEDIUM,
        group=_DDL,
        order=1,
        width=Width.SHORT,
        display="Auto-Create",
    )
    auto_evolve: bool = option(
        "auto.evolve",
        "Whether missing columns are added; they must be optional or have a default.",
        kind=Kind.BOOLEAN,
        default="false",
        importance=MEDIUM,
        group=_DDL,
        order=2,
        width=Width.SHORT,
        display="Auto-Evolve",
    )
    quoting: str = option(
        "quote.sql.identifiers",
        "always or never.",
        default="ALWAYS",
        importance=MEDIUM,
        group=_DDL,
        order=3,
        width=Width.MEDIUM,
        display="Quote Identifiers",
        recommend=offer("always", "never"),
    )
    merge_holdlock: bool = option(
        "mssql.use.merge.holdlock",
        "For SQL Server only.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=LOW,
        group=_DML,
        order=1,
        width=Width.MEDIUM,
        display="SQL Server - Use HOLDLOCK in MERGE",
    )
    max_retries: int = option(
        "max.retries",
        "How often records are tried again after an error that may pass, before the task fails.",
        kind=Kind.INT,
        default="10",
        importance=MEDIUM,
        group=_RETRIES,
        order=1,
        width=Width.SHORT,
        display="Maximum Retries",
        check=at_least(0),
    )
    retry_ms: int = option(
        "retry.backoff.ms",
        "Milliseconds before each such try.",
        kind=Kind.INT,
        default="3000",
        importance=MEDIUM,
        group=_RETRIES,
        order=2,
        width=Width.SHORT,
        display="Retry Backoff (millis)",
        check=at_least(0),
    )
    trim_log: bool = option(
        "trim.sensitive.log",
        "Whether the texts of SQL errors are left out of messages; SQLSTATE and error code stay.",
        kind=Kind.BOOLEAN,
        default="false",
        importance=LOW,
        group="",
    )
    version_field: str = option(
        "upsert.version.field",
        "Field of the value that grows with each change; with upsert and update, a row is then only overwritten by a "
        "record whose value here is not lower. Known to Syncline only.",
        default="",
        importance=LOW,
        internal=True,
    )
    origin_name: str = option(
        "origin.name",
        "This database's name among those kept in step both ways; records that started out here are not written "
        "again. Known to Syncline only.",
        default="",
        importance=LOW,
        internal=True,
    )
    origin_column: str = option(
        "origin.column",
        "Column in which each row's origin is noted, for the source of this database. Known to Syncline only.",
        default="",
        importance=LOW,
        internal=True,
    )


def check_rules(config: Mapping[str, str | None], answers: dict[str, CheckedValue]) -> None:
    """Rules between options; messages are appended to `answers`."""
    mode = str(answers["pk.mode"].value or "").lower()
    if answers["delete.enabled"].value and mode != "record_key":
        for name in ("pk.mode", "delete.enabled"):
            answers[name].errors.append("Deletes are only supported for pk.mode record_key")
    if str(answers["insert.mode"].value or "").lower() == "update" and mode == "none":
        answers["insert.mode"].errors.append(UPDATE_WITHOUT_KEY)
    check_origin(answers)
    if not answers["dialect.name"].errors:
        _check_table_name(config, answers)
        check_connection(config, answers)


def _check_table_name(config: Mapping[str, str | None], answers: dict[str, CheckedValue]) -> None:
    answer = answers["table.name.format"]
    if answer.errors or not str(answer.value or "").strip():
        return
    try:
        dialect = dialect_for(config, settings_of(config))
    except (ValueError, ConfigError):
        return  # said by check_connection
    try:
        dialect.parse_table(str(answer.value).replace("${topic}", "topic"))
    except ConfigError as exc:
        answer.errors.append(str(refuse("table.name.format", answer.value, str(exc))))


def problems(config: SinkConfig) -> dict[str, list[str]]:
    """What forbids to start, by option: the rules that would damage data."""
    mode = config.pk_mode.lower()
    found: dict[str, list[str]] = {}
    if config.deletes and mode != "record_key":
        found["pk.mode"] = ["Primary key mode must be 'record_key' when delete support is enabled"]
    if config.insert_mode.lower() == "update" and mode == "none":
        found["insert.mode"] = [UPDATE_WITHOUT_KEY]
    return found


def warn_of_surprises(config: SinkConfig) -> None:
    """Log what is allowed but probably not meant."""
    zone = zone_of(config.timezone)
    if config.date_timezone.upper() == "DB_TIMEZONE" and zone.wall(0) < 0:
        log.warning(
            "db.timezone=%s is west of UTC, so each date is written as the day before; date.timezone=UTC keeps dates",
            config.timezone,
        )
    if config.insert_mode.lower() == "insert" and config.version_field:
        log.warning("upsert.version.field=%s has no effect with insert.mode=insert", config.version_field)
