"""The broker as a process: what `syncline broker` runs."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from syncline.broker.broker import Broker
from syncline.broker.errors import BrokerError

log = logging.getLogger(__name__)


def serve(folder: Path, port: int, host: str = "127.0.0.1", settings: Mapping[str, str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; the exit status: 0, or 1 with one sentence on standard error."""
    broker = Broker(folder, port, host, settings)
    for name in broker.settings.unknown:
        log.warning("setting %s is not known here and has no effect", name)
    try:
        asyncio.run(_serve(broker))
    except BrokerError as exc:
        print(f"syncline broker: {exc}", file=sys.stderr)  # noqa: T201  # the process's last word
        return 1
    return 0


async def _serve(broker: Broker) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    async with broker:
        await ended.wait()
