"""Record batches, format version 2: the only module that looks inside one.

Elsewhere a batch is opaque bytes with a header, so compression is never undone and the client's checksum
stays end to end.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cramjam
from crc32c import crc32c

from syncline.broker.errors import CORRUPT_MESSAGE, INVALID_RECORD, KafkaError

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE: Final = HEADER.size
"""61 bytes; base offset and length are the first 12."""
CRC_FROM: Final = 21
"""The checksum covers everything from the attributes on."""
NO_PRODUCER: Final = -1
LEADER_EPOCH: Final = 0
"""Of every batch: the only node has led from the beginning."""

SNAPPY: Final = 2
ZSTD: Final = 4
CODECS: Final[Mapping[str, int]] = {"uncompressed": 0, "gzip": 1, "snappy": SNAPPY, "lz4": 3, "zstd": ZSTD}
"""Compressions by their names in `compression.type`."""

SHORTEST_RUN: Final = 16
"""Records of one size that are worth looking at together; from there on twice as many each time."""

_LARGEST_SHIFT: Final = 63
"""Of the bits in the tenth and last byte that a number of 64 bits may take."""
_COMPRESSION: Final = 0x07
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_DELETE_HORIZON: Final = 0x40


class Batch(NamedTuple):
    """The header of a batch and where it lies in some bytes."""

    position: int
    size: int
    """Of the whole batch."""
    base_offset: int
    epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequences wrap to 0 after the largest int32."""
        return (self.base_sequence + self.last_delta) & 0x7FFFFFFF

    @property
    def transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def delete_horizon(self) -> int | None:
        """From when on the batch's tombstones may go, in milliseconds; None until a cleaning has found some."""
        return self.base_timestamp if self.attributes & _DELETE_HORIZON else None

    @property
    def append_time(self) -> bool:
        """Whether its times are the broker's."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def codec(self) -> int:
        return self.attributes & _COMPRESSION


class Record(NamedTuple):
    """One record of a batch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def batch_at(data: bytes | memoryview, position: int) -> Batch:
    """The header at `position`; the batch itself may reach beyond the end of `data`."""
    base, length, *rest = HEADER.unpack_from(data, position)
    return Batch(position, length + 12, base, *rest)


def in_transaction(data: bytes | memoryview) -> bool:
    """Whether the batch at the beginning says that it is part of a transaction; it has a whole header."""
    return bool(data[CRC_FROM + 1] & _TRANSACTIONAL)


def batches(data: bytes | memoryview) -> Iterator[Batch]:
    """The whole batches in `data`; a piece of one at the end is left out."""
    position, end = 0, len(data)
    while end - position >= HEADER_SIZE:
        batch = batch_at(data, position)
        if batch.size < HEADER_SIZE or batch.size > end - position:
            return
        yield batch
        position += batch.size


def checksum_holds(data: bytes | memoryview, batch: Batch) -> bool:
    """Whether the batch is what its writer wrote."""
    return bool(crc32c(memoryview(data)[batch.position + CRC_FROM : batch.position + batch.size]) == batch.crc)


def checked_batches(data: bytes) -> list[Batch]:
    """The batches of a Produce request; KafkaError when one is malformed."""
    found, position = [], 0
    while position < len(data):
        if len(data) - position < HEADER_SIZE:
            raise KafkaError(CORRUPT_MESSAGE, "a record batch is shorter than its header")
        batch = batch_at(data, position)
        if batch.magic != 2:
            raise KafkaError(INVALID_RECORD, f"record format {batch.magic} is not supported, 2 is")
        if batch.size < HEADER_SIZE or batch.size > len(data) - position:
            raise KafkaError(CORRUPT_MESSAGE, "a record batch is not as long as it says")
        if not checksum_holds(data, batch):
            raise KafkaError(CORRUPT_MESSAGE, "a record batch does not match its checksum")
        if batch.records < 1 or batch.last_delta != batch.records - 1:
            raise KafkaError(INVALID_RECORD, "a record batch's count does not match its offsets")
        found.append(batch)
        position += batch.size
    return found


