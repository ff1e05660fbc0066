"""Recorded cases as values: loading, the neutral form, and which cases are known not to hold.

A case is in one of four lists: it holds (no list at all), is an intended difference (`differences.toml`),
belongs to a part that is not built (`not_built.toml`), or fails and is known to (`failing.toml`).
"""

from __future__ import annotations

import base64
import fnmatch
import json
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from syncline.data import DATE, TIME, TIMESTAMP, Schema, Type, array, map_of, primitive, struct
from syncline.data.logical import DAY_MS
from syncline.data.numbers import java_double, to_float32

HERE = Path(__file__).parent


@cache
def data(name: str) -> Any:
    """A recording by its file name."""
    return json.loads((HERE / "data" / name).read_text())


@dataclass(frozen=True)
class Row:
    """One line of a list: the cases it names and why."""

    file: str
    pattern: str
    why: str


@cache
def rows(which: str) -> tuple[Row, ...]:
    """The rows of `differences`, `not_built` or `failing`."""
    path = HERE / f"{which}.toml"
    if not path.exists():
        return ()
    content = tomllib.loads(path.read_text())
    return tuple(Row(r["file"], r["case"], r["why"]) for r in content.get("row", []))


def verdict(file: str, *names: str) -> tuple[str, Row | None]:
    """`hold`, `differ`, `not built` or `fail` for a case known by these names (id, group), and its row."""
    for which, word in (("not_built", "not built"), ("differences", "differ"), ("failing", "fail")):
        for row in rows(which):
            if row.file == file and any(fnmatch.fnmatchcase(name, row.pattern) for name in names):
                return word, row
    return "hold", None


def params(file: str, cases: list[dict[str, Any]], name: str = "id") -> list[Any]:
    """Parameters for pytest: cases not built are skipped, known failures and differences must not hold."""
    made = []
    for case in cases:
        word, row = verdict(file, case[name], case.get("group", case.get("area", "")))
        marks = [pytest.mark.golden(file, word)]
        if word == "not built" and row is not None:
            marks.append(pytest.mark.skip(reason=f"not built: {row.why}"))
        elif word != "hold" and row is not None:
            marks.append(pytest.mark.xfail(strict=True, reason=f"{word}: {row.why}"))
        made.append(pytest.param(case, id=str(case[name]), marks=marks))
    return made


def bytes_of(neutral: Any) -> bytes | None:
    """Raw bytes of a recorded record."""
    if neutral is None:
        return None
    return bytes.fromhex(neutral["hex"]) if isinstance(neutral, dict) else str(neutral).encode()


def schema_of(neutral: dict[str, Any] | None) -> Schema | None:
    """A schema from its neutral form."""
    if neutral is None:
        return None
    common: dict[str, Any] = {
        "optional": neutral.get("optional", False),
        "name": neutral.get("name"),
        "version": neutral.get("version"),
        "doc": neutral.get("doc"),
        "parameters": neutral.get("params"),
    }
    kind = Type(neutral["type"])
    if kind is Type.ARRAY:
        made = array(schema_of(neutral.get("value_schema")), **common)
    elif kind is Type.MAP:
        made = map_of(schema_of(neutral.get("key_schema")), schema_of(neutral.get("value_schema")), **common)
    elif kind is Type.STRUCT:
        fields = [(f["field"], schema_of(f["schema"])) for f in neutral["fields"]]
        made = struct([(name, inner) for name, inner in fields if inner is not None], **common)
    else:
        made = primitive(kind, **common)
    if neutral.get("default") is not None:
        made = made.replace(default=value_of(neutral["default"], made))
    return made


