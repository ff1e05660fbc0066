"""Schemas: immutable and interned, so that "the same schema" is `is`.

A value described by a schema is held in Python as follows (spec/connect.md 6.1):

    INT8 .. INT64            int                    BOOLEAN   bool
    FLOAT32, FLOAT64         float                  STRING    str
    BYTES                    bytes                  ARRAY     list
    MAP                      dict                   STRUCT    an instance of `schema.struct_class`
    Decimal (on BYTES)       decimal.Decimal, of any scale
    Date (on INT32)          int, days since 1970-01-01
    Time (on INT32)          int, milliseconds of the day
    Timestamp (on INT64)     int, milliseconds since 1970-01-01T00:00Z

Dates and times stay integers because Java's range is wider than Python's and most records only pass
through. Without a schema (None), values are dict, list, str, int, float, bool, bytes, Decimal, None.
"""

from __future__ import annotations

import keyword
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, final
from weakref import WeakValueDictionary

import msgspec

from syncline.errors import DataError

StructClass = type[msgspec.Struct]


class Type(StrEnum):
    """The kinds of values, named as Kafka Connect names them."""

    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FLOAT32 = "FLOAT32"
    FLOAT64 = "FLOAT64"
    BOOLEAN = "BOOLEAN"
    STRING = "STRING"
    BYTES = "BYTES"
    ARRAY = "ARRAY"
    MAP = "MAP"
    STRUCT = "STRUCT"


DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
DATE: Final = "org.apache.kafka.connect.data.Date"
TIME: Final = "org.apache.kafka.connect.data.Time"
TIMESTAMP: Final = "org.apache.kafka.connect.data.Timestamp"

DAY_MS: Final = 86_400_000

INTEGER_BITS: Final[Mapping[Type, int]] = {Type.INT8: 8, Type.INT16: 16, Type.INT32: 32, Type.INT64: 64}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct schema."""

    name: str
    """The field's name as users see it."""
    index: int
    """Position in the struct, from 0."""
    schema: Schema
    attribute: str
    """The attribute of `struct_class` with the value; differs from `name` where that is no identifier."""


class SchemaAndValue(NamedTuple):
    """A value with the schema that describes it; schema None means schemaless."""

    schema: Schema | None
    value: Any


@final
class Schema:
    """A schema; make one with `primitive`, `array`, `map_of`, `struct` or a logical type's function.

    Equal schemas are the same object for as long as anybody holds one, whatever thread made it.
    `default` None means no default, as in Java. `parameters` keep their order and are part of identity.
    """

    __slots__ = (
        "__weakref__",
        "_by_name",
        "_struct_class",
        "default",
        "doc",
        "fields",
        "key_schema",
        "name",
        "optional",
        "parameters",
        "type",
        "value_schema",
        "version",
    )

    type: Type
    optional: bool
    default: Any
    name: str | None
    version: int | None
    doc: str | None
    parameters: Mapping[str, str]
    key_schema: Schema | None
    """Of a MAP's keys."""
    value_schema: Schema | None
    """Of a MAP's values or an ARRAY's elements."""
    fields: tuple[Field, ...]
    """Of a STRUCT, in order; empty otherwise."""
    _by_name: dict[str, Field]
    _struct_class: StructClass | None

    def __init__(self) -> None:
        raise TypeError("use primitive(), array(), map_of() or struct() to make a schema")

    def field(self, name: str) -> Field | None:
        """The field called `name`, or None."""
        return self._by_name.get(name)

    @property
    def struct_class(self) -> StructClass:
        """The generated class whose instances are this STRUCT's values.

        Fields are keyword-only, renamed to the schema's names for JSON (see `is_json_name`); an optional
        field defaults to None, one with a default to that default, and a required one must be given.
        """
        if self._struct_class is None:
            self._struct_class = _struct_class(self)
        return self._struct_class

    def build(self, values: Mapping[str, Any]) -> msgspec.Struct:
        """A struct of this schema from field names to values.

        Raises DataError for a name the schema lacks and for a required field that is missing.
        """
        unknown = values.keys() - self._by_name.keys()
        if unknown:
            raise DataError(f"{sorted(unknown)[0]} is not a valid field name")
        try:
            return self.struct_class(**{self._by_name[name].attribute: value for name, value in values.items()})
        except TypeError as exc:
            missing = next(f.name for f in self.fields if f.name not in values and f.schema.required)
            raise DataError(f'Invalid value: null used for required field: "{missing}"') from exc

    @property
    def required(self) -> bool:
        """Neither optional nor with a default."""
        return not self.optional and self.default is None

    def as_optional(self, optional: bool = True) -> Schema:
        """The same schema with `optional` as given."""
        return self if self.optional is optional else self.replace(optional=optional)

    def replace(self, **changes: Any) -> Schema:
        """The same schema with some of its attributes changed; `fields` as pairs (name, schema)."""
        parts = {
            "optional": self.optional,
            "default": self.default,
            "name": self.name,
            "version": self.version,
            "doc": self.doc,
            "parameters": self.parameters,
            "key_schema": self.key_schema,
            "value_schema": self.value_schema,
            "fields": tuple((f.name, f.schema) for f in self.fields),
        }
        return _intern(self.type, **{**parts, **changes})

    def __repr__(self) -> str:
        name = f"{self.name}:" if self.name else ""
        return f"Schema{{{name}{self.type}}}"

    def __reduce__(self) -> Any:
        return (
            _rebuild,
            (self.type, {k: getattr(self, k) for k in _REBUILT}, [(f.name, f.schema) for f in self.fields]),
        )


