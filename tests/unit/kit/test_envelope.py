"""Declared records, byte for byte as the tutorials' envelopes (spec/shop.md 1.3), and what is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.errors import ConfigError, DataError
from syncline.kit.messages import (
    ConnectKey,
    ConnectRecord,
    Date,
    Doc,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Key,
    MaxLen,
    Scale,
    Time,
    Timestamp,
    Topic,
)
from syncline.kit.messages.topics import TextKey

CREATED_AT = (
    '{"type":"int64","optional":true,"name":"org.apache.kafka.connect.data.Timestamp","version":1,"field":"created_at"}'
)


def fields(*listed: str) -> str:
    """`string?:name` as a field of an envelope's schema; `?` marks an optional one."""
    parts = []
    for entry in listed:
        if entry.startswith("{"):
            parts.append(entry)
            continue
        kind, _, name = entry.partition(":")
        optional = str(kind.endswith("?")).lower()
        parts.append(f'{{"type":"{kind.rstrip("?")}","optional":{optional},"field":"{name}"}}')
    return ",".join(parts)


def envelope(name: str, listed: str, payload: str) -> bytes:
    schema = f'{{"type":"struct","fields":[{listed}],"optional":false,"name":"{name}"}}'
    return f'{{"schema":{schema},"payload":{payload}}}'.encode()


class OrderWithQty(ConnectRecord, name="orders"):
    order_id: str | None
    user_id: str | None
    product_id: str | None
    qty: Int32 | None
    unit_price: Int32 | None
    total_price: Int32 | None


class OrderAsDocumented(ConnectRecord, name="orders"):
    order_id: str | None
    user_id: str | None
    product_id: str | None
    quantity: Int32
    total_price: Int32
    unit_price: Int32


class OrderAsCoded(ConnectRecord, name="orders"):
    order_id: str | None
    user_id: str | None
    product_id: str | None
    quantity: Int32 | None
    unit_price: Int32 | None
    total_price: Int32 | None


class OrderOfTheSample(ConnectRecord, name="orders"):
    order_id: str | None
    user_id: str | None
    product_id: str | None
    quantity: Int32 | None
    total_price: Int32 | None
    unit_price: Int32 | None


class User(ConnectRecord, name="users"):
    id: Int32
    name: str | None
    pwd: str | None
    created_at: Timestamp | None


class UserWithoutMoment(ConnectRecord, name="users"):
    id: Int32
    name: str | None
    pwd: str | None


class UserOfFiveColumns(ConnectRecord, name="users1"):
    id: Int32
    user_id: str | None
    pwd: str | None
    name: str | None
    created_at: Timestamp | None


TEXTS = ("string?:order_id", "string?:user_id", "string?:product_id")
PEOPLE = {"order_id": "o-1", "user_id": "u-1", "product_id": "CATALOG-0001"}
SHOWN = '"order_id":"o-1","user_id":"u-1","product_id":"CATALOG-0001"'

SHAPES = [
    pytest.param(
        OrderWithQty(**PEOPLE, qty=5, unit_price=1200, total_price=6000),
        envelope(
            "orders",
            fields(*TEXTS, "int32?:qty", "int32?:unit_price", "int32?:total_price"),
            f'{{{SHOWN},"qty":5,"unit_price":1200,"total_price":6000}}',
        ),
        id="MSG-04",
    ),
    pytest.param(
        OrderAsDocumented(**PEOPLE, quantity=10, total_price=10000, unit_price=1000),
        envelope(
            "orders",
            fields(*TEXTS, "int32:quantity", "int32:total_price", "int32:unit_price"),
            f'{{{SHOWN},"quantity":10,"total_price":10000,"unit_price":1000}}',
        ),
        id="MSG-05",
    ),
    pytest.param(
        OrderAsCoded(**PEOPLE, quantity=10, unit_price=1000, total_price=10000),
        envelope(
            "orders",
            fields(*TEXTS, "int32?:quantity", "int32?:unit_price", "int32?:total_price"),
            f'{{{SHOWN},"quantity":10,"unit_price":1000,"total_price":10000}}',
        ),
        id="MSG-06",
    ),
    pytest.param(
        OrderOfTheSample(**PEOPLE, quantity=10, total_price=10000, unit_price=1000),
        envelope(
            "orders",
            fields(*TEXTS, "int32?:quantity", "int32?:total_price", "int32?:unit_price"),
            f'{{{SHOWN},"quantity":10,"total_price":10000,"unit_price":1000}}',
        ),
        id="MSG-07",
    ),
    pytest.param(
        User(id=1, name="test", pwd="test1234", created_at=dt.datetime(2021, 8, 1, 11, 4, 17, tzinfo=dt.UTC)),
        envelope(
            "users",
            fields("int32:id", "string?:name", "string?:pwd", CREATED_AT),
            '{"id":1,"name":"test","pwd":"test1234","created_at":1627815857000}',
        ),
        id="MSG-08",
    ),
    pytest.param(
        UserWithoutMoment(id=2, name="test2", pwd="test2234"),
        envelope(
            "users",
            fields("int32:id", "string?:name", "string?:pwd"),
            '{"id":2,"name":"test2","pwd":"test2234"}',
        ),
        id="MSG-09",
    ),
    pytest.param(
        UserOfFiveColumns(
            id=7,
            user_id="user4",
            pwd="user4444",
            name="User4 name",
            created_at=dt.datetime(2023, 4, 4, 21, 22, 51, tzinfo=dt.UTC),
        ),
        envelope(
            "users1",
            fields("int32:id", "string?:user_id", "string?:pwd", "string?:name", CREATED_AT),
            '{"id":7,"user_id":"user4","pwd":"user4444","name":"User4 name","created_at":1680643371000}',
        ),
        id="MSG-10",
    ),
]