class MalformedRecords(ValueError):
    """The records of a batch are not what its header says."""


class UnreadableRecords(MalformedRecords):
    """Compressed records cannot be decompressed, or are not where they should be."""


class OversizedRecords(MalformedRecords):
    """Compressed records come to more than they may."""


def check_records(data: bytes, batch: Batch, most: int | None = None) -> None:
    """MalformedRecords unless the records fill the batch, and there are as many as the header says.

    `most`: bytes that compressed records may come to; no more memory than that is touched to find out.

    Of compressed batches the first and the last record must also have the offsets they should, as Kafka demands: what
    a producer counts wrongly shows there. The others are not parsed, since that costs more than all the rest.
    """
    if batch.codec:
        body, start = bytes(_body(data, batch, most)), 0
    else:
        body, start = data[: batch.position + batch.size], batch.position + HEADER_SIZE
    try:
        last, position = _passed_over(body, start, batch.records)
        if position != len(body):
            raise MalformedRecords("the records do not end where their batch ends")
        first_delta = _offset_delta(body, start)
        last_delta = first_delta if last == start else _offset_delta(body, last)
    except IndexError as exc:
        raise MalformedRecords("the records reach beyond their batch") from exc
    if batch.codec and (first_delta, last_delta) != (0, batch.records - 1):
        raise UnreadableRecords("the offsets within a batch are not consecutive from 0 on")


def _passed_over(body: bytes, position: int, count: int) -> tuple[int, int]:
    """Where the last of `count` records begins, and where it ends; IndexError when a length is beyond the bytes.

    Two neighbours of one size announce a run of them, which is passed over without looking at each in turn.
    """
    start, size, window = position, 0, SHORTEST_RUN
    while count > 0:
        start = position
        byte = body[position]
        if byte & 1:
            raise MalformedRecords("a record has a negative length")
        if byte < 0x80:
            position += 1 + (byte >> 1)
        elif (more := body[position + 1]) < 0x80:
            position += 2 + (more << 6) + ((byte & 0x7F) >> 1)
        else:
            length, position = _varint(body, position)
            position += length
        count -= 1
        if position - start == size and count >= SHORTEST_RUN:
            found = _run(body, start, size, min(count, window))
            window = window * 2 if found == window else SHORTEST_RUN
            count -= found
            start += found * size
            position += found * size
        size = position - start
    return start, position


def _run(body: bytes, position: int, size: int, most: int) -> int:
    """How many records of the same size follow the one at `position`: all whose length is written in the same bytes."""
    found, column = most, position
    while True:
        same = body[column : column + size * (found + 1) : size]
        found = len(same) - len(same.lstrip(same[:1])) - 1
        if body[column] < 0x80:
            return found
        column += 1


def _offset_delta(body: Any, position: int) -> int:
    _, position = _varint(body, position)
    _, position = _varint(body, position + 1)
    return _varint(body, position)[0]


def rewritten(data: bytes, batch: Batch, codec: int, level: int | None, most: int | None = None) -> bytes:
    """The batch in another compression; `level` as the codec counts it, None for its default."""
    body = _compress(codec, bytes(_body(data, batch, most)), level)
    start = batch.position
    attributes = batch.attributes & ~_COMPRESSION | codec
    tail = struct.pack(">h", attributes) + data[start + CRC_FROM + 2 : start + HEADER_SIZE] + body
    return struct.pack(">qiibI", batch.base_offset, len(tail) + 9, batch.epoch, 2, crc32c(tail)) + tail


def stamped_by_client(data: bytes) -> bytes:
    """The batch without the mark that its times are the broker's."""
    out = bytearray(data)
    (attributes,) = struct.unpack_from(">h", data, CRC_FROM)
    struct.pack_into(">h", out, CRC_FROM, attributes & ~_LOG_APPEND_TIME)
    struct.pack_into(">I", out, 17, crc32c(memoryview(out)[CRC_FROM:]))
    return bytes(out)


