"""Byte formats of source offsets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import DataError
from syncline.stores.codec import (
    canonical,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
    java_hash,
    java_order,
)

RECORDED = json.loads((Path(__file__).parents[2] / "golden" / "data" / "internal_topics.json").read_text())
KEYS = sorted(
    {
        (record["key_raw_hex"], record["value_raw"])
        for mode in ("plain", "exactly_once")
        for record in RECORDED[mode]["topics"]["offsets"]["records"]
    },
    key=str,
)

texts = st.text(st.characters(exclude_categories=["Cs"]))
primitives = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), texts
)
flat = st.dictionaries(texts, primitives, max_size=20)


@pytest.mark.parametrize(("key", "value"), KEYS, ids=[str(number) for number in range(len(KEYS))])
def test_recorded_entries_are_written_byte_for_byte(key: str, value: str | None) -> None:
    raw = bytes.fromhex(key)
    connector, partition = decode_key(raw)
    # Not in the order given, but in that of Java's buckets, which the recordings show to be the same.
    assert encode_key(connector, partition) == raw
    raw_value = None if value is None else value.encode()
    assert encode_value(decode_value(raw_value)) == raw_value


def test_java_hash_is_javas() -> None:
    assert java_hash("") == 0
    assert java_hash("a") == 97
    assert java_hash("hello world") == 1794106052
    assert java_hash("polygenelubricants") == 0x80000000


def test_members_go_where_a_hash_map_puts_them() -> None:
    assert java_order(["protocol", "table"]) == ["protocol", "table"]
    assert java_order(["table", "protocol"]) == ["protocol", "table"]
    # "Aa" and "BB" have one hash: the order of insertion stays.
    assert java_order(["Aa", "BB"]) == ["Aa", "BB"]
    assert java_order(["BB", "Aa"]) == ["BB", "Aa"]


def test_characters_beyond_the_basic_plane_are_written_as_two_escapes() -> None:
    assert encode_key("c", {"ü": "🙂"}) == '["c",{"ü":"\\uD83D\\uDE42"}]'.encode()


@given(connector=texts, partition=flat)
def test_keys_are_read_back(connector: str, partition: dict[str, Any]) -> None:
    found_connector, found = decode_key(encode_key(connector, partition))
    assert (found_connector, found) == (connector, partition)
    assert canonical(found) == canonical(partition)


@given(offset=flat)
def test_values_are_read_back(offset: dict[str, Any]) -> None:
    raw = encode_value(offset)
    assert decode_value(raw) == offset
    assert json.loads(raw or b"") == offset


@given(partition=flat, data=st.data())
def test_the_order_of_members_does_not_tell_partitions_apart(partition: dict[str, Any], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(partition.items()))))
    assert canonical(shuffled) == canonical(partition)


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 1}, {"a": 1.0}), ({"a": 1}, {"a": True}), ({"a": None}, {}), ({"a": "1"}, {"a": 1})]
)
def test_values_that_java_writes_differently_are_different_partitions(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({1: "x"}, "Offsets may only use String keys"),
        ({"f": [1]}, "Offsets may only contain primitive types as values, but field f contains list"),
        ({"f": b"x"}, "Offsets may only contain primitive types as values, but field f contains bytes"),
    ],
)
def test_only_flat_maps_of_primitives_can_be_stored(fields: dict[Any, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode_key("c", fields)
    with pytest.raises(DataError, match=message):
        encode_value(fields)


@pytest.mark.parametrize(
    "raw", [b"", b"x", b"{}", b"[]", b'["c"]', b'["c",1]', b"[1,{}]", b'["c",{},1]', b"null", b"\xff\xfe"]
)
def test_foreign_keys_are_refused(raw: bytes) -> None:
    with pytest.raises(DataError, match="offset key"):
        decode_key(raw)


@pytest.mark.parametrize("raw", [b"", b"1", b"[]", b"\xff"])
def test_foreign_values_are_refused(raw: bytes) -> None:
    with pytest.raises(DataError, match="offset"):
        decode_value(raw)
