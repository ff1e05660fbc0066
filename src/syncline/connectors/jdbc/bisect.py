"""Finding the few bad ones among many: each halving costs two tries, so one among n costs log2(n)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from syncline.connectors.jdbc.refusal import Refusal, Refused
from syncline.errors import DataError

T = TypeVar("T")


def write_around(
    rows: Sequence[T],
    write: Callable[[Sequence[T]], None],
    undo: Callable[[], None],
    bad: Callable[[T, Exception], None],
) -> None:
    """Write all `rows` that can be written, in order; hand the others to `bad`.

    `write` takes some neighbouring rows and may leave a part of them behind when it raises; `undo` takes that part
    back. Only errors that speak of values lead to another try; all others pass, and so do those of `bad`.
    """
    waiting = [rows]
    while waiting:
        some = waiting.pop()
        try:
            write(some)
            continue
        except DataError as exc:
            error: Exception = exc
        except Refused as exc:
            if exc.kind is not Refusal.DATA:
                raise
            error = exc
        undo()
        if len(some) == 1:
            bad(some[0], error)
        else:
            middle = len(some) // 2
            waiting += [some[middle:], some[:middle]]
