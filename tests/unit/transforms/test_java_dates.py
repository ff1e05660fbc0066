"""Java's date patterns: what is written can be read, and what cannot be a date is refused."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.data.logical import DAY_MS
from syncline.transforms.java_date_reading import parse_date
from syncline.transforms.java_dates import format_date, moment_of, parts_of

DATES = st.dates(min_value=date(1000, 1, 1))
MOMENTS = st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC))


def milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution * 1000)


@pytest.mark.parametrize(
    "pattern",
    [
        "yyyy-MM-dd'T'HH:mm:ss.SSS",
        "yyyyMMddHHmmssSSS",
        "yyyy-DDD kk:mm:ss.SSSX",
        "EEEE, d MMMM yyyy G hh:mm:ss.SSS a z",
        "YYYY-'W'ww-u HH:mm:ss.SSS Z",
        "''yyyy''LLL''dd K 'o''clock' a, m.s.S",
    ],
)
@given(moment=MOMENTS)
def test_what_a_pattern_wrote_it_reads(pattern: str, moment: datetime) -> None:
    at = milliseconds(moment)
    assert parse_date(format_date(at, pattern), pattern) == at


@given(DATES)
def test_weeks_begin_on_sunday_and_the_first_holds_the_first_of_january(day: date) -> None:
    year, week = moment_of((day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_MS).week
    sunday = day.toordinal() - day.isoweekday() % 7
    if year > 9999:
        return
    new_year = date(year, 1, 1)
    assert sunday - 7 * (week - 1) == new_year.toordinal() - new_year.isoweekday() % 7


def test_years_that_python_has_not_are_written() -> None:
    assert format_date(1_704_164_645_678_999, "yyyy-MM-dd") == "55972-10-29"
    assert format_date(-62_135_596_800_000 - DAY_MS, "yyyy-MM-dd G") == "0001-12-31 BC"


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("2024-01-02 03:04 PST", "yyyy-MM-dd HH:mm z", "2024-01-02 11:04"),
        ("2024-07-02 03:04 CEST", "yyyy-MM-dd HH:mm z", "2024-07-02 01:04"),
        ("2024-01-02 03:04 GMT+01:30", "yyyy-MM-dd HH:mm z", "2024-01-02 01:34"),
        ("2024-01-02 03:04 -0500", "yyyy-MM-dd HH:mm Z", "2024-01-02 08:04"),
        ("2024-01-02T03:04+05:45", "yyyy-MM-dd'T'HH:mmXXX", "2024-01-01 21:19"),
        ("12:30 am", "hh:mm a", "1970-01-01 00:30"),
        ("12:30 PM", "hh:mm a", "1970-01-01 12:30"),
        ("2024 60", "yyyy D", "2024-02-29 00:00"),
        ("tue, 2  jan 2024", "EEE, d MMM yyyy", "2024-01-02 00:00"),
    ],
)
def test_zones_half_days_and_names(text: str, pattern: str, expected: str) -> None:
    assert format_date(parse_date(text, pattern), "yyyy-MM-dd HH:mm") == expected


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("2024-02-30", "yyyy-MM-dd"),
        ("2024-01-02 trailing", "yyyy-MM-dd"),
        ("2024-01", "yyyy-MM-dd"),
        ("2023 366", "yyyy D"),
        ("24:00", "HH:mm"),
        ("13 PM", "hh a"),
        ("2024-05-06", "YYYY-MM-dd"),
        ("3 2024", "W yyyy"),
        ("2024 BST", "yyyy z"),
        ("2024 +25", "yyyy X"),
        ("0044 BC", "yyyy G"),
        ("-2024", "yyyy"),
        ("", "yyyy"),
    ],
)
def test_what_is_no_date_is_refused(text: str, pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_date(text, pattern)


@pytest.mark.parametrize("pattern", ["Q", "yyyy-bb", "yyyy 'open"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"Illegal pattern character|Unterminated quote"):
        parts_of(pattern)


class Year:
    """A clock that stands in the middle of a year."""

    def __init__(self, year: int) -> None:
        self._at = milliseconds(datetime(year, 7, 1, tzinfo=UTC))

    def wall_ms(self) -> int:
        return self._at

    def monotonic(self) -> float:
        return 0.0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.is_set()


@pytest.mark.parametrize(("now", "text", "year"), [(2026, "45", 2045), (2026, "46", 1946), (2050, "69", 2069)])
def test_two_digits_name_a_year_between_80_years_ago_and_20_ahead(now: int, text: str, year: int) -> None:
    assert format_date(parse_date(text, "yy", Year(now)), "yyyy") == str(year)
    assert format_date(parse_date("0045", "yy", Year(now)), "yyyy") == "0045"
