"""JsonConverter: JSON, by default with its schema in the same record (spec/connect.md 6.2).

The fast path costs one dictionary look-up per record: the bytes up to the payload name the schema and its
decoder, and msgspec decodes the payload straight into the schema's struct. What it refuses goes the careful
way of `json_lenient`, which accepts what loses nothing and says what is wrong with the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from syncline.api import Converter, HeaderConverter, PluginKind, plugin
from syncline.converters.json_lenient import Lenient, parse
from syncline.converters.json_schema import read_schema, write_schema
from syncline.data import DECIMAL, TIME, Schema, SchemaAndValue, Type
from syncline.data.logical import decimal_from_bytes, decimal_scale
from syncline.data.numbers import to_float32
from syncline.data.schema import python_type
from syncline.errors import DataError
from syncline.options import Importance, Kind, any_case, load, one_of, option

NOTHING: Final = SchemaAndValue(None, None)
_PAYLOAD: Final = b',"payload":'
_SCHEMA: Final = b'{"schema":'
_WANTS_ENVELOPE: Final = (
    'JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional '
    "fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter "
    "configuration."
)


@dataclass(frozen=True, kw_only=True)
class JsonConverterConfig:
    schemas: bool = option(
        "schemas.enable",
        "Whether each record carries its schema.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.HIGH,
    )
    cache_size: int = option(
        "schemas.cache.size",
        "How many schemas are remembered in each direction.",
        kind=Kind.INT,
        default="1000",
        importance=Importance.HIGH,
    )
    decimal_format: str = option(
        "decimal.format",
        "BASE64 or NUMERIC: how decimals are written; both are read.",
        default="BASE64",
        importance=Importance.LOW,
        check=any_case(["BASE64", "NUMERIC"]),
    )
    replace_null: bool = option(
        "replace.null.with.default",
        "Whether a null in a field that has a default counts as that default.",
        kind=Kind.BOOLEAN,
        default="true",
        importance=Importance.LOW,
    )
    coercion: str = option(
        "coercion",
        "strict refuses records that the JVM's converter would alter in silence, java alters them likewise.",
        default="strict",
        importance=Importance.LOW,
        check=one_of(["strict", "java"]),
    )


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The two members of a record with schema, unparsed."""

    schema: msgspec.Raw
    payload: msgspec.Raw


_envelope: Final = msgspec.json.Decoder(Envelope)

Fixup = Callable[[Any], Any]


@dataclass(slots=True)
class Decoder:
    """How payloads of one schema are decoded."""

    schema: Schema
    decode: Callable[[bytes], Any] | None
    """None where only the careful way is right."""
    fixup: Fixup | None