def value_of(neutral: Any, schema: Schema | None) -> Any:
    """A value from its neutral form."""
    if neutral is None:
        return None
    ((kind, content),) = neutral.items()
    if kind.startswith("int") or kind in ("boolean", "string"):
        return content
    if kind.startswith("float"):
        return float(content.replace("Infinity", "inf"))
    if kind in ("bytes", "bytebuffer"):
        return bytes.fromhex(content)
    if kind == "decimal":
        return Decimal(content)
    if kind == "date_ms":
        return content // DAY_MS if schema is not None and schema.name == DATE else content
    if kind == "array":
        return [value_of(entry, schema.value_schema if schema else None) for entry in content]
    if kind == "map":
        keys, values = (schema.key_schema, schema.value_schema) if schema else (None, None)
        return {value_of(k, keys): value_of(v, values) for k, v in content}
    if kind == "struct":
        assert schema is not None
        given = dict(content)
        return schema.struct_class(
            **{f.attribute: value_of(given.get(f.name), f.schema) for f in schema.fields}
        )
    raise LookupError(f"{kind} has no counterpart in Python")


def neutral_value(value: Any, schema: Schema | None) -> Any:
    """The neutral form of a value, floats as Java prints them."""
    if value is None:
        return None
    if schema is not None and schema.name in (DATE, TIME, TIMESTAMP) and isinstance(value, int):
        return {"date_ms": value * DAY_MS if schema.name == DATE else value}
    if isinstance(value, bool):
        return {"boolean": value}
    if isinstance(value, int):
        return {(schema.type.lower() if schema is not None else "int64"): value}
    if isinstance(value, float):
        single = schema is not None and schema.type is Type.FLOAT32
        shown = to_float32(value) if single else value
        return {"float32" if single else "float64": java_double(shown, single=single)}
    if isinstance(value, str):
        return {"string": value}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Decimal):
        return {"decimal": format(value, "f")}
    if isinstance(value, list):
        return {"array": [neutral_value(v, schema.value_schema if schema else None) for v in value]}
    if isinstance(value, dict):
        keys, values = (schema.key_schema, schema.value_schema) if schema else (None, None)
        pairs = [[neutral_value(k, keys), neutral_value(v, values)] for k, v in value.items()]
        return {"map": sorted(pairs, key=repr)}
    assert schema is not None
    return {
        "struct": [
            [f.name, neutral_value(getattr(value, f.attribute), f.schema)]
            for f in schema.fields
            if getattr(value, f.attribute) is not None
        ]
    }


def sorted_maps(neutral: Any) -> Any:
    """A recorded value with its maps in the order `neutral_value` gives; nulls of structs left out."""
    if isinstance(neutral, dict):
        if "decimal" in neutral:
            return {"decimal": format(Decimal(neutral["decimal"]), "f")}
        if "map" in neutral:
            return {"map": sorted(([sorted_maps(k), sorted_maps(v)] for k, v in neutral["map"]), key=repr)}
        if "array" in neutral:
            return {"array": [sorted_maps(v) for v in neutral["array"]]}
        if "struct" in neutral:
            return {"struct": [[n, sorted_maps(v)] for n, v in neutral["struct"] if v is not None]}
    return neutral


def neutral_schema(schema: Schema | None) -> Any:
    """The neutral form of a schema."""
    if schema is None:
        return None
    made: dict[str, Any] = {"type": str(schema.type), "optional": schema.optional}
    for name in ("name", "version", "doc"):
        if getattr(schema, name) is not None:
            made[name] = getattr(schema, name)
    if schema.parameters:
        made["params"] = dict(schema.parameters)
    if schema.default is not None:
        made["default"] = neutral_value(schema.default, schema)
    if schema.key_schema is not None:
        made["key_schema"] = neutral_schema(schema.key_schema)
    if schema.value_schema is not None:
        made["value_schema"] = neutral_schema(schema.value_schema)
    if schema.type is Type.STRUCT:
        made["fields"] = [{"field": f.name, "schema": neutral_schema(f.schema)} for f in schema.fields]
    return made


def classes(error: BaseException) -> list[str]:
    """The Java classes of an error and its causes."""
    from syncline.errors import java_class_of

    found: list[str] = []
    current: BaseException | None = error
    while current is not None:
        found.append(java_class_of(current))
        current = current.__cause__
    return found


def base64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
