"""A sparse index of a segment, in the formats of Kafka's `.index` and `.timeindex`."""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import Final, Self

from syncline.broker.records import Batch

INDEX_EVERY: Final = 4096
"""Bytes between two entries, Kafka's `index.interval.bytes`."""
LARGEST_RELATIVE: Final = 0x7FFFFFFF
"""Offsets are counted from the segment's first in 32 bits."""
_LITTLE: Final = sys.byteorder == "little"


class Index:
    """Of some batches of a segment: offset, position, and the largest timestamp up to there."""

    def __init__(self, base_offset: int) -> None:
        self.base_offset = base_offset
        self.max_timestamp = -1
        self.max_timestamp_offset = base_offset
        self._offsets = array("i")
        self._positions = array("i")
        self._timestamps = array("q")
        self._since_entry = INDEX_EVERY

    def __len__(self) -> int:
        return len(self._offsets)

    def note(self, batch: Batch, position: int, base_offset: int) -> None:
        """Remember a batch that lies at `position` with this base offset, whatever its header says."""
        # A batch that compaction emptied has the time of records that are gone.
        if batch.records and batch.max_timestamp > self.max_timestamp:
            self.max_timestamp = batch.max_timestamp
            self.max_timestamp_offset = base_offset + batch.last_delta
        if self._since_entry >= INDEX_EVERY:
            self._offsets.append(base_offset - self.base_offset)
            self._positions.append(position)
            self._timestamps.append(self.max_timestamp)
            self._since_entry = 0
        self._since_entry += batch.size

    def position_of(self, offset: int) -> int:
        """Where to start looking for the batch that holds `offset`."""
        slot = bisect_right(self._offsets, offset - self.base_offset) - 1
        return self._positions[slot] if slot >= 0 else 0

    def position_of_time(self, timestamp: int) -> int:
        """Where to start looking for the first record not older than `timestamp`."""
        slot = bisect_right(self._timestamps, timestamp - 1) - 1
        return self._positions[slot] if slot >= 0 else 0

    def pop(self) -> int:
        """Take the last of the entries out; the position of its batch, from which on batches are to be noted again."""
        relative, timestamp = self._offsets.pop(), self._timestamps.pop()
        if timestamp < self.max_timestamp:
            # The largest came later, from a batch that may be gone.
            self.max_timestamp, self.max_timestamp_offset = timestamp, self.base_offset + relative
        self._since_entry = INDEX_EVERY
        return self._positions.pop()

    def encode(self, size: int) -> tuple[bytes, bytes]:
        """The contents of `.index` and `.timeindex` for the first `size` bytes of the segment.

        The latter has one entry more, for the largest timestamp.
        """
        count = bisect_left(self._positions, size)
        relative = self._offsets[:count]
        offsets = array("i", bytes(8 * count))
        offsets[0::2], offsets[1::2] = relative, self._positions[:count]
        halves = array("I", self._timestamps[:count].tobytes())
        low, high = (halves[0::2], halves[1::2]) if _LITTLE else (halves[1::2], halves[0::2])
        times = array("I", bytes(12 * count))
        times[0::3], times[1::3], times[2::3] = high, low, array("I", relative.tobytes())
        if _LITTLE:
            offsets.byteswap()
            times.byteswap()
        last = struct.pack(">qi", self.max_timestamp, self.max_timestamp_offset - self.base_offset)
        return offsets.tobytes(), times.tobytes() + last

    @classmethod
    def decode(cls, base_offset: int, offsets: bytes, times: bytes) -> Self:
        """What `encode` made. The caller knows that the bytes are whole."""
        made = cls(base_offset)
        pairs, triples = array("i", offsets), array("I", times[:-12])
        if _LITTLE:
            pairs.byteswap()
            triples.byteswap()
        made._offsets, made._positions = pairs[0::2], pairs[1::2]
        halves = array("I", bytes(8 * len(made)))
        high, low = triples[0::3], triples[1::3]
        halves[0::2], halves[1::2] = (low, high) if _LITTLE else (high, low)
        made._timestamps = array("q", halves.tobytes())
        made.max_timestamp, relative = struct.unpack(">qi", times[-12:])
        made.max_timestamp_offset = base_offset + relative
        made._since_entry = 0
        return made
