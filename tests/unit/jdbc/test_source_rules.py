"""What a source configuration must not say, and which option is blamed."""

from __future__ import annotations

import pytest

from syncline.connectors.jdbc.source_config import (
    SourceConfig,
    TaskConfig,
    incrementing_mapping,
    timestamp_mapping,
)
from syncline.connectors.jdbc.source_rules import check_rules
from syncline.errors import ConfigError
from syncline.options import check_all, options_of
from syncline.options.load import CheckedValue

BULK = {"mode": "bulk", "table.whitelist": "t"}
BY_ID = {"mode": "incrementing", "incrementing.column.name": "id", "table.whitelist": "t"}


def answers(config: dict[str, str]) -> dict[str, CheckedValue]:
    found = check_all(options_of(SourceConfig), config)
    check_rules(found)
    return found


def blamed(config: dict[str, str]) -> dict[str, int]:
    return {name: len(answer.errors) for name, answer in answers(config).items() if answer.errors}


SIX = (
    "incrementing.column.name",
    "timestamp.column.name",
    "timestamp.columns.mapping",
    "incrementing.column.mapping",
    "timestamp.initial",
    "validate.non.null",
)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        pytest.param(BULK, (), id="a table in bulk"),
        pytest.param(BY_ID, (), id="a table by id"),
        pytest.param({"mode": "incrementing", "incrementing.column.name": "id"}, (), id="all tables by id"),
        pytest.param({"mode": "bulk", "query": "select 1"}, (), id="a query"),
        pytest.param({"mode": "bulk", "query.masked": " select(1)"}, (), id="a masked query"),
        pytest.param({**BULK, "table.blacklist": "x"}, (), id="a blacklist beside a whitelist is idle"),
        pytest.param({**BULK, "origin.name": "a", "origin.column": "o"}, (), id="an origin"),
        pytest.param({**BULK, "origin.name": "a"}, ("origin.column",), id="an origin without its column"),
        pytest.param({**BULK, "origin.column": "o"}, ("origin.name",), id="a column without an origin"),
        pytest.param(
            {**BULK, "origin.name": "a@b", "origin.column": "o"}, ("origin.name",), id="an origin that is no name"
        ),
        pytest.param({}, SIX, id="no mode"),
        pytest.param({**BY_ID, "mode": "weird"}, ("mode", *SIX), id="an unknown mode"),
        pytest.param(
            {"mode": "bulk"},
            ("table.whitelist", "table.blacklist", "table.include.list", "table.exclude.list"),
            id="no tables",
        ),
        pytest.param(
            {"mode": "bulk", "query": "select 1", "table.whitelist": "t"},
            ("query", "query.masked", "table.whitelist"),
            id="a query and tables",
        ),
        pytest.param(
            {"mode": "bulk", "query": "select 1", "query.masked": "select 1"},
            ("query", "query.masked"),
            id="two queries",
        ),
        pytest.param({"mode": "bulk", "query": "WITH x AS (SELECT 1) SELECT 1"}, ("query",), id="a WITH"),
        pytest.param({"mode": "bulk", "query": "selection"}, ("query",), id="no SELECT"),
        pytest.param({"mode": "bulk", "table.exclude.list": ".*"}, ("table.exclude.list",), id="only exclusions"),
        pytest.param({"mode": "bulk", "table.include.list": "("}, ("table.include.list",), id="no expression"),
        pytest.param(
            {"mode": "incrementing", "query": "select 1 as a"},
            ("incrementing.column.name",),
            id="a query by an unnamed id",
        ),
        pytest.param(
            {"mode": "incrementing", "table.include.list": "t", "incrementing.column.name": "id"},
            ("table.include.list", "incrementing.column.name", "incrementing.column.mapping"),
            id="old and new options",
        ),
        pytest.param(
            {"mode": "timestamp", "table.include.list": "t"},
            ("timestamp.columns.mapping",),
            id="no mapping",
        ),
        pytest.param(
            {"mode": "bulk", "table.include.list": "t", "timestamp.columns.mapping": "t:[a]"},
            ("mode",),
            id="a mapping without a use",
        ),
        pytest.param(
            {**BULK, "transaction.isolation.mode": "SQL_SERVER_SNAPSHOT"},
            ("transaction.isolation.mode",),
            id="another database's isolation",
        ),
        pytest.param({**BULK, "transaction.isolation.mode": "bogus"}, ("transaction.isolation.mode",), id="isolation"),
        pytest.param({**BULK, "batch.max.rows": "0"}, ("batch.max.rows",), id="no rows"),
        pytest.param({**BULK, "dialect.name": "Nope"}, ("dialect.name",), id="an unknown dialect"),
        pytest.param({**BULK, "db.timezone": "Nowhere/X"}, ("db.timezone",), id="an unknown zone"),
        pytest.param({**BULK, "topic.prefix": "has space"}, ("topic.prefix",), id="a blank in a topic"),
        pytest.param({**BULK, "topic.prefix": "é"}, ("topic.prefix",), id="a letter no topic may have"),
        pytest.param({**BULK, "topic.prefix": "a" * 250}, ("topic.prefix",), id="a long topic"),
        pytest.param({**BULK, "topic.prefix": " ok.-_9 "}, (), id="blanks around are cut"),
        pytest.param({**BULK, "numeric.mapping": "Best_Fit"}, ("numeric.mapping",), id="mixed case"),
        pytest.param({**BULK, "numeric.mapping": "BEST_FIT"}, (), id="upper case"),
        pytest.param(
            {**BULK, "jdbc.credentials.provider.class": "x.Y"},
            ("jdbc.credentials.provider.class",),
            id="credentials from elsewhere",
        ),
    ],
)
def test_the_options_blamed(config: dict[str, str], names: tuple[str, ...]) -> None:
    assert blamed(config) == dict.fromkeys(names, 1)


