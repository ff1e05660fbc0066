"""Connectors that feed themselves are noticed; those that do not are left in peace (spec/shop.md SC-15)."""

from __future__ import annotations

import logging

import pytest

from syncline.cluster.circles import circle_through, warn_of_circle
from syncline.connectors.jdbc.sink import JdbcSinkConnector
from syncline.connectors.jdbc.source import JdbcSourceConnector

HERE = "jdbc:mysql://localhost:3306/mydb"
SOURCE = {
    "name": "source",
    "connection.url": HERE,
    "mode": "incrementing",
    "incrementing.column.name": "id",
    "table.whitelist": "users",
    "topic.prefix": "my_topic_",
}
SINK = {"name": "sink", "connection.url": "jdbc:mariadb://127.0.0.1/mydb", "topics": "my_topic_users"}
SAME_TABLE = {"table.name.format": "users"}
ANY_TABLE = {"table.whitelist": "", "table.blacklist": "nothing"}
ORIGIN = {"origin.name": "here", "origin.column": "origin"}


def circle(*configs: dict[str, str], of: str = "sink") -> list[str]:
    """The places a circle goes through; empty without one."""
    known = {
        config["name"]: (JdbcSourceConnector() if "mode" in config else JdbcSinkConnector(), config)
        for config in configs
    }
    ways = circle_through(of, known)
    return [] if ways is None else [ways[0].place, *(way.target for way in ways)]


@pytest.mark.parametrize(
    ("source", "sink", "places"),
    [
        pytest.param({}, {}, [], id="(a) another table"),
        pytest.param({}, SAME_TABLE, ["users", "users"], id="(b), (c) the same table, insert"),
        pytest.param({}, {**SAME_TABLE, "insert.mode": "upsert"}, [], id="(d) the same table, upsert"),
        pytest.param(
            ANY_TABLE,
            {"topics": "", "topics.regex": "my_topic_.*"},
            ["any_table", "my_topic_any_table", "my_topic_my_topic_any_table", "my_topic_my_topic_my_topic_any_table"],
            id="(e) ever new tables",
        ),
        pytest.param(ANY_TABLE, {}, [], id="new tables that are not handed on"),
        pytest.param({}, {**SAME_TABLE, "connection.url": "jdbc:mysql://other/mydb"}, [], id="another machine"),
        pytest.param({}, {**SAME_TABLE, "connection.url": "jdbc:mysql://localhost/other"}, [], id="another database"),
        pytest.param({}, {**SAME_TABLE, "topics": "orders"}, [], id="another topic"),
        pytest.param(ORIGIN, {**SAME_TABLE, **ORIGIN}, [], id="rows are told apart by their origin"),
        pytest.param({"transforms": "x"}, SAME_TABLE, [], id="a transform may rename the topic"),
        pytest.param({"table.whitelist": "", "query": "SELECT 1"}, SAME_TABLE, [], id="a query reads who knows what"),
        pytest.param({"mode": "weird"}, SAME_TABLE, [], id="a configuration that cannot be read"),
    ],
)
def test_a_pair_of_connectors(source: dict[str, str], sink: dict[str, str], places: list[str]) -> None:
    assert circle({**SOURCE, **source}, {**SINK, **sink}) == places


def test_a_circle_over_two_databases_is_seen_from_each_connector_of_it() -> None:
    there = "jdbc:postgresql://there/db"
    configs = [
        {**SOURCE, "name": "a-source", "topic.prefix": "a_"},
        {**SINK, "name": "b-sink", "connection.url": there, "topics": "a_users", **SAME_TABLE},
        {**SOURCE, "name": "b-source", "connection.url": there, "topic.prefix": "b_"},
        {**SINK, "name": "a-sink", "topics": "b_users", **SAME_TABLE},
        {**SINK, "name": "bystander", "topics": "a_users", "connection.url": "jdbc:sqlite:elsewhere.db"},
    ]
    for name in ("a-source", "b-sink", "b-source", "a-sink"):
        assert circle(*configs, of=name) == ["users", "users", "users"]
    assert circle(*configs, of="bystander") == []


def test_a_long_way_without_return_is_no_circle() -> None:
    configs = []
    for step in range(8):
        configs.append({**SOURCE, "name": f"source {step}", "table.whitelist": f"t{step}", "topic.prefix": "x_"})
        configs.append({**SINK, "name": f"sink {step}", "topics": f"x_t{step}", "table.name.format": f"t{step + 1}"})
    assert circle(*configs, of="sink 7") == []


def test_the_warning_names_the_way_and_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    known = {"source": (JdbcSourceConnector(), SOURCE), "sink": (JdbcSinkConnector(), {**SINK, **SAME_TABLE})}
    with caplog.at_level(logging.WARNING):
        warn_of_circle("sink", known)
    assert "users -> (source) topic my_topic_users -> (sink) users" in caplog.text
    assert "origin.name" in caplog.text
