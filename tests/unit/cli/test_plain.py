"""`syncline broker` means the same with and without the command line's libraries."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from syncline import broker_app
from syncline.cli.main import main
from syncline.cli.plain import understood

PLAIN = [
    "",
    "server.properties",
    "--port 0 --data folder",
    "--port=9092 --host 0.0.0.0 server.properties",
    "--data=a=b --port 1 --port 2",
    "--override a=b --override=c=d=e --host=",
    "--add-scram SCRAM-SHA-256=[name=a,password=b]",
]
NOT_PLAIN = [
    "--help",
    "-h",
    "--prot 1",
    "--port",
    "--port x",
    "--port -1",
    "--port 65536",
    "--data --port 1",
    "--data=",
    "first second",
    "-S SCRAM-SHA-256=[name=a,password=b]",
    "-- server.properties",
]


@pytest.mark.parametrize("line", PLAIN)
def test_plain_arguments_are_understood_as_the_command_line_has_them(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    def noting(*arguments: Any) -> int:
        seen.append(arguments)
        return 0

    monkeypatch.setattr(broker_app, "run_broker", noting)
    monkeypatch.setattr(broker_app, "log_to_stderr", lambda: None)
    monkeypatch.setattr(sys, "argv", ["syncline", "broker", *line.split()])
    assert main() == 0
    given = understood(line.split())
    assert given is not None
    assert seen == [(given.config, given.data, given.port, given.host, given.overrides, given.users)]


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_what_is_not_plain_is_left_to_the_command_line(line: str) -> None:
    assert understood(line.split()) is None
