"""Text read by a pattern of Java's SimpleDateFormat.

As in Java, `S` is milliseconds as an integer, not a fraction: "123456" read with SSSSSS is 123 s 456 ms; a
year of two digits lies within 80 years before and 20 after now. Unlike Java, text after the parsed part and
impossible dates are refused, and so is a month or day next to `Y`, the year of a week, which would lose them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from syncline.clock import SYSTEM_CLOCK, Clock
from syncline.data.logical import DAY_MS
from syncline.transforms.java_dates import DAYS, MONTHS, Part, first_week, moment_of, parts_of

_EPOCH: Final = date(1970, 1, 1).toordinal()

# The short names Java knows and nobody else uses for another zone; in minutes east of Greenwich.
_ZONES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("UTC", "GMT", "UT", "Z", "WET"), 0),
    **dict.fromkeys(("CET", "WEST", "MEZ"), 60),
    **dict.fromkeys(("CEST", "EET", "MESZ", "SAST", "CAT"), 120),
    **dict.fromkeys(("EEST", "MSK", "EAT"), 180),
    **dict.fromkeys(("JST", "KST"), 540),
    **{"SGT": 480, "HKT": 480, "AWST": 480, "ACST": 570, "AEST": 600, "ACDT": 630, "AEDT": 660},
    **{"NZST": 720, "NZDT": 780, "NST": -210, "NDT": -150, "AST": -240, "ADT": -180, "EST": -300, "EDT": -240},
    **{"CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420},
    **{"AKST": -540, "AKDT": -480, "HST": -600},
}
_OFFSET: Final = re.compile(r"(?:GMT|UTC)?([+-])(\d\d?):?(\d\d)?", re.ASCII)
_ZONE_NAME: Final = re.compile(r"[A-Za-z]+")
_DIGITS: Final = re.compile(r"\d+", re.ASCII)
_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "M": (*MONTHS, *(name[:3] for name in MONTHS)),
    "L": (*MONTHS, *(name[:3] for name in MONTHS)),
    "E": (*DAYS, *(name[:3] for name in DAYS)),
    "a": ("AM", "PM"),
    "G": ("BC", "AD"),
}
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "H": (0, 23),
    "k": (1, 24),
    "K": (0, 11),
    "h": (1, 12),
    "m": (0, 59),
    "s": (0, 59),
    "u": (1, 7),
    "w": (1, 53),
    "D": (1, 366),
}


def parse_date(text: str, pattern: str, clock: Clock = SYSTEM_CLOCK) -> int:
    """Milliseconds since the epoch of the moment `text` names; ValueError when it does not fit `pattern`."""
    reader = _Reader(text)
    parts = parts_of(pattern)
    for part, following in zip(parts, (*parts[1:], ("", 0)), strict=True):
        reader.read(part, following)
    return reader.milliseconds(clock)


class _Reader:
    """Goes through a text from the left and keeps what each letter of the pattern got."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._got: dict[str, int] = {}
        """By letter, in the order read; L counts as M."""
        self._two_digits = False
        self._offset = 0

    def read(self, part: Part, following: Part) -> None:
        letter, count = part
        if not count:
            if not self._text.startswith(letter, self._at):
                raise ValueError(f"expected {letter!r} at position {self._at}")
            self._at += len(letter)
            return
        while self._text[self._at : self._at + 1] in (" ", "\t"):
            self._at += 1
        if letter in "zZX":
            self._offset = self._zone()
        elif _is_number(part):
            # Digits run into the next number: the pattern's width decides then.
            digits = self._digits(count if _is_number(following) else None)
            self._take(letter, int(digits))
            if letter in "yY":
                self._two_digits = count <= 2 and len(digits) == 2
        else:
            found = self._name(_TEXTS[letter])
            self._take(letter, found % 12 + 1 if letter in "ML" else found % 7)

    def _take(self, letter: str, number: int) -> None:
        low, high = _RANGES.get(letter, (number, number))
        if not low <= number <= high:
            raise ValueError(f"{number} is not from {low} to {high}, as '{letter}' must be")
        if letter in "WF":
            raise ValueError(f"'{letter}' can be written only, not read")
        key = "M" if letter == "L" else letter
        self._got.pop(key, None)
        self._got[key] = number

    def _digits(self, width: int | None) -> str:
        found = _DIGITS.match(self._text, self._at, len(self._text) if width is None else self._at + width)
        if found is None:
            raise ValueError(f"expected a number at position {self._at}")
        self._at = found.end()
        return found[0]

    def _name(self, names: tuple[str, ...]) -> int:
        for index, name in enumerate(names):
            if self._text[self._at : self._at + len(name)].lower() == name.lower():
                self._at += len(name)
                return index
        raise ValueError(f"expected one of {', '.join(names)} at position {self._at}")

    def _zone(self) -> int:
        """Minutes east of Greenwich."""
        if found := _OFFSET.match(self._text, self._at):
            minutes = int(found[2]) * 60 + int(found[3] or 0)
            if int(found[2]) < 24 and int(found[3] or 0) < 60:
                self._at = found.end()
                return -minutes if found[1] == "-" else minutes
        elif (found := _ZONE_NAME.match(self._text, self._at)) and found[0].upper() in _ZONES:
            self._at = found.end()
            return _ZONES[found[0].upper()]
        raise ValueError(f"expected a time zone at position {self._at}")

    def milliseconds(self, clock: Clock) -> int:
        """The moment, once all is read."""
        if self._at != len(self._text):
            raise ValueError(f"text left over at position {self._at}")
        got = self._got
        seconds = (self._hour() * 60 + got.get("m", 0) - self._offset) * 60 + got.get("s", 0)
        return self._days(clock) * DAY_MS + seconds * 1_000 + got.get("S", 0)

    def _hour(self) -> int:
        got = self._got
        if "H" in got:
            return got["H"]
        if "k" in got:
            return got["k"] % 24
        return got.get("h", got.get("K", 0)) % 12 + 12 * got.get("a", 0)

    def _days(self, clock: Clock) -> int:
        """Since the epoch. What was read last of day, day of the year and week names the date."""
        got = self._got
        if got.get("G") == 0:
            raise ValueError("years before Christ are not supported")
        named = [letter for letter in got if letter in "dDw"]
        if "Y" in got and (named[-1:] in (["d"], ["D"]) or "M" in got):
            raise ValueError("'Y' is the year of a week; 'y' goes with a month or day")
        year = got.get("Y", got.get("y", 1970))
        if self._two_digits:
            year = _with_century(year, moment_of(clock.wall_ms()).year)
        if "Y" in got or named[-1:] == ["w"]:
            weekday = got.get("u", got.get("E", -1) + 1) % 7
            return first_week(year) + 7 * (got.get("w", 1) - 1) + weekday
        if named[-1:] == ["D"]:
            first, next_year = date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal() + 1
            if first + got["D"] > next_year:
                raise ValueError(f"{year} has no day {got['D']}")
            return first + got["D"] - 1 - _EPOCH
        return date(year, got.get("M", 1), got.get("d", 1)).toordinal() - _EPOCH


def _is_number(part: Part) -> bool:
    letter, count = part
    return count > 0 and letter not in "EaGzZX" and not (letter in "ML" and count > 2)


def _with_century(year: int, now: int) -> int:
    oldest = now - 80
    return oldest + (year - oldest) % 100
