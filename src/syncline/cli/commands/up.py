"""`syncline up`: the whole shop on this machine, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130
"""Exit status, as shells have it after Ctrl-C."""


def _port(of: str) -> Any:
    return typer.Option(metavar="PORT", help=f"Port of {of}; 0 takes a free one.", min=0, max=65535)


GatewayPort = Annotated[int, _port("the gateway")]
ConnectPort = Annotated[int, _port("Connect's REST interface")]
BrokerPort = Annotated[int, _port("the broker")]
DiscoveryPort = Annotated[int, _port("the registry")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        # Short enough to stay whole where the terminal is 80 wide.
        help="The one database, such as mariadb://me:secret@host/shop; likewise mysql:// and postgresql://. "
        "Without it, an SQLite file among the data.",
        envvar="SYNCLINE_DATABASE_URL",
        show_envvar=True,
    ),
]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("up")(up)


def up(
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A file that says what to start; without it syncline.toml, if it is here."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for data and logs; made if missing. Else the file's, or .syncline.")
    ] = None,
    database: DatabaseUrl = None,
    instances: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            help="How many of a service: order=3, also catalog and user; a number alone means order.",
        ),
    ] = None,
    gateway_port: Annotated[int | None, _port("the gateway (8000)")] = None,
    connect_port: Annotated[int | None, _port("Connect's REST interface (8083)")] = None,
    broker_port: Annotated[int | None, _port("the broker (9092)")] = None,
    discovery_port: Annotated[int | None, _port("the registry (8761)")] = None,
    console_port: Annotated[int | None, _port("the console (8080)")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Start a part again that ends by itself.")] = False,
) -> None:
    """Start the sample shop: broker, Connect worker, registry, gateway, services, console and the sink.

    Everything runs as processes of this machine, needs no Java and no database server, and ends with
    this command: with Ctrl-C, and without --restart also when one of them fails. Data stay in the data folder.
    """
    from dataclasses import replace

    from syncline.cli.places import DatabasePlace, refuse_taken_ports
    from syncline.cli.plan import read_plan
    from syncline.cli.screen import Screen
    from syncline.cli.shop import Shop
    from syncline.cli.supervise import Stopped, Supervisor

    plan = read_plan(file).with_instances(instances or [])
    chosen = {
        "gateway": gateway_port,
        "connect": connect_port,
        "broker": broker_port,
        "discovery": discovery_port,
        "console": console_port,
    }
    ports = replace(plan.ports, **{part: port for part, port in chosen.items() if port is not None})
    folder, url = data or plan.data, database or plan.database
    place = DatabasePlace.of(url) if url else DatabasePlace.sqlite(folder / "orders.db")
    refuse_taken_ports(ports.by_option)
    place.refuse_unreachable()
    screen = Screen()
    try:
        with Supervisor(folder / "logs", screen.ready, restart=restart or plan.restart) as supervisor:
            shop = Shop(supervisor, folder, place, ports)
            with screen.waiting("starting"):
                supervisor.ready(shop.broker(), shop.discovery())
                services = shop.everything(plan)
            screen.addresses(shop.addresses(services, console=True))
            screen.say(f"Logs are in {folder / 'logs'}. Ctrl-C stops everything.")
            supervisor.watch()
            screen.say("Stopping ...")
    except Stopped as exc:
        screen.say("Stopped before everything was ready; nothing is left running.")
        raise typer.Exit(INTERRUPTED) from exc
    screen.say("Everything has stopped; nothing is left running.")
