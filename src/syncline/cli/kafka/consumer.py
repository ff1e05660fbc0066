"""`kafka-console-consumer`: records of topics on standard output."""

from __future__ import annotations

import random
import struct
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from syncline.cli.kafka.flags import BOOTSTRAP, Flag, Given, Tool, UsageError, properties_of
from syncline.clock import SYSTEM_CLOCK
from syncline.errors import ConnectError, RetriableError
from syncline.ids import TopicPartition

if TYPE_CHECKING:
    from syncline.app import KafkaConsumer, KafkaRecord

TOOL: Final = Tool(
    "kafka-console-consumer",
    "Print the records of topics.",
    (
        BOOTSTRAP,
        Flag("command-config", "A properties file with settings of the consumer.", "file"),
        Flag("command-property", "A setting of the consumer, name=value; may be repeated.", "name=value"),
        Flag("consumer-property", "A setting of the consumer, name=value; may be repeated.", "name=value"),
        Flag("consumer.config", "A properties file with settings of the consumer.", "file"),
        Flag("enable-systest-events", "Accepted."),
        Flag("formatter", "DefaultMessageFormatter or NoOpMessageFormatter, by the names Kafka gives them.", "class"),
        Flag("formatter-config", "A properties file with what --property gives.", "file"),
        Flag("formatter-property", "The same as --property.", "name=value"),
        Flag("from-beginning", "Start with the oldest record, where the group has no offset."),
        Flag("group", "The group to read in; its offsets are committed.", "group"),
        Flag("include", "A regular expression for topics to read.", "regex"),
        Flag("isolation-level", "read_committed or read_uncommitted.", "level"),
        Flag("key-deserializer", "How keys are printed: a deserializer of Kafka's.", "class"),
        Flag("max-messages", "Stop after so many records.", "number"),
        Flag("offset", "earliest, latest or an offset; needs --partition.", "offset"),
        Flag("partition", "Read this partition alone, without a group.", "number"),
        Flag(
            "property",
            "What is printed: print.timestamp, print.partition, print.offset, print.headers, print.key, print.value, "
            "key.separator, line.separator, headers.separator, null.literal, key.deserializer, value.deserializer; "
            "may be repeated.",
            "name=value",
        ),
        Flag("skip-message-on-error", "Leave out records that cannot be printed."),
        Flag("timeout-ms", "Stop when no record came for so many milliseconds.", "ms"),
        Flag("topic", "The topic.", "topic"),
        Flag("value-deserializer", "How values are printed: a deserializer of Kafka's.", "class"),
    ),
)
COMMIT_SECONDS: Final = 5.0
READ_COUNT: Final = 500
READ_SECONDS: Final = 0.2
DESERIALIZERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "StringDeserializer": lambda raw: raw.decode(errors="replace").encode(),
    "ByteArrayDeserializer": lambda raw: raw,
    "BytesDeserializer": lambda raw: raw,
    "ShortDeserializer": lambda raw: _unpacked(">h", raw),
    "IntegerDeserializer": lambda raw: _unpacked(">i", raw),
    "LongDeserializer": lambda raw: _unpacked(">q", raw),
    "FloatDeserializer": lambda raw: _unpacked(">f", raw),
    "DoubleDeserializer": lambda raw: _unpacked(">d", raw),
    "BooleanDeserializer": lambda raw: str(_number(">?", raw)).lower().encode(),
    "UUIDDeserializer": lambda raw: str(uuid.UUID(raw.decode())).encode(),
    "VoidDeserializer": lambda raw: b"null",
}
"""What Java prints of a value, by the last part of the class name."""


def _number(form: str, raw: bytes) -> object:
    try:
        return struct.unpack(form, raw)[0]
    except struct.error as exc:
        raise ValueError(f"{len(raw)} bytes are no value of that kind") from exc


