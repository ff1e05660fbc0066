"""What most transforms share: working on a record's key or on its value, with a schema or without.

A transform of this kind is written once and announced twice, as `Name$Key` and `Name$Value`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from syncline.api import Plugin, PluginKind, Transform
from syncline.data import Schema, SinkRecord, SourceRecord, Type, struct
from syncline.errors import DataError
from syncline.options import Importance, Kind, load, option

PACKAGE: Final = "org.apache.kafka.connect.transforms"
VERSION: Final = "4.1.0"

Record = SinkRecord | SourceRecord
R = TypeVar("R", SinkRecord, SourceRecord)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Side:
    """The key or the value of a record."""

    name: str
    schema: Callable[[Record], Schema | None]
    value: Callable[[Record], Any]

    def changed(self, record: R, schema: Schema | None, value: Any) -> R:
        """A copy of `record` with this side replaced."""
        return record.with_key(schema, value) if self.name == "Key" else record.with_value(schema, value)


KEY: Final = Side("Key", lambda record: record.key_schema, lambda record: record.key)
VALUE: Final = Side("Value", lambda record: record.value_schema, lambda record: record.value)


class NullPointer(DataError):
    """Where Java stumbles over null; shown under Java's name because recordings and tools know it."""

    java_class = "java.lang.NullPointerException"


class NotANumber(DataError):
    """A text that no number is spelt with."""

    java_class = "java.lang.NumberFormatException"


class BadSchema(DataError):
    """A schema that cannot be built."""

    java_class = "org.apache.kafka.connect.errors.SchemaBuilderException"


def replace_null_option() -> Any:
    """The option most transforms share, as a dataclass field."""
    return option(
        "replace.null.with.default",
        "Whether a null in a field that has a default counts as that default.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.MEDIUM,
    )


class SidedTransform(Transform[R], Generic[R, S]):
    """A transform of the key or the value; subclasses say what happens with and without a schema."""

    settings: ClassVar[Any]
    purpose: ClassVar[str]
    """What the transform does, for messages such as `Only Struct objects supported for [purpose]`."""
    passes_null: ClassVar[bool] = True
    """Whether a null key or value goes through unchanged; False gives the error of the type check."""

    config: S

    def __init__(self, side: Side) -> None:
        self.side = side
        self._schemas: WeakKeyDictionary[Schema, Schema] = WeakKeyDictionary()

    def configure(self, config: Mapping[str, str]) -> None:
        settings: S = load(self.settings, config)
        self.config = settings
        self.check()

    def check(self) -> None:
        """Rules between options; ConfigError names the bad one."""

    def apply(self, record: R) -> R | None:
        return self.apply_to_fields(record)

    def apply_to_fields(self, record: R) -> R | None:
        """What `apply` does where the transform works on the fields of a struct or map."""
        schema, value = self.side.schema(record), self.side.value(record)
        if value is None and self.passes_null:
            return record
        if schema is None:
            return self.side.changed(record, None, self.without_schema(record, self.map_of(value)))
        changed, new = self.with_schema(record, schema, self.struct_of(schema, value))
        return self.side.changed(record, changed, new)

    @abstractmethod
    def with_schema(self, record: R, schema: Schema, value: Any) -> tuple[Schema | None, Any]:
        """The new schema and value of a struct."""

    @abstractmethod
    def without_schema(self, record: R, value: Any) -> Any:
        """The new value of a map; `value` is not to be changed."""

    def struct_of(self, schema: Schema, value: Any) -> Any:
        """`value` if it is a struct; DataError otherwise."""
        if value is None or schema.type is not Type.STRUCT:
            raise DataError(f"Only Struct objects supported for [{self.purpose}], found: {java_name(value)}")
        return value

    def map_of(self, value: Any) -> Any:
        """`value` if it is a map; DataError otherwise."""
        if not isinstance(value, dict):
            raise DataError(
                f"Only Map objects supported in absence of schema for [{self.purpose}], found: {java_name(value)}"
            )
        return value

    def schema_for(self, schema: Schema, make: Callable[[Schema], Schema]) -> Schema:
        """`make(schema)`, remembered for as long as `schema` lives."""
        known = self._schemas.get(schema)
        if known is None:
            known = self._schemas[schema] = make(schema)
        return known


C = TypeVar("C", bound=type)


def both_sides(name: str) -> Callable[[C], C]:
    """Class decorator that announces a SidedTransform as `name$Key` and `name$Value`."""

    def mark(cls: C) -> C:
        made: Any = cls
        made.__syncline_plugins__ = tuple(
            Plugin(
                PluginKind.TRANSFORMATION,
                f"{PACKAGE}.{name}${side.name}",
                VERSION,
                partial(made, side),
                made.settings,
            )
            for side in (KEY, VALUE)
        )
        return cls

    return mark


def get(schema: Schema, value: Any, name: str, *, replace_null: bool = True) -> Any:
    """A struct's field; a null counts as the field's default if there is one and `replace_null` says so."""
    field = schema.field(name)
    if field is None:
        raise DataError(f"{name} is not a valid field name")
    found = getattr(value, field.attribute)
    return field.schema.default if found is None and replace_null else found


def rebuilt(schema: Schema, fields: list[tuple[str, Schema]], **changes: Any) -> Schema:
    """A struct schema with the basics of `schema` (name, version, doc, parameters) and other fields.

    A name given twice is refused, in the words Java has for it.
    """
    basics: dict[str, Any] = {
        "name": schema.name,
        "version": schema.version,
        "doc": schema.doc,
        "parameters": schema.parameters,
        **changes,
    }
    try:
        return struct(fields, **basics)
    except DataError as exc:
        raise BadSchema(str(exc)) from None


def build(schema: Schema, values: Mapping[str, Any]) -> msgspec.Struct:
    """A struct of `schema`; every field is given, so that none falls back to its default."""
    return schema.struct_class(**{field.attribute: values.get(field.name) for field in schema.fields})


def java_name(value: Any) -> str:
    """The Java class of a value, as error texts show it."""
    for kind, name in _JAVA_NAMES:
        if isinstance(value, kind):
            return name
    return "null" if value is None else type(value).__name__


_JAVA_NAMES: Final[tuple[tuple[type[Any], str], ...]] = (
    (bool, "java.lang.Boolean"),
    (int, "java.lang.Long"),
    (float, "java.lang.Double"),
    (str, "java.lang.String"),
    (bytes, "[B"),
    (dict, "java.util.HashMap"),
    (list, "java.util.ArrayList"),
    (msgspec.Struct, "org.apache.kafka.connect.data.Struct"),
)
