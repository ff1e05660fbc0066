"""JSON laid out for people still says the same, in lines that fit."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncline.cli.screen import laid_out

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(values, st.integers(10, 100))
def test_laid_out_json_is_the_same_json(value: Any, width: int) -> None:
    assert json.loads(laid_out(value, width)) == value


def test_what_fits_stays_on_one_line_and_the_rest_is_indented() -> None:
    schema = {"type": "struct", "fields": [{"type": "string", "field": "a"}, {"type": "int32", "field": "b"}]}
    assert laid_out(schema, 40) == (
        "{\n"
        '  "type": "struct",\n'
        '  "fields": [\n'
        '    {"type": "string", "field": "a"},\n'
        '    {"type": "int32", "field": "b"}\n'
        "  ]\n"
        "}"
    )
    assert laid_out({"a": []}, 1) == '{\n  "a": []\n}'
