"""The broker as a process: what `syncline broker` runs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import difflib
import gc
import logging
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from syncline.broker.broker import Broker
from syncline.broker.configs import BROKER, server_setting
from syncline.broker.errors import BrokerError
from syncline.broker.files import allow_most_files
from syncline.broker.kafka_keys import WITHOUT_EFFECT

log = logging.getLogger(__name__)

DEFAULT_FOLDER: Final = Path(".syncline/broker")
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 9092
KEPT_MEMORY: Final = 8 * 1024 * 1024
"""Bytes that were freed and are not given back to the system."""
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3


def serve(
    settings: Mapping[str, str],
    folder: Path | None = None,
    port: int | None = None,
    host: str | None = None,
    users: Sequence[str] = (),
) -> int:
    """Run until SIGTERM or SIGINT; the exit status: 0, or 1 with one sentence on standard error.

    `settings` are those of a server.properties file; what is not None goes before them. `users` are as
    `kafka-storage format --add-scram` takes them.
    """
    allow_most_files()
    try:
        if "listeners" in settings and (port is not None or host is not None):
            raise BrokerError(
                f"listeners={settings['listeners']} and --port or --host both say where to listen; give one of them"
            )
        broker = Broker(
            folder or _folder(settings),
            DEFAULT_PORT if port is None else port,
            DEFAULT_HOST if host is None else host,
            settings,
            users,
        )
        for text in remarks(broker.settings.given):
            log.warning("%s", text)
        _keep_memory()
        asyncio.run(_serve(broker))
    except BrokerError as exc:
        print(f"syncline broker: {exc}", file=sys.stderr)  # noqa: T201  # the process's last word
        return 1
    return 0


def _folder(settings: Mapping[str, str]) -> Path:
    for key in ("log.dirs", "log.dir"):
        text = settings.get(key, "").strip()
        if "," in text:
            raise BrokerError(f"{key}={text}: this broker keeps its data in one folder; name one")
        if text:
            return Path(text)
    return DEFAULT_FOLDER


def remarks(given: Iterable[str]) -> list[str]:
    """What is said about keys that do nothing: Kafka's own in one line, each that nobody knows in another."""
    idle = sorted(name for name in given if name in WITHOUT_EFFECT)
    found = [f"without effect on a single node: {', '.join(idle)}"] if idle else []
    for name in sorted(name for name in given if name not in WITHOUT_EFFECT and server_setting(name) is None):
        near = difflib.get_close_matches(name, [*BROKER, *WITHOUT_EFFECT], n=1, cutoff=0.75)
        hint = f"; did you mean {near[0]}?" if near else ""
        found.append(f"setting {name} is not known and has no effect{hint}")
    return found


def _keep_memory() -> None:
    """Have the C library use again what large requests and answers held.

    It gives such memory back at once otherwise, and fresh pages for the next one cost more than all that is done with
    them. Libraries other than glibc have ways of their own.
    """
    with contextlib.suppress(AttributeError, OSError):
        tune = ctypes.CDLL(None).mallopt
        tune(_TRIM_THRESHOLD, KEPT_MEMORY)
        tune(_MMAP_THRESHOLD, KEPT_MEMORY)


async def _serve(broker: Broker) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, ended.set)
    async with broker:
        # What is there now stays, and need not be looked through again and again.
        gc.freeze()
        gc.enable()
        await ended.wait()