def restamped(data: bytes, now_ms: int) -> bytes:
    """The batch with the broker's time on it, as topics with LogAppendTime want."""
    attributes, last_delta, base_timestamp = struct.unpack_from(">hiq", data, CRC_FROM)
    out = bytearray(data)
    struct.pack_into(">hiqq", out, CRC_FROM, attributes | _LOG_APPEND_TIME, last_delta, base_timestamp, now_ms)
    struct.pack_into(">I", out, 17, crc32c(memoryview(out)[CRC_FROM:]))
    return bytes(out)


def records_of(data: bytes | memoryview, batch: Batch, most: int | None = None) -> Iterator[Record]:
    """The records of a batch, decompressed, to `most` bytes if there is a limit."""
    return (record for record, _ in _parsed(_body(data, batch, most), batch))


def filtered(
    data: bytes | memoryview, batch: Batch, keep: Callable[[Record], bool], *, horizon: int | None = None
) -> bytes | None:
    """The batch with those records alone that are to be kept; None when there is none, its own bytes when all are.

    Offsets, sequences and timestamps stay, so the count of records no longer tells how many offsets the batch spans.
    With `horizon` that time (milliseconds) is written into the batch as when its tombstones may go, in the place of
    its base timestamp (KIP-534).
    """
    body = _body(data, batch)
    attributes, base_timestamp = batch.attributes, batch.base_timestamp
    if horizon is not None:
        attributes, base_timestamp = attributes | _DELETE_HORIZON, horizon
    # Only bytes are held on to: as objects, the records of a batch that compresses well would take gigabytes.
    packed, count, newest = bytearray(), 0, -1
    for record, (start, end) in _parsed(body, batch):
        if not keep(record):
            continue
        count += 1
        newest = max(newest, record.timestamp)
        if horizon is None:
            packed += body[start:end]
        else:
            append_time = attributes & _LOG_APPEND_TIME
            packed += _restamped(body, (start, end), 0 if append_time else record.timestamp - horizon)
    if not count:
        return None
    if count == batch.records and horizon is None:
        return bytes(data[batch.position : batch.position + batch.size])
    tail = struct.pack(
        ">hiqqqhii",
        *(attributes, batch.last_delta, base_timestamp, newest),
        *(batch.producer_id, batch.producer_epoch, batch.base_sequence, count),
    ) + _compress(batch.codec, bytes(packed))
    return struct.pack(">qiibI", batch.base_offset, len(tail) + 9, batch.epoch, 2, crc32c(tail)) + tail


def emptied(batch: Batch) -> bytes:
    """The batch without any record: what is left of it tells its producer's epoch and sequence, and its offsets."""
    attributes = batch.attributes & ~(_COMPRESSION | _DELETE_HORIZON)
    tail = struct.pack(
        ">hiqqqhii",
        *(attributes, batch.last_delta, -1, batch.max_timestamp),
        *(batch.producer_id, batch.producer_epoch, batch.base_sequence, 0),
    )
    return struct.pack(">qiibI", batch.base_offset, len(tail) + 9, batch.epoch, 2, crc32c(tail)) + tail


def _restamped(body: Any, raw: tuple[int, int], delta: int) -> bytes:
    """A record with another difference to the base timestamp."""
    start, end = raw
    _, position = _varint(body, start)
    attributes = body[position]
    _, position = _varint(body, position + 1)
    record = bytearray((attributes,))
    _put_varint(record, delta)
    record += body[position:end]
    out = bytearray()
    _put_varint(out, len(record))
    return bytes(out + record)


def _body(data: bytes | memoryview, batch: Batch, most: int | None = None) -> Any:
    body = data[batch.position + HEADER_SIZE : batch.position + batch.size]
    return _decompress(batch.codec, bytes(body), most) if batch.codec else body


