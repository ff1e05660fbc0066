"""JDBC URLs: read verbatim, refused by naming the bad part, never shown with a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.connectors.jdbc.dialects import dialect_of
from syncline.connectors.jdbc.dialects.generic.urls import sqlalchemy_url
from syncline.connectors.jdbc.settings import Settings
from syncline.connectors.jdbc.url import Host, masked, parse_url
from syncline.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "hosts", "database", "options"),
    [
        ("jdbc:mysql://127.0.0.1:3307/mydb", [Host("127.0.0.1", 3307)], "mydb", {}),
        ("jdbc:mariadb://db/my%20db?useSSL=true&x=", [Host("db")], "my db", {"useSSL": "true", "x": ""}),
        ("jdbc:mariadb://db:3306/", [Host("db", 3306)], "", {}),
        ("jdbc:mysql:///mydb", [Host("localhost")], "mydb", {}),
        ("jdbc:mariadb:sequential://a:1,b:2/d", [Host("a", 1), Host("b", 2)], "d", {}),
        ("jdbc:postgresql://[::1]:5433/d?sslmode=require", [Host("::1", 5433)], "d", {"sslmode": "require"}),
        ("jdbc:postgresql:d", [Host("localhost")], "d", {}),
        ("jdbc:postgresql://a,b:2/d", [Host("a"), Host("b", 2)], "d", {}),
        ("jdbc:sqlite:/tmp/x.db?busy_timeout=5", [], "/tmp/x.db", {"busy_timeout": "5"}),
        ("jdbc:sqlite::memory:", [], ":memory:", {}),
        ("jdbc:sqlite:", [], ":memory:", {}),
        ("jdbc:sqlite:file:x?mode=ro", [], "file:x?mode=ro", {}),
        ("jdbc:mysql://h/d?password=a+b%26c", [Host("h")], "d", {"password": "a+b&c"}),
        ("jdbc:oracle:thin:@//h:1521/s", [], "", {}),
    ],
)
def test_the_parts_of_a_url(text: str, hosts: list[Host], database: str, options: dict[str, str]) -> None:
    url = parse_url(text)
    assert (list(url.hosts), url.database, dict(url.options)) == (hosts, database, options)
    assert url.text == text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty"),
        ("mysql://h/d", "jdbc:"),
        ("jdbc:", "kind of database"),
        ("jdbc:mysql", "kind of database"),
        ("jdbc:mysql://127.0.0.1:3307:mydb", "'3307:mydb'"),
        ("jdbc:mysql://127.0.0.1:3307:mydb", "/mydb"),
        ("jdbc:mysql://h:port/d", "'port'"),
        ("jdbc:mysql://h:0/d", "'0'"),
        ("jdbc:mysql://h:70000/d", "'70000'"),
        ("jdbc:mysql://h:/d", "port after 'h'"),
        ("jdbc:mysql:h/d", "'h/d'"),
        ("jdbc:mysql:strange://h/d", "'strange:'"),
        ("jdbc:postgresql://[::1:5/d", "'[::1:5'"),
        ("jdbc:mysql://address=(host=h)(port=1)/d", "address="),
        ("jdbc:mysql://me:word@h/d", "connection.user"),
    ],
)
def test_a_malformed_url_is_refused_with_its_bad_part(text: str, named: str) -> None:
    with pytest.raises(ValueError, match="Not a valid JDBC URL") as caught:
        parse_url(text)
    assert named in str(caught.value)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "jdbc:mysql://h/d?user=me&password=S3cret",
        "jdbc:mysql://h/d?PASSWORD=S3cret&x=1",
        "jdbc:mysql://me:S3cret@h/d",
        "jdbc:mariadb://h/d?sslKeyPassword=S3cret",
        "jdbc:mysql://h/d?trustCertificateKeyStorePassword=S3cret",
        "jdbc:sqlserver://h;user=me;password=S3cret;x=1",
        "jdbc:oracle:thin:me/S3cret@//h:1/s",
        "two: jdbc:mysql://h/d?password=S3cret and jdbc:mysql://h/d?pwd=S3cret",
    ],
)
def test_passwords_are_never_shown(text: str) -> None:
    assert "S3cret" not in masked(text)
    assert "x=1" not in text or "x=1" in masked(text)
    if text.startswith("jdbc:") and "@h" not in text:
        url = parse_url(text)
        assert "S3cret" not in url.masked
        assert "S3cret" not in repr(url)


def test_what_holds_no_password_is_shown_as_it_is() -> None:
    text = "jdbc:mariadb://h:3306/d?useSSL=true&connectTimeout=5"
    assert masked(text) == text


@given(st.text())
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        parse_url(f"jdbc:mysql:{text}")
    except ValueError as exc:
        assert str(exc).startswith("Not a valid JDBC URL")  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("jdbc:mysql://h/d", "MySqlDatabaseDialect"),
        ("jdbc:mariadb://h/d", "MySqlDatabaseDialect"),
        ("jdbc:postgresql://h/d", "PostgreSqlDatabaseDialect"),
        ("jdbc:sqlite:x", "SqliteDatabaseDialect"),
    ],
)
def test_the_url_says_which_dialect(text: str, name: str) -> None:
    assert dialect_of(parse_url(text)).name == name
    assert dialect_of(parse_url(text), "GenericDatabaseDialect").name == "GenericDatabaseDialect"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("jdbc:oracle:thin:@//h:1521/s", "'oracledb'"),
        ("jdbc:sqlserver://h;databaseName=d", "'pyodbc'"),
        ("jdbc:h2:mem:x", "jdbc:h2"),
    ],
)
def test_a_database_without_driver_is_refused_with_what_is_missing(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dialect_of(parse_url(text))
    assert list(caught.value.errors) == ["connection.url"]
    assert named in str(caught.value)


def test_a_dialect_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="NoSuchDialect is not available") as caught:
        dialect_of(parse_url("jdbc:sqlite:x"), "NoSuchDialect")
    assert list(caught.value.errors) == ["dialect.name"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jdbc:oracle:thin:@//h:1522/s", "oracle+oracledb://u:***@h:1522?service_name=s"),
        ("jdbc:oracle:thin:@h:1522:sid", "oracle+oracledb://u:***@h:1522/sid"),
        ("jdbc:sqlserver://h:1433;databaseName=d;encrypt=yes", "mssql+pyodbc://u:***@h:1433/d?encrypt=yes"),
        ("jdbc:db2://h:50000/d", "db2+ibm_db://u:***@h:50000/d"),
        ("jdbc:postgresql://h:5/d?sslmode=require", "postgresql+psycopg://u:***@h:5/d?sslmode=require"),
        ("jdbc:duckdb:/tmp/x", "duckdb://u:***@//tmp/x"),
    ],
)
def test_other_urls_become_sqlalchemys(text: str, shown: str) -> None:
    url = sqlalchemy_url(Settings(url=parse_url(text), user="u", password="secret"))
    assert url.render_as_string(hide_password=True) == shown


def test_an_oracle_url_that_is_not_understood_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigError, match="jdbc:oracle:thin:@//host:port/service"):
        sqlalchemy_url(Settings(url=parse_url("jdbc:oracle:oci:@tns")))


def test_driver_options_come_from_the_url_or_from_the_configuration() -> None:
    settings = Settings(
        url=parse_url("jdbc:mysql://h/d?socketTimeout=1500&useSSL=TRUE"),
        properties={"SocketTimeout": "9000", "connectTimeout": "0", "other": "x"},
    )
    assert settings.option("sockettimeout") == "1500"
    assert settings.option("nothing", "other") == "x"
    assert settings.seconds("socketTimeout") == 1
    assert settings.seconds("connectTimeout") is None
    assert settings.flag("useSsl") is True
    assert settings.flag("nothing") is None
