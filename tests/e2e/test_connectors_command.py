"""`syncline connectors` against a running worker: a connector's life from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import WorkerProgram
from tests.servers import wait_for


@pytest.fixture
def connectors(worker: WorkerProgram) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs one of the sub-commands against the worker."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "syncline", "connectors", *arguments, "--url", worker.url]
        return subprocess.run(command, capture_output=True, text=True)

    return run


@pytest.fixture
def body(tmp_path: Path, topic: str) -> dict[str, Any]:
    """A sink as the tutorials register it, into an SQLite file."""
    config = {
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector",
        "topics": topic,
        "connection.url": f"jdbc:sqlite:{tmp_path / 'x.db'}",
        "auto.create": "true",
    }
    return {"name": topic, "config": config}


def test_a_connectors_life(
    connectors: Callable[..., subprocess.CompletedProcess[str]], body: dict[str, Any], tmp_path: Path
) -> None:
    name = body["name"]
    file = tmp_path / "sink.json"
    file.write_text(json.dumps(body))
    made = connectors("create", str(file))
    assert (made.returncode, made.stdout) == (0, f"connector {name} created\n"), made.stderr
    again = connectors("create", str(file))
    assert again.returncode == 1
    assert len(again.stderr.splitlines()) == 1

    def is_in(state: str) -> Callable[[], bool]:
        def check() -> bool:
            status = json.loads(connectors("status", name, "--json").stdout)
            return [status["connector"]["state"], *(task["state"] for task in status["tasks"])] == [state, state]

        return check

    wait_for(is_in("RUNNING"), "the connector runs")
    assert name in connectors("list").stdout
    assert json.loads(connectors("list", "--json").stdout)[name]["type"] == "sink"
    assert connectors("pause", name).returncode == 0
    wait_for(is_in("PAUSED"), "the connector pauses")
    assert connectors("resume", name).returncode == 0
    wait_for(is_in("RUNNING"), "the connector resumes")
    assert connectors("restart", name).returncode == 0
    wait_for(is_in("RUNNING"), "the connector runs again")
    assert "RUNNING" in connectors("status", name).stdout
    assert connectors("delete", name).returncode == 0
    gone = connectors("status", name)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert name in gone.stderr


def test_a_configuration_that_cannot_work_is_refused_with_its_faults(
    connectors: Callable[..., subprocess.CompletedProcess[str]], body: dict[str, Any], tmp_path: Path
) -> None:
    del body["config"]["connection.url"]
    file = tmp_path / "sink.json"
    file.write_text(json.dumps(body))
    refused = connectors("create", str(file))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "connection.url" in refused.stderr


def test_a_file_that_cannot_be_read_is_named(connectors: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    refused = connectors("create", "/no/such/file.json")
    assert refused.returncode == 1
    assert "/no/such/file.json" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
