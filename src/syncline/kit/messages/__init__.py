"""What services put on topics and hear from them: declared records and events, deliveries, listeners."""

from syncline.errors import DataError
from syncline.kit.messages.envelope import (
    ConnectRecord,
    Date,
    Doc,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Key,
    MaxLen,
    Scale,
    Time,
    Timestamp,
)
from syncline.kit.messages.events import EventTopic, Headers, Received
from syncline.kit.messages.inbox import Inbox, InboxTables, inbox_tables, stored_id
from syncline.kit.messages.listener import Listener, Listens
from syncline.kit.messages.outbox import Outbox, outbox_table
from syncline.kit.messages.producer import Delivery, Producer
from syncline.kit.messages.provision import TopicCheck
from syncline.kit.messages.relay import Relay
from syncline.kit.messages.retry import Backoff
from syncline.kit.messages.topics import ConnectKey, Topic
from syncline.kit.messages.transactions import Records, TransactionalProducer

__all__ = [
    "Backoff",
    "ConnectKey",
    "ConnectRecord",
    "DataError",
    "Date",
    "Delivery",
    "Doc",
    "EventTopic",
    "Float32",
    "Float64",
    "Headers",
    "Inbox",
    "InboxTables",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Key",
    "Listener",
    "Listens",
    "MaxLen",
    "Outbox",
    "Producer",
    "Received",
    "Records",
    "Relay",
    "Scale",
    "Time",
    "Timestamp",
    "Topic",
    "TopicCheck",
    "TransactionalProducer",
    "inbox_tables",
    "outbox_table",
    "stored_id",
]