def _parsed(body: Any, batch: Batch) -> Iterator[tuple[Record, tuple[int, int]]]:
    """Each record, and where it lies in the body."""
    append_time = batch.attributes & _LOG_APPEND_TIME
    position = 0
    for _ in range(batch.records):
        start = position
        length, position = _varint(body, position)
        end = position + length
        position += 1  # attributes, unused
        stamp_delta, position = _varint(body, position)
        offset_delta, position = _varint(body, position)
        key, position = _bytes(body, position)
        value, position = _bytes(body, position)
        headers, position = _headers(body, position)
        timestamp = batch.max_timestamp if append_time else batch.base_timestamp + stamp_delta
        yield Record(batch.base_offset + offset_delta, timestamp, key, value, headers), (start, end)
        position = end


def _headers(body: Any, position: int) -> tuple[tuple[tuple[str, bytes | None], ...], int]:
    count, position = _varint(body, position)
    found = []
    for _ in range(count):
        key, position = _bytes(body, position)
        value, position = _bytes(body, position)
        found.append(((key or b"").decode(errors="replace"), value))
    return tuple(found), position


def _bytes(body: Any, position: int) -> tuple[bytes | None, int]:
    length, position = _varint(body, position)
    if length < 0:
        return None, position
    return bytes(body[position : position + length]), position + length


def _varint(data: Any, position: int) -> tuple[int, int]:
    raw = shift = 0
    while True:
        byte = data[position]
        position += 1
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (raw >> 1) ^ -(raw & 1), position
        shift += 7
        if shift > _LARGEST_SHIFT:
            # Numbers of any length would cost a time that grows with its square.
            raise MalformedRecords("a number in a record has more than ten bytes")


def _put_varint(out: bytearray, number: int) -> None:
    raw = (number << 1) ^ (number >> 63)
    while raw > 0x7F:
        out.append((raw & 0x7F) | 0x80)
        raw >>= 7
    out.append(raw)


_LIBRARIES: Final[Mapping[int, Any]] = {1: cramjam.gzip, 3: cramjam.lz4, ZSTD: cramjam.zstd}
_MOST_RATIO: Final[Mapping[int, int]] = {1: 1_032, 3: 255, ZSTD: 32_768}
"""What a byte can become at most: 258 bytes of two bits, 255 of one byte, a block of 128 KiB of four."""
_LIKELY_RATIO: Final = 8
_FULL: Final = "failed to write whole buffer"
"""Of the library's error when there is no room for more."""


def _decompress(codec: int, body: bytes, most: int | None) -> bytes:
    """OversizedRecords when it comes to more than `most` bytes, found out without touching more than twice as many."""
    try:
        if codec == SNAPPY:
            return _unsnappy(body, most)
        library = _LIBRARIES.get(codec)
        if library is None:
            raise UnreadableRecords(f"compression codec {codec} does not exist")
        if most is None or len(body) * _MOST_RATIO[codec] <= most:
            return bytes(library.decompress(body))
        likely = bytearray(min(most, len(body) * _LIKELY_RATIO))
        found = _decompressed_into(library, body, likely)
        if found is not None:
            return bytes(memoryview(likely)[:found])
        # Of so large a room only the part that is written to becomes memory.
        with mmap.mmap(-1, most) as room:
            found = _decompressed_into(library, body, room)
            if found is not None:
                return room[:found]
    except cramjam.DecompressionError as exc:
        raise UnreadableRecords(f"the records cannot be decompressed: {exc}") from exc
    raise OversizedRecords(f"the records come to more than {most} bytes when they are decompressed")


def _decompressed_into(library: Any, body: bytes, room: bytearray | mmap.mmap) -> int | None:
    """Bytes written to `room`; None when it is too small."""
    try:
        return int(library.decompress_into(body, room))
    except cramjam.DecompressionError as exc:
        if str(exc) == _FULL:
            return None
        raise


