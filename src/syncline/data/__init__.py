"""What a record is: schemas, structs, logical types, records. Pure; no I/O."""

from syncline.data.logical import (
    DATE,
    DECIMAL,
    TIME,
    TIMESTAMP,
    date_schema,
    decimal_schema,
    time_schema,
    timestamp_schema,
)
from syncline.data.record import Header, SinkRecord, SourceRecord, TimestampType
from syncline.data.schema import Field, Schema, SchemaAndValue, Type, array, map_of, primitive, struct

__all__ = [
    "DATE",
    "DECIMAL",
    "TIME",
    "TIMESTAMP",
    "Field",
    "Header",
    "Schema",
    "SchemaAndValue",
    "SinkRecord",
    "SourceRecord",
    "TimestampType",
    "Type",
    "array",
    "date_schema",
    "decimal_schema",
    "map_of",
    "primitive",
    "struct",
    "time_schema",
    "timestamp_schema",
]
