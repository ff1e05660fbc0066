"""Schemas as JsonConverter puts them in front of every payload, read and written (spec/connect.md 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from syncline.converters.json_reading import Place, Reader, path_of
from syncline.converters.json_text import kind_of
from syncline.converters.json_writing import Writer, json_text
from syncline.data import Schema, Type, array, map_of, primitive, struct
from syncline.data.numbers import wrap
from syncline.errors import DataError

TYPES: Final[Mapping[str, Type]] = {
    "boolean": Type.BOOLEAN,
    "int8": Type.INT8,
    "int16": Type.INT16,
    "int32": Type.INT32,
    "int64": Type.INT64,
    "float": Type.FLOAT32,
    "double": Type.FLOAT64,
    "bytes": Type.BYTES,
    "string": Type.STRING,
    "array": Type.ARRAY,
    "map": Type.MAP,
    "struct": Type.STRUCT,
}
NAMES: Final[Mapping[Type, str]] = {kind: name for name, kind in TYPES.items()}

# What people write instead, from other schema languages and from Connect's own names in capitals.
_MEANT: Final[Mapping[str, str]] = {
    **{name: name for name in TYPES},
    **{"byte": "int8", "short": "int16", "int": "int32", "integer": "int32", "long": "int64"},
    **{"float32": "float", "float64": "double", "number": "double", "bool": "boolean", "text": "string"},
    **{"list": "array", "object": "struct", "record": "struct"},
}

SCHEMA: Final[Place] = (None, "schema")


class BadSchema(DataError):
    """A schema that cannot be built."""

    java_class = "org.apache.kafka.connect.errors.SchemaBuilderException"


class SchemaReader:
    """Reads schemas from JSON trees; `values` reads the defaults in them."""

    def __init__(self, values: Reader) -> None:
        self._values = values

    def schema(self, node: Any, at: Place = SCHEMA) -> Schema | None:
        """The schema of `node`, None for null; DataError names the place in the schema otherwise."""
        if node is None:
            return None
        name = node.get("type") if isinstance(node, dict) else None
        if not isinstance(name, str):
            raise DataError(f"Schema must contain 'type' field, at {path_of(at)}")
        if name not in TYPES:
            near = get_close_matches(name.lower(), _MEANT, n=1)
            hint = f'; did you mean "{_MEANT[near[0]]}"?' if near else ""
            raise DataError(f"Unknown schema type: {name}, at {path_of(at)}{hint}")
        made = self._of_kind(TYPES[name], node, at)
        return self._with_default(made, node, at) if "default" in node else made

    def _of_kind(self, kind: Type, node: dict[str, Any], at: Place) -> Schema:
        match kind:
            case Type.ARRAY:
                if node.get("items") is None:
                    raise DataError(f"Array schema did not specify the element type, at {path_of(at)}")
                return array(self.schema(node["items"], (at, "items")), **self._attributes(node, at))
            case Type.MAP:
                keys, values = self._part(node, "keys", "key", at), self._part(node, "values", "value", at)
                return map_of(keys, values, **self._attributes(node, at))
            case Type.STRUCT:
                fields = self._fields(node, at)
                try:
                    return struct(fields, **self._attributes(node, at))
                except DataError as exc:
                    raise BadSchema(f"{exc}, at {path_of(at)}") from None
        return primitive(kind, **self._attributes(node, at))

    def _part(self, node: dict[str, Any], key: str, what: str, at: Place) -> Schema:
        if key not in node:
            raise DataError(f"Map schema did not specify the {what} type, at {path_of(at)}")
        part = self.schema(node[key], (at, key))
        if part is None:
            raise BadSchema(f"{what}Schema cannot be null., at {path_of(at)}")
        return part

    def _fields(self, node: dict[str, Any], at: Place) -> list[tuple[str, Schema]]:
        listed = node.get("fields")
        if not isinstance(listed, list):
            hint = '; it is called "field" here' if isinstance(node.get("field"), list) else ""
            raise DataError(f'Struct schema\'s "fields" argument is not an array., at {path_of(at)}{hint}')
        fields = []
        for index, entry in enumerate(listed):
            name = entry.get("field") if isinstance(entry, dict) else None
            if not isinstance(name, str):
                raise DataError(
                    f"Struct schema's field name not specified properly, at {path_of((at, index))}"
                    f"{_field_name_hint(entry)}"
                )
            schema = self.schema(entry, (at, name))
            assert schema is not None  # null has no name
            fields.append((name, schema))
        return fields

    def _attributes(self, node: dict[str, Any], at: Place) -> dict[str, Any]:
        version = self._attribute(node, "version", int, at)
        if version is not None and version != wrap(version, 32):
            version = self._values.lossy("version of 32 bits", version, (at, "version"), wrap(version, 32))
        parameters = self._attribute(node, "parameters", dict, at)
        if parameters and not all(isinstance(value, str) for value in parameters.values()):
            raise DataError(f"Schema parameters must have string values., at {path_of((at, 'parameters'))}")
        return {
            "optional": self._attribute(node, "optional", bool, at) or False,
            "name": self._attribute(node, "name", str, at),
            "version": version,
            "doc": self._attribute(node, "doc", str, at),
            "parameters": parameters,
        }

    def _attribute(self, node: dict[str, Any], key: str, kind: type, at: Place) -> Any:
        """The attribute; null counts as absent, and to Java so does a value of another kind."""
        value = node.get(key)
        if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
            return value
        return self._values.lossy(_KINDS[kind], value, (at, key), None)

    def _with_default(self, schema: Schema, node: dict[str, Any], at: Place) -> Schema:
        place = (at, "default")
        default = self._values.value(schema, node["default"], place)
        if default is None and not schema.optional:
            problem = f"Invalid value: null used for required value, schema type: {schema.type}"
            raise BadSchema(f"Invalid default value, at {path_of(place)}") from DataError(problem)
        # Java compares the struct's schema with the one under construction, which are never equal.
        if default is not None and schema.type is Type.STRUCT:
            problem = "a default of a struct never has the schema's own schema"
            raise BadSchema(f"Invalid default value, at {path_of(place)}") from DataError(problem)
        return schema.replace(default=default)


_KINDS: Final[Mapping[type, str]] = {
    bool: "boolean",
    str: "text",
    int: "integer",
    dict: "JSON object",
}


def _field_name_hint(entry: Any) -> str:
    if not isinstance(entry, dict):
        return f": {kind_of(entry)} instead of an object"
    instead = next((key for key in ("fields", "name", "Field") if isinstance(entry.get(key), str)), None)
    if instead is None:
        return f': "field" is missing among {", ".join(entry) or "no attributes"}'
    return f': it says "{instead}": "{entry[instead]}", write "field": "{entry[instead]}"'


def schema_json(schema: Schema | None, writer: Writer, field: str | None = None) -> bytes:
    """The schema as Java writes it, keys in Java's order; `field` is its name inside a struct."""
    if schema is None:
        return b"null"
    parts = [b'{"type":"%b"' % NAMES[schema.type].encode()]
    match schema.type:
        case Type.ARRAY:
            parts.append(b'"items":' + schema_json(schema.value_schema, writer))
        case Type.MAP:
            parts.append(b'"keys":' + schema_json(schema.key_schema, writer))
            parts.append(b'"values":' + schema_json(schema.value_schema, writer))
        case Type.STRUCT:
            fields = [schema_json(each.schema, writer, each.name) for each in schema.fields]
            parts.append(b'"fields":[' + b",".join(fields) + b"]")
    parts.append(b'"optional":true' if schema.optional else b'"optional":false')
    attributes = (("name", schema.name), ("version", schema.version), ("doc", schema.doc))
    parts += [b'"%b":%b' % (key.encode(), json_text(held)) for key, held in attributes if held is not None]
    if schema.parameters:
        parts.append(b'"parameters":' + json_text(dict(schema.parameters)))
    if schema.default is not None:
        parts.append(b'"default":' + writer.encoder(schema)(schema.default))
    if field is not None:
        parts.append(b'"field":' + json_text(field))
    return b",".join(parts) + b"}"
