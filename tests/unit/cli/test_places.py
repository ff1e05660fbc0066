"""Ports and databases are looked at before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from syncline.cli.places import DatabasePlace, reachable, refuse_taken_ports
from syncline.errors import ConfigError
from tests.servers import free_port


@pytest.mark.parametrize(
    ("url", "jdbc_url", "shown"),
    [
        ("mariadb://root:p%40ss@db:3307/shop", "jdbc:mariadb://db:3307/shop", "mariadb://root@db:3307/shop"),
        ("mysql://root@db/shop?tls=1", "jdbc:mysql://db:3306/shop?tls=1", "mysql://root@db:3306/shop"),
        ("postgresql://u:p@db/shop", "jdbc:postgresql://db:5432/shop", "postgresql://u@db:5432/shop"),
        ("postgres://db/shop", "jdbc:postgresql://db:5432/shop", "postgres://db:5432/shop"),
        ("mariadb://u:p@[::1]:3306/shop", "jdbc:mariadb://[::1]:3306/shop", "mariadb://u@[::1]:3306/shop"),
        ("sqlite:////data/shop.db", "jdbc:sqlite:/data/shop.db", "sqlite:////data/shop.db"),
    ],
)
def test_a_database_is_told_to_services_connectors_and_people(url: str, jdbc_url: str, shown: str) -> None:
    place = DatabasePlace.of(url)
    assert (place.url, place.jdbc_url, place.shown) == (url, jdbc_url, shown)
    assert "p%40ss" not in repr(place)


def test_user_and_password_are_decoded_for_the_connector() -> None:
    place = DatabasePlace.of("mariadb://ro%2Fot:p%40s%3Fs@db/shop")
    assert (place.user, place.password, place.host, place.port) == ("ro/ot", "p@s?s", "db", 3306)


def test_a_relative_sqlite_file_is_made_absolute() -> None:
    place = DatabasePlace.of("sqlite:///shop.db")
    assert place.jdbc_url == f"jdbc:sqlite:{Path('shop.db').absolute()}"
    assert place.shown == "sqlite:///shop.db"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("oracle://u:hidden@h/d", "oracle://, and known are mariadb, mysql"),
        ("mariadb://u:hidden/d", "no URL like mariadb://user:password@host:port/database"),
        ("mariadb://u:hidden@h", "names no host or no database"),
        ("just-a-name", "begins with nothing://"),
        ("jdbc:mariadb://h/d?user=u&password=hidden", "leave jdbc: out"),
        ("mariadb://u:p@hidden/hidden@h:3306/d", "write %40 for @, %2F for /"),
        ("mariadb://u:p?hidden@h/d", "no URL like"),
        ("mariadb://u:p#hidden@h/d", "no URL like"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        DatabasePlace.of(url)
    assert "hidden" not in str(caught.value)


def test_a_server_that_does_not_listen_is_named_without_password() -> None:
    port = free_port()
    place = DatabasePlace.of(f"mariadb://root:hidden@127.0.0.1:{port}/shop")
    said = f"the database mariadb://root@127.0.0.1:{port}/shop cannot be reached: Connection refused"
    with pytest.raises(ConfigError, match=said):
        place.refuse_unreachable()


def test_a_taken_port_is_named_with_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken by another program; choose.* --connect-port"):
            refuse_taken_ports({"--gateway-port": 0, "--connect-port": port})
    refuse_taken_ports({"--gateway-port": 0, "--connect-port": port})


def test_all_taken_ports_are_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = {"--gateway-port": one.getsockname()[1], "--connect-port": two.getsockname()[1]}
        numbers, options = ", ".join(map(str, ports.values())), "--gateway-port, --connect-port"
        with pytest.raises(ConfigError, match=f"ports {numbers} are taken by other programs; .* {options}"):
            refuse_taken_ports({**ports, "--broker-port": 0})
        with pytest.raises(ConfigError, match="perhaps this command running elsewhere"):
            refuse_taken_ports(ports)


def test_a_broker_is_reachable_at_any_of_its_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        addresses = f"127.0.0.1:{free_port()}, 127.0.0.1:{broker.getsockname()[1]}"
        assert reachable(addresses) == addresses


@pytest.mark.parametrize("address", ["localhost", "host:port", ":", "host:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"write host:port|no Kafka broker answers at host:99999"):
        reachable(address)
