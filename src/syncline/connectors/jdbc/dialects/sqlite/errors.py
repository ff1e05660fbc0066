"""What SQLite's result codes mean."""

from __future__ import annotations

from typing import Final

from syncline.connectors.jdbc.refusal import Refusal, Refused

_KINDS: Final = {
    5: Refusal.BUSY,  # BUSY: another connection writes
    6: Refusal.BUSY,  # LOCKED
    8: Refusal.SCHEMA,  # READONLY
    9: Refusal.BUSY,  # INTERRUPT
    10: Refusal.AWAY,  # IOERR: a folder that was unmounted, a network drive
    13: Refusal.BUSY,  # FULL: the disk
    14: Refusal.AWAY,  # CANTOPEN
    15: Refusal.BUSY,  # PROTOCOL: a race for the write-ahead log
    18: Refusal.DATA,  # TOOBIG
    19: Refusal.DATA,  # CONSTRAINT
    20: Refusal.DATA,  # MISMATCH
}


def refusal(error: Exception) -> Refused | None:
    """An error of the `sqlite3` module as ours."""
    import sqlite3

    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", None)
    text = f"[{name}] {error}" if name else str(error)
    if code is not None:
        return Refused(text, _KINDS.get(code & 0xFF, Refusal.SCHEMA), code=code)
    # Raised by the module itself, without a code.
    if isinstance(error, sqlite3.InterfaceError | sqlite3.DataError):
        return Refused(text, Refusal.DATA)
    kind = Refusal.AWAY if isinstance(error, sqlite3.ProgrammingError) else Refusal.SCHEMA
    return Refused(text, kind)
