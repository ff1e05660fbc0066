"""What services put on topics: declared records, declared topics, confirmed deliveries."""

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
from syncline.kit.messages.producer import Delivery, Producer
from syncline.kit.messages.topics import ConnectKey, Topic

__all__ = [
    "ConnectKey",
    "ConnectRecord",
    "Date",
    "Delivery",
    "Doc",
    "Float32",
    "Float64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Key",
    "MaxLen",
    "Producer",
    "Scale",
    "Time",
    "Timestamp",
    "Topic",
]
