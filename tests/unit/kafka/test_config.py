"""Client settings under Java's names."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from confluent_kafka import Consumer as RdConsumer
from confluent_kafka import KafkaException

from syncline.errors import ConfigError
from syncline.kafka import config
from syncline.kafka.client import Consumer, Producer
from syncline.kafka.config import librdkafka, poll_records


@pytest.fixture(autouse=True)
def fresh_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_warned", set())


@pytest.mark.parametrize(
    ("java", "ours"),
    [
        ({"linger.ms": " 5 "}, {"linger.ms": "5"}),
        ({"max.request.size": "2000000"}, {"message.max.bytes": "2000000"}),
        ({"fetch.max.wait.ms": "10"}, {"fetch.wait.max.ms": "10"}),
        ({"delivery.timeout.ms": "2147483647"}, {"message.timeout.ms": 0}),
        ({"delivery.timeout.ms": "1000"}, {"message.timeout.ms": 1000}),
        ({"buffer.memory": "33554432"}, {"queue.buffering.max.kbytes": 32768}),
        ({"receive.buffer.bytes": "-1"}, {"socket.receive.buffer.bytes": 0}),
        ({"auto.offset.reset": "none"}, {"auto.offset.reset": "error"}),
        ({"security.protocol": "SASL_SSL"}, {"security.protocol": "sasl_ssl"}),
        ({"ssl.endpoint.identification.algorithm": ""}, {"ssl.endpoint.identification.algorithm": "none"}),
        (
            {"partition.assignment.strategy": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"},
            {"partition.assignment.strategy": "cooperative-sticky"},
        ),
        (
            {
                "partition.assignment.strategy": "org.apache.kafka.clients.consumer.RangeAssignor, "
                "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"
            },
            {"partition.assignment.strategy": "range"},
        ),
        (
            {"fetch.max.bytes": "1000000"},
            {"fetch.max.bytes": 1_000_000, "receive.message.max.bytes": 1_524_288},
        ),
        ({"key.serializer": "x", "max.poll.records": "7", "metric.reporters": ""}, {}),
    ],
)
def test_java_settings_have_their_counterparts(java: dict[str, str], ours: dict[str, object]) -> None:
    assert librdkafka(java) == ours


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        (
            'org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p w\\"x";',
            {"sasl.username": "u", "sasl.password": 'p w"x'},
        ),
        (
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=u password=p;",
            {"sasl.username": "u", "sasl.password": "p"},
        ),
        (
            'com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab="/k" principal="c@R";',
            {"sasl.kerberos.keytab": "/k", "sasl.kerberos.principal": "c@R"},
        ),
        (
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
            'clientId="i" clientSecret="s" scope="o";',
            {
                "sasl.oauthbearer.client.id": "i",
                "sasl.oauthbearer.client.secret": "s",
                "sasl.oauthbearer.scope": "o",
                "sasl.oauthbearer.method": "oidc",
            },
        ),
    ],
)
def test_javas_login_line_is_understood(line: str, ours: dict[str, str]) -> None:
    assert librdkafka({"sasl.jaas.config": line}) == ours


@pytest.mark.parametrize(
    ("properties", "ours", "warned"),
    [
        ({"ssl.truststore.location": "/ca.pem"}, {"ssl.ca.location": "/ca.pem"}, False),
        (
            {"ssl.truststore.location": "/ca", "ssl.truststore.type": "PEM"},
            {"ssl.ca.location": "/ca"},
            False,
        ),
        ({"ssl.truststore.location": "/ca.jks", "ssl.truststore.password": "p"}, {}, True),
        (
            {"ssl.keystore.location": "/k.p12", "ssl.keystore.password": "p"},
            {"ssl.keystore.location": "/k.p12", "ssl.keystore.password": "p"},
            False,
        ),
        (
            {"ssl.keystore.location": "/k.pem", "ssl.key.password": "p"},
            {"ssl.certificate.location": "/k.pem", "ssl.key.location": "/k.pem", "ssl.key.password": "p"},
            False,
        ),
        ({"ssl.keystore.location": "/k", "ssl.keystore.password": "secret"}, {}, True),
    ],
)
def test_key_and_trust_stores_are_used_or_named_in_a_warning(
    properties: dict[str, str], ours: dict[str, str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert librdkafka(properties) == ours
    assert bool(caplog.records) is warned
    assert "secret" not in caplog.text


def test_unknown_settings_are_named_once_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert librdkafka({"interceptor.classes": "com.acme.Spy"}) == {}
    assert [record.getMessage() for record in caplog.records] == [
        "interceptor.classes: this client setting has no counterpart here and has no effect"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("delivery.timeout.ms", "soon"), ("buffer.memory", "-1"), ("auto.offset.reset", "sometimes")],
)
def test_values_that_cannot_be_used_are_refused_by_their_java_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        librdkafka({name: value})
    assert list(caught.value.errors) == [name]
    assert f"Invalid value {value} for configuration {name}" in str(caught.value)


@pytest.mark.parametrize(("given", "count"), [({}, 5), ({"max.poll.records": " 7 "}, 7)])
def test_records_per_poll(given: dict[str, str], count: int) -> None:
    assert poll_records(given, 5) == count


@pytest.mark.parametrize("value", ["x", "0", "-1", "99999999999"])
def test_records_per_poll_that_make_no_sense(value: str) -> None:
    with pytest.raises(ConfigError, match=r"max\.poll\.records"):
        poll_records({"max.poll.records": value})


def test_every_name_we_pass_on_exists_in_librdkafka() -> None:
    unknown = []
    for name in sorted(config._SAME | set(config._RENAMED.values())):
        try:
            RdConsumer({"group.id": "g", name: "1", "logger": logging.getLogger("quiet")})
        except KafkaException as exc:
            if "No such configuration property" in exc.args[0].str():
                unknown.append(name)
    assert unknown == []


@pytest.mark.parametrize(
    "properties",
    [
        {"acks": "1"},
        {"acks": "all", "max.in.flight.requests.per.connection": "10"},
        {"retries": "0"},
        {"enable.idempotence": "false", "acks": "0"},
        {},
    ],
)
def test_a_producer_gives_up_idempotence_where_other_settings_rule_it_out(properties: dict[str, str]) -> None:
    Producer({"bootstrap.servers": "127.0.0.1:1", **properties}).close(0)


def test_the_clients_refuse_what_librdkafka_refuses_with_its_reason() -> None:
    with pytest.raises(ConfigError, match="compression"):
        Producer({"compression.type": "rar"})
    with pytest.raises(ConfigError, match="the Kafka client cannot be made"):
        Consumer({"bootstrap.servers": "127.0.0.1:1"})


def test_the_new_group_protocol_is_used_without_the_settings_of_the_old() -> None:
    Consumer(
        {
            "bootstrap.servers": "127.0.0.1:1",
            "group.id": "g",
            "group.protocol": "consumer",
            "session.timeout.ms": "10000",
            "heartbeat.interval.ms": "3000",
        }
    ).close()


def test_importing_the_ports_does_not_load_the_client_library() -> None:
    """Whoever only names the ports, such as a test double, pays nothing for librdkafka."""
    code = "import sys, syncline.kafka.ports; sys.exit('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
