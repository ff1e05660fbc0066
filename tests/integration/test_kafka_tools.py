"""Kafka's tools against recordings of Apache Kafka 4.1's own ones, on the same broker and in the same order.

A line that the real tool printed must be printed, blanks and tabs included. The order of lines that stand in no order
(Java prints topics and partitions as a hash map has them), ids and the rest of Java's traces are left out.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from syncline.broker import BrokerThread
from syncline.cli.main import main

RECORDED: Final[Mapping[str, list[dict[str, Any]]]] = json.loads(
    Path(__file__).with_name("kafka_tools.json").read_text(encoding="utf-8")
)
JAVAS: Final = re.compile(r"(java\.util|joptsimple|org\.apache\.kafka\.common\.errors)\.|Error while executing config")
FILES: Final = {
    "reset.csv": "gt,0,1\ngt,1,0\n",
    "add.properties": "retention.bytes=7\nsegment.bytes=2000000\n",
}
OTHERWISE: Final[Mapping[str, str]] = {
    "kafka-topics --create --topic z --replication-factor 3": "the broker may refuse it",
    "kafka-topics --list": "the message is the same, after a Java trace",
    "kafka-configs --describe --entity-type groups --entity-name g": "Java asks for more than is needed",
    "kafka-consumer-groups": "--validate-regex is not there",
    "kafka-consumer-groups --list --describe": "the flags are looked at in another order",
    "kafka-consumer-groups --describe --group g1 --offsets --verbose": "the client library tells no epochs",
    "kafka-consumer-groups --delete --group g1": "a group is gone with its last offset",
    "kafka-console-consumer --topic __consumer_offsets --from-beginning --max-messages 2 --formatter "
    "org.apache.kafka.tools.consumer.OffsetsMessageFormatter": "that formatter is not there",
    "kafka-console-consumer --topic ev2 --from-beginning --max-messages 1 --formatter-property print.key=true "
    "--isolation-level read_committed --skip-message-on-error": "the flag is known from Kafka 4.2 on",
}
"""Command lines, without the address, whose output differs on purpose, and why."""
NOT_RUN: Final = "--broker-list"
"""Refused by Kafka 4 and accepted here, as in every tutorial before it."""
VOLATILE: Final = (
    (re.compile(r"TopicId: \S+"), "TopicId: ID"),
    # The client library does not ask for eligible leaders, of which one node has none.
    (re.compile(r"(Elr: )N/A"), r"\1"),
    (re.compile(r"127\.0\.0\.1:\d+"), "BS"),
    (re.compile(r"<files>/|/\S*/(?=reset\.csv|add\.properties)"), ""),
)
CONFIGS: Final = re.compile(r"(\tConfigs: )(.+)")
SETTING: Final = re.compile(r",(?=[a-z.]+=)")
"""Between two settings of a line; Java has them in the order of a hash map too."""


@pytest.fixture(autouse=True)
def levels_as_before() -> Iterator[None]:
    """The tools, which run in this process here, quieten loggers for good."""
    loggers = [logging.getLogger(f"syncline.kafka.{name}") for name in ("client", "config")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="module", params=list(RECORDED))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    folder = tmp_path_factory.mktemp("tools")
    for name, content in FILES.items():
        (folder / name).write_text(content)
    with BrokerThread(folder / "broker") as broker:
        yield request.param, broker.bootstrap_servers, folder


def test_the_tools_answer_as_kafkas_own(
    site: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name, bootstrap, folder = site
    different: list[str] = []
    for step in RECORDED[name]:
        if NOT_RUN in step["args"]:
            continue
        given = [part.replace("<files>", str(folder)) for part in step["args"]]
        monkeypatch.setattr(sys, "argv", ["syncline", *(bootstrap if part == "BS" else part for part in given)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((step.get("stdin") or "").encode())))
        status = main()
        out, err = map(lines, capfd.readouterr())
        command = " ".join(step["args"])
        if command.replace(" --bootstrap-server BS", "") in OTHERWISE:
            continue
        if status != step["code"]:
            different.append(f"{command}: status {status}, recorded {step['code']}: {err}")
        recorded = lines(step["stdout"])
        if sorted(recorded) != sorted(out):
            different.append(f"{command}: printed {out}, recorded {recorded}")
        for line in lines(step["stderr"]):
            # Ours may add a hint.
            if not JAVAS.match(line) and not any(ours.startswith(line) for ours in err):
                different.append(f"{command}: did not say {line!r}, but {err}")
    assert not different, "\n".join(different)


def lines(text: str) -> list[str]:
    for pattern, instead in VOLATILE:
        text = pattern.sub(instead, text)
    return CONFIGS.sub(lambda found: found[1] + ",".join(sorted(SETTING.split(found[2]))), text).splitlines()