def _compress(codec: int, body: bytes, level: int | None = None) -> bytes:
    if codec == 1:
        return bytes(cramjam.gzip.compress(body, level=6 if level in (None, -1) else level))
    if codec == SNAPPY:
        packed = bytes(cramjam.snappy.compress_raw(body))
        return _XERIAL + struct.pack(">iii", 1, 1, len(packed)) + packed
    if codec == 3:
        # Java's clients cannot read blocks that build on one another.
        stream = cramjam.lz4.Compressor(level=level, content_checksum=False, block_linked=False)
        stream.compress(body)
        return bytes(stream.finish())
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(body, level=3 if level is None else level))
    return body


_XERIAL: Final = b"\x82SNAPPY\x00"


def _unsnappy(body: bytes, most: int | None) -> bytes:
    """Raw snappy, or the block format of the Java library that Kafka's clients use."""
    blocks, position = [body], len(body)
    if body.startswith(_XERIAL):
        blocks, position = [], 16
    while position < len(body):
        size = int.from_bytes(body[position : position + 4], "big")
        blocks.append(body[position + 4 : position + 4 + size])
        position += 4 + size
    # Each block begins with its size, and no more than that is ever written.
    if most is not None and sum(map(cramjam.snappy.decompress_raw_len, blocks)) > most:
        raise OversizedRecords(f"the records come to more than {most} bytes when they are decompressed")
    return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)


@dataclass(frozen=True, slots=True)
class Producer:
    """Who writes a batch."""

    id: int = NO_PRODUCER
    epoch: int = -1
    sequence: int = -1


def make_batch(
    records: Iterable[tuple[bytes | None, bytes | None]],
    now_ms: int,
    *,
    producer: Producer = Producer(),
    transactional: bool = False,
    control: bool = False,
) -> bytes:
    """A batch of our own, uncompressed, with base offset 0."""
    body = bytearray()
    count = 0
    for key, value in records:
        record = bytearray(b"\0\0")  # attributes; timestamp delta 0
        _put_varint(record, count)
        for part in (key, value):
            if part is None:
                _put_varint(record, -1)
            else:
                _put_varint(record, len(part))
                record += part
        _put_varint(record, 0)
        _put_varint(body, len(record))
        body += record
        count += 1
    attributes = (_TRANSACTIONAL if transactional else 0) | (_CONTROL if control else 0)
    tail = struct.pack(
        ">hiqqqhii",
        *(attributes, count - 1, now_ms, now_ms, producer.id, producer.epoch, producer.sequence, count),
    ) + bytes(body)
    return struct.pack(">qiibI", 0, len(tail) + 9, 0, 2, crc32c(tail)) + tail


ABORT: Final = 0
COMMIT: Final = 1


class Marker(NamedTuple):
    """What a control batch says that ends a transaction."""

    producer_id: int
    epoch: int
    kind: int
    """`ABORT` or `COMMIT`."""
    timestamp: int
    coordinator_epoch: int = 0


def make_marker(marker: Marker) -> bytes:
    """The control batch that ends a transaction in a partition."""
    key, value = struct.pack(">hh", 0, marker.kind), struct.pack(">hi", 0, marker.coordinator_epoch)
    producer = Producer(marker.producer_id, marker.epoch, -1)
    return make_batch([(key, value)], marker.timestamp, producer=producer, transactional=True, control=True)


def marker_of(data: bytes | memoryview, batch: Batch) -> Marker | None:
    """What a control batch says if it ends a transaction; None for other control batches."""
    for record in records_of(data, batch):
        if record.key is not None and len(record.key) >= 4:
            kind: int = struct.unpack_from(">hh", record.key)[1]
            if kind in (ABORT, COMMIT):
                value = record.value or b""
                coordinator = struct.unpack_from(">hi", value)[1] if len(value) >= 6 else 0
                return Marker(batch.producer_id, batch.producer_epoch, kind, batch.max_timestamp, coordinator)
    return None


def marker_kind(data: bytes | memoryview, batch: Batch) -> int | None:
    """ABORT or COMMIT for a control batch that ends a transaction; None for other control batches."""
    found = marker_of(data, batch)
    return None if found is None else found.kind
