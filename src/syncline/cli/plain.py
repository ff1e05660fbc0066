"""`syncline broker` without the libraries of the command line, where its arguments are plain.

Those libraries take longer to import than the broker and hold nearly as much memory, for as long as it runs. What is
not understood here, a call for help or a mistake, is left to them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syncline.errors import SynclineError

HIGHEST_PORT = 65535


@dataclass(slots=True)
class BrokerArguments:
    """What `syncline broker` is given."""

    config: Path | None = None
    data: Path | None = None
    port: int | None = None
    host: str | None = None
    overrides: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    def take(self, option: str, value: str) -> bool:
        """Whether there is such an option with such a value."""
        if option == "--data" and value:
            self.data = Path(value)
        elif option == "--port" and value.isascii() and value.isdecimal() and int(value) <= HIGHEST_PORT:
            self.port = int(value)
        elif option == "--host":
            self.host = value
        elif option == "--override":
            self.overrides.append(value)
        elif option == "--add-scram":
            self.users.append(value)
        else:
            return False
        return True


def understood(words: Sequence[str]) -> BrokerArguments | None:
    """What the words behind `broker` say; None when they say more, or something wrong."""
    given = BrokerArguments()
    waiting = iter(words)
    for word in waiting:
        if word and not word.startswith("-") and given.config is None:
            given.config = Path(word)
            continue
        option, equals, value = word.partition("=")
        if not equals:
            value = next(waiting, "-")
            if value.startswith("-"):
                return None
        if not given.take(option, value):
            return None
    return given


def run_broker(given: BrokerArguments) -> int:
    """Run a broker to its end; the exit status. An error is one sentence on standard error."""
    gc.disable()  # what is imported stays; `serve` goes on collecting what comes later
    from syncline import broker_app

    broker_app.log_to_stderr()
    try:
        return broker_app.run_broker(given.config, given.data, given.port, given.host, given.overrides, given.users)
    except KeyboardInterrupt:
        return 130
    except (SynclineError, OSError) as exc:
        print(f"syncline: {exc}", file=sys.stderr)
        return 1
