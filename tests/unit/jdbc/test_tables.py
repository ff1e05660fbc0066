"""Names of tables and their definitions."""

from __future__ import annotations

import pytest

from syncline.connectors.jdbc.dialects.mysql import MYSQL
from syncline.connectors.jdbc.dialects.postgresql import POSTGRESQL
from syncline.connectors.jdbc.dialects.sqlite import SQLITE
from syncline.connectors.jdbc.tables import Column, Kind, Table, TableId, split_name
from syncline.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("t", ["t"]),
        ("a.b.c", ["a", "b", "c"]),
        ('"a.b"', ["a.b"]),
        ('s."a.b"', ["s", "a.b"]),
        ('"a""b".c', ['a"b', "c"]),
        ("ä.é", ["ä", "é"]),
    ],
)
def test_a_name_has_parts(text: str, parts: list[str]) -> None:
    assert split_name(text, '"') == parts


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", '"a', '"a"b', '""', 'a."'])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="table name"):
        split_name(text, '"')


def test_on_mariadb_a_dotted_name_is_database_and_table() -> None:
    table = MYSQL.parse_table("shop.orders")
    assert table == TableId("orders", catalog="shop")
    assert MYSQL.qualified(table) == "`shop`.`orders`"


def test_on_postgresql_a_dotted_name_is_schema_and_table() -> None:
    assert POSTGRESQL.parse_table("shop.orders") == TableId("orders", "shop")
    assert POSTGRESQL.parse_table("d.shop.orders") == TableId("orders", "shop", "d")


def test_more_parts_than_a_database_has_are_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"has 3 parts.*`\.\.\.`"):
        MYSQL.parse_table("dbserver.inventory.users")
    assert MYSQL.parse_table("`dbserver.inventory.users`") == TableId("dbserver.inventory.users")


def test_postgresql_cuts_names_where_the_server_would() -> None:
    assert POSTGRESQL.parse_table("x" * 70).name == "x" * 63
    assert POSTGRESQL.parse_table("é" * 40).name == "é" * 31


def test_a_name_that_is_not_quoted_is_meant_in_lower_case_on_postgresql_only() -> None:
    assert POSTGRESQL.parse_table("Orders", quoting=False).name == "orders"
    assert MYSQL.parse_table("Orders", quoting=False).name == "Orders"


def test_without_quoting_a_name_is_still_quoted_where_it_would_be_something_else() -> None:
    assert SQLITE.quote("plain_1", quoting=False) == "plain_1"
    assert SQLITE.quote("x int); DROP TABLE t; --", quoting=False) == '"x int); DROP TABLE t; --"'


def test_a_column_is_found_in_another_letter_case_only_if_there_is_no_exact_one() -> None:
    columns = tuple(Column(name, "int", nullable=True) for name in ("v", "V", "Other"))
    table = Table(TableId("t"), Kind.TABLE, columns)
    assert [table.column(name) for name in ("v", "V", "OTHER", "x")] == [columns[0], columns[1], columns[2], None]
