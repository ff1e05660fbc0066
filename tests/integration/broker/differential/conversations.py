"""All conversations, and what Apache Kafka said in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.broker.differential import about_configs, about_offsets, about_records, about_topics
from tests.integration.broker.differential.talk import CONVERSATIONS, held

RECORDED = Path(__file__).with_name("as_kafka.json")

__all__ = [
    "CONVERSATIONS",
    "RECORDED",
    "about_configs",
    "about_offsets",
    "about_records",
    "about_topics",
    "held",
    "load",
    "save",
]


def load() -> dict[str, list[Any]]:
    notes: dict[str, list[Any]] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return notes


def save(notes: Mapping[str, Any]) -> None:
    """A line for each conversation, in their order."""
    lines = (f"{json.dumps(name)}: {json.dumps(notes[name])}" for name in CONVERSATIONS if name in notes)
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
