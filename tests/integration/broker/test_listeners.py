"""Clients come in through every kind of listener, and hear clearly why when they may not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without saying so
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from syncline.broker import BrokerThread
from tests.certificates import Authority
from tests.integration.broker.consumers import DEADLINE_S, new_topic
from tests.integration.broker.raw import RawClient
from tests.servers import wait_for

PASSWORD = "al1ce-secret"
LISTENERS = {"PLAIN": "PLAINTEXT", "TLS": "SSL", "MUTUAL": "SSL", "SASL": "SASL_PLAINTEXT", "BOTH": "SASL_SSL"}
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
WAYS = [("PLAIN", ""), ("TLS", ""), ("MUTUAL", ""), *((name, how) for name in ("SASL", "BOTH") for how in MECHANISMS)]
"""Listener and mechanism."""

pytestmark = pytest.mark.filterwarnings("ignore:.*_text is deprecated:DeprecationWarning")  # kafka-python's own import


def jaas(password: str = PASSWORD) -> str:
    return f'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="{password}";'


@dataclass
class Site:
    """A broker with a listener of every kind."""

    broker: BrokerThread
    folder: Path
    authority: Authority

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    @property
    def own(self) -> str:
        """A client's certificate and key."""
        return str(self.folder / "client.pem")

    def at(self, listener: str) -> str:
        return self.broker.broker.address_of(listener)


def settings(folder: Path, authority: Authority) -> dict[str, str]:
    """Keys of a server.properties; certificates stand in `folder`, save those given in the keys themselves."""
    (folder / "ca.pem").write_text(authority.certificate)
    authority.sign("client").write(folder / "client.pem")
    inline = authority.sign("broker", password="key-word")
    found = {
        "listeners": ",".join(f"{name}://127.0.0.1:0" for name in LISTENERS),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in LISTENERS.items()),
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.sign("broker").write(folder / "broker.pem")),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.truststore.type": "PEM",
        "listener.name.mutual.ssl.truststore.certificates": authority.certificate,
        "listener.name.both.ssl.keystore.location": "",
        "listener.name.both.ssl.keystore.certificate.chain": inline.certificate,
        "listener.name.both.ssl.keystore.key": inline.key,
        "listener.name.both.ssl.key.password": "key-word",
        "connection.failed.authentication.delay.ms": "0",
    }
    for name in ("sasl", "both"):
        found[f"listener.name.{name}.plain.sasl.jaas.config"] = jaas()
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, authority = tmp_path_factory.mktemp("listeners"), Authority()
    with BrokerThread(folder / "data", settings=settings(folder, authority)) as broker:
        made = Site(broker, folder, authority)
        set_password(made, PASSWORD)
        yield made


def set_password(site: Site, password: str, user: str = "alice") -> None:
    """As an administrator does, through the listener that asks for nothing."""
    admin = AdminClient({"bootstrap.servers": site.at("PLAIN")})
    changes = [
        UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode(), b"some salt")
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
    ]
    for change in changes:
        for done in admin.alter_user_scram_credentials([change]).values():
            done.result(DEADLINE_S)


# -- clients: how each names the same facts -------------------------------------------------------


def confluent(site: Site, listener: str, mechanism: str, password: str = PASSWORD) -> dict[str, Any]:
    protocol = LISTENERS[listener]
    found: dict[str, Any] = {"bootstrap.servers": site.at(listener), "security.protocol": protocol}
    if "SSL" in protocol:
        found["ssl.ca.location"] = site.ca
    if listener == "MUTUAL":
        found |= {"ssl.certificate.location": site.own, "ssl.key.location": site.own}
    if mechanism:
        found |= {"sasl.mechanism": mechanism, "sasl.username": "alice", "sasl.password": password}
    return found


def python(site: Site, listener: str, mechanism: str, password: str = PASSWORD) -> dict[str, Any]:
    """Of kafka-python and aiokafka, which name it alike."""
    protocol = LISTENERS[listener]
    found: dict[str, Any] = {"bootstrap_servers": site.at(listener), "security_protocol": protocol}
    if "SSL" in protocol:
        found["ssl_context"] = ssl.create_default_context(cafile=site.ca)
    if listener == "MUTUAL":
        found["ssl_context"].load_cert_chain(site.own)
    if mechanism:
        found |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": "alice",
            "sasl_plain_password": password,
        }
    return found


