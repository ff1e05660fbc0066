"""`syncline`: the command line."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer

from syncline import __version__
from syncline.cli.commands import (
    broker,
    connect_distributed,
    connect_standalone,
    connectors,
    console,
    dead_letters,
    demo,
    kafka_tools,
    produce_consume,
    topics,
    up,
)
from syncline.errors import SynclineError

cli = typer.Typer(
    name="syncline",
    help="Keep the databases of many services in step through Kafka, without a JVM.\n\nStart with: syncline demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    demo,
    up,
    broker,
    connect_standalone,
    connect_distributed,
    topics,
    produce_consume,
    connectors,
    dead_letters,
    console,
    kafka_tools,
):
    module.register(cli)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"syncline {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> int:
    """Run a command; an error ends in one sentence on standard error and a status that is not 0."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without UTF-8 shows question marks instead of ending the command.
            stream.reconfigure(errors="replace")
    try:
        status = int(_run() or 0)
        sys.stdout.flush()
    except typer.Exit as exc:
        return exc.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SynclineError, OSError) as exc:
        return _failed(str(exc), 1)
    except Exception as exc:
        # A wrong option or argument; the class lives in click or in typer, as typer's version has it.
        if not hasattr(exc, "format_message"):
            raise
        return _failed(_said(exc), getattr(exc, "exit_code", 2))
    return status


def _run() -> int | None:
    try:
        status: int | None = cli(standalone_mode=False, prog_name="syncline")
    except SystemExit as exc:
        # Some versions of typer turn a broken pipe into status 1, though nothing has failed.
        if isinstance(exc.__context__, BrokenPipeError):
            raise exc.__context__ from None
        raise
    return status


def _said(error: Any) -> str:
    """What is wrong with the command line; for a misspelt option with the nearest ones, as for commands."""
    if near := getattr(error, "possibilities", None):
        return f"No such option: {error.option_name}. Did you mean {' or '.join(sorted(near))}?"
    return str(error.format_message())


def _failed(text: str, status: int) -> int:
    # A command group without a command has printed its help instead of a message.
    if text:
        print(f"syncline: {text}", file=sys.stderr)
    return status
