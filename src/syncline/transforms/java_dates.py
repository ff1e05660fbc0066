"""Java's SimpleDateFormat in UTC and English: patterns, and moments printed by them.

All letters are known. Weeks are those of the United States, Java's for English: they begin on Sunday, and
the week that holds the first of January is the first. Dates are Gregorian throughout; Java changes to the
Julian calendar before 15 October 1582.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

from syncline.data.logical import DAY_MS
from syncline.data.values import civil_date

MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Part = tuple[str, int]
"""A pattern letter and how often it stands there, or a literal text and 0."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment in UTC, in any year."""

    days: int
    """Since 1970-01-01."""
    year: int
    """0 is the year before 1."""
    month: int
    day: int
    milliseconds: int
    """Of the day."""

    @property
    def hour(self) -> int:
        """From 0 to 23."""
        return self.milliseconds // 3_600_000

    @property
    def weekday(self) -> int:
        """From 0, Monday."""
        return (self.days + 3) % 7

    @property
    def week(self) -> tuple[int, int]:
        """The year that the week belongs to, and its number in that year."""
        year = self.year + (days_until(self.year + 1) - _since_sunday(days_until(self.year + 1)) <= self.days)
        return year, (self.days - first_week(year)) // 7 + 1


def moment_of(milliseconds: int) -> Moment:
    """The moment so many milliseconds after the epoch."""
    days, of_day = divmod(milliseconds, DAY_MS)
    return Moment(days, *civil_date(days), of_day)


def days_until(year: int) -> int:
    """Days from the epoch to the first of January of `year`."""
    past = year - 1
    return past * 365 + past // 4 - past // 100 + past // 400 - 719_162


def first_week(year: int) -> int:
    """The Sunday with which the first week of `year` begins, in days since the epoch."""
    return days_until(year) - _since_sunday(days_until(year))


def _since_sunday(days: int) -> int:
    return (days + 4) % 7


@lru_cache(maxsize=256)
def parts_of(pattern: str) -> tuple[Part, ...]:
    """The pattern taken apart; ValueError for a letter that has no meaning, or an open quote."""
    parts: list[Part] = []
    position = 0
    while position < len(pattern):
        letter = pattern[position]
        if letter == "'":
            text, position = _literal(pattern, position + 1)
            parts.append((text, 0))
        elif letter.isascii() and letter.isalpha():
            run = next(len(list(group)) for _, group in groupby(pattern[position:]))
            if letter not in _FORMAT:
                raise ValueError(f"Illegal pattern character '{letter}'")
            parts.append((letter, run))
            position += run
        else:
            parts.append((letter, 0))
            position += 1
    return tuple(parts)


def _literal(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position : position + 1] == "'":
        return "'", position + 1
    out: list[str] = []
    while position < len(pattern):
        if pattern[position] == "'":
            if pattern[position + 1 : position + 2] != "'":
                return "".join(out), position + 1
            position += 1
        out.append(pattern[position])
        position += 1
    raise ValueError("Unterminated quote")


def format_date(milliseconds: int, pattern: str) -> str:
    """The moment in UTC, printed by `pattern`."""
    moment = moment_of(milliseconds)
    return "".join(text if not count else _FORMAT[text](moment, count) for text, count in parts_of(pattern))


def _number(value: Callable[[Moment], int]) -> Callable[[Moment, int], str]:
    return lambda moment, count: f"{value(moment):0{count}}"


def _year(year: int, count: int) -> str:
    of_era = year if year > 0 else 1 - year
    return f"{of_era % 100:02}" if count == 2 else f"{of_era:0{count}}"


def _month(moment: Moment, count: int) -> str:
    name = MONTHS[moment.month - 1]
    return f"{moment.month:0{count}}" if count < 3 else name[:3] if count == 3 else name


def _day_name(moment: Moment, count: int) -> str:
    name = DAYS[moment.weekday]
    return name if count > 3 else name[:3]


_FORMAT: Final[dict[str, Callable[[Moment, int], str]]] = {
    "G": lambda moment, count: "AD" if moment.year > 0 else "BC",
    "y": lambda moment, count: _year(moment.year, count),
    "Y": lambda moment, count: _year(moment.week[0], count),
    "M": _month,
    "L": _month,
    "w": _number(lambda moment: moment.week[1]),
    "W": _number(lambda moment: (moment.day - 1 + _since_sunday(moment.days - moment.day + 1)) // 7 + 1),
    "D": _number(lambda moment: moment.days - days_until(moment.year) + 1),
    "d": _number(lambda moment: moment.day),
    "F": _number(lambda moment: (moment.day - 1) // 7 + 1),
    "E": _day_name,
    "u": _number(lambda moment: moment.weekday + 1),
    "a": lambda moment, count: "AM" if moment.hour < 12 else "PM",
    "H": _number(lambda moment: moment.hour),
    "k": _number(lambda moment: moment.hour or 24),
    "K": _number(lambda moment: moment.hour % 12),
    "h": _number(lambda moment: moment.hour % 12 or 12),
    "m": _number(lambda moment: moment.milliseconds // 60_000 % 60),
    "s": _number(lambda moment: moment.milliseconds // 1_000 % 60),
    "S": _number(lambda moment: moment.milliseconds % 1_000),
    "z": lambda moment, count: "UTC" if count < 4 else "Coordinated Universal Time",
    "Z": lambda moment, count: "+0000",
    "X": lambda moment, count: "Z",
}