def through_confluent(site: Site, listener: str, mechanism: str, topic: str) -> bytes | None:
    producer = Producer(confluent(site, listener, mechanism))
    producer.produce(topic, listener.encode())
    assert producer.flush(DEADLINE_S) == 0
    reading = {"group.id": topic, "auto.offset.reset": "earliest"}
    consumer = Consumer(confluent(site, listener, mechanism) | reading)
    with contextlib.closing(consumer):
        consumer.subscribe([topic])
        message = consumer.poll(DEADLINE_S)
        assert message is not None
        assert message.error() is None
        return message.value()


def through_kafka_python(site: Site, listener: str, mechanism: str, topic: str) -> bytes | None:
    from kafka import KafkaConsumer, KafkaProducer

    producer = KafkaProducer(**python(site, listener, mechanism))
    producer.send(topic, listener.encode()).get(DEADLINE_S)
    producer.close()
    reading = {"group_id": topic, "auto_offset_reset": "earliest", "consumer_timeout_ms": DEADLINE_S * 1000}
    consumer: Any = KafkaConsumer(topic, **python(site, listener, mechanism), **reading)
    with contextlib.closing(consumer):
        value: bytes = next(consumer).value
        return value


def through_aiokafka(site: Site, listener: str, mechanism: str, topic: str) -> bytes | None:
    async def there_and_back() -> bytes | None:
        async with AIOKafkaProducer(**python(site, listener, mechanism)) as producer:
            await producer.send_and_wait(topic, listener.encode())
        reading = {"group_id": topic, "auto_offset_reset": "earliest"}
        async with AIOKafkaConsumer(topic, **python(site, listener, mechanism), **reading) as consumer:
            return (await asyncio.wait_for(consumer.getone(), DEADLINE_S)).value  # type: ignore[no-any-return]

    return asyncio.run(there_and_back())


Way = Callable[[Site, str, str, str], bytes | None]


@pytest.mark.parametrize(("listener", "mechanism"), WAYS)
@pytest.mark.parametrize("client", [through_confluent, through_kafka_python, through_aiokafka])
def test_records_go_through_every_listener(site: Site, client: Way, listener: str, mechanism: str) -> None:
    topic = new_topic(site.at("PLAIN"), 1)
    assert client(site, listener, mechanism, topic) == listener.encode()


def test_metadata_answers_the_listener_a_client_came_through(site: Site) -> None:
    for listener in ("TLS", "BOTH"):
        admin = AdminClient(confluent(site, listener, "PLAIN" if listener == "BOTH" else ""))
        (only,) = admin.list_topics(timeout=DEADLINE_S).brokers.values()
        assert f"{only.host}:{only.port}" == site.at(listener)


# -- what goes wrong --------------------------------------------------------------------------------


def complains(config: dict[str, Any], pattern: str) -> None:
    """librdkafka, which cannot connect, says something like `pattern`."""
    said: list[str] = []
    admin = AdminClient(config | {"error_cb": lambda error: said.append(str(error)), "reconnect.backoff.ms": 500})
    with contextlib.suppress(KafkaException):
        admin.list_topics(timeout=1)
    wait_for(lambda: admin.poll(0.05) or re.search(pattern, " ".join(said)), pattern)


