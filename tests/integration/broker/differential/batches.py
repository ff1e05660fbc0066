"""Record batches as a test wants them, broken ones too; written apart from the broker's own code on purpose."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from typing import Any

import cramjam
from crc32c import crc32c

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)

Pair = tuple[bytes | None, bytes | None]


def varint(number: int) -> bytes:
    raw = (number << 1) ^ (number >> 63)
    out = bytearray()
    while raw > 0x7F:
        out.append((raw & 0x7F) | 0x80)
        raw >>= 7
    return bytes((*out, raw))


def sized(part: bytes | None) -> bytes:
    return varint(-1) if part is None else varint(len(part)) + part


def record(offset: int, pair: Pair, stamp: int = 0, headers: Sequence[tuple[str, bytes | None]] = ()) -> bytes:
    """One record; `offset` and `stamp` are differences to the batch's."""
    body = b"\0" + varint(stamp) + varint(offset) + sized(pair[0]) + sized(pair[1]) + varint(len(headers))
    body += b"".join(sized(name.encode()) + sized(value) for name, value in headers)
    return varint(len(body)) + body


def compressed(codec: int, body: bytes) -> bytes:
    if codec == GZIP:
        return gzip.compress(body)
    if codec == SNAPPY:
        packed = bytes(cramjam.snappy.compress_raw(body))
        return XERIAL + struct.pack(">i", len(packed)) + packed
    if codec == LZ4:
        # Java's clients want blocks that do not build on one another.
        stream = cramjam.lz4.Compressor(content_checksum=False, block_linked=False)
        stream.compress(body)
        return bytes(stream.finish())
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(body))
    return body


def batch(pairs: Sequence[Pair], time_ms: int, **odd: Any) -> bytes:
    """A batch of format 2. `odd` names what is to differ from a good one.

    codec, attributes, magic, crc (added to the right one), count, last_delta, body, deltas (of offsets), stamps
    (differences to `time_ms`), max_time, producer (id, epoch, sequence), length (added to the right one), base.
    """
    codec = odd.get("codec", NONE)
    deltas = odd.get("deltas", range(len(pairs)))
    stamps = odd.get("stamps", [0] * len(pairs))
    body = odd.get("body")
    if body is None:
        parts = zip(deltas, pairs, stamps, strict=True)
        body = compressed(codec, b"".join(record(delta, pair, stamp) for delta, pair, stamp in parts))
    tail = struct.pack(
        ">hiqqqhii",
        odd.get("attributes", codec),
        odd.get("last_delta", len(pairs) - 1),
        time_ms,
        odd.get("max_time", time_ms + max(stamps, default=0)),
        *odd.get("producer", (-1, -1, -1)),
        odd.get("count", len(pairs)),
    )
    tail += body
    checksum = (crc32c(tail) + odd.get("crc", 0)) & 0xFFFFFFFF
    length = len(tail) + 9 + odd.get("length", 0)
    return struct.pack(">qiibI", odd.get("base", 0), length, 0, odd.get("magic", 2), checksum) + tail


def described(data: bytes | None) -> Any:
    """What is in fetched bytes, for the notes: a line for each batch."""
    if not data:
        return [] if data == b"" else None
    found: list[Any] = []
    position = 0
    while len(data) - position >= 61:
        base, length, epoch, magic, _ = struct.unpack_from(">qiibI", data, position)
        attributes, last_delta, first, newest, *_, count = struct.unpack_from(">hiqqqhii", data, position + 21)
        if position + 12 + length > len(data):
            break
        found.append(
            {
                "base": base,
                "epoch": epoch,
                "magic": magic,
                "attributes": attributes,
                "last_delta": last_delta,
                "count": count,
                # Times of the broker differ from run to run; those of the client were chosen.
                "times": "broker's" if attributes & 8 else [first, newest],
            }
        )
        position += 12 + length
    return found if position == len(data) else [*found, "a piece of a batch"]
