"""Kafka's own tools as commands: `kafka-topics`, `kafka-console-producer` and the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final

import typer

TOOLS: Final = {
    "kafka-topics": ("topics", "Kafka's own tool: create, list, describe, alter and delete topics."),
    "kafka-console-producer": ("producer", "Kafka's own tool: lines of standard input as records."),
    "kafka-console-consumer": ("consumer", "Kafka's own tool: print the records of topics."),
    "kafka-consumer-groups": ("groups", "Kafka's own tool: offsets, lag and members of consumer groups."),
    "kafka-configs": ("configs", "Kafka's own tool: settings of topics, brokers and groups."),
}
_AS_THEY_COME: Final[dict[str, object]] = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "help_option_names": [],
}


def register(cli: typer.Typer) -> None:
    """Add the commands; their flags are read by the tools themselves."""
    for name, (module, text) in TOOLS.items():
        cli.command(name, help=text, context_settings=_AS_THEY_COME, add_help_option=False)(_running(name, module))


def _running(name: str, module: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        from syncline.cli.kafka.flags import UsageError

        try:
            status: int = import_module(f"syncline.cli.kafka.{module}").run(list(context.args))
        except UsageError as exc:
            print(exc, file=sys.stderr)
            print(f"`syncline {name} --help` shows all flags", file=sys.stderr)
            raise typer.Exit(1) from exc
        raise typer.Exit(status)

    return command
