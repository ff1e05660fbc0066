"""Holds all conversations with a fresh Apache Kafka and writes down what it said:

    python -m tests.integration.broker.differential.record 127.0.0.1:19092

(`real-kafka up` or any other single node that was just started, with auto.create.topics.enable.) With names behind the
address only those conversations are held again.
"""

from __future__ import annotations

import sys
import time

from tests.integration.broker.differential.conversations import CONVERSATIONS, held, load, save
from tests.integration.broker.differential.talk import (
    DELETE_GROUPS,
    DELETE_TOPICS,
    FIND_COORDINATOR,
    LIST_GROUPS,
    METADATA,
    OFFSET_FETCH,
    Talk,
)
from tests.integration.broker.raw import RawClient

SETTLE_S = 0.15
"""How long Apache Kafka may take to show a change that it has answered."""


def main(bootstrap: str, *names: str) -> None:
    notes = load() if names else {}
    _warm_up(bootstrap)
    for name in names or CONVERSATIONS:
        print(name, file=sys.stderr)
        if names:
            _clear(bootstrap, Talk(bootstrap, name).prefix)
        notes[name] = held(bootstrap, name, SETTLE_S)
        save(notes)


def _warm_up(bootstrap: str) -> None:
    """Have the internal topics made, which Apache Kafka does when they are first asked for."""
    with RawClient(bootstrap) as client:
        for kind in (0, 1):
            while int(client.ask(FIND_COORDINATOR, 2, key_type=kind, key="warm-up").error_code) != 0:
                time.sleep(SETTLE_S)
        asked = [{"group_id": "warm-up", "topics": None, "member_id": None, "member_epoch": -1}]
        while int(client.ask(OFFSET_FETCH, 9, groups=asked, require_stable=True).groups[0].error_code) != 0:
            time.sleep(SETTLE_S)


def _clear(bootstrap: str, prefix: str) -> None:
    """Remove what an earlier conversation of the same name left."""
    with RawClient(bootstrap) as client:
        groups = [g.group_id for g in client.ask(LIST_GROUPS, 0).groups if g.group_id.startswith(prefix)]
        client.ask(DELETE_GROUPS, 0, groups_names=groups)
        topics = [t.name for t in client.ask(METADATA, 0, topics=[]).topics if t.name.startswith(prefix)]
        client.ask(DELETE_TOPICS, 1, topic_names=topics, timeout=10_000)
    time.sleep(SETTLE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