@plugin(PluginKind.CONVERTER, "org.apache.kafka.connect.json.JsonConverter", settings=JsonConverterConfig)
@plugin(PluginKind.HEADER_CONVERTER, "org.apache.kafka.connect.json.JsonConverter", settings=JsonConverterConfig)
class JsonConverter(Converter, HeaderConverter):
    """See the module; one instance per task and side."""

    def __init__(self) -> None:
        self.configure({}, is_key=False)

    def configure(self, config: Mapping[str, str], *, is_key: bool = False) -> None:
        settings = load(JsonConverterConfig, config)
        self._schemas = settings.schemas
        self._java = settings.coercion == "java"
        self._lenient = Lenient(
            java=self._java,
            replace_null=settings.replace_null,
            numeric_decimals=settings.decimal_format.upper() == "NUMERIC",
        )
        self._replace_null = settings.replace_null
        self._cache_size = max(settings.cache_size, 1)
        self._by_prefix: dict[bytes, Decoder] = {}
        self._by_schema: dict[bytes, Decoder] = {}
        self._encoders: dict[Schema, tuple[bytes, bool]] = {}
        self._last_prefix = b"\0"
        self._last: Decoder | None = None

    # -- reading ------------------------------------------------------------------------------

    def to_connect(self, topic: str, raw: bytes | None) -> SchemaAndValue:
        if raw is None:
            return NOTHING
        if not self._schemas:
            return NOTHING if not raw else SchemaAndValue(None, self._lenient.read_plain(parse(raw, java=self._java)))
        return self._with_schema(raw)

    def to_connect_list(self, topic: str, raws: Sequence[bytes | None]) -> list[SchemaAndValue]:
        """As `to_connect` for each."""
        if not self._schemas:
            return [self.to_connect(topic, raw) for raw in raws]
        read = self._with_schema
        return [NOTHING if raw is None else read(raw) for raw in raws]

    def _with_schema(self, raw: bytes) -> SchemaAndValue:
        prefix = self._last_prefix
        decoder = self._last
        if not raw.startswith(prefix):
            # The first `,"payload":` may stand inside the schema's own texts; such a prefix is never in the
            # dictionary, because prefixes get there only after their schema was parsed as a whole.
            end = raw.find(_PAYLOAD)
            prefix = raw[: end + len(_PAYLOAD)]
            decoder = self._by_prefix.get(prefix) if end > 0 else None
            if decoder is None:
                return self._careful(raw)
            self._last_prefix, self._last = prefix, decoder
        if decoder is not None and decoder.decode is not None and raw.endswith(b"}"):
            try:
                value = decoder.decode(raw[len(prefix) : -1])
                if decoder.fixup is not None:
                    value = decoder.fixup(value)
            except (msgspec.MsgspecError, DataError, UnicodeDecodeError):
                return self._careful(raw)
            return SchemaAndValue(decoder.schema, value)
        return self._careful(raw)

    def _careful(self, raw: bytes) -> SchemaAndValue:
        """Split by parsing; remember the prefix for the records to come."""
        try:
            parts = _envelope.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._from_parsed(raw)
        schema_text = bytes(parts.schema)
        if schema_text == b"null":
            return SchemaAndValue(None, self._lenient.read_plain(parse(bytes(parts.payload), java=self._java)))
        decoder = self._decoder(schema_text)
        prefix = _SCHEMA + schema_text + _PAYLOAD
        if raw.startswith(prefix):
            _remember(self._by_prefix, prefix, decoder, self._cache_size)
            self._last_prefix, self._last = prefix, decoder
        payload = bytes(parts.payload)
        if decoder.decode is not None:
            try:
                value = decoder.decode(payload)
                return SchemaAndValue(decoder.schema, value if decoder.fixup is None else decoder.fixup(value))
            except (msgspec.MsgspecError, DataError, UnicodeDecodeError):
                pass  # the careful reader below accepts it or says what is wrong with it
        return SchemaAndValue(decoder.schema, self._lenient.read(decoder.schema, parse(payload, java=self._java)))

    def _from_parsed(self, raw: bytes) -> SchemaAndValue:
        value = parse(raw, java=self._java) if raw else None
        if not isinstance(value, dict) or value.keys() != {"schema", "payload"}:
            raise DataError(f"{_WANTS_ENVELOPE} The record begins {raw[:60]!r}.")
        if value["schema"] is None:
            return SchemaAndValue(None, self._lenient.read_plain(value["payload"]))
        schema = self._read_schema(value["schema"])
        return SchemaAndValue(schema, self._lenient.read(schema, value["payload"]))

    def _read_schema(self, json: Any) -> Schema:
        return read_schema(json, self._lenient.read, java=self._java)

    def _decoder(self, schema_text: bytes) -> Decoder:
        known = self._by_schema.get(schema_text)
        if known is None:
            schema = self._read_schema(parse(schema_text, java=self._java))
            known = Decoder(schema, None, None)
            if not self._java and (self._replace_null or not _has_defaults(schema)):
                known.decode = msgspec.json.Decoder(python_type(schema)).decode
                known.fixup = _fixup(schema)
            _remember(self._by_schema, schema_text, known, self._cache_size)
        return known

    # -- writing ------------------------------------------------------------------------------

    def from_connect(self, topic: str, schema: Schema | None, value: Any) -> bytes | None:
        if schema is None and value is None:
            return None
        if not self._schemas:
            return self._payload(schema, value)
        if schema is None:
            return b'{"schema":null,"payload":' + self._payload(None, value) + b"}"
        return self._encoder(schema)[0] + self._payload(schema, value) + b"}"

    def from_connect_list(self, topic: str, schema: Schema | None, values: Sequence[Any]) -> list[bytes | None]:
        """As `from_connect` for each."""
        if schema is None or not self._schemas:
            return [self.from_connect(topic, schema, value) for value in values]
        prefix, simple = self._encoder(schema)
        if not simple:
            write = self._payload
            return [prefix + write(schema, value) + b"}" for value in values]
        encode, kind, careful = _json.encode, schema.struct_class, self._payload
        out: list[bytes | None] = []
        for value in values:
            text = encode(value) if type(value) is kind else careful(schema, value)
            if not text.isascii() or b"\\u00" in text or (b"null" in text and _lacks_required(schema, value)):
                text = careful(schema, value)
            out.append(prefix + text + b"}")
        return out

    def to_connect_header(self, topic: str, key: str, raw: bytes | None) -> SchemaAndValue:
        return self.to_connect(topic, raw)

    def from_connect_header(self, topic: str, key: str, schema: Schema | None, value: Any) -> bytes | None:
        return self.from_connect(topic, schema, value)

    def _encoder(self, schema: Schema) -> tuple[bytes, bool]:
        """The record up to its payload, and whether msgspec's own encoding of a struct is Kafka Connect's."""
        known = self._encoders.get(schema)
        if known is None:
            json = write_schema(schema, lambda inner: self._lenient.write(inner.replace(default=None), inner.default))
            prefix = _SCHEMA + _java_text(_json.encode(json)) + _PAYLOAD
            known = (
                prefix,
                schema.type is Type.STRUCT and all(map(_simple, (f.schema for f in schema.fields))),
            )
            _remember(self._encoders, schema, known, self._cache_size)
        return known

    def _payload(self, schema: Schema | None, value: Any) -> bytes:
        return _java_text(_json.encode(self._lenient.write(schema, value)))


