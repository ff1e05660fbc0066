"""Source partitions and offsets, in the very form the Java connector stores them (spec/jdbc.md 1.7).

Either connector can take over from the other, so key names, key order and units are a contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from syncline.api import OffsetReader
from syncline.errors import ConnectError

Partition = Mapping[str, str]
Offset = dict[str, int]

INCREMENTING: Final = "incrementing"
TIMESTAMP: Final = "timestamp"
TIMESTAMP_NANOS: Final = "timestamp_nanos"

QUERY_PARTITION: Final[Partition] = {"query": "query"}
"""Of query mode, whatever the query; a changed query keeps the offset."""

_SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000


class Position(NamedTuple):
    """How far a table has been read: everything up to here is behind us."""

    timestamp: int | None = None
    """Nanoseconds since the epoch."""
    incrementing: int | None = None


def table_partition(full_name: str) -> Partition:
    """Of a table read incrementally; `full_name` unquoted, with catalog or schema as the dialect has it."""
    return {"protocol": "1", "table": full_name}


def bare_partition(name: str) -> Partition:
    """Of a table read in bulk, and of offsets that releases before 5.0 stored."""
    return {"table": name}


def timestamp_offset(timestamp: int) -> Offset:
    """The offset of timestamp mode at `timestamp` nanoseconds since the epoch."""
    return {TIMESTAMP_NANOS: timestamp % _SECOND, TIMESTAMP: timestamp // _MILLISECOND}


def incrementing_offset(incrementing: int) -> Offset:
    """The offset of incrementing mode at the row with this id."""
    return {INCREMENTING: incrementing}


def timestamp_incrementing_offset(timestamp: int, incrementing: int) -> Offset:
    """The offset of timestamp+incrementing mode at this row."""
    return {
        TIMESTAMP_NANOS: timestamp % _SECOND,
        INCREMENTING: incrementing,
        TIMESTAMP: timestamp // _MILLISECOND,
    }


def position_of(offset: Mapping[str, Any] | None) -> Position:
    """The position a stored offset stands for; raises ConnectError naming a value of a wrong type.

    `timestamp_nanos` counts within the second and holds the milliseconds once more; without it the
    milliseconds are all there is.
    """
    if offset is None:
        return Position()
    milliseconds = _long(offset, TIMESTAMP)
    nanos = _long(offset, TIMESTAMP_NANOS)
    timestamp = None
    if milliseconds is not None:
        timestamp = milliseconds * _MILLISECOND
        if nanos is not None:
            timestamp = timestamp // _SECOND * _SECOND + nanos
    return Position(timestamp, _long(offset, INCREMENTING))


def _long(offset: Mapping[str, Any], key: str) -> int | None:
    value = offset.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConnectError(
            f"The stored offset {dict(offset)} cannot be used: {key} must be an integer and is {value!r}. "
            f"Correct or reset it through the connector's /offsets resource"
        )
    return value


def stored_offsets(reader: OffsetReader, tables: Sequence[tuple[str, str]]) -> list[Mapping[str, Any] | None]:
    """The stored offset of each table, given as (full name, bare name), in one look-up.

    An offset under the table's full name wins over one of the old form with the bare name.
    """
    partitions = [
        *(table_partition(full_name) for full_name, _ in tables),
        *(bare_partition(name) for _, name in tables),
    ]
    found = reader.offsets(partitions)
    return [new if new is not None else old for new, old in zip(found, found[len(tables) :], strict=False)]
