"""Which columns a record has, and what it must have to be written (spec/jdbc.md 2.3)."""

from __future__ import annotations

import pytest

from syncline.connectors.jdbc.demands import Demands
from syncline.connectors.jdbc.fields import Cells, Fields, fields_of
from syncline.data import Schema, SinkRecord, Type, array, map_of, primitive, struct
from syncline.errors import ConnectError
from tests.unit.jdbc.sinks import INT, MAYBE_TEXT, PERSON, TEXT, config, person, record

KEY = struct([("b", INT), ("a", TEXT)])


def names(fields: Fields) -> tuple[list[str], list[str], list[str]]:
    return (
        [column.name for column in fields.keys],
        [column.name for column in fields.others],
        [column.name for column in fields.ddl_order],
    )


@pytest.mark.parametrize(
    ("options", "key_schema", "expected"),
    [
        ({}, None, ([], ["id", "name", "age"], ["id", "name", "age"])),
        ({"fields_whitelist": "age,nope"}, None, ([], ["age"], ["age"])),
        (
            {"pk_mode": "kafka"},
            None,
            (
                ["__connect_topic", "__connect_partition", "__connect_offset"],
                ["id", "name", "age"],
                ["__connect_topic", "__connect_partition", "__connect_offset", "id", "name", "age"],
            ),
        ),
        (
            {"pk_mode": "kafka", "pk_fields": "t,p,o"},
            None,
            (["t", "p", "o"], ["id", "name", "age"], ["id", "name", "age", "o", "p", "t"]),
        ),
        (
            {"pk_mode": "record_key", "pk_fields": "k"},
            TEXT,
            (["k"], ["id", "name", "age"], ["id", "name", "age", "k"]),
        ),
        ({"pk_mode": "record_key"}, KEY, (["b", "a"], ["id", "name", "age"], ["id", "name", "age", "a", "b"])),
        ({"pk_mode": "record_key", "pk_fields": "a"}, KEY, (["a"], ["id", "name", "age"], ["id", "name", "age", "a"])),
        (
            {"pk_mode": "record_key", "pk_fields": "id"},
            struct([("id", INT)]),
            (["id"], ["name", "age"], ["id", "name", "age"]),
        ),
        ({"pk_mode": "record_value"}, None, (["id", "name", "age"], [], ["id", "name", "age"])),
        (
            {"pk_mode": "RECORD_VALUE", "pk_fields": "name,id", "fields_whitelist": "age"},
            None,
            (["name", "id"], ["age"], ["id", "name", "age"]),
        ),
    ],
)
def test_columns(
    options: dict[str, str], key_schema: Schema | None, expected: tuple[list[str], list[str], list[str]]
) -> None:
    assert names(fields_of(config(**options), "t", key_schema, PERSON)) == expected


def test_a_plain_text_is_one_column_that_may_be_null() -> None:
    fields = fields_of(config(pk_mode="record_key", pk_fields="k"), "t", INT, TEXT)
    assert names(fields) == (["k"], ["record_value"], ["record_value", "k"])
    assert fields.others[0].schema.optional


@pytest.mark.parametrize(
    ("options", "key_schema", "value_schema", "said"),
    [
        ({"fields_whitelist": "nope"}, None, PERSON, "No fields found using key and value schemas for table: t"),
        (
            {"pk_mode": "kafka", "pk_fields": "a,b"},
            None,
            PERSON,
            "[__connect_topic, __connect_partition, __connect_offset] to be applicable, or exactly 3, "
            "defined fields are: [a, b]",
        ),
        ({"pk_mode": "record_key"}, None, PERSON, "is RECORD_KEY, but record key schema is missing"),
        ({"pk_mode": "record_key"}, TEXT, PERSON, "Need exactly one PK column defined"),
        ({"pk_mode": "record_key", "pk_fields": "a,b"}, TEXT, PERSON, "defined columns are: [a, b]"),
        (
            {"pk_mode": "record_key", "pk_fields": "a,x"},
            KEY,
            PERSON,
            "is RECORD_KEY with configured PK fields [a, x], but record key schema does not contain field: x",
        ),
        ({"pk_mode": "record_key"}, array(INT), PERSON, "Key schema must be primitive type or Struct, but is of type"),
        ({"pk_mode": "record_value"}, None, None, "is RECORD_VALUE, but record value schema is missing"),
        ({"pk_mode": "record_value"}, None, TEXT, "pk.mode record_value is not supported with String value schemas"),
        ({"pk_mode": "record_value", "pk_fields": "x"}, None, PERSON, "value schema does not contain field: x"),
        (
            {"pk_mode": "record_key", "pk_fields": "record_value"},
            INT,
            TEXT,
            "'record_value' conflicts with a primary key column for table 't'",
        ),
        ({}, None, INT, "Value schema must be of type Struct or String"),
    ],
)
def test_a_configuration_that_does_not_fit_is_said_in_confluents_words(
    options: dict[str, str], key_schema: Schema | None, value_schema: Schema | None, said: str
) -> None:
    with pytest.raises(ConnectError) as caught:
        fields_of(config(**options), "t", key_schema, value_schema)
    assert said in str(caught.value)