def _unpacked(form: str, raw: bytes) -> bytes:
    return str(_number(form, raw)).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatter:
    """What is printed of a record; names and defaults are those of Kafka's own formatter."""

    timestamp: bool = False
    partition: bool = False
    offset: bool = False
    headers: bool = False
    key: bool = False
    value: bool = True
    key_separator: bytes = b"\t"
    line_separator: bytes = b"\n"
    headers_separator: bytes = b","
    null: bytes = b"null"
    key_text: Callable[[bytes], bytes] = bytes
    value_text: Callable[[bytes], bytes] = bytes
    silent: bool = False

    @classmethod
    def of(cls, given: Given) -> Self:
        """UsageError for a formatter or property that is not known."""
        properties: dict[str, str] = {}
        for file in given.all("formatter-config"):
            properties |= properties_of(file)
        properties |= given.pairs("property", "formatter-property")
        for which in ("key", "value"):
            if given.has(f"{which}-deserializer"):
                properties[f"{which}.deserializer"] = given.one(f"{which}-deserializer") or ""
        name = (given.one("formatter") or "DefaultMessageFormatter").rpartition(".")[2]
        if name not in ("DefaultMessageFormatter", "NoOpMessageFormatter"):
            raise UsageError(f"{given.one('formatter')} is no formatter of this tool; see --help")
        found: dict[str, object] = {"silent": name == "NoOpMessageFormatter"}
        for name, text in properties.items():
            match name.split("."):
                case ["print", ("timestamp" | "partition" | "offset" | "headers" | "key" | "value") as part]:
                    found[part] = text.strip().lower() == "true"
                case [("key" | "line" | "headers") as part, "separator"]:
                    found[f"{part}_separator"] = text.encode()
                case ["null", "literal"]:
                    found["null"] = text.encode()
                case [("key" | "value") as part, "deserializer"]:
                    found[f"{part}_text"] = deserializer(text)
                case ["headers", "deserializer"] | ["print", "delivery"] | ["print", "epoch"]:
                    pass
                case _:
                    raise UsageError(f"{name} is no property of the formatter; see --help")
        return cls(**found)  # type: ignore[arg-type]  # each field has its type by its name

    def line(self, record: KafkaRecord) -> bytes:
        """What stands for the record, its line's end included; ValueError when a part cannot be read."""
        parts = [self._stamp(record)] if self.timestamp else []
        if self.partition:
            parts.append(b"Partition:%d" % record.partition)
        if self.offset:
            parts.append(b"Offset:%d" % record.offset)
        if self.headers:
            parts.append(self._headers(record))
        if self.key:
            parts.append(self.null if record.key is None else self.key_text(record.key))
        if self.value:
            parts.append(self.null if record.value is None else self.value_text(record.value))
        return self.key_separator.join(parts) + self.line_separator

    def _stamp(self, record: KafkaRecord) -> bytes:
        from syncline.app import LOG_APPEND_TIME

        if record.timestamp is None:
            return b"NO_TIMESTAMP"
        return b"%s:%d" % (b"LogAppendTime" if record.stamp[0] == LOG_APPEND_TIME else b"CreateTime", record.timestamp)

    def _headers(self, record: KafkaRecord) -> bytes:
        if not record.headers:
            return b"NO_HEADERS"
        shown = (b"%s:%s" % (name.encode(), self.null if raw is None else raw) for name, raw in record.headers)
        return self.headers_separator.join(shown)


