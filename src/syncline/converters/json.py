"""JsonConverter: JSON with its schema in every record, `{"schema": ..., "payload": ...}`, or plain JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, Final, TypeVar

import msgspec

from syncline.converters.formats import Format, announced, converter_type
from syncline.converters.json_decoding import REFUSALS, Decode, decoder
from syncline.converters.json_reading import Coercion, Reader
from syncline.converters.json_schema import SchemaReader, schema_json
from syncline.converters.json_text import MISSING, kind_of, parse, shown
from syncline.converters.json_writing import Writer
from syncline.data import Schema, SchemaAndValue
from syncline.errors import DataError
from syncline.options import Importance, Kind, Width, any_case, at_least, load, option


@dataclass(frozen=True, kw_only=True)
class JsonConverterConfig:
    type: str = converter_type()
    schemas_enable: bool = option(
        "schemas.enable",
        "Include schemas within each of the serialized values and keys.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.HIGH,
        group="Schemas",
        order=0,
        width=Width.MEDIUM,
        display="Enable Schemas",
    )
    cache_size: int = option(
        "schemas.cache.size",
        "How many schemas to remember, in each direction.",
        kind=Kind.INT,
        default="1000",
        check=at_least(0),
        importance=Importance.HIGH,
        group="Schemas",
        order=1,
        width=Width.MEDIUM,
        display="Schema Cache Size",
    )
    decimal_format: str = option(
        "decimal.format",
        "How to write Decimals: BASE64 (of the bytes of the unscaled number) or NUMERIC. Reading takes both.",
        default="BASE64",
        check=any_case(("NUMERIC", "BASE64")),
        importance=Importance.LOW,
        group="Serialization",
        order=0,
        width=Width.MEDIUM,
        display="Decimal Format",
    )
    replace_null: bool = option(
        "replace.null.with.default",
        "Whether a null where the schema has a default counts as that default.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.LOW,
        group="Serialization",
        order=1,
        width=Width.MEDIUM,
        display="Replace null with default",
    )
    coercion: str = option(
        "coercion",
        "What becomes of values that do not fit their schema: strict refuses the record, java alters the value "
        "in silence exactly as Kafka Connect does (300 for an INT8 becomes 44, text for a number 0).",
        default="strict",
        check=any_case(("strict", "java")),
        importance=Importance.LOW,
        group="Serialization",
        order=2,
        width=Width.MEDIUM,
        display="Coercion",
    )


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """A record with its schema, neither of them parsed."""

    schema: msgspec.Raw
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Shape:
    """What the text of a schema means, and what surrounds the payload in a record with it.

    A record that begins with `head`, ends with `tail` and has one whole JSON value in between is an
    envelope of this schema and nothing else, whatever the texts in that value say.
    """

    schema: Schema | None
    decode: Decode
    head: bytes
    tail: bytes


K = TypeVar("K")
V = TypeVar("V")

_UNFRAMED: Final = (b"\xff", b"")
"""Head and tail that no JSON text has."""

_split: Final = msgspec.json.Decoder(Envelope).decode
_pair: Final[Callable[[Any], SchemaAndValue]] = partial(tuple.__new__, SchemaAndValue)

_NULL: Final = SchemaAndValue(None, None)


@announced("org.apache.kafka.connect.json.JsonConverter", JsonConverterConfig)
class JsonConverter(Format):
    """Takes and gives what Java's does, byte for byte; faster, and without altering values in silence."""

    def set_up(self, config: Mapping[str, str]) -> None:
        settings = load(JsonConverterConfig, config)
        self._settings = settings
        self._cache_size = max(settings.cache_size, 1)
        self._coercion = Coercion(settings.coercion.lower())
        self._reader = Reader(self._coercion, replace_null=settings.replace_null)
        self._schemas = SchemaReader(self._reader)
        self._writer = Writer(
            self._coercion,
            numeric=settings.decimal_format.upper() == "NUMERIC",
            replace_null=settings.replace_null,
        )
        self._shapes: dict[bytes, Shape] = {}
        """By the text of the schema."""
        self._latest: dict[str, Shape] = {}
        """By topic; most topics hold records of one shape only."""
        self._encoders: dict[Schema | None, tuple[bytes, Callable[[Any], bytes], bytes]] = {}
        """What goes in front of payloads, how to write them, and what goes behind them."""
        self._plain = decoder(None, self._coercion, replace_null=settings.replace_null)

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        if raw is None:
            return _NULL
        try:
            return self._fast(topic, raw)
        except REFUSALS:
            pass  # not inside the handler: what msgspec said is no cause of what comes now
        try:
            schema, tree = self._taken_apart(raw)
            return SchemaAndValue(schema, self._reader.value(schema, tree))
        except RecursionError:
            raise DataError(f"nested too deeply; the record begins with {shown(raw)}") from None

    def to_connect_list(self, topic: str, raws: Sequence[bytes | None]) -> list[SchemaAndValue]:
        """As `to_connect` for each; records of one shape are decoded without a look at each envelope."""
        if raws and raws[0] is not None:
            self.to_connect(topic, raws[0])
        shape = self._latest.get(topic)
        if shape is not None:
            payloads = _payloads(shape, raws)
            if len(payloads) == len(raws):
                try:
                    return list(map(_pair, zip(repeat(shape.schema), map(shape.decode, payloads))))
                except REFUSALS:
                    pass  # one by one, the careful way for those that need it
        return [self.to_connect(topic, raw) for raw in raws]

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if schema is None and value is None:
            return None
        head, encode, tail = self._encoder(schema)
        return head + encode(value) + tail

    def from_connect_list(self, topic: str, schema: Schema | None, values: Sequence[Any]) -> list[bytes | None]:
        """As `from_connect` for each."""
        if schema is None:
            return [self.from_connect(topic, None, value) for value in values]
        head, encode, tail = self._encoder(schema)
        return [head + encode(value) + tail for value in values]

    def _fast(self, topic: str, raw: bytes) -> SchemaAndValue:
        """Decoded without a look at what the schema says; raises one of REFUSALS when that is not enough."""
        if not self._settings.schemas_enable:
            return SchemaAndValue(None, self._plain(raw))
        shape = self._latest.get(topic)
        if shape is not None and raw.startswith(shape.head) and raw.endswith(shape.tail):
            payload = raw[len(shape.head) : len(raw) - len(shape.tail)]
            return SchemaAndValue(shape.schema, shape.decode(payload))
        envelope = _split(raw)
        shape = self._shape(raw, envelope)
        remember(self._latest, topic, shape, self._cache_size)
        return SchemaAndValue(shape.schema, shape.decode(bytes(envelope.payload)))

    def _shape(self, raw: bytes, envelope: Envelope) -> Shape:
        text = bytes(envelope.schema)
        shape = self._shapes.get(text)
        if shape is None:
            schema = self._schemas.schema(parse(text, ignore_rest=False))
            decode = decoder(schema, self._coercion, replace_null=self._settings.replace_null)
            shape = Shape(schema, decode, *frame(raw, text, bytes(envelope.payload)))
            remember(self._shapes, text, shape, self._cache_size)
        return shape

    def _taken_apart(self, raw: bytes) -> tuple[Schema | None, Any]:
        """The schema and the tree of the payload, the careful way; DataError says what is wrong."""
        java = self._coercion is Coercion.JAVA
        if not self._settings.schemas_enable:
            tree = parse(raw, ignore_rest=java)
            return None, None if tree is MISSING else tree
        try:
            envelope = _split(raw)
            return self._shape(raw, envelope).schema, parse(bytes(envelope.payload), ignore_rest=False)
        except REFUSALS:
            pass  # again as a whole, for what msgspec does not take, or for an error with the right position
        tree = parse(raw, ignore_rest=java)
        if not isinstance(tree, dict) or tree.keys() != {"schema", "payload"}:
            raise self._no_envelope(raw, tree)
        return self._schemas.schema(tree["schema"]), tree["payload"]

    def _no_envelope(self, raw: bytes, tree: Any) -> DataError:
        found = "nothing" if tree is MISSING else f"a JSON {kind_of(tree).lower()}"
        if isinstance(tree, dict):
            found = f"an object with the fields {', '.join(tree) or '(none)'}"
        return DataError(
            'JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain '
            "additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in "
            f"your converter configuration ({self._settings.type}.converter.schemas.enable=false). Found "
            f"{found}; the record begins with {shown(raw)}"
        )

    def _encoder(self, schema: Schema | None) -> tuple[bytes, Callable[[Any], bytes], bytes]:
        known = self._encoders.get(schema)
        if known is None:
            encode = self._writer.encoder(schema)
            if self._settings.schemas_enable:
                known = b'{"schema":%b,"payload":' % schema_json(schema, self._writer), encode, b"}"
            else:
                known = b"", encode, b""
            remember(self._encoders, schema, known, self._cache_size)
        return known


