"""`syncline broker`: the embedded broker as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("broker")(broker)


def broker(
    config: Annotated[
        Path | None,
        typer.Argument(help="Kafka's settings of a broker.", metavar="server.properties", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder for the data; made if missing. Else log.dirs, or .syncline/broker."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Port to listen on; 0 takes a free one. Else listeners, or 9092.", min=0, max=65535
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Else listeners, or 127.0.0.1.")] = None,
    override: Annotated[
        list[str] | None, typer.Option("--override", metavar="NAME=VALUE", help="One setting; may be repeated.")
    ] = None,
    add_scram: Annotated[
        list[str] | None,
        typer.Option(
            "--add-scram",
            "-S",
            help="A user's SCRAM credential, as kafka-storage takes it; kept in the data folder. May be repeated.",
            metavar="SCRAM-SHA-256=[name=NAME,password=PASSWORD]",
        ),
    ] = None,
) -> None:
    """Run a single-node Kafka broker for development and tests, until Ctrl-C.

    It speaks the Kafka protocol to any client and keeps its data in Kafka's own segment files.
    """
    from syncline.broker_app import log_to_stderr, run_broker

    log_to_stderr()
    raise typer.Exit(run_broker(config, data, port, host, override or [], add_scram or []))
