"""What a partition takes from a producer: one good batch, rewritten where the topic wants another codec or clock.

The order of the checks, and which code each has, are Apache Kafka's (its `LogValidator`); a message is added where
Kafka has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Final

from syncline.broker.errors import (
    CORRUPT_MESSAGE,
    INVALID_RECORD,
    INVALID_TIMESTAMP,
    MESSAGE_TOO_LARGE,
    RECORD_LIST_TOO_LARGE,
    UNKNOWN_SERVER_ERROR,
    UNSUPPORTED_COMPRESSION_TYPE,
    KafkaError,
)
from syncline.broker.records import (
    CODECS,
    HEADER_SIZE,
    ZSTD,
    Batch,
    MalformedRecords,
    OversizedRecords,
    Record,
    UnreadableRecords,
    batch_at,
    check_records,
    checksum_holds,
    records_of,
    restamped,
    rewritten,
    stamped_by_client,
)

ZSTD_SINCE: Final = 7
"""Version of Produce from which on clients know zstd."""
MOST_UNPACKED: Final = 32 << 20
"""Bytes that a compressed batch may come to. Kafka has no such limit, since it never has all of a batch in memory."""
MOST_NAMED: Final = 10_000
"""Records of a batch that are refused one by one; an answer that names more is of no use to anybody."""
_LEAST: Final = 14
"""Bytes of the shortest record of the formats before 2, which Kafka measures a length against first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a topic says about the records it takes; times in milliseconds."""

    largest: int
    segment_bytes: int
    codec: int | None
    """What records are kept in; None: as they come."""
    level: int | None
    keyed: bool
    append_time: bool
    before_ms: int
    after_ms: int

    @property
    def most_unpacked(self) -> int:
        """Bytes that a batch may come to when it is decompressed."""
        # A topic that keeps records as they are has no use for more than it may keep.
        return self.largest if self.codec == CODECS["uncompressed"] else max(MOST_UNPACKED, self.largest)


class Rejected(KafkaError):
    """Some of a batch's records are refused, each by its place in the batch and with a reason (KIP-467)."""

    def __init__(self, code: int, records: dict[int, str]) -> None:
        shown = ", ".join(f"RecordError(batchIndex={i}, message='{why}')" for i, why in list(records.items())[:3])
        super().__init__(
            code,
            "One or more records have been rejected due to invalid timestamp"
            if code == INVALID_TIMESTAMP
            else f"One or more records have been rejected due to {len(records)} record errors in total, "
            f"and only showing the first three errors at most: [{shown}]",
        )
        self.records = records


def received(data: bytes, version: int) -> Batch:
    """The one batch that a request of this version brings for a partition; KafkaError when it is not one."""
    if len(data) < HEADER_SIZE:
        raise KafkaError(INVALID_RECORD, "a partition takes exactly one record batch in a request")
    batch = batch_at(data, 0)
    if batch.size - 12 < _LEAST:
        raise KafkaError(
            CORRUPT_MESSAGE, f"Record size {batch.size - 12} is less than the minimum record overhead ({_LEAST})"
        )
    if not 0 <= batch.magic <= 2:
        raise KafkaError(CORRUPT_MESSAGE, f"Invalid magic found in record: {batch.magic}")
    if batch.magic != 2:
        raise KafkaError(INVALID_RECORD, f"record format {batch.magic} is not supported, 2 is")
    if batch.size > len(data):
        raise KafkaError(INVALID_RECORD, "a record batch is shorter than it says")
    if len(data) - batch.size >= HEADER_SIZE:
        raise KafkaError(INVALID_RECORD, "a partition takes exactly one record batch in a request")
    if batch.codec == ZSTD and version < ZSTD_SINCE:
        raise KafkaError(UNSUPPORTED_COMPRESSION_TYPE)
    return batch


