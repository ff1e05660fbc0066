"""Events: plain JSON records with headers that say what they are, for topics that services read.

{"orderId": "...", "productId": "CATALOG-0001", "quantity": 10}
event_id: 7d4...   event_type: OrderPlaced   schema_version: 1   occurred_at: 2026-01-01T00:00:00.000Z
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, TypeVar

import msgspec

from syncline.errors import DataError
from syncline.kafka.ports import KafkaRecord
from syncline.kit.messages.topics import check_name

E = TypeVar("E", bound=msgspec.Struct)

Headers = dict[str, str]

EVENT_ID: Final = "event_id"
TRACEPARENT: Final = "traceparent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTopic(Generic[E]):
    """A topic of JSON events of one kind, keyed by plain text."""

    name: str
    value: type[E]
    """Unknown members are ignored, so that a producer may add some."""
    key: Callable[[E], str]
    """Events with the same key keep their order."""
    identity: Callable[[E], str | None]
    """What tells an event from others when it carries no header `event_id`."""
    event_type: str
    schema_version: int = 1
    partitions: int = 1
    """With which it is created where it does not exist."""
    upcast: Callable[[object], object] = field(default=lambda body: body)
    """Turns the parsed JSON of older producers into today's shape; DataError when it cannot."""

    def __post_init__(self) -> None:
        check_name(self.name)

    def encode(self, event: E) -> tuple[bytes, bytes]:
        """Key and value as they stand in the topic; members that are None are left out."""
        return self.key(event).encode(), msgspec.json.encode(event)

    def decode(self, value: bytes | None) -> E:
        """The event in a record's value; DataError says what is wrong with it."""
        if not value:
            raise DataError(f"an empty record is no {self.event_type}")
        try:
            return msgspec.convert(self.upcast(msgspec.json.decode(value)), self.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise DataError(f"this is no {self.event_type}: {exc}") from exc

    def headers(self, occurred_at: datetime, *, event_id: str = "", trace_id: str | None = None) -> Headers:
        """What goes with an event; `trace_id` is that of the request that caused it."""
        found = {
            EVENT_ID: event_id or str(uuid.uuid4()),
            "event_type": self.event_type,
            "schema_version": str(self.schema_version),
            "occurred_at": occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if trace_id is not None:
            found[TRACEPARENT] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(Generic[E]):
    """An event as a handler gets it."""

    value: E
    event_id: str
    """From the header, else the event's own identity, else `topic-partition-offset`."""
    record: KafkaRecord

    @property
    def trace_id(self) -> str | None:
        """Of the request that caused the event (W3C `traceparent`); None when no header tells."""
        parts = header(self.record, TRACEPARENT).split("-")
        return parts[1] if len(parts) == 4 else None

    @classmethod
    def of(cls, topic: EventTopic[E], record: KafkaRecord) -> Received[E]:
        """What `record` says; DataError when it is no event of `topic`."""
        value = topic.decode(record.value)
        place = f"{record.topic}-{record.partition}-{record.offset}"
        return cls(
            value=value,
            event_id=header(record, EVENT_ID) or topic.identity(value) or place,
            record=record,
        )


def header(record: KafkaRecord, name: str) -> str:
    """The last header of that name as text; empty when there is none."""
    values = [value for key, value in record.headers or () if key == name and value]
    return values[-1].decode("utf-8", "backslashreplace") if values else ""
