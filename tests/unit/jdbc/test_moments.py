"""Wall clocks, instants and calendars."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.connectors.jdbc.moments import (
    DAY,
    SECOND,
    date_of,
    day_of,
    iso_datetime,
    legacy_day,
    sql_datetime,
    zone_of,
)

EPOCH = datetime(1970, 1, 1)


def wall(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def instant(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH.replace(tzinfo=UTC)) // timedelta(microseconds=1)


@given(st.dates())
def test_days_and_dates_agree_with_the_standard_library(day: date) -> None:
    number = (day - date(1970, 1, 1)).days
    assert day_of(day.year, day.month, day.day) == number
    assert date_of(number) == (day.year, day.month, day.day)


@given(st.integers(-5_000_000, 5_000_000))
def test_days_and_dates_are_inverse_outside_the_years_of_the_standard_library_too(day: int) -> None:
    assert day_of(*date_of(day)) == day


@pytest.mark.parametrize(
    ("year", "month", "day", "days"),
    [
        pytest.param(1000, 1, 1, -354_280, id="a Julian date"),
        pytest.param(1, 1, 1, -719_164, id="two days apart in the year 1"),
        pytest.param(0, 1, 1, -719_530, id="the year 0"),
        pytest.param(-43, 3, 15, -735_162, id="before our era"),
        pytest.param(1582, 10, 15, -141_427, id="the first Gregorian day"),
        pytest.param(1582, 10, 4, -141_428, id="the last Julian day is the day before"),
        pytest.param(1970, 1, 1, 0, id="today's calendar"),
    ],
)
def test_the_legacy_calendar_is_julian_before_the_reform(year: int, month: int, day: int, days: int) -> None:
    assert legacy_day(day_of(year, month, day)) == days


@pytest.mark.parametrize(
    ("zone", "shown", "meant"),
    [
        ("Europe/Berlin", "2024-01-02T03:04:05", "2024-01-02T02:04:05+00:00"),
        ("Europe/Berlin", "2024-03-31T02:30:00", "2024-03-31T01:30:00+00:00"),
        ("Europe/Berlin", "2024-10-27T02:30:00", "2024-10-27T01:30:00+00:00"),
        ("America/New_York", "1969-12-31T23:59:59", "1970-01-01T04:59:59+00:00"),
        ("PST", "2024-07-01T00:00:00", "2024-07-01T07:00:00+00:00"),
        ("UTC+3", "2024-07-01T00:00:00", "2024-06-30T21:00:00+00:00"),
        ("-05:30", "2024-07-01T00:00:00", "2024-07-01T05:30:00+00:00"),
        ("Z", "2024-07-01T00:00:00", "2024-07-01T00:00:00+00:00"),
        ("GMT+0", "2024-07-01T00:00:00", "2024-07-01T00:00:00+00:00"),
    ],
)
def test_a_zone_reads_clocks_as_java_does(zone: str, shown: str, meant: str) -> None:
    assert zone_of(zone).instant(wall(shown)) == instant(meant)


@given(
    st.datetimes(datetime(1, 1, 4), datetime(9999, 12, 27)),
    st.sampled_from(["UTC", "Europe/Berlin", "+09:00", "America/St_Johns"]),
)
def test_a_clock_shows_again_what_was_read_from_an_instant(moment: datetime, zone: str) -> None:
    at = (moment - EPOCH) // timedelta(microseconds=1)
    shown = zone_of(zone).wall(at)
    # In the repeated hour two instants show the same clock; the later is taken.
    assert zone_of(zone).instant(shown) - at in (0, 3600 * SECOND, 1800 * SECOND, 7200 * SECOND)


@pytest.mark.parametrize("zone", ["Nowhere/X", "", "UTC+19", "+1:99", "../etc/passwd"])
def test_an_unknown_zone_is_refused_by_name(zone: str) -> None:
    with pytest.raises(ValueError, match="Invalid time zone"):
        zone_of(zone)


def test_clocks_are_written_with_the_digits_asked_for() -> None:
    moment = wall("2024-07-02T03:04:05.678901")
    assert iso_datetime(moment, 6) == "2024-07-02T03:04:05.678901"
    assert iso_datetime(moment, 9) == "2024-07-02T03:04:05.678901000"
    assert iso_datetime(-1, 6) == "1969-12-31T23:59:59.999999"
    assert sql_datetime(moment) == "2024-07-02 03:04:05.678901"
    assert sql_datetime(moment, 3) == "2024-07-02 03:04:05.678"
    assert sql_datetime(moment, 0) == "2024-07-02 03:04:05"
    with pytest.raises(ValueError, match="the year 0"):
        iso_datetime(day_of(0, 1, 1) * DAY, 6)