def test_records_are_taken_apart_by_column() -> None:
    records = [
        record(person(number, f"n{number}"), PERSON, key=KEY.build({"b": -number, "a": "k"}), key_schema=KEY, offset=5)
        for number in (1, 2)
    ]
    fields = fields_of(config(pk_mode="record_key"), "t", KEY, PERSON)
    cells = Cells(records)
    assert [list(cells.of(column)) for column in fields.all] == [
        [-1, -2],
        ["k", "k"],
        [1, 2],
        ["n1", "n2"],
        [None, None],
    ]
    coordinates = fields_of(config(pk_mode="kafka"), "t", KEY, PERSON).keys
    assert [list(cells.of(column)) for column in coordinates] == [["people"] * 2, [0, 0], [5, 5]]


def test_coordinates_are_those_in_kafka_whatever_a_transform_made_of_the_topic() -> None:
    moved = record(person(1), PERSON).with_topic("elsewhere")
    (topic, *_) = fields_of(config(pk_mode="kafka"), "t", None, PERSON).keys
    assert list(Cells([moved]).of(topic)) == ["people"]


# --- what a record must have -------------------------------------------------------------------------

GOOD = record(person(1), PERSON, key=1, key_schema=INT)
TOMBSTONE = record(key=1, key_schema=INT)


def check(found: SinkRecord, **options: str) -> str | None:
    try:
        Demands(config(**options), "sink").check(found)
    except ConnectError as exc:
        return str(exc)
    return None


@pytest.mark.parametrize(
    ("found", "options", "said"),
    [
        (GOOD, {}, None),
        (GOOD, {"pk_mode": "record_key"}, None),
        (record("x", TEXT), {}, None),
        (record(person(1), PERSON), {}, None),
        (TOMBSTONE, {"pk_mode": "record_key", "delete_enabled": "true"}, None),
        (TOMBSTONE, {"pk_mode": "record_key"}, "with a null value and null value schema."),
        (TOMBSTONE, {"pk_mode": "kafka"}, "'delete.enabled=false' and 'pk.mode=kafka'"),
        (record({"id": 1}, None), {}, "with a dict value and null value schema."),
        (record(5, INT), {}, "with a int value and INT32 value schema."),
        (record({"a": 1}, map_of(TEXT, INT)), {}, "with a dict value and MAP value schema."),
        (record(None, PERSON.as_optional()), {}, "with a null value and STRUCT value schema."),
        (record(person(1), PERSON), {"pk_mode": "record_key"}, "with a null key and null key schema."),
        (
            record(person(1), PERSON, key=[1], key_schema=array(INT)),
            {"pk_mode": "record_key"},
            "with a list key and ARRAY key schema.",
        ),
        (
            record(person(1), PERSON, key=None, key_schema=INT),
            {"pk_mode": "record_key"},
            "non-null Struct or primitive key schema",
        ),
        (record("x", TEXT), {"fields_whitelist": "a"}, "not applicable to String values: fields.whitelist"),
        (record("x", MAYBE_TEXT), {"timestamp_fields_list": "a"}, "timestamp.fields.list"),
    ],
)
def test_what_a_record_must_have(found: SinkRecord, options: dict[str, str], said: str | None) -> None:
    answer = check(found, **options)
    assert (answer is None) == (said is None)
    if answer is not None and said is not None:
        assert said in answer
        assert answer.startswith("Sink connector 'sink' is configured with ")
        assert "topic='people',partition=0,offset=0" in answer


def test_bytes_can_be_a_key() -> None:
    assert check(record(person(1), PERSON, key=b"k", key_schema=primitive(Type.BYTES)), pk_mode="record_key") is None
