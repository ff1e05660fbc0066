"""`syncline connect-distributed`: one Connect worker of a group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("connect-distributed")(connect_distributed)


def connect_distributed(
    worker: Annotated[Path, typer.Argument(help="The worker's properties file.", metavar="worker.properties")],
    override: Annotated[
        list[str] | None, typer.Option("--override", metavar="NAME=VALUE", help="One property; may be repeated.")
    ] = None,
) -> None:
    """Run a Connect worker that keeps connectors, offsets and states in topics, until Ctrl-C.

    Takes the file Apache Kafka's connect-distributed takes, and goes on with the topics of a JVM worker, once that
    has stopped. Of several workers with the same group.id one is active and the others stand by. Exit status 2: the
    worker cannot start.
    """
    from syncline.app import run_distributed

    raise typer.Exit(run_distributed(worker, override or []))
