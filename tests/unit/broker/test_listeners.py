"""Listeners as Kafka's keys describe them."""

from __future__ import annotations

import pytest

from syncline.broker.configs import Settings
from syncline.broker.errors import BrokerError
from syncline.broker.listeners import Protocol, listeners_of


def made(**keys: str) -> Settings:
    return Settings({key.replace("_", "."): value for key, value in keys.items()})


def test_without_listeners_there_is_a_plain_one_where_the_caller_says() -> None:
    (only,) = listeners_of(made(), "127.0.0.1", 9092)
    assert (only.name, only.protocol, only.host, only.port) == ("PLAINTEXT", Protocol.PLAINTEXT, "127.0.0.1", 9092)


def test_names_are_mapped_to_protocols_and_addresses() -> None:
    settings = made(
        listeners="CLIENT://:9092, inside://[::1]:9093",
        advertised_listeners="CLIENT://kafka.example:19092",
        listener_security_protocol_map="CLIENT:SASL_SSL,INSIDE:PLAINTEXT",
    )
    client, inside = listeners_of(settings, "", 0)
    assert (client.protocol, inside.protocol) == (Protocol.SASL_SSL, Protocol.PLAINTEXT)
    assert client.address("10.0.0.1", 9092) == ("kafka.example", 19092)
    assert inside.address("::1", 9093) == ("::1", 9093)


def test_a_listener_on_every_interface_answers_the_address_a_client_came_to() -> None:
    (listener,) = listeners_of(made(listeners="PLAINTEXT://0.0.0.0:0"), "", 0)
    assert listener.address("192.0.2.7", 4711) == ("192.0.2.7", 4711)
    assert listener.address("::ffff:192.0.2.7", 4711) == ("192.0.2.7", 4711)


def test_the_controller_listener_of_a_kafka_file_is_left_out() -> None:
    settings = made(listeners="PLAINTEXT://:9092,CONTROLLER://:9093", controller_listener_names="CONTROLLER")
    assert [listener.name for listener in listeners_of(settings, "", 0)] == ["PLAINTEXT"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({"listeners": "PLAINTEXT:9092"}, "NAME://host:port", id="no address"),
        pytest.param({"listeners": "PLAINTEXT://h:99999"}, "NAME://host:port", id="no port"),
        pytest.param({"listeners": "A://h:1"}, "A is no security protocol", id="a name without a protocol"),
        pytest.param({"listeners": "SSL://:1,SSL://:2"}, "named twice", id="one name twice"),
        pytest.param({"listeners": "SSL://:1,PLAINTEXT://:1"}, "different port", id="one port twice"),
        pytest.param({"advertised.listeners": "SSL://h:1"}, "not among listeners", id="advertised, not listened on"),
        pytest.param({"advertised.listeners": "PLAINTEXT://0.0.0.0:1"}, "cannot connect", id="advertised to nobody"),
        pytest.param({"listener.security.protocol.map": "A:TLS"}, "'A:TLS'", id="no such protocol"),
    ],
)
def test_what_makes_no_sense_is_refused_by_key_and_value(keys: dict[str, str], said: str) -> None:
    with pytest.raises(BrokerError, match=said):
        listeners_of(Settings(keys), "", 9092)
