"""`syncline connectors`: list, create, status, pause, resume, restart, delete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncline.cli.output import JsonFlag, show_json, show_table

if TYPE_CHECKING:
    from syncline.client.client import ConnectClient
    from syncline.client.models import ConnectorState, TaskState

connectors = typer.Typer(help="Connectors of a Connect worker, ours or a JVM's.", no_args_is_help=True)

Url = Annotated[str, typer.Option("--url", "-u", envvar="SYNCLINE_CONNECT_URL", help="Address of the worker.")]
Name = Annotated[str, typer.Argument(help="Name of the connector.")]
LOCAL = "http://localhost:8083"
_STATES = {"STARTED": "RUNNING"}
"""A worker's word for a target state, where a request has another one."""


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(connectors, name="connectors")


def _client(url: str) -> ConnectClient:
    from syncline.client.client import ConnectClient

    return ConnectClient(url)


@connectors.command("list")
def list_connectors(url: Url = LOCAL, as_json: JsonFlag = False) -> None:
    """Names, kinds and states."""
    with _client(url) as client:
        found = client.statuses()
    if as_json:
        show_json(found)
        return
    rows = [(name, status.type, status.connector.state, _tasks(status.tasks)) for name, status in sorted(found.items())]
    show_table(("CONNECTOR", "TYPE", "STATE", "TASKS"), rows, empty="no connectors")


def _tasks(tasks: Sequence[TaskState]) -> str:
    states = [task.state for task in tasks]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"


@connectors.command("create")
def create_connector(
    file: Annotated[Path, typer.Argument(help="JSON or properties file with name and configuration.")],
    url: Url = LOCAL,
    as_json: JsonFlag = False,
) -> None:
    """Create a connector from a file, as Kafka Connect's tutorials write it."""
    from syncline.app import read_connector

    name, config, target = read_connector(file)
    initial_state = None if target is None else _STATES.get(target.name, target.name)
    with _client(url) as client:
        made = client.create(name, config, initial_state=initial_state)
    if as_json:
        show_json(made)
    else:
        print(f"connector {name} created")


@connectors.command("status")
def connector_status(name: Name, url: Url = LOCAL, as_json: JsonFlag = False) -> None:
    """State of the connector and its tasks; of a failed one, why."""
    with _client(url) as client:
        status = client.status(name)
    if as_json:
        show_json(status)
        return
    parts: list[tuple[str, ConnectorState | TaskState]] = [("connector", status.connector)]
    parts += [(f"task {task.id}", task) for task in status.tasks]
    show_table(("PART", "STATE", "WORKER"), [(what, part.state, part.worker_id) for what, part in parts], empty="")
    for what, part in parts:
        if part.trace:
            print(f"\n{what}:\n{part.trace.rstrip()}")


@connectors.command("pause")
def pause_connector(name: Name, url: Url = LOCAL) -> None:
    """Stop moving records; nothing is lost."""
    with _client(url) as client:
        client.pause(name)
    print(f"connector {name} pauses")


@connectors.command("resume")
def resume_connector(name: Name, url: Url = LOCAL) -> None:
    """Go on after a pause or stop."""
    with _client(url) as client:
        client.resume(name)
    print(f"connector {name} resumes")


@connectors.command("restart")
def restart_connector(
    name: Name,
    url: Url = LOCAL,
    tasks: Annotated[bool, typer.Option("--tasks/--no-tasks", help="Its tasks too.")] = True,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Only what has failed.")] = False,
) -> None:
    """Restart the connector and its tasks."""
    with _client(url) as client:
        client.restart(name, include_tasks=tasks, only_failed=only_failed)
    print(f"connector {name} restarts")


@connectors.command("delete")
def delete_connector(name: Name, url: Url = LOCAL) -> None:
    """Delete the connector; its offsets stay, so that one of the same name goes on where it stopped."""
    with _client(url) as client:
        client.delete(name)
    print(f"connector {name} deleted")
