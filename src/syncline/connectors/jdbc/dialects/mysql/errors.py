"""What the error codes of MariaDB and MySQL mean, and their texts without the rows' values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from syncline.connectors.jdbc.refusal import Refusal, Refused

_AWAY: Final = frozenset(
    {
        1040,  # too many connections
        1042,  # the host's name cannot be resolved
        1043,  # bad handshake
        1053,  # server shutdown in progress
        1077,  # normal shutdown
        1079,  # shutdown complete
        1080,  # forcing close of a thread
        1129,  # host is blocked
        1152,  # aborted connection
        1158,  # network read error
        1159,  # network read timeout
        1160,  # network write error
        1161,  # network write timeout
        1184,  # aborted connection
        1203,  # the account has too many connections
        1226,  # the account has exceeded a resource
        1290,  # the server is read-only: a fail-over, another server may be the primary now
        1792,  # the transaction is read-only
        1836,  # read-only mode
        1927,  # connection was killed
        4031,  # disconnected for inactivity
    }
)
_BUSY: Final = frozenset(
    {
        1020,  # the row has changed since it was read
        1021,  # disk full, waiting for somebody to free some space
        1028,  # sort aborted
        1037,  # out of memory
        1041,  # out of memory
        1099,  # table locked with a READ lock
        1114,  # the table is full
        1180,  # error during COMMIT
        1205,  # lock wait timeout
        1206,  # more locks than the lock table holds
        1213,  # deadlock
        1223,  # conflicting read lock
        1317,  # query interrupted
        1412,  # table definition has changed
        1969,  # max_statement_time exceeded
        3024,  # max_execution_time exceeded
        3572,  # NOWAIT: a lock could not be taken at once
    }
)
_DATA: Final = frozenset(
    {
        1022,  # duplicate key
        1048,  # column cannot be null
        1062,  # duplicate entry
        1118,  # row size too large
        1136,  # column count does not match
        1138,  # NULL where it is not allowed
        1153,  # a row bigger than max_allowed_packet
        1169,  # unique constraint of a MERGE table
        1216,  # foreign key, child row
        1217,  # foreign key, parent row
        1263,  # NULL into a NOT NULL column
        1264,  # out of range
        1265,  # data truncated
        1292,  # truncated incorrect value
        1301,  # result larger than max_allowed_packet
        1364,  # no default value
        1365,  # division by 0
        1366,  # incorrect value
        1367,  # illegal value found while parsing
        1369,  # CHECK OPTION of a view
        1406,  # data too long
        1411,  # incorrect value for a function
        1416,  # cannot get geometry object
        1425,  # too big scale
        1426,  # too big precision
        1441,  # datetime overflow
        1451,  # foreign key, parent row
        1452,  # foreign key, child row
        1525,  # incorrect value
        1526,  # no partition for the value
        1557,  # foreign key would lead to a duplicate
        1586,  # duplicate entry
        1591,  # partition function cannot take the value
        1642,  # SIGNAL of a trigger: warning
        1643,  # SIGNAL: not found
        1644,  # SIGNAL: exception
        1690,  # out of range
        1748,  # row in the wrong partition
        1761,  # foreign key duplicate
        1762,  # foreign key duplicate
        3140,  # invalid JSON text
        3141,  # invalid JSON text in an argument
        3156,  # invalid JSON value for CAST
        3730,  # foreign key
        3819,  # CHECK constraint (MySQL)
        3903,  # invalid JSON value for CAST
        4025,  # CHECK constraint (MariaDB)
        4078,  # illegal parameter type
    }
)
_CLIENT: Final = range(2000, 2100)
"""Raised by the client library, nearly always because the connection is no more."""
_CLIENT_USAGE: Final = frozenset({2000, 2030, 2031, 2032, 2033, 2034, 2035, 2036, 2054, 2057})
"""Those of them that speak of parameters and types."""

_VALUE: Final = re.compile(r"(?<=entry )'.*'(?= for key)|(?<=value: )'.*'(?= for )|(?<=value )'.*'(?= in )", re.DOTALL)
_SUFFIX: Final = re.compile(r" \(errno: \d+, sqlstate: \w*\)$")


def refusal(error: Exception) -> Refused | None:
    """An error of MariaDB Connector/Python or PyMySQL as ours."""
    if not isinstance(error, driver_errors()):
        return None
    code, text = _parts(error)
    state = getattr(error, "sqlstate", None) or None
    shown = _VALUE.sub("'...'", text)
    return Refused(f"({code}) {shown}" if code else shown, _kind(code, state), state=state, code=code)


def _parts(error: Exception) -> tuple[int | None, str]:
    """Code and text: attributes of the one driver, arguments of the other."""
    code = getattr(error, "errno", None)
    text = str(error)
    if code is None and error.args and isinstance(error.args[0], int):
        code = error.args[0]
        text = str(error.args[1]) if len(error.args) > 1 else ""
    return code or None, _SUFFIX.sub("", text) or "the connection is closed"


def _kind(code: int | None, state: str | None) -> Refusal:
    if code is None:
        # Without a code only the drivers themselves speak, of a connection that is closed.
        return Refusal.AWAY
    if code in _AWAY or (code in _CLIENT and code not in _CLIENT_USAGE):
        return Refusal.AWAY
    if code in _BUSY:
        return Refusal.BUSY
    if code in _DATA:
        return Refusal.DATA
    return _BY_CLASS.get((state or "")[:2], Refusal.SCHEMA)


_BY_CLASS: Final[Mapping[str, Refusal]] = {
    "08": Refusal.AWAY,
    "40": Refusal.BUSY,
    "22": Refusal.DATA,
    "23": Refusal.DATA,
    "45": Refusal.DATA,
}


def driver_errors() -> tuple[type[Exception], ...]:
    """The base classes of the errors of the drivers that are installed."""
    found: list[type[Exception]] = []
    try:
        import mariadb

        found.append(mariadb.Error)
    except ImportError:
        pass
    try:
        import pymysql

        found.append(pymysql.err.MySQLError)
    except ImportError:
        pass
    return tuple(found)
