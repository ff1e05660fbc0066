"""Requests of every API, damaged: bits flipped, cut short, lengths changed, or plain noise. Seeded.

In full: `python -m tests.integration.broker.fuzzing --count 100000`. A run prints what it did; the same seed sends
the same bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import random
import re
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, Message, Producer
from kio.index import load_request_schema
from kio.serial import entity_writer

from syncline.broker.handlers import APIS
from syncline.broker.records import make_batch
from tests.integration.broker.consumers import new_topic
from tests.integration.broker.raw import RawClient
from tests.processes import BrokerProgram
from tests.servers import wait_for

NAMES = ["f1", "f2", "f3", "group-1", "group-2", "txn", "", "ü", "a b", "x" * 300, "consumer", "range", "1"]
INTEGERS = [0, 1, 2, 3, 5, -1, -2, 7, 100, 4096, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), 2**62, -(2**63)]
BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}
LIST_TOPIC = 3
SETTINGS = {
    "socket.request.max.bytes": "1048576",
    "auto.create.topics.enable": "false",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT",
    "sasl.enabled.mechanisms": "SCRAM-SHA-256",
    "connection.failed.authentication.delay.ms": "0",
}


class Fuzzer:
    """Makes frames, valid and damaged."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._versions = [(api.key, version) for api in APIS.values() for version in range(api.lowest, api.highest + 1)]

    def every_version(self) -> Iterator[tuple[int, int, bytes]]:
        """One valid frame of each version of each API: what the broker must know before memory is measured."""
        for api_key, version in self._versions:
            yield api_key, version, self.valid(api_key, version)

    def frame(self) -> bytes:
        """The next frame, mostly damaged."""
        frame = self.valid(*self._dice.choice(self._versions))
        return self._dice.choice(
            [self._intact, self._flipped, self._flipped, self._cut, self._stretched, self._spliced, self._noise]
        )(frame)

    def valid(self, api_key: int, version: int) -> bytes:
        """A request that decodes, of random content."""
        schema = load_request_schema(api_key, version)
        out = io.BytesIO()
        header: dict[str, Any] = {
            "request_api_key": api_key,
            "request_api_version": version,
            "correlation_id": 1,
            "client_id": "f",
        }
        names = {one.name for one in dataclasses.fields(schema.__header_schema__)}
        given = {name: value for name, value in header.items() if name in names}
        entity_writer(schema.__header_schema__)(out, schema.__header_schema__(**given))
        entity_writer(schema)(out, self._entity(schema))
        return struct.pack(">i", out.tell()) + out.getvalue()

    def _entity(self, schema: Any) -> Any:
        return schema(**{one.name: self._value(one.type, one.metadata.get("kafka_type")) for one in _fields(schema)})

    def _value(self, annotation: Any, kind: str | None) -> Any:
        dice = self._dice
        if get_origin(annotation) in (Union, UnionType):
            inner = next(part for part in get_args(annotation) if part is not type(None))
            if type(None) in get_args(annotation) and dice.random() < 0.2:
                return None
            return self._value(inner, kind)
        if get_origin(annotation) is tuple:
            return tuple(self._value(get_args(annotation)[0], kind) for _ in range(dice.choice([0, 1, 1, 1, 2, 3])))
        if dataclasses.is_dataclass(annotation):
            return self._entity(annotation)
        return self._plain(kind or "int32")

    def _plain(self, kind: str) -> Any:
        dice = self._dice
        match kind:
            case "string":
                return dice.choice(NAMES)
            case "bool":
                return dice.random() < 0.5
            case "uuid":
                return UUID(int=dice.choice([0, 1, dice.getrandbits(128)]))
            case "bytes":
                return dice.randbytes(dice.choice([0, 1, 8, 50]))
            case "records":
                records = [(dice.randbytes(3), dice.randbytes(20))] * dice.choice([1, 3])
                batch = bytearray(make_batch(records, dice.choice([0, 1_700_000_000_000])))
                if dice.random() < 0.5:
                    batch[dice.randrange(len(batch))] ^= 1 << dice.randrange(8)
                return bytes(batch)
            case "float64":
                return dice.choice([0.0, 1.5, -1.0, float("inf")])
            case "error_code":
                return 0
        if kind.startswith("timedelta"):
            return timedelta(milliseconds=dice.choice([0, 0, 1, 5, 100, 10_000]))
        if kind.startswith("datetime"):
            return datetime.fromtimestamp(dice.choice([0, 1_700_000_000]), UTC)
        return self._integer(BITS.get(kind, 32), signed=not kind.startswith("u"))

    def _integer(self, bits: int, *, signed: bool) -> int:
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return self._dice.choice([number for number in INTEGERS if low <= number <= high])

    # -- damage -----------------------------------------------------------------------------------

    def _intact(self, frame: bytes) -> bytes:
        return frame

    def _flipped(self, frame: bytes) -> bytes:
        changed = bytearray(frame)
        for _ in range(self._dice.choice([1, 1, 2, 8])):
            # Mostly behind the length, so that the damage reaches the decoder.
            changed[self._dice.randrange(4 if self._dice.random() < 0.9 else 0, len(frame))] ^= (
                1 << self._dice.randrange(8)
            )
        return bytes(changed)

    def _cut(self, frame: bytes) -> bytes:
        body = frame[4 : 4 + self._dice.randrange(len(frame) - 4)]
        # Half of them admit it.
        return (struct.pack(">i", len(body)) if self._dice.random() < 0.5 else frame[:4]) + body

    def _stretched(self, frame: bytes) -> bytes:
        length = self._dice.choice([-1, 0, 3, 2**20, 2**20 + 1, 100 * 2**20, 2**31 - 1, len(frame)])
        return struct.pack(">i", length) + frame[4:]

    def _spliced(self, frame: bytes) -> bytes:
        at = self._dice.randrange(4, len(frame))
        inserted = self._dice.choice(
            [b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80" * 5, self._dice.randbytes(6), frame[4:]]
        )
        body = frame[4:at] + inserted + frame[at:]
        return struct.pack(">i", len(body)) + body

    def _noise(self, frame: bytes) -> bytes:
        return self._dice.randbytes(self._dice.randrange(1, 200))


def _fields(schema: Any) -> Any:
    return dataclasses.fields(schema)


@dataclass
class Neighbour:
    """A healthy client: what it produces it reads, in order, while others misbehave."""

    bootstrap: str
    topic: str
    count: int = 0
    errors: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="neighbour")
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        def failed(error: KafkaError) -> None:
            self.errors.append(str(error))

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.errors.append(str(error))

        at = {"bootstrap.servers": self.bootstrap, "error_cb": failed}
        producer = Producer(at | {"enable.idempotence": True, "linger.ms": 0})
        consumer = Consumer(at | {"group.id": "neighbours", "auto.offset.reset": "earliest"})
        consumer.subscribe([self.topic])
        while not self._over.is_set() and not self.errors:
            producer.produce(self.topic, str(self.count).encode(), on_delivery=delivered)
            producer.poll(0)
            message = consumer.poll(60)
            if message is None or message.error() is not None or message.value() != str(self.count).encode():
                self.errors.append(f"read {message and message.value()!r} in place of {self.count}")
                break
            self.count += 1
        producer.flush(60)
        consumer.close()