def deserializer(name: str) -> Callable[[bytes], bytes]:
    """By class name; UsageError for one that is not known."""
    found = DESERIALIZERS.get(name.strip().rpartition(".")[2])
    if found is None:
        raise UsageError(f"{name} is no deserializer of this tool; known are {', '.join(DESERIALIZERS)}")
    return found


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read, and how."""

    properties: Mapping[str, str]
    group: str | None
    """As given; offsets are committed then."""
    topics: str
    """A topic, or a regular expression that begins with ^."""
    partition: int | None
    start: int | None
    """An offset of the partition, or BEGINNING or END."""

    @classmethod
    def of(cls, given: Given) -> Self:
        """UsageError when the flags contradict each other."""
        from syncline.app import BEGINNING, END

        given.required("bootstrap-server")
        if given.has("topic") == given.has("include"):
            raise UsageError("Exactly one of --include/--topic is required. ")
        partition = given.number("partition", 0)
        if given.has("offset") and partition is None:
            raise UsageError("The partition is required when offset is specified.")
        if partition is not None and not given.has("topic"):
            raise UsageError("The topic is required when partition is specified.")
        start = BEGINNING if given.has("from-beginning") else END
        text = given.one("offset")
        if text is not None:
            if given.has("from-beginning"):
                raise UsageError("The options from-beginning and offset cannot be specified together.")
            start = offset_of(text)
        own = given.pairs("consumer-property", "command-property")
        if given.has("isolation-level"):
            level = given.one("isolation-level") or ""
            if level not in ("read_committed", "read_uncommitted"):
                raise UsageError(f"--isolation-level {level!r} is neither read_committed nor read_uncommitted")
            own["isolation.level"] = level
        properties = given.client("consumer.config", "command-config")
        groups = {name for name in (given.one("group"), own.get("group.id"), properties.get("group.id")) if name}
        if len(groups) > 1:
            raise UsageError(
                "The group ids provided in different places (directly using '--group', via '--consumer-property', or "
                "via '--consumer.config') do not match. Detected group ids: "
                + ", ".join(f"'{group}'" for group in sorted(groups))
            )
        group = next(iter(groups), None)
        if group and partition is not None:
            raise UsageError("Options group and partition cannot be specified together.")
        reset = "earliest" if given.has("from-beginning") else "latest"
        merged = {"auto.offset.reset": reset, **properties, **own}
        merged["group.id"] = group or f"console-consumer-{random.randrange(100_000)}"  # noqa: S311  # a name, no secret
        topics = given.one("topic") or f"^({(given.one('include') or '').replace(',', '|')})$"
        return cls(merged, group, topics, partition, start)


def offset_of(text: str) -> int:
    from syncline.app import BEGINNING, END

    known = {"earliest": BEGINNING, "latest": END}
    if text.lower() in known:
        return known[text.lower()]
    if not text.isdecimal():
        raise UsageError(
            f"The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a "
            "non-negative long."
        )
    return int(text)


def run(arguments: list[str]) -> int:
    """Print until there is a reason to stop; the exit status."""
    given = TOOL.read(arguments)
    formatter = Formatter.of(given)
    most, timeout_ms = given.number("max-messages"), given.number("timeout-ms")
    plan = Plan.of(given)
    printer = Printer(formatter, skip=given.has("skip-message-on-error"))
    try:
        with Reading(plan) as reading:
            for record in reading.records(None if timeout_ms is None or timeout_ms < 0 else timeout_ms / 1000):
                if most is not None and 0 <= most <= printer.count:
                    break
                printer.print(record)
                reading.done(record)
                if printer.count == most:
                    break
    except ConnectError as exc:
        print(f"{exc.java_class}: {exc}", file=sys.stderr)
        return 1
    finally:
        printer.end()
    return 0


class Printer:
    """Prints records and counts them."""

    def __init__(self, formatter: Formatter, *, skip: bool) -> None:
        self.count = 0
        self._formatter = formatter
        self._skip = skip

    def print(self, record: KafkaRecord) -> None:
        self.count += 1
        if self._formatter.silent:
            return
        try:
            line = self._formatter.line(record)
        except ValueError as exc:
            if not self._skip:
                where = f"{record.topic}-{record.partition} at offset {record.offset}"
                raise ConnectError(f"the record in {where} cannot be printed: {exc}") from exc
            print(f"Error processing message, skipping this message: {exc}", file=sys.stderr)
            return
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    def end(self) -> None:
        print(f"Processed a total of {self.count} messages", file=sys.stderr)


class Reading:
    """A consumer as the plan wants it; with a group it commits what was printed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._done: dict[TopicPartition, int] = {}
        self._committed = SYSTEM_CLOCK.monotonic()

    def __enter__(self) -> Self:
        from syncline.app import Rebalance, kafka_tool_consumer

        plan = self._plan
        self._consumer: KafkaConsumer = kafka_tool_consumer(plan.properties)
        if plan.partition is not None and plan.start is not None:
            self._consumer.assign({TopicPartition(plan.topics, plan.partition): plan.start})
        else:
            self._consumer.subscribe([plan.topics], Rebalance(lambda _: None, lambda _: self._commit(), self._lost))
        return self

    def __exit__(self, *_: object) -> None:
        self._commit()
        self._consumer.close()

    def records(self, quiet_seconds: float | None) -> Iterator[KafkaRecord]:
        """Until none came for so long."""
        quiet_since = SYSTEM_CLOCK.monotonic()
        while True:
            found = self._consumer.read(READ_COUNT, READ_SECONDS)
            if found:
                yield from found
                quiet_since = SYSTEM_CLOCK.monotonic()
            elif quiet_seconds is not None and SYSTEM_CLOCK.monotonic() - quiet_since > quiet_seconds:
                return
            if SYSTEM_CLOCK.monotonic() - self._committed > COMMIT_SECONDS:
                self._commit()

    def done(self, record: KafkaRecord) -> None:
        """The record was printed."""
        self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1

    def _commit(self) -> None:
        self._committed = SYSTEM_CLOCK.monotonic()
        if self._plan.group is None or not self._done:
            return
        done, self._done = self._done, {}
        try:
            self._consumer.commit(done)
        except RetriableError as exc:
            print(f"offsets were not committed, so these records come again: {exc}", file=sys.stderr)

    def _lost(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._done.pop(place, None)
