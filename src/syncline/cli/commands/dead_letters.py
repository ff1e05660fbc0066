"""`syncline dead-letters`: records that services and sink connectors could not take."""

from __future__ import annotations

from itertools import chain, islice
from typing import Annotated

import typer

from syncline.cli.output import Bootstrap, JsonFlag, show_json, show_table
from syncline.cli.places import reachable

dead_letters = typer.Typer(help="Records that services and sink connectors could not take.", no_args_is_help=True)
LOCAL = "localhost:9092"
_PREVIEW = 120

Topic = Annotated[str, typer.Argument(help="Topic of the dead letters, such as orders.catalog-service.dlt.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(dead_letters, name="dead-letters")


@dead_letters.command("list")
def list_topics(bootstrap: Bootstrap = LOCAL, as_json: JsonFlag = False) -> None:
    """The topics of services' dead letters, and how many wait in each. (A connector's have any name.)"""
    properties = {"bootstrap.servers": reachable(bootstrap)}
    from syncline.app import kafka_tool_admin
    from syncline.cli.dead_letters import SUFFIX, letters_of

    found = []
    for topic in kafka_tool_admin(properties).topics():
        if topic.name.endswith(SUFFIX):
            with letters_of(properties, topic.name) as letters:
                found.append((topic.name, letters.waiting))
    if as_json:
        show_json([{"topic": topic, "waiting": waiting} for topic, waiting in found])
    else:
        show_table(("TOPIC", "WAITING"), found, empty="no dead letters")


@dead_letters.command("show")
def show(
    topic: Topic,
    bootstrap: Bootstrap = LOCAL,
    most: Annotated[int, typer.Option("--max", min=1, help="Show at most so many.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Where each record came from, who could not take it and why; with --json all of it."""
    properties = {"bootstrap.servers": reachable(bootstrap)}
    from syncline.cli.dead_letters import letters_of

    with letters_of(properties, topic) as letters:
        found = list(islice(chain.from_iterable(letters.read()), most))
        waiting = letters.waiting
    if as_json:
        show_json([letter.plain() for letter in found])
        return
    for letter in found:
        about = letter.about
        print(f"{letter.place}  from {letter.origin}  by {about.get('who', '?')}")
        if "error" in about:
            print(f"  {about['error']}: {about.get('reason', '')}")
        value = letter.plain()["value"]
        print(f"  {'null' if value is None else value[:_PREVIEW]}{'...' if value and len(value) > _PREVIEW else ''}")
    print(f"{len(found)} of at most {waiting} shown" if found else "none waits")


@dead_letters.command("replay")
def replay(
    topic: Topic,
    bootstrap: Bootstrap = LOCAL,
    to: Annotated[str | None, typer.Option(help="Send them here, and not where they came from.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="Send at most so many, the oldest ones.")] = None,
) -> None:
    """Send records back to the topics they came from, each once, with key, value and headers as they were."""
    properties = {"bootstrap.servers": reachable(bootstrap)}
    from syncline.cli import dead_letters as logic

    def tell(letter: logic.Letter, target: str) -> None:
        print(f"{letter.place} sent to {target}", flush=True)

    with logic.letters_of(properties, topic) as letters:
        sent = logic.replay(properties, letters, to=to, most=most, tell=tell)
    print(f"{sent} sent" if sent else "none waits")


@dead_letters.command("discard")
def discard(
    topic: Topic,
    bootstrap: Bootstrap = LOCAL,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Count all that wait as dealt with. They stay in the topic for its retention time."""
    properties = {"bootstrap.servers": reachable(bootstrap)}
    from syncline.cli.dead_letters import letters_of

    with letters_of(properties, topic) as letters:
        if letters.waiting and not yes:
            typer.confirm(f"discard up to {letters.waiting} dead letters of {topic}?", abort=True)
        print(f"{letters.discard()} discarded")