@dataclass(frozen=True)
class Outcome:
    """What a run showed."""

    frames: int
    connections: int
    answered_bytes: int
    neighbour_count: int
    neighbour_errors: list[str]
    grown_bytes: int
    """Of the broker's memory at its peak, over what it was before."""
    failures: list[str]
    """Handlers that ended with an exception of their own."""


def run(folder: Path, count: int, seed: int) -> Outcome:
    """Send `count` frames to a broker of its own."""
    overrides = [part for name, value in SETTINGS.items() for part in ("--override", f"{name}={value}")]
    program = BrokerProgram.at(folder)
    program.arguments = [*program.arguments, *overrides]
    with program:
        topic = new_topic(program.bootstrap, 1)
        new_topics(program.bootstrap)
        fuzzer = Fuzzer(seed)
        for _, _, frame in fuzzer.every_version():
            _converse(program.bootstrap, [frame])
        neighbour = Neighbour(program.bootstrap, topic)
        neighbour.start()
        wait_for(lambda: neighbour.count or neighbour.errors, "the neighbour's first record")
        before = _reset_peak(program.pid)
        sent = connections = answered = 0
        dice = random.Random(seed)
        try:
            while sent < count:
                frames = [fuzzer.frame() for _ in range(dice.choice([1, 1, 2, 5]))]
                answered += _converse(program.bootstrap, frames)
                sent += len(frames)
                connections += 1
            grown = _memory(program.pid, "VmHWM") - before
        finally:
            neighbour.stop()
        with RawClient(program.bootstrap) as client:
            assert client.ask(18, 2).error_code == 0
    return Outcome(sent, connections, answered, neighbour.count, neighbour.errors, grown, _failures(program.log))


def _failures(log: Path) -> list[str]:
    """Each kind of traceback in the log once, with the line it comes from."""
    found = re.findall(
        r"(File .*\n.*)\n(?:\s+[\^~]+\n)?(\w[\w.]*: .*|\w+Error)$", log.read_text(errors="replace"), re.MULTILINE
    )
    return sorted({f"{where.strip()}: {what}" for where, what in found})


def new_topics(bootstrap: str) -> None:
    """The topics that the requests speak of."""
    with RawClient(bootstrap) as client:
        wanted = [{"name": name, "num_partitions": 2, "replication_factor": 1} for name in NAMES[:LIST_TOPIC]]
        client.ask(19, 5, topics=wanted, timeout=30_000, validate_only=False)


def _converse(bootstrap: str, frames: list[bytes]) -> int:
    """Send frames, read what comes at once, leave; the bytes read."""
    host, port = bootstrap.rsplit(":", 1)
    answered = 0
    with socket.create_connection((host, int(port)), 30) as client:
        try:
            client.sendall(b"".join(frames))
            client.settimeout(0.01)
            while data := client.recv(1 << 16):
                answered += len(data)
        except (TimeoutError, ConnectionError):
            pass
    return answered


def _memory(pid: int, what: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{what}:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def _reset_peak(pid: int) -> int:
    """Begin to measure the peak anew; the memory in use now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), given.count, given.seed)
    print(*(f"{name}: {value}" for name, value in vars(outcome).items()), sep="\n")
    return 1 if outcome.neighbour_errors or outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
