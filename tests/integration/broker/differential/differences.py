"""Where the broker's answers differ from Apache Kafka's by intention, each with its reason: the only such list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Found:
    """One place where two notes differ; `path` is like `3/topics/0/error_code`."""

    path: str
    kafka: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.path}: Kafka says {self.kafka!r}, we say {self.ours!r}"


@dataclass(frozen=True, slots=True)
class Difference:
    """What may differ: regular expressions for the conversation's name and the whole path."""

    conversation: str
    path: str
    reason: str

    def covers(self, name: str, found: Found) -> bool:
        return bool(re.fullmatch(self.conversation, name) and re.fullmatch(self.path, found.path, re.DOTALL))


ABSENT = "29|3[0-1]|34|3[8-9]|4[0-1]|45|49|55|64|7[6-9]|8[0-7]|9[0-2]"
"""APIs of ACLs, delegation tokens, replicas, quotas, the quorum and share groups."""
PRODUCE = "produce.*|a topic compressed.*"

BY_INTENTION: tuple[Difference, ...] = (
    Difference("api versions v.", f"1/1/({ABSENT})", "one node without these has no use for their APIs"),
    Difference(
        PRODUCE,
        "[0-9]+/1/responses/.*/error_message",
        "Kafka keeps silent about why it refuses most batches; whoever wrote the client wants to know",
    ),
    Difference(
        "produce a (negative|wrong newest) time",
        ".*/times/1",
        "Kafka corrects a batch's newest time; here its bytes and checksum stay the client's",
    ),
    Difference(
        "create with (three|too many) replicas",
        ".*",
        "what is written for production asks for three: one replica is kept, and the log says so",
    ),
    Difference("create names that collide", "4/1/1", "Kafka overlooks names that collide within one request"),
    Difference("metadata by name v[0-3]", "1/1/topics/0/.*", "a topic is made before the answer, not after it"),
    Difference("settings of a group", "0/1/results/0/configs", "share and streams groups are not served"),
    Difference("change the brokers: a dynamic setting", ".*/synonyms", "the hours count only where they were given"),
    Difference(
        "change the brokers: the node's id",
        ".*/configs",
        "no setting here: the id of the only node is 1",
    ),
    Difference("change the brokers: a listener's", ".*", "TLS is set up when the broker starts"),
    Difference("the broker's ssl.key.password", ".*/read_only", "TLS is set up when the broker starts"),
)


def differences(kafka: Any, ours: Any, path: str = "") -> Iterator[Found]:
    """Every place where two notes differ."""
    if isinstance(kafka, dict) and isinstance(ours, dict):
        for key in [*kafka, *(key for key in ours if key not in kafka)]:
            yield from differences(kafka.get(key, "-"), ours.get(key, "-"), f"{path}/{key}".lstrip("/"))
    elif isinstance(kafka, list) and isinstance(ours, list) and len(kafka) == len(ours):
        for number, (one, other) in enumerate(zip(kafka, ours, strict=True)):
            yield from differences(one, other, f"{path}/{number}".lstrip("/"))
    elif kafka != ours:
        yield Found(path, kafka, ours)
