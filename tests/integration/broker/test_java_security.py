"""Apache Kafka's own tools through listeners with TLS and SASL, and what they say when they may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline.broker import BrokerThread
from tests.apache_kafka import tool
from tests.certificates import Authority
from tests.integration.broker.consumers import new_topic
from tests.integration.broker.test_listeners import LISTENERS, PASSWORD, Site, settings

pytestmark = [pytest.mark.java, pytest.mark.slow]

CONFIGS = "kafka.admin.ConfigCommand"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, authority = tmp_path_factory.mktemp("java"), Authority()
    with BrokerThread(folder / "data", settings=settings(folder, authority)) as broker:
        made = Site(broker, folder, authority)
        alice = ("--entity-type", "users", "--entity-name", "alice")
        config = f"SCRAM-SHA-256=[iterations=8192,password={PASSWORD}],SCRAM-SHA-512=[password={PASSWORD}]"
        changed = tool(CONFIGS, "--bootstrap-server", made.at("PLAIN"), "--alter", "--add-config", config, *alice)
        assert "Completed updating config for user alice." in changed
        yield made


def client(site: Site, tmp_path: Path, listener: str, mechanism: str, password: str = PASSWORD) -> Path:
    """A file of client properties."""
    protocol = LISTENERS[listener]
    lines = [f"security.protocol={protocol}", "default.api.timeout.ms=10000", "request.timeout.ms=5000"]
    if "SSL" in protocol:
        lines += ["ssl.truststore.type=PEM", f"ssl.truststore.location={site.ca}"]
    if listener == "MUTUAL":
        lines += ["ssl.keystore.type=PEM", f"ssl.keystore.location={site.own}"]
    if mechanism:
        module = PLAIN if mechanism == "PLAIN" else SCRAM
        login = f'{module} required username="alice" password="{password}";'
        lines += [f"sasl.mechanism={mechanism}", f"sasl.jaas.config={login}"]
    path = tmp_path / "client.properties"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("listener", "mechanism"),
    [("TLS", ""), ("MUTUAL", ""), ("SASL", "PLAIN"), ("BOTH", "SCRAM-SHA-256"), ("BOTH", "SCRAM-SHA-512")],
)
def test_the_console_tools_go_through(site: Site, tmp_path: Path, listener: str, mechanism: str) -> None:
    topic = new_topic(site.at("PLAIN"), 1)
    at = ("--bootstrap-server", site.at(listener), "--topic", topic)
    config = client(site, tmp_path, listener, mechanism)
    tool("ConsoleProducer", *at, "--producer.config", config, text="one\ntwo\n")
    read = tool("consumer.ConsoleConsumer", *at, "--from-beginning", "--max-messages", "2", "--consumer.config", config)
    assert read.startswith("one\ntwo\n")


def test_credentials_are_shown_without_the_password(site: Site) -> None:
    shown = tool(CONFIGS, "--bootstrap-server", site.at("PLAIN"), "--describe", "--entity-type", "users")
    assert "SCRAM credential configs for user-principal 'alice' are SCRAM-SHA-256=iterations=8192" in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("listener", "mechanism", "password", "said"),
    [
        pytest.param("BOTH", "PLAIN", "wrong", "Invalid username or password", id="wrong password, PLAIN"),
        pytest.param("BOTH", "SCRAM-SHA-512", "wrong", "invalid credentials", id="wrong password, SCRAM"),
    ],
)
def test_a_wrong_password_is_told(
    site: Site, tmp_path: Path, listener: str, mechanism: str, password: str, said: str
) -> None:
    config = client(site, tmp_path, listener, mechanism, password)
    at = ("--bootstrap-server", site.at(listener), "--list", "--command-config", config)
    assert said in tool("TopicCommand", *at, status=1)