def check_whole(data: bytes, batch: Batch, rules: Rules) -> None:
    """KafkaError when the batch is too large or was damaged on its way."""
    if batch.size > rules.largest:
        raise KafkaError(MESSAGE_TOO_LARGE, f"the batch is larger than max.message.bytes={rules.largest}")
    if not checksum_holds(data, batch):
        raise KafkaError(CORRUPT_MESSAGE, "a record batch does not match its checksum")
    if batch.size > rules.segment_bytes:
        raise KafkaError(RECORD_LIST_TOO_LARGE, f"the batch is larger than segment.bytes={rules.segment_bytes}")


def check_contents(data: bytes, batch: Batch, rules: Rules, place: tuple[str, int], now_ms: int) -> None:
    """KafkaError when header and records do not fit each other, or the topic does not take the records.

    `place`: topic and partition, for the message.
    """
    if batch.size < HEADER_SIZE:
        raise KafkaError(CORRUPT_MESSAGE, "a record batch is not as long as it says")
    if batch.base_offset != 0:
        raise KafkaError(INVALID_RECORD, f"the base offset of a new batch is 0, not {batch.base_offset}")
    if batch.records < 1 or batch.last_delta != batch.records - 1:
        raise KafkaError(INVALID_RECORD, "a record batch's count does not match its offsets")
    if batch.control:
        raise KafkaError(INVALID_RECORD, "clients may not write control records")
    try:
        check_records(data, batch, rules.most_unpacked)
        if rules.keyed:
            _check_keys(data, batch, rules, place)
        _check_times(data, batch, rules, now_ms)
    except OversizedRecords as exc:
        raise KafkaError(MESSAGE_TOO_LARGE, str(exc)) from exc
    except MalformedRecords as exc:
        # Kafka has no code of its own for what it cannot read in compressed batches.
        unreadable = isinstance(exc, UnreadableRecords)
        raise KafkaError(UNKNOWN_SERVER_ERROR if unreadable else INVALID_RECORD, str(exc)) from exc
    except IndexError as exc:
        raise KafkaError(INVALID_RECORD, "a record is not as long as its parts") from exc


def _check_keys(data: bytes, batch: Batch, rules: Rules, place: tuple[str, int]) -> None:
    topic, number = place
    why = f"Compacted topic cannot accept message without key in topic partition {topic}-{number}"
    numbered = enumerate(records_of(data, batch, rules.most_unpacked))
    without = dict(islice(((number, why) for number, record in numbered if record.key is None), MOST_NAMED))
    if without:
        raise Rejected(INVALID_RECORD, without)


def _check_times(data: bytes, batch: Batch, rules: Rules, now_ms: int) -> None:
    """Records are only looked at where the header tells of a time beyond the limits."""
    if rules.append_time:
        return
    earliest, latest = now_ms - rules.before_ms, now_ms + rules.after_ms
    if earliest <= batch.base_timestamp <= latest and earliest <= batch.max_timestamp <= latest:
        return

    def wrong(record: Record) -> bool:
        return record.timestamp != -1 and not earliest <= record.timestamp <= latest

    numbered = enumerate(records_of(data, batch, rules.most_unpacked))
    found = {
        number: f"Timestamp {record.timestamp} of message with offset {number} is out of range. "
        f"The timestamp should be within [{earliest}, {latest}]"
        for number, record in islice(((n, record) for n, record in numbered if wrong(record)), MOST_NAMED)
    }
    if found:
        raise Rejected(INVALID_TIMESTAMP, found)


def as_kept(data: bytes, batch: Batch, rules: Rules, now_ms: int) -> bytes:
    """The batch as the topic keeps it: its own bytes, unless codec or clock are the topic's.

    KafkaError when it is too large then.
    """
    if rules.codec is not None and rules.codec != batch.codec:
        data = rewritten(data, batch, rules.codec, rules.level, rules.most_unpacked)
        if len(data) > rules.largest:
            raise KafkaError(MESSAGE_TOO_LARGE, f"rewritten, it is larger than max.message.bytes={rules.largest}")
    else:
        data = data[: batch.size]
    if rules.append_time:
        return restamped(data, now_ms)
    return stamped_by_client(data) if batch.append_time else data
