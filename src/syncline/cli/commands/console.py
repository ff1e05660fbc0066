"""`syncline console`: pages over databases, topics and connectors."""

from __future__ import annotations

from typing import Annotated

import typer

from syncline.errors import ConfigError


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("console")(console)


def console(
    database: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL",
            help="A database to show, such as shop=mysql://me:pw@host/db; may be repeated. In the "
            "environment, where passwords are better off: several with a space between.",
            envvar="SYNCLINE_CONSOLE_DATABASES",
            show_envvar=True,
        ),
    ] = None,
    bootstrap: Annotated[
        str | None, typer.Option("--bootstrap-server", help="host:port of a broker, to show its topics.")
    ] = None,
    connect: Annotated[str | None, typer.Option(help="Address of a Connect worker, to show its connectors.")] = None,
    link: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="Another page to link to; may be repeated.")
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on; there is no log-in.")] = "127.0.0.1",
) -> None:
    """Show databases, topics and connectors on pages, until Ctrl-C.

    Nothing can be changed there. Whoever reaches the port sees everything: keep it to this machine.
    """
    from syncline.app import run_console

    raise typer.Exit(
        run_console(
            host,
            port,
            databases=dict(_named("--database", entry) for entry in database or []),
            bootstrap=bootstrap,
            connect=connect,
            links=[_named("--link", entry) for entry in link or []],
        )
    )


def _named(option: str, entry: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    # A URL without its name may hold a password, so it is not repeated.
    if not equals or not name or not value or "://" in name:
        raise ConfigError(f"{option} must be of the form NAME=URL")
    return name, value
