"""What errors of any database mean, as far as SQLAlchemy and SQLSTATEs tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from syncline.connectors.jdbc.refusal import Refusal, Refused

_CLASSES: Final[Mapping[str, Refusal]] = {
    "08": Refusal.AWAY,
    "40": Refusal.BUSY,
    "53": Refusal.BUSY,
    "57": Refusal.AWAY,
    "21": Refusal.DATA,
    "22": Refusal.DATA,
    "23": Refusal.DATA,
    "44": Refusal.DATA,
    "P0": Refusal.DATA,
    "28": Refusal.SCHEMA,
    "42": Refusal.SCHEMA,
}


def refusal(error: Exception) -> Refused | None:
    """An error of SQLAlchemy as ours. Values of rows are not shown."""
    from sqlalchemy import exc

    if isinstance(error, exc.DBAPIError):
        state = _state(error.orig)
        return Refused(str(error.orig).strip(), _kind(error, state), state=state)
    if isinstance(error, exc.ResourceClosedError | exc.PendingRollbackError):
        return Refused(str(error), Refusal.AWAY)
    if isinstance(error, exc.SQLAlchemyError):
        return Refused(str(error), Refusal.SCHEMA)
    return None


def _kind(error: Any, state: str | None) -> Refusal:
    from sqlalchemy import exc

    if error.connection_invalidated:
        return Refusal.AWAY
    if state is not None and state[:2] in _CLASSES:
        return _CLASSES[state[:2]]
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return Refusal.DATA
    if isinstance(error, exc.InterfaceError):
        return Refusal.AWAY
    return Refusal.BUSY if isinstance(error, exc.OperationalError) else Refusal.SCHEMA


def _state(original: Any) -> str | None:
    """The SQLSTATE, where the driver keeps one."""
    for name in ("sqlstate", "pgcode"):
        state = getattr(original, name, None)
        if isinstance(state, str) and len(state) == 5:
            return state
    first = original.args[0] if getattr(original, "args", ()) else None
    return first if isinstance(first, str) and len(first) == 5 and first.isalnum() else None
