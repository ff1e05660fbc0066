"""`syncline topics`: list, create, describe, delete."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.cli.output import Bootstrap, JsonFlag, show_json, show_table
from syncline.cli.places import reachable
from syncline.errors import ConnectError

topics = typer.Typer(help="Topics of a Kafka cluster.", no_args_is_help=True)
LOCAL = "localhost:9092"


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(topics, name="topics")


@topics.command("list")
def list_topics(
    bootstrap: Bootstrap = LOCAL,
    internal: Annotated[bool, typer.Option("--internal", help="Internal topics too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Names, partitions and replicas of all topics."""
    address = reachable(bootstrap)
    from syncline.app import kafka_admin

    found = [topic for topic in kafka_admin(address).topics() if internal or not topic.internal]
    if as_json:
        show_json(
            [{"name": t.name, "partitions": t.partitions, "replicationFactor": t.replication_factor} for t in found]
        )
        return
    rows = [(topic.name, topic.partitions, topic.replication_factor) for topic in found]
    show_table(("TOPIC", "PARTITIONS", "REPLICAS"), rows, empty="no topics")


@topics.command("create")
def create_topic(
    name: Annotated[str, typer.Argument(help="Name of the topic.")],
    bootstrap: Bootstrap = LOCAL,
    partitions: Annotated[int, typer.Option(help="How many partitions.")] = 1,
    replication_factor: Annotated[int, typer.Option(help="How many replicas of each.")] = 1,
    config: Annotated[
        list[str] | None, typer.Option("--config", help="A setting, name=value; may be repeated.")
    ] = None,
) -> None:
    """Create a topic."""
    address = reachable(bootstrap)
    from syncline.app import kafka_admin

    settings = {}
    for entry in config or []:
        key, equals, value = entry.partition("=")
        if not equals:
            raise ConnectError(f"--config {entry!r} is not of the form name=value")
        settings[key] = value
    kafka_admin(address).create_topic(
        name, partitions=partitions, replication_factor=replication_factor, configs=settings
    )
    print(f"topic {name} created")


@topics.command("describe")
def describe_topic(
    name: Annotated[str, typer.Argument(help="Name of the topic.")],
    bootstrap: Bootstrap = LOCAL,
    as_json: JsonFlag = False,
) -> None:
    """Partitions with their offsets, and settings that differ from the defaults."""
    address = reachable(bootstrap)
    from syncline.app import kafka_admin, kafka_watermarks

    admin = kafka_admin(address)
    topic = admin.topic(name)
    if topic is None:
        raise ConnectError(f"topic {name} does not exist; `syncline topics list` shows those that do")
    ends = kafka_watermarks(address, name, topic.partitions)
    configs = admin.topic_configs(name)
    if as_json:
        parts = [{"partition": number, "start": low, "end": high} for number, (low, high) in enumerate(ends)]
        show_json({"name": name, "partitions": parts, "configs": configs})
        return
    rows = [(number, low, high, high - low) for number, (low, high) in enumerate(ends)]
    show_table(("PARTITION", "START", "END", "RECORDS"), rows, empty="no partitions")
    for key, value in sorted(configs.items()):
        print(f"{key}={value}")


@topics.command("delete")
def delete_topic(name: Annotated[str, typer.Argument(help="Name of the topic.")], bootstrap: Bootstrap = LOCAL) -> None:
    """Delete a topic with all its records."""
    address = reachable(bootstrap)
    from syncline.app import kafka_admin

    kafka_admin(address).delete_topic(name)
    print(f"topic {name} deleted")
