"""`syncline broker`: a file of Kafka's, overrides, what is said of keys, and a clean end."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without saying so
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from syncline.broker.server import remarks
from tests.integration.broker.consumers import DEADLINE_S
from tests.integration.broker.raw import RawClient
from tests.servers import free_port, wait_for

SENTENCE = "single node, for development and tests"


def broker(*arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "syncline", "broker", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def taken(port: int) -> bool:
    """Whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def refused(*arguments: str | Path, folder: Path) -> str:
    """The one sentence of a broker that does not start."""
    process = broker(*arguments, folder=folder)
    said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode in (1, 2)
    return said.strip().splitlines()[-1]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_file_of_kafkas_own_starts_it_and_a_signal_ends_it(tmp_path: Path, how: signal.Signals) -> None:
    port, metrics = free_port(), free_port()
    (tmp_path / "server.properties").write_text(
        f"""
        process.roles=broker,controller
        node.id=1
        controller.quorum.voters=1@localhost:9093
        listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://:9093
        advertised.listeners=PLAINTEXT://localhost:{port}
        controller.listener.names=CONTROLLER
        inter.broker.listener.name=PLAINTEXT
        log.dirs=logs
        num.partitions=3
        log.retention.hours=2
        auto.creat.topics.enable=false
        """
    )
    process = broker("server.properties", "--override", f"prometheus.port={metrics}", folder=tmp_path)
    wait_for(lambda: taken(port), "the broker listens")
    with RawClient(f"127.0.0.1:{port}") as client:
        found = client.ask(3, 9, topics=[{"name": "made-by-asking"}], allow_auto_topic_creation=True)
    assert len(found.topics[0].partitions) == 3
    assert [(node.host, node.port) for node in found.brokers] == [("localhost", port)]
    assert (tmp_path / "logs" / "made-by-asking-2").is_dir()
    process.send_signal(how)
    said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert SENTENCE in said
    assert "Traceback" not in said
    (without_effect,) = [line for line in said.splitlines() if "without effect" in line]
    for name in ("process.roles", "node.id", "controller.quorum.voters", "inter.broker.listener.name"):
        assert name in without_effect
    (unknown,) = [line for line in said.splitlines() if "auto.creat.topics.enable" in line]
    assert "did you mean auto.create.topics.enable?" in unknown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            ["--override", "num.partitions=many"], "Invalid value many for configuration num.partitions", id="bad value"
        ),
        pytest.param(["--override", "num.partitions"], "'num.partitions' is not of the form name=value", id="no value"),
        pytest.param(["--override", "listeners=HERE"], "listeners: 'HERE' is not of the form", id="bad listeners"),
        pytest.param(
            ["--override", "log.dirs=a,b"], "log.dirs=a,b: this broker keeps its data in one folder", id="two folders"
        ),
        pytest.param(["-S", "alice"], "--add-scram is not of the form SCRAM-SHA-256=[name=NAME", id="no credential"),
        pytest.param(["no.such.file"], "properties file no.such.file cannot be read", id="no such file"),
        pytest.param(
            ["--override", "listeners=PLAINTEXT://:0", "--port", "0"], "give one of them", id="two places to listen"
        ),
    ],
)
def test_what_cannot_be_is_one_sentence_that_names_key_and_value(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    assert said in refused(*arguments, folder=tmp_path)


def test_the_first_user_of_a_broker_that_asks_everybody_for_a_password(tmp_path: Path) -> None:
    port = free_port()
    settings = [
        f"listeners=SASL_PLAINTEXT://127.0.0.1:{port}",
        "sasl.enabled.mechanisms=SCRAM-SHA-512",
        "connection.failed.authentication.delay.ms=0",
    ]
    arguments = ["--data", "data", *(part for setting in settings for part in ("--override", setting))]

    def said_by(*users: str, while_it_runs: Callable[[], None]) -> str:
        options = (part for user in users for part in ("--add-scram", user))
        process = broker(*arguments, *options, folder=tmp_path)
        try:
            wait_for(lambda: taken(port), "the broker listens")
            while_it_runs()
        finally:
            process.terminate()
            said, _ = process.communicate(timeout=DEADLINE_S)
        return said

    def admin(user: str, password: str) -> AdminClient:
        login = {"sasl.username": user, "sasl.password": password, "sasl.mechanism": "SCRAM-SHA-512"}
        at = {"bootstrap.servers": f"127.0.0.1:{port}", "security.protocol": "SASL_PLAINTEXT"}
        return AdminClient({**at, **login}, logger=logging.getLogger("test"))

    def alice_lets_bob_in_and_changes_her_password() -> None:
        client = admin("alice", "first")
        for user, password in (("bob", b"bobs"), ("alice", b"second")):
            credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            change = UserScramCredentialUpsertion(user, credential, password)
            client.alter_user_scram_credentials([change])[user].result(DEADLINE_S)

    def both_come_in() -> None:
        for user, password in (("bob", "bobs"), ("alice", "second")):
            assert admin(user, password).list_topics(timeout=DEADLINE_S).brokers

    given = "SCRAM-SHA-512=[name=alice,password=first]"
    said = said_by(given, while_it_runs=alice_lets_bob_in_and_changes_her_password)
    assert "user alice has a SCRAM-SHA-512 credential now" in said
    # The same command again does not take her own password away from her.
    said += said_by(given, while_it_runs=both_come_in)
    assert "user alice keeps the SCRAM-SHA-512 credential that is there already" in said
    assert "first" not in said


def test_keys_that_do_nothing_are_named_once_with_what_was_meant() -> None:
    assert remarks(["num.io.threads", "broker.id"]) == ["without effect on a single node: broker.id, num.io.threads"]
    assert remarks({"log.preallocate": "true"}) == ["without effect on a single node: log.preallocate"]
    assert remarks(["num.partitions", "compression.lz4.level", "listener.name.x.ssl.client.auth"]) == []
    assert remarks(["log.retention.hour", "zzz"]) == [
        "setting log.retention.hour is not known and has no effect; did you mean log.retention.hours?",
        "setting zzz is not known and has no effect",
    ]