def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_said_on_both_sides_and_never_shown(
    site: Site, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    complains(confluent(site, "BOTH", mechanism, "wr0ng-word"), "invalid credentials|Invalid username or password")
    assert logged(caplog, f"authentication by {mechanism} failed: wrong password of 'alice'")
    assert "wr0ng-word" not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_mechanism_that_is_not_enabled_is_said_on_both_sides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {
        "listeners": "SASL_PLAINTEXT://127.0.0.1:0",
        "listener.name.sasl_plaintext.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "connection.failed.authentication.delay.ms": "0",
    }
    with BrokerThread(tmp_path, settings=keys) as broker:
        config = {"security.protocol": "SASL_PLAINTEXT", "sasl.username": "a", "sasl.password": "b"}
        config |= {"bootstrap.servers": broker.bootstrap_servers, "sasl.mechanism": "PLAIN"}
        complains(config, "SCRAM-SHA-512")
    assert logged(caplog, "SASL mechanism 'PLAIN' is not enabled here, only SCRAM-SHA-512")


def test_a_plain_client_at_a_tls_port_is_said_on_both_sides(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    complains({"bootstrap.servers": site.at("TLS")}, "incorrect security.protocol|Disconnected")
    assert logged(caplog, "it does not speak TLS; its security.protocol must be SSL or SASL_SSL here")


def test_a_tls_client_at_a_plain_port_is_said_on_both_sides(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    config = {"bootstrap.servers": site.at("PLAIN"), "security.protocol": "SSL"}
    complains(config, "SSL handshake failed|SSL connection closed")
    assert logged(caplog, "it begins a TLS handshake; its security.protocol must be PLAINTEXT")


def test_an_expired_certificate_of_the_broker_is_said_on_both_sides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.certificate)
    keys = {
        "listeners": "SSL://127.0.0.1:0",
        "ssl.keystore.location": str(authority.sign(days=-1).write(tmp_path / "old.pem")),
    }
    with BrokerThread(tmp_path / "data", settings=keys) as broker:
        config = {"bootstrap.servers": broker.bootstrap_servers, "security.protocol": "SSL"}
        complains(config | {"ssl.ca.location": str(tmp_path / "ca.pem")}, "certificate (has expired|verify failed)")
        wait_for(lambda: logged(caplog, "which has expired"), "the broker's log")


@pytest.mark.parametrize(
    ("days", "told", "said"),
    [
        pytest.param(-1, "EXPIRED", "its certificate is refused: certificate has expired", id="expired"),
        pytest.param(None, "REQUIRED", "it sent no certificate", id="none"),
    ],
)
def test_a_clients_bad_certificate_is_said_on_both_sides(
    site: Site, tmp_path: Path, days: int | None, told: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cafile=site.ca)
    if days is not None:
        context.load_cert_chain(site.authority.sign("old", days=days).write(tmp_path / "old.pem"))
    host, port = site.at("MUTUAL").split(":")
    with (
        pytest.raises(ssl.SSLError, match=told),
        socket.create_connection((host, int(port)), DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as client,
    ):
        client.recv(1)
    wait_for(lambda: logged(caplog, said), "the broker's log")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({}, "ssl.keystore.location names a PEM file", id="no certificate"),
        pytest.param({"ssl.keystore.location": "/no/such"}, "/no/such: No such file", id="no such file"),
        pytest.param({"ssl.keystore.type": "JKS"}, "ssl.keystore.type=JKS", id="a Java key store"),
        pytest.param({"ssl.client.auth": "required"}, "ssl.client.auth=required needs", id="nobody to trust"),
        pytest.param({"ssl.key.password": "wrong-word"}, "ssl.key.password does not open", id="wrong key password"),
    ],
)
def test_a_broker_with_bad_tls_keys_says_which(tmp_path: Path, keys: dict[str, str], said: str) -> None:
    from syncline.broker.errors import BrokerError

    given = {"listeners": "SSL://127.0.0.1:0", **keys}
    if "ssl.client.auth" in keys or "ssl.key.password" in keys:
        closed = "right-word" if "ssl.key.password" in keys else ""
        given["ssl.keystore.location"] = str(Authority().sign(password=closed).write(tmp_path / "own.pem"))
    with pytest.raises(BrokerError, match=said) as refused, BrokerThread(tmp_path / "data", settings=given):
        pass
    assert "wrong-word" not in str(refused.value)


# -- the protocol itself ------------------------------------------------------------------------------


def test_nothing_is_answered_before_authentication_but_what_leads_to_it(site: Site) -> None:
    with RawClient(site.at("SASL")) as client:
        assert client.ask(18, 2).error_code == 0
        client.send(3, 9, topics=None)
        with pytest.raises(ConnectionError):
            client.receive(3, 9)


def test_bare_tokens_authenticate_clients_older_than_kip_152(site: Site) -> None:
    with RawClient(site.at("SASL")) as client:
        assert client.ask(17, 0, mechanism="PLAIN").error_code == 0
        token = f"\0alice\0{PASSWORD}".encode()
        client.send_bytes(struct.pack(">i", len(token)) + token)
        assert client.receive_bytes() == b""
        assert client.ask(3, 9, topics=()).brokers[0].port > 0


def test_sasl_requests_at_a_listener_without_sasl_are_refused_as_out_of_state(site: Site) -> None:
    with RawClient(site.at("PLAIN")) as client:
        assert client.ask(17, 1, mechanism="PLAIN").error_code == 34
        answer = client.ask(36, 2, auth_bytes=b"")
        assert answer.error_code == 34
        assert "after successful authentication" in answer.error_message


def test_a_session_must_be_renewed_in_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = {
        "listeners": "SASL_PLAINTEXT://127.0.0.1:0",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": jaas(),
        "listener.name.sasl_plaintext.connections.max.reauth.ms": "500",
    }
    token = f"\0alice\0{PASSWORD}".encode()
    with BrokerThread(tmp_path, settings=keys) as broker:
        with RawClient(broker.bootstrap_servers) as client:
            client.ask(17, 1, mechanism="PLAIN")
            answer = client.ask(36, 2, auth_bytes=token)
            assert answer.session_lifetime.total_seconds() == 0.5

            def refused() -> bool:
                try:
                    client.ask(3, 9, topics=())
                except ConnectionError:
                    return True
                return False

            wait_for(refused, "the end of the session")
        assert logged(caplog, "without authenticating again in time")
        # A client that renews is not disturbed.
        config = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "alice"}
        errors: list[str] = []
        producer = Producer(
            config
            | {"bootstrap.servers": broker.bootstrap_servers, "sasl.password": PASSWORD}
            | {"error_cb": lambda error: errors.append(str(error))}
        )
        with RawClient(broker.bootstrap_servers) as watch:
            watch.ask(17, 1, mechanism="PLAIN")
            watch.ask(36, 2, auth_bytes=token)
            ends = False
            while not ends:
                producer.produce("renewed", b"v")
                assert producer.flush(DEADLINE_S) == 0
                try:
                    watch.ask(3, 9, topics=())
                except ConnectionError:
                    ends = True
        producer.produce("renewed", b"v")
        assert producer.flush(DEADLINE_S) == 0
        assert errors == []


