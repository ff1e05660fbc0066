"""Java's SimpleDateFormat in UTC: the letters that transforms' patterns use.

Supported: y M d H h m s S a E Z X z, quoted text. `S` is milliseconds as an integer, not a fraction:
"123456" read with SSSSSS is 123 s 456 ms. Unlike Java, text after the parsed part and impossible dates
are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from itertools import groupby
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Part = tuple[str, int]
"""A pattern letter and how often it stands there, or a literal text and 0."""


def instant(milliseconds: int) -> datetime:
    """The moment so many milliseconds after the epoch; OverflowError outside years 1 to 9999."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def milliseconds_of(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return (moment - EPOCH) // _MILLISECOND


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
            if letter not in "yMdHhmsSaEZXz":
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
    moment = instant(milliseconds)
    return "".join(text if not count else _FORMAT[text](moment, count) for text, count in parts_of(pattern))


def _two_year(moment: datetime, count: int) -> str:
    return f"{moment.year % 100:02}" if count == 2 else f"{moment.year:0{count}}"


def _month(moment: datetime, count: int) -> str:
    name = _MONTHS[moment.month - 1]
    return f"{moment.month:0{count}}" if count < 3 else name[:3] if count == 3 else name


def _day_name(moment: datetime, count: int) -> str:
    name = _DAYS[moment.weekday()]
    return name if count > 3 else name[:3]


_FORMAT: Final[dict[str, Callable[[datetime, int], str]]] = {
    "y": _two_year,
    "M": _month,
    "d": lambda moment, count: f"{moment.day:0{count}}",
    "H": lambda moment, count: f"{moment.hour:0{count}}",
    "h": lambda moment, count: f"{(moment.hour + 11) % 12 + 1:0{count}}",
    "m": lambda moment, count: f"{moment.minute:0{count}}",
    "s": lambda moment, count: f"{moment.second:0{count}}",
    "S": lambda moment, count: f"{moment.microsecond // 1000:0{count}}",
    "a": lambda moment, count: "AM" if moment.hour < 12 else "PM",
    "E": _day_name,
    "Z": lambda moment, count: "+0000",
    "X": lambda moment, count: "Z",
    "z": lambda moment, count: "UTC",
}


def parse_date(text: str, pattern: str) -> int:
    """Milliseconds since the epoch of the moment `text` names; ValueError when it does not fit `pattern`."""
    fields = {"y": 1970, "M": 1, "d": 1, "H": 0, "m": 0, "s": 0, "S": 0}
    zone: timezone = UTC
    half = hour12 = None
    position = 0
    parts = parts_of(pattern)
    for index, (letter, count) in enumerate(parts):
        if not count:
            if not text.startswith(letter, position):
                raise ValueError(f"expected {letter!r} at position {position}")
            position += len(letter)
        elif letter in "Eaz" or (letter == "M" and count > 2):
            names = _names(letter)
            found, position = _name(text, position, names)
            if letter == "M":
                fields["M"] = found % 12 + 1
            elif letter == "a":
                half = found
        elif letter in "ZX":
            zone, position = _zone(text, position)
        else:
            # Digits run into the next number: the pattern's width decides then, as in Java.
            adjacent = index + 1 < len(parts) and parts[index + 1][1] > 0
            number, width, position = _number(text, position, count if adjacent else 0)
            if letter == "h":
                hour12 = number
            elif letter == "y" and count <= 2 and width == 2:
                fields["y"] = _century(number)
            else:
                fields[letter] = number
    if position != len(text):
        raise ValueError(f"text left over at position {position}")
    if hour12 is not None:
        if not 1 <= hour12 <= 12:
            raise ValueError(f"hour {hour12} is not on a clock of twelve")
        fields["H"] = hour12 % 12 + (12 if half == 1 else 0)
    moment = datetime(fields["y"], fields["M"], fields["d"], fields["H"], fields["m"], fields["s"], tzinfo=zone)
    return milliseconds_of(moment) + fields["S"]


def _names(letter: str) -> tuple[str, ...]:
    if letter == "M":
        return (*_MONTHS, *(name[:3] for name in _MONTHS))
    if letter == "E":
        return (*_DAYS, *(name[:3] for name in _DAYS))
    return ("AM", "PM") if letter == "a" else ("UTC", "GMT", "Z")


def _name(text: str, position: int, names: tuple[str, ...]) -> tuple[int, int]:
    for index, name in enumerate(names):
        if text[position : position + len(name)].lower() == name.lower():
            return index, position + len(name)
    raise ValueError(f"expected one of {', '.join(names)} at position {position}")


def _number(text: str, position: int, width: int) -> tuple[int, int, int]:
    end = position + (text[position : position + 1] == "-")
    while end < len(text) and text[end].isascii() and text[end].isdigit() and (not width or end - position < width):
        end += 1
    digits = text[position:end]
    if not digits.removeprefix("-"):
        raise ValueError(f"expected a number at position {position}")
    return int(digits), end - position, end


def _zone(text: str, position: int) -> tuple[timezone, int]:
    rest = text[position:]
    if rest[:1] == "Z":
        return UTC, position + 1
    if rest[:3] in ("UTC", "GMT"):
        return UTC, position + 3
    digits = rest[1:6].replace(":", "")
    length = 6 if rest[3:4] == ":" else 5 if rest[1:5].isdigit() else 3
    if rest[:1] not in ("+", "-") or not digits[: 2 if length == 3 else 4].isdigit():
        raise ValueError(f"expected a time zone at position {position}")
    minutes = int(digits[:2]) * 60 + (int(digits[2:4]) if length > 3 else 0)
    return timezone(timedelta(minutes=-minutes if rest[0] == "-" else minutes)), position + length


def _century(year: int) -> int:
    # Java: within 80 years before and 20 after the time the format was made.
    this_century = 2000 + year
    return this_century if year < 45 else this_century - 100
