"""`__transaction_state` as Kafka writes it: one record per transactional id, by key (KIP-98, KIP-915).

Version 0 is read too. Written is version 1, whose tagged fields hold what a new producer id and the second version
of the protocol need (KIP-890).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

NO_ID: Final = -1
NO_EPOCH: Final = -1
Place = tuple[str, int]
"""Topic and partition."""


class Phase(IntEnum):
    """States, numbered as in Kafka's records."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5


PREPARED: Final = frozenset({Phase.PREPARE_COMMIT, Phase.PREPARE_ABORT})
"""Decided, but markers may be missing."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """What the coordinator knows of one transactional id."""

    id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    phase: Phase = Phase.EMPTY
    partitions: frozenset[Place] = field(default_factory=frozenset)
    updated_ms: int = -1
    started_ms: int = -1
    last_epoch: int = NO_EPOCH
    """The one before, which a producer that lost our last answer still has. As in Kafka, not written."""
    previous_id: int = NO_ID
    """The producer id before this one."""
    next_id: int = NO_ID
    """The producer id from the end of this transaction on, if its epochs are used up."""
    version: int = 0
    """Of the protocol, in which the transaction was begun or ended."""


class UnreadableTransaction(ValueError):
    """A record of a format that is not known."""


def encode_key(transactional_id: str) -> bytes:
    raw = transactional_id.encode()
    return struct.pack(">hh", 0, len(raw)) + raw


def decode_key(key: bytes) -> str:
    """The transactional id; UnreadableTransaction when it is something else."""
    if len(key) < 4 or struct.unpack_from(">hh", key) != (0, len(key) - 4):
        raise UnreadableTransaction(f"key {key[:40]!r}")
    return key[4:].decode()


def encode_value(transaction: Transaction) -> bytes:
    by_topic: dict[str, list[int]] = {}
    for topic, number in sorted(transaction.partitions):
        by_topic.setdefault(topic, []).append(number)
    head = struct.pack(
        ">hqhib", 1, transaction.producer_id, transaction.epoch, transaction.timeout_ms, transaction.phase
    )
    places = b"".join(
        _text(topic) + _varint(len(numbers) + 1) + struct.pack(f">{len(numbers)}i", *numbers) + b"\0"
        for topic, numbers in by_topic.items()
    )
    # Null while nothing was begun, as Kafka has it.
    count = 0 if transaction.phase is Phase.EMPTY and not by_topic else len(by_topic) + 1
    times = struct.pack(">qq", transaction.updated_ms, transaction.started_ms)
    tags = [
        (tag, struct.pack(form, value))
        for tag, form, value, usual in (
            (0, ">q", transaction.previous_id, NO_ID),
            (1, ">q", transaction.next_id, NO_ID),
            (2, ">h", transaction.version, 0),
        )
        if value != usual
    ]
    return head + _varint(count) + places + times + _tagged(tags)


def decode_value(transactional_id: str, value: bytes) -> Transaction:
    """The state a record holds; UnreadableTransaction when it is damaged or of a later format."""
    try:
        return _decoded(transactional_id, value)
    except (struct.error, IndexError, ValueError) as exc:
        raise UnreadableTransaction(f"transaction {transactional_id!r}: {exc}") from exc


def _decoded(transactional_id: str, value: bytes) -> Transaction:
    version, producer_id, epoch, timeout, phase = struct.unpack_from(">hqhib", value)
    if version not in (0, 1):
        raise UnreadableTransaction(f"format {version} is not known")
    reader = _Reader(value, struct.calcsize(">hqhib"), flexible=version == 1)
    places = set()
    for _ in range(reader.count()):
        topic = reader.text()
        places |= {(topic, reader.number("i")) for _ in range(reader.count())}
        reader.tags()
    updated, started = reader.number("q"), reader.number("q")
    tags = reader.tags()
    return Transaction(
        *(transactional_id, producer_id, epoch, timeout, Phase(phase), frozenset(places), updated, started),
        previous_id=_tag(tags, 0, ">q", NO_ID),
        next_id=_tag(tags, 1, ">q", NO_ID),
        version=_tag(tags, 2, ">h", 0),
    )


def _tag(tags: dict[int, bytes], tag: int, form: str, usual: int) -> int:
    found: int = struct.unpack(form, tags[tag])[0] if tag in tags else usual
    return found


class _Reader:
    """Reads fields one after the other; `flexible` as of the formats with tags."""

    def __init__(self, data: bytes, position: int, *, flexible: bool) -> None:
        self._data = data
        self._position = position
        self._flexible = flexible

    def number(self, kind: str) -> int:
        found: int = struct.unpack_from(f">{kind}", self._data, self._position)[0]
        self._position += struct.calcsize(kind)
        return found

    def count(self) -> int:
        """Of an array; null counts as empty."""
        return max(0, self._varint() - 1 if self._flexible else self.number("i"))

    def text(self) -> str:
        return self._bytes(self._varint() - 1 if self._flexible else self.number("h")).decode()

    def tags(self) -> dict[int, bytes]:
        if not self._flexible:
            return {}
        return {self._varint(): self._bytes(self._varint()) for _ in range(self._varint())}

    def _bytes(self, length: int) -> bytes:
        found = self._data[self._position : self._position + length]
        if len(found) != length:
            raise UnreadableTransaction("it ends too early")
        self._position += length
        return found

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._data[self._position]
            self._position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw) + 1) + raw


def _tagged(tags: Iterable[tuple[int, bytes]]) -> bytes:
    found = list(tags)
    return _varint(len(found)) + b"".join(_varint(tag) + _varint(len(raw)) + raw for tag, raw in found)