_json: Final = msgspec.json.Encoder()


def _remember(cache: dict[Any, Any], key: Any, value: Any, size: int) -> None:
    if len(cache) >= size:
        cache.clear()
    cache[key] = value


def _has_defaults(schema: Schema | None) -> bool:
    if schema is None:
        return False
    inner = (schema.key_schema, schema.value_schema, *(field.schema for field in schema.fields))
    return schema.default is not None or any(map(_has_defaults, inner))


def _simple(schema: Schema) -> bool:
    """Whether a field needs nothing that msgspec does not do by itself when it encodes."""
    plain = schema.type in (
        Type.INT8,
        Type.INT16,
        Type.INT32,
        Type.INT64,
        Type.BOOLEAN,
        Type.STRING,
        Type.BYTES,
    )
    return plain and schema.name not in (DECIMAL, TIME) and schema.default is None


def _lacks_required(schema: Schema, value: Any) -> bool:
    return any(getattr(value, f.attribute) is None for f in schema.fields if not f.schema.optional)


_ABOVE_BMP: Final = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
_CONTROL: Final = re.compile(rb"\\\\|\\u00[01][0-9a-f]")


def _java_text(text: bytes) -> bytes:
    """JSON escaped as Jackson does: beyond the BMP as two escapes, hexadecimal digits in capitals."""
    if b"\\u00" in text:
        text = _CONTROL.sub(lambda m: m[0] if m[0] == rb"\\" else rb"\u" + m[0][2:].upper(), text)
    return text if text.isascii() else _ABOVE_BMP.sub(_surrogates, text)


def _surrogates(match: re.Match[bytes]) -> bytes:
    point = ord(match[0].decode()) - 0x10000
    return b"\\u%04X\\u%04X" % (0xD800 + (point >> 10), 0xDC00 + (point & 0x3FF))


def _fixup(schema: Schema) -> Fixup | None:
    """What is left to do after msgspec decoded a payload; None where nothing is.

    Decimals come out as bytes, FLOAT32 with eight bytes' precision, null for a default as null.
    """
    own = _own_fixup(schema)
    if schema.default is None or not schema.optional:
        return None if own is None else _unless_none(own)
    default = schema.default

    def with_default(value: Any) -> Any:
        return default if value is None else value if own is None else own(value)

    return with_default


def _unless_none(own: Fixup) -> Fixup:
    return lambda value: None if value is None else own(value)


def _own_fixup(schema: Schema) -> Fixup | None:
    if schema.name == DECIMAL and schema.type is Type.BYTES:
        return _decimal_fixup(schema)
    if schema.name == TIME:
        return _time_fixup
    if schema.type is Type.FLOAT32:
        return to_float32
    if schema.type is Type.ARRAY and schema.value_schema is not None:
        inner = _fixup(schema.value_schema)
        return None if inner is None else lambda values: [inner(value) for value in values]
    if schema.type is Type.MAP:
        return _map_fixup(schema)
    if schema.type is Type.STRUCT:
        return _struct_fixup(schema)
    return None


def _decimal_fixup(schema: Schema) -> Fixup:
    if "scale" not in schema.parameters:
        return _refuse
    scale = decimal_scale(schema)
    return lambda unscaled: unscaled if not isinstance(unscaled, bytes) else decimal_from_bytes(unscaled, scale)


def _refuse(value: Any) -> Any:
    raise DataError("needs the careful way")


def _time_fixup(value: int) -> int:
    return value if 0 <= value <= 86_400_000 else _refuse(value)


def _map_fixup(schema: Schema) -> Fixup | None:
    if schema.key_schema is None or schema.key_schema.type is not Type.STRING:
        return _refuse  # written as pairs, which msgspec does not take for a map
    inner = None if schema.value_schema is None else _fixup(schema.value_schema)
    return None if inner is None else lambda values: {key: inner(value) for key, value in values.items()}


def _struct_fixup(schema: Schema) -> Fixup | None:
    work = [(f.attribute, fix) for f in schema.fields if (fix := _fixup(f.schema)) is not None]
    if not work:
        return None

    def complete(value: Any) -> Any:
        for attribute, change in work:
            setattr(value, attribute, change(getattr(value, attribute)))
        return value

    return complete