_REBUILT: Final = (
    "optional",
    "default",
    "name",
    "version",
    "doc",
    "parameters",
    "key_schema",
    "value_schema",
)


def _rebuild(kind: Type, parts: dict[str, Any], fields: list[tuple[str, Schema]]) -> Schema:
    return _intern(kind, fields=tuple(fields), **parts)


def primitive(
    kind: Type,
    *,
    optional: bool = False,
    default: Any = None,
    name: str | None = None,
    version: int | None = None,
    doc: str | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Schema:
    """A schema of a primitive type, or of a logical type when `name` says so."""
    if kind in (Type.ARRAY, Type.MAP, Type.STRUCT):
        raise ValueError(f"{kind} is not a primitive type")
    return _intern(
        kind,
        optional=optional,
        default=default,
        name=name,
        version=version,
        doc=doc,
        parameters=parameters or {},
    )


def array(
    element: Schema | None,
    *,
    optional: bool = False,
    default: Any = None,
    name: str | None = None,
    version: int | None = None,
    doc: str | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Schema:
    """A schema of lists; `element` None only for lists of mixed kinds in headers."""
    return _intern(
        Type.ARRAY,
        optional=optional,
        default=default,
        name=name,
        version=version,
        doc=doc,
        parameters=parameters or {},
        value_schema=element,
    )


def map_of(
    key: Schema | None,
    value: Schema | None,
    *,
    optional: bool = False,
    default: Any = None,
    name: str | None = None,
    version: int | None = None,
    doc: str | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Schema:
    """A schema of maps."""
    return _intern(
        Type.MAP,
        optional=optional,
        default=default,
        name=name,
        version=version,
        doc=doc,
        parameters=parameters or {},
        key_schema=key,
        value_schema=value,
    )


def struct(
    fields: Iterable[tuple[str, Schema]],
    *,
    optional: bool = False,
    default: Any = None,
    name: str | None = None,
    version: int | None = None,
    doc: str | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Schema:
    """A schema of structs with `fields` (name, schema) in order.

    Raises DataError for an empty name and for a name given twice.
    """
    listed = tuple(fields)
    seen: set[str] = set()
    for field_name, _ in listed:
        if not field_name:
            raise DataError("fieldName cannot be null.")
        if field_name in seen:
            raise DataError(f"Cannot create field because of field name duplication {field_name}")
        seen.add(field_name)
    return _intern(
        Type.STRUCT,
        optional=optional,
        default=default,
        name=name,
        version=version,
        doc=doc,
        parameters=parameters or {},
        fields=listed,
    )


_interned: WeakValueDictionary[Any, Schema] = WeakValueDictionary()
_lock = threading.Lock()


def _intern(
    kind: Type,
    *,
    optional: bool,
    default: Any,
    name: str | None,
    version: int | None,
    doc: str | None,
    parameters: Mapping[str, str],
    key_schema: Schema | None = None,
    value_schema: Schema | None = None,
    fields: tuple[tuple[str, Schema], ...] = (),
) -> Schema:
    key = (
        kind,
        optional,
        _hashable(default),
        name,
        version,
        doc,
        tuple(parameters.items()),
        key_schema,
        value_schema,
        fields,
    )
    with _lock:
        known = _interned.get(key)
        if known is not None:
            return known
        made = object.__new__(Schema)
        made.type, made.optional, made.default = kind, optional, default
        made.name, made.version, made.doc = name, version, doc
        made.parameters = dict(parameters)
        made.key_schema, made.value_schema = key_schema, value_schema
        made.fields = tuple(
            Field(field_name, index, schema, _attribute(field_name, index))
            for index, (field_name, schema) in enumerate(fields)
        )
        made._by_name = {field.name: field for field in made.fields}
        made._struct_class = None
        _interned[key] = made
        return made


def _hashable(value: Any) -> Any:
    """`value` in a form whose equality tells 1, 1.0, True and 'NaN' apart as schemas must."""
    if isinstance(value, list):
        return ("list", *map(_hashable, value))
    if isinstance(value, dict):
        return ("dict", *((_hashable(k), _hashable(v)) for k, v in value.items()))
    if isinstance(value, msgspec.Struct):
        return ("struct", type(value), *(_hashable(getattr(value, f)) for f in value.__struct_fields__))
    return (type(value), repr(value))


def _attribute(name: str, index: int) -> str:
    if name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_"):
        return name
    return f"_{index}"


def _between(low: int, high: int) -> Any:
    return Annotated[int, msgspec.Meta(ge=low, le=high)]


_INTEGERS: Final = {kind: _between(-(1 << bits - 1), (1 << bits - 1) - 1) for kind, bits in INTEGER_BITS.items()}
# From here on a number becomes infinite in four bytes: the largest FLOAT32 and half a step more.
_TOO_LARGE_FOR_FLOAT32: Final = 2.0**128 - 2.0**103

_PYTHON_TYPES: Final[Mapping[Type, Any]] = {
    **_INTEGERS,
    Type.FLOAT32: Annotated[float, msgspec.Meta(gt=-_TOO_LARGE_FOR_FLOAT32, lt=_TOO_LARGE_FOR_FLOAT32)],
    Type.FLOAT64: float,
    Type.BOOLEAN: bool,
    Type.STRING: str,
    Type.BYTES: bytes,
}
LOGICAL_TYPES: Final[Mapping[str | None, Any]] = {
    DECIMAL: msgspec.Raw,
    DATE: _INTEGERS[Type.INT32],
    TIME: _between(0, DAY_MS),
    TIMESTAMP: _INTEGERS[Type.INT64],
}
"""Annotations by logical name. The name alone decides: a Date on INT64 is still a Date."""


def python_type(schema: Schema) -> Any:
    """The annotation by which msgspec decodes and checks the JSON of a value of `schema`.

    What msgspec cannot make is left for a second pass: a Decimal stays `msgspec.Raw` (it may be base64 or
    a number), a map whose keys are no strings a list of pairs, a FLOAT32 a double not yet rounded.
    """
    kind: Any
    if schema.name in LOGICAL_TYPES:
        kind = LOGICAL_TYPES[schema.name]
    elif schema.type is Type.ARRAY:
        kind = list[python_type(schema.value_schema) if schema.value_schema else Any]  # type: ignore[misc]  # built at run time
    elif schema.type is Type.MAP:
        keys = python_type(schema.key_schema) if schema.key_schema else str
        values = python_type(schema.value_schema) if schema.value_schema else Any
        text_keys = schema.key_schema is None or schema.key_schema.type is Type.STRING
        kind = dict[str, values] if text_keys else list[tuple[keys, values]]  # type: ignore[valid-type]  # built at run time
    elif schema.type is Type.STRUCT:
        kind = schema.struct_class
    else:
        kind = _PYTHON_TYPES[schema.type]
    return kind | None if schema.optional else kind


def _same(value: Any) -> Any:
    return value


def _struct_class(schema: Schema) -> StructClass:
    definitions: list[Any] = []
    for field in schema.fields:
        kind = python_type(field.schema)
        default = field.schema.default
        if default is not None:
            definitions.append((field.attribute, kind, msgspec.field(default_factory=partial(_same, default))))
        elif field.schema.optional:
            definitions.append((field.attribute, kind, None))
        else:
            definitions.append((field.attribute, kind))
    return msgspec.defstruct("Struct", definitions, kw_only=True, gc=False, rename=_json_names(schema))


def is_json_name(name: str) -> bool:
    """Whether msgspec can look for the name in JSON; others need the careful way (and are very rare)."""
    return not any(character in '"\\' or character < " " for character in name)


def _json_names(schema: Schema) -> dict[str, str]:
    """From attributes to the names in JSON where they differ; made-up ones where the name is not possible."""
    taken = {field.name for field in schema.fields}
    names = {}
    for field in schema.fields:
        name = field.name
        if not is_json_name(name):
            name = field.attribute
            while name in taken:
                name += "?"
            taken.add(name)
        if name != field.attribute:
            names[field.attribute] = name
    return names
