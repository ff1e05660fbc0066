"""What a record must have to be written, by pk.mode and delete.enabled (spec/jdbc.md 2.3). Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from syncline.connectors.jdbc.fields import PRIMITIVE
from syncline.connectors.jdbc.sink_config import SinkConfig
from syncline.data import Schema, SinkRecord, Type
from syncline.errors import ConnectError


class Demands:
    """Checks records for one connector."""

    def __init__(self, config: SinkConfig, connector: str) -> None:
        mode = config.pk_mode.lower()
        self._key = mode == "record_key" or config.deletes
        self._value = mode in ("none", "record_value") or not config.deletes
        self._who = f"Sink connector '{connector}' is configured with"
        self._so = f"'delete.enabled={str(config.deletes).lower()}' and 'pk.mode={mode}' and therefore requires records"
        options = (("fields.whitelist", config.whitelist), ("timestamp.fields.list", config.timestamp_fields))
        self._for_structs_only = [name for name, value in options if value]

    def check(self, record: SinkRecord) -> None:
        """ConnectError, in Confluent's words, when a record lacks what the configuration needs."""
        if self._value:
            self._check_value(record)
        if self._key:
            self._check_key(record)

    def _check_value(self, record: SinkRecord) -> None:
        schema = record.value_schema
        if record.value is None or schema is None or schema.type not in (Type.STRUCT, Type.STRING):
            raise ConnectError(
                f"{self._who} {self._so} with a non-null Struct or String value and non-null Struct or String schema, "
                f"but found record at {_place(record)} with a {_kind(record.value)} value and {_name(schema)} value "
                "schema."
            )
        if schema.type is Type.STRING and self._for_structs_only:
            raise ConnectError(
                f"{self._who} field-level options that are not applicable to String values: "
                f"{', '.join(self._for_structs_only)}; found record at {_place(record)}"
            )

    def _check_key(self, record: SinkRecord) -> None:
        schema = record.key_schema
        if record.key is None or schema is None or schema.type not in PRIMITIVE | {Type.STRUCT}:
            raise ConnectError(
                f"{self._who} {self._so} with a non-null key and non-null Struct or primitive key schema, but found "
                f"record at {_place(record)} with a {_kind(record.key)} key and {_name(schema)} key schema."
            )


def _place(record: SinkRecord) -> str:
    return (
        f"(topic='{record.kafka_topic}',partition={record.kafka_partition},offset={record.offset},"
        f"timestamp={record.timestamp})"
    )


def _kind(value: Any) -> str:
    return "null" if value is None else "Struct" if isinstance(value, msgspec.Struct) else type(value).__name__


def _name(schema: Schema | None) -> str:
    return "null" if schema is None else schema.type.value
