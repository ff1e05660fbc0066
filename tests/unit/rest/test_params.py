"""Request bodies as Kafka Connect reads them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.cluster.herder import Target
from syncline.rest.params import JsonProblem, config_of, create_request, level_of, offsets_request


@pytest.mark.parametrize("text", ["1", "1.50", "1e3", "1E+2", "-0", "true", "false", "12345678901234567890"])
def test_numbers_and_booleans_keep_the_text_they_have(text: str) -> None:
    assert config_of(f'{{"k": {text}}}'.encode()) == {"k": text}


@given(st.dictionaries(st.text(), st.none() | st.text()))
def test_texts_are_taken_as_they_are(config: dict[str, str | None]) -> None:
    assert config_of(json.dumps(config).encode()) == config


def test_the_last_of_two_values_counts_and_a_bom_does_not() -> None:
    assert config_of(b'\xef\xbb\xbf{"k": "a", "k": " b "}') == {"k": " b "}


def test_a_name_loses_its_blanks_and_may_be_a_number() -> None:
    assert create_request(b'{"name": " c ", "config": {}}')[0] == "c"
    assert create_request(b'{"name": 5, "config": {}}')[0] == "5"
    assert create_request(b'{"config": {}}')[0] == ""


@pytest.mark.parametrize(
    ("state", "target"),
    [
        ('"RUNNING"', Target.STARTED),
        ('"paused"', Target.PAUSED),
        ('"Stopped"', Target.STOPPED),
        ("null", None),
    ],
)
def test_initial_states(state: str, target: Target | None) -> None:
    assert create_request(f'{{"config": {{}}, "initial_state": {state}}}'.encode())[2] is target


@pytest.mark.parametrize("state", ['""', "5", '"IDLE"', "{}"])
def test_other_initial_states_are_refused(state: str) -> None:
    with pytest.raises(JsonProblem, match="is not one of RUNNING, PAUSED, STOPPED"):
        create_request(f'{{"config": {{}}, "initial_state": {state}}}'.encode())


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "body is empty"),
        (b" \n", "body is empty"),
        (b"null", "body is null"),
        (b"{", "Unexpected end-of-input.*line 1, column 2"),
        (b'{"k": "v",\n "l": x}', r"Unexpected character \('x' \(code 120\)\).*line 2, column 7"),
        (b'{"k": "v"} more', r"Unexpected character \('m' .*column 12"),
        ('{"k": "v"}\nö'.encode(), r"Unexpected character \('ö' \(code 246\)\).*line 2, column 1"),
        (b'{"k": 01}', "Unexpected character"),
        (b"{/* no */}", "JSON has no comments"),
        (b"[]", r"java.util.LinkedHashMap<java.lang.String,java.lang.String>` from Array value"),
        (b'"text"', "Cannot construct instance of `java.util.LinkedHashMap` from String value"),
        (b'{"k": {}}', "`java.lang.String` from Object value.*the value of 'k'"),
        (b'{"k": ["a"]}', "`java.lang.String` from Array value"),
        (b'{"k": "\\udc00"}', "surrogate"),
        (b'{"k": "\xff"}', "not valid Unicode"),
        (b'{"k":' + b"[" * 100_000, "line 1"),
    ],
)
def test_what_is_no_configuration_is_refused_with_the_place(body: bytes, complaint: str) -> None:
    with pytest.raises(JsonProblem, match=complaint):
        config_of(body)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b'{"name": "c"}', "has no 'config'"),
        (b'{"name": "c", "config": null}', "has no 'config'"),
        (b'{"name": "c", "config": {}, "initialState": "PAUSED"}', 'Unrecognized field "initialState"'),
    ],
)
def test_what_is_no_request_for_a_connector_is_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(JsonProblem, match=complaint):
        create_request(body)


def test_a_missing_offset_resets() -> None:
    body = b'{"offsets": [{"partition": {"p": 1}}, {"partition": null, "offset": {"at": 1.5}}]}'
    assert offsets_request(body) == [({"p": 1}, None), (None, {"at": 1.5})]


@pytest.mark.parametrize("body", [b"{}", b'{"offsets": null}', b'{"offsets": []}'])
def test_no_offsets_at_all_are_an_empty_list(body: bytes) -> None:
    assert offsets_request(body) == []


@pytest.mark.parametrize("body", [b'{"offsets": {}}', b'{"offsets": [5]}', b'{"offsets": [{"partition": [], "x": 1}]}'])
def test_offsets_of_another_shape_are_refused(body: bytes) -> None:
    with pytest.raises(JsonProblem):
        offsets_request(body)


def test_a_level_may_be_missing() -> None:
    assert level_of(b"{}") is None
    assert level_of(b'{"level": "DEBUG"}') == "DEBUG"
