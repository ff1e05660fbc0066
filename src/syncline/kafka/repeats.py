"""Log lines that say the same again and again are written once in a while: a broker that is away fills no log."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

EVERY_SECONDS: Final = 30
REPEATING: Final = frozenset({"FAIL", "ERROR"})
"""Kinds of librdkafka's lines of which every client writes one for each attempt to connect."""
MOST_KNOWN: Final = 1000

_COUNTED: Final = re.compile(r" \(after .*|rdkafka#\w+-[0-9]+", re.DOTALL)
"""What differs between two lines of the same trouble: how long it took, how often, and which client it was."""


@dataclass(slots=True)
class _Trouble:
    since: float
    """When it was last written."""
    left_out: int = 0


class Repeats(logging.Filter):
    """Lets the first line of each kind of trouble through, then one every 30 seconds that says how many were left out.

    For loggers that librdkafka writes to, whichever client it is: its lines have three arguments, the kind, the
    client's name and the text. All others pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Trouble] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args
        if not isinstance(arguments, tuple) or len(arguments) != 3 or arguments[0] not in REPEATING:
            return True
        kind, client, text = map(str, arguments)
        what = f"{kind} {_COUNTED.sub('', text)}"
        with self._lock:
            known = self._known.get(what)
            if known is not None and 0 <= record.created - known.since < EVERY_SECONDS:
                known.left_out += 1
                return False
            self._known[what] = _Trouble(record.created)
            self._known.move_to_end(what)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        if known is not None and known.left_out:
            record.args = (kind, client, f"{text} ({known.left_out} more lines like this one were left out)")
        return True


REPEATS: Final = Repeats()
"""Of all clients of this process together."""
