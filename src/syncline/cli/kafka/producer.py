"""`kafka-console-producer`: lines of standard input as records."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from syncline.cli.kafka.flags import BOOTSTRAP, Flag, Given, Tool, UsageError, properties_of, reason
from syncline.errors import ConnectError

TOOL: Final = Tool(
    "kafka-console-producer",
    "Write the lines of standard input to a topic.",
    (
        BOOTSTRAP,
        Flag("batch-size", "Bytes of a batch.", "bytes"),
        Flag("broker-list", "The same as --bootstrap-server.", "servers"),
        Flag("command-config", "A properties file with settings of the producer.", "file"),
        Flag("command-property", "A setting of the producer, name=value; may be repeated.", "name=value"),
        Flag(
            "compression-codec", "none, gzip, snappy, lz4 or zstd; gzip when nothing is named.", " codec", optional=True
        ),
        Flag("line-reader", "Accepted for the reader this tool has.", "class"),
        Flag("max-block-ms", "Milliseconds to wait for room.", "ms"),
        Flag("max-memory-bytes", "Bytes that may wait to be sent.", "bytes"),
        Flag("max-partition-memory-bytes", "The same as --batch-size.", "bytes"),
        Flag("message-send-max-retries", "How often a record is sent again.", "number"),
        Flag("metadata-expiry-ms", "Milliseconds between looks at the cluster.", "ms"),
        Flag("producer-property", "A setting of the producer, name=value; may be repeated.", "name=value"),
        Flag("producer.config", "A properties file with settings of the producer.", "file"),
        Flag(
            "property",
            "How lines are read: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator, "
            "headers.key.separator, null.marker, ignore.error; may be repeated.",
            "name=value",
        ),
        Flag("reader-config", "A properties file with what --property gives.", "file"),
        Flag("reader-property", "The same as --property.", "name=value"),
        Flag("request-required-acks", "all, 1 or 0.", "acks"),
        Flag("request-timeout-ms", "Milliseconds to wait for the broker.", "ms"),
        Flag("retry-backoff-ms", "Milliseconds between attempts.", "ms"),
        Flag("socket-buffer-size", "Bytes of the socket's buffer.", "bytes"),
        Flag("sync", "Wait for each record."),
        Flag("timeout", "Milliseconds to wait for more records before a batch is sent.", "ms"),
        Flag("topic", "The topic.", "topic"),
    ),
)
SETTINGS: Final = {
    "batch-size": "batch.size",
    "max-partition-memory-bytes": "batch.size",
    "compression-codec": "compression.type",
    "max-memory-bytes": "buffer.memory",
    "message-send-max-retries": "retries",
    "metadata-expiry-ms": "metadata.max.age.ms",
    "request-required-acks": "acks",
    "request-timeout-ms": "request.timeout.ms",
    "retry-backoff-ms": "retry.backoff.ms",
    "socket-buffer-size": "send.buffer.bytes",
    "timeout": "linger.ms",
}
"""Flags that are settings of the producer."""
FLUSH_SECONDS: Final = 60.0


class LineError(Exception):
    """A line that is no record."""


class Line(NamedTuple):
    """A record as a line gives it."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReader:
    """How lines are read; names and defaults are those of Kafka's own reader."""

    parse_key: bool = False
    parse_headers: bool = False
    key_separator: bytes = b"\t"
    headers_delimiter: bytes = b"\t"
    headers_separator: bytes = b","
    header_key_separator: bytes = b":"
    null_marker: bytes | None = None
    ignore_error: bool = False

    @classmethod
    def of(cls, properties: Mapping[str, str]) -> Self:
        """UsageError for a property that no reader has."""
        known = {
            "parse.key": "parse_key",
            "parse.headers": "parse_headers",
            "ignore.error": "ignore_error",
            "key.separator": "key_separator",
            "headers.delimiter": "headers_delimiter",
            "headers.separator": "headers_separator",
            "headers.key.separator": "header_key_separator",
            "null.marker": "null_marker",
        }
        found: dict[str, bool | bytes] = {}
        for name, text in properties.items():
            if name not in known:
                raise UsageError(f"{name} is no property of the reader; known are {', '.join(known)}")
            field = known[name]
            found[field] = text.strip().lower() == "true" if name.startswith(("parse", "ignore")) else text.encode()
        separators = [found.get(f"{name}", b"-") for name in ("headers_delimiter", "headers_separator")]
        if any(separator == b"" for separator in separators):
            raise UsageError("the separators of headers must not be empty")
        return cls(**found)  # type: ignore[arg-type]  # each field has its type by its name

    def read(self, number: int, line: bytes) -> Line:
        """LineError when the line is no record and errors count."""
        headers: list[tuple[str, bytes | None]] = []
        key: bytes | None = None
        rest = line
        if self.parse_headers:
            text, rest = self._cut(number, line, rest, self.headers_delimiter, "headers delimiter")
            if text is not None and text != self.null_marker:
                headers = [self._header(number, part) for part in text.split(self.headers_separator)]
        if self.parse_key:
            key, rest = self._cut(number, line, rest, self.key_separator, "key separator")
        return Line(self._or_null(key), self._or_null(rest), headers)

    def _cut(self, number: int, line: bytes, rest: bytes, separator: bytes, what: str) -> tuple[bytes | None, bytes]:
        before, found, after = rest.partition(separator)
        if found:
            return before, after
        if self.ignore_error:
            return None, rest
        raise LineError(f"No {what} found on line number {number}: '{line.decode(errors='replace')}'")

    def _header(self, number: int, text: bytes) -> tuple[str, bytes | None]:
        name, found, value = text.partition(self.header_key_separator)
        if not found and not self.ignore_error:
            raise LineError(
                f"No header key separator found in pair '{text.decode(errors='replace')}' on line number {number}"
            )
        return name.decode(errors="surrogateescape"), self._or_null(value) if found else None

    def _or_null(self, raw: bytes | None) -> bytes | None:
        return None if raw == self.null_marker else raw