def remember(cache: dict[K, V], key: K, value: V, size: int) -> None:
    """Put an entry into a cache of at most `size`, which is emptied when full: those in use soon return."""
    if len(cache) >= size:
        cache.clear()
    cache[key] = value


def _payloads(shape: Shape, raws: Sequence[bytes | None]) -> list[bytes]:
    """What stands between the shape's head and tail, of those records that have both."""
    head, tail = shape.head, shape.tail
    start, end = len(head), -len(tail)
    return [raw[start:end] for raw in raws if raw and raw.startswith(head) and raw.endswith(tail)]


_BLANKS: Final = rb"[ \t\n\r]*"


def _tokens(*tokens: bytes) -> re.Pattern[bytes]:
    return re.compile(b"".join(_BLANKS + re.escape(token) for token in tokens) + _BLANKS)


_OPEN_SCHEMA: Final = _tokens(b"{", b'"schema"', b":")
_THEN_PAYLOAD: Final = _tokens(b",", b'"payload"', b":")
_OPEN_PAYLOAD: Final = _tokens(b"{", b'"payload"', b":")
_THEN_SCHEMA: Final = _tokens(b",", b'"schema"', b":")
_CLOSE: Final = _tokens(b"}")


def frame(raw: bytes, schema: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """What stands before and after `payload` in the envelope `raw`, proven to hold `schema` and no more.

    Not every envelope has a frame: one with a key twice, for example, has none.
    """
    orders = (
        ((_OPEN_SCHEMA, schema, _THEN_PAYLOAD), (_CLOSE,)),
        ((_OPEN_PAYLOAD,), (_THEN_SCHEMA, schema, _CLOSE)),
    )
    for before, after in orders:
        head = _beginning(before, raw)
        tail = _beginning(after, raw[len(head) + len(payload) :])
        if head and tail and head + payload + tail == raw:
            return head, tail
    return _UNFRAMED


def _beginning(parts: Sequence[re.Pattern[bytes] | bytes], text: bytes) -> bytes:
    """The beginning of `text` that consists of `parts`; empty when it does not begin so."""
    end = 0
    for part in parts:
        if isinstance(part, bytes):
            if not text.startswith(part, end):
                return b""
            end += len(part)
        else:
            found = part.match(text, end)
            if found is None:
                return b""
            end = found.end()
    return text[:end]
