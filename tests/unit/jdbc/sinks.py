"""Builders for the sink's tests: configurations, schemas, records."""

from __future__ import annotations

from typing import Any

from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.data import Schema, SinkRecord, Type, primitive, struct
from syncline.options import load

INT = primitive(Type.INT32)
TEXT = primitive(Type.STRING)
MAYBE_INT = primitive(Type.INT32, optional=True)
MAYBE_TEXT = primitive(Type.STRING, optional=True)
PERSON = struct([("id", INT), ("name", MAYBE_TEXT), ("age", MAYBE_INT)])


def config(**options: str) -> SinkConfig:
    """A configuration; `pk_mode="kafka"` is `pk.mode=kafka`."""
    named = {name.replace("_", "."): value for name, value in options.items()}
    return load(SinkConfig, {"connection.url": "jdbc:sqlite::memory:", **named})


def person(number: int, name: str | None = None, age: int | None = None) -> Any:
    return PERSON.build({"id": number, "name": name, "age": age})


def record(
    value: Any = None,
    schema: Schema | None = None,
    *,
    key: Any = None,
    key_schema: Schema | None = None,
    offset: int = 0,
    topic: str = "people",
) -> SinkRecord:
    return SinkRecord(topic, 0, offset, key_schema, key, schema, value)


def people(*numbers: int, topic: str = "people") -> list[SinkRecord]:
    """Records with a value each, numbered by offset."""
    return [
        record(person(number, f"name {number}"), PERSON, offset=offset, topic=topic)
        for offset, number in enumerate(numbers)
    ]
