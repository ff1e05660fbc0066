"""Schemas as Kafka Connect's JSON envelope writes them (spec/connect.md 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from syncline.converters.json_errors import BadSchema
from syncline.data import Schema, Type, array, map_of, primitive, struct
from syncline.errors import DataError

TYPE_NAMES: Final[Mapping[Type, str]] = {
    Type.BOOLEAN: "boolean",
    Type.INT8: "int8",
    Type.INT16: "int16",
    Type.INT32: "int32",
    Type.INT64: "int64",
    Type.FLOAT32: "float",
    Type.FLOAT64: "double",
    Type.BYTES: "bytes",
    Type.STRING: "string",
    Type.ARRAY: "array",
    Type.MAP: "map",
    Type.STRUCT: "struct",
}
TYPES: Final[Mapping[str, Type]] = {name: kind for kind, name in TYPE_NAMES.items()}

ReadDefault = Callable[[Schema, Any], Any]
"""From a schema without default and the JSON of the default to the default's value."""
WriteDefault = Callable[[Schema], Any]
"""From a schema to the JSON of its default."""


def read_schema(json: Any, read_default: ReadDefault, *, java: bool) -> Schema:
    """The schema `json` describes.

    Raises DataError naming what is wrong. With `java` members of the wrong kind (`"optional":"true"`) are
    ignored as the JVM does; otherwise they are refused.
    """
    return _read(json, read_default, java, "")


def _read(json: Any, read_default: ReadDefault, java: bool, field: str) -> Schema:
    where = f" (field {field!r})" if field else ""
    if not isinstance(json, dict) or not isinstance(json.get("type"), str):
        raise DataError(f"Schema must contain 'type' field{where}")
    kind = TYPES.get(json["type"])
    if kind is None:
        near = ", ".join(TYPES)
        raise DataError(f"Unknown schema type: {json['type']}{where}; types are {near}")
    common = {
        "optional": _member(json, "optional", bool, java, where) or False,
        "name": _member(json, "name", str, java, where),
        "version": _member(json, "version", int, java, where),
        "doc": _member(json, "doc", str, java, where),
        "parameters": _parameters(json, java, where),
    }
    if kind is Type.ARRAY:
        if json.get("items") is None:
            raise DataError(f"Array schema did not specify the element type{where}")
        made = array(_read(json["items"], read_default, java, field), **common)
    elif kind is Type.MAP:
        for member, words in (("keys", "key"), ("values", "value")):
            if json.get(member) is None:
                raise DataError(f"Map schema did not specify the {words} type{where}")
        keys = _read(json["keys"], read_default, java, field)
        made = map_of(keys, _read(json["values"], read_default, java, field), **common)
    elif kind is Type.STRUCT:
        made = _read_struct(json, common, read_default, java, where)
    else:
        made = primitive(kind, **common)
    if json.get("default") is None:
        return made
    return made.replace(default=_default(made, json["default"], read_default, where))


def _read_struct(
    json: Mapping[str, Any], common: Mapping[str, Any], read_default: ReadDefault, java: bool, where: str
) -> Schema:
    listed = json.get("fields")
    if not isinstance(listed, list):
        raise DataError(f'Struct schema\'s "fields" argument is not an array.{where}')
    fields = []
    for entry in listed:
        name = entry.get("field") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            hint = ' The member is called "field", not "fields".' if _misnamed(entry) else ""
            raise DataError(f"Struct schema's field name not specified properly{where}.{hint}")
        fields.append((name, _read(entry, read_default, java, name)))
    try:
        return struct(fields, **common)
    except DataError as exc:
        raise BadSchema(str(exc)) from None


def _misnamed(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("fields"), str)


def _default(made: Schema, json: Any, read_default: ReadDefault, where: str) -> Any:
    if made.type is Type.STRUCT:
        # The JVM compares the default's schema with one that has no default yet, and they never match.
        raise BadSchema(f"Invalid default value{where}") from DataError("Struct schemas do not match.")
    try:
        return read_default(made, json)
    except DataError as exc:
        raise BadSchema(f"Invalid default value{where}") from exc


def _member(json: Mapping[str, Any], name: str, kind: type[Any], java: bool, where: str) -> Any:
    value = json.get(name)
    if value is None:
        return None
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    if java:
        return None
    raise DataError(f"schema member {name!r} is {value!r}, expected a {kind.__name__}{where}")


def _parameters(json: Mapping[str, Any], java: bool, where: str) -> dict[str, str]:
    found = json.get("parameters")
    if found is None or (java and not isinstance(found, dict)):
        return {}
    if not isinstance(found, dict):
        raise DataError(f"Schema parameters must be an object{where}")
    if not all(isinstance(value, str) for value in found.values()):
        raise DataError(f"Schema parameters must have string values.{where}")
    return dict(found)


def write_schema(schema: Schema, write_default: WriteDefault, field: str | None = None) -> dict[str, Any]:
    """The JSON of `schema`, its members in Kafka Connect's order."""
    json: dict[str, Any] = {"type": TYPE_NAMES[schema.type]}
    if schema.type is Type.ARRAY and schema.value_schema is not None:
        json["items"] = write_schema(schema.value_schema, write_default)
    elif schema.type is Type.MAP and schema.key_schema is not None and schema.value_schema is not None:
        json["keys"] = write_schema(schema.key_schema, write_default)
        json["values"] = write_schema(schema.value_schema, write_default)
    elif schema.type is Type.STRUCT:
        json["fields"] = [write_schema(f.schema, write_default, f.name) for f in schema.fields]
    json["optional"] = schema.optional
    for name in ("name", "version", "doc"):
        value = getattr(schema, name)
        if value is not None:
            json[name] = value
    if schema.parameters:
        json["parameters"] = dict(schema.parameters)
    if schema.default is not None:
        json["default"] = write_default(schema)
    if field is not None:
        json["field"] = field
    return json
