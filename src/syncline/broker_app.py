"""Composition root of the broker: what `syncline broker` starts.

It stands apart from that of Connect (`app`), so that a broker does not hold the worker's modules in memory, nor wait
for their import.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from syncline.errors import ConfigError
from syncline.options.properties import read_properties


def log_to_stderr(level: str = "INFO") -> None:
    """Log lines for people, on standard error; SYNCLINE_LOG overrides the level."""
    chosen = os.environ.get("SYNCLINE_LOG", level).upper()
    logging.basicConfig(
        level=chosen, stream=sys.stderr, format="[%(asctime)s] %(levelname)s %(message)s (%(name)s)", force=True
    )
    for chatty in ("uvicorn", "kafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def run_broker(
    config: Path | None,
    data: Path | None,
    port: int | None,
    host: str | None,
    overrides: Sequence[str],
    users: Sequence[str] = (),
) -> int:
    """What `broker` runs; overrides are `name=value`, and what is not None goes before the file and them."""
    settings = {**(read_properties(config) if config is not None else {}), **overrides_of(overrides)}
    from syncline.broker.server import serve

    return serve(settings, data, port, host, users)


def overrides_of(given: Sequence[str]) -> dict[str, str]:
    """What `name=value` arguments set; ConfigError for one that is not of that form."""
    found = {}
    for override in given:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"--override {override!r} is not of the form name=value")
        found[name.strip()] = value.strip()
    return found
