"""Connector files of a standalone worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.cluster.files import ConnectorFile, read_connector
from syncline.errors import ConfigError
from syncline.worker.states import Target


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "connector"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("name=c\ntasks.max=1\n", id="properties"),
        pytest.param('{"name": "c", "tasks.max": 1}', id="flat JSON"),
        pytest.param('{"name": "c", "config": {"tasks.max": "1"}}', id="the body of a request"),
        pytest.param('\ufeff{"name": "c", "tasks.max": 1, "gone": null}', id="BOM and null"),
    ],
)
def test_three_ways_to_describe_a_connector(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    assert read_connector(file) == ConnectorFile("c", {"name": "c", "tasks.max": "1"}, None)


def test_numbers_keep_the_text_they_have(file: Path) -> None:
    file.write_text('{"name": "c", "a": 1.50, "b": 1e3, "c": true}')
    assert read_connector(file).config == {"name": "c", "a": "1.50", "b": "1e3", "c": "true"}


def test_a_file_may_ask_for_a_state(file: Path) -> None:
    file.write_text('{"name": "c", "config": {}, "initial_state": "paused"}')
    assert read_connector(file).target is Target.PAUSED


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"name": "c",}', "not JSON.*line 1, column"),
        ('{"tasks.max": "1"}', "'name' is missing"),
        ("tasks.max=1", "'name' is missing"),
        ('{"name": "c", "a": {}}', "the value of 'a' must be"),
        ('{"name": "c", "config": {}, "initial_state": "IDLE"}', "initial_state 'IDLE' is not one of RUNNING"),
    ],
)
def test_mistakes_are_named_with_the_file(file: Path, text: str, complaint: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as raised:
        read_connector(file)
    assert str(file) in str(raised.value)


def test_a_file_that_is_missing_or_no_text_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_connector(file)
    file.write_bytes(b"name=\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_connector(file)
