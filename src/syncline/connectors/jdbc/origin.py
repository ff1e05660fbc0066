"""Where a row came from, so that two databases can be kept in step both ways without an endless loop.

The source of each database puts a note into a header of every record: the database's name and, in the timestamp modes,
the moment the row was changed. The sink of the other database writes that note into a column of the row. That
database's source finds the note and leaves the row out - unless the row has been changed since, which shows in a
moment that differs from the note's. The sink leaves out records that bear its own database's name.

Nothing is remembered anywhere else, so restarts, replays and a third database change nothing about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from syncline.data import Header, SinkRecord, Type, primitive
from syncline.errors import ConfigError
from syncline.options.load import CheckedValue

HEADER: Final = "syncline.origin"
"""The note as a header of records: `NAME` or `NAME@MILLISECONDS`."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_TEXT: Final = primitive(Type.STRING)
_NANOSECONDS_A_MILLISECOND: Final = 1_000_000


class Origin(NamedTuple):
    """One database's name, and the column of its tables that holds the notes."""

    name: str
    column: str

    def note(self, stamp: int | None) -> str:
        """The note of a row of this database that was changed at `stamp` (nanoseconds since the epoch)."""
        # Milliseconds are all that a Timestamp of Kafka Connect carries to the other side.
        return self.name if stamp is None else f"{self.name}@{stamp // _NANOSECONDS_A_MILLISECOND}"

    def header(self, stamp: int | None) -> tuple[Header, ...]:
        return (Header(HEADER, _TEXT, self.note(stamp)),)

    def is_foreign(self, note: object, stamp: int | None) -> bool:
        """Whether a row with this note is as another database's record left it."""
        name, _, moment = str(note or "").partition("@")
        if name in ("", self.name):
            return False
        return not moment or stamp is None or moment == str(stamp // _NANOSECONDS_A_MILLISECOND)

    def from_elsewhere(self, records: Sequence[SinkRecord]) -> list[SinkRecord]:
        """The records that did not start out in this database."""
        return [record for record in records if str(note_of(record) or "").partition("@")[0] != self.name]


def note_of(record: SinkRecord) -> Any:
    """The note a record carries; None when it has none."""
    return next((header.value for header in reversed(record.headers) if header.key == HEADER), None)


def _problems(name: str, column: str) -> dict[str, str]:
    """What is wrong with `origin.name` and `origin.column`, by option."""
    if bool(name) != bool(column):
        missing = "origin.column" if name else "origin.name"
        return {missing: "origin.name and origin.column go together: set both, or neither"}
    if name and not _NAME.fullmatch(name):
        return {"origin.name": f"{name!r} is not a name: use letters, digits, '.', '_' and '-', at most 100 of them"}
    return {}


def check_origin(answers: Mapping[str, CheckedValue]) -> None:
    """Append what is wrong with the two options to their answers."""
    for option, why in _problems(answers["origin.name"].value or "", answers["origin.column"].value or "").items():
        answers[option].errors.append(why)


def origin_of(name: str, column: str) -> Origin | None:
    """The configured origin; ConfigError when only half of it is there."""
    found = _problems(name, column)
    if found:
        raise ConfigError({option: [why] for option, why in found.items()})
    return Origin(name, column) if name else None
