"""Kafka Connect's JsonConverter, recorded: exact under `coercion=java`, never lossy under `strict`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from syncline.converters.json import JsonConverter
from syncline.errors import ConfigError, SynclineError
from tests.golden.support import (
    bytes_of,
    classes,
    data,
    neutral_schema,
    neutral_value,
    params,
    schema_of,
    sorted_maps,
    value_of,
)

FILE = "json_converter.json"
CASES = data(FILE)["cases"]


def converter(case: dict[str, Any], coercion: str) -> JsonConverter:
    made = JsonConverter()
    made.configure({**case["config"], "coercion": coercion}, is_key=case.get("key", False))
    return made


def check_error(case: dict[str, Any], error: BaseException) -> None:
    expected = [case["error"]["class"]]
    if case["error"].get("cause"):
        expected.append(case["error"]["cause"])
    assert classes(error)[: len(expected)] == expected


def read(case: dict[str, Any], coercion: str) -> None:
    raw = bytes_of(case["bytes"])
    if "error" in case:
        with pytest.raises(SynclineError) as raised:
            converter(case, coercion).to_connect("t", raw)
        check_error(case, raised.value)
        return
    made = converter(case, coercion)
    for _ in range(2):  # the second time the schema is known, which is another way through the code
        found = made.to_connect("t", raw)
        assert neutral_schema(found.schema) == case["schema"]
        assert neutral_value(found.value, found.schema) == sorted_maps(case["value"])
        assert made.to_connect_list("t", [raw]) == [found] or found.value != found.value
    if "back" in case:
        written = made.from_connect("t", found.schema, found.value)
        same_json(written, bytes_of(case["back"]))


def same_json(written: bytes | None, expected: bytes | None) -> None:
    if written != expected and written is not None and expected is not None:
        # Maps and parameters come in Java's hash order; everything else is compared byte for byte above.
        assert json.loads(written) == json.loads(expected)
        assert sorted(written) == sorted(expected)
    else:
        assert written == expected


def write(case: dict[str, Any], coercion: str) -> None:
    schema = schema_of(case["schema"])
    value = value_of(case["value"], schema)
    if "error" in case:
        with pytest.raises(SynclineError) as raised:
            converter(case, coercion).from_connect("t", schema, value)
        check_error(case, raised.value)
        return
    made = converter(case, coercion)
    written = made.from_connect("t", schema, value)
    same_json(written, bytes_of(case["bytes"]))
    assert made.from_connect_list("t", schema, [value]) == [written]


@pytest.mark.parametrize("case", params(FILE, CASES))
def test_java(case: dict[str, Any]) -> None:
    if case.get("error", {}).get("stage") == "configure":
        with pytest.raises(ConfigError):
            converter(case, "java")
        return
    (read if case["op"] == "read" else write)(case, "java")


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c["id"]) for c in CASES if c["op"] == "read" and "error" not in c]
)
def test_strict_gives_the_same_or_refuses(case: dict[str, Any]) -> None:
    made = converter(case, "strict")
    try:
        found = made.to_connect("t", bytes_of(case["bytes"]))
    except SynclineError:
        return
    mine = neutral_value(found.value, found.schema)
    assert neutral_schema(found.schema) == case["schema"]
    assert (
        mine == sorted_maps(case["value"])
        or "-0.0" in str(mine)
        or "NaN" in str(mine)
        or "Infin" in str(mine)
    )
