"""Between Kafka and a task: converters, headers and transforms, in order and in lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Final, TypeVar

from syncline.api import Converter, DecodesLists, EncodesLists, HeaderConverter, PluginKind, Predicate
from syncline.data import Header, SchemaAndValue, SinkRecord, SourceRecord, TimestampType
from syncline.data.record import NO_HEADERS
from syncline.errors import ConfigError
from syncline.kafka.ports import CREATE_TIME, LOG_APPEND_TIME
from syncline.kafka.ports import KafkaRecord as Message
from syncline.worker.plugins import Plugins
from syncline.worker.settings import WorkerSettings
from syncline.worker.tolerance import Stage, Tolerance, Tolerated

R = TypeVar("R", SinkRecord, SourceRecord)

_STAMPS: Final = {CREATE_TIME: TimestampType.CREATE_TIME, LOG_APPEND_TIME: TimestampType.LOG_APPEND_TIME}


@dataclass(frozen=True, slots=True)
class Named:
    """A plug-in instance with the Java class it is known by."""

    java_class: str
    made: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One transform of the chain, with the predicate that decides whether it applies."""

    transform: Named
    predicate: Predicate[Any] | None
    negate: bool

    def apply(self, record: Any) -> Any:
        if self.predicate is not None and self.predicate.test(record) == self.negate:
            return record
        return self.transform.made.apply(record)


@dataclass(frozen=True, slots=True)
class Converters:
    """The three converters of a task."""

    key: Named
    value: Named
    header: Named

    @classmethod
    def of(cls, plugins: Plugins, settings: WorkerSettings, config: Mapping[str, str]) -> Converters:
        """The connector's own where it names one, the worker's otherwise; ConfigError when one is unusable."""
        return cls(
            _converter(plugins, settings, config, "key.converter", PluginKind.CONVERTER),
            _converter(plugins, settings, config, "value.converter", PluginKind.CONVERTER),
            _converter(plugins, settings, config, "header.converter", PluginKind.HEADER_CONVERTER),
        )


