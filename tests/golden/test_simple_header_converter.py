"""SimpleHeaderConverter against the recordings."""

from __future__ import annotations

import pytest

from syncline.converters.simple_header import SimpleHeaderConverter
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


@pytest.mark.parametrize("case", cases("simple_header_converter.json"))
def test_recorded(case: Case) -> None:
    with settling(case) as verdict:
        if case.data["op"] == "read":
            read(verdict)
        else:
            schema = schema_of(case.data["schema"])
            value = value_of(case.data["value"], schema)
            written = SimpleHeaderConverter().from_connect_header("t", "h", schema, value)
            verdict.same("bytes", text_of(written), case.expected["bytes"])


def read(verdict: Verdict) -> None:
    converter = SimpleHeaderConverter()
    recorded, expected = verdict.case.data["bytes"], verdict.case.expected
    raw = bytes.fromhex(recorded["hex"]) if isinstance(recorded, dict) else recorded and recorded.encode()
    found = converter.to_connect_header("t", "h", raw)
    verdict.same("schema", neutral_schema(found.schema), expected.get("schema"))
    value = neutral_of(found.value, found.schema)
    verdict.same("value", unordered(value), unordered(expected.get("value")))
    if "back_error" in expected:
        verdict.note(f"no error when written, expected {expected['back_error']}")
        return
    back = converter.from_connect_header("t", "h", *found)
    verdict.same("back", text_of(back), expected.get("back"))


def text_of(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()
