"""Records as connectors see them: slotted, immutable, made once; `with_...` copies with a change."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from syncline.data.schema import Schema


class TimestampType(StrEnum):
    """Who set a record's timestamp; printed as Kafka prints it."""

    NO_TIMESTAMP_TYPE = "NoTimestampType"
    CREATE_TIME = "CreateTime"
    LOG_APPEND_TIME = "LogAppendTime"


class Header(NamedTuple):
    """One header; keys may repeat and order counts."""

    key: str
    schema: Schema | None
    value: Any


NO_HEADERS: Final[tuple[Header, ...]] = ()


class SinkRecord(msgspec.Struct, frozen=True, gc=False):
    """A record read from Kafka, converted, on its way to a sink task.

    Records are not followed by the garbage collector: they refer to values and schemas, which never refer back.

    The `original_*` coordinates are those in Kafka, before any transform renamed the topic; offsets
    are committed and dead letters written by them.
    """

    topic: str
    partition: int
    offset: int
    key_schema: Schema | None
    key: Any
    value_schema: Schema | None
    value: Any
    timestamp: int | None = None
    """Milliseconds since the epoch."""
    timestamp_type: TimestampType = TimestampType.NO_TIMESTAMP_TYPE
    headers: tuple[Header, ...] = NO_HEADERS
    original_topic: str = ""
    original_partition: int = -1

    @property
    def kafka_topic(self) -> str:
        """The topic in Kafka."""
        return self.original_topic or self.topic

    @property
    def kafka_partition(self) -> int:
        """The partition in Kafka."""
        return self.original_partition if self.original_topic else self.partition

    def with_topic(self, topic: str) -> SinkRecord:
        """A copy for another topic that remembers where it came from."""
        return msgspec.structs.replace(
            self, topic=topic, original_topic=self.kafka_topic, original_partition=self.kafka_partition
        )

    def with_key(self, schema: Schema | None, key: Any) -> SinkRecord:
        """A copy with another key."""
        return msgspec.structs.replace(self, key_schema=schema, key=key)

    def with_value(self, schema: Schema | None, value: Any) -> SinkRecord:
        """A copy with another value."""
        return msgspec.structs.replace(self, value_schema=schema, value=value)

    def with_headers(self, headers: tuple[Header, ...]) -> SinkRecord:
        """A copy with other headers."""
        return msgspec.structs.replace(self, headers=headers)


class SourceRecord(msgspec.Struct, frozen=True, gc=False):
    """A record a source task produced, before conversion; not followed by the garbage collector either.

    `source_partition` and `source_offset` are flat maps of strings to str, int, float, bool or None;
    the offset says where to go on after this record. None as `source_offset` is legal (bulk mode).
    """

    source_partition: Mapping[str, Any] | None
    source_offset: Mapping[str, Any] | None
    topic: str
    value_schema: Schema | None
    value: Any
    key_schema: Schema | None = None
    key: Any = None
    partition: int | None = None
    """None lets the producer's partitioner choose."""
    timestamp: int | None = None
    """Milliseconds since the epoch; None for the producer's clock."""
    headers: tuple[Header, ...] = NO_HEADERS

    def with_topic(self, topic: str) -> SourceRecord:
        """A copy for another topic."""
        return msgspec.structs.replace(self, topic=topic)

    def with_key(self, schema: Schema | None, key: Any) -> SourceRecord:
        """A copy with another key."""
        return msgspec.structs.replace(self, key_schema=schema, key=key)

    def with_value(self, schema: Schema | None, value: Any) -> SourceRecord:
        """A copy with another value."""
        return msgspec.structs.replace(self, value_schema=schema, value=value)

    def with_headers(self, headers: tuple[Header, ...]) -> SourceRecord:
        """A copy with other headers."""
        return msgspec.structs.replace(self, headers=headers)