@pytest.mark.parametrize(("record", "expected"), SHAPES)
def test_a_record_is_written_as_the_tutorials_write_it(record: ConnectRecord, expected: bytes) -> None:
    assert record.envelope() == expected


@pytest.mark.parametrize(("record", "expected"), SHAPES)
def test_an_envelope_reads_back_as_the_record(record: ConnectRecord, expected: bytes) -> None:
    assert type(record).from_envelope(expected) == record


def test_another_producers_field_order_optionality_and_extra_members_do_not_matter() -> None:
    theirs = envelope(
        "orders",
        fields("int32:unit_price", *TEXTS, "int32:quantity", "int32?:total_price"),
        '{"unit_price":1,"totalPrice":9,"order_id":"o","quantity":2,"user_id":"u","product_id":null}',
    )
    assert OrderAsCoded.from_envelope(theirs) == OrderAsCoded(
        order_id="o", user_id="u", product_id=None, quantity=2, unit_price=1, total_price=None
    )


def test_a_required_member_that_another_producer_leaves_out_is_named() -> None:
    theirs = envelope("orders", fields(*TEXTS), f"{{{SHOWN}}}")
    with pytest.raises(DataError, match=r"OrderAsDocumented\.quantity is missing"):
        OrderAsDocumented.from_envelope(theirs)


@pytest.mark.parametrize(
    "raw", [b"not json", b"", b"{}", b'{"payload":{}}', b'{"schema":null,"payload":{"id":1}}', b'"text"']
)
def test_what_is_no_envelope_is_refused(raw: bytes) -> None:
    with pytest.raises(DataError):
        User.from_envelope(raw)


def test_a_misspelt_type_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(ConfigError, match=r"Order\.product_id: unknown type 'stirng'; did you mean str\?"):

        class Order(ConnectRecord, name="orders"):
            order_id: str
            product_id: stirng  # type: ignore[name-defined]  # noqa: F821  # the slip this is about


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (int, "int says too little; write Int32 or Int64"),
        (Decimal, "write Annotated"),
        (dt.datetime, "write Timestamp"),
        (object, "object has no counterpart in Kafka Connect"),
        (str | int, "a field has one type"),
        (complex | None, "complex has no counterpart"),
    ],
)
def test_a_type_that_says_too_little_is_refused_when_the_class_is_made(hint: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"Order\.value: .*{said}"):
        type("Order", (ConnectRecord,), {"__annotations__": {"value": hint}})


def test_a_payload_with_other_members_than_the_schema_is_refused() -> None:
    values = {**PEOPLE, "quantity": 1, "unit_price": 1, "total_price": 1}
    del values["product_id"]
    with pytest.raises(DataError, match="OrderAsCoded needs product_id"):
        OrderAsCoded.of(values)
    with pytest.raises(DataError, match=r"OrderAsCoded has no field produce_id; did you mean product_id\?"):
        OrderAsCoded.of({**values, "produce_id": "CATALOG-0001"})