def _converter(
    plugins: Plugins, settings: WorkerSettings, config: Mapping[str, str], which: str, kind: PluginKind
) -> Named:
    own = config.get(which)
    name = own or settings.properties.get(which) or getattr(settings.options, which.replace(".", "_"))
    plugin = plugins.find(name, kind)
    if plugin is None:
        text = f"Invalid value {name} for configuration {which}: Class {name} could not be found."
        raise ConfigError({which: [text]})
    # A connector that names its own converter does not inherit the options of the worker's.
    prefix = f"{which}."
    options = (
        {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
        if own
        else settings.converter(which)
    )
    made = plugin.factory()
    made.configure(options, is_key=which == "key.converter")
    return Named(plugin.java_class, made)


def chain_of(plugins: Plugins, config: Mapping[str, str]) -> list[Step]:
    """The transforms of a connector, in order; ConfigError when one is unusable."""
    steps = []
    for alias in _aliases(config, "transforms"):
        options = _options(config, f"transforms.{alias}.")
        transform = _instance(plugins, options, f"transforms.{alias}.type", PluginKind.TRANSFORMATION)
        predicate = None
        wanted = options.get("predicate")
        if wanted:
            if wanted not in _aliases(config, "predicates"):
                raise ConfigError({f"transforms.{alias}.predicate": [f"Predicate {wanted} is not defined"]})
            of_predicate = _options(config, f"predicates.{wanted}.")
            predicate = _instance(plugins, of_predicate, f"predicates.{wanted}.type", PluginKind.PREDICATE).made
        steps.append(Step(transform, predicate, options.get("negate", "false").strip().lower() == "true"))
    return steps


def _aliases(config: Mapping[str, str], key: str) -> list[str]:
    return [alias.strip() for alias in (config.get(key) or "").split(",") if alias.strip()]


def _options(config: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}


def _instance(plugins: Plugins, options: Mapping[str, str], key: str, kind: PluginKind) -> Named:
    name = options.get("type", "")
    plugin = plugins.find(name, kind)
    if plugin is None:
        raise ConfigError({key: [f"Invalid value {name} for configuration {key}: Class {name} could not be found."]})
    made = plugin.factory()
    made.configure({k: v for k, v in options.items() if k not in ("type", "predicate", "negate")})
    return Named(plugin.java_class, made)


class SinkPipeline:
    """From consumed messages to records for the task."""

    def __init__(self, converters: Converters, chain: Sequence[Step], tolerance: Tolerance) -> None:
        self._key: Converter = converters.key.made
        self._value: Converter = converters.value.made
        self._header: HeaderConverter = converters.header.made
        self._names = converters
        self._chain = chain
        self._tolerance = tolerance

    def records(self, messages: Sequence[Message]) -> list[SinkRecord]:
        """The records of `messages` in order; those set aside or dropped by a transform are left out.

        Raises ConnectError when a record fails and failures are not tolerated.
        """
        out: list[SinkRecord] = []
        for topic, group in groupby(messages, key=_topic):
            out += self._of_topic(topic, list(group))
        return out

    def _of_topic(self, topic: str, messages: list[Message]) -> list[SinkRecord]:
        fast = self._converted(topic, messages)
        if fast is None:
            made = [self._one(topic, message) for message in messages]
            return [record for record in made if record is not None]
        if not self._chain:
            return fast
        kept = (self._transformed(record, message) for record, message in zip(fast, messages, strict=True))
        return [record for record in kept if record is not None]

    def _converted(self, topic: str, messages: list[Message]) -> list[SinkRecord] | None:
        """All at once, or None when one by one is needed."""
        if not isinstance(self._value, DecodesLists):
            return None
        raw_keys = [message.key for message in messages]
        try:
            values = self._value.to_connect_list(topic, [message.value for message in messages])
            if any(key is not None for key in raw_keys) or not isinstance(self._key, DecodesLists):
                read = self._key.to_connect
                keys = (
                    self._key.to_connect_list(topic, raw_keys)
                    if isinstance(self._key, DecodesLists)
                    else [read(topic, raw) for raw in raw_keys]
                )
            else:
                keys = [self._key.to_connect(topic, None)] * len(messages)
            return [
                self._record(topic, message, key, value)
                for message, key, value in zip(messages, keys, values, strict=True)
            ]
        except Exception:  # one of them is bad; the way one by one finds out which and says so
            return None

    def _record(self, topic: str, message: Message, key: SchemaAndValue, value: SchemaAndValue) -> SinkRecord:
        kind, stamp = message.stamp
        raw = message.headers
        return SinkRecord(
            topic,
            message.partition,
            message.offset,
            key[0],
            key[1],
            value[0],
            value[1],
            stamp if stamp >= 0 else None,
            _STAMPS.get(kind, TimestampType.NO_TIMESTAMP_TYPE),
            NO_HEADERS if not raw else self._headers(topic, raw),
        )

    def _headers(self, topic: str, raw: Sequence[tuple[str, bytes | None]]) -> tuple[Header, ...]:
        read = self._header.to_connect_header
        return tuple(Header(name, *read(topic, name, value)) for name, value in raw)

    def _one(self, topic: str, message: Message) -> SinkRecord | None:
        where = coordinates(message)
        run, names = self._tolerance.run, self._names
        try:
            key = run(
                Stage.KEY_CONVERTER,
                names.key.java_class,
                message,
                where,
                lambda: self._key.to_connect(topic, message.key),
            )
            value = run(
                Stage.VALUE_CONVERTER,
                names.value.java_class,
                message,
                where,
                lambda: self._value.to_connect(topic, message.value),
            )
            record = run(
                Stage.HEADER_CONVERTER,
                names.header.java_class,
                message,
                where,
                lambda: self._record(topic, message, key, value),
            )
        except Tolerated:
            return None
        return self._transformed(record, message)

    def _transformed(self, record: SinkRecord, message: Message) -> SinkRecord | None:
        return transformed(self._chain, self._tolerance, record, message, lambda: coordinates(message))


class SourcePipeline:
    """From a task's records to bytes for the producer."""

    def __init__(self, converters: Converters, chain: Sequence[Step], tolerance: Tolerance) -> None:
        self._key: Converter = converters.key.made
        self._value: Converter = converters.value.made
        self._header: HeaderConverter = converters.header.made
        self._names = converters
        self._chain = chain
        self._tolerance = tolerance

    def encode(self, records: Sequence[SourceRecord]) -> list[Encoded]:
        """One entry per record, in order; `topic` None for those set aside or dropped."""
        out: list[Encoded] = []
        if self._chain:
            for record in records:
                new = transformed(self._chain, self._tolerance, record, record, partial(_described, record))
                out += [Encoded(record, None, None, None, ())] if new is None else self._encode_run([new], record)
            return out
        for _, group in groupby(records, key=_shape):
            out += self._encode_run(list(group), None)
        return out

    def _encode_run(self, records: list[SourceRecord], original: SourceRecord | None) -> list[Encoded]:
        """Records of one topic and schema; `original` carries the offset of a transformed one."""
        first = records[0]
        try:
            values = _encode_list(self._value, first.topic, first.value_schema, [r.value for r in records])
            keys = _encode_list(self._key, first.topic, first.key_schema, [r.key for r in records])
            return [
                Encoded(original or record, record.topic, key, value, self._headers(record))
                for record, key, value in zip(records, keys, values, strict=True)
            ]
        except Exception:  # one of them is bad; the way one by one finds out which and says so
            return [self._one(record, original or record) for record in records]

    def _headers(self, record: SourceRecord) -> tuple[tuple[str, bytes | None], ...]:
        if not record.headers:
            return ()
        write = self._header.from_connect_header
        return tuple((h.key, write(record.topic, h.key, h.schema, h.value)) for h in record.headers)

    def _one(self, record: SourceRecord, original: SourceRecord) -> Encoded:
        where = _described(record)
        run, names, topic = self._tolerance.run, self._names, record.topic
        try:
            headers = run(Stage.HEADER_CONVERTER, names.header.java_class, record, where, lambda: self._headers(record))
            key = run(
                Stage.KEY_CONVERTER,
                names.key.java_class,
                record,
                where,
                lambda: self._key.from_connect(topic, record.key_schema, record.key),
            )
            value = run(
                Stage.VALUE_CONVERTER,
                names.value.java_class,
                record,
                where,
                lambda: self._value.from_connect(topic, record.value_schema, record.value),
            )
        except Tolerated:
            return Encoded(original, None, None, None, ())
        return Encoded(original, topic, key, value, headers)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A source record ready to send, or set aside when `topic` is None."""

    record: SourceRecord
    topic: str | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def transformed(
    chain: Sequence[Step], tolerance: Tolerance, record: R, origin: Any, where: Callable[[], str]
) -> R | None:
    """The record after the whole chain; None when it was dropped or set aside."""
    current: R | None = record
    for step in chain:
        if current is None:
            return None
        try:
            current = step.apply(current)
        except Exception:  # again under the policy, which retries, reports and decides
            before = current
            try:
                current = tolerance.run(
                    Stage.TRANSFORMATION,
                    step.transform.java_class,
                    origin,
                    where(),
                    partial(step.apply, before),
                )
            except Tolerated:
                return None
    return current


def _encode_list(converter: Converter, topic: str, schema: Any, values: list[Any]) -> list[bytes | None]:
    if schema is None and all(value is None for value in values):
        return [converter.from_connect(topic, None, None)] * len(values)
    if isinstance(converter, EncodesLists):
        return converter.from_connect_list(topic, schema, values)
    return [converter.from_connect(topic, schema, value) for value in values]


def _topic(message: Message) -> str:
    return message.topic


def _shape(record: SourceRecord) -> tuple[str, int, int]:
    return record.topic, id(record.value_schema), id(record.key_schema)


def coordinates(message: Message) -> str:
    """A consumed record in the words Kafka Connect uses."""
    kind, stamp = message.stamp
    return (
        f"consumed record is {{topic='{message.topic}', partition={message.partition}, "
        f"offset={message.offset}, timestamp={stamp}, "
        f"timestampType={_STAMPS.get(kind, TimestampType.NO_TIMESTAMP_TYPE)}}}"
    )


def _described(record: SourceRecord) -> str:
    return (
        f"source record is = SourceRecord{{sourcePartition={record.source_partition}, "
        f"sourceOffset={record.source_offset}, topic={record.topic}}}"
    )
