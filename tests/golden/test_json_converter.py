"""JsonConverter against the recordings: exact with `coercion=java`, and never lossy by default."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest

from syncline.converters.json import JsonConverter
from syncline.errors import SynclineError, java_class_of
from tests.golden.support import (
    Case,
    Verdict,
    cases,
    neutral_of,
    neutral_schema,
    schema_of,
    settling,
    unordered,
    value_of,
)

FILE = "json_converter.json"


@pytest.mark.parametrize("case", cases(FILE))
def test_with_coercion_java_everything_is_as_recorded(case: Case) -> None:
    row = case.difference
    exact = dataclasses.replace(case, difference=None) if row is not None and row.holds_with else case
    with settling(exact) as verdict:
        replay(verdict, exact.expected, "java")


@pytest.mark.parametrize("case", cases(FILE))
def test_by_default_nothing_is_altered_in_silence(case: Case) -> None:
    with settling(case) as verdict:
        replay(verdict, case.expected, "strict")


def replay(verdict: Verdict, expected: Mapping[str, Any], coercion: str) -> None:
    """Do what the case did; note what comes out differently."""
    converter = JsonConverter()
    stage = "configure"
    try:
        converter.configure({**expected["config"], "coercion": coercion}, is_key=expected["key"])
        stage = expected["op"]
        if stage == "write":
            schema = schema_of(expected["schema"])
            written = converter.from_connect("t", schema, value_of(expected["value"], schema))
            same_bytes(verdict, "bytes", written, expected.get("bytes"))
        else:
            read(verdict, expected, converter)
    except SynclineError as error:
        same_error(verdict, stage, error, expected.get("error"))
        return
    if "error" in expected:
        verdict.note(f"no error, expected {expected['error']}")


def read(verdict: Verdict, expected: Mapping[str, Any], converter: JsonConverter) -> None:
    raw = bytes_of(expected["bytes"])
    first = converter.to_connect("t", raw)
    # The schema is known now, and lists have a way of their own.
    for found in (first, converter.to_connect("t", raw), *converter.to_connect_list("t", [raw, raw])):
        verdict.same("schema", neutral_schema(found.schema), expected.get("schema"))
        value = neutral_of(found.value, found.schema)
        verdict.same("value", unordered(value), unordered(expected.get("value")))
    try:
        same_bytes(verdict, "back", converter.from_connect("t", *first), expected.get("back"))
    except SynclineError as error:
        same_error(verdict, "write", error, expected.get("back_error"))


def same_error(verdict: Verdict, stage: str, error: SynclineError, recorded: Any) -> None:
    if recorded is None:
        verdict.note(f"{stage}: {error!r}")
        return
    cause = error.__cause__
    verdict.same("error.stage", stage, recorded["stage"])
    verdict.same("error.class", java_class_of(error), recorded["class"])
    if "cause" in recorded:
        verdict.same("error.cause", cause and java_class_of(cause), recorded["cause"])


def same_bytes(verdict: Verdict, what: str, written: bytes | None, recorded: Any) -> None:
    """Byte for byte, but for the order in which Java's hash maps give entries and parameters."""
    expected = bytes_of(recorded)
    if written == expected:
        return
    if written is None or expected is None or sorted(written) != sorted(expected):
        verdict.note(f"{what}: {written!r}, expected {expected!r}")
    else:
        verdict.same(what, json.loads(written), json.loads(expected))


def bytes_of(recorded: Any) -> bytes | None:
    if recorded is None:
        return None
    return bytes.fromhex(recorded["hex"]) if isinstance(recorded, dict) else str(recorded).encode()
