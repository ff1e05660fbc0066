"""Makes docs/differences.md from differences.toml: `python -m tests.golden.differences_page`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.golden.support import FILES, Row, load, rows

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "differences.md"

HEAD: Final = """\
# Where Syncline differs from Kafka Connect on purpose

Syncline is held against recordings of Apache Kafka Connect 4.1.0 and the JDBC connectors 10.10.0. Every
recorded case must come out the same, or stand in this list. A difference is made where the JVM software
loses or alters data in silence, hangs, or fails for no good reason; never where a client, a stored offset
or existing data depends on what it does. `make golden` counts how many cases hold.

This page is made from `tests/golden/differences.toml`; change that, then run
`python -m tests.golden.differences_page`.
"""

BROKER: Final = """\
## The embedded broker

It is held against recordings of Apache Kafka 4.1.0; the answers that differ, each with its reason, are listed in
`tests/integration/broker/differential/differences.py`. This is what no answer shows:

- **Some defaults are those of a laptop: `group.initial.rebalance.delay.ms=0`, `fetch.max.bytes` 4 MiB,
  `offsets.topic.num.partitions=1`; `__transaction_state` has one partition, whatever its keys say, and
  `__consumer_offsets` is there from the start.**
  Apache Kafka: 3 s, 55 MiB, 50 partitions each, made when they are first needed.

- **A topic of three replicas is made with one, and the log says so.**
  Apache Kafka: a single node refuses it.

- **Access control lists, quotas, delegation tokens, share and streams groups, moving partitions and the quorum's APIs
  are not served; clients learn that from ApiVersions. `node.id` is 1.**
  Apache Kafka: they are there, though one node has little use for them.

- **A regular expression of a subscription is Python's. What RE2 has not (looking around, back references, possessive
  repeats), and what both have and mean differently (`[[:alpha:]]`), is refused. One that takes long holds everybody
  up.**
  Apache Kafka: RE2, whose time is bounded.

- **Key and trust stores are PEM; SASL is PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.**
  Apache Kafka: also JKS, PKCS12, Kerberos and OAuth.

- **A deleted topic, and a segment that retention or compaction removes, is gone at once.**
  Apache Kafka: its files stay for `file.delete.delay.ms`.

- **A data folder of Apache Kafka's is refused, although segments are the same.** What is written about them is not, and
  every batch of this broker has the leader epoch 0: to go on with another's topics, copy the records.

- **A compressed batch that comes to more than 32 MiB, or than `max.message.bytes` where that is more, is refused
  with `MESSAGE_TOO_LARGE`.**
  Apache Kafka: it is taken, however large; here it would be in memory as a whole.

- **Of one batch at most 10,000 records are refused one by one.**
  Apache Kafka: all that are wrong are named in the answer.

- **What was appended is made durable once a second (`flush.interval.ms`) for all topics, and `flush.ms` is not
  looked at; `flush.messages` is. `flush=always` does it before each acknowledgement, `flush=never` leaves it to the
  operating system.**
  Apache Kafka: by default never, since replicas are there; `flush.ms` counts where
  `log.flush.scheduler.interval.ms` is set.
"""

TITLES: Final = {
    "json_converter.json": "JsonConverter",
    "simple_header_converter.json": "SimpleHeaderConverter",
    "transforms.json": "Transforms and predicates",
    "source.json": "JDBC source connector",
    "sink.json": "JDBC sink connector",
    "rest.json": "REST interface",
    "validate.json": "Validation of configurations",
    "internal_topics.json": "Internal topics",
}


def page() -> str:
    """The whole page."""
    sections = [HEAD]
    for file in FILES:
        listed = [row for row in rows("differences") if row.file == file]
        if listed:
            sections.append(f"## {TITLES[file]}\n")
            sections += [_entry(row) for row in listed]
    sections.append(BROKER)
    return "\n".join(sections)


def _entry(row: Row) -> str:
    covered = [case.id for case in load(row.file) if row.covers(case.id, case.group)]
    ids = ", ".join(f"`{case_id}`" for case_id in covered)
    lines = [
        f"- **{_sentence(row.instead)}**",
        f"  Kafka Connect: {row.why}.",
        f"  As Kafka Connect, exactly, with `{row.holds_with}`." if row.holds_with else "",
        f"  Cases: {ids}",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
