"""Command lines of Kafka's tools: what is read, what is refused, and what is suggested."""

from __future__ import annotations

import pytest

from syncline.cli.kafka import configs, moments
from syncline.cli.kafka.consumer import TOOL as CONSUMER
from syncline.cli.kafka.consumer import Formatter
from syncline.cli.kafka.flags import UsageError
from syncline.cli.kafka.groups import TOOL as GROUPS
from syncline.cli.kafka.producer import TOOL as PRODUCER
from syncline.cli.kafka.producer import Line, LineError, LineReader
from syncline.cli.kafka.topics import matches
from syncline.kafka.ports import CREATE_TIME, LOG_APPEND_TIME, NO_TIMESTAMP, KafkaRecord


def test_values_come_after_a_blank_or_an_equals_sign() -> None:
    given = CONSUMER.read(["--topic", "t", "--max-messages=3", "--property", "a=b", "--property", "c=d=e"])
    assert (given.one("topic"), given.number("max-messages")) == ("t", 3)
    assert given.pairs("property") == {"a": "b", "c": "d=e"}


def test_a_value_may_begin_with_a_dash() -> None:
    assert GROUPS.read(["--shift-by", "-1"]).number("shift-by") == -1
    assert GROUPS.read(["--group", "--odd", "--list"]).one("group") == "--odd"


def test_a_flag_may_be_cut_short_and_have_one_dash() -> None:
    assert CONSUMER.read(["--from-b"]).has("from-beginning")
    assert CONSUMER.read(["-from-beginning"]).has("from-beginning")
    with pytest.raises(UsageError, match="it may stand for --partition, --property"):
        CONSUMER.read(["--p", "1"])


@pytest.mark.parametrize("written", ["--from-begining", "-from-begining", "--frombeginning"])
def test_a_misspelt_flag_gets_a_suggestion(written: str) -> None:
    with pytest.raises(UsageError, match="is not a recognized option; did you mean --from-beginning"):
        CONSUMER.read([written])


def test_nothing_like_it_gets_no_suggestion() -> None:
    with pytest.raises(UsageError, match=r"^zookeeper is not a recognized option$"):
        CONSUMER.read(["--zookeeper"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--topic"], "Option topic requires an argument"),
        (["--from-beginning=1"], "Option from-beginning takes no value"),
        (["ev"], "'ev' belongs to no flag"),
        (["--max-messages", "x"], "Cannot parse argument 'x' of option max-messages"),
        (["--property", "x"], "'x' is not of the form name=value"),
    ],
)
def test_what_cannot_be_read_is_named(arguments: list[str], message: str) -> None:
    def read() -> None:
        given = CONSUMER.read(arguments)
        given.number("max-messages")
        given.pairs("property")

    with pytest.raises(UsageError, match=message):
        read()


def test_a_value_that_may_be_missing() -> None:
    assert PRODUCER.read(["--compression-codec", "--topic", "t"]).all("compression-codec") == []
    assert PRODUCER.read(["--compression-codec", "zstd"]).one("compression-codec") == "zstd"
    assert GROUPS.read(["--list", "--state"]).has("state")


def test_topics_are_meant_by_regular_expressions() -> None:
    assert matches("my.topic,other", "my-topic")
    assert not matches("my.topic", "my.topics")
    with pytest.raises(UsageError, match="invalid regex"):
        matches("(", "a")


def test_lines_have_headers_key_and_value() -> None:
    reader = LineReader.of({"parse.key": "true", "parse.headers": "TRUE", "null.marker": "NULL", "key.separator": ":"})
    assert reader.read(1, b"a:1,b:NULL\tk:v:w") == Line(b"k", b"v:w", [("a", b"1"), ("b", None)])
    assert reader.read(1, b"NULL\tNULL:NULL") == Line(None, None, [])
    with pytest.raises(LineError, match="No key separator found on line number 7: 'h:1\tnone'"):
        reader.read(7, b"h:1\tnone")
    with pytest.raises(UsageError, match=r"parse.keys is no property"):
        LineReader.of({"parse.keys": "true"})


def test_a_line_without_a_key_is_a_value_when_errors_are_ignored() -> None:
    reader = LineReader.of({"parse.key": "true", "ignore.error": "true"})
    assert reader.read(1, b"v") == Line(None, b"v", [])


def record(value: bytes | None, stamp: tuple[int, int] = (CREATE_TIME, 5)) -> KafkaRecord:
    return KafkaRecord("t", 2, 7, stamp, None, value, [("h", None)])


def test_records_are_printed_as_asked() -> None:
    wanted = ["timestamp", "partition", "offset", "headers", "key"]
    arguments = [part for name in wanted for part in ("--property", f"print.{name}=true")]
    formatter = Formatter.of(CONSUMER.read([*arguments, "--property", "null.literal=-"]))
    assert formatter.line(record(b"\xff")) == b"CreateTime:5\tPartition:2\tOffset:7\th:-\t-\t\xff\n"
    assert formatter.line(record(None, (LOG_APPEND_TIME, 6))).startswith(b"LogAppendTime:6\t")
    assert formatter.line(record(None, (NO_TIMESTAMP, -1))).startswith(b"NO_TIMESTAMP\t")


def test_a_deserializer_of_java_prints_numbers() -> None:
    name = "org.apache.kafka.common.serialization.LongDeserializer"
    formatter = Formatter.of(CONSUMER.read(["--value-deserializer", name]))
    assert formatter.line(record((300).to_bytes(8, "big"))) == b"300\n"
    with pytest.raises(ValueError, match="3 bytes are no value of that kind"):
        formatter.line(record(b"abc"))
    with pytest.raises(UsageError, match="AvroDeserializer is no deserializer"):
        Formatter.of(CONSUMER.read(["--value-deserializer", "AvroDeserializer"]))


def test_lists_among_settings_stand_in_brackets() -> None:
    assert configs.parse("a=1,b=[x,y],c=") == {"a": "1", "b": "x,y", "c": ""}
    for wrong in ("a", "a=1,b", "a=[x"):
        with pytest.raises(UsageError):
            configs.parse(wrong)


def test_moments_are_in_utc_unless_they_say_otherwise() -> None:
    assert moments.milliseconds("1970-01-01T00:00:01.000") == 1000
    assert moments.milliseconds("1970-01-01T01:00:00.000+01:00") == 0
    assert moments.before_now("PT0S") - moments.before_now("P1DT1H1M1.5S") == pytest.approx(90_061_500, abs=60_000)
    for wrong in ("yesterday", "P", "1h"):
        with pytest.raises(ValueError, match="is no"):
            moments.before_now(wrong)
        with pytest.raises(ValueError, match="is no"):
            moments.milliseconds(wrong)
