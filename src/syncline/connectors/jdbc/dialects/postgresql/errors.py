"""What PostgreSQL's SQLSTATEs mean, and its messages without the rows' values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from syncline.connectors.jdbc.refusal import Refusal, Refused

if TYPE_CHECKING:
    from psycopg import Error

_STATES: Final[Mapping[str, Refusal]] = {
    "25006": Refusal.AWAY,  # read-only: a fail-over, another server may be the primary now
    "42804": Refusal.DATA,  # the value's type does not fit the column's
    "55006": Refusal.BUSY,  # object in use
    "55P03": Refusal.BUSY,  # lock not available
    "57014": Refusal.BUSY,  # cancelled by a time limit
    "0A000": Refusal.SCHEMA,
}
_CLASSES: Final[Mapping[str, Refusal]] = {
    "08": Refusal.AWAY,  # connection
    "57": Refusal.AWAY,  # operator intervention: shutdown, crash, starting up
    "58": Refusal.AWAY,  # the server's own system
    "53": Refusal.BUSY,  # resources: disk full, out of memory, too many connections
    "40": Refusal.BUSY,  # deadlock, serialisation
    "25": Refusal.BUSY,  # transaction state
    "21": Refusal.DATA,  # cardinality: one row twice in an upsert
    "22": Refusal.DATA,  # values
    "23": Refusal.DATA,  # constraints
    "44": Refusal.DATA,  # CHECK OPTION of a view
    "P0": Refusal.DATA,  # raised by a trigger
}
# Messages end in the value: `invalid input syntax for type integer: "abc"`.
_VALUE: Final = re.compile(r'(?<=: )".*"$|(?<=value )".*"(?= is out of range)', re.DOTALL)


def refusal(error: Exception) -> Refused | None:
    """An error of psycopg as ours."""
    import psycopg

    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:
        # Raised on this side: the connection is broken, or a value cannot be sent.
        away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return Refused(str(error).strip(), Refusal.AWAY if away else Refusal.DATA)
    kind = _STATES.get(state) or _CLASSES.get(state[:2], Refusal.SCHEMA)
    return Refused(_text(error), kind, state=state)


def _text(error: Error) -> str:
    """The primary message and where it happened; detail and context would show whole rows."""
    diagnosis = error.diag
    if diagnosis.message_primary is None:
        return str(error).strip()
    text = _VALUE.sub('"..."', diagnosis.message_primary)
    named = (("table", diagnosis.table_name), ("column", diagnosis.column_name))
    places = [f"{what} {name}" for what, name in named if name and f'"{name}"' not in text]
    return f"ERROR: {text}" + (f" ({', '.join(places)})" if places else "")
