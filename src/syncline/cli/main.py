"""`syncline`: the command line."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from syncline import __version__
from syncline.cli.commands import broker, connect_standalone, connectors, demo, produce_consume, topics, up
from syncline.errors import SynclineError

cli = typer.Typer(
    name="syncline",
    help="Keep the databases of many services in step through Kafka, without a JVM.\n\nStart with: syncline demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, up, broker, connect_standalone, topics, produce_consume, connectors):
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
    """Run a command; an error ends in one sentence on standard error and status 1."""
    try:
        return int(cli(standalone_mode=False) or 0)
    except typer.Exit as exc:
        return exc.exit_code
    except (SynclineError, ConnectionError) as exc:
        print(f"syncline: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as exc:
        from click.exceptions import Abort, ClickException

        if isinstance(exc, ClickException):
            exc.show()
            return exc.exit_code
        if isinstance(exc, Abort):
            return 130
        raise