@pytest.mark.parametrize(
    ("mode", "hidden"),
    [
        ("bulk", set(SIX)),
        ("incrementing", {"timestamp.column.name", "timestamp.columns.mapping", "timestamp.initial"}),
        ("timestamp", {"incrementing.column.name", "incrementing.column.mapping", "timestamp.initial"}),
        ("timestamp+incrementing", {"timestamp.initial"}),
        ("weird", set()),
    ],
)
def test_options_without_a_use_in_the_mode_are_not_shown(mode: str, hidden: set[str]) -> None:
    found = answers({"mode": mode, "table.whitelist": "t"})
    assert {name for name, answer in found.items() if not answer.visible} == {*hidden, "query.masked"}


def test_a_mapping_names_its_column_or_columns() -> None:
    assert incrementing_mapping(r"db\.t.*:id").columns == ("id",)
    mapping = timestamp_mapping("db.(a|b):[x| y]")
    assert mapping.columns == ("x", "y")
    assert mapping.tables.fullmatch("db.a")


@pytest.mark.parametrize(
    ("parse", "entry", "why"),
    [
        (incrementing_mapping, "id", "Expected 'regex:columnName'"),
        (incrementing_mapping, "(:id", "Invalid regular expression"),
        (incrementing_mapping, "t:", "Column name cannot be empty"),
        (timestamp_mapping, "ts", "Expected 'regex:"),
        (timestamp_mapping, "t:ts", "square brackets"),
        (timestamp_mapping, "t:[]", "cannot be empty"),
        (timestamp_mapping, "t:[a||b]", "non-empty string"),
    ],
)
def test_a_broken_mapping_is_explained(parse: object, entry: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("[", r"\[")):
        parse(entry)  # type: ignore[operator]  # one of two functions


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SourceConfig.load({"mode": "x", "poll.interval.ms": "x", "validate.non.null": "x"})
    assert set(caught.value.errors) == {"mode", "poll.interval.ms", "validate.non.null"}


def test_passwords_and_masked_queries_are_not_printed() -> None:
    config = SourceConfig.load({**BULK, "connection.password": "s3cr3t", "query.masked": "select 's3cr3t'"})
    assert "s3cr3t" not in repr(config)


def test_a_task_knows_what_was_assigned_to_it() -> None:
    task = TaskConfig.load({**BULK, "tables": "`db`.`t`", "tables.fetched": "true"})
    assert task.tables == "`db`.`t`"
    assert task.tables_fetched