def run(arguments: list[str]) -> int:
    """Send until the input ends; the exit status."""
    given = TOOL.read(arguments)
    address = given.one("bootstrap-server") or given.one("broker-list")
    if address is None:
        raise UsageError('Missing required argument "[bootstrap-server]"')
    given.required("topic")
    reader = LineReader.of(reader_properties(given))
    properties = client_properties(given, address)
    from syncline.app import kafka_tool_producer

    topic = given.one("topic") or ""
    producer = kafka_tool_producer(properties)
    failures: list[Exception] = []

    def report(error: Exception | None, _: object) -> None:
        if error is not None:
            failures.append(error)
            print(f"a record for topic {topic} was not delivered: {reason(error)}", file=sys.stderr)

    status = 0
    try:
        for number, line in enumerate(lines(), start=1):
            record = reader.read(number, line)
            producer.send(topic, record.key, record.value, headers=record.headers, on_delivery=report)
            if given.has("sync") and not producer.flush(FLUSH_SECONDS):
                raise ConnectError(f"record {number} was not acknowledged within {FLUSH_SECONDS:g} s")
    except (LineError, ConnectError) as exc:
        kind = "org.apache.kafka.common.KafkaException" if isinstance(exc, LineError) else exc.java_class
        print(f"{kind}: {exc}", file=sys.stderr)
        status = 1
    if not producer.flush(FLUSH_SECONDS):
        print(f"{producer.outstanding()} records were not acknowledged within {FLUSH_SECONDS:g} s", file=sys.stderr)
        status = 1
    producer.close()
    return 1 if failures else status


def lines() -> Iterator[bytes]:
    """Lines of standard input, without their ends; at a terminal after a prompt."""
    prompt = sys.stdin.isatty()
    while True:
        if prompt:
            print(">", end="", flush=True)
        line = sys.stdin.buffer.readline()
        if not line:
            return
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def reader_properties(given: Given) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in given.all("reader-config"):
        found |= properties_of(file)
    # Only what a reader knows: the same property may be meant for a class of Java's.
    return {**found, **given.pairs("property", "reader-property")}


def client_properties(given: Given, address: str) -> dict[str, str]:
    found = given.client("producer.config", "command-config", address=address)
    for flag, setting in SETTINGS.items():
        value = given.one(flag)
        if value is not None:
            found[setting] = value
        elif given.has(flag):
            found[setting] = "gzip"
    timeout = str(int(FLUSH_SECONDS * 1000))
    return {"delivery.timeout.ms": timeout, **found, **given.pairs("producer-property", "command-property")}
