"""How a database says no, sorted by what can be done about it."""

from __future__ import annotations

from enum import Enum

from syncline.errors import SqlError


class Refusal(Enum):
    """Why a database refused a statement, and so what to do about it."""

    AWAY = "away"
    """The connection is gone or of no more use: try again, with a new connection."""
    BUSY = "busy"
    """Deadlock, lock timeout, serialisation failure: try again."""
    DATA = "data"
    """The values are bad; other rows may be fine."""
    SCHEMA = "schema"
    """Missing table or column, wrong statement, no permission: trying again does not help."""


class Refused(SqlError):
    """A refusal with its kind; carries SQLSTATE and vendor code like every SqlError.

    The text never holds connection passwords and, unless a dialect says otherwise, no values of rows.
    """

    def __init__(self, message: str, kind: Refusal, *, state: str | None = None, code: int | None = None) -> None:
        super().__init__(message, state=state, code=code)
        self.kind = kind


class Unreachable(Refused):
    """There is no connection, and opening one failed."""
