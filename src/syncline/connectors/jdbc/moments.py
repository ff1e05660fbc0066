"""Instants and wall clocks as integers: time zones by their JDK names, and Java's hybrid calendar.

A wall clock is microseconds from 1970-01-01T00:00 as a clock in some zone shows it; an instant is
microseconds from 1970-01-01T00:00Z. Both are proleptic Gregorian and may lie outside Python's years.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND: Final = 1_000_000
DAY_SECONDS: Final = 86_400
DAY: Final = DAY_SECONDS * SECOND

_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_UTC: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST: Final = (datetime(1, 1, 3) - _EPOCH) // _MICROSECOND
_LAST: Final = (datetime(9999, 12, 29) - _EPOCH) // _MICROSECOND


class Calendar(StrEnum):
    """How dates before 1582-10-15 are counted (`date.calendar.system`)."""

    LEGACY = "LEGACY"
    """As java.util.GregorianCalendar: Julian before the Gregorian reform."""
    PROLEPTIC_GREGORIAN = "PROLEPTIC_GREGORIAN"
    """As ISO 8601 and java.time."""


REFORM_DAY: Final = -141_427
"""1582-10-15 in days since 1970-01-01: the first day of the Gregorian calendar."""

# The ids java.time.ZoneId.SHORT_IDS resolves besides those of the tz database.
_SHORT_IDS: Final = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
    "EST": "-05:00",
    "MST": "-07:00",
    "HST": "-10:00",
}

_OFFSET: Final = re.compile(
    r"(?:UTC|GMT|UT)?(?P<sign>[+-])(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d)(?::?(?P<seconds>\d\d))?)?"
)


class Zone:
    """A time zone that turns wall clocks into instants as Java's Calendar does."""

    __slots__ = ("_tz", "id", "is_utc")

    def __init__(self, zone_id: str, tz: tzinfo) -> None:
        self.id = zone_id
        self._tz = tz
        self.is_utc = tz is UTC

    def instant(self, wall: int) -> int:
        """The instant at which the zone's clocks show `wall`.

        In the hour that clocks repeat, the later (standard time) one; in the hour they skip, the time
        that would have been without the skip.
        """
        if self.is_utc:
            return wall
        naive = _EPOCH + timedelta(microseconds=min(max(wall, _FIRST), _LAST))
        before = naive.replace(tzinfo=self._tz, fold=0).utcoffset()
        after = naive.replace(tzinfo=self._tz, fold=1).utcoffset()
        assert before is not None
        assert after is not None
        # The smaller offset is standard time when clocks go back, and the old time when they go forward.
        return wall - min(before, after) // _MICROSECOND

    def wall(self, instant: int) -> int:
        """What the zone's clocks show at `instant`."""
        if self.is_utc:
            return instant
        moment = _EPOCH_UTC + timedelta(microseconds=min(max(instant, _FIRST), _LAST))
        offset = moment.astimezone(self._tz).utcoffset()
        assert offset is not None
        return instant + offset // _MICROSECOND

    def __repr__(self) -> str:
        return f"Zone({self.id})"


@lru_cache(maxsize=64)
def zone_of(zone_id: str) -> Zone:
    """The zone called `zone_id` in the JDK: a region, a short id, `UTC+3`, `+05:30`, `Z`.

    Raises ValueError when the JDK would not know it either.
    """
    name = _SHORT_IDS.get(zone_id, zone_id)
    if name in ("UTC", "Z", "GMT", "UT", "Etc/UTC", "Etc/GMT", "Zulu", "Universal", "Greenwich"):
        return Zone(zone_id, UTC)
    fixed = _OFFSET.fullmatch(name)
    if fixed:
        hours, minutes, seconds = (int(fixed[part] or 0) for part in ("hours", "minutes", "seconds"))
        offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        if offset > timedelta(hours=18) or minutes > 59 or seconds > 59:
            raise ValueError(f"Invalid time zone identifier {zone_id}: an offset is at most 18 hours")
        return Zone(zone_id, timezone(-offset if fixed["sign"] == "-" else offset) if offset else UTC)
    try:
        return Zone(zone_id, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"Invalid time zone identifier {zone_id}: give a region such as Europe/Berlin, an offset such as +02:00, "
            "or UTC"
        ) from None


def day_of(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the proleptic Gregorian calendar, of any year."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def date_of(day: int) -> tuple[int, int, int]:
    """Year, month and day of the proleptic Gregorian calendar, `day` days after 1970-01-01."""
    era, of_era = divmod(day + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return era * 400 + year + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def legacy_day(day: int) -> int:
    """`day` as Java's hybrid calendar counts the same year, month and day (Julian before the reform)."""
    if day >= REFORM_DAY:
        return day
    year, month, of_month = date_of(day)
    year -= month <= 2
    return year * 365 + year // 4 + (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + of_month - 1 - 719_470


def hybrid_day(day: int) -> int:
    """The day whose proleptic date reads as `day` does in Java's hybrid calendar: the inverse of `legacy_day`."""
    if day >= REFORM_DAY:
        return day
    era, of_era = divmod(day + 719_470, 1_461)
    year = (of_era - of_era // 1_460) // 365
    of_year = of_era - 365 * year
    shifted = (5 * of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return day_of(4 * era + year + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1)


def iso_datetime(wall: int, digits: int) -> str:
    """`yyyy-MM-dd'T'HH:mm:ss.S...` with `digits` fraction digits, 6 or 9.

    Raises ValueError outside the years 1 to 9999.
    """
    day, within = divmod(wall, DAY)
    year, month, of_month = date_of(day)
    if not 1 <= year <= 9999:
        raise ValueError(f"the year {year} has no ISO text of four digits")
    seconds, micros = divmod(within, SECOND)
    fraction = f"{micros:06d}" if digits == 6 else f"{micros:06d}000"
    return (
        f"{year:04d}-{month:02d}-{of_month:02d}T"
        f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction}"
    )


def sql_datetime(wall: int, digits: int = 6) -> str:
    """`yyyy-MM-dd HH:mm:ss.S...` cut to `digits` fraction digits (0 to 6): what SQL understands.

    Raises ValueError outside the years 1 to 9999.
    """
    text = iso_datetime(wall, 6).replace("T", " ")
    return text[: 20 + digits] if digits else text[:19]
