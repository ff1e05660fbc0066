"""`/admin/loggers`: log levels at run time, under Kafka Connect's names (spec/connect.md 1.9)."""

from __future__ import annotations

import logging
from typing import Any, Final

from syncline.clock import SYSTEM_CLOCK
from syncline.errors import BadRequest, NotFound

_LEVELS: Final = {
    "OFF": logging.CRITICAL + 10,
    "FATAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": logging.DEBUG - 5,
    "ALL": 1,
}
_NAMES: Final = {number: name for name, number in _LEVELS.items()}
_JAVA: Final = "org.apache.kafka.connect"


class Loggers:
    """Java-like names below `org.apache.kafka.connect` mean the same places of Syncline's own tree."""

    def __init__(self) -> None:
        self._modified: dict[str, int] = {}

    def _all(self) -> list[str]:
        own = [name for name in logging.root.manager.loggerDict if name.startswith("syncline")]
        return ["root", *sorted({*own, *self._modified} - {"root"})]

    @staticmethod
    def _logger(name: str) -> logging.Logger:
        if name == "root":
            return logging.root
        return logging.getLogger("syncline" + name.removeprefix(_JAVA) if name.startswith(_JAVA) else name)

    def _body(self, name: str) -> dict[str, Any]:
        level = self._logger(name).getEffectiveLevel()
        shown = _NAMES.get(level) or logging.getLevelName(level)
        return {"level": shown, "last_modified": self._modified.get(name)}

    def all(self) -> dict[str, Any]:
        return {name: self._body(name) for name in self._all()}

    def get(self, name: str) -> dict[str, Any]:
        if name not in self._all():
            raise NotFound(f"Logger {name} not found.")
        return self._body(name)

    def set(self, name: str, level: Any) -> list[str]:
        """Names that changed, sorted."""
        if level is None:
            raise BadRequest("Desired 'level' parameter was not specified in request.")
        wanted = _LEVELS.get(str(level).upper())
        if wanted is None:
            raise NotFound(f"invalid log level '{level}'.")
        names = self._all() if name == "root" else [n for n in {*self._all(), name} if n.startswith(name)]
        changed = [n for n in names if self._logger(n).getEffectiveLevel() != wanted or n not in self._modified]
        changed = [n for n in changed if self._body(n)["level"] != _NAMES[wanted]]
        for each in changed:
            self._logger(each).setLevel(wanted)
            self._modified[each] = SYSTEM_CLOCK.wall_ms()
        return sorted(changed)
