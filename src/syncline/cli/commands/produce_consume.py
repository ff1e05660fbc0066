"""`syncline produce` and `syncline consume`: records from and to the terminal."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from syncline.cli.output import Bootstrap, JsonFlag
from syncline.cli.places import reachable
from syncline.errors import ConnectError

LOCAL = "localhost:9092"


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.command("produce")(produce)
    cli.command("consume")(consume)


def produce(
    topic: Annotated[str, typer.Argument(help="Topic to write to.")],
    values: Annotated[list[str] | None, typer.Argument(help="Records; without any, one per line of input.")] = None,
    bootstrap: Bootstrap = LOCAL,
    key: Annotated[str | None, typer.Option(help="Key of every record.")] = None,
    key_separator: Annotated[
        str | None, typer.Option(help="Text between key and value in each record, such as a colon.")
    ] = None,
) -> None:
    """Write records: arguments, or the lines of standard input, byte for byte."""
    address = reachable(bootstrap)
    from syncline.app import kafka_producer

    producer = kafka_producer(address)
    separator = None if key_separator is None else os.fsencode(key_separator)
    count = 0
    lines = (
        map(os.fsencode, values)
        if values
        else (line.removesuffix(b"\n").removesuffix(b"\r") for line in sys.stdin.buffer)
    )
    for value in lines:
        own = None if key is None else os.fsencode(key)
        if separator is not None:
            own, found, value = value.partition(separator)
            if not found:
                raise ConnectError(f"record {count + 1} has no {key_separator!r} between key and value")
        producer.send(topic, own, value)
        count += 1
    if not producer.flush(30):
        raise ConnectError(f"the broker at {bootstrap} did not acknowledge all records within 30 s")
    print(f"{count} record{'' if count == 1 else 's'} written to {topic}", file=sys.stderr)


def consume(
    topic: Annotated[str, typer.Argument(help="Topic to read.")],
    bootstrap: Bootstrap = LOCAL,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start with the oldest record.")] = False,
    max_messages: Annotated[int | None, typer.Option(help="Stop after so many.")] = None,
    timeout_ms: Annotated[int | None, typer.Option(help="Stop when nothing came for so long.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Print keys before values.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print records as they come, until Ctrl-C."""
    address = reachable(bootstrap)
    from syncline.app import kafka_records

    found = kafka_records(address, topic, from_beginning, timeout_ms)
    for count, message in enumerate(found, start=1):
        print(_line(message, keys, as_json), flush=True)
        if max_messages is not None and count >= max_messages:
            return


def _line(message: Any, keys: bool, as_json: bool) -> str:
    key, value = _text(message.key), _text(message.value)
    if as_json:
        import json

        facts = {
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "timestamp": message.timestamp,
            "key": key,
            "value": value,
            "headers": [[name, _text(raw)] for name, raw in message.headers or []],
        }
        return json.dumps(facts, ensure_ascii=False)
    shown = "null" if value is None else value
    return f"{'null' if key is None else key}\t{shown}" if keys else shown


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="replace")
