"""Log levels at run time, under Kafka Connect's names (spec/connect.md 1.9)."""

from __future__ import annotations

import logging
import threading
from typing import Final

from syncline.client.models import LoggerLevel
from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.errors import BadRequest, ConnectError, NotFound

ROOT: Final = "root"

LEVELS: Final = {
    "OFF": logging.CRITICAL + 10,
    "FATAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": logging.DEBUG - 5,
    "ALL": 1,
}
"""Java's names, from quiet to loud."""

_JAVA: Final = (
    ("io.confluent.connect.jdbc", "syncline.connectors.jdbc"),
    ("org.apache.kafka.connect.runtime.rest", "syncline.rest"),
    ("org.apache.kafka.connect.runtime.distributed", "syncline.cluster"),
    ("org.apache.kafka.connect.runtime.standalone", "syncline.cluster"),
    ("org.apache.kafka.connect.runtime", "syncline.worker"),
    ("org.apache.kafka.connect.storage", "syncline.stores"),
    ("org.apache.kafka.connect.json", "syncline.converters"),
    ("org.apache.kafka.connect.transforms", "syncline.transforms"),
    ("org.apache.kafka.connect.file", "syncline.connectors.file"),
    ("org.apache.kafka.connect", "syncline"),
    ("org.apache.kafka.clients", "syncline.kafka"),
)
"""Where the code stands that a Java logger would speak of; the first match counts."""


class Loggers:
    """The loggers of this process; those with a Java name that has a counterpart here set the counterpart."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._modified: dict[str, int] = {}

    def all(self) -> dict[str, LoggerLevel]:
        """Every logger that exists, sorted by name."""
        with self._lock:
            return {name: self._shown(name) for name in sorted(self._names())}

    def get(self, name: str) -> LoggerLevel:
        with self._lock:
            if name not in self._names():
                raise NotFound(f"Logger {name} not found.")
            return self._shown(name)

    def change(self, name: str, level: str | None) -> list[str]:
        """Set the logger and all whose name begins with it, `root` all there are; the names that changed, sorted."""
        wanted = check_level(level)
        with self._lock:
            names = self._names()
            meant = names if name == ROOT else {name, *(other for other in names if other.startswith(name))}
            changed = sorted(each for each in meant if _effective(each) != LEVELS[wanted])
            for each in changed:
                self._modified[each] = self._clock.wall_ms()
            for each in changed:
                logging.getLogger(_here(each)).setLevel(LEVELS[wanted])
            return changed

    def _names(self) -> set[str]:
        # Copied in one go, because other threads make loggers meanwhile.
        known = list(logging.root.manager.loggerDict.items())
        return {ROOT, *self._modified, *(name for name, logger in known if isinstance(logger, logging.Logger))}

    def _shown(self, name: str) -> LoggerLevel:
        level = _effective(name)
        # Python knows levels in between; the next louder name is shown for them.
        shown = next((text for text, number in LEVELS.items() if number <= level), "ALL")
        return LoggerLevel(shown, self._modified.get(name))


def check_level(level: str | None) -> str:
    """A level as one of LEVELS; the errors are Kafka Connect's, a bad level being 404."""
    if level is None:
        raise BadRequest("Desired 'level' parameter was not specified in request.")
    if not level:
        raise ConnectError(f"an empty log level; known are {', '.join(LEVELS)}")
    if level.upper() not in LEVELS:
        raise NotFound(f"invalid log level '{level}'.")
    return level.upper()


def _here(name: str) -> str | None:
    """What Python calls the logger; None is the root."""
    if name == ROOT:
        return None
    return next((here for java, here in _JAVA if name == java or name.startswith(f"{java}.")), name)


def _effective(name: str) -> int:
    """The level of a logger, or of its nearest parent; asking makes no logger."""
    known = logging.root.manager.loggerDict
    here = _here(name) or ""
    while here:
        logger = known.get(here)
        if isinstance(logger, logging.Logger):
            return logger.getEffectiveLevel()
        here = here.rpartition(".")[0]
    return logging.root.getEffectiveLevel()
