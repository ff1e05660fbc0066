"""`syncline up`: the whole shop on this machine, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 130
"""Exit status, as shells have it after Ctrl-C."""

GatewayPort = Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.", min=0, max=65535)]
ConnectPort = Annotated[
    int, typer.Option(help="Port of Connect's REST interface; 0 takes a free one.", min=0, max=65535)
]
BrokerPort = Annotated[int, typer.Option(help="Port of the broker; 0 takes a free one.", min=0, max=65535)]
DiscoveryPort = Annotated[int, typer.Option(help="Port of the registry; 0 takes a free one.", min=0, max=65535)]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="The one database: mariadb://user:password@host:port/database, likewise mysql:// and postgresql://. "
        "Without it, an SQLite file among the data.",
        envvar="SYNCLINE_DATABASE_URL",
        show_envvar=True,
    ),
]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("up")(up)


def up(
    data: Annotated[Path, typer.Option(help="Folder for data and logs; made if missing.")] = Path(".syncline"),
    database: DatabaseUrl = None,
    instances: Annotated[int, typer.Option(help="How many order services.", min=1, max=20)] = 2,
    gateway_port: GatewayPort = 8000,
    connect_port: ConnectPort = 8083,
    broker_port: BrokerPort = 9092,
    discovery_port: DiscoveryPort = 8761,
) -> None:
    """Start the sample shop: broker, Connect worker, registry, gateway, order services and the sink.

    Everything runs as processes of this machine, needs no Java and no database server, and ends with
    this command: with Ctrl-C, and also when one of them fails. Orders stay in the data folder.
    """
    from syncline.cli.places import DatabasePlace, refuse_taken_ports
    from syncline.cli.screen import Screen
    from syncline.cli.shop import Shop
    from syncline.cli.supervise import Stopped, Supervisor

    place = DatabasePlace.of(database) if database else DatabasePlace.sqlite(data / "orders.db")
    refuse_taken_ports(
        {
            "--gateway-port": gateway_port,
            "--connect-port": connect_port,
            "--broker-port": broker_port,
            "--discovery-port": discovery_port,
        }
    )
    place.refuse_unreachable()
    screen = Screen()
    try:
        with Supervisor(data / "logs", screen.ready) as supervisor:
            shop = Shop(
                supervisor,
                data,
                place,
                gateway_port=gateway_port,
                connect_port=connect_port,
                broker_port=broker_port,
                discovery_port=discovery_port,
            )
            with screen.waiting("starting"):
                supervisor.ready(shop.broker(), shop.discovery())
                *orders, _, gateway = shop.connected(instances)
            screen.addresses(shop.addresses(orders, gateway))
            screen.say(f"Logs are in {data / 'logs'}. Ctrl-C stops everything.")
            supervisor.watch()
            screen.say("Stopping ...")
    except Stopped as exc:
        screen.say("Stopped before everything was ready; nothing is left running.")
        raise typer.Exit(INTERRUPTED) from exc
    screen.say("Everything has stopped; nothing is left running.")
