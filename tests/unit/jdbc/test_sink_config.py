"""The sink's options: as Kafka Connect lists them, and what is refused before anything runs."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from syncline.connectors.jdbc.sink import JdbcSinkConnector
from syncline.connectors.jdbc.sink_config import SinkConfig, problems, warn_of_surprises
from syncline.options import check_all, options_of
from syncline.options.describe import key_info, value_info
from tests.unit.jdbc.sinks import config

RECORDED = json.loads((Path(__file__).parents[2] / "golden" / "data" / "validate.json").read_text())
DEFINITION = RECORDED["definitions"]["JdbcSink"]
URL = {"connection.url": "jdbc:sqlite::memory:"}


def ours() -> dict[str, dict[str, Any]]:
    return {option.name: key_info(option) for option in options_of(SinkConfig) if not option.internal}


def recorded() -> dict[str, dict[str, Any]]:
    """Our own keys only: the framework's are somebody else's."""
    return {entry["name"]: entry for entry in DEFINITION["configs"] if entry["name"] in ours()}


def test_every_option_of_the_java_connector_is_there_in_its_order() -> None:
    order = [name for name in DEFINITION["order_in_config_endpoint"] if name in ours()]
    assert list(ours()) == order
    framework = set(DEFINITION["order_in_config_endpoint"]) - set(ours())
    java_only = {name for name in framework if name.startswith(("connection.", "jdbc.", "pk.", "insert.", "auto."))}
    assert not java_only


@pytest.mark.parametrize("name", recorded())
def test_definitions_are_as_recorded(name: str) -> None:
    found, expected = ours()[name], recorded()[name]
    assert found.keys() - expected.keys() == {"documentation"}
    assert {key: found[key] for key in expected.keys() & found.keys()} == {
        key: value for key, value in expected.items() if key != "recommended_values"
    }


@pytest.mark.parametrize("name", recorded())
def test_recommended_values_are_as_recorded(name: str) -> None:
    answer = check_all(options_of(SinkConfig), URL)[name]
    assert value_info(answer)["recommended_values"] == recorded()[name]["recommended_values"]


def refused(**options: str) -> dict[str, list[str]]:
    given = {**URL, **{name.replace("_", "."): value for name, value in options.items()}}
    answers = check_all(options_of(SinkConfig), given)
    JdbcSinkConnector().validate(given, answers)
    return {name: answer.errors for name, answer in answers.items() if answer.errors}


@pytest.mark.parametrize(
    ("options", "names", "said"),
    [
        ({}, [], ""),
        ({"insert_mode": "merge"}, ["insert.mode"], "Invalid enumerator"),
        ({"insert_mode": "UPSERT", "pk_mode": "RECORD_KEY"}, [], ""),
        ({"pk_mode": "Record_Key"}, ["pk.mode"], "Invalid enumerator"),
        (
            {"delete_enabled": "true"},
            ["delete.enabled", "pk.mode"],
            "Deletes are only supported for pk.mode record_key",
        ),
        ({"insert_mode": "update"}, ["insert.mode"], "would overwrite every row"),
        ({"insert_mode": "update", "pk_mode": "kafka"}, [], ""),
        ({"connection_url": ""}, ["connection.url"], "Not a valid JDBC URL"),
        ({"connection_url": "jdbc:mysql://127.0.0.1:3307:mydb"}, ["connection.url"], "'3307:mydb'"),
        ({"connection_url": "jdbc:oracle:thin:@//h/s"}, ["connection.url"], "'oracledb'"),
        ({"connection_url": "jdbc:sqlite:/no/such/folder/x.db"}, ["connection.url"], "Could not connect to database."),
        ({"dialect_name": "Nope"}, ["dialect.name"], "Invalid value Nope for configuration dialect.name"),
        ({"quote_sql_identifiers": "x"}, ["connection.url"], "No matching QuoteMethod found for 'x'"),
        ({"quote_sql_identifiers": "NEVER"}, [], ""),
        ({"table_name_format": ""}, ["table.name.format"], "non-empty"),
        ({"table_name_format": "a.b.c"}, ["table.name.format"], "has 3 parts"),
        ({"table_name_format": '"open'}, ["table.name.format"], "never closed"),
        ({"table_name_format": '"a.b.c"'}, [], ""),
        ({"table_types": "NOPE"}, ["table.types"], "TABLE, PARTITIONED TABLE, VIEW"),
        ({"table_types": "view, partitioned table"}, [], ""),
        ({"db_timezone": "Mars/Olympus"}, ["db.timezone"], "Mars/Olympus"),
        ({"batch_size": "-1"}, ["batch.size"], "at least 0"),
        ({"max_retries": "x"}, ["max.retries"], "Not a number of type INT"),
    ],
)
def test_what_is_refused(options: dict[str, str], names: list[str], said: str) -> None:
    found = refused(**options)
    assert sorted(found) == sorted(names)
    assert all(said in text for texts in found.values() for text in texts[:1])


def test_a_password_in_the_url_is_not_shown_when_it_is_refused() -> None:
    (texts,) = refused(connection_url="jdbc:mysql://127.0.0.1:1/d?password=S3cret").values()
    assert "S3cret" not in " ".join(texts)


def test_what_would_damage_data_is_refused_at_the_start_too() -> None:
    assert list(problems(config(insert_mode="update"))) == ["insert.mode"]
    assert list(problems(config(delete_enabled="true"))) == ["pk.mode"]
    assert problems(config(delete_enabled="true", pk_mode="record_key")) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"db_timezone": "America/New_York"}, "each date is written as the day before"),
        ({"db_timezone": "America/New_York", "date_timezone": "UTC"}, ""),
        ({"db_timezone": "Europe/Berlin"}, ""),
        ({"upsert_version_field": "v"}, "has no effect with insert.mode=insert"),
        ({"upsert_version_field": "v", "insert_mode": "upsert"}, ""),
    ],
)
def test_what_is_probably_not_meant_is_said(
    options: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_surprises(config(**options))
    assert (said in caplog.text) if said else not caplog.text
