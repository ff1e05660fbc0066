"""Schemas of every kind, values for them, and JSON that may or may not fit."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from syncline.data import (
    DATE,
    DECIMAL,
    TIME,
    TIMESTAMP,
    Schema,
    Type,
    array,
    date_schema,
    decimal_schema,
    map_of,
    primitive,
    struct,
    time_schema,
    timestamp_schema,
)
from syncline.data.logical import DAY_MS
from syncline.data.schema import INTEGER_BITS

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.one_of(st.sampled_from(["id", "class", "_x", "a b", "payload", "schema", "é"]), TEXTS.filter(bool))

PRIMITIVES = st.sampled_from([kind for kind in Type if kind not in (Type.ARRAY, Type.MAP, Type.STRUCT)]).map(primitive)
LOGICAL = st.one_of(
    st.just(date_schema()), st.just(time_schema()), st.just(timestamp_schema()), st.integers(-3, 6).map(decimal_schema)
)
MAP_KEYS = st.sampled_from(
    [
        primitive(Type.STRING),
        primitive(Type.INT32),
        primitive(Type.BOOLEAN),
        primitive(Type.BYTES),
        date_schema(),
        decimal_schema(2),
    ]
)


def _around(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    fields = st.lists(st.tuples(NAMES, inner), max_size=4, unique_by=lambda field: field[0])
    return st.one_of(inner.map(array), st.builds(map_of, MAP_KEYS, inner), fields.map(struct))


def _varied(schemas: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Schemas with attributes, optional or not, some with a default."""

    @st.composite
    def vary(draw: st.DrawFn) -> Schema:
        schema = draw(schemas)
        changes: dict[str, Any] = {"optional": draw(st.booleans())}
        if draw(st.booleans()):
            changes["doc"] = draw(TEXTS)
        if schema.type is not Type.STRUCT and draw(st.integers(0, 3)) == 0:
            changes["default"] = draw(values(schema))
        return schema.replace(**changes)

    return vary()


def _leaves() -> st.SearchStrategy[Schema]:
    return _varied(st.one_of(PRIMITIVES, LOGICAL))


SCHEMAS: st.SearchStrategy[Schema] = st.recursive(_leaves(), lambda inner: _varied(_around(inner)), max_leaves=6)


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values of `schema`; null where it is optional and has no default to take its place."""
    present = _present(schema)
    return st.one_of(st.none(), present) if schema.optional and schema.default is None else present


def _present(schema: Schema) -> Any:
    if schema.name in _LOGICAL:
        return _LOGICAL[schema.name](schema)
    if schema.type in INTEGER_BITS:
        limit = 1 << INTEGER_BITS[schema.type] - 1
        return st.integers(-limit, limit - 1)
    match schema.type:
        case Type.FLOAT32:
            return st.floats(width=32)
        case Type.FLOAT64:
            return st.floats()
        case Type.BOOLEAN:
            return st.booleans()
        case Type.STRING:
            return TEXTS
        case Type.BYTES:
            return st.binary(max_size=6)
    if schema.type is Type.STRUCT:
        fields = {field.attribute: values(field.schema) for field in schema.fields}
        return st.fixed_dictionaries(fields).map(lambda given: schema.struct_class(**given))
    assert schema.value_schema is not None
    if schema.type is Type.ARRAY:
        return st.lists(values(schema.value_schema), max_size=3)
    assert schema.key_schema is not None
    return st.dictionaries(values(schema.key_schema), values(schema.value_schema), max_size=3)


def _decimals(schema: Schema) -> st.SearchStrategy[Decimal]:
    scale = int(schema.parameters["scale"])
    return st.integers(-(10**25), 10**25).map(lambda unscaled: Decimal(unscaled).scaleb(-scale))


_LOGICAL: dict[str | None, Any] = {
    DECIMAL: _decimals,
    DATE: lambda schema: st.integers(-(1 << 31), (1 << 31) - 1),
    TIME: lambda schema: st.integers(0, DAY_MS),
    TIMESTAMP: lambda schema: st.integers(-(1 << 63), (1 << 63) - 1),
}

ODD_JSON = st.sampled_from(
    """
    null null null null null true false 0 -0 -0.0 1 5.0 1e2 1E-2 1.50 0.1 127 128 300 -129 40000 2147483648 86400001
    9223372036854775807 9223372036854775808 12345678901234567890123 1e39 1e400 1e-400 007
    "" "x" "5" "NaN" "-Infinity" "AQI=" "AQI" " AQI=" "AQ==AQ==" "\\u0041QI=" "AQ\\/=" "\\ud83d" "\\ud83d\\ude00"
    "é😀" "," ",\\"payload\\":" [] {} [1] [null] {"a":1} [[1,2]] [["a",1]] [[null,1]] [1,2,3]
    """.split()
)
"""Values that fit some schema exactly, some loosely and some not at all."""


@st.composite
def loose_json(draw: st.DrawFn, schema: Schema) -> str:
    """JSON near `schema`: mostly its shape, here and there a value of another kind, a field twice, a blank."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ODD_JSON)
    blank = draw(st.sampled_from(["", "", " ", "\n"]))
    if schema.type is Type.STRUCT:
        fields = [field for field in schema.fields if draw(st.integers(0, 5))]
        fields += [field for field in schema.fields if not draw(st.integers(0, 9))]
        entries = [f"{json.dumps(f.name)}{blank}:{blank}{draw(loose_json(f.schema))}" for f in fields]
        entries += draw(st.lists(ODD_JSON.map(lambda odd: f'"unknown":{odd}'), max_size=1))
        return f"{{{blank}{','.join(entries)}{blank}}}"
    if schema.type is Type.ARRAY and schema.value_schema is not None:
        return f"[{','.join(draw(st.lists(loose_json(schema.value_schema), max_size=3)))}]"
    if schema.type is Type.MAP and schema.key_schema is not None and schema.value_schema is not None:
        held = draw(st.lists(loose_json(schema.value_schema), max_size=3))
        if schema.key_schema.type is Type.STRING:
            return f"{{{','.join(f'{json.dumps(draw(TEXTS))}:{each}' for each in held)}}}"
        return f"[{','.join(f'[{draw(loose_json(schema.key_schema))},{each}]' for each in held)}]"
    return draw(st.one_of(ODD_JSON, _exact_json(schema)))


def _exact_json(schema: Schema) -> st.SearchStrategy[str]:
    numbers = st.one_of(st.integers(-(1 << 64), 1 << 64), st.floats(allow_nan=False, allow_infinity=False))
    if schema.type is Type.STRING:
        return TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False))
    return numbers.map(repr)
