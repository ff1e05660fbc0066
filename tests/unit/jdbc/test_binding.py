"""Connect values on their way into columns: dates and times, defaults, types nobody takes."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.connectors.jdbc.binding import Binder, NotANumber
from syncline.connectors.jdbc.bound import BindAs
from syncline.connectors.jdbc.dialect import Dialect
from syncline.connectors.jdbc.dialects.mysql import MYSQL
from syncline.connectors.jdbc.dialects.postgresql import POSTGRESQL
from syncline.connectors.jdbc.dialects.sqlite import SQLITE
from syncline.connectors.jdbc.fields import FieldColumn, Part
from syncline.connectors.jdbc.moments import REFORM_DAY, hybrid_day, legacy_day
from syncline.connectors.jdbc.tables import Column
from syncline.data import (
    Schema,
    Type,
    array,
    date_schema,
    decimal_schema,
    map_of,
    primitive,
    struct,
    time_schema,
    timestamp_schema,
)
from syncline.errors import ConnectError, DataError
from tests.unit.jdbc.sinks import INT, MAYBE_INT, TEXT, config

WALL = Column("c", "datetime(3)", nullable=True)
INSTANT = Column("c", "timestamp", nullable=True, instant=True)


def bound(
    schema: Schema,
    *values: Any,
    dialect: Dialect = MYSQL,
    target: Column = WALL,
    name: str = "c",
    key: bool = False,
    options: dict[str, str] | None = None,
) -> list[Any]:
    binder = Binder(config(**options or {}), dialect)
    return list(binder.bind(FieldColumn(name, schema, Part.VALUE_FIELD, key=key), target)(values).values)


STAMP, DAY, TIME = timestamp_schema(), date_schema(), time_schema()
MOMENT = 1_704_164_645_678
"""2024-01-02 03:04:05.678 UTC."""


@pytest.mark.parametrize(
    ("schema", "value", "options", "expected"),
    [
        (STAMP, MOMENT, {}, "2024-01-02 03:04:05.678"),
        (STAMP, 0, {}, "1970-01-01 00:00:00.000"),
        (STAMP, -1, {}, "1969-12-31 23:59:59.999"),
        (STAMP, MOMENT, {"db_timezone": "Europe/Berlin"}, "2024-01-02 04:04:05.678"),
        (STAMP, MOMENT, {"db_timezone": "America/New_York"}, "2024-01-01 22:04:05.678"),
        (DAY, 19_723, {}, "2024-01-01"),
        (DAY, 19_723, {"db_timezone": "Europe/Berlin"}, "2024-01-01"),
        (DAY, 19_723, {"db_timezone": "America/New_York"}, "2023-12-31"),
        (DAY, 19_723, {"db_timezone": "America/New_York", "date_timezone": "UTC"}, "2024-01-01"),
        (DAY, -200_000, {"date_calendar_system": "PROLEPTIC_GREGORIAN"}, "1422-06-03"),
        (DAY, -200_000, {}, "1422-05-25"),
        (DAY, REFORM_DAY, {}, "1582-10-15"),
        (DAY, REFORM_DAY - 1, {}, "1582-10-04"),
        (TIME, 45_296_789, {}, "12:34:56.789"),
        (TIME, 0, {"db_timezone": "Europe/Berlin"}, "01:00:00.000"),
        (TIME, 0, {"db_timezone": "America/New_York"}, "19:00:00.000"),
        (TIME, 86_399_999, {"db_timezone": "Europe/Berlin"}, "00:59:59.999"),
    ],
)
def test_moments_are_the_wall_clock_of_the_configured_zone(
    schema: Schema, value: int, options: dict[str, str], expected: str
) -> None:
    assert bound(schema, value, None, options=options) == [expected, None]


def test_a_column_of_instants_takes_utc_whatever_the_zone() -> None:
    assert bound(STAMP, MOMENT, target=INSTANT, options={"db_timezone": "Europe/Berlin"}) == ["2024-01-02 03:04:05.678"]


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_every_instant_of_pythons_years_is_written_to_the_millisecond(milliseconds: int) -> None:
    (text,) = bound(STAMP, milliseconds, options={"date_calendar_system": "PROLEPTIC_GREGORIAN"})
    found = datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1)
    assert found // datetime.timedelta(milliseconds=1) == milliseconds


@given(st.integers(-700_000, 100_000))
def test_the_two_ways_between_the_calendars_are_inverse(day: int) -> None:
    assert legacy_day(hybrid_day(day)) == day


@pytest.mark.parametrize("schema", [STAMP, DAY])
@pytest.mark.parametrize("value", [2**31 - 1, -(2**31)])
def test_a_year_no_database_takes_is_the_records_fault(schema: Schema, value: int) -> None:
    value *= 1_000_000 if schema is STAMP else 1
    with pytest.raises(DataError, match=r"field c: the year -?\d+"):
        bound(schema, 0, value)


def test_sqlite_stores_moments_as_the_jdbc_driver_does() -> None:
    assert bound(STAMP, MOMENT, None, dialect=SQLITE, options={"db_timezone": "Europe/Berlin"}) == [MOMENT, None]
    assert bound(DAY, 1, None, dialect=SQLITE, options={"db_timezone": "Europe/Berlin"}) == [86_400_000, None]
    assert bound(TIME, 1, dialect=SQLITE) == [1]
    old = bound(DAY, -200_000, dialect=SQLITE, options={"date_calendar_system": "PROLEPTIC_GREGORIAN"})
    assert old == [-17_279_222_400_000]


@pytest.mark.parametrize(
    ("schema", "value", "mode", "dialect", "expected"),
    [
        (primitive(Type.INT64), 1_704_164_645_678_901, "MICROSECONDS", MYSQL, "2024-01-02 03:04:05.678901"),
        (TEXT, "1704164645678901234", "NANOSECONDS", MYSQL, "2024-01-02 03:04:05.678901"),
        (primitive(Type.INT64), -1, "MICROSECONDS", MYSQL, "1969-12-31 23:59:59.999999"),
        (primitive(Type.INT64), 1_704_164_645_678_901, "MICROSECONDS", SQLITE, MOMENT),
    ],
)
def test_listed_fields_are_timestamps(schema: Schema, value: Any, mode: str, dialect: Dialect, expected: Any) -> None:
    options = {"timestamp_fields_list": "us", "timestamp_precision_mode": mode}
    assert bound(schema, value, None, name="us", dialect=dialect, options=options) == [expected, None]


def test_a_listed_field_must_hold_a_number() -> None:
    with pytest.raises(NotANumber, match="field us") as caught:
        bound(TEXT, "secret", name="us", options={"timestamp_fields_list": "us"})
    assert "secret" not in str(caught.value)


def test_a_listed_field_of_another_type_is_left_alone() -> None:
    assert bound(primitive(Type.FLOAT64), 1.5, name="us", options={"timestamp_fields_list": "us"}) == [1.5]


def test_a_null_becomes_the_default_except_in_a_key_or_when_that_is_switched_off() -> None:
    schema = primitive(Type.INT32, optional=True, default=7)
    assert bound(schema, 1, None) == [1, 7]
    assert bound(schema, 1, None, key=True) == [1, None]
    assert bound(schema, 1, None, options={"replace_null_with_default": "false"}) == [1, None]
    assert bound(timestamp_schema(optional=True, default=MOMENT), None) == ["2024-01-02 03:04:05.678"]


@pytest.mark.parametrize("schema", [map_of(TEXT, INT), struct([("x", INT)]), array(primitive(Type.BYTES))])
@pytest.mark.parametrize("dialect", [MYSQL, POSTGRESQL, SQLITE])
def test_what_no_column_takes_is_refused_by_name(schema: Schema, dialect: Dialect) -> None:
    with pytest.raises(ConnectError, match=r"Unsupported source data type: \w+ of field c"):
        bound(schema, dialect=dialect)


def test_arrays_are_for_postgresql() -> None:
    assert bound(array(MAYBE_INT), [1, None], dialect=POSTGRESQL) == [[1, None]]
    for dialect in (MYSQL, SQLITE):
        with pytest.raises(ConnectError, match="Unsupported"):
            bound(array(INT), dialect=dialect)


def test_kinds() -> None:
    binder = Binder(config(), MYSQL)
    kinds = {
        BindAs.INTEGER: INT,
        BindAs.DECIMAL: decimal_schema(2),
        BindAs.MOMENT: STAMP,
        BindAs.TEXT: TEXT,
        BindAs.BYTES: primitive(Type.BYTES),
        BindAs.FLOAT: primitive(Type.FLOAT32),
        BindAs.BOOLEAN: primitive(Type.BOOLEAN),
    }
    for kind, schema in kinds.items():
        assert binder.bind(FieldColumn("c", schema, Part.VALUE_FIELD), WALL)([]).kind is kind
