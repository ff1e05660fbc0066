"""Commands as processes: what they print, where, and with which status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncline import __version__
from syncline.broker import BrokerThread
from tests.servers import free_port


def syncline(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run([sys.executable, "-m", "syncline", *arguments], input=given, capture_output=True)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BrokerThread(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap_servers


def test_the_version_is_printed() -> None:
    done = syncline("--version")
    assert (done.returncode, done.stdout) == (0, f"syncline {__version__}\n".encode())


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["up"],
        ["broker"],
        ["connect-standalone"],
        ["connect-distributed"],
        ["console"],
        ["produce"],
        ["consume"],
        *(["dead-letters", verb] for verb in ("list", "show", "replay", "discard")),
        *(["topics", verb] for verb in ("list", "create", "describe", "delete")),
        *(["connectors", verb] for verb in ("list", "create", "status", "pause", "resume", "restart", "delete")),
    ],
    ids=" ".join,
)
def test_every_command_explains_itself(command: list[str]) -> None:
    done = syncline(*command, "--help")
    assert done.returncode == 0
    assert b"Usage: syncline" in done.stdout
    assert "…" not in done.stdout.decode(), "nothing is cut off"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tpoics"], "No such command 'tpoics'. Did you mean 'topics'?"),
        (["topics", "create"], "Missing argument"),
        (["consume", "t", "--from-begining"], "No such option: --from-begining. Did you mean --from-beginning?"),
        (["up", "--nothing-like-it"], "No such option: --nothing-like-it"),
        (["up", "--gateway-port", "70000"], "Invalid value for '--gateway-port'"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_status_2(arguments: list[str], said: str) -> None:
    done = syncline(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"syncline: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "value.converter=org.apache.kafka.connect.json.JsonConvertr",
            "Invalid value org.apache.kafka.connect.json.JsonConvertr for configuration value.converter: Class "
            "org.apache.kafka.connect.json.JsonConvertr could not be found.",
        ),
        (
            "sasl.password=${file:/no/such/file:password}",
            "Could not read properties from file /no/such/file: there is no such file",
        ),
    ],
)
def test_a_worker_with_settings_that_cannot_work_does_not_start(tmp_path: Path, line: str, said: str) -> None:
    lines = [
        "bootstrap.servers=127.0.0.1:1",
        "listeners=http://127.0.0.1:0",
        f"offset.storage.file.filename={tmp_path / 'offsets'}",
        "key.converter=org.apache.kafka.connect.json.JsonConverter",
        "value.converter=org.apache.kafka.connect.json.JsonConverter",
        "config.providers=file",
        "config.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider",
        line,
    ]
    (tmp_path / "worker.properties").write_text("\n".join(lines))
    done = syncline("connect-standalone", str(tmp_path / "worker.properties"))
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1] == f"syncline: the worker cannot start: {said}"


def test_what_does_not_answer_is_one_sentence_and_status_1() -> None:
    port = free_port()
    for arguments in (
        ["topics", "list", "-b", f"127.0.0.1:{port}"],
        ["consume", "t", "-b", f"127.0.0.1:{port}"],
        ["produce", "t", "x", "-b", f"127.0.0.1:{port}"],
        ["connectors", "list", "--url", f"http://127.0.0.1:{port}"],
    ):
        done = syncline(*arguments)
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"127.0.0.1:{port}" in done.stderr.decode()
        assert len(done.stderr.splitlines()) == 1


def test_topics_are_created_listed_described_and_deleted(bootstrap: str) -> None:
    at = ("-b", bootstrap)
    assert syncline("topics", "create", "news", *at, "--partitions", "3").returncode == 0
    listed = json.loads(syncline("topics", "list", *at, "--json").stdout)
    assert {"name": "news", "partitions": 3, "replicationFactor": 1} in listed
    assert b"news" in syncline("topics", "list", *at).stdout
    syncline("produce", "news", "a", "b", *at)
    described = json.loads(syncline("topics", "describe", "news", *at, "--json").stdout)
    assert sum(part["end"] - part["start"] for part in described["partitions"]) == 2
    again = syncline("topics", "create", "news", *at)
    assert again.returncode == 1
    assert len(again.stderr.splitlines()) == 1
    assert syncline("topics", "delete", "news", *at).returncode == 0
    gone = syncline("topics", "describe", "news", *at)
    assert gone.stderr.startswith(b"syncline: topic news does not exist")


def test_what_is_produced_is_consumed_byte_for_byte(bootstrap: str) -> None:
    at = ("-b", bootstrap)
    given = "k1:텍스트\r\nk2:a:b\nk3:\n".encode()
    assert syncline("produce", "bytes", "--key-separator", ":", *at, given=given).returncode == 0
    read = ("consume", "bytes", "--from-beginning", "--max-messages", "3", *at)
    assert syncline(*read).stdout.decode() == "텍스트\na:b\n\n"
    assert syncline(*read, "--keys").stdout.decode() == "k1\t텍스트\nk2\ta:b\nk3\t\n"
    lines = [json.loads(line) for line in syncline(*read, "--json").stdout.splitlines()]
    assert [(line["offset"], line["key"], line["value"]) for line in lines] == [
        (0, "k1", "텍스트"),
        (1, "k2", "a:b"),
        (2, "k3", ""),
    ]


def test_a_record_without_its_separator_is_named(bootstrap: str) -> None:
    done = syncline("produce", "bytes2", "--key-separator", ":", "-b", bootstrap, given=b"a:b\nnothing\n")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"syncline: record 2 has no ':'")


def test_a_reader_that_has_enough_ends_the_command_quietly(bootstrap: str, tmp_path: Path) -> None:
    many = b"".join(b"%d\n" % number for number in range(20_000))
    assert syncline("produce", "many", "-b", bootstrap, given=many).returncode == 0
    command = [sys.executable, "-m", "syncline", "consume", "many", "--from-beginning", "-b", bootstrap]
    with (
        (tmp_path / "err").open("wb") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err) as reading,
    ):
        assert reading.stdout is not None
        assert reading.stdout.readline() == b"0\n"
        reading.stdout.close()
        assert reading.wait(30) == 0
    assert (tmp_path / "err").read_bytes() == b""
