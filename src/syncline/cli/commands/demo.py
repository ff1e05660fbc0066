"""`syncline demo`: the problem and the remedy, on this machine, in less than a minute."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from syncline.cli.commands.up import INTERRUPTED, BrokerPort, ConnectPort, DatabaseUrl, DiscoveryPort, GatewayPort


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Show it and stop, instead of running until Ctrl-C.")] = False,
    database: DatabaseUrl = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for data and logs. Without it, a temporary one, removed at the end.")
    ] = None,
    gateway_port: GatewayPort = 8000,
    connect_port: ConnectPort = 8083,
    broker_port: BrokerPort = 9092,
    discovery_port: DiscoveryPort = 8761,
) -> None:
    """Two order services that disagree, and the same two kept in step through a topic and a JDBC sink.

    Needs no Java, no Docker and no database server: the broker is Syncline's own, the databases are
    SQLite files. With --database, the one database is a server of yours.
    """
    from syncline.cli.places import DatabasePlace, refuse_taken_ports
    from syncline.cli.plan import Ports
    from syncline.cli.screen import Screen
    from syncline.cli.shop import Shop
    from syncline.cli.story import problem, remedy
    from syncline.cli.supervise import Stopped, Supervisor

    given = DatabasePlace.of(database) if database else None
    # No console here: what there is to see, the demo shows by itself.
    ports = Ports(gateway=gateway_port, connect=connect_port, broker=broker_port, discovery=discovery_port, console=0)
    refuse_taken_ports(ports.by_option)
    if given is not None:
        given.refuse_unreachable()
    screen = Screen()
    try:
        with _folder(data) as folder, Supervisor(folder / "logs", screen.ready) as supervisor:
            shop = Shop(
                supervisor,
                folder,
                given or DatabasePlace.sqlite(folder / "orders.db"),
                ports,
            )
            screen.say("[bold]Syncline[/] keeps the databases of many services in step through Kafka, without a JVM.")
            broker = problem(shop, screen)
            remedy(shop, screen, broker)
            if not once:
                screen.say("Ctrl-C stops everything.")
                supervisor.watch()
            screen.say("Stopping ...")
    except Stopped as exc:
        screen.say("Stopped half way; nothing is left running.")
        raise typer.Exit(INTERRUPTED) from exc
    screen.say("Everything has stopped; nothing is left running.")


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The given folder, or a temporary one that is removed at the end."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="syncline-demo-") as made:
        yield Path(made)
