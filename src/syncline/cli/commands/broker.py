"""`syncline broker`: the embedded broker as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("broker")(broker)


def broker(
    data: Annotated[Path, typer.Option(help="Folder for the data; made if missing.")] = Path(".syncline/broker"),
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 9092,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    config: Annotated[
        Path | None, typer.Option("--config", help="A server.properties file with settings of the broker.")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--override", help="One setting, name=value; may be repeated.")
    ] = None,
) -> None:
    """Run a single-node Kafka broker for development and tests, until Ctrl-C.

    It speaks the Kafka protocol to any client and keeps its data in Kafka's own segment files.
    """
    from syncline.app import log_to_stderr, run_broker

    log_to_stderr()
    raise typer.Exit(run_broker(data, port, host, config, override or []))
