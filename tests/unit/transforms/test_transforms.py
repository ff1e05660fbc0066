"""Transforms where no recording shows what they do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from syncline.data import Header, Schema, SourceRecord, Type, date_schema, primitive, struct, timestamp_schema
from syncline.data.logical import DAY_MS
from syncline.errors import ConfigError, ConnectError, DataError
from syncline.transforms.cast import Cast
from syncline.transforms.header_from import HeaderFrom
from syncline.transforms.insert_header import InsertHeader
from syncline.transforms.regex_router import RegexRouter
from syncline.transforms.set_schema_metadata import SetSchemaMetadata
from syncline.transforms.sides import VALUE
from syncline.transforms.timestamp_converter import TimestampConverter

STRING = primitive(Type.STRING)


def record(schema: Schema | None, value: Any) -> SourceRecord:
    return SourceRecord(None, None, "t", schema, value)


def applied(transform: Any, schema: Schema | None, value: Any, **options: str) -> SourceRecord:
    transform.configure({name.replace("_", "."): text for name, text in options.items()})
    changed = transform.apply(record(schema, value))
    assert isinstance(changed, SourceRecord)
    return changed


def cast(schema: Schema | None, value: Any, spec: str) -> Any:
    return applied(Cast(VALUE), schema, value, spec=spec).value


def converted(schema: Schema | None, value: Any, **options: str) -> SourceRecord:
    return applied(TimestampConverter(VALUE), schema, value, **options)


@pytest.mark.parametrize("text", ["1_000", "nan", "inf", "1e", " ", "", "0x10", "٣"])
def test_text_that_java_takes_for_no_number_is_refused(text: str) -> None:
    for kind in ("int64", "float64"):
        with pytest.raises(DataError, match="out of range for requested data type"):
            cast(STRING, text, kind)


def test_text_that_java_takes_for_a_number_is_one() -> None:
    assert [cast(STRING, text, "float64") for text in (" 1.5 ", "2d", ".5", "1e3", "-Infinity")] == [
        *(1.5, 2.0, 0.5, 1000.0),
        float("-inf"),
    ]
    assert cast(STRING, "+12", "int8") == 12


def test_a_date_before_1970_keeps_its_day_when_it_becomes_text() -> None:
    assert cast(date_schema(), -1, "string") == "1969-12-31"
    assert cast(timestamp_schema(), -1, "string") == "1969-12-31T23:59:59.999Z"


@pytest.mark.parametrize(("kind", "value"), [("LIST", [1]), ("MAP", {"a": 1}), ("DECIMAL", Decimal(1))])
def test_what_has_no_schema_and_is_not_primitive_is_not_cast(kind: str, value: Any) -> None:
    with pytest.raises(DataError, match="does not support"):
        cast(None, value, "string")


def test_a_header_is_added_behind_others_of_its_name() -> None:
    transform = InsertHeader[SourceRecord]()
    transform.configure({"header": "h", "value.literal": "1"})
    once = transform.apply(record(None, None))
    assert once is not None
    twice = transform.apply(once)
    assert twice is not None
    assert twice.headers == (Header("h", primitive(Type.INT8), 1),) * 2


@pytest.mark.parametrize("missing", ["header", "value.literal"])
def test_insert_header_names_the_option_it_lacks(missing: str) -> None:
    options = {"header": "h", "value.literal": "1"}
    del options[missing]
    with pytest.raises(ConfigError) as caught:
        InsertHeader[SourceRecord]().configure(options)
    assert list(caught.value.errors) == [missing]


def test_fields_that_stay_when_others_move_take_their_defaults_only_if_wanted() -> None:
    schema = struct([("id", STRING), ("tag", primitive(Type.STRING, optional=True, default="none"))])
    value = schema.build({"id": "1", "tag": None})
    options = {"fields": "id", "headers": "h", "operation": "move"}
    assert applied(HeaderFrom(VALUE), schema, value, **options).value.tag == "none"
    kept = applied(HeaderFrom(VALUE), schema, value, **options, replace_null_with_default="false")
    assert kept.value.tag is None


def test_set_schema_metadata_wants_something_to_set() -> None:
    with pytest.raises(ConfigError, match="Neither schema name nor version configured"):
        SetSchemaMetadata(VALUE).configure({})


def test_a_topic_is_never_left_without_a_name() -> None:
    with pytest.raises(DataError, match="empty name"):
        applied(RegexRouter(), None, None, regex=".*", replacement="")


def test_a_schema_is_converted_without_a_value_too() -> None:
    schema = struct([("at", timestamp_schema())], optional=True)
    changed = converted(schema, None, field="at", target_type="unix")
    assert changed.value is None
    assert changed.value_schema is struct([("at", primitive(Type.INT64))], optional=True)


def test_a_schemas_default_is_converted_with_it() -> None:
    plain = struct([("at", timestamp_schema())])
    changed = converted(plain.replace(default=plain.build({"at": 1500})), None, field="at", target_type="unix")
    assert changed.value_schema is not None
    assert changed.value_schema.default.at == 1500
    assert changed.value_schema.field("at").schema is primitive(Type.INT64)  # type: ignore[union-attr]  # it is there


def test_a_schema_that_is_no_time_is_refused_without_a_value_too() -> None:
    with pytest.raises(ConnectError, match="does not correspond to a known timestamp type format"):
        converted(primitive(Type.INT32, optional=True), None, target_type="unix")


def test_a_date_without_a_schema_is_the_milliseconds_of_its_midnight() -> None:
    date = converted(None, 3 * DAY_MS + 5, target_type="Date")
    assert date.value == 3 * DAY_MS
    assert converted(None, date.value, target_type="string", format="yyyy-MM-dd").value == "1970-01-04"
