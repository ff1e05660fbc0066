"""`syncline connect-standalone`: one Connect worker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("connect-standalone")(connect_standalone)


def connect_standalone(
    worker: Annotated[Path, typer.Argument(help="The worker's properties file.", metavar="worker.properties")],
    connectors: Annotated[
        list[Path] | None,
        typer.Argument(help="Connectors to create at start, as properties or JSON.", metavar="[connector ...]"),
    ] = None,
) -> None:
    """Run a Connect worker with Kafka Connect's REST interface, until Ctrl-C.

    Takes the files Apache Kafka's connect-standalone takes. Exit status 2: the worker cannot start; 3: a connector
    cannot be created.
    """
    from syncline.app import run_standalone

    raise typer.Exit(run_standalone(worker, [path for path in connectors or [] if str(path)]))