class Everything(ConnectRecord, name="everything", version=3, doc="all types", parameters={"owner": "tests"}):
    text: Annotated[str, MaxLen(5), Doc("at most five")]
    flag: bool
    raw: bytes
    tiny: Int8
    small: Int16
    number: Int32
    large: Int64
    single: Float32
    double: Float64
    plain: float
    price: Annotated[Decimal, Scale(2)]
    day: Date
    moment: Timestamp
    of_day: Time
    tags: list[str]
    counts: dict[str, Int32]
    user: UserWithoutMoment
    note: str | None = None
    copies: Int32 = 1


def everything(**changes: Any) -> Everything:
    values: dict[str, Any] = {
        "text": "텍스트😀",
        "flag": True,
        "raw": b"\x00\xff",
        "tiny": -128,
        "small": 32767,
        "number": 2**31 - 1,
        "large": -(2**63),
        "single": 0.5,
        "double": 1e300,
        "plain": 2,
        "price": Decimal("1.5"),
        "day": dt.date(1969, 12, 31),
        "moment": dt.datetime(1, 1, 1, 0, 0, 0, 1000, tzinfo=dt.UTC),
        "of_day": dt.time(23, 59, 59, 999000),
        "tags": ["a", ""],
        "counts": {"x": 1},
        "user": UserWithoutMoment(id=1, name=None, pwd=""),
    }
    return Everything(**{**values, **changes})


def test_every_type_survives_the_way_through_an_envelope() -> None:
    record = everything()
    assert Everything.from_envelope(record.envelope()) == everything(price=Decimal("1.50"))


def test_schema_and_documentation_travel_with_the_record() -> None:
    schema = Everything.connect_schema
    assert (schema.name, schema.version, schema.doc, schema.parameters) == (
        "everything",
        3,
        "all types",
        {"owner": "tests"},
    )
    text = schema.field("text")
    copies = schema.field("copies")
    assert text is not None
    assert text.schema.doc == "at most five"
    assert copies is not None
    assert copies.schema.default == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "sixsix"},
        {"text": 5},
        {"text": None},
        {"flag": 1},
        {"tiny": 128},
        {"small": 1.0},
        {"number": True},
        {"number": 2**31},
        {"large": 2**63},
        {"double": "1"},
        {"price": Decimal("1.555")},
        {"price": Decimal("NaN")},
        {"price": 1.5},
        {"day": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
        {"moment": dt.datetime(2020, 1, 1)},  # naive on purpose
        {"of_day": dt.time(1, tzinfo=dt.UTC)},
        {"tags": "ab"},
        {"tags": ["a", None]},
        {"counts": {"x": "1"}},
        {"user": {"id": 1}},
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_is_refused_with_its_field(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=rf"Everything\.{next(iter(changes))}"):
        everything(**changes).envelope()


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    st.datetimes(timezones=st.timezones()),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
)
def test_any_text_number_moment_and_price_survive(text: str, large: int, moment: dt.datetime, price: Decimal) -> None:
    read = Everything.from_envelope(everything(text=text, large=large, moment=moment, price=price).envelope())
    assert (read.text, read.large, read.price) == (text, large, price)
    late = moment - read.moment
    assert dt.timedelta(0) <= late < dt.timedelta(milliseconds=1)


class Keyed(ConnectRecord, name="keyed"):
    id: Annotated[str, Key]
    value: Int32


def test_a_key_on_a_connect_topic_is_an_envelope_of_its_own() -> None:
    key, value = Topic("orders", value=Keyed, key=ConnectKey).encode(Keyed(id="o-1", value=1))
    assert key == b'{"schema":{"type":"string","optional":false},"payload":"o-1"}'
    assert Keyed.from_envelope(value) == Keyed(id="o-1", value=1)


def test_a_key_on_an_event_topic_is_plain_text() -> None:
    assert Topic("events", value=Keyed, key=TextKey).encode(Keyed(id="ö", value=1))[0] == "ö".encode()


@pytest.mark.parametrize("name", ["", "a b", "ä", "..", "x" * 250])
def test_a_topic_name_that_kafka_refuses_is_refused_when_it_is_declared(name: str) -> None:
    with pytest.raises(ConfigError, match="no topic name"):
        Topic(name, value=Keyed)


def test_a_topic_of_records_without_key_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ConfigError, match="marks no field with Key"):
        Topic("users", value=User)


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="orders holds Keyed, not User"):
        Topic("orders", value=Keyed).encode(User(id=1, name=None, pwd=None, created_at=None))  # type: ignore[arg-type]


def test_two_keys_are_refused_when_the_class_is_made() -> None:
    with pytest.raises(ConfigError, match="marks a and b as its key"):

        class Two(ConnectRecord, name="two"):
            a: Annotated[str, Key]
            b: Annotated[str, Key]
