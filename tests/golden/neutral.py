"""The neutral values and schemas of the recordings, to and from Syncline's own.

{"int8": 1} .. {"int64": 1}   {"float32": "1.5"}   {"float64": "NaN"}   {"boolean": true}   {"string": "x"}
{"bytes": "hex"}   {"decimal": "1.50"}   {"date_ms": 0}   {"array": [..]}   {"map": [[k, v]]}
{"struct": [[field, v]]}   null   and, as inputs only, bytebuffer, biginteger, java_object
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from syncline.data import DATE, DECIMAL, TIME, TIMESTAMP, Schema, Type, array, map_of, primitive, struct
from syncline.data.logical import DAY_MS
from syncline.data.numbers import java_double

Neutral = Any
"""What the recordings hold: JSON."""


class Unrepresentable(AssertionError):
    """A Java value with no counterpart in Python, such as a Date with a time of day."""


class ForeignObject:
    """Stands for a Java object that no schema type describes."""


def value_of(neutral: Neutral, schema: Schema | None) -> Any:
    """The Python value; a field that a struct leaves out holds None, as in Java before defaults apply."""
    if neutral is None:
        return None
    ((kind, held),) = neutral.items()
    match kind:
        case "float32" | "float64":
            return float(held.replace("Infinity", "inf"))
        case "bytes" | "bytebuffer":
            return bytes.fromhex(held)
        case "decimal":
            return Decimal(held)
        case "biginteger":
            return int(held)
        case "java_object":
            return ForeignObject()
        case "date_ms":
            return _from_milliseconds(held, schema)
        case "array":
            element = None if schema is None else schema.value_schema
            return [value_of(each, element) for each in held]
        case "map":
            keys, values = (None, None) if schema is None else (schema.key_schema, schema.value_schema)
            return {value_of(key, keys): value_of(value, values) for key, value in held}
        case "struct":
            assert schema is not None
            given = dict(held)
            return schema.build({field.name: value_of(given.get(field.name), field.schema) for field in schema.fields})
    return held


def _from_milliseconds(milliseconds: int, schema: Schema | None) -> int:
    if schema is None or schema.name != DATE:
        return milliseconds
    days, rest = divmod(milliseconds, DAY_MS)
    if rest:
        raise Unrepresentable(f"a Date with a time of day ({milliseconds} ms)")
    return days


def neutral_of(value: Any, schema: Schema | None) -> Neutral:
    """The neutral form of a value of `schema`; without one, of the type Java would have chosen."""
    if value is None:
        return None
    if schema is not None and schema.name in _LOGICAL:
        return _LOGICAL[schema.name](value)
    kind = _kind(value) if schema is None else schema.type
    match kind:
        case Type.FLOAT32:
            return {"float32": java_double(value, single=True)}
        case Type.FLOAT64:
            return {"float64": java_double(value)}
        case Type.BYTES:
            return {"bytes": bytes(value).hex()}
        case Type.ARRAY:
            element = None if schema is None else schema.value_schema
            return {"array": [neutral_of(each, element) for each in value]}
        case Type.MAP:
            keys, values = (None, None) if schema is None else (schema.key_schema, schema.value_schema)
            return {"map": [[neutral_of(k, keys), neutral_of(v, values)] for k, v in value.items()]}
        case Type.STRUCT:
            assert schema is not None
            return {
                "struct": [
                    [field.name, neutral_of(getattr(value, field.attribute), field.schema)] for field in schema.fields
                ]
            }
        case None:
            return {"decimal": str(value)}
    return {kind.lower(): value}


_LOGICAL: Final[dict[str | None, Any]] = {
    DECIMAL: lambda value: {"decimal": f"{value:f}" if value.as_tuple().exponent > 0 else str(value)},
    DATE: lambda value: {"date_ms": value * DAY_MS},
    TIME: lambda value: {"date_ms": value},
    TIMESTAMP: lambda value: {"date_ms": value},
}


def _kind(value: Any) -> Type | None:
    """The type of a value without a schema; None for a Decimal, which has none."""
    for python, kind in _KINDS:
        if isinstance(value, python):
            return kind
    raise TypeError(f"no neutral form for {value!r}")


_KINDS: Final[tuple[tuple[type, Type | None], ...]] = (
    (bool, Type.BOOLEAN),
    (int, Type.INT64),
    (float, Type.FLOAT64),
    (str, Type.STRING),
    (bytes, Type.BYTES),
    (list, Type.ARRAY),
    (dict, Type.MAP),
    (Decimal, None),
)


def schema_of(neutral: Neutral) -> Schema | None:
    """The schema of a neutral schema; null is None."""
    if neutral is None:
        return None
    kind = Type(neutral["type"])
    common: dict[str, Any] = {
        "optional": neutral["optional"],
        "name": neutral.get("name"),
        "version": neutral.get("version"),
        "doc": neutral.get("doc"),
        "parameters": neutral.get("params"),
    }
    if kind is Type.ARRAY:
        made = array(schema_of(neutral["value_schema"]), **common)
    elif kind is Type.MAP:
        made = map_of(schema_of(neutral["key_schema"]), schema_of(neutral["value_schema"]), **common)
    elif kind is Type.STRUCT:
        fields = [(each["field"], schema_of(each["schema"])) for each in neutral["fields"]]
        made = struct([(name, schema) for name, schema in fields if schema is not None], **common)
    else:
        made = primitive(kind, **common)
    if neutral.get("default") is not None:
        made = made.replace(default=value_of(neutral["default"], made))
    return made


def neutral_schema(schema: Schema | None) -> Neutral:
    """The neutral form of a schema."""
    if schema is None:
        return None
    made: dict[str, Any] = {"type": str(schema.type), "optional": schema.optional}
    for key, part in (("name", schema.name), ("version", schema.version), ("doc", schema.doc)):
        if part is not None:
            made[key] = part
    if schema.parameters:
        made["params"] = dict(schema.parameters)
    if schema.default is not None:
        made["default"] = neutral_of(schema.default, schema)
    if schema.type is Type.MAP:
        made["key_schema"] = neutral_schema(schema.key_schema)
    if schema.type in (Type.ARRAY, Type.MAP):
        made["value_schema"] = neutral_schema(schema.value_schema)
    if schema.type is Type.STRUCT:
        made["fields"] = [{"field": field.name, "schema": neutral_schema(field.schema)} for field in schema.fields]
    return made


def unordered(neutral: Neutral) -> Neutral:
    """`neutral` with the entries of its maps in one fixed order, since Java's hash maps have none."""
    if isinstance(neutral, list):
        return [unordered(each) for each in neutral]
    if isinstance(neutral, dict):
        made = {key: unordered(each) for key, each in neutral.items()}
        if list(made) == ["map"]:
            made["map"] = sorted(made["map"], key=repr)
        return made
    return neutral
