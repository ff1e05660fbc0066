"""From a source task's records to bytes for the producer: transforms, then converters, list by list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import msgspec

from syncline.api import Converter, EncodesLists
from syncline.data import Schema, SourceRecord
from syncline.kafka.ports import RawHeaders
from syncline.worker.pipeline import Chain, Converters
from syncline.worker.tolerance import Skipped, Stage, Tolerance


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A source record in bytes, or one that is not sent."""

    origin: SourceRecord
    """As the task made it; its offset is committed also when it is not sent."""
    record: SourceRecord | None
    """After the transforms; None when it was dropped or set aside."""
    key: bytes | None = None
    value: bytes | None = None
    headers: RawHeaders = ()


class Encoder:
    """Serves one task; used by one thread."""

    def __init__(self, converters: Converters, chain: Chain[SourceRecord], tolerance: Tolerance) -> None:
        self._key = converters.key
        self._value = converters.value
        self._header = converters.header
        self._chain = chain
        self._tolerance = tolerance

    def encode(self, records: Sequence[SourceRecord]) -> Iterator[Outgoing]:
        """One entry per record, in order. ConnectError when a record fails and that is not tolerated."""
        pairs: Sequence[tuple[SourceRecord, SourceRecord | None]]
        if self._chain:
            pairs = [(record, self._chain.apply(record, partial(_itself, record))) for record in records]
        else:
            pairs = list(zip(records, records, strict=True))
        for shape, group in groupby(pairs, key=_shape):
            if shape is None:
                yield from (Outgoing(origin, None) for origin, _ in group)
            else:
                yield from self._run([(origin, record) for origin, record in group if record is not None])

    def _run(self, pairs: list[tuple[SourceRecord, SourceRecord]]) -> list[Outgoing]:
        """Records of one topic with the same schemas."""
        first = pairs[0][1]
        try:
            keys = _encoded(self._key.made, first.topic, first.key_schema, [r.key for _, r in pairs])
            values = _encoded(self._value.made, first.topic, first.value_schema, [r.value for _, r in pairs])
            return [
                Outgoing(origin, record, key, value, self._headers(record) if record.headers else ())
                for (origin, record), key, value in zip(pairs, keys, values, strict=True)
            ]
        except Exception:  # whatever it is, the way one by one meets it again, and knows the record
            return [self._one(origin, record) for origin, record in pairs]

    def _headers(self, record: SourceRecord) -> RawHeaders:
        write = self._header.made.from_connect_header
        return [(h.key, write(record.topic, h.key, h.schema, h.value)) for h in record.headers]

    def _one(self, origin: SourceRecord, record: SourceRecord) -> Outgoing:
        run, topic = self._tolerance.run, record.topic
        try:
            headers = run(Stage.HEADER_CONVERTER, self._header.java_class, origin, lambda: self._headers(record))
            key = run(
                Stage.KEY_CONVERTER,
                self._key.java_class,
                origin,
                lambda: self._key.made.from_connect(topic, record.key_schema, record.key),
            )
            value = run(
                Stage.VALUE_CONVERTER,
                self._value.java_class,
                origin,
                lambda: self._value.made.from_connect(topic, record.value_schema, record.value),
            )
        except Skipped:
            return Outgoing(origin, None)
        return Outgoing(origin, record, key, value, headers)

    def close(self) -> None:
        """Release what the transforms hold."""
        self._chain.close()


def _shape(pair: tuple[SourceRecord, SourceRecord | None]) -> tuple[str, int, int] | None:
    """What the records of one run share; schemas are interned, so their identity is enough."""
    record = pair[1]
    return None if record is None else (record.topic, id(record.key_schema), id(record.value_schema))


def _encoded(converter: Converter, topic: str, schema: Schema | None, values: list[Any]) -> Sequence[bytes | None]:
    if schema is None and values.count(None) == len(values):
        return [converter.from_connect(topic, None, None)] * len(values)
    if isinstance(converter, EncodesLists):
        return converter.from_connect_list(topic, schema, values)
    return [converter.from_connect(topic, schema, value) for value in values]


def _itself(record: SourceRecord) -> SourceRecord:
    return record
