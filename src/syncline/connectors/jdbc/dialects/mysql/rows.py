"""Fetches rows from a cursor of either driver, and frees what MariaDB Connector/Python forgets to free.

The releases named in `LEAKING` count one reference too many to every value that they return: a value's slot in the
cursor is overwritten by the next row without the slot's reference being given up. 500,000 rows of five columns keep
130 MiB until the process ends. That reference is given up here, for these releases alone; a test counts the references
that are left, so a release that behaves differently is noticed before it is added.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

from syncline.connectors.jdbc.reading import Row

LEAKING: Final = frozenset({"2.0.0rc1-c", "2.0.0rc2-c"})
"""As `mariadb.__version__` has them; `-c` is the variant in C."""

_give_up: Final[Callable[[Any], None]] = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_DecRef", ctypes.pythonapi))


class Fetcher:
    """Of one cursor, from its first row on; whoever fetches by it does not fetch otherwise."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._leaks = _leaks(cursor)
        self._last: Sequence[Row] = ()
        """The row whose values are in the cursor's slots still; without a next one the cursor frees them."""

    def fetch(self, count: int) -> list[Row]:
        """The next `count` rows, fewer at the end."""
        rows = list(self._cursor.fetchmany(count))
        if self._leaks and rows:
            _free(self._last)
            _free(rows[:-1])
            self._last = rows[-1:]
        return rows


def _free(rows: Sequence[Row]) -> None:
    """Give up one reference to each of their values."""
    deque(map(_give_up, chain.from_iterable(rows)), maxlen=0)


def _leaks(cursor: Any) -> bool:
    if not type(cursor).__module__.startswith("mariadb"):
        return False
    import mariadb

    return mariadb.__version__ in LEAKING
