"""The offsets a Java connector stored and will read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.connectors.jdbc.offsets import (
    Position,
    bare_partition,
    incrementing_offset,
    position_of,
    stored_offsets,
    table_partition,
    timestamp_incrementing_offset,
    timestamp_offset,
)
from syncline.errors import ConnectError


class Stored:
    """Offsets by the exact text of their partition, as Kafka Connect finds them; counts look-ups."""

    def __init__(self, offsets: Mapping[str, Mapping[str, Any]]) -> None:
        self.by_text = offsets
        self.calls = 0

    def offsets(self, partitions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        self.calls += 1
        return [self.by_text.get(json.dumps(p, separators=(",", ":"))) for p in partitions]


def test_partitions_and_offsets_have_java_s_text() -> None:
    assert json.dumps(table_partition("db.users")) == '{"protocol": "1", "table": "db.users"}'
    assert json.dumps(bare_partition("users")) == '{"table": "users"}'
    assert json.dumps(incrementing_offset(5)) == '{"incrementing": 5}'
    assert json.dumps(timestamp_offset(1_577_880_000_123_000_000)) == (
        '{"timestamp_nanos": 123000000, "timestamp": 1577880000123}'
    )
    assert json.dumps(timestamp_incrementing_offset(1_577_880_000_123_456_000, 5)) == (
        '{"timestamp_nanos": 123456000, "incrementing": 5, "timestamp": 1577880000123}'
    )


@given(st.integers(0, 1 << 62), st.integers(-(1 << 63), (1 << 63) - 1))
def test_an_offset_is_read_back_as_the_position_it_was_made_from(timestamp: int, id_: int) -> None:
    both = timestamp_incrementing_offset(timestamp, id_)
    assert position_of(both) == Position(timestamp, id_)
    assert position_of(timestamp_offset(timestamp)) == Position(timestamp, None)
    assert position_of(incrementing_offset(id_)) == Position(None, id_)


@pytest.mark.parametrize(
    ("offset", "position"),
    [
        pytest.param(None, Position(), id="nothing stored"),
        pytest.param({}, Position(), id="an empty offset"),
        pytest.param({"timestamp": 1_001}, Position(1_001_000_000), id="milliseconds alone"),
        pytest.param(
            {"timestamp": 1_704_067_203_000, "timestamp_nanos": 999_999_999},
            Position(1_704_067_203_999_999_999),
            id="nanoseconds count within the second, whatever the milliseconds say",
        ),
        pytest.param({"timestamp_nanos": 5}, Position(), id="nanoseconds alone say nothing"),
        pytest.param({"incrementing": 3, "other": "x"}, Position(None, 3), id="unknown keys are passed over"),
    ],
)
def test_stored_offsets_of_every_age_are_understood(offset: Mapping[str, Any] | None, position: Position) -> None:
    assert position_of(offset) == position


@pytest.mark.parametrize("value", ["3", 3.0, True, [3]])
def test_an_offset_of_a_wrong_type_is_refused_with_key_and_value(value: Any) -> None:
    with pytest.raises(ConnectError, match="incrementing must be an integer") as caught:
        position_of({"incrementing": value})
    assert repr(value) in str(caught.value)


def test_the_full_name_s_offset_wins_and_the_bare_name_s_is_the_fallback() -> None:
    stored = Stored(
        {
            '{"protocol":"1","table":"db.a"}': {"incrementing": 2},
            '{"table":"a"}': {"incrementing": 4},
            '{"table":"b"}': {"incrementing": 7},
        }
    )
    found = stored_offsets(stored, [("db.a", "a"), ("db.b", "b"), ("db.c", "c")])
    assert found == [{"incrementing": 2}, {"incrementing": 7}, None]
    assert stored.calls == 1
