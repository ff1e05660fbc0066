"""Transforms and predicates against the recordings.

Without a schema Python has one kind of integer, one of floating number, and milliseconds in place of
`java.util.Date`; there the numbers must agree, and floats to all the digits of the narrower kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from syncline.api import PluginKind
from syncline.data import Header, Schema, SinkRecord, SourceRecord
from syncline.data.numbers import java_double, to_float32
from syncline.errors import java_class_of
from syncline.worker.plugins import Plugins
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

FILE: Final = "transforms.json"
INTEGERS: Final = ("int8", "int16", "int32", "int64", "date_ms")

Record = SinkRecord | SourceRecord


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return Plugins.installed()


@pytest.mark.parametrize("case", cases(FILE))
def test_recorded(case: Case, plugins: Plugins) -> None:
    with settling(case) as verdict:
        replay(verdict, plugins)


def replay(verdict: Verdict, plugins: Plugins) -> None:
    """Configure the plug-in and give it the record; note what comes out differently."""
    case = verdict.case.data
    found = plugins.find(case["class"], PluginKind.TRANSFORMATION, PluginKind.PREDICATE)
    assert found is not None, f"there is no {case['class']}"
    made = found.factory()
    stage = "configure"
    try:
        made.configure(case["config"])
        stage = "apply"
        record = record_of(case["record"])
        result = made.test(record) if found.kind is PluginKind.PREDICATE else made.apply(record)
    except Exception as error:  # as the worker, which runs strangers' code here
        same_error(verdict, stage, error)
        return
    finally:
        made.close()
    expected = verdict.case.expected
    if "error" in expected:
        verdict.note(f"no error, expected {expected['error']}; got {result!r}")
    elif found.kind is PluginKind.PREDICATE:
        verdict.same("result", result, expected["result"])
    else:
        verdict.same("output", neutral_record(result), comparable(expected["output"]))
        if expected.get("same_object"):
            # The other way round nobody can tell: records do not change.
            verdict.same("same_object", result is record, True)


def same_error(verdict: Verdict, stage: str, error: Exception) -> None:
    recorded = verdict.case.expected.get("error")
    if recorded is None:
        verdict.note(f"{stage}: {error!r}")
        return
    cause = error.__cause__
    verdict.same("error.stage", stage, recorded["stage"])
    verdict.same("error.class", java_class_of(error), recorded["class"])
    verdict.same("error.cause", cause and java_class_of(cause), recorded.get("cause"))


# --- records, to and from what was recorded ------------------------------------------------------------


def record_of(recorded: Mapping[str, Any]) -> Record:
    key_schema, value_schema = schema_of(recorded["key_schema"]), schema_of(recorded["value_schema"])
    key, value = value_of(recorded["key"], key_schema), value_of(recorded["value"], value_schema)
    headers = tuple(header_of(each) for each in recorded["headers"])
    topic, partition, timestamp = recorded["topic"], recorded["partition"], recorded["timestamp"]
    if recorded["kind"] == "source":
        return SourceRecord(None, None, topic, value_schema, value, key_schema, key, partition, timestamp, headers)
    offset = recorded["offset"]
    return SinkRecord(
        topic, partition, offset, key_schema, key, value_schema, value, timestamp=timestamp, headers=headers
    )


def header_of(recorded: Mapping[str, Any]) -> Header:
    schema = schema_of(recorded["schema"])
    return Header(recorded["key"], schema, value_of(recorded["value"], schema))


def neutral_record(record: Record | None) -> Any:
    """A record as the recordings have it, in the form that `comparable` gives theirs."""
    if record is None:
        return None
    return {
        "topic": record.topic,
        "partition": record.partition,
        "timestamp": record.timestamp,
        **_side("key", record.key_schema, record.key),
        **_side("value", record.value_schema, record.value),
        "headers": [{"key": header.key, **_side("value", header.schema, header.value)} for header in record.headers],
    }


def _side(name: str, schema: Schema | None, value: Any) -> dict[str, Any]:
    neutral = neutral_schema(schema)
    return {f"{name}_schema": neutral, name: form(neutral_of(value, schema), neutral)}


def comparable(recorded: Mapping[str, Any] | None) -> Any:
    """The recorded record without what Python's values cannot tell, see above."""
    if recorded is None:
        return None
    headers = [
        {"key": header["key"], "value_schema": header["schema"], "value": form(header["value"], header["schema"])}
        for header in recorded["headers"]
    ]
    sides = {name: form(recorded[name], recorded[f"{name}_schema"]) for name in ("key", "value")}
    return {**recorded, **sides, "headers": headers}


def form(neutral: Any, schema: Any) -> Any:
    """A neutral value in one fixed form: maps in order, nulls in structs left out, and plain without a schema."""
    return unordered(_fixed(neutral, plain=schema is None))


def _fixed(neutral: Any, *, plain: bool) -> Any:
    if isinstance(neutral, list):
        return [_fixed(each, plain=plain) for each in neutral]
    if not isinstance(neutral, dict):
        return neutral
    ((kind, held),) = neutral.items()
    if kind == "struct":
        return {kind: [[name, _fixed(value, plain=plain)] for name, value in held if value is not None]}
    if kind == "float32" or (plain and kind == "float64"):
        # How many digits Java prints depends on its version.
        single = java_double(to_float32(float(held.replace("Infinity", "inf"))), single=True)
        return {"float" if plain else kind: single}
    if plain and kind in INTEGERS:
        return {"integer": held}
    return {kind: _fixed(held, plain=plain)}