# -- SCRAM credentials --------------------------------------------------------------------------------


def test_credentials_are_described_changed_and_deleted(site: Site) -> None:
    admin = AdminClient({"bootstrap.servers": site.at("PLAIN")})
    set_password(site, "first", "carol")
    described = admin.describe_user_scram_credentials(["carol"])["carol"].result(DEADLINE_S)  # type: ignore[index]
    assert [(info.mechanism, info.iterations) for info in described.scram_credential_infos] == [
        (ScramMechanism.SCRAM_SHA_256, 4096),
        (ScramMechanism.SCRAM_SHA_512, 4096),
    ]
    gone = UserScramCredentialDeletion("carol", ScramMechanism.SCRAM_SHA_512)
    admin.alter_user_scram_credentials([gone])["carol"].result(DEADLINE_S)
    with pytest.raises(KafkaException, match="does not exist"):
        admin.alter_user_scram_credentials([gone])["carol"].result(DEADLINE_S)
    with pytest.raises(KafkaException, match="does not exist: nobody"):
        admin.describe_user_scram_credentials(["nobody"])["nobody"].result(DEADLINE_S)  # type: ignore[index]
    few = UserScramCredentialUpsertion("dan", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 100), b"p", b"s")
    with pytest.raises(KafkaException, match="Too few iterations"):
        admin.alter_user_scram_credentials([few])["dan"].result(DEADLINE_S)


def test_credentials_outlive_a_restart_and_are_nowhere_in_the_clear(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    authority = Authority()
    keys = settings(tmp_path, authority)
    data = tmp_path / "data"
    with BrokerThread(data, settings=keys) as broker:
        set_password(Site(broker, tmp_path, authority), PASSWORD)
    with BrokerThread(data, settings=keys) as broker:
        site = Site(broker, tmp_path, authority)
        assert through_confluent(site, "BOTH", "SCRAM-SHA-256", new_topic(site.at("PLAIN"), 1)) == b"BOTH"
        with RawClient(site.at("PLAIN")) as client:
            asked = [{"resource_type": 4, "resource_name": "1", "configuration_keys": None}]
            described = client.ask(32, 4, resources=asked)
    for file in data.rglob("*"):
        assert file.is_dir() or PASSWORD.encode() not in file.read_bytes()
    for secret in (PASSWORD, "key-word", "PRIVATE KEY"):
        assert secret not in caplog.text
        assert secret not in repr(described)
