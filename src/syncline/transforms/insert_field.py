"""InsertField: put the record's coordinates or a constant into the key or value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syncline.data import Schema, SinkRecord, Type, primitive, timestamp_schema
from syncline.errors import ConfigError, DataError
from syncline.options import Importance, option
from syncline.transforms.sides import (
    R,
    Record,
    SidedTransform,
    both_sides,
    build,
    get,
    rebuilt,
    replace_null_option,
)


def _field(name: str, what: str) -> Any:
    doc = f"Field for {what}. A `!` at the end makes it required, `?` or nothing optional."
    return option(name, doc, default=None, importance=Importance.MEDIUM)


@dataclass(frozen=True, kw_only=True)
class InsertFieldConfig:
    topic: str | None = _field("topic.field", "the topic")
    partition: str | None = _field("partition.field", "the partition")
    offset: str | None = _field("offset.field", "the offset; sinks only")
    timestamp: str | None = _field("timestamp.field", "the timestamp")
    static_field: str | None = _field("static.field", "a constant")
    static_value: str | None = option("static.value", "The constant.", default=None, importance=Importance.MEDIUM)
    replace_null: bool = replace_null_option()


@dataclass(frozen=True, slots=True)
class Insertion:
    """One field to add."""

    name: str
    optional: bool
    schema: Callable[[bool], Schema]
    """From optional to the field's schema."""
    value: Callable[[Record], Any]


def _offset(record: Record) -> int:
    if not isinstance(record, SinkRecord):
        raise DataError(
            "Only SinkRecord supported for [field insertion], found: org.apache.kafka.connect.source.SourceRecord"
        )
    return record.offset


@both_sides("InsertField")
class InsertField(SidedTransform[R, InsertFieldConfig]):
    """The new schema keeps name, version, doc and parameters, and loses optional and default."""

    settings = InsertFieldConfig
    purpose = "field insertion"

    def check(self) -> None:
        config = self.config
        if config.static_field is not None and config.static_value is None:
            raise ConfigError({"static.value": ["No value specified for static field: " + config.static_field]})
        string = lambda optional: primitive(Type.STRING, optional=optional)  # noqa: E731
        wanted: list[tuple[str | None, Callable[[bool], Schema], Callable[[Record], Any]]] = [
            (config.topic, string, lambda record: record.topic),
            (config.partition, lambda o: primitive(Type.INT32, optional=o), lambda record: record.partition),
            (config.offset, lambda o: primitive(Type.INT64, optional=o), _offset),
            (config.timestamp, lambda o: timestamp_schema(optional=o), lambda record: record.timestamp),
            (config.static_field, string, lambda record: config.static_value),
        ]
        self._insertions = [
            Insertion(name.removesuffix("!").removesuffix("?"), not name.endswith("!"), schema, value)
            for name, schema, value in wanted
            if name is not None
        ]
        if not self._insertions:
            raise ConfigError("No field insertion configured")

    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        wider = self.schema_for(schema, self._wider)
        values = {
            field.name: get(schema, value, field.name, replace_null=self.config.replace_null) for field in schema.fields
        }
        for insertion in self._insertions:
            values[insertion.name] = insertion.value(record)
        return wider, build(wider, values)

    def _wider(self, schema: Schema) -> Schema:
        kept = [(field.name, field.schema) for field in schema.fields]
        return rebuilt(schema, kept + [(i.name, i.schema(i.optional)) for i in self._insertions])

    def without_schema(self, record: R, value: Any) -> Any:
        added = {insertion.name: insertion.value(record) for insertion in self._insertions}
        return {**value, **{name: found for name, found in added.items() if found is not None}}
